"""The seed of a spec, and of a step, decides what the step gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fgic_core import Pipeline, Run


def run(spec: Path, tmp: Path, *overrides: str, **options: Any) -> Run:
    places = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False}
    result = Pipeline.from_yaml(spec, overrides).run(**places, **options)
    assert [step.error for step in result.record.steps if step.error] == []
    return result


def files(result: Run, step: str) -> dict[str, bytes]:
    """Every file of a step's artifact but the record, which holds times."""
    folder = result.record.step(step).folder
    found = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if name != "artifact.json"}


def weights(result: Run) -> bytes:
    return files(result, "classifier")["component/linear.safetensors"]


TWO_STEPS = """\
version: 1
name: seeds
steps:
  dots: {uses: dataset/dots, with: {count: 3}, seed: 0}
  classifier: {uses: classifier/linear, with: {epochs: 2, val_fraction: 0.34}}
"""


@pytest.fixture
def training(toys: Path, tmp_path: Path) -> Path:
    """A spec whose pictures are the same with every seed, so that the training alone can differ."""
    spec = tmp_path / "seeds.yaml"
    spec.write_text(TWO_STEPS, encoding="utf-8")
    return spec


def test_two_seeds_give_two_trainings_and_equal_ones_the_same(training: Path, tmp_path: Path) -> None:
    five = [run(training, tmp_path, f"seed={seed}") for seed in range(5)]
    assert {one.record.step("dots").key for one in five} == {five[0].record.step("dots").key}
    assert len({weights(one) for one in five}) == 5
    assert [one.artifact("classifier").seed for one in five] == [0, 1, 2, 3, 4]
    before = weights(five[3])
    again = run(training, tmp_path, "seed=3", fresh=True)
    assert again.record.step("classifier").status == "computed"
    assert weights(again) == before


def test_a_steps_own_seed_goes_before_the_specs(training: Path, tmp_path: Path) -> None:
    own = run(training, tmp_path, "seed=1", "classifier.seed=2")
    alike = run(training, tmp_path, "seed=2")
    assert alike.record.step("classifier").status == "reused"
    assert weights(own) == weights(alike) != weights(run(training, tmp_path, "seed=1"))


def test_the_seed_reaches_a_step_of_every_kind_that_draws(seven_steps: Path, tmp_path: Path) -> None:
    """The toy detector and the toy cropper draw nothing."""
    first = run(seven_steps, tmp_path)
    for step in ("dots", "more", "classifier", "map", "attack"):
        other = run(seven_steps, tmp_path, f"{step}.seed=99", until=step)
        assert other.record.step(step).status == "computed"
        assert files(other, step) != files(first, step), step
