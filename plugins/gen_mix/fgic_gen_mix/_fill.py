"""What is hidden takes the colours around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[Any]]


def fill(image: Pixels, hole: Pixels) -> Pixels:
    """Smooth values from around a hole in it: means of the known pixels at the finest scale that has some.

    This is pull-push of S. Gortler et al., "The Lumigraph", 1996.

    Args:
        image: (height, width, 3) uint8.
        hole: (height, width) boolean. Where it is everything, the picture's mean is the filling.
    """
    if hole.all():
        return np.broadcast_to(image.mean((0, 1)).round().astype(np.uint8), image.shape).copy()
    sums = np.empty((4, *hole.shape), dtype=np.float32)
    sums[3] = ~hole
    np.multiply(np.moveaxis(image, -1, 0), sums[3], out=sums[:3])
    filled = np.moveaxis(_pull(sums).round().astype(np.uint8), 0, -1)
    return np.where(hole[..., None], filled, image)


def _pull(sums: Pixels) -> Pixels:
    """Means of what is known, (3, height, width); where nothing is, those of half the resolution, recursively.

    Args:
        sums: (4, height, width): red, green, blue, and of how many pixels.
    """
    known = sums[3] > 0
    mean: Pixels = sums[:3] / np.maximum(sums[3], 1e-6)
    if known.all():
        return mean
    size = (known.shape[1], known.shape[0])
    coarse = [Image.fromarray(band).resize(size, Image.Resampling.BILINEAR) for band in _pull(_halved(sums))]
    return np.where(known, mean, np.stack([np.asarray(band) for band in coarse]))


def _halved(planes: Pixels) -> Pixels:
    """Sums of 2x2 pixels, (planes, height, width); beyond an odd edge there is nothing."""
    height, width = planes.shape[1:]
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)))
    rows = planes[:, 0::2] + planes[:, 1::2]
    summed: Pixels = rows[:, :, 0::2] + rows[:, :, 1::2]
    return summed
