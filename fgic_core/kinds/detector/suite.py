"""What holds for a detector."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fgic_core.kinds.detector.contract import Detector, FittedDetector
from fgic_core.testing.component import assert_no_pickle, assert_saved_alike
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.ports import without_optional
from fgic_core.testing.trained import TrainedSuite, assert_unchanged
from fgic_core.testing.training import TrainingChecks

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.steps.context import Ruler, Scores


class DetectorSuite(TrainingChecks, TrainedSuite):
    """Shapes, ranges, independence of the batch, what `save` and `load` keep, what an interruption does not change.

    A detector that says it learns from empty pictures (`Detector.negatives`) is trained with some throughout.
    """

    @pytest.fixture
    def component(self) -> Detector:
        """The detector under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    _better, _worse = {"val": {"mAP": 0.5}}, {"val": {"mAP": 0.4}}

    def _few(self, component: Detector, folder: Path, name: str, ruler: Ruler) -> FittedDetector:
        train = tiny_dataset(folder / "data", side=64).split("train")
        train = train.take(range(0, len(train), 3))
        inputs = {"dataset": train, **self._inputs}
        context = tiny_context(folder, name=name, inputs=inputs)
        context.measure_by(ruler)
        context.seed_everything("step")
        return component.for_fit().fit(train, train, context)

    def _fitted(
        self,
        component: Detector,
        folder: Path,
        name: str = "out",
        *,
        stop_at: int | None = None,
        seen: list[int] | None = None,
        empty: int = 4,
    ) -> tuple[FittedDetector, list[Image]]:
        """Train as the core does; ``stop_at`` interrupts when that epoch has been evaluated. Gives test pictures too.

        The epochs that are evaluated are added to ``seen``; ``empty`` pictures without an object are there for a
        detector that learns from them.
        """
        data = tiny_dataset(folder / "data", side=64, empty=empty if component.negatives else 0)
        train = data.split("train") if component.learns() else data.take([])
        context = tiny_context(folder, name=name, inputs={"dataset": train, **self._inputs})

        def ruler(_: object, epoch: int) -> Scores:
            if seen is not None:
                seen.append(epoch)
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"val": {"mAP": 0.5, "mAP50": 0.5, "mAP75": 0.5}}

        context.measure_by(ruler)
        context.seed_everything("step")
        some, others = (train.take(range(start, len(train), 2)) for start in (0, 1))
        fitted = component.for_fit().fit(some, others, context)
        test = data.split("test")
        return fitted, [test.picture(i) for i in range(4)]

    @pytest.fixture
    def trained(
        self, component: Detector, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[FittedDetector, list[Image]]:
        """What a training gives that is not interrupted, and test pictures."""
        if repr(component) not in self._kept:
            folder = tmp_path_factory.mktemp("trained")
            self._kept[repr(component)] = self._fitted(component, folder)
            shutil.rmtree(folder / "out-scratch", ignore_errors=True)  # checkpoints can be large
        fitted, pictures = self._kept[repr(component)]
        return fitted, list(pictures)

    def _opened(self, component: Detector, fitted: FittedDetector, folder: Path) -> FittedDetector:
        """What was learned, saved and loaded again."""
        folder.mkdir()
        component.save(fitted, folder)
        return component.load(folder, "cpu")

    def test_fit_gives_what_was_learned_and_leaves_the_recipe_as_it_was(
        self, component: Detector, tmp_path: Path
    ) -> None:
        """Two trainings of one recipe give two detectors, and loading one changes the recipe as little."""
        before = type(component).model_validate(component.model_dump())
        fitted, pictures = self._fitted(component, tmp_path)
        assert isinstance(fitted, FittedDetector), f"fit gave a {type(fitted).__name__}"
        other, _ = self._fitted(component, tmp_path, "other")
        assert other is not fitted, "two trainings gave one and the same detector"
        assert fitted.network is None or other.network is not fitted.network, "two trainings gave one network"
        opened = self._opened(component, fitted, tmp_path / "opened")
        assert opened is not fitted, "load gave what fit had given"
        opened.detect(pictures)
        assert_unchanged(component, before)

    def test_it_gives_boxes_scores_and_labels_of_agreeing_shapes(
        self, component: Detector, trained: tuple[FittedDetector, list[Image]], tmp_path: Path
    ) -> None:
        fitted, pictures = trained
        found = fitted.detect(pictures)
        assert len(found) == len(pictures)
        for one in found:
            assert np.asarray(one.boxes).shape == (len(one.scores), 4)
            assert np.isfinite(np.asarray(one.boxes)).all()
            assert len(one.labels) == len(one.scores)
            assert ((np.asarray(one.scores) >= 0) & (np.asarray(one.scores) <= 1)).all()
            classes = len(tiny_dataset(tmp_path / "more").classes) if component.per_class else 1
            said = f"labels are 0 to {classes - 1}" if component.per_class else "without per_class every label is 0"
            assert np.isin(np.asarray(one.labels), range(classes)).all(), said

    def test_a_picture_gives_the_same_boxes_alone_and_in_a_batch(
        self, trained: tuple[FittedDetector, list[Image]]
    ) -> None:
        fitted, pictures = trained
        pictures[1] = pictures[1].resize((48, 80))
        for together, alone in zip(fitted.detect(pictures), pictures, strict=True):
            (single,) = fitted.detect([alone])
            assert len(together.boxes) == len(single.boxes)
            np.testing.assert_allclose(together.boxes, single.boxes, atol=1e-2)
            np.testing.assert_allclose(together.scores, single.scores, atol=1e-3)
            np.testing.assert_array_equal(together.labels, single.labels)

    def test_what_is_saved_and_loaded_detects_the_same(
        self, component: Detector, trained: tuple[FittedDetector, list[Image]], tmp_path: Path
    ) -> None:
        fitted, pictures = trained
        again = self._opened(component, fitted, tmp_path / "saved")
        assert_no_pickle(tmp_path / "saved")
        assert_saved_alike(lambda folder: component.save(fitted, folder), tmp_path)
        found = fitted.detect(pictures)
        assert any(len(one.scores) for one in found), "it finds nothing to compare: give it options under which it does"
        for one, two in zip(found, again.detect(pictures), strict=True):
            np.testing.assert_array_equal(one.boxes, two.boxes)
            np.testing.assert_array_equal(one.scores, two.scores)
            np.testing.assert_array_equal(one.labels, two.labels)

    def test_empty_pictures_change_what_is_learned(
        self, component: Detector, trained: tuple[FittedDetector, list[Image]], tmp_path: Path
    ) -> None:
        """One that claims it, and leaves them out, learns the same with them and without; others are given none."""
        if not (component.negatives and component.learns()):
            return
        kept = []
        for name, fitted in (("with", trained[0]), ("without", self._fitted(component, tmp_path, empty=0)[0])):
            folder = tmp_path / f"saved-{name}"
            folder.mkdir()
            component.save(fitted, folder)
            kept.append({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})
        assert kept[0] != kept[1], "negatives is true, and empty train pictures change nothing"

    def test_it_does_without_what_its_ports_call_optional(self, component: Detector, tmp_path: Path) -> None:
        """One without optional ports has nothing to show."""
        needed = without_optional(component, self._inputs)
        if needed.keys() != self._inputs.keys():
            self._inputs = needed
            self._fitted(component, tmp_path)

    def test_an_interrupted_training_finds_the_same_boxes(
        self, component: Detector, trained: tuple[FittedDetector, list[Image]], tmp_path: Path
    ) -> None:
        """A detector that does not learn has nothing to interrupt."""
        if not component.learns():
            return
        whole, pictures = trained
        with pytest.raises(KeyboardInterrupt):
            self._fitted(component, tmp_path, "cut", stop_at=2)
        seen: list[int] = []
        resumed, _ = self._fitted(component, tmp_path, "cut", seen=seen)
        assert seen, "it evaluates every epoch"
        assert seen[0] == 2, "it goes on after the last checkpoint"
        for one, two in zip(whole.detect(pictures), resumed.detect(pictures), strict=True):
            np.testing.assert_array_equal(one.boxes, two.boxes)
            np.testing.assert_array_equal(one.scores, two.scores)
