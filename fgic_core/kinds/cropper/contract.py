"""Cropper: box to region."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from fgic_core.data.geometry import Box, Size
from fgic_core.data.sample import CropSource, View
from fgic_core.kinds.component import Component
from fgic_core.kinds.ports import Input


class Cropper(Component, ABC):
    """Says which region of a picture is looked at, given the object's box.

    Contract: `region` is a pure function. The core picks the box (the largest annotated, the most confident
    found), clips the region to the picture, falls back to the full image where there is no box, counts how often,
    and stores four numbers; pictures are cut, or masked around the region (`view`), when they are decoded.
    """

    kind: ClassVar[str] = "cropper"
    inputs: ClassVar[Mapping[str, Input]] = {"dataset": Input("dataset")}
    gives: ClassVar[str] = "dataset"

    train_boxes: CropSource = Field(
        "annotated",
        description="Boxes that train and validation pictures are cropped to: annotated ones, the detector's, or "
        "(`crossfit`, an option of the detector's step too) those of a detector that was not trained on the picture. "
        "`whole` uses these pictures as they are.",
    )
    test_boxes: CropSource | None = Field(
        None,
        description="Boxes that test pictures are cropped to; by default predicted ones if a detector ran before, else "
        "annotated ones. No detector is trained on test pictures: `crossfit` is the same as `predicted` here. `whole` "
        "uses these pictures as they are.",
    )

    view: View = Field(
        "crop",
        description="What is shown of a picture that has a region: `crop` cuts the region out. `mask` keeps the frame "
        "and fills what is outside of the region with grey: the object at the scale that it has in the picture, "
        "without its context. Both show the same pixels, those that the region reaches, in part or whole; a picture "
        "that is used whole is so either way.",
    )

    def draws(self) -> bool:
        return False

    @abstractmethod
    def region(self, box: Box, image: Size) -> Box:
        """The region to cut, in pixels of the picture.

        Args:
            box: the object, not empty, inside the picture.
            image: size of the whole picture.
        """
