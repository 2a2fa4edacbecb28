"""What the checks for gradient masking say of attacks and networks whose answers are known beforehand.

Every picture is one grey, and the networks call a picture class 1 where it is brighter than one half. All eight
pictures of a set are checked, unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fgic_core import Attacker, Run

Measure = Callable[..., Run]


class Bright(nn.Module):
    """Class 1 where the mean pixel is above one half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logit = 4 * (self.brightness(images) - 0.5)
        return torch.stack([-logit, logit], dim=1)

    def brightness(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))


class OnePixel(Bright):
    """Looks at a single number of the picture, so that random signs move it by the whole of eps."""

    def brightness(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, 0]


class Flattened(Bright):
    """Is equally sure of everything that is brighter than 0.8: there is no gradient there."""

    def brightness(self, images: torch.Tensor) -> torch.Tensor:
        return super().brightness(images).clamp(max=0.8)


class Undefined(Bright):
    """Says what `Bright` says; of what is brighter than 0.8 the gradient is 0 / 0, which is not a number."""

    def brightness(self, images: torch.Tensor) -> torch.Tensor:
        known = super().brightness(images)
        return known + 0 * (known * (known.detach() <= 0.8)).sqrt()  # the slope of a root at 0 is infinite


class Best(Attacker):
    """Moves every pixel by eps against the label, which is optimal for `Bright`; counts as an attack of many steps."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        length = eps if self.norm == "Linf" else eps / images[0].numel() ** 0.5
        return (images + length * (1.0 - 2.0 * labels.float())[:, None, None, None]).clamp(0, 1)


class Idle(Attacker):
    """Does nothing."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return images


class GivesUp(Best):
    """Does nothing in balls that are larger than one half."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return super().perturb(network, images, labels, eps if eps <= 0.5 else 0.0, generator)


class Choosy(Best):
    """Leaves pictures as they are that are brighter than 0.9."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        moved = super().perturb(network, images, labels, eps, generator)
        return torch.where(images.mean(dim=(1, 2, 3), keepdim=True) > 0.9, images, moved)


def right(*levels: int) -> list[tuple[int, int, str]]:
    """Pictures of these greys, all labelled right."""
    return [(int(level > 127), level, "test") for level in levels]


def bright(network: type[Bright]) -> Callable[[int], nn.Module]:
    return lambda classes: network()


def found(run: Run, name: str) -> tuple[float | None, str]:
    metric = run.metric("attack", f"check_{name}", "test")
    return metric.value, metric.verdict


#: Eight pictures that are about 0.077 from where the network changes its mind.
NEAR = [147] * 4 + [108] * 4


@pytest.mark.parametrize(("norm", "eps"), [("Linf", "1/255"), ("L2", 0.05)])
def test_a_robust_network_is_fooled_without_a_bound_and_raises_no_flag(measure: Measure, norm: str, eps: Any) -> None:
    """The unbounded attack draws any picture: white of black, in either norm."""
    run = measure(right(250, 251, 252, 253, 5, 4, 3, 2), bright(Bright), attack=Best(norm=norm, eps=(eps,)))
    assert [m.value for m in run.metrics("attack") if m.name == "robust_accuracy"] == [1.0, 1.0]
    assert found(run, "unbounded") == (0.0, "pass")
    assert run.artifact("attack").warnings == []


def test_an_attack_that_fools_within_the_ball_and_not_without_a_bound_is_flagged(measure: Measure) -> None:
    run = measure(right(*NEAR), bright(Bright), attack=GivesUp(eps=(0.2,)))
    assert run.metric("attack", "robust_accuracy", "test", eps=0.2).value == 0.0
    assert found(run, "unbounded") == (1.0, "flag")
    assert any("With no bound" in warning for warning in run.artifact("attack").warnings)


@pytest.mark.parametrize(("unmoved", "verdict"), [(0, "pass"), (2, "pass"), (3, "flag")])
def test_a_few_that_withstand_an_unbounded_attack_may_be_chance(measure: Measure, unmoved: int, verdict: str) -> None:
    """A flag needs the lower end of the 95 % interval above a tenth: 7.1 % of 2 in 8, 13.7 % of 3 in 8."""
    run = measure(right(*[250] * unmoved, *[140] * (8 - unmoved)), bright(Bright), attack=Choosy(eps=(0.2,)))
    assert found(run, "unbounded") == (unmoved / 8, verdict)


