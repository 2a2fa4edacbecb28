"""The one training loop: resume, schedule, clipping, precision, best epoch, early stopping, log, checkpoint."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import distributed, nn

from fgic_core.errors import PluginError
from fgic_core.kit.batches import Items, check_shares, loader, shuffled
from fgic_core.kit.best import BestEpoch
from fgic_core.kit.devices import make_fabric
from fgic_core.kit.options import Trainable
from fgic_core.kit.schedule import rate_factor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from fgic_core.kinds.context import Context

#: After so many steps a loss that is not finite is noticed, where looking at each would have the processor wait.
_LOOK = 16


class Learner(ABC):
    """What `learn` trains: a network, what it is trained on, its loss, and by what an epoch is chosen.

    Attributes:
        network: whose parameters are trained, as far as they require a gradient.
        fitted: what `fit` will return, which is measured after each epoch.
        kept: whose weights of the best epoch are kept; the network's, unless an average of them is used.
        score: the quantity that an epoch is chosen by.
        better: which score is: the largest, or (of ``FID``) the smallest.
        measured_first: measure before the first epoch too, as a generator is.
        collate: makes a batch of items, in place of torch's way.
        fabric: set by `learn`.
    """

    score: str = "accuracy"
    better: Literal["max", "min"] = "max"
    measured_first: bool = False
    collate: Callable[[list[Any]], Any] | None = None
    fabric: Fabric

    def __init__(self, network: nn.Module, fitted: object, kept: nn.Module | None = None) -> None:
        self.network, self.fitted, self.kept = network, fitted, kept if kept is not None else network

    @abstractmethod
    def items(self, epoch: int) -> Items:
        """What is trained on in an epoch, as many in each."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor | Mapping[str, torch.Tensor]:
        """The loss of a batch, a mean over its pictures; or ``loss`` with other numbers that are logged beside it.

        Args:
            model: the network, to be called: it computes in the precision and on the devices that are asked for.
            batch: of items, on the device.
        """

    def training_mode(self) -> None:
        """Set what is trained to training mode."""
        self.network.train()

    def stepped(self, step: int) -> None:  # noqa: B027 - most have nothing to do
        """The weights were updated; ``step`` counts from 0 over the whole training."""


