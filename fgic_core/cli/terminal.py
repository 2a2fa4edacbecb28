"""Observers that show a run in the terminal: a live line for people, plain lines for files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from fgic_core.cli import numbers
from fgic_core.cli.output import console, printable
from fgic_core.hooks import hookimpl

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from fgic_core.data.artifact import Metric, Point
    from fgic_core.run.record import RunRecord, StepRecord

#: The splits of a curve that are shown while a model is trained. Test waits for the report: a person who
#: watches it can stop at its best epoch, and the number is worth nothing.
_SHOWN_SPLITS = ("train", "val", "")


class Terminal(Protocol):
    """An observer that occupies the terminal until it is closed."""

    def close(self) -> None:
        """Give the terminal back, however the run ended."""


class Bar:
    """The work that a step reported last.

    The rate is that of the last `WINDOW` seconds, so that a slow first batch does not spoil it for long.
    """

    WINDOW = 20.0

    def __init__(self, description: str, now: float) -> None:
        self.description = description
        self.done = 0
        self.total: int | None = None
        self.unit = ""
        self._marks: list[tuple[float, int]] = [(now, 0)]

    def rate(self, now: float) -> float:
        """Units a second; 0 where it cannot be told yet."""
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self.done))
            while len(self._marks) > 2 and now - self._marks[1][0] > self.WINDOW:
                del self._marks[0]
        since, done = self._marks[0]
        return (self.done - done) / (now - since) if now > since else 0.0

    def text(self, now: float) -> str:
        """``120/480 images, 41.2 images/s, 0:09 left``."""
        parts = [f"{self.done}/{self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"]
        rate = self.rate(now)
        if rate > 0:
            parts.append(f"{rate:.1f} {self.unit}/s" if rate < 100 else f"{rate:.0f} {self.unit}/s")
            if self.total and self.done < self.total:
                parts.append(f"{clock((self.total - self.done) / rate)} left")
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """``0:09``, ``12:30``, ``1:02:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


