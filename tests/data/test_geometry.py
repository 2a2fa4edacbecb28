from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgic_core import Box, Size

edges = st.floats(-500, 500)
boxes = st.builds(Box, edges, edges, edges, edges)


@given(boxes, st.builds(Size, st.integers(1, 300), st.integers(1, 300)))
def test_a_clipped_box_lies_in_the_image_and_clipping_twice_changes_nothing(box: Box, size: Size) -> None:
    clipped = box.clip(size)
    assert 0 <= clipped.x1 <= size.width
    assert 0 <= clipped.x2 <= size.width
    assert 0 <= clipped.y1 <= size.height
    assert 0 <= clipped.y2 <= size.height
    assert clipped.clip(size) == clipped


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(one: Box, other: Box) -> None:
    assert one.iou(other) == pytest.approx(other.iou(one))
    assert 0 <= one.iou(other) <= 1 + 1e-9
    assert one.area < 1e-12 or one.iou(one) == pytest.approx(1.0)


def test_iou_of_known_boxes() -> None:
    assert Box(0, 0, 2, 2).iou(Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert Box(0, 0, 2, 2).iou(Box(2, 0, 3, 2)) == 0.0


def test_edges_are_continuous_coordinates() -> None:
    assert Size(7, 5).box == Box(0, 0, 7, 5)
    assert Size(7, 5).box.area == 35
    assert Box.from_xywh(1, 2, 3, 4) == Box(1, 2, 4, 6)
    assert Box(1, 2, 4, 6).xywh == (1, 2, 3, 4)
    assert Box(0.2, 0.8, 1.2, 1.0).outward() == (0, 0, 2, 1)
    assert Box(0, 0, 1, 1).contains(0, 0)
    assert not Box(0, 0, 1, 1).contains(1, 0)


def test_an_inverted_box_is_empty_and_a_nan_box_too() -> None:
    assert Box(2, 0, 1, 1).is_empty
    assert Box(2, 0, 1, 1).area == 0
    assert Box(float("nan"), 0, 1, 1).is_empty
