"""What the network is trained on: pictures and boxes, in an order and with flips that the step's seed decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from fgic_core import Context, Dataset, Sample, Size, to_tensor

#: A box narrower than this, in pixels of its picture, shows nothing; resized, its edges could coincide.
_NARROWEST = 0.5
#: What a picture that is extended gets, in [0, 1]: about ImageNet's mean, which is 0 for the network.
_BORDER = 0.45
#: Pixels that the shorter side has at least after resizing, as wide as the longer one is.
_THINNEST = 32

Item = tuple[torch.Tensor, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Objects:
    """The objects to learn from in one picture.

    Attributes:
        boxes: (n, 4), edges x1, y1, x2, y2 in pixels of the picture.
        labels: (n,), from 1: 0 is the background.
    """

    boxes: np.ndarray[Any, np.dtype[np.float64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]

    def flipped(self, width: int) -> Objects:
        """The objects of the mirrored picture."""
        x1, y1, x2, y2 = self.boxes.T
        return Objects(np.stack([width - x2, y1, width - x1, y2], axis=1), self.labels)

    def inside(self, size: Size) -> Objects:
        """The objects cut to the picture; those of which nothing is left are left out."""
        boxes = self.boxes.clip(0, [size.width, size.height, size.width, size.height])
        seen = ((boxes[:, 2:] - boxes[:, :2]) >= _NARROWEST).all(axis=1)
        return Objects(boxes[seen], self.labels[seen])


def objects(sample: Sample, per_class: bool) -> Objects:
    """The annotated boxes of single objects, without crowds and without what another detector found.

    Args:
        sample: a row of the data.
        per_class: label a box by its class, or by the sample's where it has none; otherwise all are 1.
    """
    boxes = [box for box in sample.boxes if box.is_annotated and not box.crowd and not box.box.is_empty]
    labels = [(sample.label if box.label is None else box.label) + 1 if per_class else 1 for box in boxes]
    corners = np.array([box.box.xyxy for box in boxes], dtype=np.float64).reshape(-1, 4)
    return Objects(corners, np.array(labels, dtype=np.int64))


def widened(image: torch.Tensor, max_size: int) -> torch.Tensor:
    """A picture (3, h, w), extended to the right or below where it is so thin that resizing would leave no pixel.

    Places in the picture stay where they are.
    """
    height, width = image.shape[-2:]
    least = math.ceil(max(height, width) * _THINNEST / max_size)
    more = (0, max(least - width, 0), 0, max(least - height, 0))
    return torch.nn.functional.pad(image, more, value=_BORDER) if any(more) else image


class Pictures:
    """The training pictures of one epoch with their objects, flipped at random.

    A picture's random numbers depend on the seed, the epoch and its row alone: neither batch size, nor workers, nor
    an interruption changes them.

    Args:
        train: the data.
        found: the objects of each row.
        flip: probability of a flip.
        max_size: pixels of the longer side at most, see `widened`.
        ctx: gives the random numbers.
        epoch: counted from 1.
    """

    def __init__(
        self, train: Dataset, found: Sequence[Objects], flip: float, max_size: int, ctx: Context, epoch: int
    ) -> None:
        self._train, self._found, self._flip, self._max_size = train, found, flip, max_size
        self._ctx, self._epoch = ctx, epoch

    def __len__(self) -> int:
        return len(self._train)

    def __getitem__(self, index: int) -> Item:
        picture = self._train.picture(index)
        seen = self._found[index].inside(Size(*picture.size))
        if self._ctx.rng("augment", self._epoch, index).random() < self._flip:
            picture, seen = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), seen.flipped(picture.width)
        target = {"boxes": torch.from_numpy(seen.boxes).float(), "labels": torch.from_numpy(seen.labels)}
        return widened(to_tensor(picture), self._max_size), target


def lists(items: list[Item]) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """A batch: pictures of their own sizes, and their targets."""
    return [image for image, _ in items], [target for _, target in items]
