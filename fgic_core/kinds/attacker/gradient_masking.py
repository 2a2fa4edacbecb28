"""Checks for gradient masking: signs that a robust accuracy is too good to be true.

After Athalye et al. (2018) and Carlini et al. (2019). They run on a few of the attacked images at the largest eps and
cost, for each, 12 gradients and 24 forward passes beside one more run of the component's own attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.kinds.attacker import reference_attacks as reference
from fgic_core.kinds.attacker.contract import Attacker
from fgic_core.kit.inference import logits_of
from fgic_core.metrics.statistics import proportion
from fgic_core.steps.context import StepContext

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
        split: which pictures they are.
    """

    images: torch.Tensor
    labels: torch.Tensor
    robust: Flags
    eps: float
    split: str = ""


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
    """Record the checks as metrics with a verdict each, and what they find as warnings.

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
        with _count_gradients(network) as gradients:
            moved = perturb(images, labels, reference.whole_cube(images, norm), ctx.generator("masking", "unbounded"))
        judge = _Judge(subset, norm, right, len(gradients) == 1, ctx)
        bar.advance()
        gradient = reference.input_gradient(network, images, labels)
        flat = ~torch.isfinite(gradient).flatten(1).all(dim=1) | (gradient.flatten(1).abs().amax(dim=1) == 0)
        judge.zero_gradient(flat.cpu().numpy())
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
            for other in tried:
                left &= _right(network, other, labels)
            judge.compare(name, words, left)
            bar.advance()
        judge.unbounded(right & _right(network, moved, labels), _classes(network, images))


@contextmanager
def _count_gradients(network: nn.Module) -> Iterator[list[None]]:
    """A list that grows with every forward pass that a gradient can be taken through."""
    import torch

    passes: list[None] = []

    def before(*_: Any) -> None:
        if torch.is_grad_enabled():
            passes.append(None)

    handle = network.register_forward_pre_hook(before)
    try:
        yield passes
    finally:
        handle.remove()


def _right(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Flags:
    flags: Flags = (logits_of(network, images).argmax(dim=1) == labels).cpu().numpy()
    return flags


def _classes(network: nn.Module, images: torch.Tensor) -> int:
    return logits_of(network, images[:1]).shape[1]


@dataclass(frozen=True)
class _Judge:
    """Records what each check measured, and what it means.

    Attributes:
        subset: what is checked.
        norm: that eps is measured in.
        right: which images the network has right before any attack, (n,).
        one_step: whether the component's attack takes a single gradient, so that any attack of many steps beats it.
        ctx: where numbers go.
    """

    subset: Subset
    norm: str
    right: Flags
    one_step: bool
    ctx: StepContext

    def zero_gradient(self, flat: Flags) -> None:
        masked = bool(flat.mean() > FEW)
        self._record("zero_gradient", flat, "flag" if masked else "pass", "images whose loss has no gradient")
        if masked:
            self.ctx.warn(
                f"Gradient masking: for {flat.sum()} of {len(flat)} images the loss has no gradient at all, so that "
                "an attack that follows gradients cannot move. The robust accuracies are too high; use a margin loss."
            )

    def compare(self, name: str, words: str, left: Flags) -> None:
        """Record what a reference attack leaves right, and warn if it beats the component."""
        own = self.subset.robust
        note = f"robust accuracy under {words} at the largest eps; on the same images this attack has {own.mean():.1%}"
        beaten = beats(left, own)
        expected = beaten and self.one_step and name == "margin_pgd"
        if expected:
            note += "; expected of a one-step attack"
        self._record(name, left, "expected" if expected else "flag" if beaten else "pass", note)
        if expected:
            self.ctx.warn(
                f"This attack takes one step, so that its robust accuracies are upper bounds: {words} leave "
                f"{left.sum()} of {len(left)} images right, this attack {own.sum()}. That is expected of a one-step "
                "attack; read the robust accuracy of an attack of many steps."
            )
        elif beaten:
            self.ctx.warn(
                f"A simple attack beats this one: {words} leaves {left.sum()} of {len(left)} images right, this attack "
                f"{own.sum()}. The robust accuracies are too high: the gradients are masked or the attack is too weak."
            )

    def unbounded(self, left: Flags, classes: int) -> None:
        note = "robust accuracy with no bound on the perturbation; a sound attack comes close to 0"
        many = proportion(int(left.sum()), len(left)).low > min(1 / classes, 0.1)
        expected = many and self.one_step
        if expected:
            note += ", but one step of that length may overshoot"
        self._record("unbounded", left, "expected" if expected else "flag" if many else "pass", note)
        if many and not expected:
            self.ctx.warn(
                f"With no bound on the perturbation {left.sum()} of {len(left)} images are still right. An attack that "
                "may draw any picture should fool always: the gradients are masked or the attack is too weak."
            )

    def _record(self, name: str, flags: Flags, verdict: str, note: str) -> None:
        if not self.right.any() and name != "zero_gradient":
            verdict, note = "", f"{note}; no image was right before the attack, so that this tells nothing"
        share = proportion(int(flags.sum()), len(flags))
        self.ctx.metric(
            f"check_{name}",
            share.value,
            split=self.subset.split,
            at={"eps": self.subset.eps, "norm": self.norm},
            n=share.n,
            low=share.low,
            high=share.high,
            note=note,
            verdict=verdict,
        )
