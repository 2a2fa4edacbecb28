"""What a detector finds, checked and inside the pictures, and how precise that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.boxes import annotated, with_object
from fgic_core.data.dataset import Dataset
from fgic_core.data.geometry import Size
from fgic_core.errors import PluginError
from fgic_core.kinds.detector.contract import Detections, Detector, FittedDetector
from fgic_core.metrics.average_precision import AveragePrecision, Found, Truth

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.kinds.classifier.model import Model
    from fgic_core.steps.context import StepContext

BATCH_SIZE = 8
_EDGES = ("x1", "y1", "x2", "y2")


def classes_of(component: Detector, data: Dataset | Model) -> int:
    """How many kinds of objects a detector tells apart."""
    return len(data.classes) if component.per_class else 1


def detect(
    fitted: FittedDetector, data: Dataset, classes: int, ctx: StepContext, description: str
) -> Iterator[tuple[Detections, Size]]:
    """The objects in each whole picture, clipped to it, the most confident first, at most 100; and the picture's size.

    Args:
        fitted: finds them.
        data: whose pictures are looked at, each decoded once.
        classes: how many kinds of objects there are; labels are below it.
        ctx: shows the progress, under the description.

    Raises:
        PluginError: the detector breaks its contract.
    """
    with ctx.progress(description, len(data)) as progress:
        for first in range(0, len(data), BATCH_SIZE):
            pictures = [data.picture(row) for row in range(first, min(first + BATCH_SIZE, len(data)))]
            yield from find(fitted, pictures, classes, ctx.uses)
            progress.advance(len(pictures))


def find(
    fitted: FittedDetector, pictures: Sequence[Image], classes: int, uses: str
) -> Iterator[tuple[Detections, Size]]:
    """As `detect`, in pictures (8-bit RGB) that are there, all at once."""
    found = _checked(fitted.detect(pictures), pictures, classes, uses)
    for one, picture in zip(found, pictures, strict=True):
        size = Size(*picture.size)
        yield _inside(one, size), size


def sure_boxes(found: Detections, origin: str, component: Detector) -> list[dict[str, Any]]:
    """The boxes that are sure enough (`Detector.min_score`), as elements of the `boxes` column."""
    return [
        {
            **dict(zip(_EDGES, map(float, box), strict=True)),
            "label": int(label) if component.per_class else None,
            "score": float(score),
            "crowd": False,
            "origin": origin,
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        if score >= component.min_score
    ]


def _checked(found: Any, pictures: Sequence[Image], classes: int, uses: str) -> list[Detections]:
    if len(found) != len(pictures):
        raise PluginError(f"detect gave {len(found)} results for {len(pictures)} pictures", where=uses)
    for one in found:
        boxes, scores, labels = np.asarray(one.boxes, float), np.asarray(one.scores, float), np.asarray(one.labels)
        if boxes.shape != (len(scores), 4) or len(labels) != len(scores):
            raise PluginError(
                f"detect gave boxes of shape {boxes.shape}, {len(scores)} scores and {len(labels)} labels",
                where=uses,
                hint="For n objects they are (n, 4), (n,) and (n,).",
            )
        if not np.isfinite(boxes).all() or not ((scores >= 0) & (scores <= 1)).all():
            raise PluginError("detect gave a box that is not finite or a score outside [0, 1]", where=uses)
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            hint = "Without per_class every label is 0." if classes == 1 else ""
            raise PluginError(f"detect gave a label outside 0..{classes - 1}", where=uses, hint=hint or None)
    return list(found)


def _inside(found: Detections, size: Size) -> Detections:
    """The detections inside the picture, at most 100, most confident first."""
    boxes = np.asarray(found.boxes, dtype=np.float32).reshape(-1, 4)
    boxes = np.clip(boxes, 0, np.array([size.width, size.height] * 2, dtype=np.float32))
    scores = np.asarray(found.scores, dtype=np.float32)
    held = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    order = held[np.argsort(-scores[held], kind="stable")][:100]
    return Detections(boxes[order], scores[order], np.asarray(found.labels, dtype=np.int64)[order])


@dataclass(frozen=True)
class Ruler:
    """Average precision of a detector, during its training and over its snapshots.

    Attributes:
        split: the name of the split that is measured on.
        data: its annotated pictures, empty ones too; none where no picture has an object.
    """

    component: Detector
    split: str
    data: Dataset

    @classmethod
    def of(cls, component: Detector, split: str, data: Dataset) -> Ruler:
        """The ruler on the annotated pictures of a split."""
        held = data.where(annotated(data.table))
        return cls(component, split, held if with_object(held.table).any() else held.take([]))

    def measure(self, fitted: FittedDetector, epoch: int, ctx: StepContext) -> dict[str, float]:
        """``mAP``, ``mAP50`` and ``mAP75`` after an epoch; nothing where there is nothing to measure on."""
        if not len(self.data):
            return {}
        classes = classes_of(self.component, self.data)
        found = [one for one, _ in detect(fitted, self.data, classes, ctx, f"epoch {epoch}: {self.split}")]
        return precision_of(self._truth(), found, classes).value()._asdict()

    def _truth(self) -> list[Truth]:
        columns = self.data.table.select(["label", "boxes"]).to_pylist()
        return [truth_of(row["boxes"], row["label"], self.component.per_class) for row in columns]


def precision_of(truth: Sequence[Truth], found: Sequence[Detections], classes: int) -> AveragePrecision:
    """Average precision of what was found in pictures whose objects are known."""
    return AveragePrecision(truth, [Found(one.boxes, one.scores, one.labels) for one in found], classes)


def truth_of(boxes: Sequence[Mapping[str, Any]] | None, label: int, per_class: bool) -> Truth:
    """The annotated boxes of a row; a box without a label of its own has its picture's."""
    rows = [box for box in boxes or () if box["origin"] == "annotated"]
    edges = np.array([[box[edge] for edge in _EDGES] for box in rows], dtype=float).reshape(-1, 4)
    labels = [(label if box["label"] is None else box["label"]) if per_class else 0 for box in rows]
    return Truth(edges, np.array(labels, dtype=int), np.array([box["crowd"] for box in rows], dtype=bool))
