"""What is known of a run while it goes on: what is computed now, how fast, and how long it may still take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fgic_core.cli import numbers

if TYPE_CHECKING:
    from fgic_core.data.artifact import Metric, Point
    from fgic_core.store.record import RunRecord, StepRecord

#: The splits of a curve that are shown while a model is trained. Test waits for the report: a person who
#: watches it can stop at its best epoch, and the number is worth nothing.
SHOWN_SPLITS = ("train", "val", "")


class Bar:
    """The work that a node reported last.

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


class Lane:
    """A node that is computed.

    Attributes:
        step: its step; label: its name for people: that of the step, but for one of several trainings.
        began: when it was first heard of.
        bar: its work; epoch: the points of its present epoch; curves: their values by name.
    """

    def __init__(self, step: StepRecord, label: str, began: float) -> None:
        self.step, self.label, self.began = step, label, began
        self.bar: Bar | None = None
        self.epoch: list[Point] = []
        self.curves: dict[str, list[float]] = {}

    def advance(self, description: str, done: int, total: int | None, unit: str, now: float) -> None:
        """Its work has got so far; a new description is a new bar."""
        if self.bar is None or self.bar.description != description:
            self.bar = Bar(description, now)
        self.bar.done, self.bar.total, self.bar.unit = done, total, unit


class Watch:
    """What both terminals keep of a run.

    Attributes:
        order: the steps' names; width: the longest one's length; done: how many of them have their artifact.
        metrics: what was measured, by step.
        lanes: the nodes that are computed, by label.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.order: list[str] = []
        self.width = self.done = 0
        self.metrics: dict[str, list[Metric]] = {}
        self.lanes: dict[str, Lane] = {}
        self._ends: float | None = None

    def begin(self, run: RunRecord) -> None:
        self.order = [step.name for step in run.steps]
        self.width = max((len(name) for name in self.order), default=0)

    def title(self, run: RunRecord) -> str:
        """``dogs: 8 steps on cpu``; where several are computed at once, that too."""
        threads = f"{run.threads} thread{'s' * (run.threads != 1)}"
        at_once = f", {run.jobs} at once with {threads} each" if run.jobs > 1 else ""
        return f"{run.name}: {len(run.steps)} steps on {run.device}{at_once}"

    def place(self, step: StepRecord) -> str:
        """``3/7``."""
        return f"{self.order.index(step.name) + 1}/{len(self.order)}" if step.name in self.order else ""

    def result(self, step: StepRecord) -> str:
        """The headline number of a step that was computed."""
        return numbers.headline(self.metrics.get(step.name, []))

    def open(self, step: StepRecord, node: str) -> Lane:
        """A node is begun anew."""
        label = _label(step, node)
        self.lanes[label] = made = Lane(step, label, self.now())
        return made

    def lane(self, step: StepRecord, node: str) -> Lane:
        """The lane of a node; one for what a step itself learns and for what it does with it."""
        return self.lanes.get(_label(step, node)) or self.open(step, node)

    def close(self, step: StepRecord, node: str = "") -> list[Lane]:
        """A node is over, or all of a step; those that are not shown any more."""
        label = _label(step, node)
        if node and label == step.name:  # its step may go on
            return []
        gone = [lane for lane in self.lanes.values() if (lane.label == label if node else lane.step is step)]
        self.lanes = {label: lane for label, lane in self.lanes.items() if lane not in gone}
        return gone

    def shown(self) -> list[Lane]:
        """The nodes to show; a step that says nothing itself is left out beside one of its trainings."""
        lanes = list(self.lanes.values())
        busy = {id(lane.step) for lane in lanes if lane.bar is not None}
        return [lane for lane in lanes if lane.bar is not None or id(lane.step) not in busy]

    def expect(self, seconds: float | None) -> None:
        """The whole will take so long from now on; None where that is not known."""
        self._ends = None if seconds is None else self.now() + seconds

    def left(self) -> str:
        """``about 3:20 left``; empty where it is not known."""
        if self._ends is None or (left := self._ends - self.now()) < 1.0:
            return ""
        return f"about {clock(left)} left in all"


def _label(step: StepRecord, node: str) -> str:
    """A node's name for people: its step's, and of one of several trainings which it is."""
    lesson = node.removeprefix(step.name).removeprefix(".").removesuffix("fit")
    return f"{step.name} ({lesson})" if lesson else step.name


def clock(seconds: float) -> str:
    """``0:09``, ``12:30``, ``1:02:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
