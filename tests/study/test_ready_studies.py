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
        *("full", "without-crops", "oracle", "train-alone", "test-alone", "as-found", "tight", "wide"),
        *("masked", "larger"),
    ),
    "synthetic_worth": (
        *("full", "real", "alone", "double", "filtered", "repeated", "cutmix"),
        *("half", "real-5", "real-10", "real-30", "real-60", "both-5", "both-10", "both-30"),
    ),
    "price_of_robustness": ("full", "smoothed", "decayed", "smaller"),
    "efficient_vit": (
        *("full", "classifier.model=test_vit", "classifier.model=test_efficientnet"),
        "classifier.model=test_convnext",
    ),
}
#: Those that stand on pictures and weights from elsewhere.
FROM_ELSEWHERE = {"dogs_boxes"}


def test_every_study_of_the_folder_is_looked_at() -> None:
    assert {file.stem for file in STUDIES.glob("*.yaml")} == set(ARMS) | FROM_ELSEWHERE


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


def test_those_who_know_annotated_boxes_of_test_pictures_get_no_verdict() -> None:
    study = Pipeline.from_yaml(STUDIES / "why_cropping.yaml").spec.study
    assert study is not None
    crops = {arm.name: next((step for step in arm.steps if step.name == "crops"), None) for arm in study.arms}
    options = {name: step.described.options for name, step in crops.items() if step is not None}
    assert [name for name, one in options.items() if one["test_boxes"] == "annotated"] == ["oracle", "masked"]
    assert study.arm("masked").under == "beside"
    assert options["train-alone"]["test_boxes"] == "whole"
    assert options["test-alone"]["train_boxes"] == "whole"
    assert crops["without-crops"] is None


def test_scale_and_context_come_apart_by_one_option_each() -> None:
    """Whole, masked and cropped pictures of one box: the parts of the way between them change one thing at a time."""
    study = Pipeline.from_yaml(STUDIES / "why_cropping.yaml").spec.study
    assert study is not None
    assert [one.arm for one in study.decompose] == ["without-crops", "masked", "oracle", "full"]
    steps = {arm.name: {step.name: step.described.options for step in arm.steps} for arm in study.arms}
    masked, oracle = steps["masked"]["crops"], steps["oracle"]["crops"]
    assert {name for name in masked if masked[name] != oracle[name]} == {"view"}
    assert {name for name in oracle if oracle[name] != steps["full"]["crops"][name]} == {"test_boxes"}
    classifiers = {name: steps[name]["classifier"] for name in ("without-crops", "masked", "oracle", "full")}
    assert all(one == classifiers["full"] for one in classifiers.values())


def test_real_dogs_are_asked_about_with_a_frozen_backbone() -> None:
    file = STUDIES / "dogs_boxes.yaml"
    if not (STUDIES / "../../../shared/weights/yolox_nano.onnx").is_file():
        pytest.skip("the pictures and weights that it names are not there")
    study = Pipeline.from_yaml(file).spec.study
    assert study is not None
    assert [arm.name for arm in study.arms] == ["full", "without-crops", "oracle"]
    assert len(study.seeds) == 10
    assert {
        step.described.options["trainable"] for arm in study.arms for step in arm.steps if step.name == "classifier"
    } == {"head"}
