"""Runs in which something goes wrong: what is kept, what is left out, and what the next run makes of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fgic_core import (
    Classifier,
    Context,
    DatasetReader,
    FittedClassifier,
    InputSpec,
    Pipeline,
    Registry,
    Run,
    Sample,
    Size,
    hookimpl,
)
from fgic_core.cli import app
from fgic_core.errors import Interrupted


class Plain(DatasetReader):
    """Two classes of one grey each."""

    def classes(self) -> Sequence[str]:
        return ("dark", "bright")

    def samples(self, ctx: Context) -> Iterator[Sample]:
        from PIL import Image

        for row in range(8):
            level = (40, 200)[row % 2] + row
            Image.new("RGB", (4, 4), (level, level, level)).save(ctx.folder / f"{row}.png")
            yield Sample(id=str(row), path=f"{row}.png", label=row % 2, split="train" if row < 6 else "test")


class Walking(Classifier):
    """Adds a random number to its state in each epoch; what it drew goes into the artifact."""

    trouble: ClassVar[str] = ""
    started: ClassVar[list[int]] = []

    def build(self, classes: Any) -> FittedClassifier:
        from torch import nn

        network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        return FittedClassifier(network, InputSpec(Size(4, 4)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        network = fitted.network
        drawn = torch.zeros(())
        if state := ctx.resume():
            network.load_state_dict(state["network"])
            drawn = state["drawn"]
        for epoch in ctx.epochs(4):
            type(self).started.append(epoch)
            drawn = drawn + torch.rand(())
            with torch.no_grad():
                network[1].bias += drawn
            ctx.log(epoch, drawn=drawn.item())
            if epoch == 2:
                ctx.warn("the second epoch was warm")
            if epoch == 3 and self.trouble == "raise":
                raise RuntimeError("planted")
            state = {"network": network.state_dict(), "drawn": drawn}
            if epoch == 3 and self.trouble == "unsavable":
                state["lock"] = threading.Lock()
            ctx.checkpoint(epoch, state)
        return fitted


SPEC: dict[str, Any] = {
    "version": 1,
    "name": "plain",
    "steps": {"data": {"uses": "dataset/plain"}, "classifier": {"uses": "classifier/walking"}},
}


@pytest.fixture(autouse=True)
def no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walking, "trouble", "")
    monkeypatch.setattr(Walking, "started", [])


def pipeline(reader: type[DatasetReader] = Plain) -> Pipeline:
    registry = Registry()
    registry.register("plain", reader)
    registry.register("walking", Walking)
    return Pipeline.from_dict(SPEC, registry=registry)


def run(tmp: Path, store: str = "store", **options: Any) -> Run:
    return pipeline().run(store=tmp / store, runs=tmp / "runs", device="cpu", report=False, **options)


def trained(result: Run) -> tuple[bytes, list[Any], list[str]]:
    """What a training that went on must share with one that was never stopped."""
    record = result.artifact("classifier")
    weights = result.learned("classifier") / "component" / "model.safetensors"
    return weights.read_bytes(), record.curves, record.warnings


@pytest.mark.parametrize("trouble", ["raise", "unsavable"])
def test_a_training_that_failed_goes_on_after_its_last_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Also where the failure came while the checkpoint was written."""
    monkeypatch.setattr(Walking, "trouble", trouble)
    failed = run(tmp_path)
    assert not failed.ok
    assert failed.record.step("classifier").status == "failed"
    assert not list((tmp_path / "store" / "unfinished").glob("*/out-*")), "what is half made is removed"
    monkeypatch.setattr(Walking, "trouble", "")
    reason = pipeline().plan(tmp_path / "store").step("classifier").reason
    assert reason == "was interrupted after epoch 2; goes on from there"
    again = run(tmp_path)
    assert Walking.started == [1, 2, 3, 3, 4]
    assert trained(again) == trained(run(tmp_path, "other"))
    warnings = again.artifact("classifier").warnings
    assert warnings[0] == "the second epoch was warm"
    assert warnings[1:] == ["There is no test curve: the training kept no weights of its epochs."], "it never measures"
    assert not list((tmp_path / "store" / "unfinished").iterdir()), "of what is finished no checkpoint is kept"


def test_every_epoch_draws_other_numbers(tmp_path: Path) -> None:
    drawn = [point.value for point in run(tmp_path).artifact("classifier").curves if point.name == "drawn"]
    each = [later - before for before, later in pairwise([0.0, *drawn])]
    assert len({round(value, 6) for value in each}) == 4


