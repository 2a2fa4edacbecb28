from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from fgic_core import DatasetReader, Sample
from fgic_core.steps.context import StepContext

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ctx(tmp_path: Path) -> StepContext:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return StepContext(folder)


@pytest.fixture
def read(ctx: StepContext) -> Callable[[DatasetReader], list[Sample]]:
    return lambda reader: list(reader.samples(ctx))


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Makes a small picture file, with its folders."""

    def make(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "white").save(path)
        return path

    return make


@pytest.fixture
def shuffled_listing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """After the call, folders are listed in reverse order."""
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: str | Path) -> None:
            with scandir(path) as entries:
                self._entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Iterable[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *_: object) -> None:
            pass

    return lambda: monkeypatch.setattr(os, "scandir", Reversed)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """A folder of the real data, or a skip that says which is missing."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("FGIC_REAL_DATA", ROOT.parent / "shared" / "data")) / name
        if not folder.is_dir():
            pytest.skip(f"the real data {name} are not here; FGIC_REAL_DATA names their folder")
        return folder

    return find
