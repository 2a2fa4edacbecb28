"""Which box is looked at, and the table that sets predicted boxes beside annotated ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fgic_core import Box, ObjectBox, Size
from fgic_core.data.boxes import ComparedWriter, choose_box, compare_boxes, found_objects, read_compared
from fgic_core.data.dataset import box_row

SIZE = Size(20, 10)


def annotated(*edges: float, **about: Any) -> dict[str, Any]:
    return box_row(ObjectBox(Box(*edges), **about))


def found(*edges: float, score: float, kind: str = "predicted") -> dict[str, Any]:
    return box_row(ObjectBox(Box(*edges), score=score, origin=f"{kind}:detector/x"))


def row(*boxes: dict[str, Any], region: Box | None = None) -> dict[str, Any]:
    edges = dict(zip(("x1", "y1", "x2", "y2"), region.xyxy, strict=True)) if region else None
    about = {"id": "a", "split": "train", "label": 1, "region_origin": "annotated" if region else None}
    return {**about, "region": edges, "boxes": list(boxes), "empty": False}


def test_the_largest_annotated_and_the_surest_found_box_are_chosen() -> None:
    boxes = [annotated(0, 0, 2, 2), annotated(0, 0, 4, 4), found(1, 1, 9, 9, score=0.2), found(3, 3, 4, 4, score=0.7)]
    boxes += [found(5, 5, 6, 6, score=0.1, kind="crossfit"), annotated(0, 0, 20, 10, crowd=True)]
    assert choose_box(boxes, "annotated", SIZE)[::2] == (Box(0, 0, 4, 4), 2)
    assert choose_box(boxes, "predicted", SIZE)[::2] == (Box(3, 3, 4, 4), 2)
    assert choose_box(boxes, "crossfit", SIZE)[::2] == (Box(5, 5, 6, 6), 1)
    assert choose_box([], "predicted", SIZE) == (None, None, 0)


def test_boxes_beyond_the_picture_are_clipped_or_passed_over() -> None:
    boxes = [found(30, 0, 40, 10, score=0.9), found(15, 5, 30, 30, score=0.5)]
    assert choose_box(boxes, "predicted", SIZE).box == Box(15, 5, 20, 10)


def test_each_found_box_counts_for_one_object_at_most() -> None:
    two = [Box(0, 0, 10, 10), Box(1, 0, 11, 10)]
    assert found_objects(two, [Box(0, 0, 10, 10)]) == 1
    assert found_objects(two, [Box(0, 0, 10, 10), Box(0, 0, 10, 10)]) == 2
    assert found_objects(two, [Box(50, 50, 60, 60)]) == 0
    assert found_objects([], [Box(0, 0, 1, 1)]) == 0


def test_the_comparison_has_all_that_a_diagnosis_needs() -> None:
    boxes = [
        annotated(0, 0, 4, 4),
        annotated(10, 0, 12, 2),
        found(0, 0, 4, 2, score=0.5),
        found(9, 9, 10, 10, score=0.1),
    ]
    made = compare_boxes(row(*boxes, region=Box(0, 0, 2, 4)), SIZE)
    assert made["annotated"] == {"x1": 0, "y1": 0, "x2": 4, "y2": 4}
    assert made["predicted"] == {"x1": 0, "y1": 0, "x2": 4, "y2": 2}
    assert (made["iou"], made["score"], made["objects"], made["detections"], made["found"]) == (0.5, 0.5, 2, 2, 1)
    assert (made["crossfit"], made["crossfit_iou"]) == (None, None)
    assert made["kept"] == pytest.approx(0.5)


def test_what_was_looked_for_and_not_found_overlaps_nothing() -> None:
    """It counts as 0 in every mean; where no detector looked, or nothing is annotated, there is no overlap."""
    truth = annotated(0, 0, 4, 4)
    assert compare_boxes(row(truth), SIZE, ("predicted",))["iou"] == 0
    assert compare_boxes(row(truth), SIZE)["iou"] is None
    assert compare_boxes(row(found(0, 0, 4, 4, score=1.0)), SIZE, ("predicted",))["iou"] is None
    both = ("predicted", "crossfit")
    assert [compare_boxes(row(truth), SIZE, both)[name] for name in ("iou", "crossfit_iou")] == [0, 0]
    test = {**row(truth), "split": "test"}
    assert compare_boxes(test, SIZE, both)["crossfit_iou"] is None, "test pictures are not cross-fitted"


def test_an_empty_picture_says_so_and_overlaps_nothing() -> None:
    made = compare_boxes({**row(found(0, 0, 4, 4, score=0.5)), "empty": True}, SIZE, {"predicted"})
    assert (made["empty"], made["objects"], made["detections"], made["iou"]) == (True, 0, 1, None)


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_compared(tmp_path) is None
    with ComparedWriter(tmp_path, ("predicted:detector/x",)) as writer:
        for boxes in ([annotated(0, 0, 4, 4), found(0, 0, 4, 4, score=0.5)], []):
            writer.add(row(*boxes), SIZE)
    table = read_compared(tmp_path)
    assert table is not None
    assert table.column("iou").to_pylist() == [1, None]
    assert table.column("objects").to_pylist() == [1, 0]
