"""What a run looks like in a terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fgic_core.cli.pipeline import _print_failures
from fgic_core.cli.terminal import Bar, LiveTerminal, PlainTerminal, clock
from fgic_core.data.artifact import Metric, OnSplit, Point
from fgic_core.errors import StepError
from fgic_core.run.observers import Observers
from fgic_core.store.record import RunRecord, StepRecord


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def a_step(name: str, uses: str) -> StepRecord:
    return StepRecord(name=name, uses=uses, key="0" * 32, folder=Path("gone"), inputs={}, reason="was never computed")


@pytest.fixture
def run() -> RunRecord:
    steps = [
        a_step("birds", "dataset/synthetic-birds"),
        a_step("classifier", "classifier/timm"),
        a_step("pgd", "attacker/pgd"),
    ]
    return RunRecord(
        name="quick", seed=0, started="2026-01-01T00:00:00+00:00", device="cpu", store=Path("store"), steps=steps
    )


def train(tell: Observers, run: RunRecord, now: Clock) -> None:
    """Two epochs of a classifier, measured on train, validation and test."""
    step, node = run.steps[1], "classifier.fit"
    tell.notify("step_started", step=step)
    tell.notify("node_started", step=step, node=node)
    for epoch in (1, 2):
        for done in range(0, 481, 10):
            bar = {"description": f"epoch {epoch}/2", "done": done, "total": 480, "unit": "images"}
            tell.notify("progress", step=step, node=node, **bar)
            now.time += 0.25
        values: dict[OnSplit, tuple[str, float]] = {
            "train": ("loss", 1.5 / epoch),
            "val": ("accuracy", 0.4 * epoch),
            "test": ("accuracy", 0.123),
        }
        for split, (name, value) in values.items():
            point = Point(epoch=epoch, split=split, name=name, value=value)
            tell.notify("point", step=step, node=node, point=point)


def finish(tell: Observers, run: RunRecord) -> None:
    """Three are measured; of validation and of no split it comes out better than of test."""
    step = run.steps[1]
    splits: dict[OnSplit, float] = {"val": 0.977, "test": 0.813, "": 0.991}
    for split, value in splits.items():
        metric = Metric(name="accuracy", value=value, split=split, n=395, low=value - 0.042, high=value + 0.035)
        tell.notify("metric", step=step, node="classifier", metric=metric)
    step.seconds = 24.5
    tell.notify("step_finished", step=step, folder=Path("store/x"))


def folds(tell: Observers, run: RunRecord, now: Clock) -> None:
    """Two trainings of one step at once, beside another step that is computed."""
    step, other = run.steps[1], run.steps[2]
    tell.notify("step_started", step=step)
    tell.notify("step_started", step=other)
    for done in range(0, 60, 3):
        for number, node in enumerate(("classifier.fold 1 of 2", "classifier.fold 2 of 2")):
            bar = {"description": "epoch 1/2", "done": done + number, "total": 480, "unit": "images"}
            tell.notify("progress", step=step, node=node, **bar)
        bar = {"description": "attacking", "done": 2 * done, "total": 200, "unit": "images"}
        tell.notify("progress", step=other, node="pgd", **bar)
        now.time += 1.0
    for number, node in enumerate(("classifier.fold 1 of 2", "classifier.fold 2 of 2"), 1):
        tell.notify("point", step=step, node=node, point=Point(epoch=number, split="val", name="accuracy", value=0.5))


class TestPlainLines:
    @pytest.fixture
    def stream(self) -> io.StringIO:
        return io.StringIO()

    @pytest.fixture
    def now(self) -> Clock:
        return Clock()

    @pytest.fixture
    def tell(self, stream: io.StringIO, now: Clock) -> Observers:
        observers = Observers()
        observers.add(PlainTerminal(stream, now=now))
        return observers

    def test_a_run_reads_as_a_log(self, tell: Observers, stream: io.StringIO, run: RunRecord, now: Clock) -> None:
        tell.notify("run_started", run=run, folder=Path("runs/quick/1"))
        tell.notify("step_reused", step=run.steps[0])
        train(tell, run, now)
        finish(tell, run)
        lines = stream.getvalue().splitlines()
        assert lines[0] == "quick: 3 steps on cpu, in runs/quick/1"
        assert lines[1] == "[1/3] birds (dataset/synthetic-birds): reused"
        assert lines[2] == "[2/3] classifier (classifier/timm): started; was never computed"
        assert "classifier: epoch 1: train loss 1.500, val accuracy 0.400" in lines
        assert "classifier: epoch 2: train loss 0.750, val accuracy 0.800" in lines
        assert lines[-1] == "classifier: done in 24 s; test accuracy 81.3 % (77.1\N{EN DASH}84.8, n = 395)"
        assert tell.failures == {}

    def test_progress_comes_at_most_every_ten_seconds_with_rate_and_time_left(
        self, tell: Observers, stream: io.StringIO, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        train(tell, run, now)
        lines = [line for line in stream.getvalue().splitlines() if "images/s" in line]
        assert lines[0] == "classifier: epoch 1/2: 400/480 images, 40.0 images/s, 0:02 left"
        assert len(lines) == 2  # 24.5 s of work

    def test_the_test_split_is_not_shown_while_a_model_is_chosen(
        self, tell: Observers, stream: io.StringIO, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        train(tell, run, now)
        finish(tell, run)
        assert "0.123" not in stream.getvalue()

    def test_warnings_and_failures_stand_on_lines_of_their_own(
        self, tell: Observers, stream: io.StringIO, run: RunRecord
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        tell.notify("warning", step=run.steps[0], node="birds", message="3 duplicates\x1b[2J")
        tell.notify("step_failed", step=run.steps[2], error=StepError("no image", step="pgd", component="attacker/pgd"))
        assert "birds: warning: 3 duplicates\\x1b[2J" in stream.getvalue().splitlines()
        assert "pgd: failed: step pgd (attacker/pgd): no image" in stream.getvalue().splitlines()

    def test_each_line_says_which_of_several_nodes_it_is_about(
        self, tell: Observers, stream: io.StringIO, run: RunRecord, now: Clock
    ) -> None:
        run.jobs, run.threads = 3, 2
        tell.notify("run_started", run=run, folder=Path("x"))
        tell.notify("time_left", seconds=200.0)
        folds(tell, run, now)
        tell.notify("node_finished", step=run.steps[1], node="classifier.fold 1 of 2", seconds=9.0)
        finish(tell, run)
        lines = stream.getvalue().splitlines()
        assert lines[0] == "quick: 3 steps on cpu, 3 at once with 2 threads each, in x"
        first, second, third = (line for line in lines if line.endswith(" left"))
        assert first == "classifier (fold 1 of 2): epoch 1/2: 30/480 images, 3.0 images/s, 2:30 left"
        assert second.startswith("classifier (fold 2 of 2): epoch 1/2: 31/480 images, ")
        assert third.startswith("pgd: attacking: 60/200 images, ")
        ends = [line for line in lines if "accuracy 0.500" in line]
        assert ends == [f"classifier (fold {n} of 2): epoch {n}: val accuracy 0.500" for n in (1, 2)]
        assert lines[-1].endswith("; about 3:00 left in all")
        assert tell.failures == {}

    def test_a_quiet_run_says_nothing_but_what_failed(self, run: RunRecord, stream: io.StringIO, now: Clock) -> None:
        observers = Observers()
        observers.add(PlainTerminal(stream, failures_only=True, now=now))
        observers.notify("run_started", run=run, folder=Path("x"))
        train(observers, run, now)
        finish(observers, run)
        assert stream.getvalue() == ""
        observers.notify("step_failed", step=run.steps[2], error=RuntimeError("no image"))
        assert stream.getvalue() == "pgd: failed: no image\n"


class TestLiveLines:
    @pytest.fixture
    def stream(self) -> io.StringIO:
        return io.StringIO()

    @pytest.fixture
    def now(self) -> Clock:
        return Clock()

    @pytest.fixture
    def screen(self, stream: io.StringIO) -> Console:
        return Console(file=stream, width=140, color_system=None, markup=False, highlight=False, force_terminal=True)

    @pytest.fixture
    def live(self, screen: Console, now: Clock) -> LiveTerminal:
        return LiveTerminal(screen, now=now)

    @pytest.fixture
    def tell(self, live: LiveTerminal) -> Observers:
        observers = Observers()
        observers.add(live)
        return observers

    def drawn(self, live: LiveTerminal, width: int = 140) -> list[str]:
        plain = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
        plain.print(live)
        return plain.file.getvalue().splitlines()  # type: ignore[attr-defined]

    def test_the_running_step_shows_its_work_and_its_curves(
        self, live: LiveTerminal, tell: Observers, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        train(tell, run, now)
        work, curves = self.drawn(live)
        assert "classifier  2/3  0:24  epoch 2/2" in work
        assert "480/480 images, " in work
        assert " images/s" in work
        assert curves.strip() == "train loss 0.750 █▁  val accuracy 0.800 ▁█"
        live.close()
        assert tell.failures == {}

    def test_of_several_nodes_each_has_a_line_and_the_last_says_how_far_all_of_it_is(
        self, live: LiveTerminal, tell: Observers, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        tell.notify("step_reused", step=run.steps[0])
        tell.notify("time_left", seconds=200.0)
        folds(tell, run, now)
        pgd, one, two, all_of_it = self.drawn(live)
        assert "pgd                       3/3  0:20  attacking" in pgd
        assert "classifier (fold 1 of 2)  2/3  0:20  epoch 1/2" in one
        assert "classifier (fold 2 of 2)  2/3  0:20  epoch 1/2" in two
        assert all_of_it.endswith("1 of 3 steps done, about 3:00 left in all")
        tell.notify("node_finished", step=run.steps[1], node="classifier.fold 1 of 2", seconds=9.0)
        tell.notify("node_finished", step=run.steps[2], node="pgd", seconds=None)
        tell.notify("step_failed", step=run.steps[2], error=RuntimeError("no image"))
        tell.notify("time_left", seconds=None)
        work, curves = self.drawn(live)
        assert "classifier (fold 2 of 2)" in work
        assert curves.strip() == "val accuracy 0.500"
        live.close()
        assert tell.failures == {}

    @pytest.mark.parametrize("width", [10, 30, 60, 80, 200])
    def test_lines_fit_a_window_of_any_width(
        self, live: LiveTerminal, tell: Observers, run: RunRecord, now: Clock, width: int
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        train(tell, run, now)
        lines = self.drawn(live, width)
        live.close()
        assert len(lines) == 2
        assert all(len(line) <= width for line in lines)

    def test_finished_reused_and_failed_steps_stay_on_the_screen(
        self, live: LiveTerminal, tell: Observers, stream: io.StringIO, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        tell.notify("step_reused", step=run.steps[0])
        train(tell, run, now)
        finish(tell, run)
        tell.notify("step_failed", step=run.steps[2], error=RuntimeError("no image"))
        tell.notify("run_finished", run=run, folder=Path("x"))
        shown = stream.getvalue()
        assert "= birds       dataset/synthetic-birds  reused" in shown
        assert "✓ classifier  classifier/timm  24 s  test accuracy 81.3 % (77.1\N{EN DASH}84.8, n = 395)" in shown
        assert "✗ pgd         attacker/pgd  failed: no image" in shown

    def test_between_two_steps_one_line_is_drawn(
        self, live: LiveTerminal, tell: Observers, run: RunRecord, now: Clock
    ) -> None:
        tell.notify("run_started", run=run, folder=Path("x"))
        tell.notify("step_reused", step=run.steps[0])
        train(tell, run, now)
        finish(tell, run)
        (line,) = self.drawn(live)
        live.close()
        assert line.endswith("2 of 3 steps done")


def test_the_end_lists_what_failed_and_what_was_not_run_because_of_it(
    run: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    run.steps.append(a_step("crops", "cropper/square"))
    inputs: list[dict[str, str | list[str]]] = [{}, {"dataset": "birds"}, {"model": "classifier"}, {}]
    for step, given, status in zip(run.steps, inputs, ("failed", "skipped", "skipped", "skipped"), strict=True):
        step.inputs, step.status = given, status  # type: ignore[assignment]
    _print_failures(run)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "1 step failed: birds.",
        "Not run: classifier, because of birds.",
        "Not run: pgd, because of birds.",
    ]
    assert "the same command computes what is missing" in said[3], "crops was not asked for"
    run.steps[0].status = "computed"
    _print_failures(run)
    assert capsys.readouterr().out == ""


def test_a_rate_forgets_a_slow_beginning() -> None:
    bar = Bar("epoch 1", now=0.0)
    bar.total, bar.unit = 10_000, "images"
    bar.done = 1
    assert bar.rate(30.0) == pytest.approx(1 / 30)
    for second in range(31, 61):
        bar.done += 100
        rate = bar.rate(float(second))
    assert rate == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize(("seconds", "text"), [(9.4, "0:09"), (750, "12:30"), (3723, "1:02:03")])
def test_times_read_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
