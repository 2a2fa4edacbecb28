"""What the network is trained on: prepared pictures, kept in memory where they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fgic_core import Context, Dataset

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator

#: Bytes of prepared pictures that are kept in memory; more are read anew at every epoch.
MOST_KEPT = 2**30


class Pictures(TorchDataset[torch.Tensor]):
    """The train pictures as they are learned: uint8 (3, resolution, resolution), RGB."""

    def __init__(self, options: DiffusionGenerator, train: Dataset) -> None:
        # A copy without the network, which workers need not have.
        self._options = type(options).model_validate(options.model_dump())
        self._train = train

    def __len__(self) -> int:
        return len(self._train)

    def __getitem__(self, row: int) -> torch.Tensor:
        # From 8 bits and back to them: nothing is lost.
        return self._options.prepare(self._train.image(row)).mul(255).round().byte()


class Source:
    """Gives batches of pictures.

    Args:
        options: say how a picture is prepared.
        train: the data.
        ctx: shows progress; says device and workers.
    """

    def __init__(self, options: DiffusionGenerator, train: Dataset, ctx: Context) -> None:
        self._pictures, self._ctx = Pictures(options, train), ctx
        self._kept: torch.Tensor | None = None
        side = options.resolution
        if len(train) * 3 * side * side <= MOST_KEPT:
            rows = in_batches(range(len(train)), options.batch_size)
            kept = []
            with ctx.progress("preparing pictures", len(train)) as progress:
                for batch in self._read(rows, 0):
                    kept.append(batch)
                    progress.advance(len(batch))
            self._kept = torch.cat(kept)

    def batches(self, rows: list[list[int]], epoch: int) -> Iterator[torch.Tensor]:
        """The pictures of each batch of rows: float (n, 3, resolution, resolution) in [-1, 1], on the device."""
        if self._kept is not None:
            found: Iterator[torch.Tensor] = (self._kept[batch] for batch in rows)
        else:
            found = self._read(rows, epoch)
        for batch in found:
            yield batch.to(self._ctx.device, non_blocking=True).float().div_(127.5).sub_(1)

    def _read(self, rows: list[list[int]], epoch: int) -> Iterator[torch.Tensor]:
        return iter(
            DataLoader(
                self._pictures,
                batch_sampler=rows,
                num_workers=self._ctx.workers,
                pin_memory=self._ctx.device.startswith("cuda"),
                # A generator of its own: else each pass would draw a seed for its workers from the global one.
                generator=self._ctx.generator("loader", epoch),
            )
        )


def in_batches(order: Sequence[int], batch_size: int) -> list[list[int]]:
    """The rows in batches; the last one may be smaller."""
    return [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
