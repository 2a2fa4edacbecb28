"""Checks for gradient masking: signs that a robust accuracy is too good to be true.

After Athalye et al. (2018) and Carlini et al. (2019). They run on a few of the attacked images at the largest eps and
cost, for each, 12 gradients and 24 forward passes beside one more run of the component's own attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.interfaces.attacker import Attacker
from fgic_core.steps import reference_attacks as reference
from fgic_core.steps.context import StepContext
from fgic_core.steps.statistics import proportion

if TYPE_CHECKING:
    import torch
    from torch import nn

    Perturb = Callable[[torch.Tensor, torch.Tensor, float, torch.Generator], torch.Tensor]

Flags = np.ndarray[Any, np.dtype[np.bool_]]

MOST = 32
TRIES = 10
STEPS = 10
#: Share of images without any gradient from which on it is a warning.
FEW = 0.1
CHANCE = 0.05


def how_many(attacked: int) -> int:
    """How many of the attacked images the checks run on: a quarter, at least 8 and at most 32."""
    return min(attacked, MOST, max(8, attacked // 4))


@dataclass(frozen=True)
class Subset:
    """The images that the checks run on.

    Attributes:
        images: (n, 3, h, w).
        labels: (n,).
        robust: whether the component's attack at ``eps`` left each one right, (n,).
        eps: the largest of the sweep.
    """

    images: torch.Tensor
    labels: torch.Tensor
    robust: Flags
    eps: float


def beats(stronger: Flags, weaker: Flags) -> bool:
    """Whether the first attack leaves fewer images right than the second by more than chance.

    Both are flags "still right" on the same images; McNemar's exact test, one-sided, at 5 %.
    """
    from scipy.stats import binomtest

    only_stronger, only_weaker = int((weaker & ~stronger).sum()), int((stronger & ~weaker).sum())
    differ = only_stronger + only_weaker
    return differ > 0 and bool(binomtest(only_stronger, differ, alternative="greater").pvalue < CHANCE)


def not_monotone(robust: dict[float, Flags]) -> list[tuple[float, float]]:
    """Neighbouring eps (smaller, larger) at which the larger ball leaves more images right by more than chance."""
    order = sorted(robust)
    return [(a, b) for a, b in pairwise(order) if beats(robust[a], robust[b])]


def check(component: Attacker, network: nn.Module, subset: Subset, perturb: Perturb, ctx: StepContext) -> None:
    """Record the checks as metrics, and what they find as warnings.

    Args:
        component: for its norm.
        network: in evaluation mode.
        subset: what to check on.
        perturb: the component's attack with its output verified.
        ctx: where numbers go.
    """
    import torch

    images, labels, norm, eps = subset.images, subset.labels, component.norm, subset.eps
    right = _right(network, images, labels)
    with ctx.progress("gradient-masking checks", 5, "checks") as bar:
        gradient = reference.input_gradient(network, images, labels)
        flat = ~torch.isfinite(gradient).flatten(1).all(dim=1) | (gradient.flatten(1).abs().amax(dim=1) == 0)
        _zero_gradient(flat.cpu().numpy(), ctx)
        bar.advance()
        attacks: dict[str, tuple[str, Iterable[torch.Tensor]]] = {
            "fgsm": ("one step of FGSM", [reference.fgsm(network, images, labels, eps, norm)]),
            "noise": (
                f"the best of {TRIES} random perturbations",
                reference.noise(images, eps, norm, TRIES, ctx.generator("masking", "noise")),
            ),
            "margin_pgd": (
                f"{STEPS} steps on the margin loss",
                reference.margin_pgd(network, images, labels, eps, norm, STEPS),
            ),
        }
        for name, (words, tried) in attacks.items():
            left = right.copy()
            for moved in tried:
                left &= _right(network, moved, labels)
            _compare(name, words, left, subset, ctx)
            bar.advance()
        everything = reference.whole_cube(images, norm)
        moved = perturb(images, labels, everything, ctx.generator("masking", "unbounded"))
        _unbounded(right & _right(network, moved, labels), ctx, _classes(network, images))
        bar.advance()


def _right(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Flags:
    import torch

    with torch.no_grad():
        flags: Flags = (network(images).argmax(dim=1) == labels).cpu().numpy()
    return flags


def _classes(network: nn.Module, images: torch.Tensor) -> int:
    import torch

    with torch.no_grad():
        return int(network(images[:1]).shape[1])


def _record(ctx: StepContext, name: str, flags: Flags, note: str) -> float:
    share = proportion(int(flags.sum()), len(flags))
    ctx.metric(name, share.value, n=share.n, low=share.low, high=share.high, unit="fraction", note=note)
    return share.low


def _zero_gradient(flat: Flags, ctx: StepContext) -> None:
    _record(ctx, "check_zero_gradient", flat, "images whose loss has no gradient at any pixel")
    if flat.mean() > FEW:
        ctx.warn(
            f"Gradient masking: for {flat.sum()} of {len(flat)} images the loss has no gradient at all, so that an "
            "attack that follows gradients cannot move. The robust accuracies are too high; use a margin loss."
        )


def _compare(name: str, words: str, left: Flags, subset: Subset, ctx: StepContext) -> None:
    """Record what a reference attack leaves right, and warn if it beats the component."""
    own = subset.robust
    note = f"robust accuracy under {words} at the largest eps; on the same images this attack has {own.mean():.1%}"
    _record(ctx, f"check_{name}", left, note)
    if beats(left, own):
        ctx.warn(
            f"A simple attack beats this one: {words} leaves {left.sum()} of {len(left)} images right, this attack "
            f"{own.sum()}. The robust accuracies are too high: the gradients are masked or the attack is too weak."
        )


def _unbounded(left: Flags, ctx: StepContext, classes: int) -> None:
    note = "robust accuracy with no bound on the perturbation; a sound attack comes close to 0"
    low = _record(ctx, "check_unbounded", left, note)
    if low > min(1 / classes, 0.1):
        ctx.warn(
            f"With no bound on the perturbation {left.sum()} of {len(left)} images are still right. An attack that "
            "may draw any picture should fool always: the gradients are masked or the attack is too weak."
        )
