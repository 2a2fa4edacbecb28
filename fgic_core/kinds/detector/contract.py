"""Detector: pictures to boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fgic_core.kinds.component import Component, InputFile, UseOnly
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.context import Context


#: Beside a trained detector's weights: the digests of the pictures that it was trained on or chosen by.
SEEN = "seen.parquet"


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found in one picture.

    Attributes:
        boxes: (n, 4) float, edges x1, y1, x2, y2 in pixels of the picture.
        scores: (n,) float, confidence in [0, 1].
        labels: (n,) int, index into the data set's classes; 0 throughout unless the detector is `per_class`.
    """

    boxes: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


class FittedDetector(ABC):
    """What a detector has learned, or what a ready one brings: it finds the objects in pictures.

    Contract: `detect` gives one `Detections` for each picture, in the pictures' own pixels and in any order; the same
    picture gives the same boxes whatever else is in the batch. It gives weak boxes too (say from a score of 0.05):
    average precision counts them, and `Detector.min_score` is the core's to apply.

    Attributes:
        network: what learning changes. The core keeps its weights of each epoch that is evaluated, and measures the
            test curve from them when the training is over. None, as by default, where there is none.
    """

    network: nn.Module | None = None

    @abstractmethod
    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """The objects in each picture.

        Args:
            images: 8-bit RGB, of any sizes.
        """


class Detector(Component, ABC):
    """Says how objects are found in pictures: a recipe, which never changes.

    Contract: `fit` returns what it learned, `save` writes that, and `load` gives it back. The core clips boxes to the
    picture, computes mAP, mAP50 and mAP75 with pycocotools, and writes the boxes into the data set beside the annotated
    ones.
    """

    kind: ClassVar[str] = "detector"
    inputs: ClassVar[Mapping[str, Input]] = {"dataset": Input("dataset")}
    gives: ClassVar[str] = "dataset"
    #: Whether `fit` learns from pictures without an object (`Sample.empty`), in which whatever is found is wrong. If
    #: not, it is given none.
    negatives: ClassVar[bool] = False

    weights: InputFile | None = Field(
        None, description="A local file of weights to start from; the detector's help says which formats it reads."
    )
    per_class: bool = Field(
        False, description="Tell the data set's classes apart. By default every object is just an object."
    )
    min_score: UseOnly[float] = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="Least confidence of a box that goes into the data set; a cropper takes the most confident one. "
        "Average precision counts all boxes.",
    )
    crossfit: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Besides, find each train picture's boxes by a detector that was not trained on it: in so many "
        "folds, a detector is trained without each. A cropper uses them with `train_boxes: crossfit`.",
    )
    val_fraction: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="Share of each class's train samples that is held out to choose the epoch, where the data set has "
        "no validation split. For a detector that learns.",
    )
    test_curve: UseOnly[bool] = Field(
        True,
        description="Measure the test split at every epoch for the report's curve. It is never used to choose. For a "
        "detector that learns.",
    )

    def reads(self) -> Sequence[Path]:
        """What is known of the pictures that the weights have seen lies beside them."""
        return [self.weights.parent / SEEN] if self.weights is not None else []

    def draws(self) -> bool:
        return self.learns()

    def learns(self) -> bool:
        """Whether `fit` learns from the pictures it is given. A ready detector says no, and is given none."""
        return True

    @abstractmethod
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedDetector:
        """Train on ``train``, choose by what ``ctx.evaluate`` returns, and give back what was learned.

        The recipe stays as it is, and what is declared `UseOnly` cannot be read here. A ready detector reads its
        weights.

        Args:
            train: whole pictures (`Dataset.picture`) with annotated boxes, and empty ones for a detector that says it
                learns from these (`negatives`); no validation or test sample among them. Crowd boxes
                (`ObjectBox.crowd`) are no single object and nothing to learn a box from.
            val: held out from train by the core; annotated pictures, empty ones among them.
            ctx: calls ``ctx.evaluate(fitted, epoch)`` at the end of each epoch; it returns ``mAP``, ``mAP50`` and
                ``mAP75`` on val, or nothing where val has no annotated box.
        """

    @abstractmethod
    def save(self, fitted: FittedDetector, folder: Path) -> None:
        """Write what `load` needs beside the options into an existing folder: safetensors and JSON.

        Files that options name may be gone by then: of a ready detector its weights are written too.
        """

    @abstractmethod
    def load(self, folder: Path, device: str) -> FittedDetector:
        """Take back what `save` wrote, to be used: here all options count. Nothing there is unpickled."""
