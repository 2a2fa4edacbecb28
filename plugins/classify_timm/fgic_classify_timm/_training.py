"""The training loop, on Lightning Fabric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from timm.optim import param_groups_weight_decay
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.step_lr import StepLRScheduler
from torch import distributed, nn

from fgic_classify_timm._data import check_shares, in_batches, loader
from fgic_classify_timm._network import WHERE, Network
from fgic_core import BestEpoch, Context, Dataset, FittedClassifier, InputSpec, PluginError

if TYPE_CHECKING:
    from fgic_classify_timm import TimmClassifier


def train_network(options: TimmClassifier, fitted: FittedClassifier, train: Dataset, ctx: Context) -> None:
    """Train what `build` gave in place, on the context's device, and leave the chosen epoch's weights in it.

    Raises:
        PluginError: the loss is no longer finite; the precision or the number of devices cannot be had, or a batch
            is too small for them.
    """
    network = fitted.network
    assert isinstance(network, Network)
    fabric = make_fabric(options, ctx)
    check_shares(options, train, ctx)
    fabric.launch()
    freeze(network, options.trainable)
    optimizer = make_optimizer(options, network)
    scheduler = make_scheduler(options, optimizer)
    model, stepper = fabric.setup(network, optimizer)
    best = BestEpoch(network, "accuracy", options.keep)
    if state := ctx.resume():
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
        best.load_state_dict(state["best"])
    for epoch in ctx.epochs(options.epochs):
        if options.early_stopping is not None and best.waited >= options.early_stopping:
            break
        if scheduler is not None:
            scheduler.step(epoch - 1)
        training_mode(network, options.trainable)
        numbers = one_epoch(fabric, model, stepper, options, train, fitted.input, ctx, epoch)
        ctx.log(epoch, **numbers, lr=optimizer.param_groups[0]["lr"])
        network.eval()
        best.see(epoch, measure(fabric, fitted, ctx, epoch))
        ctx.checkpoint(
            epoch,
            {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "precision": fabric.strategy.precision.state_dict(),
                "best": best.state_dict(epoch),
            },
        )
    best.restore()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    network.eval()


def one_epoch(
    fabric: Fabric,
    model: nn.Module,
    optimizer: Any,
    options: TimmClassifier,
    train: Dataset,
    spec: InputSpec,
    ctx: Context,
    epoch: int,
) -> dict[str, float]:
    """One pass over the train split; with several devices each takes its share of every batch.

    Returns:
        Mean loss and accuracy of the batches as they were trained on: augmented, with the weights of that moment.
    """
    criterion = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
    # Kept on the device: reading them at each step would have the processor wait for it.
    loss_sum = torch.zeros((), device=fabric.device)
    right = torch.zeros((), device=fabric.device)
    sizes = [len(rows) for rows in in_batches(range(len(train)), options.batch_size, ctx.devices)]
    with ctx.progress(f"epoch {epoch}/{options.epochs}", len(train)) as progress:
        for size, batch in zip(sizes, loader(train, options, spec, ctx, epoch), strict=True):
            images, labels = fabric.to_device(batch)
            logits = model(images)
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            # The gradients of the devices are averaged: each counts by its share of the batch's pictures.
            fabric.backward(loss * (len(labels) * ctx.devices / size))
            optimizer.step()
            loss_sum += loss.detach() * len(labels)
            right += (logits.detach().argmax(dim=1) == labels).sum()
            progress.advance(size)
    loss_sum, right = fabric.all_reduce(torch.stack([loss_sum, right]), reduce_op="sum")
    mean = loss_sum.item() / len(train)
    if not math.isfinite(mean):
        raise PluginError(
            f"the loss of epoch {epoch} is not finite ({mean})",
            where=WHERE,
            hint=f"Try a lower lr (it is {options.lr:g}), warmup_epochs, or precision: 32-true.",
        )
    return {"loss": mean, "accuracy": right.item() / len(train)}


def measure(fabric: Fabric, fitted: FittedClassifier, ctx: Context, epoch: int) -> Mapping[str, float]:
    """Have the core measure the network after an epoch.

    With several devices each process measures, which takes no longer than waiting for one. All have the first one's
    running statistics then, and go by its accuracy: none may stop, or keep an epoch, where the others do not.
    """
    if fabric.world_size == 1:
        return ctx.evaluate(fitted, epoch)
    for buffer in fitted.network.buffers():
        distributed.broadcast(buffer, src=0)
    accuracy = torch.tensor(ctx.evaluate(fitted, epoch).get("accuracy", math.nan), dtype=torch.float64)
    accuracy = accuracy.to(fabric.device)
    distributed.broadcast(accuracy, src=0)
    return {} if accuracy.isnan() else {"accuracy": accuracy.item()}


def make_fabric(options: TimmClassifier, ctx: Context) -> Fabric:
    """Lightning Fabric on the context's device, or on its devices, in the processes that torchrun started for them.

    Raises:
        PluginError: the device has not that precision, or there is one process and not one for each device.
    """
    kind, _, number = ctx.device.partition(":")
    if options.precision == "16-mixed" and kind == "cpu":
        raise PluginError("precision 16-mixed needs a GPU", where=WHERE, hint="On a CPU use bf16-mixed or 32-true.")
    if ctx.devices == 1:
        devices: int | list[int] = [int(number or 0)] if kind == "cuda" else 1
        return Fabric(accelerator=kind, devices=devices, precision=options.precision)
    if not distributed.is_torchelastic_launched():
        raise PluginError(
            f"training on {ctx.devices} devices takes a process for each, and this is one alone",
            where=WHERE,
            hint="A pipeline starts them by itself; otherwise use one device.",
        )
    first = int(number or 0) - ctx.rank
    devices = [first + rank for rank in range(ctx.devices)] if kind == "cuda" else ctx.devices
    return Fabric(accelerator=kind, devices=devices, strategy="ddp", precision=options.precision)


def make_optimizer(options: TimmClassifier, network: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW over what is to be trained; biases and norms are not decayed."""
    groups = param_groups_weight_decay(network, options.weight_decay)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
    return torch.optim.AdamW(groups, lr=options.lr)


