"""What the network is trained on: augmented pictures, in an order and with changes that the step's seed decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fgic_classify_timm._network import WHERE
from fgic_core import Context, Dataset, InputSpec, PluginError

if TYPE_CHECKING:
    import numpy as np

    from fgic_classify_timm import TimmClassifier

#: Ratios of width to height that a random crop has, as in ImageNet training.
_RATIOS = (3 / 4, 4 / 3)


class Augmented(TorchDataset[tuple[torch.Tensor, int]]):
    """The training pictures of one epoch, augmented.

    A picture's random numbers depend on the seed, the epoch and its row alone: neither batch size, nor workers, nor
    an interruption changes them.
    """

    def __init__(self, train: Dataset, options: TimmClassifier, spec: InputSpec, ctx: Context, epoch: int) -> None:
        self._train, self._options, self._spec, self._ctx, self._epoch = train, options, spec, ctx, epoch
        self._labels = train.labels

    def __len__(self) -> int:
        return len(self._train)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = augment(self._train.image(index), self._options, self._ctx.rng("augment", self._epoch, index))
        return self._spec.prepare(image), int(self._labels[index])


def augment(image: Image.Image, options: TimmClassifier, rng: np.random.Generator) -> Image.Image:
    """A picture as it is trained on: randomly cropped, flipped and turned grey, as the options say."""
    flip, grey = rng.random(2)
    if options.crop_scale < 1:
        image = image.crop(random_area(image.size, options.crop_scale, rng))
    if flip < options.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if grey < options.grayscale:
        image = image.convert("L").convert("RGB")
    return image


def random_area(size: tuple[int, int], smallest: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A random rectangle that covers between ``smallest`` and all of a picture's area (Szegedy et al. 2015).

    Returns:
        Left, upper, right and lower edge in pixels. The whole picture where ten draws do not fit into it.
    """
    width, height = size
    for _ in range(10):
        area = rng.uniform(smallest, 1) * width * height
        ratio = math.exp(rng.uniform(math.log(_RATIOS[0]), math.log(_RATIOS[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, upper = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, upper, left + w, upper + h
    return 0, 0, width, height


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


def check_shares(options: TimmClassifier, train: Dataset, ctx: Context) -> None:
    """Raises PluginError where a batch, or all train samples together, are too few for each device to have one."""
    if options.batch_size < ctx.devices:
        raise PluginError(
            f"batch_size {options.batch_size} is less than the {ctx.devices} devices to share a batch",
            where=WHERE,
            hint=f"Set batch_size to {ctx.devices} or more; it counts the pictures on all devices together.",
        )
    if len(train) < ctx.devices:
        raise PluginError(
            f"there are {len(train)} train samples for {ctx.devices} devices", where=WHERE, hint="Use one device."
        )


def loader(
    train: Dataset, options: TimmClassifier, spec: InputSpec, ctx: Context, epoch: int
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of one epoch: images (n, 3, h, w) in [0, 1] and labels (n,), shuffled.

    With several devices they are this process's share of each batch, every ``ctx.devices``-th row of it.
    """
    order = [int(row) for row in ctx.rng("shuffle", epoch).permutation(len(train))]
    batches = in_batches(order, options.batch_size, ctx.devices)
    return DataLoader(
        Augmented(train, options, spec, ctx, epoch),  # type: ignore[arg-type]
        batch_sampler=[rows[ctx.rank :: ctx.devices] for rows in batches],
        num_workers=ctx.workers,
        pin_memory=ctx.device.startswith("cuda"),
        # A generator of its own: else each pass would draw a seed for its workers from the global one.
        generator=ctx.generator("loader", epoch),
    )
