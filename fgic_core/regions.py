"""What of a new picture a classifier is shown: where the object was found, where the user says it is, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fgic_core.data.geometry import Box, Size
from fgic_core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.kinds.cropper.contract import Cropper
    from fgic_core.kinds.detector.contract import Detector, FittedDetector

#: Origins of a box, beside ``predicted:<component>``.
WHOLE, GIVEN = "whole picture", "given"


class Shown(NamedTuple):
    """What a classifier is shown of a picture.

    Attributes:
        box: around the object, inside the picture, in its pixels; None where there is none.
        origin: ``predicted:<component>``, ``given`` or ``whole picture``.
        score: the detector's confidence in [0, 1].
        region: what is looked at; None for the whole picture.
        remark: what speaks against it.
        masked: whether the region is not cut out, but all around it is grey.
    """

    box: Box | None = None
    origin: str = WHOLE
    score: float | None = None
    region: Box | None = None
    remark: str = ""
    masked: bool = False


NOT_CUT = Shown()


class Regions(Protocol):
    """Says what a classifier is shown of pictures."""

    @property
    def for_one(self) -> bool:
        """Whether it is for a single picture, as a box is that the user gives."""

    def __call__(self, pictures: Sequence[Image], names: Sequence[str]) -> Iterator[Shown | DataError]:
        """What it is shown of each, or why it is shown nothing.

        Args:
            pictures: 8-bit RGB, upright.
            names: what errors call them.
        """


@dataclass(frozen=True, slots=True)
class WholePictures:
    """Whole pictures."""

    for_one: bool = False

    def __call__(self, pictures: Sequence[Image], names: Sequence[str]) -> Iterator[Shown | DataError]:
        return (NOT_CUT for _ in pictures)


WHOLE_PICTURES = WholePictures()


@dataclass(frozen=True, slots=True)
class GivenBox:
    """Around a box that the user gives.

    Attributes:
        cropper: of the run.
        box: in pixels of the picture.
    """

    cropper: Cropper
    box: Box
    for_one: bool = True

    def __call__(self, pictures: Sequence[Image], names: Sequence[str]) -> Iterator[Shown | DataError]:
        from fgic_core.kinds.cropper.driver import region_of, stored

        for picture, name in zip(pictures, names, strict=True):
            size = Size(*picture.size)
            box = stored(self.box).clip(size)  # as the rows of a data set would have it
            if box.is_empty:
                what = f"the box {self.box.xyxy} holds no pixel of this {size.width}x{size.height} picture"
                yield DataError(what, where=name, hint="Edges are in pixels of the upright picture.")
            else:
                region = region_of(self.cropper, box, size, name)
                yield Shown(box, GIVEN, None, region, masked=self.cropper.view == "mask")


@dataclass(frozen=True, slots=True)
class FoundBoxes:
    """Around the most confident box that a detector finds, as a run takes its test pictures.

    Attributes:
        cropper: of the run.
        detector: its recipe says which boxes are sure enough.
        fitted: finds them.
        uses: the word for it.
        classes: how many kinds of objects it tells apart.
    """

    cropper: Cropper
    detector: Detector
    fitted: FittedDetector
    uses: str
    classes: int
    for_one: bool = False

    def __call__(self, pictures: Sequence[Image], names: Sequence[str]) -> Iterator[Shown | DataError]:
        from fgic_core.data.boxes import choose_box
        from fgic_core.kinds.cropper.driver import region_of
        from fgic_core.kinds.detector.ruler import BATCH_SIZE, find, sure_boxes

        for first in range(0, len(pictures), BATCH_SIZE):
            some = pictures[first : first + BATCH_SIZE]
            found = find(self.fitted, some, self.classes, self.uses)
            for (one, size), name in zip(found, names[first : first + BATCH_SIZE], strict=True):
                chosen = choose_box(sure_boxes(one, f"predicted:{self.uses}", self.detector), "predicted", size)
                if chosen.box is None or chosen.entry is None:
                    yield Shown(remark=f"{self.uses} found no object in it: this is of the whole picture")
                else:
                    region = region_of(self.cropper, chosen.box, size, name)
                    found_by, masked = chosen.entry["origin"], self.cropper.view == "mask"
                    yield Shown(chosen.box, found_by, chosen.entry["score"], region, masked=masked)
