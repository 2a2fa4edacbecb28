"""How pictures of one object are changed in training: cropped, mirrored, turned grey, as a sample's numbers decide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from fgic_core.kit.options import Augmented

if TYPE_CHECKING:
    import numpy as np

#: Ratios of width to height that a random crop has, as in ImageNet training.
_RATIOS = (3 / 4, 4 / 3)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to a picture.

    Attributes:
        flip, grey: whether it is mirrored from side to side, whether it is turned grey.
        area: what is cut out of it first (left, upper, right, lower edge in pixels); None is all.
    """

    flip: bool = False
    grey: bool = False
    area: tuple[int, int, int, int] | None = None

    def apply(self, image: Image.Image) -> Image.Image:
        """The changed picture."""
        if self.area is not None:
            image = image.crop(self.area)
        if self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.grey:
            image = image.convert("L").convert("RGB")
        return image


def draw(options: Augmented, size: tuple[int, int] | None, rng: np.random.Generator) -> Changes:
    """The changes of one picture.

    Args:
        options: flip, grayscale and crop_scale count.
        size: width and height of the picture; only a crop asks for it.
        rng: the sample's, of this epoch.
    """
    flip, grey = rng.random(2)
    area = None
    if options.crop_scale < 1:
        assert size is not None
        area = random_area(size, options.crop_scale, rng)
    return Changes(bool(flip < options.flip), bool(grey < options.grayscale), area)


def variants(options: Augmented) -> int | None:
    """How many different pictures these options make of one; None where they are countless."""
    if options.crop_scale < 1:
        return None
    return (2 if 0 < options.flip < 1 else 1) * (2 if 0 < options.grayscale < 1 else 1)


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
