"""Lightning Fabric for a step: its device or devices, and the numbers that training computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from fgic_core.kinds.context import Context


def check_precision(precision: str, device: str) -> None:
    """Raises PluginError where the device has not that precision."""
    if precision == "16-mixed" and device.partition(":")[0] == "cpu":
        raise PluginError("precision 16-mixed needs a GPU", hint="On a CPU use bf16-mixed or 32-true.")


def make_fabric(precision: str, ctx: Context) -> Fabric:
    """Fabric on the context's device, or on its devices, in the processes that torchrun started for them.

    Raises:
        PluginError: the device has not that precision, or there is one process and not one for each device.
    """
    from lightning_fabric import Fabric
    from torch import distributed

    kind, _, number = ctx.device.partition(":")
    check_precision(precision, ctx.device)
    if ctx.devices == 1:
        devices: int | list[int] = [int(number or 0)] if kind == "cuda" else 1
        return Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    if not distributed.is_torchelastic_launched():
        raise PluginError(
            f"training on {ctx.devices} devices takes a process for each, and this is one alone",
            hint="A pipeline starts them by itself; otherwise use one device.",
        )
    first = int(number or 0) - ctx.rank
    devices = [first + rank for rank in range(ctx.devices)] if kind == "cuda" else ctx.devices
    return Fabric(accelerator=kind, devices=devices, strategy="ddp", precision=precision)  # type: ignore[arg-type]


@contextmanager
def in_precision(part: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Has one part of a network compute under ``autocast``, and give numbers of 32 bits to what comes after it.

    For a network whose other parts need them, as those of a detector that say where a box is.
    """
    forward: Any = part.forward

    def lower(*arguments: Any, **more: Any) -> Any:
        with autocast():
            return _float32(forward(*arguments, **more))

    part.forward = lower
    try:
        yield
    finally:
        del part.forward  # what it has of its class is there again


def _float32(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return type(value)((name, _float32(one)) for name, one in value.items())
    return type(value)(_float32(one) for one in value) if isinstance(value, (list, tuple)) else value
