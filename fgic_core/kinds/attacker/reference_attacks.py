"""The core's own plain attacks, which every attacker is compared with, and distances in a norm.

They are written apart from any plugin on purpose: a mistake in a plugin's attack must not repeat itself in the check.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

Norm = Literal["Linf", "L2"]

#: Half a float32 rounding step of a number in [0.5, 1].
_ROUNDING = 6e-8


def distances(moved: torch.Tensor, images: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Length of each image's perturbation over all pixels and channels, (n,) float64."""
    offset = (moved.detach().double() - images.detach().double()).flatten(1)
    return offset.abs().amax(dim=1) if norm == "Linf" else offset.norm(dim=1)


def tolerance(images: torch.Tensor, norm: Norm) -> float:
    """How much a distance may exceed eps because pixels are float32 numbers."""
    pixels = images[0].numel()
    return 1e-6 + _ROUNDING * (1.0 if norm == "Linf" else sqrt(pixels))


def whole_cube(images: torch.Tensor, norm: Norm) -> float:
    """The eps whose ball holds every image there is."""
    return 1.0 if norm == "Linf" else sqrt(images[0].numel())


def input_gradient(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, loss: Literal["ce", "margin"] = "ce"
) -> torch.Tensor:
    """Gradient of each image's loss with respect to its pixels, like ``images``."""
    import torch
    from torch.nn import functional

    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        logits = network(leaf)
        if loss == "ce":
            total = functional.cross_entropy(logits, labels, reduction="sum")
        else:
            right = logits.gather(1, labels[:, None]).squeeze(1)
            total = (logits.scatter(1, labels[:, None], float("-inf")).amax(dim=1) - right).sum()
        if not total.requires_grad:  # the logits do not depend on the pixels in a way that can be differentiated
            return torch.zeros_like(images)
        (found,) = torch.autograd.grad(total, leaf, allow_unused=True)
    return torch.zeros_like(images) if found is None else found


def fgsm(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float, norm: Norm) -> torch.Tensor:
    """One step of length eps up the cross-entropy."""
    return _project(images + eps * _direction(input_gradient(network, images, labels), norm), images, eps, norm)


def margin_pgd(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float, norm: Norm, steps: int = 10
) -> Iterator[torch.Tensor]:
    """Every iterate of a gradient ascent on the margin, from the images themselves."""
    current = images
    for _ in range(steps):
        step = 2.5 * eps / steps * _direction(input_gradient(network, current, labels, "margin"), norm)
        current = _project(current + step, images, eps, norm)
        yield current


def noise(
    images: torch.Tensor, eps: float, norm: Norm, tries: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Random places on the ball's surface (its corners in Linf), which need no gradient."""
    import torch

    for _ in range(tries):
        drawn = torch.randn(images.shape, generator=generator).to(images)
        yield _project(images + eps * _direction(drawn, norm), images, eps, norm)


def _direction(gradient: torch.Tensor, norm: Norm) -> torch.Tensor:
    finite = gradient.nan_to_num(0.0, 0.0, 0.0)
    return finite.sign() if norm == "Linf" else finite / _length(finite)


def _project(moved: torch.Tensor, images: torch.Tensor, eps: float, norm: Norm) -> torch.Tensor:
    offset = moved - images
    offset = offset.clamp(-eps, eps) if norm == "Linf" else offset * (eps / _length(offset)).clamp_max(1.0)
    return (images + offset).clamp(0.0, 1.0)


def _length(tensor: torch.Tensor) -> torch.Tensor:
    lengths: torch.Tensor = tensor.flatten(1).norm(dim=1)
    return lengths.clamp_min(1e-12)[:, None, None, None]
