"""The studies of ``examples/studies``: each can be run as it is, and asks what it says that it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fgic_core.cli import app
from fgic_core.metrics.power import sign_flip_seeds
from fgic_core.pipeline import Pipeline

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
ARMS = {
    "necessity": (
        "full",
        *("without-boxes", "without-crops", "without-synthetic"),
        *("without-boxes-crops", "without-boxes-synthetic", "without-crops-synthetic"),
        "without-boxes-crops-synthetic",
    ),
    "why_cropping": (
        *("full", "without-crops", "crops.margin=0", "crops.margin=0.3"),
        "crops.test_boxes=whole",  # crops in training only
        *("crops.train_boxes=predicted", "crops.train_boxes=predicted,crops.test_boxes=whole"),
        *("crops.train_boxes=whole", "crops.train_boxes=whole,crops.test_boxes=whole"),
        "oracle",
    ),
    "synthetic_worth": (
        *("full", "real", "alone", "double", "filtered", "repeated", "cutmix"),
        *("half", "real-5", "real-10", "real-30", "real-60", "both-5", "both-10", "both-30"),
    ),
}


def test_every_study_of_the_folder_is_looked_at() -> None:
    assert {file.stem for file in STUDIES.glob("*.yaml")} == set(ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_a_ready_study_has_the_arms_that_its_question_needs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = STUDIES / f"{name}.yaml"
    assert app.run(["check", str(file), "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().out
    study = Pipeline.from_yaml(file).spec.study
    assert study is not None
    assert tuple(arm.name for arm in study.arms) == ARMS[name]
    # Every verdict is about two arms that are there: the sign-flip test can speak of all of them.
    assert len(study.seeds) == sign_flip_seeds(study.comparisons)
    assert f"{study.runs} runs: {len(ARMS[name])} arms, {len(study.seeds)} seeds each" in said
    differ = [sum(arm.levels.get(path, base) != base for path, base in study.baseline.items()) for arm in study.arms]
    assert differ.count(1) == sum(len(levels) - 1 for levels in study.matrix.values())


def test_synthetic_pictures_are_set_against_nested_sets_of_real_ones_alone() -> None:
    study = Pipeline.from_yaml(STUDIES / "synthetic_worth.yaml").spec.study
    assert study is not None
    assert study.worth is not None
    steps = {arm.name: {step.name: step.described.options for step in arm.steps} for arm in study.arms}
    curve = [steps[name] for name in study.worth.curve]
    sizes = [one["birds"]["max_train_per_class"] for one in curve]
    assert sizes == [5, 10, 20, 30, 60]
    assert {one["synthetic"]["train_samples"] for one in curve} == {"real"}
    assert {one["birds"]["train_per_class"] for one in steps.values()} == {68}, "with the same test pictures"
    assert "real" not in {steps[name]["synthetic"]["train_samples"] for name in study.worth.arms}
    assert {steps[f"both-{size}"]["birds"]["max_train_per_class"] for size in (5, 10, 30)} == {5, 10, 30}


def test_the_crops_of_the_oracle_alone_know_annotated_boxes_of_test_pictures() -> None:
    study = Pipeline.from_yaml(STUDIES / "why_cropping.yaml").spec.study
    assert study is not None
    crops = {arm.name: next((step for step in arm.steps if step.name == "crops"), None) for arm in study.arms}
    tests = {name: step.described.options["test_boxes"] for name, step in crops.items() if step is not None}
    assert [name for name, boxes in tests.items() if boxes == "annotated"] == ["oracle"]
    assert tests["crops.test_boxes=whole"] == "whole"
    assert crops["without-crops"] is None
