from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, Interrupted, StoreError
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline, Run, load_model
from fgic_core.registry import Registry


def run(spec: Path, tmp: Path, *overrides: str, **options: Any) -> Run:
    options = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False, **options}
    return Pipeline.from_yaml(spec, overrides).run(**options)


def statuses(result: Run) -> dict[str, str]:
    return {step.name: step.status for step in result.record.steps}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of an artifact but the record, which holds times."""
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and f.name != "artifact.json"
    }


def test_one_component_of_each_kind_goes_through_the_whole_pipeline(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path)
    errors = {step.name: step.error for step in result.record.steps if step.error}
    assert errors == {}
    assert set(statuses(result).values()) == {"computed"}
    assert result.ok
    boxes = result.dataset("boxes")[0].boxes
    assert [box.origin for box in boxes] == ["annotated", "predicted:detector/bright"]
    assert boxes[0].box.iou(boxes[1].box) > 0.95
    assert result.metric("boxes", "box_recall50", "test").value == 1.0
    crop = result.dataset("crops")[0]
    assert crop.region is not None
    more = result.dataset("more")
    made = [sample for sample in more if sample.origin != "real"]
    assert len(made) == 12
    assert {sample.split for sample in made} == {"train"}
    assert {sample.origin for sample in made} == {"synthetic:generator/tint"}
    assert more.crop(len(more) - 1).size == (16, 16)
    accuracy = result.metric("classifier", "accuracy", "test")
    assert accuracy.n == 18
    assert accuracy.value is not None
    assert accuracy.value > 0.8


def test_a_second_run_computes_nothing_and_gives_the_same_artifacts(seven_steps: Path, tmp_path: Path) -> None:
    first = run(seven_steps, tmp_path)
    second = run(seven_steps, tmp_path)
    assert set(statuses(second).values()) == {"reused"}
    assert [s.key for s in first.record.steps] == [s.key for s in second.record.steps]


def test_changing_the_attack_recomputes_the_attack_alone_and_says_why(seven_steps: Path, tmp_path: Path) -> None:
    run(seven_steps, tmp_path)
    changed = Pipeline.from_yaml(seven_steps, ["attack.with.eps=[0, 4/255]"]).plan(tmp_path / "store")
    assert [step.name for step in changed.steps if not step.reused] == ["attack"]
    assert changed.step("attack").reason == "eps changed from [0.0, 0.03137254901960784] to [0.0, 0.01568627450980392]"
    result = run(seven_steps, tmp_path, "attack.with.eps=[0, 4/255]")
    assert [name for name, status in statuses(result).items() if status == "computed"] == ["attack"]


def test_changing_a_step_recomputes_it_and_what_depends_on_it(seven_steps: Path, tmp_path: Path) -> None:
    run(seven_steps, tmp_path)
    plan = Pipeline.from_yaml(seven_steps, ["crops.with.margin=1"]).plan(tmp_path / "store")
    assert [step.name for step in plan.steps if step.reused] == ["dots", "boxes"]
    assert plan.step("classifier").reason == "its dataset (step more) is computed anew"


def test_the_same_spec_gives_the_same_bytes_in_another_store(seven_steps: Path, tmp_path: Path) -> None:
    first = run(seven_steps, tmp_path)
    again = run(seven_steps, tmp_path, store=tmp_path / "other")
    for name in ("boxes", "more", "classifier", "attack"):
        one, two = (files(r.record.step(name).folder) for r in (first, again))
        for document in (one, two):
            document.pop("dataset.json", None)  # holds the absolute place of the pictures
        assert one == two, name


TWO_TRAININGS = """\
version: 1
name: two
steps:
  dots: {uses: dataset/dots}
  toy: {uses: classifier/linear, with: {epochs: 2}}
  real: {uses: classifier/timm, with: {model: test_resnet, pretrained: false, image_size: 32, batch_size: 4, epochs: 2}}
  sign: {uses: attacker/sign, with: {eps: [8/255], samples: 4}, from: {model: toy}}
