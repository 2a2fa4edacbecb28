"""One picture of a data set and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fgic_core.data.geometry import Box, Size

Split = Literal["train", "val", "test"]

#: The parts of a data set. `val` is optional in a reader: the core cuts it from train when it is missing.
SPLITS: tuple[Split, ...] = ("train", "val", "test")

#: Where a box comes from: an annotation; a detector; or, for train pictures, a detector that was not trained on them.
BoxSource = Literal["annotated", "predicted", "crossfit"]

SOURCES: tuple[BoxSource, ...] = ("annotated", "predicted", "crossfit")

#: What pictures are cropped to: boxes of a source, or nothing: they are used whole.
CropSource = Literal["annotated", "predicted", "crossfit", "whole"]

#: What is shown of a picture that has a region: the region alone, or the whole frame with grey around the region.
View = Literal["crop", "mask"]


def source_of(origin: str) -> str:
    """The source that a box's origin names: ``predicted`` of ``predicted:detector/mmdet``."""
    return origin.partition(":")[0]


@dataclass(frozen=True, slots=True)
class ObjectBox:
    """A box around an object, and where the box comes from.

    Attributes:
        box: edges in pixels.
        label: class index of the object, None where the box is class-agnostic.
        score: the detector's confidence in [0, 1], None for an annotation.
        crowd: the box covers a group that was not told apart (COCO's ``iscrowd``).
        origin: ``annotated``, ``predicted:<component>``, or ``crossfit:<component>`` for a box that was found in a
            train picture by a detector that was not trained on it.
    """

    box: Box
    label: int | None = None
    score: float | None = None
    crowd: bool = False
    origin: str = "annotated"

    @property
    def is_annotated(self) -> bool:
        return self.origin == "annotated"


@dataclass(frozen=True, slots=True)
class Part:
    """The location of a named part (beak, tail, …) in pixels, and whether it can be seen."""

    name: str
    x: float
    y: float
    visible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a data set.

    Attributes:
        id: unique within the data set, stable across machines (by custom the path without its suffix).
        path: the picture's file, relative to the reader's `source()` folder, with forward slashes.
        label: index into the class names.
        split: the part of the data set.
        size: width and height in pixels; None lets the core read them from the file.
        boxes: annotated and predicted boxes.
        empty: somebody looked for objects and there is none in the picture; it has no annotated box then. Without this,
            a picture that has no annotated box is one that was not annotated: nobody knows what is in it.
        parts: part locations.
        part_mask: 8-bit single-channel PNG beside the picture, whose value p > 0 marks part number p (1-based) of the
            data set's `part_names`; relative like `path`.
        region: the area that is looked at; None is the whole picture. It is cut out when the picture is decoded, unless
            ``masked``.
        masked: the picture keeps its frame, and what is outside of the region is grey. Boxes and parts are in pixels of
            the whole picture either way.
        region_origin: where the region comes from, such as ``annotated``, ``predicted:detector/mmdet`` or
            ``full image: no box``.
        origin: ``real``, or ``synthetic:<component>``.
        parents: ids of the samples it was made from.
        extra: values of the columns that the data set declares beyond these (`Column`), by name; of a file its path.
    """

    id: str
    path: str
    label: int
    split: Split
    size: Size | None = None
    boxes: tuple[ObjectBox, ...] = ()
    empty: bool = False
    parts: tuple[Part, ...] = ()
    part_mask: str | None = None
    region: Box | None = None
    masked: bool = False
    region_origin: str | None = None
    origin: str = "real"
    parents: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_annotated(self) -> bool:
        """Whether it is known which objects are in the picture: it has an annotated box, or is empty."""
        return self.empty or any(box.is_annotated for box in self.boxes)
