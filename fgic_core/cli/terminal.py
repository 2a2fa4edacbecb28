"""Observers that show a run in the terminal: a live block for people, plain lines for files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from fgic_core.cli import numbers
from fgic_core.cli.output import console, printable
from fgic_core.cli.watch import SHOWN_SPLITS, Bar, Lane, Watch, clock
from fgic_core.hooks import hookimpl

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from fgic_core.data.artifact import Metric, Point
    from fgic_core.store.record import RunRecord, StepRecord


class Terminal(Protocol):
    """An observer that occupies the terminal until it is closed."""

    def close(self) -> None:
        """Give the terminal back, however the run ended."""


def _failure(step: StepRecord, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    return f"failed: {printable(str(error) or type(error).__name__, lines=True)}"


class PlainTerminal:
    """One line for what happens, for logs and pipes. Each names what it is about: several things may go on at once.

    Args:
        stream: where the lines go.
        failures_only: say nothing but what failed.
        every: seconds between two lines on the progress of the same node.
        now: a monotonic clock.
    """

    def __init__(
        self,
        stream: TextIO,
        failures_only: bool = False,
        every: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._quiet, self._every = stream, failures_only, every
        self._watch = Watch(now)
        self._next: dict[str, float] = {}

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    @hookimpl
    def run_started(self, run: RunRecord, folder: Path) -> None:
        self._watch.begin(run)
        self._say(f"{self._watch.title(run)}, in {folder}")

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self._watch.open(step, step.name)
        self._next[step.name] = self._watch.now() + self._every
        self._say(f"[{self._watch.place(step)}] {step.name} ({step.uses}): started; {step.reason}")

    @hookimpl
    def step_reused(self, step: StepRecord) -> None:
        self._watch.done += 1
        self._say(f"[{self._watch.place(step)}] {step.name} ({step.uses}): reused")

    @hookimpl
    def progress(self, step: StepRecord, node: str, description: str, done: int, total: int | None, unit: str) -> None:
        now, lane = self._watch.now(), self._watch.lane(step, node)
        anew = lane.bar is None or lane.bar.description != description
        if anew and any(point.split != "train" for point in lane.epoch):
            self._end_epoch(lane)
        lane.advance(description, done, total, unit, now)
        assert lane.bar is not None
        if now >= self._next.setdefault(lane.label, lane.began + self._every):
            self._next[lane.label] = now + self._every
            self._say(f"{lane.label}: {description}: {lane.bar.text(now)}")

    @hookimpl
    def metric(self, step: StepRecord, metric: Metric) -> None:
        self._watch.metrics.setdefault(step.name, []).append(metric)

    @hookimpl
    def point(self, step: StepRecord, node: str, point: Point) -> None:
        lane = self._watch.lane(step, node)
        if lane.epoch and lane.epoch[0].epoch != point.epoch:
            self._end_epoch(lane)
        if point.split in SHOWN_SPLITS:
            lane.epoch.append(point)

    def _end_epoch(self, lane: Lane) -> None:
        if lane.epoch:
            values = ", ".join(
                f"{point.split} {point.name} {numbers.value(point.value)}".strip() for point in lane.epoch
            )
            self._say(f"{lane.label}: epoch {lane.epoch[0].epoch}: {values}")
        lane.epoch = []

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        self._say(f"{step.name}: warning: {printable(message)}")

    @hookimpl
    def node_finished(self, step: StepRecord, node: str) -> None:
        for lane in self._watch.close(step, node):
            self._end_epoch(lane)

    @hookimpl
    def time_left(self, seconds: float | None) -> None:
        self._watch.expect(seconds)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        for lane in self._watch.close(step):
            self._end_epoch(lane)
        self._watch.done += 1
        said = [f"done in {numbers.duration(step.seconds)}", self._watch.result(step), self._watch.left()]
        self._say(f"{step.name}: {'; '.join(filter(None, said))}")

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        for lane in self._watch.close(step):
            self._end_epoch(lane)
        if not (self._quiet and isinstance(error, KeyboardInterrupt)):
            print(f"{step.name}: {_failure(step, error)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to give back."""


