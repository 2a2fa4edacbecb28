"""Boxes and sizes in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of an image in pixels, after its EXIF rotation."""

    width: int
    height: int

    @property
    def box(self) -> Box:
        """The box that covers the whole image."""
        return Box(0.0, 0.0, float(self.width), float(self.height))


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel box given by its edges, in pixels from the image's upper left corner.

    Edges are continuous coordinates: the box of a whole image is ``Box(0, 0, width, height)``, and the box of its
    upper left pixel is ``Box(0, 0, 1, 1)``. (VOC's 1-based inclusive corners are converted by the readers.)
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Box:
        """From the upper left corner, width and height, as COCO and CUB write boxes."""
        return cls(x, y, x + width, y + height)

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Area in square pixels; 0 for an empty box."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def center(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def is_empty(self) -> bool:
        return not (self.width > 0 and self.height > 0)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return self.x1, self.y1, self.x2, self.y2

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        return self.x1, self.y1, self.width, self.height

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies in the box (upper and left edges included, lower and right ones not)."""
        return self.x1 <= x < self.x2 and self.y1 <= y < self.y2

    def clip(self, image: Size) -> Box:
        """The part of the box that lies inside an image of that size; empty if there is none."""
        x1, x2 = (min(max(x, 0.0), float(image.width)) for x in (self.x1, self.x2))
        y1, y2 = (min(max(y, 0.0), float(image.height)) for y in (self.y1, self.y2))
        return Box(x1, y1, x2, y2)

    def expand(self, pixels: float) -> Box:
        """The box with that many pixels added on every side."""
        return Box(self.x1 - pixels, self.y1 - pixels, self.x2 + pixels, self.y2 + pixels)

    def shift(self, dx: float, dy: float) -> Box:
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def scale(self, sx: float, sy: float) -> Box:
        return Box(self.x1 * sx, self.y1 * sy, self.x2 * sx, self.y2 * sy)

    def outward(self) -> tuple[int, int, int, int]:
        """The smallest whole-pixel ``(left, upper, right, lower)`` that covers the box."""
        return floor(self.x1), floor(self.y1), ceil(self.x2), ceil(self.y2)

    def intersection(self, other: Box) -> float:
        """Area in common with the other box, in square pixels."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(width, 0.0) * max(height, 0.0)

    def iou(self, other: Box) -> float:
        """Intersection over union with the other box, in [0, 1]."""
        common = self.intersection(other)
        union = self.area + other.area - common
        return common / union if union > 0 else 0.0
