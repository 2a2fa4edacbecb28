"""The training: MMEngine's Runner with MMagic's step, in a loop that asks fgic's context for epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.visualization import Visualizer
from torch import nn

from fgic_core import BestEpoch, Context, Dataset, PluginError
from fgic_core.openmmlab import QuietRunner, scope
from fgic_gen_biggan._collapse import CLASSES, PICTURES, Watch, variety
from fgic_gen_biggan._data import Order, Pictures, make_loader, steps_per_epoch
from fgic_gen_biggan._gan import Discriminator, Gan, WarmAverage, settle, stand
from fgic_gen_biggan._mmagic import WHERE
from fgic_gen_biggan._network import truncated_normal

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator
    from fgic_gen_biggan._network import Network

#: Batches that BatchNorm's standing statistics are taken from.
_STANDING = 8


def train_network(options: BigganGenerator, network: Network, train: Dataset, ctx: Context) -> None:
    """Train, and leave the chosen epoch's averaged generator in the network.

    Raises:
        PluginError: a loss is no longer finite.
    """
    with scope("mmagic") as name, TemporaryDirectory(prefix="fgic-biggan-") as folder:
        gan = make_gan(options, network, train)
        pictures = Pictures(options, train, ctx)
        steps = steps_per_epoch(options, len(train))
        order = Order(len(train), steps * options.batch_size, ctx)
        network.generator = gan.generator_ema.module
        runner = QuietRunner(
            device=ctx.device,
            model=gan,
            work_dir=folder,
            train_dataloader=make_loader(pictures, order, options.batch_size, ctx),
            train_cfg={"type": Epochs, "max_epochs": options.epochs},
            optim_wrapper=make_optimizers(options, gan),
            default_scope="mmagic",
            experiment_name=name,
            default_hooks={
                "logger": None,
                "checkpoint": None,
                "timer": None,
                "sampler_seed": None,
                "param_scheduler": None,
            },
            custom_hooks=[Steps(options, steps * options.batch_size, ctx)],
            visualizer=Visualizer.get_instance(name),  # built: MMagic's own ones need packages
            log_level="CRITICAL",
        )
        runner.task = Task(options, network, train, pictures, order, ctx)
        runner.train()
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


def make_optimizers(options: BigganGenerator, gan: Gan) -> OptimWrapperDict:
    """Adam for both networks, each with its rate."""

    def wrapped(model: nn.Module, lr: float) -> OptimWrapper:
        adam = torch.optim.Adam(model.parameters(), lr=lr, betas=options.betas, eps=1e-8)
        return OptimWrapper(adam, accumulative_counts=options.accumulate)

    return OptimWrapperDict(
        generator=wrapped(gan.generator, options.lr_g), discriminator=wrapped(gan.discriminator, options.lr_d)
    )


class Task:
    """What the loop trains, and how it goes on after an interruption."""

    def __init__(
        self,
        options: BigganGenerator,
        network: Network,
        train: Dataset,
        pictures: Pictures,
        order: Order,
        ctx: Context,
    ) -> None:
        self.options, self.network, self.ctx, self.pictures, self.order = options, network, ctx, pictures, order
        self.best = BestEpoch(network.generator, "FID", options.use_epoch, best="min")
        counts = np.bincount(train.labels, minlength=len(train.classes))
        several = np.flatnonzero(counts >= 2)[:CLASSES]
        count = int(min(counts[several].min(initial=PICTURES), PICTURES))
        rows = [np.flatnonzero(train.labels == label)[:count] for label in several]
        real = [[options.prepare(train.image(int(row))).numpy() for row in some] for some in rows]
        self.watch = Watch(ctx, variety(np.array(real)) if len(several) else 0.0)
        self._counts = torch.from_numpy(counts.astype(np.float64))
        self._slots = np.repeat(np.flatnonzero(counts)[:CLASSES], PICTURES).tolist()

    def stand(self, epoch: int) -> None:
        """Standing statistics for the averaged generator, from the noise and the classes that it is asked for."""
        numbers, size = self.ctx.generator("standing", epoch), self.options.batch_size
        batches = []
        for _ in range(_STANDING):
            noise = truncated_normal((size, self.network.generator.noise_size), self.options.truncation, numbers)
            labels = torch.multinomial(self._counts, size, replacement=True, generator=numbers)
            batches.append((noise.to(self.ctx.device), labels.to(self.ctx.device)))
        stand(self.network.generator, batches)

    def variety(self) -> float:
        """`variety` of made pictures, the same at every call but for the network."""
        seeds = list(range(len(self._slots)))
        made = self.network.sample(self._slots, seeds)
        return variety(made.reshape(-1, PICTURES, *made.shape[1:]))


class Epochs(EpochBasedTrainLoop):
    """A loop over the epochs that the context says are still to do."""

    def run(self) -> nn.Module:
        task: Task = self.runner.task
        ctx, options = task.ctx, task.options
        self.runner.call_hook("before_train")
        if state := ctx.resume():
            self._resume(state)
        else:
            task.stand(0)
            ctx.evaluate(task.network, 0)
        self._count()
        for epoch in ctx.epochs(self._max_epochs):
            if options.early_stopping is not None and task.best.waited >= options.early_stopping:
                break
            task.pictures.epoch = task.order.epoch = epoch
            self.dataloader.generator = ctx.generator("loader", epoch)
            self._epoch = epoch - 1
            self.run_epoch()
            task.stand(epoch)
            scores = ctx.evaluate(task.network, epoch)
            task.best.see(epoch, scores)
            task.watch.see(epoch, self.runner.losses, task.variety(), scores)
            ctx.checkpoint(epoch, self._state(epoch))
        task.best.restore()
        self.runner.call_hook("after_train")
        return self.runner.model

    def _count(self) -> None:
        """The discriminator's wrapper divides by how many gradients it adds up once it knows how many there will be.

        (The generator's is told at each of its updates, by MMagic.)
        """
        self.runner.optim_wrapper["discriminator"].initialize_count_status(
            self.runner.model.discriminator, self._iter, self._max_iters
        )

    def _state(self, epoch: int) -> dict[str, Any]:
        wrappers = self.runner.optim_wrapper
        return {
            "gan": self.runner.model.state_dict(),
            "optimizers": {name: wrappers[name].optimizer.state_dict() for name in ("generator", "discriminator")},
            "step": self._iter,
            "best": self.runner.task.best.state_dict(epoch),
            "watch": self.runner.task.watch.state_dict(),
        }

    def _resume(self, state: Mapping[str, Any]) -> None:
        self.runner.model.load_state_dict(state["gan"])
        for name, kept in state["optimizers"].items():
            self.runner.optim_wrapper[name].optimizer.load_state_dict(kept)
        self._iter = state["step"]
        self.runner.task.best.load_state_dict(state["best"])
        self.runner.task.watch.load_state_dict(state["watch"])


class Steps(Hook):
    """Shows each step's progress and gives the losses of each epoch as the train curve."""

    def __init__(self, options: BigganGenerator, pictures: int, ctx: Context) -> None:
        self._options, self._pictures, self._ctx = options, pictures, ctx
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._bar: Any = None

    def before_train_epoch(self, runner: Runner) -> None:
        self._sums, self._counts = {}, {}
        self._bar = self._ctx.progress(f"epoch {runner.epoch + 1}/{self._options.epochs}", self._pictures)
        self._shown = self._bar.__enter__()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        for name, value in (outputs or {}).items():
            if torch.is_tensor(value):
                # Kept on the device: reading them at each step would have the processor wait for it.
                known = "loss_disc" if name == "loss" else name
                self._sums[known] = self._sums.get(known, 0.0) + value.detach()
                self._counts[known] = self._counts.get(known, 0) + 1
        self._shown.advance(self._options.batch_size)

    def after_train_epoch(self, runner: Runner) -> None:
        self._bar.__exit__(None, None, None)
        epoch = runner.epoch + 1
        values = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise PluginError(
                f"{wrong[0]} of epoch {epoch} is not finite",
                where=WHERE,
                hint=f"Try lower rates (lr_g is {self._options.lr_g:g}, lr_d {self._options.lr_d:g}).",
            )
        runner.losses = values
        self._ctx.log(epoch, **values)
