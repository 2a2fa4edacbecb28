from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fgic_core import Box, Placement, Size, center_crop, letterbox, squash

sizes = st.builds(Size, st.integers(1, 3000), st.integers(1, 3000))
inputs = st.builds(Size, st.integers(16, 640), st.integers(16, 640))


@given(sizes, inputs, st.sampled_from([letterbox, squash, center_crop]), st.tuples(*[st.floats(0, 1)] * 4))
def test_corners_of_a_box_return_within_half_a_pixel(source, size, place, at) -> None:
    box = Box(at[0] * source.width, at[1] * source.height, at[2] * source.width, at[3] * source.height)
    placement = place(source, size)
    back = placement.to_image(placement.to_input(box))
    assert np.abs(np.subtract(back.xyxy, box.xyxy)).max() < 0.5


@given(sizes, inputs)
def test_a_letterbox_keeps_the_ratio_fits_and_touches_two_sides(source, size) -> None:
    placement = letterbox(source, size)
    drawn = placement.to_input(source.box)
    scale = min(size.width / source.width, size.height / source.height)
    # Whole pixels: each side is within half of one of the exact ratio, or one pixel where that would be none.
    assert abs(drawn.width - max(source.width * scale, 1)) <= 0.5 + 1e-6
    assert abs(drawn.height - max(source.height * scale, 1)) <= 0.5 + 1e-6
    assert drawn.x1 >= 0
    assert drawn.y1 >= 0
    assert drawn.x2 <= size.width + 1e-6
    assert drawn.y2 <= size.height + 1e-6
    assert drawn.width == pytest.approx(size.width) or drawn.height == pytest.approx(size.height)
    assert abs(drawn.center[0] - size.width / 2) <= 0.5 + 1e-6
    assert abs(drawn.center[1] - size.height / 2) <= 0.5 + 1e-6


@given(sizes, inputs)
def test_a_centre_crop_covers_the_whole_input(source, size) -> None:
    drawn = center_crop(source, size).to_input(source.box)
    assert drawn.x1 <= 0
    assert drawn.y1 <= 0
    assert drawn.x2 >= size.width - 1e-6
    assert drawn.y2 >= size.height - 1e-6


@pytest.mark.parametrize("place", [letterbox, squash, center_crop])
@pytest.mark.parametrize("source", [Size(90, 60), Size(60, 90), Size(31, 77)])
@pytest.mark.parametrize("size", [Size(64, 64), Size(128, 40)])
def test_a_coloured_rectangle_is_drawn_where_the_placement_says(place, source: Size, size: Size) -> None:
    box = Box(source.width // 3, source.height // 3, source.width // 3 * 2, source.height // 3 * 2)
    image = Image.new("RGB", (source.width, source.height), (0, 0, 255))
    image.paste((255, 0, 0), (int(box.x1), int(box.y1), int(box.x2), int(box.y2)))
    placement: Placement = place(source, size)
    drawn = np.asarray(placement.apply(image, "bilinear"))
    assert drawn.shape == (size.height, size.width, 3)
    red = (drawn[..., 0] > 127) & (drawn[..., 1] < 64)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    expected = placement.to_input(box).clip(size)
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.subtract(found, expected.xyxy)).max() <= 1.0


def test_what_a_letterbox_leaves_free_is_the_border() -> None:
    drawn = letterbox(Size(40, 20), Size(40, 40)).apply(Image.new("RGB", (40, 20), (9, 9, 9)), border=(1, 2, 3))
    assert sorted(drawn.getcolors()) == [(800, (1, 2, 3)), (800, (9, 9, 9))]
    assert drawn.getpixel((0, 9)) == (1, 2, 3)
    assert drawn.getpixel((0, 10)) == (9, 9, 9)


def test_a_moved_placement_of_the_inputs_own_size_is_moved() -> None:
    size = Size(10, 10)
    drawn = Placement(1.0, 1.0, 4.0, 0.0, size, size).apply(Image.new("RGB", (10, 10), (9, 9, 9)), border=(0, 0, 0))
    assert drawn.getpixel((3, 0)) == (0, 0, 0)
    assert drawn.getpixel((4, 0)) == (9, 9, 9)


@pytest.mark.parametrize("place", [letterbox, squash, center_crop])
@pytest.mark.parametrize("source", [Size(90, 60), Size(31, 77), Size(400, 300)])
def test_a_map_comes_back_to_the_pixels_it_was_made_of(place, source: Size) -> None:
    placement: Placement = place(source, Size(64, 48))
    values = np.zeros((48, 64), np.float32)
    values[20:28, 28:40] = 1
    back = placement.bring_back(values)
    assert back.shape == (source.height, source.width)
    rows, columns = (np.flatnonzero((back > 0.5).any(axis=axis)) for axis in (1, 0))
    expected = placement.to_image(Box(28, 20, 40, 28)).clip(source)
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.subtract(found, expected.xyxy)).max() <= 1.0


def test_where_the_input_has_nothing_of_the_picture_a_map_that_comes_back_is_zero() -> None:
    back = center_crop(Size(200, 100), Size(50, 50), 1.0).bring_back(np.ones((50, 50)))
    assert back[:, :49].max() == back[:, 151:].max() == 0
    assert back[:, 50:150].min() == 1
