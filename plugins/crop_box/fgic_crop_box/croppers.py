"""The two ways to look at an object alone: its box, or a square around it."""

from __future__ import annotations

from math import ceil
from typing import Annotated

from pydantic import Field

from fgic_core import Box, Cropper, Size

Margin = Annotated[
    float,
    Field(
        ge=0.0,
        allow_inf_nan=False,
        description="Context that is added on every side, as a fraction of the box's longer side.",
    ),
]

_ROUNDING = 1e-6  # pixels; a side of 12.0000001 is 12 pixels and not 13


class BoxCropper(Cropper):
    """Crop to the object's box, with a margin.

    The crop keeps the box's ratio of width to height, up to what the picture's border cuts off.
    """

    margin: Margin = 0.0

    def region(self, box: Box, image: Size) -> Box:
        return box.expand(self.margin * max(box.width, box.height)).clip(image)


class SquareCropper(Cropper):
    """Crop to the nearest square that holds the object and lies inside the picture.

    The square's side is the box's longer side with the margin, at most the picture's shorter side. It is centred on
    the box and shifted to where it fits, so that nothing is padded or stretched when a network wants a square input.
    It lies on whole pixels: the crop's width and height are equal, not just nearly. A box whose longer side is longer
    than the picture's shorter side does not fit; the square then shows its middle.
    """

    margin: Margin = 0.0

    def region(self, box: Box, image: Size) -> Box:
        left, upper, right, lower = box.clip(image).outward()
        wanted = max(right - left, lower - upper) * (1 + 2 * self.margin)
        side = min(ceil(wanted - _ROUNDING), image.width, image.height)
        x = _place((left + right - side) // 2, image.width - side)
        y = _place((upper + lower - side) // 2, image.height - side)
        return Box(float(x), float(y), float(x + side), float(y + side))


def _place(start: int, last: int) -> int:
    """The start nearest to the wanted one from which the square still ends inside the picture."""
    return min(max(start, 0), last)
