"""Batches as MMEngine's libraries take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Sampler

from fgic_core import Context


class Order(Sampler[Any]):
    """The rows in an order that the step's seed and the epoch decide.

    Attributes:
        epoch: counted from 1; the loop sets it.
    """

    def __init__(self, rows: int, ctx: Context) -> None:
        self.rows, self.ctx = rows, ctx
        self.epoch = 0

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ctx.rng("shuffle", self.epoch).permutation(self.rows).tolist())


def make_loader(dataset: Any, order: Order, batch_size: int, ctx: Context) -> DataLoader[Any]:
    """Batches with a list of each: ``inputs`` and ``data_samples``."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        num_workers=ctx.workers,
        collate_fn=pseudo_collate,
        # A generator of its own: else each pass would draw a seed for its workers from the global one.
        generator=ctx.generator("loader"),
    )
