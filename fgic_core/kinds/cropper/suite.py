"""What holds for a cropper."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import numpy as np
import pytest

from fgic_core.data.geometry import Box, Size
from fgic_core.kinds.cropper.contract import Cropper
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.data import tiny_dataset


def _cases(count: int = 200) -> list[tuple[Box, Size]]:
    """Boxes of every sort: tiny, whole picture, at the borders, in very wide and very high pictures."""
    rng = np.random.default_rng(0)
    cases = [(Size(7, 5).box, Size(7, 5)), (Box(0, 0, 1, 1), Size(640, 480)), (Box(639, 479, 640, 480), Size(640, 480))]
    while len(cases) < count:
        size = Size(int(rng.integers(1, 900)), int(rng.integers(1, 900)))
        x1, x2 = sorted(rng.uniform(0, size.width, 2))
        y1, y2 = sorted(rng.uniform(0, size.height, 2))
        box = Box(float(x1), float(y1), float(x2), float(y2))
        if box.width > 1e-3 and box.height > 1e-3:
            cases.append((box, size))
    return cases


class CropperSuite(ComponentSuite):
    """`region` is pure, finite, and shows some of the object; masked it is the same as cut out."""

    @pytest.fixture
    def component(self) -> Cropper:
        """The cropper under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def test_a_region_shows_some_of_the_object(self, component: Cropper) -> None:
        for box, size in _cases():
            region = component.region(box, size)
            assert all(isfinite(edge) for edge in region.xyxy), (box, size, region)
            assert region.clip(size).intersection(box) > 0, f"{region} shows nothing of {box} in {size}"

    def test_the_same_box_gives_the_same_region(self, component: Cropper) -> None:
        for box, size in _cases(20):
            assert component.region(box, size) == component.region(box, size)

    def test_a_mask_shows_the_pixels_of_the_crop_where_they_are_in_the_picture(
        self, component: Cropper, tmp_path: Path
    ) -> None:
        from fgic_core.data.images import BORDER, cut, cut_edges

        crop, mask = (component.model_copy(update={"view": view}) for view in ("crop", "mask"))
        for box, size in _cases(20):
            assert crop.region(box, size) == mask.region(box, size), "what is looked at does not depend on `view`"
        data = tiny_dataset(tmp_path / "data", classes=2, per_class=2)
        for row, sample in enumerate(data):
            picture = data.picture(row)
            region = mask.region(sample.boxes[0].box, Size(*picture.size))
            left, upper, right, lower = cut_edges(region, Size(*picture.size))
            inside = np.zeros((picture.height, picture.width), dtype=bool)
            inside[upper:lower, left:right] = True
            shown = np.asarray(cut(picture, region, masked=True))
            assert shown.shape == np.asarray(picture).shape
            assert np.array_equal(shown[upper:lower, left:right], np.asarray(cut(picture, region)))
            assert (shown[~inside] == BORDER).all()
