"""Average precision equals that of pycocotools on the files that people give it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fgic_core.metrics.average_precision import AveragePrecision, Found, Precision, Truth

CASES = 240


def case(number: int) -> tuple[list[Truth], list[Found], int]:
    """Random pictures: crowds, pictures without objects or without detections, equal scores, absent classes."""
    rng = np.random.default_rng(number)
    classes = int(rng.integers(1, 5))
    absent = int(rng.integers(classes)) if classes > 1 and number % 3 == 0 else -1
    truth, found = [], []
    for _ in range(int(rng.integers(1, 9))):
        count = int(rng.integers(0, 4))
        labels = rng.integers(0, classes, count)
        labels = labels[labels != absent]
        boxes = random_boxes(rng, len(labels))
        truth.append(Truth(boxes, labels, rng.random(len(labels)) < (0.3 if number % 2 else 0.0)))
        near = boxes + rng.normal(0, rng.choice([0.5, 4.0, 15.0]), boxes.shape)
        near = np.hstack([np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:]) + 1])
        junk = int(rng.integers(0, 5))
        places = np.vstack([near, near, random_boxes(rng, junk)])
        guessed = np.concatenate([labels, labels, rng.integers(0, classes, junk)]).astype(int)
        scores = rng.random(len(places)) if number % 5 else np.round(rng.random(len(places)), 1)  # ties
        kept = rng.random(len(places)) < 0.8
        found.append(Found(places[kept], scores[kept], guessed[kept]))
    return truth, found, classes


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    corner, size = rng.uniform(0, 150, (count, 2)), rng.uniform(2, 90, (count, 2))
    return np.hstack([corner, corner + size])


def by_files(truth: list[Truth], found: list[Found], classes: int, folder: Path) -> list[float]:
    """The six figures of pycocotools' own summary, by way of its JSON files; -1 where there is none."""
    annotations = []
    for image, one in enumerate(truth, 1):
        for (x1, y1, x2, y2), label, crowd in zip(one.boxes, one.labels, one.crowd, strict=True):
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)}
            annotations.append({**box, "id": len(annotations) + 1, "image_id": image, "category_id": int(label) + 1})
    document = {
        "images": [{"id": image} for image in range(1, len(truth) + 1)],
        "annotations": annotations,
        "categories": [{"id": label + 1, "name": f"{label}"} for label in range(classes)],
    }
    results = [
        {"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(score)}
        for image, one in enumerate(found, 1)
        for (x1, y1, x2, y2), score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    ]
    if not results:
        return [0.0 if any(not one.crowd.all() for one in truth) else -1.0] * 3
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "found.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:3]]


@pytest.mark.parametrize("first", range(0, CASES, 40))
def test_it_equals_pycocotools_on_random_pictures(first: int, tmp_path: Path) -> None:
    measured = 0
    for number in range(first, first + 40):
        truth, found, classes = case(number)
        ours = AveragePrecision(truth, found, classes).value()
        theirs = by_files(truth, found, classes, tmp_path)
        for name, one, other in zip(Precision._fields, ours, theirs, strict=True):
            if other == -1:
                assert np.isnan(one), (number, name)
            else:
                measured += 1
                assert one == pytest.approx(other, abs=1e-6), (number, name)
    assert measured > 60, "most cases have something to measure"


def perfect(count: int) -> tuple[list[Truth], list[Found]]:
    boxes = random_boxes(np.random.default_rng(0), count)
    label = np.zeros(1, int)
    truth = [Truth(box[None], label, np.zeros(1, bool)) for box in boxes]
    return truth, [Found(box[None], np.array([0.5]), label) for box in boxes]


def test_a_perfect_detector_scores_one_with_the_first_picture_too() -> None:
    """With annotation ids from 0, pycocotools takes a match with the first annotation for none."""
    for count in (1, 2, 7):
        assert AveragePrecision(*perfect(count), 1).value() == pytest.approx((1.0, 1.0, 1.0))


def test_what_is_found_in_a_crowd_counts_neither_for_nor_against() -> None:
    truth, found = perfect(3)
    crowd = Truth(np.array([[200.0, 200, 300, 300]]), np.zeros(1, int), np.ones(1, bool))
    inside = Found(np.array([[210.0, 210, 250, 250]]), np.array([0.9]), np.zeros(1, int))
    assert AveragePrecision([*truth, crowd], [*found, inside], 1).value() == pytest.approx((1.0, 1.0, 1.0))
    plain = Truth(crowd.boxes, crowd.labels, np.zeros(1, bool))
    assert AveragePrecision([*truth, plain], [*found, inside], 1).value().mAP50 < 0.9


def test_without_an_object_there_is_no_precision() -> None:
    nothing = Truth(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
    found = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert all(np.isnan(value) for value in AveragePrecision([nothing], [found], 1).value())


def test_the_interval_holds_the_value_and_narrows_with_pictures() -> None:
    widths = []
    for count in (20, 320):
        truth, found = perfect(count)
        half = [one if row % 2 else Found(one.boxes + 500, one.scores, one.labels) for row, one in enumerate(found)]
        precision = AveragePrecision(truth, half, 1)
        low, high = precision.intervals(np.random.default_rng(0))
        value = precision.value()
        assert low.mAP50 < value.mAP50 < high.mAP50
        widths.append(high.mAP50 - low.mAP50)
    assert widths[1] < widths[0] / 2


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    precision = AveragePrecision(*perfect(2), 1)
    precision.intervals(np.random.default_rng(0), draws=3)
    assert capsys.readouterr() == ("", "")