"""


@pytest.mark.slow
def test_one_at_a_time_or_two_at_once_everything_has_the_same_bytes(toys: Path, tmp_path: Path) -> None:
    """A toy, and a network that is trained for real at the same time."""
    spec = tmp_path / "two.yaml"
    spec.write_text(TWO_TRAININGS)
    seen = []
    for jobs in (1, 2):
        store = tmp_path / f"store-{jobs}"
        result = run(spec, tmp_path, jobs=jobs, threads=1, isolation="run", store=store)
        assert [step.error for step in result.record.steps if step.error] == []
        artifacts = (ArtifactRecord.read(file.parent) for file in store.glob("artifacts/*/*/artifact.json"))
        # (a data set's header holds the absolute place of the pictures)
        seen.append({one.key: {n: f for n, f in one.files.items() if n != "dataset.json"} for one in artifacts})
        assert {point.epoch for point in result.artifact("real").curves if point.split == "train"} == {1, 2}
    assert len(seen[0]) == 4 + 2, "the steps, and what two of them learned"
    assert seen[0] == seen[1]


def test_until_and_only_choose_steps(seven_steps: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="step crops needs step boxes, which is not in the store"):
        run(seven_steps, tmp_path, only="crops")
    until = run(seven_steps, tmp_path, until="boxes")
    assert [name for name, status in statuses(until).items() if status == "computed"] == ["dots", "boxes"]
    with pytest.raises(
        StoreError, match=r"step crops needs step boxes, which --only takes .*, and --fresh takes nothing"
    ):
        run(seven_steps, tmp_path, only="crops", fresh=True)
    only = run(seven_steps, tmp_path, only="crops")
    assert [name for name, status in statuses(only).items() if status == "computed"] == ["crops"]
    with pytest.raises(FgicError, match="the spec has no step 'cropss'"):
        run(seven_steps, tmp_path, until="cropss")


def test_only_says_what_is_true_of_what_is_computed_every_time(
    seven_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(seven_steps, tmp_path, until="boxes")
    dots = Registry().get(Pipeline.from_yaml(seven_steps).spec.step("dots").uses)
    monkeypatch.setattr(dots, "untraced", lambda self: ("the weather has a say",))
    with pytest.raises(StoreError) as caught:
        run(seven_steps, tmp_path, only="crops")
    assert "step crops needs step boxes, and step dots is computed every time: the weather has a say" in str(
        caught.value
    )
    assert "--until crops" in str(caught.value)


def test_fresh_computes_everything_anew(seven_steps: Path, tmp_path: Path) -> None:
    run(seven_steps, tmp_path, until="crops")
    again = run(seven_steps, tmp_path, until="crops", fresh=True)
    assert [status for status in statuses(again).values() if status == "computed"] == ["computed"] * 3


def test_a_failing_step_stops_only_what_needs_it(seven_steps: Path, toys: Path, tmp_path: Path) -> None:
    source = (toys / "fgic_toys.py").read_text()
    (toys / "fgic_toys.py").write_text(
        source.replace("return Maps((gradient", "raise RuntimeError('planted')\n        return Maps((gradient")
    )
    result = run(seven_steps, tmp_path)
    assert statuses(result)["map"] == "failed"
    assert statuses(result)["attack"] == "computed"
    assert result.record.status == "failed"
    assert "RuntimeError: planted" in result.record.step("map").error
    with pytest.raises(StoreError, match=r"step map failed: (.|\n)*planted"):
        result.metric("map", "pointing_game", "test")
    assert "explainer/saliency of fgic-toys 0.1.0" in result.record.step("map").error
    assert "planted" in (result.folder / "errors" / "map.txt").read_text()


def test_the_run_directory_holds_spec_events_metrics_and_versions(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path)
    folder = result.folder
    assert (folder / "spec.yaml").read_text() == seven_steps.read_text()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1] == {"t": events[-1]["t"], "event": "run_finished", "status": "finished"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"name": "classes", "value": 3.0} in metrics["dots"]
    assert result.record.versions["fgic-toys"] == "0.1.0"
    assert "torch" in result.record.versions
    assert (folder.parent / "latest").resolve() == folder
    again = Pipeline.from_yaml(folder / "resolved.yaml").plan(tmp_path / "store")
    assert all(step.reused for step in again.steps)


def test_a_broken_observer_is_left_out_and_named(seven_steps: Path, tmp_path: Path) -> None:
    class Broken:
        @hookimpl
        def step_started(self, step: Any) -> None:
            raise ValueError("planted")

    result = run(seven_steps, tmp_path, until="dots", observers=[Broken()])
    assert result.ok
    assert [p for p in result.problems if "ValueError: planted" in p]


def test_an_interrupt_keeps_the_epochs_and_the_next_run_gives_the_same_bytes(seven_steps: Path, tmp_path: Path) -> None:
    class CtrlC:
        @hookimpl
        def point(self, step: Any, point: Any) -> None:
            if point.epoch == 3 and point.split == "train":
                os.kill(os.getpid(), signal.SIGINT)

    whole = run(seven_steps, tmp_path, store=tmp_path / "whole", until="classifier")
    with pytest.raises(Interrupted, match="goes on after epoch 2 of step classifier"):
        run(seven_steps, tmp_path, observers=[CtrlC()])
    record = Run.open(tmp_path / "runs" / "toys" / "latest").record
    assert record.status == "interrupted"
    assert record.step("classifier").status == "interrupted"
    assert record.step("attack").status == "skipped"
    plan = Pipeline.from_yaml(seven_steps).plan(tmp_path / "store")
    assert plan.step("classifier").reason == "was interrupted after epoch 2; goes on from there"
    resumed = run(seven_steps, tmp_path, until="classifier")
    assert files(resumed.record.step("classifier").folder) == files(whole.record.step("classifier").folder)
    assert resumed.artifact("classifier").curves == whole.artifact("classifier").curves


def program(spec: Path, tmp: Path, overrides: list[str]) -> str:
    """A program that runs the spec up to the classifier and prints what became of each step."""
    return f"""
