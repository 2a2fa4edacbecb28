"""The training loop, on Lightning Fabric."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import nn

from fgic_core import BestEpoch, Context, Dataset, PluginError
from fgic_detect_torchvision._data import Objects, Pictures, in_batches, loader, objects
from fgic_detect_torchvision._detection import Finder
from fgic_detect_torchvision._network import Network
from fgic_detect_torchvision._weights import WHERE

if TYPE_CHECKING:
    from fgic_detect_torchvision import TorchvisionDetector

#: Share of the learning rate that warm-up starts at, as in torchvision's training script.
_WARMUP_START = 0.001
#: BatchNorm's statistics of fewer pictures are noise (Wu and He 2018).
_FEW = 4


def train_network(options: TorchvisionDetector, network: Network, train: Dataset, ctx: Context) -> None:
    """Train the network in place, on the context's device, and leave the chosen epoch's weights in it.

    Raises:
        PluginError: there is nothing to learn from, or the loss is no longer finite.
    """
    train, found = learnable(train, options, network, ctx)
    kind, _, number = ctx.device.partition(":")
    fabric = Fabric(accelerator=kind, devices=[int(number or 0)] if kind == "cuda" else 1)
    fabric.launch()
    optimizer = make_optimizer(options, network)
    model, stepper = fabric.setup(network, optimizer)
    best = BestEpoch(network, "mAP", options.keep)
    if state := ctx.resume():
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        best.load_state_dict(state["best"])
    for epoch in ctx.epochs(options.epochs):
        if options.early_stopping is not None and best.waited >= options.early_stopping:
            break
        training_mode(network)
        pictures = Pictures(train, found, options.flip, network.shape.max_size, ctx, epoch)
        numbers = one_epoch(fabric, model, stepper, options, pictures, ctx, epoch)
        ctx.log(epoch, **numbers, lr=optimizer.param_groups[0]["lr"])
        network.eval()
        best.see(epoch, ctx.evaluate(Finder(network, options.objects), epoch))
        ctx.checkpoint(
            epoch,
            {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "best": best.state_dict(epoch)},
        )
    best.restore()
    for parameter in network.parameters():
        parameter.grad = None
    network.eval()


def learnable(
    train: Dataset, options: TorchvisionDetector, network: Network, ctx: Context
) -> tuple[Dataset, list[Objects]]:
    """The rows with a box to learn from and the empty ones, and the objects of each.

    A picture that has crowds alone is left out: it would teach that these are background. An empty one teaches that
    what is seen in it is.
    """
    found, empty = [], []
    for sample in train:
        found.append(objects(sample, options.per_class))
        empty.append(sample.empty)
    rows = [row for row, one in enumerate(found) if len(one.labels) or empty[row]]
    if not any(len(one.labels) for one in found):
        raise PluginError(
            f"none of the {len(train)} train pictures has an annotated box of a single object",
            where=WHERE,
            hint="Use a data set with boxes, or a detector that is trained already (weights, epochs: 0).",
        )
    if len(rows) < len(train):
        ctx.warn(f"train pictures without a box of a single object were left out: {len(train) - len(rows)}")
    if network.shape.norm == "BN":
        if len(rows) < 2:
            raise PluginError("norm: BN cannot learn from a single picture", where=WHERE, hint="Use norm: GN.")
        if options.batch_size < _FEW:
            ctx.warn(f"BatchNorm learns its statistics from {options.batch_size} pictures at a time, which are few")
    return train.take(rows), [found[row] for row in rows]


def one_epoch(
    fabric: Fabric,
    model: nn.Module,
    optimizer: Any,
    options: TorchvisionDetector,
    pictures: Pictures,
    ctx: Context,
    epoch: int,
) -> dict[str, float]:
    """One pass over the pictures.

    Returns:
        Means over the pictures: the loss that is minimised, ``loss``, and its parts as torchvision names them.
    """
    sums: dict[str, float] = defaultdict(float)
    steps = len(in_batches(range(len(pictures)), options.batch_size))
    with ctx.progress(f"epoch {epoch}/{options.epochs}", len(pictures)) as progress:
        for step, batch in enumerate(loader(pictures, options, ctx, epoch)):
            images, targets = fabric.to_device(batch)
            for group in optimizer.param_groups:
                group["lr"] = rate(options, epoch, (epoch - 1) * steps + step, steps * options.epochs)
            losses = model(images, targets)
            loss = sum(losses.values())
            parts = {"loss": loss.item(), **{_part(name): value.item() for name, value in losses.items()}}
            if not math.isfinite(parts["loss"]):
                raise PluginError(
                    f"the loss of epoch {epoch} is not finite ({parts['loss']})",
                    where=WHERE,
                    hint=f"Try a lower lr (it is {options.lr:g}), more warmup_iters, or a clip_norm.",
                )
            optimizer.zero_grad()
            fabric.backward(loss)
            if options.clip_norm is not None:
                fabric.clip_gradients(model, optimizer, max_norm=options.clip_norm, error_if_nonfinite=False)
            optimizer.step()
            for name, value in parts.items():
                sums[name] += value * len(images)
            progress.advance(len(images))
    return {name: value / len(pictures) for name, value in sums.items()}


def _part(name: str) -> str:
    return name if name.startswith("loss") else f"loss_{name}"


def rate(options: TorchvisionDetector, epoch: int, step: int, steps: float = math.inf) -> float:
    """The learning rate of a step.

    Args:
        options: lr, schedule, epochs and warmup_iters count.
        epoch: counted from 1; the schedule goes by it.
        step: training steps done so far, in all epochs; the warm-up goes by it.
        steps: of the whole training; at most a tenth of them are warm-up.
    """
    warmup = min(options.warmup_iters, 0.1 * steps)
    factor = 1.0
    if options.schedule == "step":
        factor = 0.1 ** sum(epoch > round(options.epochs * part / 12) for part in (8, 11))
    elif options.schedule == "cosine":
        factor = (1 + math.cos(math.pi * (epoch - 1) / options.epochs)) / 2
    if step < warmup:
        factor *= _WARMUP_START + (1 - _WARMUP_START) * step / warmup
    return options.lr * factor


def make_optimizer(options: TorchvisionDetector, network: nn.Module) -> torch.optim.Optimizer:
    """SGD over what is to be trained; biases and norms are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)


def training_mode(network: nn.Module) -> None:
    """Training mode; BatchNorm of frozen layers stays in evaluation mode, lest its statistics drift."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()
