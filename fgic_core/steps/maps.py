"""Maps over pictures: scaled, drawn, compared."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.geometry import Size

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

#: The largest share of a pixel that the colour of a map takes.
OPACITY = 0.6


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
    from PIL import Image as Pillow

    pixels = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    muted = 0.5 * pixels + 0.5 * grey[..., None]
    value = np.clip(np.asarray(values, dtype=np.float64), 0, 1)
    colour = _colours()[np.rint(value * 255).astype(np.intp)]
    alpha = (OPACITY * np.sqrt(value))[..., None]
    drawn = (1 - alpha) * muted + alpha * colour
    return Pillow.fromarray(np.rint(drawn * 255).astype(np.uint8))


def rank_similarity(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float | None:
    """Spearman's rank correlation of two maps of one shape; 0 where one of them is flat, None where both are."""
    from scipy.stats import spearmanr

    flat = [bool(np.ptp(values) == 0) for values in (one, other)]
    if all(flat):
        return None
    if any(flat):
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
