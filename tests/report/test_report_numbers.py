"""How numbers are written."""

from __future__ import annotations

import pytest

from fgic_core.data.artifact import Metric, OnSplit
from fgic_core.report.numbers import (
    amount,
    eps_text,
    interval,
    moment,
    number,
    on,
    seconds,
    with_interval,
)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_a_fraction_is_shown_in_percent_with_interval_and_count() -> None:
    metric = Metric(name="accuracy", value=0.8127, low=0.7712, high=0.8479, n=395)
    assert plain(with_interval(metric)) == "81.3 % (77.1\N{EN DASH}84.8, n = 395)"


def test_a_number_that_was_not_computed_says_so() -> None:
    metric = Metric(name="pointing_game", value=None, n=0, note="no sample has a box")
    assert amount(metric) == with_interval(metric) == "not computed"
    assert interval(metric) == ""
    assert number(float("nan")) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("split", "at", "said"),
    [
        ("test", {}, "test"),
        ("test", {"eps": 4 / 255, "norm": "Linf"}, "test, eps=4/255 (Linf)"),
        ("test", {"eps": 0.5, "norm": "L2"}, "test, eps=0.5 (L2)"),
        ("train", {"boxes": "cross-fitted"}, "train, boxes=cross-fitted"),
        ("", {"sigma": 0.25}, "sigma=0.25"),
        ("", {}, ""),
    ],
)
def test_on_what_a_number_was_measured_is_said(split: OnSplit, at: dict[str, float | str], said: str) -> None:
    metric = Metric(name="accuracy", value=0.5, split=split, at=at)
    assert on(metric) == said


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


def test_large_counts_are_grouped() -> None:
    assert plain(number(1_000_000.0)) == "1 000 000"
