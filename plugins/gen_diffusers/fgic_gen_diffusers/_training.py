"""What the network learns from and by what loss, and the average of its weights; the loop is the kit's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fgic_core import Context, Dataset
from fgic_core.kit import Items, KeptPictures, Learner
from fgic_gen_diffusers._network import Network
from fgic_gen_diffusers._noise import STEPS
from fgic_gen_diffusers._sampling import Denoiser

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator

#: A picture (uint8), its label or the null class's, the step of its noise, and the noise.
Item = tuple[torch.Tensor, int, int, torch.Tensor]


class Denoising(Learner):
    """Trains a network to take noise away, and keeps the average of its weights in another one."""

    score = "FID"
    better = "min"
    measured_first = True

    def __init__(
        self, options: DiffusionGenerator, trained: Network, averaged: Network, train: Dataset, ctx: Context
    ) -> None:
        super().__init__(trained, Denoiser(options, averaged), averaged)
        self._options, self._train, self._ctx = options, train, ctx
        self._trained, self._averaged = trained, averaged
        self._pictures = options.pictures(train, ctx)

    def items(self, epoch: int) -> Items:
        return Noisy(self._options, self._pictures, self._train, self._trained.null, self._ctx, epoch)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        pictures, labels, t, eps = batch
        noise, x0 = self._trained.noise, pictures.float().div_(127.5).sub_(1)
        predicted = model(noise.add(x0, eps, t), t, labels)
        return functional.mse_loss(predicted.float(), noise.target(x0, eps, t))

    def stepped(self, step: int) -> None:
        average(self._averaged, self._trained, decay(self._options.ema_decay, step))


class Noisy:
    """The pictures of one epoch, some flipped, some without their class, each with the noise to put on it.

    All of it depends on the step's seed, the epoch and the row alone.
    """

    def __init__(
        self,
        options: DiffusionGenerator,
        pictures: KeptPictures,
        train: Dataset,
        null: int,
        ctx: Context,
        epoch: int,
    ) -> None:
        self._options, self._pictures, self._labels, self._null = options, pictures, train.labels, null
        self._ctx, self._epoch = ctx, epoch

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, row: int) -> Item:
        rng = self._ctx.rng("augment", self._epoch, row)
        flipped, hidden = rng.random(2) < (self._options.flip, self._options.drop_labels)
        pixels = self._pictures[row]
        picture = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1]) if flipped else pixels.copy())
        label = self._null if hidden else int(self._labels[row])
        noise = self._ctx.generator("noise", self._epoch, row)
        t = int(torch.randint(0, STEPS, (), generator=noise))
        return picture, label, t, torch.randn(picture.shape, generator=noise)


def decay(most: float, step: int) -> float:
    """The decay of the average at a step from 0: less at first, lest a short training keep its first weights."""
    return min(most, (1 + step) / (10 + step))


@torch.no_grad()
def average(averaged: nn.Module, trained: nn.Module, keep: float) -> None:
    """Move the average towards the weights by ``1 - keep``. (The UNet has no buffers.)"""
    for old, new in zip(averaged.parameters(), trained.parameters(), strict=True):
        old.lerp_(new, 1 - keep)
