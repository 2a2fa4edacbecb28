"""What holds for detectors and generators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fgic_core.interfaces import Detector, Generator
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.data import tiny_context, tiny_dataset


class DetectorSuite(ComponentSuite):
    """Shapes, ranges, independence of the batch, and what `save` and `load` keep."""

    @pytest.fixture
    def component(self) -> Detector:
        """The detector under test, with options that train it in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _fitted(self, component: Detector, folder: Path) -> list[object]:
        data = tiny_dataset(folder / "data")
        train = data.split("train")
        component.fit(train.take(range(0, len(train), 2)), train.take(range(1, len(train), 2)), tiny_context(folder))
        test = data.split("test")
        return [test.picture(i) for i in range(4)]

    def test_it_gives_boxes_scores_and_labels_of_agreeing_shapes(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        found = component.detect(pictures)  # type: ignore[arg-type]
        assert len(found) == len(pictures)
        for one in found:
            assert np.asarray(one.boxes).shape == (len(one.scores), 4)
            assert len(one.labels) == len(one.scores)
            assert ((np.asarray(one.scores) >= 0) & (np.asarray(one.scores) <= 1)).all()

    def test_a_picture_gives_the_same_boxes_alone_and_in_a_batch(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        for together, alone in zip(component.detect(pictures), pictures, strict=True):  # type: ignore[arg-type]
            (single,) = component.detect([alone])  # type: ignore[list-item]
            np.testing.assert_allclose(together.boxes, single.boxes, atol=1e-2)

    def test_what_is_saved_and_loaded_detects_the_same(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        (tmp_path / "saved").mkdir()
        component.save(tmp_path / "saved")
        again = type(component).model_validate(component.model_dump())
        again.load(tmp_path / "saved", "cpu")
        for one, two in zip(component.detect(pictures), again.detect(pictures), strict=True):  # type: ignore[arg-type]
            np.testing.assert_array_equal(one.boxes, two.boxes)


class GeneratorSuite(ComponentSuite):
    """Shapes, ranges, what the seed decides, and what `save` and `load` keep."""

    @pytest.fixture
    def component(self) -> Generator:
        """The generator under test, with options that train it in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _fitted(self, component: Generator, folder: Path) -> None:
        component.fit(tiny_dataset(folder / "data").split("train"), tiny_context(folder))

    def test_it_gives_rgb_pictures_in_the_unit_range(self, component: Generator, tmp_path: Path) -> None:
        self._fitted(component, tmp_path)
        pictures = component.sample([0, 1, 2, 1], seed=0)
        assert pictures.ndim == 4
        assert pictures.shape[:2] == (4, 3)
        assert np.isfinite(pictures).all()
        assert pictures.min() >= 0
        assert pictures.max() <= 1

    def test_labels_and_seed_decide_the_pictures(self, component: Generator, tmp_path: Path) -> None:
        self._fitted(component, tmp_path)
        np.testing.assert_array_equal(component.sample([0, 1], seed=5), component.sample([0, 1], seed=5))

    def test_what_is_saved_and_loaded_samples_the_same(self, component: Generator, tmp_path: Path) -> None:
        self._fitted(component, tmp_path)
        (tmp_path / "saved").mkdir()
        component.save(tmp_path / "saved")
        again = type(component).model_validate(component.model_dump())
        again.load(tmp_path / "saved", "cpu")
        np.testing.assert_array_equal(component.sample([0, 2], seed=1), again.sample([0, 2], seed=1))
