"""What the networks are trained on: prepared real pictures with their labels, as MMagic's models take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from fgic_core import Context, Dataset
from fgic_gen_biggan._mmagic import import_mmagic

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator

#: Prepared pictures up to so many bytes are kept in memory.
_KEPT = 1 << 30


class Pictures(TorchDataset[Any]):
    """Real pictures, 8-bit RGB (3, resolution, resolution), flipped as the step's seed, the epoch and the place decide.

    Attributes:
        epoch: the epoch that pictures are drawn for.
    """

    def __init__(self, options: BigganGenerator, train: Dataset, ctx: Context) -> None:
        self._options, self._train, self._ctx = options, train, ctx
        self._labels = train.labels
        self._sample = import_mmagic().DataSample
        self.epoch = 0
        self._kept: torch.Tensor | None = None
        if len(train) * 3 * options.resolution**2 <= _KEPT:
            rows = ctx.track(range(len(train)), "reading pictures")
            self._kept = torch.stack([self._prepared(row) for row in rows])

    def _prepared(self, row: int) -> torch.Tensor:
        return (self._options.prepare(self._train.image(row)) * 255).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self._train)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        """The picture of a row, for the given place in the epoch."""
        row, position = place
        picture = self._kept[row] if self._kept is not None else self._prepared(row)
        if self._options.flip and self._ctx.rng("flip", self.epoch, position).random() < 0.5:
            picture = picture.flip(2)
        sample = self._sample(gt_img=picture, metainfo={"gt_channel_order": "RGB"})
        sample.set_gt_label(int(self._labels[row]))
        return {"inputs": {}, "data_samples": sample}


class Order(Sampler[Any]):
    """Rows and their places in the epoch: whole shuffles of the rows, one after another, as far as they are needed.

    Args:
        rows: how many there are.
        needed: pictures in an epoch.
        ctx: its seed and the epoch decide the order.
    """

    def __init__(self, rows: int, needed: int, ctx: Context) -> None:
        self._rows, self._needed, self._ctx = rows, needed, ctx
        self.epoch = 0

    def __len__(self) -> int:
        return self._needed

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = self._ctx.rng("shuffle", self.epoch)
        turns = -(-self._needed // self._rows)
        rows = np.concatenate([rng.permutation(self._rows) for _ in range(turns)])[: self._needed]
        return ((int(row), position) for position, row in enumerate(rows))


def steps_per_epoch(options: BigganGenerator, rows: int) -> int:
    """Discriminator steps of an epoch: about one pass, in whole updates of the generator."""
    update = options.d_steps * options.accumulate
    return max(round(rows / (options.batch_size * update)), 1) * update


def make_loader(pictures: Pictures, order: Order, batch_size: int, ctx: Context) -> DataLoader[Any]:
    """Batches as MMagic's models take them: a list of data samples."""
    return DataLoader(
        pictures,
        batch_size=batch_size,
        sampler=order,
        num_workers=ctx.workers,
        collate_fn=pseudo_collate,
        # A generator of its own: else each pass would draw a seed for its workers from the global one.
        generator=ctx.generator("loader"),
    )
