"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from fgic_core import BestEpoch, Context, Dataset, PluginError
from fgic_gen_diffusers._data import Source, in_batches
from fgic_gen_diffusers._network import Network
from fgic_gen_diffusers._noise import STEPS
from fgic_gen_diffusers._sampling import Denoiser
from fgic_gen_diffusers._weights import WHERE

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator


def train_network(
    options: DiffusionGenerator, trained: Network, averaged: Network, train: Dataset, ctx: Context
) -> None:
    """Train a network in place, and leave the average of the chosen epoch's weights in the other.

    Raises:
        PluginError: the loss is no longer finite.
    """
    source = Source(options, train, ctx)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    best = BestEpoch(averaged, "FID", options.use_epoch, best="min")
    fitted = Denoiser(options, averaged)
    if state := ctx.resume():
        trained.load_state_dict(state["trained"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        best.load_state_dict(state["best"])
    else:
        ctx.evaluate(fitted, 0)
    for epoch in ctx.epochs(options.epochs):
        trained.train()
        loss = one_epoch(options, trained, averaged, optimizer, source, train, ctx, epoch)
        ctx.log(epoch, loss=loss, lr=optimizer.param_groups[0]["lr"])
        best.see(epoch, ctx.evaluate(fitted, epoch))
        ctx.checkpoint(
            epoch,
            {
                "trained": trained.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": best.state_dict(epoch),
            },
        )
    best.restore()


def one_epoch(
    options: DiffusionGenerator,
    trained: Network,
    averaged: Network,
    optimizer: torch.optim.Optimizer,
    source: Source,
    train: Dataset,
    ctx: Context,
    epoch: int,
) -> float:
    """One pass over the train split; the mean loss of its pictures."""
    # Kept on the device: reading it at each step would have the processor wait for it.
    loss_sum = torch.zeros((), device=ctx.device)
    steps = math.ceil(len(train) / options.batch_size)
    with ctx.progress(f"epoch {epoch}/{options.epochs}", len(train)) as progress:
        for step, (x0, labels, t, eps) in enumerate(batches(options, trained, source, train, ctx, epoch)):
            done = (epoch - 1) * steps + step
            for group in optimizer.param_groups:
                group["lr"] = rate(options, done, steps * options.epochs)
            with torch.autocast(x0.device.type, torch.bfloat16, enabled=options.precision == "bf16-mixed"):
                predicted = trained(trained.noise.add(x0, eps, t), t.to(x0.device), labels)
            loss = functional.mse_loss(predicted.float(), trained.noise.target(x0, eps, t))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if options.clip_norm is not None:
                nn.utils.clip_grad_norm_(trained.parameters(), options.clip_norm)
            optimizer.step()
            average(averaged, trained, decay(options.ema_decay, done))
            loss_sum += loss.detach() * len(x0)
            progress.advance(len(x0))
    mean = loss_sum.item() / len(train)
    if not math.isfinite(mean):
        raise PluginError(
            f"the loss of epoch {epoch} is not finite ({mean})",
            where=WHERE,
            hint=f"Try a lower lr (it is {options.lr:g}), more warmup_iters, a clip_norm, or precision: 32-true.",
        )
    return mean


def batches(
    options: DiffusionGenerator, network: Network, source: Source, train: Dataset, ctx: Context, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """What each step of an epoch learns from; all of it depends on the step's seed and the epoch alone.

    Yields:
        Pictures x_0 (n, 3, h, w) in [-1, 1], some of them flipped; labels (n,), some of them the null class; steps t
        (n,), on the CPU; noise eps (n, 3, h, w).
    """
    order = [int(row) for row in ctx.rng("shuffle", epoch).permutation(len(train))]
    flipped = torch.from_numpy(ctx.rng("flip", epoch).random(len(train)) < options.flip)
    hidden = torch.from_numpy(ctx.rng("labels", epoch).random(len(train)) < options.drop_labels)
    labels = torch.from_numpy(train.labels.copy()).masked_fill(hidden, network.null)
    generator = ctx.generator("noise", epoch)
    rows = in_batches(order, options.batch_size)
    for some, x0 in zip(rows, source.batches(rows, epoch), strict=True):
        t = torch.randint(0, STEPS, (len(some),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        mirrored = torch.where(flipped[some].reshape(-1, 1, 1, 1).to(x0.device), x0.flip(-1), x0)
        yield mirrored, labels[some].to(x0.device), t, eps


def rate(options: DiffusionGenerator, step: int, steps: int) -> float:
    """The learning rate of a training step.

    Args:
        options: of the generator.
        step: counted from 0 over the whole training.
        steps: of the whole training; at most a tenth of them are warm-up.
    """
    warmup = min(options.warmup_iters, steps // 10)
    factor = (1 + math.cos(math.pi * step / steps)) / 2 if options.schedule == "cosine" else 1.0
    return options.lr * factor * min((step + 1) / (warmup + 1), 1.0)


def decay(most: float, step: int) -> float:
    """The decay of the average at a step from 0: less at first, lest a short training keep its first weights."""
    return min(most, (1 + step) / (10 + step))


@torch.no_grad()
def average(averaged: nn.Module, trained: nn.Module, keep: float) -> None:
    """Move the average towards the weights by ``1 - keep``. (The UNet has no buffers.)"""
    for old, new in zip(averaged.parameters(), trained.parameters(), strict=True):
        old.lerp_(new, 1 - keep)
