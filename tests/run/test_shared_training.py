"""Steps that differ in what they do with a trained component alone share its training."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core.pipeline import Pipeline, Run
from fgic_core.steps.context import StepContext

SPEC = """\
version: 1
steps:
  dots: {uses: dataset/dots, with: {count: 3}}
  both: {uses: generator/tint, with: {epochs: 2, per_class: 2}}
  alone: {uses: generator/tint, with: {epochs: 2, per_class: 5, train_samples: synthetic}, from: {dataset: dots}}
"""

TWO_INPUTS = """\
version: 1
steps:
  one: {uses: dataset/dots, with: {count: 3}}
  two: {uses: dataset/dots, with: {count: 3}, seed: 1}
  a: {uses: generator/tint, with: {per_class: 2}, from: {dataset: one}}
  b: {uses: generator/tint, with: {per_class: 2}, from: {dataset: two}}
  after_a: {uses: cropper/exact, from: {dataset: a}}
  after_b: {uses: cropper/exact, from: {dataset: b}}
"""


@pytest.fixture
def trainings(toys: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each training of `generator/tint`."""
    import fgic_toys

    found: list[int] = []
    fit = fgic_toys.Tint.fit

    def counted(self: Any, train: Any, ctx: Any) -> Any:
        found.append(len(train))
        return fit(self, train, ctx)

    monkeypatch.setattr(fgic_toys.Tint, "fit", counted)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    def go(*overrides: str, spec: str = SPEC, **options: Any) -> Run:
        (tmp_path / "spec.yaml").write_text(spec)
        pipeline = Pipeline.from_yaml(tmp_path / "spec.yaml", overrides)
        places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
        result = pipeline.run(device="cpu", report=False, **places, **options)
        assert [step.error for step in result.record.steps if step.error] == []
        return result

    return go


def made(result: Run, step: str) -> list[bytes]:
    data = result.dataset(step)
    return [data.file(row).read_bytes() for row, sample in enumerate(data) if sample.origin != "real"]


def test_how_many_are_made_and_which_go_on_does_not_train_again(trainings: list[int], run: Callable[..., Run]) -> None:
    result = run()
    assert len(trainings) == 1
    artifacts = [result.artifact(step) for step in ("both", "alone")]
    assert artifacts[0].curves == artifacts[1].curves != []
    assert all("a toy was trained" in artifact.warnings for artifact in artifacts)
    assert len(made(result, "both")) == 6
    assert len(made(result, "alone")) == 15
    folders = [result.record.step(step).folder for step in ("both", "alone")]
    grids = [sorted((folder / "grids").rglob("*")) for folder in folders]
    assert [file.name for file in grids[0]] == [file.name for file in grids[1]] != []
    run("alone.with.per_class=1", "alone.with.drop_copies=true", "both.with.top_up=30", "both.with.per_class=null")
    assert len(trainings) == 1


def test_a_shared_training_gives_what_one_of_its_own_gives(
    trainings: list[int], run: Callable[..., Run], tmp_path: Path
) -> None:
    shared = made(run(), "alone")
    shutil.rmtree(tmp_path / "store")
    assert made(run(only=None, until="dots"), "dots") == []
    own = run("both.with.epochs=1")
    assert len(trainings) == 3
    assert made(own, "alone") == shared


@pytest.mark.parametrize("change", ["both.with.resolution=8", "both.with.curve_samples=5", "both.seed=4"])
def test_what_bears_on_the_training_trains_again(change: str, trainings: list[int], run: Callable[..., Run]) -> None:
    run(change)
    assert len(trainings) == 2


def test_fresh_trains_once_more_for_all_steps(trainings: list[int], run: Callable[..., Run]) -> None:
    run()
    run(fresh=True)
    assert len(trainings) == 2


def test_a_damaged_training_is_trained_again(trainings: list[int], run: Callable[..., Run], tmp_path: Path) -> None:
    kept = run().learned("both")
    damages: list[Callable[[], Any]] = [
        lambda: (kept / "artifact.json").write_text("{"),
        lambda: (kept / "component" / "tint.json").write_text(""),
        lambda: shutil.rmtree(kept / "component"),
    ]
    for number, damage in enumerate(damages, 2):
        damage()
        run(f"alone.with.per_class={number}")
        assert len(trainings) == number


def test_equal_options_on_different_inputs_make_different_pictures(
    trainings: list[int], run: Callable[..., Run]
) -> None:
    """Pictures are looked up by their folder's name, so that it must tell the two steps apart."""
    result = run(spec=TWO_INPUTS)
    for step in ("a", "b"):
        data = result.dataset(f"after_{step}")
        rows = [row for row, sample in enumerate(data) if sample.origin != "real"]
        digests = data.table.column("digest").to_pylist()
        assert len(rows) == 6
        assert all(hashlib.blake2b(data.file(r).read_bytes(), digest_size=16).hexdigest() == digests[r] for r in rows)
    assert set(result.dataset("a").header.roots) != set(result.dataset("b").header.roots)


def test_equal_options_on_different_inputs_are_two_trainings(trainings: list[int], run: Callable[..., Run]) -> None:
    result = run(spec=TWO_INPUTS.replace("per_class: 2", "per_class: 2, epochs: 1"))
    assert len(trainings) == 2
    means = [(result.learned(step) / "component" / "tint.json").read_text() for step in ("a", "b")]
    assert means[0] != means[1]


def test_what_was_warned_of_before_a_crash_is_not_forgotten(tmp_path: Path) -> None:
    for name in ("out", "again"):
        (tmp_path / name).mkdir()
    ctx = StepContext(tmp_path / "out", scratch=tmp_path / "scratch")
    ctx.warn("the training collapsed")
    ctx.checkpoint(1, {})
    assert StepContext(tmp_path / "again", scratch=tmp_path / "scratch").warnings == ["the training collapsed"]
