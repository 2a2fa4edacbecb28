"""Observers that show a study in the terminal: one line a finished run, and how far all of it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fgic_core.cli import numbers
from fgic_core.cli.output import console, printable
from fgic_core.cli.watch import Watch, clock
from fgic_core.hooks import hookimpl

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from fgic_core.store.record import RunRecord, StepRecord
    from fgic_core.store.study import StudyRecord


class _Progress:
    """What both terminals keep of a study.

    Attributes:
        done: how many runs are over; of: how many there are.
        computed: how many nodes were computed; to_compute: how many there are to compute, at most.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.watch = now, Watch(now)
        self.done = self.of = self.computed = self.to_compute = 0
        self._told: set[str] = set()

    def title(self, study: StudyRecord, folder: Path, nodes: int, computed: int) -> str:
        self.of, self.to_compute = len(study.runs), computed
        arms, seeds = len(study.arms), len(study.seeds)
        threads = f"{study.threads} thread{'s' * (study.threads != 1)}"
        at_once = f", {study.jobs} at once with {threads} each" if study.jobs > 1 else ""
        return (
            f"{study.name}: {self.of:,} runs ({arms:,} arms, {seeds:,} seeds) on {study.device}{at_once}; "
            f"{nodes:,} nodes, at most {computed:,} to compute, in {folder}"
        )

    def ended(self, run: RunRecord) -> str:
        """``[3/28] without-crops, seed 0: finished, 4 of 7 steps computed in 12 s``."""
        self.done += 1
        steps = [step for step in run.steps if step.status == "computed"]
        took = numbers.duration(sum(step.seconds for step in steps))
        how = f"{len(steps)} of {len(run.steps)} steps computed in {took}" if steps else "everything was in the store"
        if run.status == "interrupted" and not steps:
            how = "nothing of it was computed"
        wrong = next((step for step in run.steps if step.status == "failed"), None)
        if wrong is not None:
            how = f"step {wrong.name} failed"
        return f"[{self.done}/{self.of}] {run.arm}, seed {run.seed}: {run.status}; {how}"

    def failure(self, step: StepRecord, error: BaseException) -> str:
        """What is said of a step that failed; nothing where the same was said of another run's."""
        text = printable(str(error) or type(error).__name__, lines=True)
        if isinstance(error, KeyboardInterrupt) or text in self._told or " in another run: " in text:
            return ""
        self._told.add(text)
        return f"{step.name}: failed: {text}"

    def how_far(self) -> str:
        """``12 of at most 84 nodes computed, 3 of 28 runs done, about 3:20 left in all``."""
        said = [
            f"{self.computed:,} of at most {self.to_compute:,} nodes computed",
            f"{self.done:,} of {self.of:,} runs done",
        ]
        return ", ".join(filter(None, [*said, self.watch.left()]))


class PlainStudy:
    """One line for each run that is over, and now and then how far all of it is, for logs and pipes.

    Args:
        stream: where the lines go.
        failures_only: say nothing but what failed.
        every: seconds between two lines on how far all of it is.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: TextIO,
        failures_only: bool = False,
        every: float = 30.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._quiet, self._every = stream, failures_only, every
        self._progress = _Progress(now)
        self._next = now() + every

    def _say(self, text: str) -> None:
        if text and not self._quiet:
            print(text, file=self._stream, flush=True)

    def _tick(self) -> None:
        if self._progress.now() >= self._next:
            self._next = self._progress.now() + self._every
            self._say(self._progress.how_far())

    @hookimpl
    def study_started(self, study: StudyRecord, folder: Path, nodes: int, computed: int) -> None:
        self._say(self._progress.title(study, folder, nodes, computed))

    @hookimpl
    def run_finished(self, run: RunRecord) -> None:
        self._say(self._progress.ended(run))

    @hookimpl
    def node_finished(self, seconds: float | None) -> None:
        self._progress.computed += seconds is not None
        self._tick()

    @hookimpl
    def progress(self) -> None:
        self._tick()

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        if (text := f"{step.name}: warning: {printable(message)}") not in self._progress._told:
            self._progress._told.add(text)
            self._say(text)

    @hookimpl
    def time_left(self, seconds: float | None) -> None:
        self._progress.watch.expect(seconds)

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        if text := self._progress.failure(step, error):
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to give back."""


class LiveStudy:
    """A line for each run that is over, and below them a live block: what is computed, and how far all of it is.

    Args:
        output: where to draw; by default stderr.
        now: a monotonic clock.
    """

    def __init__(self, output: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = output or console(stderr=True)
        self._progress = _Progress(now)
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)

    @hookimpl
    def study_started(self, study: StudyRecord, folder: Path, nodes: int, computed: int) -> None:
        self._console.print(self._progress.title(study, folder, nodes, computed), style="dim")
        self._live.start()

    @hookimpl
    def run_finished(self, run: RunRecord) -> None:
        self._console.print(self._progress.ended(run), style="red" if run.status == "failed" else "")

    @hookimpl
    def node_started(self, step: StepRecord, node: str) -> None:
        self._progress.watch.open(step, node)

    @hookimpl
    def progress(self, step: StepRecord, node: str, description: str, done: int, total: int | None, unit: str) -> None:
        self._progress.watch.lane(step, node).advance(description, done, total, unit, self._progress.now())

    @hookimpl
    def node_finished(self, step: StepRecord, seconds: float | None) -> None:
        self._progress.computed += seconds is not None
        self._progress.watch.close(step)

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        if (text := f"! {step.name}: {printable(message)}") not in self._progress._told:
            self._progress._told.add(text)
            self._console.print(text, style="yellow")

    @hookimpl
    def time_left(self, seconds: float | None) -> None:
        self._progress.watch.expect(seconds)

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        self._progress.watch.close(step)
        if text := self._progress.failure(step, error):
            self._console.print(text, style="red")

    @hookimpl
    def study_finished(self) -> None:
        self.close()

    def close(self) -> None:
        """Remove the live block and give the cursor back."""
        self._progress.watch.lanes.clear()
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        now = self._progress.now()
        for lane in self._progress.watch.shown():
            about = f"{lane.bar.description}  {lane.bar.text(now)}" if lane.bar is not None else ""
            text = Text(f"{lane.label}  {clock(now - lane.began)}  {about}")
            text.truncate(options.max_width, overflow="ellipsis")
            yield text
        text = Text(self._progress.how_far(), style="dim")
        text.truncate(options.max_width, overflow="ellipsis")
        yield text
