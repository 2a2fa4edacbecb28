"""The arithmetic: a weighted sum, a rectangle, a pasted object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fgic_core import Box
from fgic_gen_mix._pictures import Pixels, View


def rectangle(side: int, share: float, where: tuple[float, float]) -> tuple[int, int, int, int]:
    """The rectangle that CutMix replaces: left, upper, right, lower.

    Args:
        side: of the square picture in pixels.
        share: of its area, in [0, 1]. The rectangle has at most so much, and less than a row of pixels less.
        where: its place among those inside the picture, each in [0, 1).
    """
    height = round(side * share**0.5)
    width = min(int(share * side * side / height + 1e-9), side) if height else 0
    left, upper = (int(at * (side - length + 1)) for at, length in zip(where, (width, height), strict=True))
    return left, upper, left + width, upper + height


def mixup(first: Pixels, second: Pixels, share: float) -> Pixels:
    """``share * first + (1 - share) * second``, of (3, height, width) float32 in [0, 1]."""
    mixed: Pixels = np.clip(share * first + (1 - share) * second, 0, 1).astype(np.float32)
    return mixed


def cutmix(first: Pixels, second: Pixels, share: float, where: tuple[float, float]) -> Pixels:
    """A rectangle of ``1 - share`` of the area of the second in the first, both (3, side, side)."""
    left, upper, right, lower = rectangle(first.shape[-1], 1 - share, where)
    mixed = first.copy()
    mixed[:, upper:lower, left:right] = second[:, upper:lower, left:right]
    return mixed


@dataclass(frozen=True)
class Paste:
    """How an object is pasted: the options of the same names, and how much larger it is than it needs to be."""

    shape: str
    feather: float
    margin: float
    grow: float = 1.0


def paste(thing: View, ground: View, how: Paste) -> Image.Image:
    """An object over the place of a background's own, in the pixels of the background.

    It covers the place and the margin, moved into the picture, unless it would not fit: then it is as large as fits.
    """
    height, width = ground.image.shape[:2]
    target = ground.box.expand(how.margin * max(ground.box.width, ground.box.height))
    cover = max(target.width / thing.box.width, target.height / thing.box.height) * how.grow
    scale = min(cover, width / thing.box.width, height / thing.box.height)
    x = _start(target.center[0], thing.box.width * scale, width)
    y = _start(target.center[1], thing.box.height * scale, height)
    fade = how.feather * min(thing.box.width, thing.box.height) * scale
    canvas = Image.fromarray(ground.image)
    patch, alpha, place = _cut(thing, scale, fade, how.shape)
    canvas.paste(patch, (round(x) - place[0], round(y) - place[1]), alpha)
    return canvas


def _start(center: float, length: float, room: int) -> float:
    """Where something of that length starts that is centred there, or as near to it as lies inside."""
    return min(max(center - length / 2, 0.0), max(room - length, 0.0))


def _cut(thing: View, scale: float, fade: float, shape: str) -> tuple[Image.Image, Image.Image, tuple[int, int]]:
    """The scaled object with its surroundings, its opacity, and where in them its box starts."""
    pad = fade / scale
    height, width = thing.image.shape[:2]
    x1, y1 = max(thing.box.x1 - pad, 0.0), max(thing.box.y1 - pad, 0.0)
    x2, y2 = min(thing.box.x2 + pad, width), min(thing.box.y2 + pad, height)
    size = max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1)
    source = (x1, y1, x2, y2)
    patch = Image.fromarray(thing.image).resize(size, Image.Resampling.BICUBIC, box=source)
    if thing.mask is not None:
        hard = Image.fromarray(thing.mask).resize(size, Image.Resampling.BILINEAR, box=source)
    else:
        hard = _hard(size, thing.box.shift(-x1, -y1).scale(scale, scale), shape)
    return patch, _faded(hard, fade), (round((thing.box.x1 - x1) * scale), round((thing.box.y1 - y1) * scale))


def _hard(size: tuple[int, int], box: Box, shape: str) -> Image.Image:
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    x1, y1, x2, y2 = (round(edge) for edge in box.xyxy)
    corners = (x1, y1, max(x2 - 1, x1), max(y2 - 1, y1))
    (draw.rectangle if shape == "rectangle" else draw.ellipse)(corners, fill=255)
    return mask


def _faded(mask: Image.Image, fade: float) -> Image.Image:
    """The mask with a Gaussian fall outside of it. Its inside stays opaque: the object is shown whole."""
    if fade < 0.5:
        return mask
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(fade / 2)), dtype=np.float32) * 2
    return Image.fromarray(np.maximum(np.minimum(soft, 255), np.asarray(mask)).astype(np.uint8))
