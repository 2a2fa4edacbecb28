"""Jobs that run in several processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fgic_core.errors import FgicError, Interrupted, PluginError
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline, Run
from fgic_core.registry import Registry
from fgic_core.run.device import choose_device
from fgic_core.run.job import Job
from fgic_core.run.processes import run_on_devices
from fgic_core.run.standalone import _own_device, run_as_one_of_several
from fgic_core.steps.context import Listener

SPEC = """\
version: 1
name: pair
steps:
  dots: {uses: dataset/dots, with: {count: 3}}
  crops: {uses: cropper/exact, from: {dataset: dots}}
  classifier: {uses: classifier/paired, with: {epochs: 4, val_fraction: 0.34}}
"""

PAIRED = '''
"""A classifier that trains in several processes: each alone, and all the same."""

import os
import signal
from pathlib import Path
from typing import ClassVar

from fgic_core import PluginError
from fgic_toys import Linear
from pydantic import Field


class Paired(Linear):
    """The linear classifier, which says that it can use several devices."""

    several_devices: ClassVar[bool] = True
    trouble: str = Field("", description="What goes wrong in the second process.")

    def fit(self, train, val, ctx):
        (Path(os.environ["FGIC_TOYS"]) / f"process-{ctx.rank}-of-{ctx.devices}").write_text(str(os.getpid()))
        print("a library prints what it likes")
        if ctx.rank == 1 and self.trouble == "raise":
            raise RuntimeError("planted")
        if ctx.rank == 1 and self.trouble == "refuse":
            raise PluginError("planted", where="classifier/paired", hint="Take it out.")
        if ctx.rank == 1 and self.trouble == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(train, val, ctx)
'''


@pytest.fixture
def pair(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec whose classifier can use several devices."""
    (toys / "fgic_paired.py").write_text(PAIRED, encoding="utf-8")
    info = toys / "fgic_paired-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fgic-paired\nVersion: 0.1.0\nSummary: A test package.\n"
    )
    (info / "entry_points.txt").write_text("[fgic.classifier]\npaired = fgic_paired:Paired\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delitem(sys.modules, "fgic_paired", raising=False)
    spec = tmp_path / "pair.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    return spec


def run(spec: Path, tmp: Path, *overrides: str, **options: Any) -> Run:
    options = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False, **options}
    return Pipeline.from_yaml(spec, overrides).run(**options)


