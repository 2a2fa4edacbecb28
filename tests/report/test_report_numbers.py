"""How numbers are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fgic_core.data.artifact import Metric
from fgic_core.report.numbers import (
    LABELS,
    amount,
    eps_text,
    interval,
    moment,
    number,
    parse_eps,
    seconds,
    with_interval,
)
from fgic_core.steps import attacker


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_a_fraction_is_shown_in_percent_with_interval_and_count() -> None:
    metric = Metric(name="accuracy", value=0.8127, low=0.7712, high=0.8479, n=395, unit="fraction")
    assert plain(with_interval(metric)) == "81.3 % (77.1\N{EN DASH}84.8, n = 395)"


def test_a_number_that_was_not_computed_says_so() -> None:
    metric = Metric(name="pointing_game", value=None, n=0, unit="fraction", note="no sample has a box")
    assert amount(metric) == with_interval(metric) == "not computed"
    assert interval(metric) == ""
    assert number(float("nan")) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("part", "eps"),
    [
        ("eps=4/255", 4 / 255),
        ("eps=0.5/255", 0.5 / 255),
        ("eps = 5.5 / 255", 5.5 / 255),
        ("eps=0.5", 0.5),
        ("eps=1e-05", 1e-05),
        ("eps=0", 0.0),
        ("test", None),
        ("eps=much", None),
        ("eps=1/0", None),
        ("eps=nan", None),
    ],
)
def test_eps_is_read_from_a_part(part: str, eps: float | None) -> None:
    assert parse_eps(part) == eps


@pytest.mark.parametrize(
    ("eps", "norm", "text"),
    [(4 / 255, "Linf", "4/255"), (0.5 / 255, "Linf", "0.5/255"), (0.0, "Linf", "0"), (0.5, "L2", "0.5")],
)
def test_eps_is_written_as_its_norm_is_thought_of(eps: float, norm: str, text: str) -> None:
    assert eps_text(eps, norm) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.42, "0.4 s"), (12.3, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_times_are_written_for_people(value: float, text: str) -> None:
    assert plain(seconds(value)) == text


def test_moments_are_in_utc_and_what_is_no_moment_is_left_alone() -> None:
    assert moment("2026-01-31T15:05:09+01:00") == "2026-01-31 14:05 UTC"
    assert moment("soon") == "soon"


def test_every_metric_that_the_core_records_has_a_name_for_people() -> None:
    steps = Path(attacker.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(steps.glob("*.py")))
    recorded = set(re.findall(r'(?:\.metric|_share)\((?:\s*ctx,)?\s*"(\w+)"', text))
    recorded |= {f"check_{name}" for name in re.findall(r'_record\("(\w+)"', text)}
    assert {"accuracy", "synthetic", "zero_maps", "check_unbounded", "attack_success"} <= recorded
    assert recorded <= set(LABELS)


def test_large_counts_are_grouped() -> None:
    assert plain(number(1_000_000.0)) == "1 000 000"
