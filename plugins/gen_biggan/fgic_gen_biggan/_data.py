"""What the networks are trained on: prepared real pictures with their labels, as MMagic's models take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fgic_openmmlab import Order

from fgic_core import Context, Dataset
from fgic_gen_biggan._mmagic import import_mmagic

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator


class Pictures:
    """Real pictures, 8-bit RGB (3, resolution, resolution), flipped as the step's seed, the epoch and the place decide.

    Attributes:
        epoch: the epoch that pictures are drawn for.
    """

    def __init__(self, options: BigganGenerator, train: Dataset, ctx: Context) -> None:
        self._flip, self._labels, self._ctx = options.flip, train.labels, ctx
        self._kept = options.pictures(train, ctx)
        self._sample = import_mmagic().DataSample
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        """The picture of a row, for the given place in the epoch."""
        row, position = place
        picture = torch.from_numpy(self._kept[row].copy())
        if self._ctx.rng("flip", self.epoch, position).random() < self._flip:
            picture = picture.flip(2)
        sample = self._sample(gt_img=picture, metainfo={"gt_channel_order": "RGB"})
        sample.set_gt_label(int(self._labels[row]))
        return {"inputs": {}, "data_samples": sample}


class Passes(Order):
    """Rows and their places in the epoch: whole shuffles of the rows, one after another, as far as they are needed.

    Args:
        rows: how many there are.
        needed: pictures in an epoch.
        ctx: its seed and the epoch decide the order.
    """

    def __init__(self, rows: int, needed: int, ctx: Context) -> None:
        super().__init__(rows, ctx)
        self._needed = needed

    def __len__(self) -> int:
        return self._needed

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = self.ctx.rng("shuffle", self.epoch)
        turns = -(-self._needed // self.rows)
        rows = np.concatenate([rng.permutation(self.rows) for _ in range(turns)])[: self._needed]
        return ((int(row), position) for position, row in enumerate(rows))


def steps_per_epoch(options: BigganGenerator, rows: int) -> int:
    """Discriminator steps of an epoch: about one pass, in whole updates of the generator."""
    update = options.d_steps * options.accumulate
    return max(round(rows / (options.batch_size * update)), 1) * update
