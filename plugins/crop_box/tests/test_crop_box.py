from __future__ import annotations

import subprocess
import sys

import pytest
from fgic_crop_box import BoxCropper, SquareCropper
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from fgic_core import Box, Size
from fgic_core.data.images import cut
from fgic_core.registry import Registry

MARGINS = st.floats(0, 3)


@st.composite
def pictures_with_box(draw: st.DrawFn) -> tuple[Box, Size]:
    image = Size(draw(st.integers(1, 2000)), draw(st.integers(1, 2000)))

    def edges(length: int) -> tuple[float, float]:
        start = draw(st.floats(0, length - 0.5))
        return start, draw(st.floats(start + 0.25, length))

    (x1, x2), (y1, y2) = edges(image.width), edges(image.height)
    return Box(x1, y1, x2, y2), image


def inside(region: Box, image: Size) -> bool:
    return 0 <= region.x1 <= region.x2 <= image.width and 0 <= region.y1 <= region.y2 <= image.height


def covers(region: Box, box: Box) -> bool:
    return region.x1 <= box.x1 and region.y1 <= box.y1 and region.x2 >= box.x2 and region.y2 >= box.y2


@pytest.mark.parametrize("cropper", [BoxCropper, SquareCropper])
@given(case=pictures_with_box(), margin=MARGINS)
def test_a_region_is_not_empty_and_inside_the_picture(cropper, case, margin):
    box, image = case
    region = cropper(margin=margin).region(box, image)
    assert inside(region, image)
    assert not region.is_empty


@given(case=pictures_with_box(), margin=MARGINS)
def test_a_square_region_has_equal_sides_of_whole_pixels(case, margin):
    region = SquareCropper(margin=margin).region(*case)
    assert region.width == region.height
    assert region.xyxy == region.outward()


@given(case=pictures_with_box(), margin=MARGINS)
def test_a_square_covers_the_box_whenever_its_pixels_fit(case, margin):
    box, image = case
    left, upper, right, lower = box.outward()
    fits = max(right - left, lower - upper) <= min(image.width, image.height)
    region = SquareCropper(margin=margin).region(box, image)
    assert covers(region, box) or not fits
    if not fits:
        assert region.width == min(image.width, image.height)


@given(case=pictures_with_box(), margin=MARGINS)
def test_a_box_region_covers_the_box(case, margin):
    box, image = case
    assert covers(BoxCropper(margin=margin).region(box, image), box)


@given(case=pictures_with_box(), margin=MARGINS)
def test_a_square_is_at_most_a_pixel_off_the_box_centre_unless_the_border_pushes_it(case, margin):
    box, image = case
    region = SquareCropper(margin=margin).region(box, image)
    for low, high, centre, wanted, length in (
        (region.x1, region.x2, region.center[0], box.center[0], image.width),
        (region.y1, region.y2, region.center[1], box.center[1], image.height),
    ):
        assert abs(centre - wanted) <= 1 or low == 0 or high == length


@pytest.mark.parametrize("cropper", [BoxCropper, SquareCropper])
@given(case=pictures_with_box())
def test_cropping_a_region_again_without_margin_changes_nothing(cropper, case):
    box, image = case
    region = cropper().region(box, image)
    assert cropper().region(region, image) == region


@given(width=st.integers(1, 500), height=st.integers(1, 500), margin=MARGINS)
def test_a_box_of_the_whole_picture_gives_the_whole_picture_or_its_middle_square(width, height, margin):
    image = Size(width, height)
    assert BoxCropper(margin=margin).region(image.box, image) == image.box
    square = SquareCropper(margin=margin).region(image.box, image)
    assert square.width == min(width, height)
    assert abs(square.center[0] - width / 2) <= 0.5
    assert abs(square.center[1] - height / 2) <= 0.5


@pytest.mark.parametrize(
    ("cropper", "margin", "expected"),
    [
        (BoxCropper, 0, (40, 30, 60, 40)),
        (BoxCropper, 0.5, (30, 20, 70, 50)),
        (BoxCropper, 2, (0, 0, 100, 80)),
        (SquareCropper, 0, (40, 25, 60, 45)),
        (SquareCropper, 0.1, (38, 23, 62, 47)),
        (SquareCropper, 2, (10, 0, 90, 80)),
    ],
)
def test_margin_is_a_fraction_of_the_longer_side_on_every_side(cropper, margin, expected):
    assert cropper(margin=margin).region(Box(40, 30, 60, 40), Size(100, 80)).xyxy == expected


def test_a_square_at_the_border_is_shifted_inside_and_not_shrunk():
    assert SquareCropper().region(Box(0, 0, 10, 40), Size(100, 50)).xyxy == (0, 0, 40, 40)
    assert SquareCropper().region(Box(90, 10, 100, 50), Size(100, 50)).xyxy == (60, 10, 100, 50)


def test_a_coloured_rectangle_cut_to_its_box_is_that_rectangle_alone():
    picture = Image.new("RGB", (50, 40), "white")
    picture.paste((200, 10, 30), (12, 7, 32, 27))
    for cropper in (BoxCropper(), SquareCropper()):
        crop = cut(picture, cropper.region(Box(12, 7, 32, 27), Size(50, 40)))
        assert crop.size == (20, 20)
        assert crop.getcolors() == [(400, (200, 10, 30))]


@pytest.mark.parametrize("margin", [-0.1, float("inf"), float("nan"), "wide"])
def test_a_margin_that_is_no_size_is_refused(margin):
    with pytest.raises(ValidationError, match="margin"):
        SquareCropper(margin=margin)


def test_the_croppers_are_installed_under_their_names():
    registry = Registry()
    assert registry.get("cropper/box") is BoxCropper
    assert registry.get("cropper/square") is SquareCropper


def test_importing_the_croppers_does_not_import_torch_or_numpy():
    code = "import sys, fgic_crop_box; print([m for m in ('torch', 'numpy', 'pyarrow', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