from pathlib import Path
from fgic_core import Pipeline
folders = dict(store=Path({str(tmp / "store")!r}), runs=Path({str(tmp / "runs")!r}))
run = Pipeline.from_yaml({str(spec)!r}, {overrides!r}).run(**folders, device="cpu", report=False, until="classifier")
print(*(step.status for step in run.record.steps))
"""


@pytest.mark.slow
def test_after_kill_9_the_next_run_goes_on_from_the_last_epoch_with_the_same_result(
    seven_steps: Path, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    overrides = ["classifier.with.hold=3", "classifier.with.epochs=6"]
    (tmp_path / "hold").touch()
    process = subprocess.Popen([sys.executable, "-c", program(seven_steps, tmp_path, overrides)])
    wait_for((tmp_path / "held").exists, "the middle of epoch 3", process)
    process.kill()
    process.wait()
    (tmp_path / "hold").unlink()
    plan = Pipeline.from_yaml(seven_steps, overrides).plan(tmp_path / "store")
    assert not plan.step("classifier").reused
    assert plan.step("classifier").reason == "was interrupted after epoch 2; goes on from there"
    resumed = run(seven_steps, tmp_path, *overrides, until="classifier")
    assert statuses(resumed)["crops"] == "reused"
    whole = run(seven_steps, tmp_path, *overrides, until="classifier", store=tmp_path / "whole")
    assert files(resumed.record.step("classifier").folder) == files(whole.record.step("classifier").folder)


@pytest.mark.slow
def test_two_runs_at_once_over_one_store_compute_each_step_once(seven_steps: Path, tmp_path: Path) -> None:
    code = program(seven_steps, tmp_path, ["classifier.with.pause=0.2"])
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=600)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for one, two in list(zip(*said, strict=True))[:5]:
        assert {one, two} == {"computed", "reused"}


def test_pictures_that_moved_are_found_through_the_reader(toys: Path, tmp_path: Path) -> None:
    from PIL import Image

    def cropped(root: str) -> Run:
        spec = tmp_path / f"{root}.yaml"
        steps = f"{{s: {{uses: dataset/shelf, with: {{root: {root}}}}}, c: {{uses: cropper/exact}}}}"
        spec.write_text(f"version: 1\nname: moved\nsteps: {steps}\n")
        return run(spec, tmp_path)

    for name in ("a-1", "a-2", "b-1", "b-2"):
        (tmp_path / "before").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (200, 10 * int(name[-1]), 90 * (name[0] == "a"))).save(
            tmp_path / "before" / f"{name}.png"
        )
    assert cropped("before").dataset("c").crop(0).size == (4, 4)
    (tmp_path / "before").rename(tmp_path / "after")
    again = cropped("after")
    assert set(statuses(again).values()) == {"reused"}
    assert again.dataset("c").crop(0).size == (4, 4)


def test_a_job_gives_the_same_artifact_in_another_interpreter(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path, until="crops")
    document = json.loads((result.folder / "jobs" / "crops.json").read_text())
    document["output"] = str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "job.json").write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "fgic_core.run.standalone", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "elsewhere") == files(result.record.step("crops").folder)


def test_the_model_can_be_loaded_from_the_run_and_from_the_artifact(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path, until="classifier")
    crops = result.dataset("crops")
    from_run = load_model(result.folder).predict([crops.crop(0)])
    from_artifact = load_model(result.record.step("classifier").folder).predict([crops.crop(0)])
    assert from_run.shape == (1, 3)
    assert from_run.sum() == pytest.approx(1.0, abs=1e-6)
    assert (from_run == from_artifact).all()
    with pytest.raises(StoreError, match="neither a run directory nor a model"):
        load_model(tmp_path)
