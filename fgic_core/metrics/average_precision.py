"""COCO's average precision, by pycocotools, with an interval by resampling pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

#: COCO's limit of boxes in one picture.
MOST = 100
#: How often pictures are drawn anew for the interval.
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Truth:
    """The annotated boxes of one picture.

    Attributes:
        boxes: (n, 4) float, edges x1, y1, x2, y2.
        labels: (n,) int; 0 throughout where classes are not told apart.
        crowd: (n,) bool: a group that was not told apart; what is found in it counts neither for nor against.
    """

    boxes: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    crowd: np.ndarray[Any, Any]


class Found(NamedTuple):
    """The boxes found in one picture: (n, 4) edges, (n,) scores, (n,) labels."""

    boxes: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


class Precision(NamedTuple):
    """Average precision; NaN where no box is annotated.

    ``mAP`` is the mean over IoU 0.50, 0.55, … 0.95 and the classes that occur; the others are those at IoU 0.50 and
    0.75.
    """

    mAP: float
    mAP50: float
    mAP75: float


class AveragePrecision:
    """COCO's average precision of boxes (Lin et al., ECCV 2014), of all sizes, with at most 100 boxes a picture.

    Args:
        truth: the annotated boxes, picture by picture.
        found: what was found in the same pictures.
        classes: how many there are; labels are below it.
    """

    def __init__(self, truth: Sequence[Truth], found: Sequence[Found], classes: int) -> None:
        from pycocotools.cocoeval import COCOeval

        self._pictures, self._classes = len(truth), classes
        with redirect_stdout(io.StringIO()):  # pycocotools prints what it does
            annotated = _coco([_annotations(one) for one in truth], classes)
            detected = _coco([_detections(one) for one in found], classes)
            self._evaluation = COCOeval(annotated, detected, "bbox")
            self._evaluation.params.areaRng = [[0, 1e10]]
            self._evaluation.params.areaRngLbl = ["all"]
            self._evaluation.params.maxDets = [MOST]
            self._evaluation.evaluate()

    def value(self) -> Precision:
        """Over all pictures."""
        with redirect_stdout(io.StringIO()):
            self._evaluation.accumulate()
        precision = self._evaluation.eval["precision"]  # (IoU, recall, class, area, most)
        return Precision(_mean(precision), _mean(precision[0]), _mean(precision[5]))

    def intervals(self, rng: np.random.Generator, draws: int = DRAWS) -> tuple[Precision, Precision]:
        """Lower and upper ends of the 95 % percentile bootstrap intervals over pictures (Efron 1979)."""
        images = self._evaluation.evalImgs
        drawn = []
        try:
            for _ in range(draws):
                rows = rng.integers(self._pictures, size=self._pictures)
                self._evaluation.evalImgs = [
                    images[label * self._pictures + row] for label in range(self._classes) for row in rows
                ]
                drawn.append(self.value())
        finally:
            self._evaluation.evalImgs = images
        low, high = np.nanpercentile(np.array(drawn), [2.5, 97.5], axis=0)
        return Precision(*low.tolist()), Precision(*high.tolist())


def _mean(precision: np.ndarray[Any, Any]) -> float:
    """The mean over what could be measured; pycocotools marks the rest with -1."""
    held = precision[precision > -1]
    return float(held.mean()) if held.size else float("nan")


def _annotations(truth: Truth) -> list[dict[str, Any]]:
    rows = zip(truth.boxes, truth.labels, truth.crowd, strict=True)
    return [{**_box(box, int(label)), "iscrowd": int(crowd), "ignore": 0} for box, label, crowd in rows]


def _detections(found: Found) -> list[dict[str, Any]]:
    rows = zip(found.boxes, found.labels, found.scores, strict=True)
    return [{**_box(box, int(label)), "iscrowd": 0, "score": float(score)} for box, label, score in rows]


def _box(box: np.ndarray[Any, Any], label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(edge) for edge in box)
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "category_id": label + 1}


def _coco(pictures: list[list[dict[str, Any]]], classes: int) -> Any:
    """What pycocotools would have read from a file. Ids start at 1: it takes an annotation's id 0 for no match."""
    from pycocotools.coco import COCO

    made = COCO()
    rows = [{**row, "image_id": image} for image, rows in enumerate(pictures, 1) for row in rows]
    made.dataset = {
        "images": [{"id": image} for image in range(1, len(pictures) + 1)],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
        "annotations": [{**row, "id": number} for number, row in enumerate(rows, 1)],
    }
    made.createIndex()
    return made