class _Watch:
    """What both terminals keep of a run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.order: list[str] = []
        self.width = 0
        self.metrics: dict[str, list[Metric]] = {}

    def begin(self, run: RunRecord) -> None:
        self.order = [step.name for step in run.steps]
        self.width = max((len(name) for name in self.order), default=0)

    def place(self, step: StepRecord) -> str:
        """``3/7``."""
        return f"{self.order.index(step.name) + 1}/{len(self.order)}" if step.name in self.order else ""

    def result(self, step: StepRecord) -> str:
        """The headline number of a step that was computed."""
        return numbers.headline(self.metrics.get(step.name, []))


def _failure(step: StepRecord, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    return f"failed: {printable(str(error) or type(error).__name__, lines=True)}"


class PlainTerminal:
    """One line for what happens, for logs and pipes.

    Args:
        stream: where the lines go.
        failures_only: say nothing but what failed.
        every: seconds between two lines on the progress of the same step.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: TextIO,
        failures_only: bool = False,
        every: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._quiet, self._every, self._now = stream, failures_only, every, now
        self._watch = _Watch(now)
        self._bar: Bar | None = None
        self._next = 0.0
        self._epoch: list[Point] = []

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    @hookimpl
    def run_started(self, run: RunRecord, folder: Path) -> None:
        self._watch.begin(run)
        self._say(f"{run.name}: {len(run.steps)} steps on {run.device}, in {folder}")

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self._bar, self._epoch = None, []
        self._next = self._now() + self._every
        self._say(f"[{self._watch.place(step)}] {step.name} ({step.uses}): started; {step.reason}")

    @hookimpl
    def step_reused(self, step: StepRecord) -> None:
        self._say(f"[{self._watch.place(step)}] {step.name} ({step.uses}): reused")

    @hookimpl
    def progress(self, step: StepRecord, description: str, done: int, total: int | None, unit: str) -> None:
        now = self._now()
        bar = self._bar
        if bar is None or bar.description != description:
            if any(point.split != "train" for point in self._epoch):
                self._end_epoch(step)
            bar = self._bar = Bar(description, now)
        bar.done, bar.total, bar.unit = done, total, unit
        if now >= self._next:
            self._next = now + self._every
            self._say(f"{step.name}: {description}: {bar.text(now)}")

    @hookimpl
    def metric(self, step: StepRecord, metric: Metric) -> None:
        self._watch.metrics.setdefault(step.name, []).append(metric)

    @hookimpl
    def point(self, step: StepRecord, point: Point) -> None:
        if self._epoch and self._epoch[0].epoch != point.epoch:
            self._end_epoch(step)
        if point.split in _SHOWN_SPLITS:
            self._epoch.append(point)

    def _end_epoch(self, step: StepRecord) -> None:
        if self._epoch:
            values = ", ".join(
                f"{point.split} {point.name} {numbers.value(point.value)}".strip() for point in self._epoch
            )
            self._say(f"{step.name}: epoch {self._epoch[0].epoch}: {values}")
        self._epoch = []

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        self._say(f"{step.name}: warning: {printable(message)}")

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self._end_epoch(step)
        result = self._watch.result(step)
        self._say(f"{step.name}: done in {numbers.duration(step.seconds)}{f'; {result}' if result else ''}")

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        self._end_epoch(step)
        if not (self._quiet and isinstance(error, KeyboardInterrupt)):
            print(f"{step.name}: {_failure(step, error)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to give back."""


class LiveTerminal:
    """A line for each finished step, and two live ones for the step that runs: its work, and its curves.

    Hooks only note what they are told; drawing happens four times a second, in rich's thread.

    Args:
        console: where to draw; by default stderr.
        now: a monotonic clock.
    """

    def __init__(self, output: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = output or console(stderr=True)
        self._unicode = "utf" in self._console.encoding.lower()
        self._now = now
        self._watch = _Watch(now)
        self._step: StepRecord | None = None
        self._began = now()
        self._done = 0
        self._bar: Bar | None = None
        self._curves: dict[str, list[float]] = {}
        self._spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._unicode else "|/-"
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)

    # What the hooks note.

    @hookimpl
    def run_started(self, run: RunRecord, folder: Path) -> None:
        self._watch.begin(run)
        self._console.print(f"{run.name}: {len(run.steps)} steps on {run.device}, in {folder}", style="dim")
        self._live.start()

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self._step, self._bar, self._curves, self._began = step, None, {}, self._now()

    @hookimpl
    def step_reused(self, step: StepRecord) -> None:
        self._done += 1
        self._line("=", "blue", step, "reused")

    @hookimpl
    def progress(self, step: StepRecord, description: str, done: int, total: int | None, unit: str) -> None:
        bar = self._bar
        if bar is None or bar.description != description:
            bar = self._bar = Bar(description, self._now())
        bar.done, bar.total, bar.unit = done, total, unit

    @hookimpl
    def metric(self, step: StepRecord, metric: Metric) -> None:
        self._watch.metrics.setdefault(step.name, []).append(metric)

    @hookimpl
    def point(self, step: StepRecord, point: Point) -> None:
        if point.split in _SHOWN_SPLITS:
            self._curves.setdefault(f"{point.split} {point.name}".strip(), []).append(point.value)

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        self._console.print(f"! {step.name}: {printable(message)}", style="yellow")

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self._step = None
        self._done += 1
        self._line(
            "✓" if self._unicode else "+", "green", step, numbers.duration(step.seconds), self._watch.result(step)
        )

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        self._step = None
        self._line("✗" if self._unicode else "x", "red", step, _failure(step, error))

    @hookimpl
    def run_finished(self) -> None:
        self.close()

    def close(self) -> None:
        """Remove the live lines and give the cursor back."""
        self._step = None
        self._live.stop()

    # How it is drawn.

    def _line(self, sign: str, style: str, step: StepRecord, *words: str) -> None:
        from rich.text import Text

        text = Text(f"{sign} ", style=style)
        text.append(f"{step.name:<{self._watch.width}}", style="bold default")
        text.append(f"  {step.uses}  ", style="dim default")
        text.append("  ".join(word for word in words if word), style="default" if style == "green" else style)
        self._console.print(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        step, now = self._step, self._now()
        if step is None:  # never nothing at all: rich ends each empty drawing with a blank line that stays
            yield self._between(now)
            return
        yield self._work(step, now, options.max_width)
        if curves := self._curve_text():
            curves.truncate(options.max_width, overflow="ellipsis")
            yield curves

    def _turn(self, now: float) -> str:
        return self._spinner[int(now * 4) % len(self._spinner)]

    def _between(self, now: float) -> Text:
        """Before the first step, after the last, and while inputs are opened."""
        from rich.text import Text

        return Text(f"{self._turn(now)} {self._done} of {len(self._watch.order)} steps done", style="dim")

    def _work(self, step: StepRecord, now: float, width: int) -> Text:
        from rich.text import Text

        text = Text.assemble((f"{self._turn(now)} ", "cyan"), (f"{step.name:<{self._watch.width}}", "bold"))
        text.append(f"  {self._watch.place(step)}  {clock(now - self._began)}  ", style="dim")
        bar = self._bar
        if bar is None:
            text.append(step.reason, style="dim")
        else:
            about = bar.text(now)
            room = width - len(text) - len(bar.description) - len(about) - 4
            text.append(f"{bar.description}  ")
            if bar.total and room >= 10:
                self._draw(text, bar.done / bar.total, min(room, 40))
            text.append(about)
        text.truncate(width, overflow="ellipsis")
        return text

    def _draw(self, text: Text, share: float, width: int) -> None:
        full = min(round(share * width), width)
        text.append(("━" if self._unicode else "#") * full, style="cyan")
        text.append(("━" if self._unicode else "-") * (width - full), style="bright_black")
        text.append("  ")

    def _curve_text(self) -> Text | None:
        from rich.text import Text

        text = Text("  ")
        for name, values in list(self._curves.items()):
            line = numbers.sparkline(values) if self._unicode else ""
            text.append(f"{name} {numbers.value(values[-1])} ")
            text.append(f"{line}  " if line else " ", style="cyan")
        return text if len(text) > 2 else None
