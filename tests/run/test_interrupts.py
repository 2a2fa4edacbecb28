"""Stopping a run: whenever the signal comes, and whoever swallows it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import fgic_core.report
from fgic_core.errors import Interrupted
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline, Run
from fgic_core.run.interrupts import Interrupts


def run(spec: Path, tmp: Path, **options: Any) -> Run:
    options = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False, **options}
    return Pipeline.from_yaml(spec).run(**options)


def latest(tmp: Path) -> Run:
    return Run.open(tmp / "runs" / "toys" / "latest")


class Stop:
    """Sends this process a signal at one hook of one step."""

    def __init__(self, hook: str, step: str, number: int = signal.SIGINT, swallow: bool = False) -> None:
        self.hook, self.step, self.number, self.swallow = hook, step, number, swallow

    def _send(self, hook: str, step: Any) -> None:
        if (hook, step.name) == (self.hook, self.step):
            with contextlib.suppress(*[KeyboardInterrupt] * self.swallow):
                os.kill(os.getpid(), self.number)

    @hookimpl
    def progress(self, step: Any) -> None:
        self._send("progress", step)

    @hookimpl
    def step_finished(self, step: Any) -> None:
        self._send("step_finished", step)


def test_a_signal_that_a_library_swallows_stops_the_run_all_the_same(seven_steps: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="goes on with step boxes"):
        run(seven_steps, tmp_path, observers=[Stop("progress", "boxes", swallow=True)])
    assert latest(tmp_path).record.step("boxes").status == "interrupted"
    assert latest(tmp_path).record.step("dots").status == "computed"


def test_a_ctrl_c_that_was_eaten_before_the_run_began_stops_it(seven_steps: Path, tmp_path: Path) -> None:
    with Interrupts(sigterm=False):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="goes on with step dots"):
            run(seven_steps, tmp_path)
    assert [step.status for step in latest(tmp_path).record.steps[:1]] == ["interrupted"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_sigterm_stops_a_run_as_ctrl_c_does(seven_steps: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="goes on with step dots"):
        run(seven_steps, tmp_path, observers=[Stop("progress", "dots", signal.SIGTERM)])
    assert latest(tmp_path).record.status == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_after_a_step_is_finished_keeps_that_step(seven_steps: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="What is finished is kept"):
        run(seven_steps, tmp_path, observers=[Stop("step_finished", "boxes")])
    record = latest(tmp_path).record
    assert record.status == "interrupted"
    assert [step.status for step in record.steps[:3]] == ["computed", "computed", "skipped"]
    assert [step.status for step in run(seven_steps, tmp_path, until="boxes").record.steps[:2]] == ["reused", "reused"]


def test_a_signal_while_the_report_is_written_says_how_to_get_it(
    seven_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path, **_: object) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return folder

    monkeypatch.setattr(fgic_core.report, "write_report", write)
    with pytest.raises(Interrupted, match=r"fgic report .* does that"):
        run(seven_steps, tmp_path, until="dots", report=True)
    assert latest(tmp_path).record.status == "finished"


def test_a_report_that_fails_after_an_interrupt_is_not_kept_quiet(
    seven_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path, **_: object) -> Path:
        raise ValueError("planted")

    monkeypatch.setattr(fgic_core.report, "write_report", write)
    with pytest.raises(Interrupted, match=r"step dots(.|\n)*could not be written: ValueError: planted"):
        run(seven_steps, tmp_path, report=True, observers=[Stop("progress", "dots")])


def test_a_run_outside_the_main_thread_changes_no_signal_handler(seven_steps: Path, tmp_path: Path) -> None:
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(run(seven_steps, tmp_path, until="dots").ok))
    thread.start()
    thread.join()
    assert done == [True]


def test_a_signal_that_the_process_ignores_stays_ignored(seven_steps: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(seven_steps, tmp_path, until="dots", observers=[Stop("progress", "dots")]).ok
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
