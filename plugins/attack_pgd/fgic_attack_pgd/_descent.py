"""Gradients with respect to pixels, and steps that stay in the ball and in [0, 1]."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_TINY = 1e-12


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The best wrong logit minus the right one, (n,); above 0 where the network is wrong (Carlini & Wagner 2017)."""
    right = logits.gather(1, labels[:, None]).squeeze(1)
    wrong = logits.scatter(1, labels[:, None], float("-inf")).amax(dim=1)
    return wrong - right


def gradient(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, loss: str) -> torch.Tensor:
    """The gradient of each image's own loss, (n, 3, h, w). No parameter's ``.grad`` is touched."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf, labels = images.detach().clone().requires_grad_(), labels.clone()
        logits = network(leaf)
        each = (
            functional.cross_entropy(logits, labels, reduction="sum") if loss == "ce" else margin(logits, labels).sum()
        )
        (found,) = torch.autograd.grad(each, leaf)
    return found.nan_to_num(0.0, 0.0, 0.0)


def ascend(
    current: torch.Tensor, images: torch.Tensor, direction: torch.Tensor, alpha: float, eps: float, norm: str
) -> torch.Tensor:
    """One step of length ``alpha`` in the norm along ``direction``, back into the ball around ``images`` and [0, 1]."""
    step = direction.sign() if norm == "Linf" else direction / _length(direction).clamp_min(_TINY)
    return _project(current + alpha * step, images, eps, norm)


def random_starts(
    images: torch.Tensor, restarts: int, eps: float, norm: str, generator: torch.Generator
) -> list[torch.Tensor]:
    """``restarts`` tensors like ``images``, each image at a uniformly random place of its ball.

    All that an image needs is drawn before the next one's, so that its start does not depend on the batch it is in.
    """
    shape = (restarts, *images.shape[1:])
    drawn = [_in_ball(shape, eps, norm, generator) for _ in range(len(images))]
    offsets = torch.stack(drawn, dim=1).to(images)
    return [_project(images + offset, images, eps, norm) for offset in offsets]


def score(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How well each image fools, (n,): the margin."""
    with torch.no_grad():
        return margin(network(images), labels)


def _in_ball(shape: tuple[int, ...], eps: float, norm: str, generator: torch.Generator) -> torch.Tensor:
    if norm == "Linf":
        return (torch.rand(shape, generator=generator) * 2 - 1) * eps
    gaussian = torch.randn(shape, generator=generator)
    radius = torch.rand(shape[0], generator=generator) ** (1 / gaussian[0].numel())
    return gaussian / _length(gaussian).clamp_min(_TINY) * (radius[:, None, None, None] * eps)


def _project(moved: torch.Tensor, images: torch.Tensor, eps: float, norm: str) -> torch.Tensor:
    offset = moved - images
    if norm == "Linf":
        offset = offset.clamp(-eps, eps)
    else:
        offset = offset * (eps / _length(offset).clamp_min(_TINY)).clamp_max(1.0)
    # Clipping to [0, 1] only moves a pixel towards the image's own, so it never leaves the ball.
    return (images + offset).clamp(0.0, 1.0)


def _length(tensor: torch.Tensor) -> torch.Tensor:
    """The L2 norm over all but the first dimension, with that many dimensions kept."""
    return tensor.flatten(1).norm(dim=1)[:, None, None, None]