def files(folder: Path) -> dict[str, bytes]:
    """Every file of an artifact but the record, which holds times."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "artifact.json"
    }


def started(tmp: Path) -> list[psutil.Process]:
    """The processes that said so and still run."""
    found = [int(file.read_text()) for file in tmp.glob("process-*-of-*")]
    assert found
    return [psutil.Process(pid) for pid in found if psutil.pid_exists(pid)]


class Watcher:
    """Notes the events of the classifier."""

    def __init__(self) -> None:
        self.points: list[Any] = []
        self.metrics: list[Any] = []
        self.bars: set[str] = set()

    @hookimpl
    def point(self, step: Any, point: Any) -> None:
        self.points.append(point)

    @hookimpl
    def metric(self, step: Any, metric: Any) -> None:
        if step.name == "classifier":
            self.metrics.append(metric)

    @hookimpl
    def progress(self, step: Any, description: str, done: int, total: int | None, unit: str) -> None:
        if step.name == "classifier":
            self.bars.add(description)


@pytest.mark.slow
def test_a_step_on_two_devices_runs_in_two_processes_and_gives_one_artifact_and_its_events(
    pair: Path, tmp_path: Path
) -> None:
    watcher = Watcher()
    two = run(pair, tmp_path, devices=2, observers=[watcher])
    assert two.ok, [step.error for step in two.record.steps]
    assert {file.name for file in tmp_path.glob("process-*")} == {"process-0-of-2", "process-1-of-2"}
    assert started(tmp_path) == []
    record = two.artifact("classifier")
    assert watcher.points == record.curves
    assert watcher.metrics == record.metrics
    assert "epoch 4: val" in watcher.bars
    one = run(pair, tmp_path, store=tmp_path / "other")
    assert (tmp_path / "process-0-of-1").exists()
    assert files(one.record.step("classifier").folder) == files(two.record.step("classifier").folder)


def test_a_component_that_does_not_say_so_runs_here_and_on_one_device(pair: Path, tmp_path: Path) -> None:
    source = (tmp_path / "site" / "fgic_paired.py").read_text()
    (tmp_path / "site" / "fgic_paired.py").write_text(source.replace("bool] = True", "bool] = False"))
    assert run(pair, tmp_path, devices=2).ok
    assert (tmp_path / "process-0-of-1").read_text() == str(os.getpid())


@pytest.mark.slow
def test_an_exception_in_one_process_is_the_steps_error_and_its_traceback_is_kept(pair: Path, tmp_path: Path) -> None:
    result = run(pair, tmp_path, "classifier.with.trouble=raise", devices=2)
    error = result.record.step("classifier").error
    assert error.startswith("step classifier (classifier/paired of fgic-paired 0.1.0): RuntimeError: planted\n")
    kept = (result.folder / "errors" / "classifier.txt").read_text()
    assert 'raise RuntimeError("planted")' in kept
    assert kept.index("fgic_paired.py") < kept.index("ProcessFailed: RuntimeError: planted")
    assert started(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_and_the_next_run_gives_the_same_bytes(pair: Path, tmp_path: Path) -> None:
    class CtrlC:
        @hookimpl
        def point(self, step: Any, point: Any) -> None:
            if point.epoch == 3 and point.split == "train":
                os.kill(os.getpid(), signal.SIGINT)

    slowly = "classifier.with.hold=3"
    (tmp_path / "hold").touch()
    with pytest.raises(Interrupted, match="goes on after epoch 2 of step classifier"):
        run(pair, tmp_path, slowly, devices=2, observers=[CtrlC()])
    (tmp_path / "hold").unlink()
    assert started(tmp_path) == []
    assert not list((tmp_path / "store" / "unfinished").glob("*/out-*"))
    resumed = run(pair, tmp_path, slowly, devices=2)
    whole = run(pair, tmp_path, slowly, store=tmp_path / "whole")
    assert resumed.artifact("classifier").curves == whole.artifact("classifier").curves
    assert files(resumed.record.step("classifier").folder) == files(whole.record.step("classifier").folder)


def test_a_component_of_this_process_alone_cannot_use_several_devices(toys: Path, tmp_path: Path) -> None:
    from fgic_toys import Linear

    class Here(Linear):
        several_devices = True

    registry = Registry()
    registry.register("here", Here)
    job = Job(uses="classifier/here", options={}, inputs={}, output=tmp_path, devices=3)
    with pytest.raises(PluginError, match="classifier/here is known to this process alone, and 3 devices need 3 proc"):
        run_on_devices(job, registry)


def test_torchrun_with_another_number_of_processes_than_devices_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "2"), ("LOCAL_RANK", "2"), ("WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    job = Job(uses="classifier/any", options={}, inputs={}, output=tmp_path, devices=2)
    with pytest.raises(FgicError, match="the job is for 2 devices, but torchrun started 3 processes"):
        run_as_one_of_several(job, Registry(), Listener())


def test_each_process_has_a_gpu_of_its_own_counted_from_the_one_asked_for() -> None:
    assert [_own_device("cuda", rank) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [_own_device("cuda:2", rank) for rank in range(2)] == ["cuda:2", "cuda:3"]
    assert [_own_device("cpu", rank) for rank in range(2)] == ["cpu", "cpu"]


def test_several_devices_are_processes_on_a_cpu_and_must_exist_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("cpu", 4) == "cpu"
    assert choose_device("auto", 2) == "cuda"
    assert choose_device("cuda", 2) == "cuda"
    for asked, devices in (("auto", 3), ("cuda", 3), ("cuda:1", 2)):
        with pytest.raises(FgicError, match=rf"with {devices} device\(s\) is asked for, but torch finds 2 CUDA"):
            choose_device(asked, devices)
    with pytest.raises(FgicError, match="2 mps devices"):
        choose_device("mps", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", 1) == "mps"
    with pytest.raises(FgicError, match="torch finds 0 CUDA"):
        choose_device("auto", 2)
