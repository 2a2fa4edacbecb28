"""Maps over pictures: scaled, drawn, compared."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.geometry import Box, Size
from fgic_core.data.images import cut_edges

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

#: The largest share of a pixel that the colour of a map takes.
OPACITY = 0.6
#: How many rows of a picture are drawn at once.
_BAND = 256


def normalise(maps: torch.Tensor, size: Size) -> torch.Tensor:
    """Maps (n, h, w) at the input's size, each scaled by its maximum to [0, 1]; negative values count as zero.

    Scaling is by the maximum alone: a second min-max would turn a flat map into contrast. An all-zero map stays zero.
    """
    from torch.nn import functional

    positive = maps.detach().to("cpu").double().clamp_min(0)
    positive = positive / _peak(positive)
    large = functional.interpolate(positive[:, None], (size.height, size.width), mode="bilinear", align_corners=False)[
        :, 0
    ]
    return (large / _peak(large)).float().clamp_(0, 1)


def _peak(maps: torch.Tensor) -> torch.Tensor:
    peak = maps.amax(dim=(1, 2), keepdim=True)
    return peak.where(peak > 0, peak.new_ones(()))


@cache
def _colours() -> np.ndarray[Any, np.dtype[np.float64]]:
    """256 colours of matplotlib's "turbo", (256, 3) in [0, 1]."""
    from matplotlib import colormaps

    return np.asarray(colormaps["turbo"](np.arange(256)))[:, :3]


def overlay(image: Image, values: np.ndarray[Any, Any]) -> Image:
    """A map (height, width) in [0, 1] over a picture of that size.

    Colour and opacity both grow with the value, over a picture in muted colours, so that what the map leaves out stays
    to be seen and no place of value zero is tinted.
    """
    drawn = image.convert("RGB")
    values = np.asarray(values)
    for first in range(0, image.height, _BAND):  # a photo's pixels as 64-bit floats need not all be there at once
        box = (0, first, image.width, min(first + _BAND, image.height))
        drawn.paste(_blend(drawn.crop(box), values[box[1] : box[3]]), box)
    return drawn


def _blend(image: Image, values: np.ndarray[Any, Any]) -> Image:
    from PIL import Image as Pillow

    pixels = np.asarray(image, dtype=np.float64) / 255
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    muted = 0.5 * pixels + 0.5 * grey[..., None]
    value = np.clip(np.asarray(values, dtype=np.float64), 0, 1)
    colour = _colours()[np.rint(value * 255).astype(np.intp)]
    alpha = (OPACITY * np.sqrt(value))[..., None]
    drawn = (1 - alpha) * muted + alpha * colour
    return Pillow.fromarray(np.rint(drawn * 255).astype(np.uint8))


def overlay_region(image: Image, values: np.ndarray[Any, Any], region: Box | None) -> Image:
    """A map over the part of a picture that was cut; the rest stays as it is.

    Args:
        image: the whole picture, 8-bit RGB.
        values: (height, width) of the cut, in [0, 1].
        region: what was cut; None for the whole picture.
    """
    if region is None:
        return overlay(image, values)
    box = cut_edges(region, Size(*image.size))
    drawn = image.copy()
    drawn.paste(overlay(image.crop(box), values), box)
    return drawn


def rank_similarity(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float | None:
    """Spearman's rank correlation of two maps of one shape; 0 where one of them is flat, None where both are."""
    from scipy.stats import spearmanr

    flat = [bool(np.ptp(values) == 0) for values in (one, other)]
    if all(flat):
        return None
    if any(flat):
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
