"""`fgic check` and `fgic pipeline` of a spec with a study: what is printed, and the exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fgic_core.cli.app import run
from fgic_core.cli.study_terminal import LiveStudy, PlainStudy
from fgic_core.errors import FgicError
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import ArmRecord, StudyRecord, StudyRunRecord

SPEC = """\
version: 1
name: toys
steps:
  dots: {uses: dataset/dots, with: {count: 2, per_class: 3}}
  crops: {uses: cropper/exact}
  classifier: {uses: classifier/linear, with: {epochs: 1, val_fraction: 0.34}}
study:
  seeds: [0, 1]
  ablate: [crops]
"""


@pytest.fixture
def spec(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path / "toys.yaml"


def test_a_study_is_checked_run_and_found_in_the_store(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "toys.yaml"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "full the baseline: everything 0, 1 without-crops without crops 0, 1" in said
    assert "4 runs: 2 arms, 2 seeds each, compared with full." in said
    assert "10 nodes, at most 10 of them to compute; without sharing it would be 14." in said
    assert "time not known before one run of it is computed" in said

    assert run(["pipeline", "toys.yaml", "--device", "cpu"]) == 0
    told = capfd.readouterr()
    lines = told.err.splitlines()
    assert lines[0].startswith("toys: 4 runs (2 arms, 2 seeds) on cpu; 10 nodes, at most 10 to compute, in ")
    assert [line.partition(":")[0] for line in lines if line.startswith("[")] == [
        "[1/4] full, seed 0",
        "[2/4] without-crops, seed 0",
        "[3/4] full, seed 1",
        "[4/4] without-crops, seed 1",
    ]
    assert "full 2 2" in " ".join(told.out.split())
    (folder,) = [line.split()[1] for line in told.out.splitlines() if line.startswith("study ")]
    assert StudyRecord.read(Path(folder)).status == "finished"

    assert run(["check", "toys.yaml", "--json", "--set", "study.seeds=[0, 1, 2]"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["runs"], found["computed"], found["settled"]) == (6, 4, False)
    assert found["seconds"]["known"] == found["seconds"]["of"] == 4
    assert 0 < found["seconds"]["low"] <= found["seconds"]["middle"] <= found["seconds"]["high"]
    assert found["bytes"]["low"] > 0

    assert run(["pipeline", "toys.yaml", "--quiet", "--device", "cpu"]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    assert Path(told.out.strip()).resolve() == Path("runs/toys/latest").resolve()


def test_a_run_that_fails_is_an_exit_code_and_one_message(
    spec: Path, toys: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = (toys / "fgic_toys.py").read_text()
    planted = source.replace("return box.expand(self.margin)", "raise RuntimeError('planted')")
    (toys / "fgic_toys.py").write_text(planted)
    assert run(["pipeline", "toys.yaml", "--until", "crops", "--device", "cpu"]) == 1
    told = capfd.readouterr()
    assert told.err.count("planted") == 1, "the other run lacks the same"
    assert "[1/4] full, seed 0: failed; step crops failed" in told.err
    assert "full, seed 0: step crops: cropper/Exact, sample train-0-0: region() raised RuntimeError" in told.out
    assert "full, seed 1: step crops: needs what step crops was to give, which failed in another run" in told.out
    assert "without-crops 2 2" in " ".join(told.out.split())
    assert run(["pipeline", "toys.yaml", "--until", "crops", "--fail-fast", "--quiet", "--device", "cpu"]) == 1
    record = StudyRecord.read(Path("runs/toys/latest"))
    assert [one.status for one in record.runs] == ["failed", "waiting", "waiting", "waiting"]


def test_a_study_whose_first_measure_has_no_number_anywhere_is_an_error(
    spec: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    none, some = "{step: crops, quantity: accuracy}", "{step: classifier, quantity: accuracy}"
    block = ["--set", "study.seeds=[0]", "--device", "cpu", "--no-report"]
    for quiet in ([], ["--quiet"]):
        assert run(["pipeline", "toys.yaml", *block, *quiet, "--set", f"study.measure=[{none}]"]) == 1
        said = " ".join(capfd.readouterr().err.split())
        assert "error: study.measure: the study shows nothing: no run has a number of accuracy: step crops" in said
        assert said.endswith("Write measure: [{step: classifier, quantity: accuracy}].")
    assert run(["pipeline", "toys.yaml", *block, "--quiet", "--set", f"study.measure=[{some}, {none}]"]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert said.startswith("warning: study.measure: no run has a number of accuracy: step crops measured none. It ")


def test_what_runs_were_not_to_reach_is_no_error_and_is_said(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    block = ["--set", "study.seeds=[0]", "--device", "cpu", "--no-report"]
    assert run(["pipeline", "toys.yaml", *block, "--until", "dots"]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert (
        "warning: the study compares accuracy of step classifier, and nothing was measured: the runs were to go no "
        "further, by --until dots"
    ) in said
    assert "error" not in said
    assert run(["pipeline", "toys.yaml", *block, "--only", "dots", "--quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_a_study_that_is_wrong_is_said_before_anything_runs(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["pipeline", "toys.yaml", "--set", "study.ablate=[dots]"]) == 2
    assert "from --set study.ablate=[dots]: step dots cannot be left out" in capfd.readouterr().err
    assert not Path("runs").exists()


def told(terminal: Any, stream: io.StringIO) -> list[str]:
    """What is said of a study of three runs, the last two of which lack the same."""
    about: dict[str, Any] = {
        "name": "s",
        "seed": 0,
        "started": "",
        "seeds": [0],
        "margin": 1,
        "vary": [],
        "measure": [],
    }
    about |= {"baseline": "a", "ablate": [], "every": False, "cross": False, "axes": {}, "device": "cpu"}
    runs = [StudyRunRecord(arm=arm, seed=0, folder="f") for arm in "abc"]
    study = StudyRecord(arms=[ArmRecord(name=arm, left_out=[], levels={}) for arm in "abc"], runs=runs, **about)
    step = StepRecord(name="net", uses="classifier/x", key="k", inputs={}, status="computed", seconds=2)
    terminal.study_started(study=study, folder=Path("f"), nodes=9, computed=6)
    terminal.node_finished(step=step, seconds=1.0) if isinstance(terminal, LiveStudy) else terminal.node_finished(1.0)
    for arm, status in (("a", "finished"), ("b", "failed"), ("c", "failed")):
        record = RunRecord(name="s", arm=arm, seed=0, started="", store=Path(), steps=[step], status=status)
        if status == "failed":
            failed = step.model_copy(update={"status": "failed", "error": "it broke"})
            record = record.model_copy(update={"steps": [failed]})
            terminal.step_failed(step=failed, error=FgicError("it broke"))
        terminal.run_finished(run=record)
    terminal.close()
    return stream.getvalue().splitlines()


def test_what_several_runs_fail_of_is_told_once_and_each_run_has_its_line() -> None:
    from rich.console import Console

    for live in (False, True):
        stream = io.StringIO()
        terminal: Any = PlainStudy(stream)
        if live:
            terminal = LiveStudy(Console(file=stream, force_terminal=False, width=120))
        said = told(terminal, stream)
        assert [line for line in said if line.startswith("[")] == [
            "[1/3] a, seed 0: finished; 1 of 1 steps computed in 2.0 s",
            "[2/3] b, seed 0: failed; step net failed",
            "[3/3] c, seed 0: failed; step net failed",
        ]
        assert [line for line in said if "it broke" in line] == ["net: failed: it broke"]
        assert said[0].startswith("s: 3 runs (3 arms, 1 seeds) on cpu; 9 nodes, at most 6 to compute, in f")


def test_how_far_all_of_it_is_is_said_now_and_then() -> None:
    clock, stream = [0.0], io.StringIO()
    terminal = PlainStudy(stream, every=30, now=lambda: clock[0])
    terminal._progress.of, terminal._progress.to_compute = 3, 6
    terminal.time_left(seconds=200.0)
    terminal.node_finished(1.0)
    assert stream.getvalue() == ""
    clock[0] = 31.0
    terminal.progress()
    terminal.progress()
    assert stream.getvalue() == "1 of at most 6 nodes computed, 0 of 3 runs done, about 2:49 left in all\n"


def test_a_run_that_was_stopped_before_it_computed_anything_says_so() -> None:
    terminal = PlainStudy(io.StringIO())
    waiting = StepRecord(name="net", uses="classifier/x", key="k", inputs={}, status="skipped")
    record = RunRecord(name="s", arm="a", seed=0, started="", store=Path(), steps=[waiting], status="interrupted")
    assert terminal._progress.ended(record) == "[1/0] a, seed 0: interrupted; nothing of it was computed"
    reused = record.model_copy(update={"status": "finished"})
    assert terminal._progress.ended(reused) == "[2/0] a, seed 0: finished; everything was in the store"


def test_where_a_study_goes_on_is_said_once_however_many_runs_need_it() -> None:
    from fgic_core.run.failures import how_to_go_on

    class Plan:
        fresh = False

        @staticmethod
        def interrupted_after(name: str) -> int:
            return 2

    plan: Any = Plan()
    assert how_to_go_on([(plan, "net"), (plan, "net")]).endswith("The same command goes on after epoch 2 of step net.")
