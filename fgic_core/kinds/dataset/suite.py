"""What holds for a data set reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fgic_core.data.sample import SPLITS, Sample
from fgic_core.errors import DataError
from fgic_core.kinds.dataset.contract import DatasetReader
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.data import tiny_context


class DatasetReaderSuite(ComponentSuite):
    """Samples agree with each other, with the classes and with the files."""

    @pytest.fixture
    def component(self) -> DatasetReader:
        """The reader under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _samples(self, component: DatasetReader, folder: Path) -> tuple[list[Sample], Path]:
        context = tiny_context(folder, inputs=self._inputs)
        samples = list(component.samples(context))
        assert samples, "the reader gives no sample"
        return samples, component.source() or context.folder

    def test_ids_are_unique(self, component: DatasetReader, tmp_path: Path) -> None:
        samples, _ = self._samples(component, tmp_path)
        assert len({sample.id for sample in samples}) == len(samples)

    def test_labels_are_indices_into_unique_class_names(self, component: DatasetReader, tmp_path: Path) -> None:
        classes = list(component.classes())
        samples, _ = self._samples(component, tmp_path)
        assert len(set(classes)) == len(classes)
        assert {sample.label for sample in samples} <= set(range(len(classes)))

    def test_splits_are_known_and_share_no_picture(self, component: DatasetReader, tmp_path: Path) -> None:
        samples, _ = self._samples(component, tmp_path)
        assert {sample.split for sample in samples} <= set(SPLITS)
        assert len({sample.path for sample in samples}) == len(samples)

    def test_every_picture_is_there_and_holds_its_boxes(self, component: DatasetReader, tmp_path: Path) -> None:
        from fgic_core.data.images import read_size

        samples, root = self._samples(component, tmp_path)
        for sample in samples:
            file = root / sample.path
            assert file.resolve().is_relative_to(root.resolve())
            try:
                size = read_size(file)
            except DataError:
                assert component.unreadable == "skip"
                continue
            for box in sample.boxes:
                assert box.box.clip(size).area > 0, f"{sample.id}: {box} lies outside {size}"
            if sample.size is not None:
                assert sample.size == size

    def test_the_order_in_which_folders_are_listed_does_not_matter(
        self, component: DatasetReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file system lists a folder in any order, and another machine in another: labels and rows are the same."""
        classes = list(component.classes())
        samples, _ = self._samples(component, tmp_path / "first")
        fresh = type(component).model_validate(component.model_dump())
        listdir, scandir = os.listdir, os.scandir

        @contextmanager
        def backwards(path: Any = ".") -> Iterator[Iterator[os.DirEntry[str]]]:
            with scandir(path) as entries:
                yield iter(list(entries)[::-1])

        monkeypatch.setattr(os, "listdir", lambda path=".": listdir(path)[::-1])
        monkeypatch.setattr(os, "scandir", backwards)
        assert list(fresh.classes()) == classes
        assert self._samples(fresh, tmp_path / "second")[0] == samples

    def test_reading_twice_gives_the_same(self, component: DatasetReader, tmp_path: Path) -> None:
        first, _ = self._samples(component, tmp_path / "first")
        second, _ = self._samples(component, tmp_path / "second")
        assert first == second
