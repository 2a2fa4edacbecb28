"""The runs of a study: which seed each step has, what the runs share, and what is said before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fgic_core.pipeline import Pipeline
from fgic_core.plan.keys import key_of
from fgic_core.plan.study import StudyPlan, runs_of
from fgic_core.spec import Spec, SpecStep

STEPS = """\
version: 1
name: toys
seed: 3
steps:
  dots: {uses: dataset/dots, with: {count: 3}}
  boxes: {uses: detector/bright}
  crops: {uses: cropper/exact}
  more: {uses: generator/tint, with: {per_class: 4}}
  classifier: {uses: classifier/linear, with: {epochs: 4, val_fraction: 0.34}}
  map: {uses: explainer/saliency, with: {samples: 6}}
  attack: {uses: attacker/sign, with: {eps: [0, 8/255], samples: 6}}
study:
"""


@pytest.fixture
def spec(module_toys: Path, tmp_path: Path) -> Any:
    """The spec with this block, its lines indented."""

    def spec(block: str, *overrides: str) -> Pipeline:
        file = tmp_path / "toys.yaml"
        file.write_text(STEPS + "".join(f"  {line}\n" for line in block.splitlines()), encoding="utf-8")
        return Pipeline.from_yaml(file, overrides)

    return spec


def planned(pipeline: Pipeline, tmp_path: Path) -> StudyPlan:
    return pipeline.plan_study(tmp_path / "store")


def seeds(spec: Spec) -> dict[tuple[str, int], dict[str, int]]:
    return {(run.arm.name, run.seed): {step.name: step.seed for step in run.spec.steps} for run in runs_of(spec)}


def test_a_studys_seed_is_that_of_what_learns_and_of_what_makes_what_is_learned_from(spec: Any) -> None:
    found = seeds(spec("seeds: [8, 9]\nablate: [crops]").spec)
    assert list(found) == [("full", 8), ("without-crops", 8), ("full", 9), ("without-crops", 9)]
    assert found["full", 9] == {
        "dots": 3,
        "boxes": 9,
        "crops": 3,  # it draws nothing
        "more": 9,
        "classifier": 9,
        "map": 3,
        "attack": 3,
    }
    own = seeds(spec("seeds: [8, 9]", "classifier.seed=5", "map.seed=6").spec)
    assert (own["full", 9]["classifier"], own["full", 9]["map"], own["full", 9]["more"]) == (5, 6, 9)


def step(spec: Spec, name: str) -> SpecStep:
    return next(runs_of(spec)).spec.step(name)


@pytest.mark.parametrize(
    ("vary", "seed", "streams"),
    [
        ("[init, order, split]", 8, {}),
        ("[order]", 8, {"init": 3, "split": 3}),
        ("[split, init]", 3, {"init": 8, "split": 8}),
        ("[split]", 3, {"split": 8}),
        ("[order, init]", 8, {"split": 3}),
        ("[init, order, split, resample]", 8, {"resample": 8}),
    ],
)
def test_what_is_not_varied_is_drawn_with_the_specs_own_seed(
    vary: str, seed: int, streams: dict[str, int], spec: Any
) -> None:
    pipeline = spec(f"seeds: [8]\nvary: {vary}")
    found = step(pipeline.spec, "classifier")
    assert (found.seed, dict(found.streams)) == (seed, streams)
    assert (step(pipeline.spec, "dots").seed, step(pipeline.spec, "attack").streams) == (3, {})


def test_runs_share_what_their_seed_and_their_arm_have_no_part_in(spec: Any, tmp_path: Path) -> None:
    found = planned(spec("seeds: [0, 1, 2]\nablate: [crops]"), tmp_path)
    shares = {name: (one.runs, one.nodes) for name, one in found.shares().items()}
    assert shares == {
        "dots": (6, 1),
        "boxes.fit": (6, 3),
        "boxes": (6, 3),
        "crops": (3, 3),
        "more.fit": (6, 6),
        "more": (6, 6),
        "classifier.fit": (6, 6),
        "classifier": (6, 6),
        "map": (6, 6),
        "attack": (6, 6),
    }
    assert found.nodes == found.computed == sum(nodes for _, nodes in shares.values())
    assert not found.settled
    until = [[step.name for step in plan.steps][:3] for plan in found.plans]
    assert found.to_compute(until) == 1 + 3 + 3 + 3 + 3 + 3, "without crops the third step is the generator"


def test_a_study_of_one_arm_and_the_specs_seed_has_the_keys_of_the_spec_itself(spec: Any, tmp_path: Path) -> None:
    pipeline = spec("seeds: [3]")
    (alone,) = planned(pipeline, tmp_path).plans
    as_it_was = pipeline.plan(tmp_path / "store")
    assert [one.key for one in alone.steps] == [one.key for one in as_it_was.steps]
    for one in alone.steps:
        assert one.key == key_of(one.document), "however it is worked out"
        assert "streams" not in one.document
    split = planned(spec("seeds: [8]\nvary: [split]"), tmp_path).plans[0].step("classifier")
    assert (split.document["seed"], split.document["streams"]) == (3, {"split": 8})
    assert split.key == key_of(split.document)


def test_each_step_is_planned_once_for_all_runs_that_have_it_so(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning ten thousand runs is then linear in what differs, and no step is looked up in the store twice."""
    from fgic_core.store.store import Store

    margins, rates = [n / 10 for n in range(10)], [(n + 1) / 100 for n in range(10)]
    matrix = f"matrix: {{crops.with.margin: {margins}, classifier.with.lr: {rates}}}"
    looks: list[str] = []
    last = Store.last
    monkeypatch.setattr(Store, "last", lambda self, *names: looks.append(names[1]) or last(self, *names))
    found = planned(spec(f"seeds: {list(range(10))}\n{matrix}"), tmp_path)
    assert len(found.plans) == 1000
    most = 1 + 10 + 10 * 10 + 10 * 10 + 3 * 1000  # dots; boxes; crops and more by margin and seed; what trains on them
    assert found.shared.planned <= most
    assert len(looks) == 7


def test_what_comes_to_what_is_plain_data(spec: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fgic_core.cli.study import print_study

    found = planned(spec("seeds: [0, 1, 2]\nablate: [crops]\nmatrix: {classifier.with.epochs: [1, 2]}"), tmp_path)
    print_study(found, True)
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["baseline"], told["computed"], told["seconds"]) == (9, "full", found.computed, None)
    assert [one["name"] for one in told["arms"]] == ["full", "without-crops", "classifier.epochs=2"]
    print_study(found, False)
    said = " ".join(capsys.readouterr().out.split())
    assert "classifier classifier/linear dataset of more model" in said
    assert "full the baseline: everything 0 to 2 without-crops without crops 0 to 2" in said
    assert "classifier.epochs=2 classifier.with.epochs: 2 0 to 2" in said
    assert "9 runs: 3 arms, 3 seeds each, compared with full. Differences below 1 percentage points count as" in said
    assert f"{found.nodes} nodes, at most {found.computed} of them to compute; without sharing it would be 87." in said
    assert "time not known before one run of it is computed" in said