class LiveTerminal:
    """A line for each step that is over, and below them a live block with one for each node that is computed.

    Where it is one alone its curves stand below it. Hooks only note what they are told; drawing happens four times a
    second, in rich's thread.

    Args:
        console: where to draw; by default stderr.
        now: a monotonic clock.
    """

    def __init__(self, output: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = output or console(stderr=True)
        self._unicode = "utf" in self._console.encoding.lower()
        self._watch = Watch(now)
        self._spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._unicode else "|/-"
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)

    # What the hooks note.

    @hookimpl
    def run_started(self, run: RunRecord, folder: Path) -> None:
        self._watch.begin(run)
        self._console.print(f"{self._watch.title(run)}, in {folder}", style="dim")
        self._live.start()

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self._watch.open(step, step.name)

    @hookimpl
    def step_reused(self, step: StepRecord) -> None:
        self._watch.done += 1
        self._line("=", "blue", step, "reused")

    @hookimpl
    def progress(self, step: StepRecord, node: str, description: str, done: int, total: int | None, unit: str) -> None:
        self._watch.lane(step, node).advance(description, done, total, unit, self._watch.now())

    @hookimpl
    def metric(self, step: StepRecord, metric: Metric) -> None:
        self._watch.metrics.setdefault(step.name, []).append(metric)

    @hookimpl
    def point(self, step: StepRecord, node: str, point: Point) -> None:
        if point.split in SHOWN_SPLITS:
            curves = self._watch.lane(step, node).curves
            curves.setdefault(f"{point.split} {point.name}".strip(), []).append(point.value)

    @hookimpl
    def warning(self, step: StepRecord, message: str) -> None:
        self._console.print(f"! {step.name}: {printable(message)}", style="yellow")

    @hookimpl
    def node_finished(self, step: StepRecord, node: str) -> None:
        self._watch.close(step, node)

    @hookimpl
    def time_left(self, seconds: float | None) -> None:
        self._watch.expect(seconds)

    @hookimpl
    def step_finished(self, step: StepRecord) -> None:
        self._watch.close(step)
        self._watch.done += 1
        self._line(
            "✓" if self._unicode else "+", "green", step, numbers.duration(step.seconds), self._watch.result(step)
        )

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        self._watch.close(step)
        self._line("✗" if self._unicode else "x", "red", step, _failure(step, error))

    @hookimpl
    def run_finished(self) -> None:
        self.close()

    def close(self) -> None:
        """Remove the live block and give the cursor back."""
        self._watch.lanes.clear()
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
        lanes, now, width = self._watch.shown(), self._watch.now(), options.max_width
        for lane in lanes:
            yield self._work(lane, now, width, max(len(one.label) for one in lanes))
        if len(lanes) == 1:
            yield from self._curves(lanes[0], width)
        # Never nothing at all: rich ends each empty drawing with a blank line that stays.
        if len(lanes) != 1 or self._watch.left():
            text = self._between(now)
            text.truncate(width, overflow="ellipsis")
            yield text

    def _turn(self, now: float) -> str:
        return self._spinner[int(now * 4) % len(self._spinner)]

    def _between(self, now: float) -> Text:
        """How far all of it is: the last line beside several nodes, the only one where none is computed."""
        from rich.text import Text

        done = f"{self._watch.done} of {len(self._watch.order)} steps done"
        return Text(f"{self._turn(now)} {', '.join(filter(None, [done, self._watch.left()]))}", style="dim")

    def _work(self, lane: Lane, now: float, width: int, label: int) -> Text:
        from rich.text import Text

        text = Text.assemble(
            (f"{self._turn(now)} ", "cyan"), (f"{lane.label:<{max(label, self._watch.width)}}", "bold")
        )
        text.append(f"  {self._watch.place(lane.step)}  {clock(now - lane.began)}  ", style="dim")
        bar = lane.bar
        if bar is None:
            text.append(lane.step.reason, style="dim")
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

    def _curves(self, lane: Lane, width: int) -> Iterator[Text]:
        from rich.text import Text

        text = Text("  ")
        for name, values in list(lane.curves.items()):
            line = numbers.sparkline(values) if self._unicode else ""
            text.append(f"{name} {numbers.value(values[-1])} ")
            text.append(f"{line}  " if line else " ", style="cyan")
        if len(text) > 2:
            text.truncate(width, overflow="ellipsis")
            yield text


__all__ = ["Bar", "LiveTerminal", "PlainTerminal", "Terminal", "clock"]
