"""What holds for a generator."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fgic_core.errors import PluginError
from fgic_core.kinds.generator.contract import FittedGenerator, Generator
from fgic_core.testing.component import assert_no_pickle, assert_saved_alike
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.ports import without_optional
from fgic_core.testing.trained import TrainedSuite, assert_unchanged
from fgic_core.testing.training import TrainingChecks

if TYPE_CHECKING:
    from fgic_core.steps.context import Ruler, Scores


class GeneratorSuite(TrainingChecks, TrainedSuite):
    """Shapes, ranges, what label and seed decide, what `save` and `load` keep, what an interruption does not change."""

    @pytest.fixture
    def component(self) -> Generator:
        """The generator under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    _better, _worse = {"": {"FID": 20.0}}, {"": {"FID": 30.0}}

    def _few(self, component: Generator, folder: Path, name: str, ruler: Ruler) -> FittedGenerator:
        train = tiny_dataset(folder / "data", side=64).split("train")
        train = train.take(range(0, len(train), 3))
        inputs = {"dataset": train, **self._inputs}
        context = tiny_context(folder, name=name, inputs=inputs)
        context.measure_by(ruler, snapshots=False)
        context.seed_everything("step")
        return component.for_fit().fit(train, context)

    def _fitted(
        self,
        component: Generator,
        folder: Path,
        name: str = "out",
        *,
        stop_at: int | None = None,
        seen: list[int] | None = None,
    ) -> FittedGenerator:
        """Train as the core does; ``stop_at`` interrupts when that epoch has been evaluated.

        The epochs that are evaluated are added to ``seen``.
        """
        train = tiny_dataset(folder / "data", side=64).split("train")
        context = tiny_context(folder, name=name, inputs={"dataset": train, **self._inputs})

        def ruler(_: object, epoch: int) -> Scores:
            if seen is not None:
                seen.append(epoch)
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"": {"FID": 100.0 / (epoch + 1), "KID": 1.0 / (epoch + 1)}}

        context.measure_by(ruler, snapshots=False)
        context.seed_everything("step")
        return component.for_fit().fit(train, context)

    @pytest.fixture
    def trained(
        self, component: Generator, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[FittedGenerator, list[int]]:
        """What a training gives that is not interrupted, and the epochs that it evaluated."""
        if repr(component) not in self._kept:
            folder, seen = tmp_path_factory.mktemp("trained"), list[int]()
            self._kept[repr(component)] = self._fitted(component, folder, seen=seen), seen
            shutil.rmtree(folder / "out-scratch", ignore_errors=True)  # checkpoints can be large
        fitted, seen = self._kept[repr(component)]
        return fitted, list(seen)

    def test_fit_gives_what_was_learned_and_leaves_the_recipe_as_it_was(
        self, component: Generator, tmp_path: Path
    ) -> None:
        """Two trainings of one recipe give two generators, and loading one changes the recipe as little."""
        before = type(component).model_validate(component.model_dump())
        fitted = self._fitted(component, tmp_path)
        assert isinstance(fitted, FittedGenerator), f"fit gave a {type(fitted).__name__}"
        other = self._fitted(component, tmp_path, "other")
        assert other is not fitted, "two trainings gave one and the same generator"
        assert fitted.network is None or other.network is not fitted.network, "two trainings gave one network"
        (tmp_path / "opened").mkdir()
        component.save(fitted, tmp_path / "opened")
        opened = component.load(tmp_path / "opened", "cpu")
        assert opened is not fitted, "load gave what fit had given"
        opened.sample([0], [0])
        assert_unchanged(component, before)

    def test_it_gives_rgb_pictures_in_the_unit_range(
        self, component: Generator, trained: tuple[FittedGenerator, list[int]]
    ) -> None:
        pictures = trained[0].sample([0, 1, 2, 1], [0, 1, 2, 2**63 - 1])
        assert pictures.shape == (4, 3, component.resolution, component.resolution)
        assert pictures.dtype == np.float32
        assert np.isfinite(pictures).all()
        assert pictures.min() >= 0
        assert pictures.max() <= 1

    def test_label_and_seed_decide_a_picture_alone_and_in_a_batch(
        self, trained: tuple[FittedGenerator, list[int]]
    ) -> None:
        fitted, _ = trained
        labels, seeds = [0, 1, 1, 2], [5, 5, 6, 7]
        together = fitted.sample(labels, seeds)
        np.testing.assert_array_equal(together, fitted.sample(labels, seeds))
        for row, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
            np.testing.assert_allclose(together[row], fitted.sample([label], [seed])[0], atol=1e-3)
        assert np.abs(together[1] - together[2]).max() > 1e-3, "another seed gives another picture"
        assert not np.array_equal(together[0], together[1]), "another label gives another picture"

    def test_a_label_outside_the_classes_is_refused(
        self, trained: tuple[FittedGenerator, list[int]], tmp_path: Path
    ) -> None:
        fitted, _ = trained
        for label in (-1, len(tiny_dataset(tmp_path / "more").classes)):
            with pytest.raises(PluginError):
                fitted.sample([0, label], [0, 1])

    def test_parents_are_samples_that_it_was_trained_on(
        self, trained: tuple[FittedGenerator, list[int]], tmp_path: Path
    ) -> None:
        fitted, _ = trained
        known = set(tiny_dataset(tmp_path / "more", side=64).split("train").ids)
        parents = fitted.parents([0, 1, 2], [3, 4, 5])
        assert len(parents) == 3
        assert {name for of in parents for name in of} <= known

    def test_what_is_saved_and_loaded_samples_the_same(
        self, component: Generator, trained: tuple[FittedGenerator, list[int]], tmp_path: Path
    ) -> None:
        fitted, _ = trained
        (tmp_path / "saved").mkdir()
        component.save(fitted, tmp_path / "saved")
        assert_no_pickle(tmp_path / "saved")
        assert_saved_alike(lambda folder: component.save(fitted, folder), tmp_path)
        again = component.load(tmp_path / "saved", "cpu")
        np.testing.assert_array_equal(fitted.sample([0, 2], [1, 2]), again.sample([0, 2], [1, 2]))
        assert fitted.parents([0, 2], [1, 2]) == again.parents([0, 2], [1, 2])

    def test_it_is_measured_before_and_after_every_epoch(self, trained: tuple[FittedGenerator, list[int]]) -> None:
        """Or never, where nothing is trained."""
        _, seen = trained
        assert seen == list(range(len(seen)))

    def test_it_does_without_what_its_ports_call_optional(self, component: Generator, tmp_path: Path) -> None:
        """One without optional ports has nothing to show."""
        needed = without_optional(component, self._inputs)
        if needed.keys() != self._inputs.keys():
            self._inputs = needed
            self._fitted(component, tmp_path)

    def test_an_interrupted_training_makes_the_same_pictures(
        self, component: Generator, trained: tuple[FittedGenerator, list[int]], tmp_path: Path
    ) -> None:
        """A generator that is not measured trains nothing that could be interrupted."""
        whole, seen = trained
        if not seen:
            return
        with pytest.raises(KeyboardInterrupt):
            self._fitted(component, tmp_path, "cut", stop_at=2)
        seen.clear()
        resumed = self._fitted(component, tmp_path, "cut", seen=seen)
        assert seen[0] == 2, "it goes on after the last checkpoint"
        labels, seeds = [0, 1, 2], [1, 2, 3]
        np.testing.assert_array_equal(whole.sample(labels, seeds), resumed.sample(labels, seeds))