def make_scheduler(options: TimmClassifier, optimizer: torch.optim.Optimizer) -> Scheduler | None:
    """timm's schedule, whose rate depends on the epoch (from 0) alone; None for a constant rate."""
    warmup: dict[str, Any] = {}
    if options.warmup_epochs:
        start = options.lr / (options.warmup_epochs + 1)
        warmup = {"warmup_t": options.warmup_epochs, "warmup_lr_init": start, "warmup_prefix": True}
    if options.schedule == "cosine":
        # Over one epoch there is nothing to fall, and timm's scheduler would complain.
        falling = max(options.epochs - options.warmup_epochs, 2)
        return CosineLRScheduler(optimizer, t_initial=falling, **warmup)
    if options.schedule == "step":
        return StepLRScheduler(optimizer, decay_t=options.step_size, decay_rate=options.gamma, **warmup)
    if warmup:
        return StepLRScheduler(optimizer, decay_t=options.epochs, decay_rate=1.0, **warmup)
    return None


def freeze(network: Network, trainable: str) -> None:
    """Mark what is to be trained. A graph is built from there on only, so a frozen backbone costs its forward pass."""
    for parameter in network.parameters():
        parameter.requires_grad_(trainable == "all")
    for _, head in network.heads():
        for parameter in head.parameters():
            parameter.requires_grad_(True)


def training_mode(network: Network, trainable: str) -> None:
    """Training mode of what is to be trained; a frozen backbone stays in evaluation mode, lest BatchNorm drifts."""
    if trainable == "all":
        network.train()
        return
    network.eval()
    for _, head in network.heads():
        head.train()
    # The dropout before the head belongs to it: a module of its own in some models, the root's flag in others.
    network.model.training = True
    for name, module in network.model.named_modules():
        if name.startswith("head") and isinstance(module, nn.Dropout):
            module.training = True
        if name == "head":
            module.training = True
