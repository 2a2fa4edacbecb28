"""Outlines as arrays of points (n, 2), and the canvas they are filled on."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, cos, floor, radians, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Points = np.ndarray[Any, np.dtype[np.float64]]
Pixels = np.ndarray[Any, np.dtype[np.float32]]
#: A blur of so few pixels cannot be seen.
_SHARP = 0.5

Colour = Any  # (3,) floats in [0, 1], or an array of pixels' colours (h, w, 3)


def smooth(points: Any, closed: bool = True, steps: int = 8) -> Points:
    """The Catmull-Rom spline through the points."""
    p = np.asarray(points, dtype=np.float64)
    ends = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.concatenate([ends[0], p, ends[1]])
    n = len(p) - 3
    curve = _basis(steps) @ np.stack([p[:n], p[1 : n + 1], p[2 : n + 2], p[3:]], 1)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-2:-1]])


@lru_cache(maxsize=4)
def _basis(steps: int) -> Points:
    """Weights of four neighbouring points at each step between the middle two, (steps, 4)."""
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
    return np.asarray(np.stack(weights, 1) / 2)


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 41)), np.sin(np.linspace(0, 2 * np.pi, 41))], 1)[:-1]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """An ellipse about (x, y), turned by degrees."""
    outline = _CIRCLE * (rx, ry)
    return (rotate(outline, turn) if turn else outline) + (x, y)


def stroke(points: Any, width: Any) -> Points:
    """The outline of a line through the points with that width (one number, or one a point)."""
    p = np.asarray(points, dtype=np.float64)
    along = np.empty_like(p)
    along[1:-1] = p[2:] - p[:-2]
    along[0], along[-1] = p[1] - p[0], p[-1] - p[-2]
    side = along[:, ::-1] * (-0.5, 0.5)
    side *= (width / (np.sqrt((along**2).sum(1)) + 1e-9))[:, None]
    return np.concatenate([p + side, (p - side)[::-1]])


def rotate(points: Any, degrees: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    """The points turned so that what looks right looks up for positive degrees (y counts downwards)."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    turned = (np.asarray(points, dtype=np.float64) - about) @ np.array([[c, -s], [s, c]])
    return np.asarray(turned + about)


def mix(a: Any, b: Any, share: Any) -> Any:
    """``a`` where the share is 0, ``b`` where it is 1."""
    a = np.asarray(a, np.float32)
    return a + (np.asarray(b, np.float32) - a) * np.asarray(share, np.float32)


def ramp(values: Any, low: float, high: float) -> Any:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _coverage(points: Points, width: int, height: int, soft: float) -> tuple[Image.Image, int, int] | None:
    """How much of each pixel an outline covers, as a greyscale image and its left and upper edge; None outside."""
    pad = ceil(2.5 * soft) + 1 if soft > _SHARP else 1
    (x, y), (right, lower) = points.min(0).tolist(), points.max(0).tolist()
    x, y = max(floor(x) - pad, 0), max(floor(y) - pad, 0)
    right, lower = min(ceil(right) + pad + 1, width), min(ceil(lower) + pad + 1, height)
    if right <= x or lower <= y:
        return None
    mask = Image.new("L", (right - x, lower - y))
    ImageDraw.Draw(mask).polygon((points - (x, y)).ravel().tolist(), fill=255)
    return (mask.filter(ImageFilter.GaussianBlur(soft)) if soft > _SHARP else mask), x, y


class Sketch:
    """A picture in 8 bits that plain outlines are filled on, quicker than on a `Canvas`."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image)

    @property
    def side(self) -> int:
        return self.image.width

    def fill(self, points: Points, colour: Any, *, alpha: float = 1.0, soft: float = 0.0) -> None:
        """Fill an outline with one colour, (3,) in [0, 1]; see `Canvas.fill`."""
        level = tuple(int(255 * min(max(value, 0.0), 1.0) + 0.5) for value in colour.tolist())
        if alpha >= 1 and soft <= _SHARP:
            self._draw.polygon(points.ravel().tolist(), fill=level)
        elif found := _coverage(points, self.image.width, self.image.height, soft):
            mask, x, y = found
            self.image.paste(
                level, (x, y, x + mask.width, y + mask.height), mask.point([int(i * alpha) for i in range(256)])
            )

    def canvas(self) -> Canvas:
        """What was drawn, to paint the bird on."""
        return Canvas(np.asarray(self.image, np.float32) / np.float32(255))


class Window:
    """The rectangle of a canvas that some points touch, and how much of each of its pixels they cover."""

    def __init__(self, points: Points, shape: tuple[int, int], soft: float = 0.0) -> None:
        found = _coverage(points, shape[1], shape[0], soft)
        self.empty = found is None
        mask, self.x, self.y = found or (Image.new("L", (0, 0)), 0, 0)
        self.cover: Pixels = np.asarray(mask, np.float32) / np.float32(255)

    @property
    def at(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas."""
        h, w = self.cover.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


class Canvas:
    """Colours in [0, 1] and part numbers, several pixels to one of the picture.

    Attributes:
        rgb: (h, w, 3) float32.
        parts: (h, w) uint8, 0 where there is no bird.
    """

    def __init__(self, rgb: Pixels) -> None:
        self.rgb = rgb
        self.parts = np.zeros(rgb.shape[:2], np.uint8)

    def window(self, points: Points, soft: float = 0.0) -> Window:
        """Where the points lie on this canvas."""
        height, width = self.parts.shape
        return Window(points, (height, width), soft)

    def fill(
        self, points: Points, colour: Colour, part: int = 0, *, alpha: float = 1.0, soft: float = 0.0, within: int = 0
    ) -> None:
        """Fill an outline.

        Args:
            points: in canvas pixels.
            colour: of the filling.
            part: the part number that the covered pixels take; 0 leaves theirs.
            alpha: opacity.
            soft: blur of the edge in pixels.
            within: paint nothing but pixels of that part.
        """
        window = self.window(points, soft)
        if not window.empty:
            self.paint(window, colour, part, alpha=alpha, within=within)

    def paint(self, window: Window, colour: Colour, part: int = 0, *, alpha: float = 1.0, within: int = 0) -> None:
        """As `fill`, for a window."""
        at = window.at
        cover = window.cover * np.float32(alpha)
        if within:
            cover = cover * (self.parts[at] == within)
        rgb = self.rgb[at]
        rgb += (np.asarray(colour, np.float32) - rgb) * cover[..., None]
        if part:
            self.parts[at][window.cover > 0.5] = part
