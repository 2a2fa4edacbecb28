"""Differentiable augmentation of what a discriminator sees, real and made alike.

Zhao, Liu, Lin, Zhu and Han: *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020. With few
pictures a discriminator learns them by heart; augmenting both kinds, and letting gradients through, keeps it from that
without the augmentation showing in what is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

#: The largest shift as a share of the side, and the side of the square that is cut out.
SHIFT, CUTOUT = 0.125, 0.5


def augment(pictures: Tensor, policy: Sequence[str]) -> Tensor:
    """Pictures changed at random, each by itself; gradients go through.

    Args:
        pictures: (n, 3, h, w) in [-1, 1]; colours may leave that range.
        policy: any of ``color``, ``translation`` and ``cutout``, done in that order.
    """
    for name, change in POLICIES.items():
        if name in policy:
            pictures = change(pictures)
    return pictures


def color(pictures: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation by a factor of 0 to 2, contrast by one of 0.5 to 1.5."""
    brightness, saturation, contrast = (_uniform(pictures) for _ in range(3))
    pictures = pictures + (brightness - 0.5)
    grey = pictures.mean(dim=1, keepdim=True)
    pictures = grey + (pictures - grey) * (saturation * 2)
    middle = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (pictures - middle) * (contrast + 0.5)


def translation(pictures: Tensor) -> Tensor:
    """Shifted by up to `SHIFT` of each side; what comes in is 0, the middle of the range."""
    height, width = pictures.shape[2:]
    down, right = round(height * SHIFT), round(width * SHIFT)
    y, x = _integers(pictures, 2 * down + 1) - down, _integers(pictures, 2 * right + 1) - right
    padded = functional.pad(pictures, (1, 1, 1, 1))  # one border of zeros that everything outside is taken from
    rows = (torch.arange(height, device=pictures.device) + y[:, None] + 1).clamp(0, height + 1)
    columns = (torch.arange(width, device=pictures.device) + x[:, None] + 1).clamp(0, width + 1)
    which = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def cutout(pictures: Tensor) -> Tensor:
    """A square of half of the side, centred anywhere, set to 0."""
    height, width = pictures.shape[2:]
    tall, wide = round(height * CUTOUT), round(width * CUTOUT)
    y, x = _integers(pictures, height + 1) - tall // 2, _integers(pictures, width + 1) - wide // 2
    rows = torch.arange(height, device=pictures.device)
    columns = torch.arange(width, device=pictures.device)
    down = (rows >= y[:, None]) & (rows < y[:, None] + tall)
    across = (columns >= x[:, None]) & (columns < x[:, None] + wide)
    hole = (down[:, :, None] & across[:, None, :]).unsqueeze(1)
    return pictures.masked_fill(hole, 0.0)


POLICIES: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def _uniform(pictures: Tensor) -> Tensor:
    return torch.rand(len(pictures), 1, 1, 1, device=pictures.device, dtype=pictures.dtype)


def _integers(pictures: Tensor, below: int) -> Tensor:
    return torch.randint(below, (len(pictures),), device=pictures.device)
