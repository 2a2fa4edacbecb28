"""Batches of an epoch: shuffled by the step's seed, shared out over the devices, read by the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fgic_core.errors import PluginError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from fgic_core.kinds.context import Context


class Items(Protocol):
    """What is trained on in an epoch, by row. An item depends on its row and the epoch alone, not on its batch."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any: ...


def in_batches(order: Sequence[int], batch_size: int, devices: int = 1) -> list[list[int]]:
    """The rows in batches, each to be shared out over the devices; a last one too small for that joins the one before.

    Each device has a row of every batch, and two where ``batch_size`` allows: BatchNorm cannot learn from one row.
    """
    batches = [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    least = devices * min(2, batch_size // devices)
    if len(batches) > 1 and len(batches[-1]) < least:
        last = batches.pop()
        batches[-1] += last
    return batches


def shuffled(count: int, batch_size: int, ctx: Context, epoch: int) -> list[list[int]]:
    """The rows of each batch of an epoch, on all devices together; the step's seed and the epoch decide the order."""
    order = [int(row) for row in ctx.rng("shuffle", epoch).permutation(count)]
    return in_batches(order, batch_size, ctx.devices)


def loader(
    items: Items,
    batches: Sequence[Sequence[int]],
    ctx: Context,
    epoch: int,
    collate: Callable[[list[Any]], Any] | None = None,
) -> DataLoader[Any]:
    """This process's share of each batch: every ``ctx.devices``-th row of it, from ``ctx.rank`` on."""
    from torch.utils.data import DataLoader

    return DataLoader(
        items,  # type: ignore[arg-type]
        batch_sampler=[list(rows[ctx.rank :: ctx.devices]) for rows in batches],
        collate_fn=collate,
        num_workers=ctx.workers,
        pin_memory=ctx.device.startswith("cuda"),
        # A generator of its own: else each pass would draw a seed for its workers from the global one.
        generator=ctx.generator("loader", epoch),
    )


def check_shares(count: int, batch_size: int, ctx: Context) -> None:
    """Raises PluginError where a batch, or all train samples together, are too few for each device to have one."""
    if batch_size < ctx.devices:
        raise PluginError(
            f"batch_size {batch_size} is less than the {ctx.devices} devices to share a batch",
            hint=f"Set batch_size to {ctx.devices} or more; it counts the pictures on all devices together.",
        )
    if count < ctx.devices:
        raise PluginError(f"there are {count} train samples for {ctx.devices} devices", hint="Use one device.")
