"""Detector: pictures to boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fgic_core.data.artifact import ArtifactType
from fgic_core.interfaces.component import Component

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from fgic_core.data.dataset import Dataset
    from fgic_core.interfaces.context import Context


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found in one picture.

    Attributes:
        boxes: (n, 4) float, edges x1, y1, x2, y2 in pixels of the picture.
        scores: (n,) float, confidence in [0, 1].
        labels: (n,) int, index into the data set's classes; 0 throughout for a class-agnostic detector.
    """

    boxes: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


class Detector(Component, ABC):
    """Finds the objects in a picture.

    Contract: `detect` gives one `Detections` for each picture, in the pictures' own pixels and in any order; the same
    picture gives the same boxes whatever else is in the batch. The core clips boxes to the picture, computes mAP,
    mAP50 and mAP75, and writes the boxes into the data set beside the annotated ones.
    """

    kind: ClassVar[str] = "detector"
    takes: ClassVar[tuple[ArtifactType, ...]] = ("dataset",)
    gives: ClassVar[ArtifactType] = "dataset"

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> None:
        """Train on ``train``, choose by ``val``. A ready detector leaves this as it is.

        Args:
            train: whole pictures with annotated boxes; no test sample among them.
            val: cut from train by the core.
            ctx: calls ``ctx.evaluate(self, epoch)`` at the end of each epoch.
        """
        return

    @abstractmethod
    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """The objects in each picture.

        Args:
            images: 8-bit RGB, of any sizes.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing folder: safetensors and JSON."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> None:
        """Take back what `save` wrote. Nothing there is unpickled."""
