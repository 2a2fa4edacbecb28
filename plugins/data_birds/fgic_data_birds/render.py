"""One picture and its part mask from a species and latents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fgic_data_birds._bird import Bird
from fgic_data_birds._scene import backdrop, scenery
from fgic_data_birds._shapes import Canvas
from fgic_data_birds.latents import LENGTH, Latents
from fgic_data_birds.species import PARTS, Code

#: How much of a pixel the bird must cover for the pixel to be the bird's.
_COVERED = 0.4


@dataclass(frozen=True)
class Rendering:
    """A picture and what is known of it.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        mask: (size, size) uint8, p where part number p (from 1, in the order of `PARTS`) is seen, 0 elsewhere.
    """

    image: np.ndarray[Any, np.dtype[np.uint8]]
    mask: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, upper, right, lower edge of the bird's pixels; of the whole picture where there are none."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if not len(rows):
            return 0, 0, self.mask.shape[1], self.mask.shape[0]
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def location(self, number: int) -> tuple[float, float] | None:
        """The middle of the part's pixel that is nearest to their centroid; None where the part is not seen."""
        ys, xs = np.nonzero(self.mask == number)
        if not len(xs):
            return None
        nearest = int(np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2))
        return float(xs[nearest]) + 0.5, float(ys[nearest]) + 0.5


def render(code: Code, latents: Latents, size: int) -> Rendering:
    """The picture of that species under these latents, ``size`` pixels square.

    The same latents with another species change no pixel but those of the parts that differ.
    """
    factor = 4 if size <= 128 else 3 if size <= 256 else 2
    side = size * factor
    sketch = backdrop(latents, size, factor)
    unit, at = latents.scale / LENGTH * side, (latents.x * side, latents.y * side)
    scenery(sketch, latents, at, unit)
    canvas = sketch.canvas()
    Bird(canvas, code, latents, unit, at).paint()
    rgb = _lit(_reduced(canvas, size, factor), latents)
    image, mask = (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8), _mask(canvas, size, factor)
    if latents.facing == "left":
        image, mask = image[:, ::-1], mask[:, ::-1]
    return Rendering(np.ascontiguousarray(image), np.ascontiguousarray(mask))


def _mask(canvas: Canvas, size: int, factor: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The part that covers most of each pixel, where the bird covers enough of it."""
    n = len(PARTS) + 1
    votes = np.bincount((_pixel(size, factor) * n + canvas.parts).ravel(), minlength=size * size * n)
    shares = votes.reshape(size, size, n)[..., 1:]
    seen = shares.sum(-1) >= _COVERED * factor * factor
    return np.where(seen, shares.argmax(-1) + 1, 0).astype(np.uint8)


@lru_cache(maxsize=2)
def _pixel(size: int, factor: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The number of the picture's pixel that each canvas pixel belongs to."""
    along = np.arange(size * factor) // factor
    return along[:, None] * size + along[None]


def _reduced(canvas: Canvas, size: int, factor: int) -> Any:
    """The mean over the canvas pixels of each of the picture's. (Two sums, as NumPy is slow over short axes.)"""
    rows = canvas.rgb.reshape(size, factor, -1).sum(1).reshape(size, size, factor, 3)
    total = rows[:, :, 0].copy()
    for column in range(1, factor):
        total += rows[:, :, column]
    return total / np.float32(factor * factor)


def _lit(rgb: Any, latents: Latents) -> Any:
    """The picture under the latents' light, with a camera's vignette and grain."""
    size = rgb.shape[0]
    warm = latents.warmth
    rgb = rgb * np.array([1 + 0.10 * warm, 1 + 0.01 * warm, 1 - 0.12 * warm], np.float32) * latents.exposure
    across = np.linspace(-1, 1, size, dtype=np.float32)
    vignette = 1 - 0.10 * (across[:, None] ** 2 + across[None] ** 2)
    sun = np.sin(np.radians(latents.light)) * across[None] - np.cos(np.radians(latents.light)) * across[:, None]
    rgb = rgb * (vignette + 0.07 * latents.contrast * sun)[..., None]
    rgb = np.where(rgb > 0.85, 0.85 + 0.15 * np.tanh((rgb - 0.85) / 0.15), rgb)  # a soft shoulder and no burnt white
    grain = np.random.default_rng([latents.seed, 4]).normal(0, 0.008, (size, size, 1))
    return rgb + grain
