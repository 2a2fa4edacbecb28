"""A run of the same artifacts draws nothing, and never shows what is not so any more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fgic_core.report.drawing
from fgic_core.data.artifact import ArtifactRecord, Metric
from fgic_core.report import drawn, write_report
from fgic_core.report.drawn import Drawn
from fgic_core.report.numbers import amount
from fgic_core.report.view import RunView


class Drawings:
    """Draws a page of few words instead, or the true one, and counts."""

    def __init__(self) -> None:
        self.count, self.true = 0, fgic_core.report.drawing.draw

    def quick(self, view: RunView) -> tuple[Drawn, bool]:
        self.count += 1
        told = [step.problem or amount(step.metrics[0]) for step in view.steps]
        marks = "".join(f"<!--status {step.slug}-->" for step in view.steps)
        return Drawn(" ".join(told), "", marks, (), {"01-birds": "<svg/>"}), True

    def slow(self, view: RunView) -> tuple[Drawn, bool]:
        self.count += 1
        return self.true(view)


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Drawings:
    """Counts how often a page is drawn."""
    made = Drawings()
    monkeypatch.setattr(fgic_core.report.drawing, "draw", made.quick)
    return made


@pytest.fixture
def run(fake_run: Callable[..., Any], drawings: Drawings) -> Any:
    """A run of two steps whose report was written."""
    made = fake_run(per_class=4)
    made.dataset()
    made.add("classifier", "classifier/fake", {"dataset": "birds"}, "model", [Metric(name="accuracy", value=0.5)])
    write(made)
    assert drawings.count == 1
    drawings.count = 0
    return made


def write(run: Any, status: str = "finished") -> str:
    page = write_report(run.write(status))
    return page.read_text(encoding="utf-8")


def test_the_same_steps_are_not_drawn_again_and_the_page_is_the_same_to_the_byte(
    run: Any, drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.root / "store" / "reports" / "birds.page").unlink()
    (run.folder / "figures" / "01-birds.svg").unlink(missing_ok=True)
    monkeypatch.setattr(fgic_core.report.drawing, "draw", drawings.slow)
    before = write(run)
    figures = {file.name: file.read_bytes() for file in (run.folder / "figures").iterdir()}
    assert "01-birds-counts.svg" in figures
    for file in (run.folder / "figures").iterdir():
        file.unlink()
    assert write(run) == before
    assert drawings.count == 1
    assert {file.name: file.read_bytes() for file in (run.folder / "figures").iterdir()} == figures


def test_what_is_the_runs_own_is_new_on_every_page(run: Any, drawings: Drawings) -> None:
    for step in run.steps:
        step.status, step.reason, step.seconds = "reused", "in the store", 0.0
    page = write(run)
    assert drawings.count == 0
    assert page.count('<span class="status reused">reused</span>') == 2
    assert "<!--status" not in page
    assert page.count("in the store") == 2


def _metric(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.root / "store" / "classifier"
    record = ArtifactRecord.read(folder)
    metrics = [Metric(name="accuracy", value=0.125)]
    record.model_copy(update={"metrics": metrics}).write(folder)


def _file(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(run.root / "store" / "classifier" / "artifact.json", (1, 1))


def _key(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run.steps[1].key = "another-key"
    (run.root / "store" / "artifacts" / "an").mkdir()
    (run.root / "store" / "artifacts" / "an" / "another-key").symlink_to(run.root / "store" / "classifier")


def _name(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run.steps[1].name = "renamed"


def _status(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run.steps[1].status, run.steps[1].error = "failed", "planted"


def _sources(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "_sources", lambda *_: "mended")


def _version(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")


def _damage(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = (run.root / "store" / "reports").iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)


@pytest.mark.parametrize("change", [_metric, _file, _key, _name, _status, _sources, _version, _damage])
def test_whatever_changes_is_drawn_anew(
    run: Any, drawings: Drawings, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    change(run, monkeypatch)
    page = write(run)
    assert drawings.count == 1
    if change is _metric:
        assert "12.5" in page
    if change is _status:
        assert "planted" in page


def test_a_run_that_is_not_whole_is_drawn_every_time(run: Any, drawings: Drawings) -> None:
    write(run, "failed")
    write(run, "failed")
    assert drawings.count == 2
    write(run)
    assert drawings.count == 2


def test_a_page_that_lacks_a_picture_is_not_kept(run: Any, drawings: Drawings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fgic_core.report.drawing, "draw", drawings.slow)
    pictures: Path = run.root / "pictures"
    (run.root / "store" / "reports" / "birds.page").unlink()
    pictures.rename(run.root / "away")
    assert 'class="tile missing"' in write(run)
    (run.root / "away").rename(pictures)
    assert 'class="tile missing"' not in write(run)
    assert drawings.count == 2