def test_sigterm_ends_a_run_in_good_order(tmp_path: Path) -> None:
    """In a process of its own, which without a handler would end by the signal, and say nothing."""
    program = """
import os, signal, sys
from fgic_core import Pipeline, hookimpl
from fgic_core.cli import app
from fgic_core.errors import Interrupted

class Stop:
    @hookimpl
    def step_started(self, step):
        os.kill(os.getpid(), signal.SIGTERM)

spec = {"version": 1, "steps": {"birds": {"uses": "dataset/synthetic-birds", "with": {"num_classes": 2, "size": 32}}}}
try:
    Pipeline.from_dict(spec).run(store="store", runs="runs", device="cpu", report=False, observers=[Stop()])
except Interrupted as error:
    sys.exit(f"interrupted: {error}")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, "an exit, and no death by the signal"
    assert "interrupted: stopped" in done.stderr
    assert "goes on with step birds" in done.stderr


def test_fresh_trains_from_the_first_epoch_whatever_was_interrupted(tmp_path: Path) -> None:
    class Stop:
        @hookimpl
        def point(self, step: Any, point: Any) -> None:
            if point.epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="goes on after epoch 2 of step classifier"):
        run(tmp_path, observers=[Stop()])
    assert run(tmp_path, fresh=True).ok
    assert Walking.started == [1, 2, 3, 1, 2, 3, 4]


def test_what_needs_a_failed_step_is_skipped_and_says_which(seven_steps: Path, toys: Path, tmp_path: Path) -> None:
    source = (toys / "fgic_toys.py").read_text()
    (toys / "fgic_toys.py").write_text(
        source.replace("return box.expand(self.margin)", "raise RuntimeError('planted')")
    )
    result = Pipeline.from_yaml(seven_steps).run(store=tmp_path / "s", runs=tmp_path / "r", device="cpu", report=False)
    assert not result.ok
    assert result.record.status == "failed"
    assert [step.status for step in result.record.steps] == ["computed"] * 2 + ["failed"] + ["skipped"] * 4
    assert result.record.step("more").reason == "needs step crops, which has no artifact"
    assert result.record.step("attack").reason == "needs step classifier and more, which has no artifact"
    folders = [step.folder for step in result.record.steps if step.folder.exists()]
    assert folders == [result.record.step(name).folder for name in ("dots", "boxes")]


def test_the_command_ends_with_130_where_the_run_was_stopped_and_1_where_a_step_failed(
    seven_steps: Path, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file, source = toys / "fgic_toys.py", (toys / "fgic_toys.py").read_text()
    command = ["pipeline", "toys.yaml", "--until", "crops", "--device", "cpu", "--no-report"]
    crop = "return box.expand(self.margin)"
    stopped = "os.kill(os.getppid(), 2)\n        __import__('time').sleep(60)"  # as Ctrl-C reaches who watches the step
    file.write_text(source.replace(crop, f"{stopped}\n        {crop}"))
    assert app.run(command) == 130
    said = capsys.readouterr().err
    assert "Stopped. What is finished is kept. The same command goes on with step crops." in said
    assert "Traceback" not in said
    file.write_text(source.replace(crop, "raise RuntimeError('planted')"))
    sys.modules.pop("fgic_toys")
    assert app.run(command) == 1
    file.write_text(source)
    sys.modules.pop("fgic_toys")
    assert app.run(command) == 0


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"uses": "dataset/nothing", "options": {}, "inputs": {}, "output": "."}', "no component dataset/nothing"),
        ('{"uses": "cropper/square", "options": {}, "inputs": {}, "output": "."}', "the job gives no dataset"),
        (None, "No such file"),
    ],
)
def test_a_job_that_cannot_be_run_ends_with_2_and_one_message(tmp_path: Path, job: str | None, said: str) -> None:
    if job is not None:
        (tmp_path / "job.json").write_text(job)
    command = [sys.executable, "-m", "fgic_core.run.standalone", "job.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifact.json").exists()


class Gate(Plain):
    """Opens its pictures when it is told to."""

    entered: ClassVar[threading.Event]
    open: ClassVar[threading.Event]
    times: ClassVar[list[int]]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        self.times.append(1)
        assert len(self.times) == 1, "two runs compute one step"
        self.entered.set()
        assert self.open.wait(600)
        yield from super().samples(ctx)


class Waits:
    """Opens the gate when its run says that it waits for another."""

    @hookimpl
    def warning(self, step: Any, message: str) -> None:
        if "another run is computing this step" in message:
            Gate.open.set()


def test_of_two_runs_at_once_one_computes_a_step_and_the_other_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("entered", threading.Event()), ("open", threading.Event()), ("times", [])):
        monkeypatch.setattr(Gate, name, value, raising=False)
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs", "device": "cpu", "report": False, "until": "data"}
    found: list[Run] = []
    first = threading.Thread(target=lambda: found.append(pipeline(Gate).run(**places)))
    first.start()
    while first.is_alive() and not Gate.entered.wait(0.1):
        pass
    assert Gate.entered.is_set(), "the first run ended before it read a picture"
    second = pipeline(Gate).run(**places, observers=[Waits()])
    Gate.open.set()
    first.join(600)
    assert len(Gate.times) == 1
    assert found[0].record.step("data").status == "computed"
    step = second.record.step("data")
    assert (step.status, step.reason) == ("reused", "was computed by another run in the meantime")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "samples.parquet is missing"),
        ("cut", "samples.parquet has another size"),
        ("flipped", "samples.parquet has another content"),
        ("record", "the record of this artifact is damaged"),
    ],
)
def test_a_damaged_artifact_is_computed_anew(tmp_path: Path, damage: str, said: str) -> None:
    folder = run(tmp_path, until="data").record.step("data").folder
    rows = folder / "samples.parquet"
    if damage == "gone":
        rows.unlink()
    elif damage == "cut":
        rows.write_bytes(rows.read_bytes()[:-1])
    elif damage == "flipped":
        rows.write_bytes(rows.read_bytes()[:-1] + b"?")
    else:
        (folder / "artifact.json").write_text("{")
    step = run(tmp_path, until="data").record.step("data")
    assert step.status == "computed"
    assert (step.reason or "").startswith(f"is damaged in the store: {said}")
    assert run(tmp_path, until="data").record.step("data").status == "reused"
