"""What a run counts of an attack, on pictures whose distances from the boundary are known beforehand.

Every picture is one grey, and the network calls it class 1 where it is brighter than one half, 127.5 grey levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fgic_core import Attacker, Run
from fgic_core.cli.numbers import headline

Measure = Callable[..., Run]


class Bright(nn.Module):
    """Class 1 where the mean pixel is above one half."""

    def __init__(self, classes: int) -> None:
        super().__init__()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logit = 4 * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-logit, logit], dim=1)


class Darker(Attacker):
    """Takes the same from every pixel, eps in the norm."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        length = eps if self.norm == "Linf" else eps / images[0].numel() ** 0.5
        return (images - length).clamp(0, 1)


def test_robust_accuracy_counts_what_is_right_before_and_after_out_of_all(measure: Measure) -> None:
    """Darker by 16 levels: of four bright ones that are right two stay so; a wrong one is set right, one is not."""
    test = [(1, level, "test") for level in (130, 140, 150, 160)] + [
        (0, 140, "test"),
        (0, 170, "test"),
        (0, 100, "test"),
    ]
    run = measure(test, Bright, attack=Darker(eps=("16/255",)))
    clean = run.metric("attack", "clean_accuracy", "test")
    assert (clean.value, clean.n) == (5 / 7, 7)
    robust = run.metric("attack", "robust_accuracy", "test", eps=16 / 255)
    assert (robust.value, robust.n) == (3 / 7, 7)
    success = run.metric("attack", "attack_success", "test", eps=16 / 255)
    assert (success.value, success.n) == (2 / 5, 5)
    still = run.metric("attack", "robust_accuracy", "test", eps=0)
    assert (still.value, still.n) == (5 / 7, 7)


def test_every_eps_is_measured_from_the_clean_picture(measure: Measure) -> None:
    run = measure([(1, 200, "test"), (0, 50, "test")], Bright, attack=Darker(eps=("10/255", "20/255", "30/255")))
    rows = pq.read_table(run.record.step("attack").folder / "robustness.parquet").to_pylist()
    found = {round(row["eps"] * 255): row["distance"] * 255 for row in rows}
    assert found == {eps: pytest.approx(eps, abs=1e-3) for eps in (0, 10, 20, 30)}
    assert [row["adversarial"] for row in rows if row["id"] == "test-0"] == [1, 1, 1, 1]


@pytest.mark.parametrize(("eps", "right"), [("4/255", 1.0), ("5/255", 0.0)])
def test_a_fraction_is_that_many_grey_levels(measure: Measure, eps: str, right: float) -> None:
    """132 less 4 is above one half, 132 less 5 below it."""
    run = measure([(1, 132, "test")], Bright, attack=Darker(eps=(eps,)))
    assert run.metric("attack", "robust_accuracy", "test", eps=float(eps.partition("/")[0]) / 255).value == right
    rows = pq.read_table(run.record.step("attack").folder / "robustness.parquet").to_pylist()
    assert rows[-1]["eps"] == float(eps.partition("/")[0]) / 255


@pytest.mark.parametrize("eps", [8, 1.5, 255])
def test_an_eps_above_1_is_refused_with_the_fraction_that_was_meant(eps: float) -> None:
    with pytest.raises(ValidationError, match=f"write {eps}/255"):
        Darker(eps=(eps,))


def test_an_l2_attack_is_measured_in_l2(measure: Measure) -> None:
    """48 numbers that are each less by eps / √48; to fool takes √48 times what it takes in Linf."""
    run = measure([(1, 140, "test"), (1, 150, "test")], Bright, attack=Darker(norm="L2", eps=(0.4,)))
    assert run.metric("attack", "distance", "test", eps=0.4).value == pytest.approx(0.4, abs=1e-5)
    assert run.metric("attack", "robust_accuracy", "test", eps=0.4).value == 0.5


class TooFar(Darker):
    """Goes a hair further than it may."""

    further: float = 0.0

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return super().perturb(network, images, labels, eps + self.further, generator)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_an_attack_that_leaves_its_ball_by_a_hair_is_refused_and_float_rounding_is_not(
    measure: Measure, norm: str
) -> None:
    """A hair is a fortieth of a grey level."""
    test = [(1, level, "test") for level in range(180, 200)]
    for eps in (1 / 255, 0.1, 1 / 3):
        run = measure(test, Bright, attack=TooFar(norm=norm, eps=(eps,)))
        assert run.metric("attack", "clean_accuracy", "test").n == 20
        run = measure(test, Bright, attack=TooFar(norm=norm, eps=(eps,), further=1e-4), fails=True)
        assert f"left the {norm} ball with 20 of 20 images" in run.record.step("attack").error


class Brighter(TooFar):
    """Does not stay below 1."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return images + eps


def test_an_attack_that_is_not_clamped_is_refused(measure: Measure) -> None:
    run = measure([(1, 250, "test"), (0, 10, "test")], Bright, attack=Brighter(eps=("6/255",)), fails=True)
    assert "perturb gave pixels in [0.0627" in run.record.step("attack").error
    assert "Images stay in [0, 1]" in run.record.step("attack").error
    assert not run.ok


@pytest.mark.parametrize("eps", ["5.5/255", "11/255"])
def test_the_headline_is_of_the_largest_eps_whatever_fraction_it_is(measure: Measure, eps: str) -> None:
    """Bright by three and by thirty levels: both outlast half a level, one the largest eps."""
    run = measure([(1, 130, "test"), (1, 158, "test")], Bright, attack=Darker(eps=("0.5/255", eps)))
    said = headline(run.metrics("attack"))
    assert "robust accuracy" in said
    assert f"eps={eps}" in said
    assert "50.0 %" in said
