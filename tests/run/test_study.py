"""A study is run: one graph, a directory for each run, and what becomes of runs that fail or are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import Interrupted, StoreError
from fgic_core.finished import Run, StudyRun
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline
from fgic_core.predict import Predictor
from fgic_core.run.study import Specs
from fgic_core.run.upkeep import needless
from fgic_core.spec import dump_yaml
from fgic_core.store.store import Store

SPEC = """\
version: 1
name: toys
seed: 3
steps:
  dots: {uses: dataset/dots, with: {count: 3, per_class: 4}}
  boxes: {uses: detector/bright}
  crops: {uses: cropper/exact}
  classifier: {uses: classifier/linear, with: {epochs: 2, val_fraction: 0.34}}
"""
#: The same without a detector: three nodes that differ, and quick ones.
SHORT = SPEC.replace("  boxes: {uses: detector/bright}\n", "")


def study(tmp: Path, block: str, *overrides: str, text: str = SHORT, **options: Any) -> StudyRun:
    spec = tmp / "toys.yaml"
    spec.write_text(f"{text}study:\n" + "".join(f"  {line}\n" for line in block.splitlines()), encoding="utf-8")
    options = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False, **options}
    result = Pipeline.from_yaml(spec, overrides).run(**options)
    assert isinstance(result, StudyRun)
    return result


def statuses(run: Run) -> dict[str, str]:
    return {step.name: step.status for step in run.record.steps}


def weights(run: Run) -> bytes:
    return (run.learned("classifier") / "component" / "model.safetensors").read_bytes()


def contents(store: Path) -> dict[str, dict[str, str]]:
    """What lies in a store, by key: the digests of every file."""
    records = [ArtifactRecord.read(file.parent) for file in store.glob("artifacts/*/*/artifact.json")]
    return {
        one.key: {name: file.digest for name, file in one.files.items() if name != "dataset.json"} for one in records
    }


def test_every_arm_runs_with_every_seed_and_what_they_share_is_computed_once(toys: Path, tmp_path: Path) -> None:
    left: list[float | None] = []

    class Listening:
        @hookimpl
        def time_left(self, seconds: float | None) -> None:
            left.append(seconds)

    result = study(tmp_path, "seeds: [0, 1]\nablate: [crops]\nmargin: 2", observers=[Listening()])
    assert result.ok
    assert left[0] is None
    assert left[-1] is not None, "what one run took tells what the others take"
    assert result.folder.parent == (tmp_path / "runs" / "toys").resolve()
    assert (result.folder.parent / "latest").resolve() == result.folder
    assert [(one.arm, one.seed, one.folder, one.status) for one in result.record.runs] == [
        (arm, seed, f"runs/{arm}/seed-{seed}", "finished") for seed in (0, 1) for arm in ("full", "without-crops")
    ]
    assert [(run.record.arm, run.record.seed) for run in result.runs] == [
        (one.arm, one.seed) for one in result.record.runs
    ]
    computed = Counter(name for run in result.runs for name, status in statuses(run).items() if status == "computed")
    assert computed == {"dots": 1, "crops": 1, "classifier": 4}
    assert len({weights(run) for run in result.runs}) == 4, "another seed, or another picture: other weights"
    assert len({run.record.step("dots").key for run in result.runs}) == 1
    record = result.record
    assert (record.seeds, record.margin, record.ablate, record.baseline) == ([0, 1], 2.0, ["crops"], "full")
    assert [(arm.name, arm.left_out) for arm in record.arms] == [("full", []), ("without-crops", ["crops"])]
    assert [(one.step, one.quantity) for one in record.measure] == [("classifier", "accuracy")]
    assert record.versions["fgic-toys"] == "0.1.0"
    assert StudyRun.open(result.folder).record == record
    one = result.run("without-crops", 1)
    assert one.metric("classifier", "accuracy", "test").n == 12
    assert {file.name for file in one.folder.iterdir()} == {
        *("run.json", "resolved.yaml", "events.jsonl", "metrics.json", "jobs"),
    }
    events = [json.loads(line)["event"] for line in (one.folder / "events.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("run_started", "run_finished")


def test_again_everything_is_in_the_store_and_a_run_is_the_same_alone(toys: Path, tmp_path: Path) -> None:
    first = study(tmp_path, "seeds: [0, 1]\nvary: [init]\nablate: [crops]")
    again = study(tmp_path, "seeds: [0, 1]\nvary: [init]\nablate: [crops]")
    assert {status for run in again.runs for status in statuses(run).values()} == {"reused"}
    assert again.folder != first.folder
    for run in again.runs:
        alone = Pipeline.from_yaml(run.folder / "resolved.yaml").plan(tmp_path / "store")
        assert [step.key for step in alone.steps] == [step.key for step in run.record.steps]
    resolved = Pipeline.from_yaml(again.folder / "resolved.yaml").plan_study(tmp_path / "store")
    assert resolved.computed == 0


def test_what_is_not_varied_is_the_same_in_every_run(toys: Path, tmp_path: Path) -> None:
    result = study(tmp_path, "seeds: [0, 1]\nvary: [split]")
    held = [(run.learned("classifier") / "validation.json").read_text() for run in result.runs]
    assert held[0] != held[1]
    init = study(tmp_path, "seeds: [0, 1]\nvary: [init]")
    held = [(run.learned("classifier") / "validation.json").read_text() for run in init.runs]
    assert held[0] == held[1]
    assert len({weights(run) for run in init.runs}) == 2


def test_train_rows_are_drawn_again_and_neither_what_it_is_chosen_by_nor_test_rows(toys: Path, tmp_path: Path) -> None:
    # (crops of one colour are all the same)
    result = study(tmp_path, "seeds: [0, 1]\nvary: [resample]", "classifier.from.dataset=dots")
    assert len({weights(run) for run in result.runs}) == 2
    assert len({(run.learned("classifier") / "validation.json").read_text() for run in result.runs}) == 1
    documents = [run.artifact("classifier").why for run in result.runs]
    assert [(one["seed"], one["streams"]) for one in documents] == [(3, {"resample": 0}), (3, {"resample": 1})]


def test_specs_of_runs_are_written_as_any_spec_is(toys: Path, tmp_path: Path) -> None:
    spec = tmp_path / "toys.yaml"
    block = "study:\n  seeds: [0, 4]\n  vary: [order, resample]\n  ablate: all\n"
    spec.write_text(SPEC.replace("steps:\n", "steps:\n", 1) + block, encoding="utf-8")
    written = Specs()
    for run in Pipeline.from_yaml(spec).plan_study(tmp_path / "store").runs:
        assert written.text(run.spec) == dump_yaml(run.spec.resolved())


def test_without_its_detector_a_cropper_uses_test_pictures_whole_and_the_oracle_is_named(
    toys: Path, tmp_path: Path
) -> None:
    result = study(tmp_path, "seeds: [0]\nablate: [boxes]\noracle: true", text=SPEC)
    assert [step.error for run in result.runs for step in run.record.steps if step.error] == []
    origins = {}
    for run in result.runs:
        crops = run.dataset("crops")
        found = {(sample.split, str(sample.region_origin).partition(":")[0]) for sample in crops}
        origins[run.record.arm] = {split: origin for split, origin in found if split != "val"}
    assert origins == {
        "full": {"train": "annotated", "test": "predicted"},
        "without-boxes": {"train": "annotated", "test": "full image"},
        "oracle": {"train": "annotated", "test": "annotated"},
    }
    keys = {run.record.arm: run.record.step("classifier").key for run in result.runs}
    assert len(set(keys.values())) == 3
    predictor = result.run("without-boxes", 0).predictor()
    assert isinstance(predictor, Predictor)
    crops = result.run("without-boxes", 0).dataset("dots")
    (whole,) = predictor([crops.file(len(crops) - 1)])
    assert whole.region is None, "a new picture is taken as the test pictures were"


FAILS = SHORT.replace("epochs: 2", "epochs: 2, lr: 0.5")


def break_training(toys: Path, condition: str) -> None:
    source = (toys / "fgic_toys.py").read_text()
    assert source.count("        network = fitted.network\n") == 1
    source = source.replace(
        "        network = fitted.network\n",
        f"        network = fitted.network\n        if {condition}:\n            raise RuntimeError('planted')\n",
    )
    (toys / "fgic_toys.py").write_text(source)


def test_a_run_that_fails_stops_no_other_and_is_told(toys: Path, tmp_path: Path) -> None:
    break_training(toys, "ctx.seed == 1")
    told: list[str] = []

    class Listening:
        @hookimpl
        def run_finished(self, run: Any) -> None:
            told.append(f"{run.arm} {run.seed} {run.status}")

        @hookimpl
        def study_finished(self, study: Any, folder: Path) -> None:
            told.append(f"study {study.status}")

    result = study(tmp_path, "seeds: [0, 1, 2]\nablate: [crops]", observers=[Listening()])
    failed = {(run.arm, run.seed) for run in result.record.runs if run.status == "failed"}
    assert failed == {("full", 1), ("without-crops", 1)}
    assert not result.ok
    assert "step classifier (classifier/linear" in result.record.run("full", 1).error
    assert "RuntimeError: planted" in result.record.run("full", 1).error
    assert told[:3] == ["full 0 finished", "without-crops 0 finished", "full 1 failed"]
    assert told[-2:] == ["without-crops 2 finished", "study failed"]


def test_what_several_runs_need_and_one_could_not_compute_fails_all_of_them(toys: Path, tmp_path: Path) -> None:
    source = (toys / "fgic_toys.py").read_text()
    (toys / "fgic_toys.py").write_text(
        source.replace("return box.expand(self.margin)", "raise RuntimeError('planted')")
    )
    result = study(tmp_path, "seeds: [0, 1]\nablate: [crops]")
    assert {(run.arm, run.status) for run in result.record.runs} == {("full", "failed"), ("without-crops", "finished")}
    first, second = result.run("full", 0), result.run("full", 1)
    assert "planted" in first.record.step("crops").error
    said = second.record.step("crops").error
    assert said.startswith("step crops: needs what step crops was to give, which failed in another run: ")
    assert "planted" in said


def test_fail_fast_ends_all_of_it(toys: Path, tmp_path: Path) -> None:
    break_training(toys, "ctx.seed == 1")
    result = study(tmp_path, "seeds: [0, 1, 2]\nablate: [crops]", fail_fast=True)
    assert [run.status for run in result.record.runs] == [
        "finished",
        "finished",
        "failed",
        "waiting",
        "waiting",
        "waiting",
    ]
    assert result.record.status == "failed"
    assert [run.record.seed for run in result.runs] == [0, 0, 1], "of the others there is no directory"


@pytest.mark.slow
def test_two_at_once_give_what_one_at_a_time_gives(toys: Path, tmp_path: Path) -> None:
    seen = []
    for jobs in (1, 2):
        store = tmp_path / f"store-{jobs}"
        result = study(tmp_path, "seeds: [0, 1]\nablate: all", store=store, jobs=jobs, threads=1)
        assert result.ok
        seen.append((contents(store), [(run.arm, run.seed, run.status) for run in result.record.runs]))
    assert seen[0] == seen[1]


KILLED = """\
import sys
from pathlib import Path
from fgic_core.pipeline import Pipeline
tmp = Path(sys.argv[1])
Pipeline.from_yaml(tmp / "toys.yaml").run(store=tmp / "store", runs=tmp / "runs", device="cpu", report=False)
"""


def test_killed_and_started_again_it_goes_on_to_the_same(
    toys: Path, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    block = "seeds: [0, 1]\nablate: [crops]"
    whole = study(tmp_path, block, text=SHORT.replace("epochs: 2", "epochs: 2, hold: 2"), store=tmp_path / "other")
    (tmp_path / "hold").touch()  # the first training waits in its second epoch
    (tmp_path / "held").unlink()
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], text=True)
    wait_for((tmp_path / "held").exists, "a training that waits", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (killed,) = [
        folder for folder in (tmp_path / "runs" / "toys").iterdir() if folder.name not in ("latest", whole.folder.name)
    ]
    record = StudyRun.open(killed).record
    assert record.status == "killed"
    assert [run.status for run in record.runs] == ["killed", "waiting", "waiting", "waiting"]
    assert [run.record.status for run in StudyRun.open(killed).runs] == ["killed"]
    (tmp_path / "hold").unlink()
    again = study(tmp_path, block, text=SHORT.replace("epochs: 2", "epochs: 2, hold: 2"))
    assert again.ok
    assert contents(tmp_path / "store") == contents(tmp_path / "other")
    assert statuses(again.run("full", 0))["dots"] == "reused"


def test_a_study_that_is_stopped_says_so_in_every_record(toys: Path, tmp_path: Path) -> None:
    class Stops:
        @hookimpl
        def point(self, step: Any, node: str, point: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        study(tmp_path, "seeds: [0, 1]", observers=[Stops()])
    (folder,) = [one for one in (tmp_path / "runs" / "toys").iterdir() if one.name != "latest"]
    result = StudyRun.open(folder)
    assert result.record.status == "interrupted"
    assert [run.status for run in result.record.runs] == ["interrupted", "waiting"]
    assert statuses(result.run("full", 0))["classifier"] == "interrupted"
    assert study(tmp_path, "seeds: [0, 1]").ok


def test_until_and_only_mean_the_place_in_the_whole_pipeline(toys: Path, tmp_path: Path) -> None:
    result = study(tmp_path, "seeds: [0]\nablate: [crops]", until="crops")
    assert {run.record.arm: statuses(run) for run in result.runs} == {
        "full": {"dots": "computed", "crops": "computed", "classifier": "skipped"},
        "without-crops": {"dots": "reused", "classifier": "skipped"},
    }
    result = study(tmp_path, "seeds: [0]\nablate: [crops]", only="crops")
    assert statuses(result.run("full", 0))["crops"] == "reused"
    assert set(statuses(result.run("without-crops", 0)).values()) == {"skipped"}


def test_fresh_computes_each_node_anew_once(toys: Path, tmp_path: Path) -> None:
    study(tmp_path, "seeds: [0, 1]")
    again = study(tmp_path, "seeds: [0, 1]", fresh=True)
    computed = Counter(name for run in again.runs for name, status in statuses(run).items() if status == "computed")
    assert computed == {"dots": 1, "crops": 1, "classifier": 2}


def test_what_runs_of_studies_need_is_not_needless(toys: Path, tmp_path: Path) -> None:
    study(tmp_path, "seeds: [0, 1, 2]")
    store = Store(tmp_path / "store")
    assert needless(store, [tmp_path / "runs"]) == []
    assert needless(store, [tmp_path / "runs" / "toys"]) == []
    assert len(needless(store, [])) == 4, "of two seeds what was learned, and what was done with it"


def test_who_names_a_study_for_a_run_is_told_where_its_runs_are(toys: Path, tmp_path: Path) -> None:
    result = study(tmp_path, "seeds: [0]", until="dots")
    with pytest.raises(StoreError) as caught:
        Run.open(result.folder)
    assert "It is that of a study, whose runs lie below it: " in str(caught.value)
    with pytest.raises(StoreError, match="this is no folder of a study"):
        StudyRun.open(result.folder / "runs" / "full" / "seed-0")


def test_reports_of_runs_are_written_where_they_are_asked_for(toys: Path, tmp_path: Path) -> None:
    result = study(tmp_path, "seeds: [0]", reports=True)
    assert (result.folder / "runs" / "full" / "seed-0" / "report.html").exists()
    again = study(tmp_path, "seeds: [0]")
    assert not (again.folder / "runs" / "full" / "seed-0" / "report.html").exists()
    assert result.problems == again.problems == ()
