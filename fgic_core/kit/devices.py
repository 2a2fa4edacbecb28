"""Lightning Fabric for a step: its device or devices, and the numbers that training computes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgic_core.errors import PluginError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