@pytest.mark.parametrize(
    ("count", "flat", "verdict"), [(8, 0, "pass"), (8, 2, "flag"), (128, 3, "pass"), (128, 4, "flag")]
)
def test_more_than_a_tenth_without_a_gradient_is_flagged(measure: Measure, count: int, flat: int, verdict: str) -> None:
    """Of 128 pictures 32 are checked, the first and the last among them and evenly between."""
    checked = [row * (count - 1) // (min(count, 32) - 1) for row in range(min(count, 32))]
    levels = [150] * count
    for row in checked[:flat]:
        levels[row] = 250
    run = measure(right(*levels), bright(Flattened), attack=Best(eps=(0.05,), samples=None))
    metric = run.metric("attack", "check_zero_gradient", "test")
    assert (metric.value, metric.n, metric.verdict) == (flat / len(checked), len(checked), verdict)
    said = [warning for warning in run.artifact("attack").warnings if "no gradient at all" in warning]
    assert len(said) == (verdict == "flag")


@pytest.mark.parametrize(("undefined", "verdict"), [(0, "pass"), (2, "flag")])
def test_a_gradient_that_is_not_a_number_is_none(measure: Measure, undefined: int, verdict: str) -> None:
    levels = [250] * undefined + [150] * (8 - undefined)
    run = measure(right(*levels), bright(Undefined), attack=Best(eps=(0.05,)))
    assert run.metric("attack", "clean_accuracy", "test").value == 1.0
    assert found(run, "zero_gradient") == (undefined / 8, verdict)
    assert any("no gradient at all" in said for said in run.artifact("attack").warnings) == (verdict == "flag")


@pytest.mark.parametrize(("eps", "left"), [(0.1, 1.0), (0.5, 1.0), (0.6, 0.0)])
def test_the_cores_own_attacks_share_the_length_of_l2_among_the_pixels(
    measure: Measure, eps: float, left: float
) -> None:
    """48 equal numbers move by eps / √48 each: 0.6 reaches 0.087, which is far enough, 0.5 reaches 0.072.

    In Linf each would move by eps.
    """
    run = measure(right(*NEAR), bright(Bright), attack=Idle(norm="L2", eps=(eps,)))
    for name in ("fgsm", "margin_pgd"):
        assert found(run, name) == (left, "pass" if left else "flag"), name


@pytest.mark.parametrize(("norm", "noise"), [("Linf", 0.0), ("L2", 1.0)])
def test_the_cores_own_attacks_go_as_far_as_eps_and_no_further(measure: Measure, norm: str, noise: float) -> None:
    """Pictures are 0.077 away: eps 0.1 reaches them, half of it does not, and eps 0.06 does not either.

    In L2 random noise spends its length on 48 numbers, of which one counts.
    """
    far = measure(right(*NEAR), bright(OnePixel), attack=Idle(norm=norm, eps=(0.1,)))
    assert found(far, "fgsm") == (0.0, "flag")
    assert found(far, "margin_pgd") == (0.0, "flag")
    assert found(far, "noise") == (noise, "pass" if noise else "flag")
    near = measure(right(*NEAR), bright(OnePixel), attack=Idle(norm=norm, eps=(0.06,)))
    for name in ("fgsm", "margin_pgd", "noise"):
        assert found(near, name) == (1.0, "pass")


def test_noise_that_cannot_reach_leaves_every_picture_right(measure: Measure) -> None:
    """The mean of 48 random signs is far below one: eps 0.1 moves the brightness by 0.014 times a normal number."""
    run = measure(right(*NEAR), bright(Bright), attack=Best(eps=(0.1,)))
    assert found(run, "noise") == (1.0, "pass")
    assert found(run, "fgsm") == (0.0, "pass")


def test_an_attack_is_compared_on_the_pictures_that_are_checked(measure: Measure) -> None:
    """Of 32 pictures the checks take 8: rows 0, 4, 8, 13, 17, 22, 26, 31. The attack leaves 0 to 7 as they are."""
    run = measure(right(*[250] * 8, *[140] * 8, *[110] * 16), bright(Bright), attack=Choosy(eps=(0.6,)))
    assert run.metric("attack", "robust_accuracy", "test", eps=0.6).value == 8 / 32
    fgsm = run.metric("attack", "check_fgsm", "test")
    assert (fgsm.value, fgsm.n, fgsm.verdict) == (0.0, 8, "pass")
    assert "this attack has 25.0%" in fgsm.note
    assert found(run, "unbounded") == (2 / 8, "pass")


def test_the_pictures_that_are_checked_keep_their_labels(measure: Measure) -> None:
    """Of 32 pictures the first half is bright and the other dark, all out of reach."""
    run = measure(right(*[200] * 16, *[50] * 16), bright(Bright), attack=Best(eps=(0.01,)))
    assert [found(run, name) for name in ("fgsm", "noise", "margin_pgd")] == [(1.0, "pass")] * 3


def test_the_checks_run_at_the_largest_eps(measure: Measure) -> None:
    """Eight pictures that eps 0.1 reaches and eps 0.01 does not."""
    run = measure(right(*NEAR), bright(Bright), attack=Best(eps=(0.01, 0.1)))
    assert [found(run, name) for name in ("fgsm", "margin_pgd")] == [(0.0, "pass"), (0.0, "pass")]
    assert "this attack has 0.0%" in run.metric("attack", "check_fgsm", "test").note


class Darkening(Attacker):
    """Makes every picture darker by eps, which sets bright ones of class 0 right."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return (images - eps).clamp(0, 1)


def test_pictures_that_an_attack_sets_right_are_never_left_right(measure: Measure) -> None:
    wrong = [(0, level, "test") for level in (146, 147, 148, 149)]
    run = measure([*right(140, 141, 142, 143), *wrong], bright(Bright), attack=Darkening(eps=(0.1,)))
    assert run.metric("attack", "clean_accuracy", "test").value == 0.5
    assert run.metric("attack", "robust_accuracy", "test", eps=0.1).value == 0.0
    assert [found(run, name) for name in ("fgsm", "unbounded")] == [(0.0, "pass"), (0.0, "pass")]


@pytest.mark.parametrize(("left", "verdict"), [(4, "pass"), (5, "flag")])
def test_an_attack_is_beaten_by_more_than_chance(measure: Measure, left: int, verdict: str) -> None:
    """One-sided sign test: 5 pictures more of 5 that differ have p = 1/32, 4 of 4 have 1/16."""
    run = measure(right(*[250] * left, *[140] * (8 - left)), bright(Bright), attack=Choosy(eps=(0.6,)))
    assert found(run, "fgsm") == (0.0, verdict)


def test_an_attack_that_does_better_than_the_reference_is_never_called_beaten(measure: Measure) -> None:
    run = measure(right(*[147] * 8), bright(Bright), attack=Best(eps=(0.1,)))
    assert found(run, "noise") == (1.0, "pass")
    assert run.artifact("attack").warnings == []


class Fading(Best):
    """In the larger ball it misses the brightest pictures."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        moved = super().perturb(network, images, labels, eps, generator)
        missed = (images.mean(dim=(1, 2, 3), keepdim=True) > 0.6) & (eps > 0.25)
        return torch.where(missed, images, moved)


@pytest.mark.parametrize(("missed", "verdict"), [(4, "pass"), (5, "flag")])
def test_survivors_in_the_larger_ball_are_counted_against_chance(measure: Measure, missed: int, verdict: str) -> None:
    levels = [165] * missed + [140] * (8 - missed)
    run = measure(right(*levels), bright(Bright), attack=Fading(eps=(0.1, 0.2, 0.3)))
    survivors = [run.metric("attack", "robust_accuracy", "test", eps=eps).value for eps in (0.1, 0.2, 0.3)]
    assert survivors == [missed / 8, 0.0, missed / 8]
    assert found(run, "monotone") == (float(missed == 5), verdict)
    said = [warning for warning in run.artifact("attack").warnings if "More images survive at eps 0.3" in warning]
    assert len(said) == (verdict == "flag")
