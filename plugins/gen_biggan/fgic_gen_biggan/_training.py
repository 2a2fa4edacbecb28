"""Both networks, their optimizers, standing statistics, signs of collapse; the loop is fgic-openmmlab's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fgic_openmmlab import Order, Task, make_loader, scope, train, wrapped
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from fgic_core import Context, Dataset
from fgic_core.kit import seeded
from fgic_gen_biggan._collapse import CLASSES, PICTURES, Watch, variety
from fgic_gen_biggan._data import Passes, Pictures, steps_per_epoch
from fgic_gen_biggan._gan import Discriminator, Gan, WarmAverage, settle, stand
from fgic_gen_biggan._network import truncated_normal

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator
    from fgic_gen_biggan._network import Network

#: Batches that BatchNorm's standing statistics are taken from.
_STANDING = 8


def train_network(options: BigganGenerator, network: Network, data: Dataset, ctx: Context) -> None:
    """Train, and leave the chosen epoch's averaged generator in the network.

    Raises:
        PluginError: a loss is no longer finite.
    """
    with scope("mmagic") as name:
        with seeded(ctx, "discriminator"):
            gan = make_gan(options, network, data)
        pictures = Pictures(options, data, ctx)
        order = Passes(len(data), steps_per_epoch(options, len(data)) * options.batch_size, ctx)
        network.generator = gan.generator_ema.module
        loader = make_loader(pictures, order, options.batch_size, ctx)
        task = Adversaries(options, network, data, pictures, order, ctx)
        train(task, "mmagic", name, gan, loader, make_optimizers(options, gan, ctx.device))
    network.generator.eval()


def make_gan(options: BigganGenerator, network: Network, train: Dataset) -> Gan:
    """MMagic's BigGAN around the network's generator, with a discriminator from scratch.

    It is built before the generator's first step: what spectral norm leaves behind then cannot be copied.
    """
    with scope("mmagic"):
        discriminator = Discriminator(
            options.augment,
            input_scale=options.resolution,
            num_classes=network.arguments["num_classes"],
            base_channels=network.arguments["base_channels"],
            sn_style="torch",
        )
        settle(discriminator)
        return Gan(
            np.bincount(train.labels, minlength=len(train.classes)),
            generator=network.generator,
            discriminator=discriminator,
            generator_steps=1,
            discriminator_steps=options.d_steps,
            ema_config={"type": WarmAverage, "momentum": 1 - options.ema_decay},
        )


def make_optimizers(options: BigganGenerator, gan: Gan, device: str = "cpu") -> OptimWrapperDict:
    """Adam for both networks, each with its rate."""

    def adam(model: nn.Module, lr: float) -> OptimWrapper:
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=options.betas, eps=1e-8)
        return wrapped(optimizer, options, device, accumulative_counts=options.accumulate)

    return OptimWrapperDict(
        generator=adam(gan.generator, options.lr_g), discriminator=adam(gan.discriminator, options.lr_d)
    )


class Adversaries(Task):
    """Trains a generator against a discriminator, and watches for collapse."""

    score = "FID"
    better = "min"
    measured_first = True

    def __init__(
        self,
        options: BigganGenerator,
        network: Network,
        data: Dataset,
        pictures: Pictures,
        order: Order,
        ctx: Context,
    ) -> None:
        super().__init__(options, network, network.generator, order, ctx)
        self._options, self._network, self._pictures = options, network, pictures
        counts = np.bincount(data.labels, minlength=len(data.classes))
        several = np.flatnonzero(counts >= 2)[:CLASSES]
        count = int(min(counts[several].min(initial=PICTURES), PICTURES))
        rows = [np.flatnonzero(data.labels == label)[:count] for label in several]
        real = [[options.prepare(data.crop(int(row))).numpy() for row in some] for some in rows]
        self._watch = Watch(ctx, variety(np.array(real)) if len(several) else 0.0)
        self._counts = torch.from_numpy(counts.astype(np.float64))
        self._slots = np.repeat(np.flatnonzero(counts)[:CLASSES], PICTURES).tolist()

    def begin(self, epoch: int) -> None:
        super().begin(epoch)
        self._pictures.epoch = epoch

    def losses(self, outputs: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
        found = {name: value for name, value in outputs.items() if torch.is_tensor(value)}
        return {"loss_disc" if name == "loss" else name: value for name, value in found.items()}

    def rates(self, wrappers: Mapping[str, OptimWrapper]) -> Mapping[str, float]:
        return {}

    def advice(self, rates: Mapping[str, float]) -> str:
        return f"Try lower rates (lr_g is {self._options.lr_g:g}, lr_d {self._options.lr_d:g}), or a clip_norm."

    def settle(self, epoch: int) -> None:
        """Standing statistics for the averaged generator, from the noise and the classes that it is asked for."""
        numbers, size = self.ctx.generator("standing", epoch), self._options.batch_size
        batches = []
        for _ in range(_STANDING):
            noise = truncated_normal((size, self._network.generator.noise_size), self._options.truncation, numbers)
            labels = torch.multinomial(self._counts, size, replacement=True, generator=numbers)
            batches.append((noise.to(self.ctx.device), labels.to(self.ctx.device)))
        stand(self._network.generator, batches)

    def measured(self, epoch: int, losses: Mapping[str, float], scores: Mapping[str, float]) -> None:
        self._watch.see(epoch, losses, self._variety(), scores)

    def _variety(self) -> float:
        """`variety` of made pictures, the same at every call but for the network."""
        seeds = list(range(len(self._slots)))
        made = self._network.sample(self._slots, seeds)
        return variety(made.reshape(-1, PICTURES, *made.shape[1:]))

    def state_dict(self) -> dict[str, Any]:
        return self._watch.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._watch.load_state_dict(state)
