"""Scoring maps against boxes: the pointing game, its baselines, and the map's mass inside the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Literal

import numpy as np

from fgic_core.data.geometry import Box, Size
from fgic_core.data.images import cut_edges
from fgic_core.data.input_spec import InputSpec
from fgic_core.data.sample import Sample

#: Whose boxes a map is scored against: people drew them, or a detector found them.
BoxesOf = Literal["annotated", "detected"]


@dataclass(frozen=True, slots=True)
class Pointing:
    """One map against the boxes of its picture.

    Attributes:
        hit: the map's maximum lies in a box; False for an all-zero map (Zhang et al. 2018, without their tolerance of
            15 pixels: the boxes of fine-grained data sets are large as it is).
        center_hit: the input's centre does.
        random_hit: share of the input inside the boxes: the expected hits of a random point.
        energy: share of the map's sum inside the boxes, 0 for an all-zero map (Wang et al. 2020).
    """

    hit: bool
    center_hit: bool
    random_hit: float
    energy: float


def object_boxes(sample: Sample) -> tuple[BoxesOf, list[Box]]:
    """The boxes that a map is scored against, and whose they are.

    The annotated ones where the picture is annotated: none if it is empty, or has crowds alone. Elsewhere the most
    confident predicted one, which says what a detector took for the object.
    """
    if sample.is_annotated:
        return "annotated", [b.box for b in sample.boxes if b.is_annotated and not b.crowd]
    return "detected", [b.box for b in sorted(sample.boxes, key=lambda b: -(b.score or 0.0))[:1]]


def boxes_in_input(sample: Sample, image: Size, spec: InputSpec) -> list[Box]:
    """The boxes of `object_boxes` in pixels of the network's input, clipped to what is shown, empty ones left out.

    Of a masked picture that is what lies in its region, as of one that is cut to it.

    Args:
        sample: its boxes are in pixels of the whole picture.
        image: size of what the sample shows, that is of its region, or of the whole picture where it is masked.
        spec: says where that lands in the input.
    """
    _, boxes = object_boxes(sample)
    placement, region = spec.placement(image), sample.region
    left, top, shown, back = 0, 0, image, (0, 0)
    if region is not None and sample.masked:
        left, top, right, lower = cut_edges(region, image)
        shown, back = Size(right - left, lower - top), (left, top)
    elif region is not None:  # `cut` takes whole pixels outward of the region clipped to the picture
        left, top = floor(max(region.x1, 0.0)), floor(max(region.y1, 0.0))
    visible = [box.shift(-left, -top).clip(shown) for box in boxes]
    found = [placement.to_input(box.shift(*back)).clip(spec.size) for box in visible if not box.is_empty]
    return [box for box in found if not box.is_empty]


def score(values: np.ndarray[Any, Any], boxes: Sequence[Box]) -> Pointing | None:
    """A map (height, width) >= 0 against boxes in its pixels; None where no pixel's centre lies in a box."""
    height, width = values.shape
    inside = np.zeros((height, width), dtype=bool)
    for box in boxes:
        columns = (np.arange(width) + 0.5 >= box.x1) & (np.arange(width) + 0.5 < box.x2)
        rows = (np.arange(height) + 0.5 >= box.y1) & (np.arange(height) + 0.5 < box.y2)
        inside |= rows[:, None] & columns
    if not inside.any():
        return None
    total = float(values.sum(dtype=np.float64))
    return Pointing(
        hit=total > 0 and bool(inside.flat[int(values.argmax())]),
        center_hit=any(box.contains(width / 2, height / 2) for box in boxes),
        random_hit=float(inside.mean()),
        energy=float(values[inside].sum(dtype=np.float64)) / total if total > 0 else 0.0,
    )