def learn(options: Trainable, learner: Learner, ctx: Context) -> None:
    """Train in place, on the context's device or devices, and leave the chosen epoch's weights in ``learner.kept``.

    A training that was interrupted goes on after its last checkpoint, and ends as if it had not been.

    Raises:
        PluginError: the loss is no longer finite; the precision or the number of devices cannot be had, or a batch
            is too small for them.
    """
    network = learner.network
    fabric = learner.fabric = make_fabric(options.precision, ctx)
    fabric.launch()
    optimizer = make_optimizer(options, network)
    model, stepper = fabric.setup(network, optimizer)
    best = BestEpoch(learner.kept, learner.score, options.keep, learner.better)
    if state := ctx.resume():
        network.load_state_dict(state["network"])
        if learner.kept is not network:
            learner.kept.load_state_dict(state["kept"])
        optimizer.load_state_dict(state["optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
        best.load_state_dict(state["best"])
    elif learner.measured_first:
        ctx.evaluate(learner.fitted, 0)
    for epoch in ctx.epochs(options.epochs):
        if best.waited_for(options.early_stopping):
            break
        learner.training_mode()
        numbers = _one_epoch(options, learner, model, stepper, ctx, epoch)
        ctx.log(epoch, **numbers, lr=optimizer.param_groups[0]["lr"])
        network.eval()
        best.see(epoch, _measure(learner, ctx, epoch))
        ctx.checkpoint(
            epoch,
            {
                "network": network.state_dict(),
                "kept": learner.kept.state_dict() if learner.kept is not network else None,
                "optimizer": optimizer.state_dict(),
                "precision": fabric.strategy.precision.state_dict(),
                "best": best.state_dict(epoch),
            },
        )
    best.restore()
    for parameter in network.parameters():
        parameter.grad = None
    network.eval()


def _one_epoch(
    options: Trainable, learner: Learner, model: nn.Module, optimizer: Any, ctx: Context, epoch: int
) -> dict[str, float]:
    """One pass; with several devices each takes its share of every batch.

    Returns:
        Means over the pictures, of the batches as they were trained on, with the weights of that moment.
    """
    fabric, items = learner.fabric, learner.items(epoch)
    check_shares(len(items), options.batch_size, ctx)
    batches = shuffled(len(items), options.batch_size, ctx, epoch)
    done = (epoch - 1) * len(batches)
    sums: dict[str, torch.Tensor] = {}
    with ctx.progress(f"epoch {epoch}/{options.epochs}", len(items)) as progress:
        read = loader(items, batches, ctx, epoch, learner.collate)
        for step, (rows, batch) in enumerate(zip(batches, read, strict=True)):
            factor = rate_factor(options, epoch, done + step, len(batches) * options.epochs)
            for group in optimizer.param_groups:
                group["lr"] = options.lr * factor
            found = _loss(options, learner, model, fabric.to_device(batch), len(rows[ctx.rank :: ctx.devices]))
            numbers = found if isinstance(found, Mapping) else {"loss": found}
            share = len(rows[ctx.rank :: ctx.devices])
            # Kept on the device: reading them at each step would have the processor wait for it.
            for name, value in numbers.items():
                sums[name] = sums.get(name, torch.zeros((), device=fabric.device)) + value.detach() * share
            if fabric.world_size == 1 and (fabric.device.type == "cpu" or step % _LOOK == 0):
                _check(sums["loss"].item(), options, epoch)
            optimizer.zero_grad()
            # The gradients of the devices are averaged: each counts by its share of the batch's pictures.
            fabric.backward(numbers["loss"] * (share * ctx.devices / len(rows)))
            if options.clip_norm is not None:
                fabric.clip_gradients(model, optimizer, max_norm=options.clip_norm, error_if_nonfinite=False)
            optimizer.step()
            learner.stepped(done + step)
            progress.advance(len(rows))
    totals = fabric.all_reduce(torch.stack([value.float() for value in sums.values()]), reduce_op="sum")
    means = {name: total.item() / len(items) for name, total in zip(sums, totals, strict=True)}
    _check(means["loss"], options, epoch)
    return means


def _loss(
    options: Trainable, learner: Learner, model: nn.Module, batch: Any, count: int
) -> torch.Tensor | Mapping[str, torch.Tensor]:
    """The loss of a batch of so many pictures.

    Raises:
        PluginError: it is one picture, and batch norm has no second value to compare it with.
    """
    try:
        return learner.loss(model, batch)
    except ValueError as error:
        if count > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise PluginError(
            f"batch norm cannot learn from one picture at a time: batch_size is {options.batch_size}",
            hint="Set batch_size to 2 or more for each device, and train on 2 pictures or more.",
        ) from error


def _check(loss: float, options: Trainable, epoch: int) -> None:
    if not math.isfinite(loss):
        raise PluginError(
            f"the loss of epoch {epoch} is not finite ({loss})",
            hint=f"Try a lower lr (it is {options.lr:g}), a warmup, a clip_norm, or precision: 32-true.",
        )


def _measure(learner: Learner, ctx: Context, epoch: int) -> Mapping[str, float]:
    """Have the core measure after an epoch.

    With several devices each process measures, which takes no longer than waiting for one. All have the first one's
    running statistics then, and go by its score: none may stop, or keep an epoch, where the others do not.
    """
    fabric = learner.fabric
    if fabric.world_size == 1:
        return ctx.evaluate(learner.fitted, epoch)
    for buffer in learner.network.buffers():
        distributed.broadcast(buffer, src=0)
    score = torch.tensor(ctx.evaluate(learner.fitted, epoch).get(learner.score, math.nan), dtype=torch.float64)
    score = score.to(fabric.device)
    distributed.broadcast(score, src=0)
    return {} if score.isnan() else {learner.score: score.item()}


def make_optimizer(options: Trainable, network: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW over what is to be trained; biases and norms are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
    return torch.optim.AdamW(groups, lr=options.lr)
