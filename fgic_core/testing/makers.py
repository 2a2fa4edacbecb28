"""What holds for detectors and generators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fgic_core.interfaces import Detector, Generator
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.data import tiny_context, tiny_dataset

if TYPE_CHECKING:
    from PIL.Image import Image


class DetectorSuite(ComponentSuite):
    """Shapes, ranges, independence of the batch, what `save` and `load` keep, what an interruption does not change."""

    @pytest.fixture
    def component(self) -> Detector:
        """The detector under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _fresh(self, component: Detector) -> Detector:
        return type(component).model_validate(component.model_dump())

    def _fitted(
        self, component: Detector, folder: Path, name: str = "out", *, stop_at: int | None = None
    ) -> list[Image]:
        """Train as the core does; ``stop_at`` interrupts when that epoch has been evaluated. Gives test pictures."""
        data = tiny_dataset(folder / "data", side=64)
        train = data.split("train") if component.learns() else data.take([])
        context = tiny_context(folder, name=name)

        def ruler(_: object, epoch: int) -> dict[str, dict[str, float]]:
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"val": {"mAP": 0.5, "mAP50": 0.5, "mAP75": 0.5}}

        context.measure_by(ruler)
        context.seed_everything("step")
        component.fit(train.take(range(0, len(train), 2)), train.take(range(1, len(train), 2)), context)
        test = data.split("test")
        return [test.picture(i) for i in range(4)]

    def test_it_gives_boxes_scores_and_labels_of_agreeing_shapes(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        found = component.detect(pictures)
        assert len(found) == len(pictures)
        for one in found:
            assert np.asarray(one.boxes).shape == (len(one.scores), 4)
            assert np.isfinite(np.asarray(one.boxes)).all()
            assert len(one.labels) == len(one.scores)
            assert ((np.asarray(one.scores) >= 0) & (np.asarray(one.scores) <= 1)).all()
            assert component.per_class or not np.asarray(one.labels).any(), "without per_class every label is 0"

    def test_a_picture_gives_the_same_boxes_alone_and_in_a_batch(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        pictures[1] = pictures[1].resize((48, 80))
        for together, alone in zip(component.detect(pictures), pictures, strict=True):
            (single,) = component.detect([alone])
            assert len(together.boxes) == len(single.boxes)
            np.testing.assert_allclose(together.boxes, single.boxes, atol=1e-2)

    def test_what_is_saved_and_loaded_detects_the_same(self, component: Detector, tmp_path: Path) -> None:
        pictures = self._fitted(component, tmp_path)
        (tmp_path / "saved").mkdir()
        component.save(tmp_path / "saved")
        assert not [f for f in (tmp_path / "saved").rglob("*") if f.suffix in {".pt", ".pth", ".pkl", ".bin"}]
        again = self._fresh(component)
        again.load(tmp_path / "saved", "cpu")
        for one, two in zip(component.detect(pictures), again.detect(pictures), strict=True):
            np.testing.assert_array_equal(one.boxes, two.boxes)
            np.testing.assert_array_equal(one.scores, two.scores)
            np.testing.assert_array_equal(one.labels, two.labels)

    def test_an_interrupted_training_finds_the_same_boxes(self, component: Detector, tmp_path: Path) -> None:
        """A detector that does not learn has nothing to interrupt."""
        if not component.learns():
            return
        whole, stopped, resumed = (self._fresh(component) for _ in range(3))
        pictures = self._fitted(whole, tmp_path, "whole")
        with pytest.raises(KeyboardInterrupt):
            self._fitted(stopped, tmp_path, "cut", stop_at=2)
        self._fitted(resumed, tmp_path, "cut")
        for one, two in zip(whole.detect(pictures), resumed.detect(pictures), strict=True):
            np.testing.assert_array_equal(one.boxes, two.boxes)
            np.testing.assert_array_equal(one.scores, two.scores)


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
