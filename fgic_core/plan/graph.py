"""What a scheduler walks: the nodes of one plan or of several, and how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedLesson
from fgic_core.steps.lesson import MAIN
from fgic_core.store.record import RunRecord

if TYPE_CHECKING:
    from filelock import FileLock

    from fgic_core.run.executor import Rehearsal
    from fgic_core.run.observers import Observers


@dataclass(frozen=True)
class Branch:
    """One run's part of a graph. Branches over one store share every node that has the same key.

    Attributes:
        plan: what to run.
        chosen: the steps that are wanted; the others are skipped, but their artifacts may serve as inputs.
        record: the record of the run, kept up to date in ``folder``, the run directory, which exists.
        observers: who is told.
    """

    plan: Plan
    chosen: Sequence[str]
    record: RunRecord
    folder: Path
    observers: Observers


class Place(NamedTuple):
    """A step of a branch, by the branch's number and the step's. In order, this is the order of the specs."""

    branch: int
    step: int


@dataclass(frozen=True, slots=True)
class Node:
    """Something to compute, known by its key: what a step learns, or what it does with what was learned.

    Attributes:
        place: of the step; step: its name.
        key: the digest of what decides the output.
        lesson: what is learned; None for what is done with it.
    """

    place: Place
    step: str
    key: str
    lesson: PlannedLesson | None = None

    @property
    def name(self) -> str:
        """Such as ``classifier.fit``, ``classifier.fold 1 of 5`` and, for what is done with it, ``classifier``."""
        if self.lesson is None:
            return self.step
        return f"{self.step}.fit" if self.lesson.name == MAIN else f"{self.step}.{self.lesson.name}"


@dataclass
class Task:
    """A node that is to be computed, or is; or a rehearsal, which leaves nothing in the store.

    Attributes:
        nodes: of the steps that need it, all of one key; the first is the one that computes it.
        rehearsal: whether an explainer can work on the first node's classifier; explainer: the explainer's step.
        held: whether it could not be begun for the lack of a device, or of the lock, which another run has.
        told: whether that was said.
        device: what it computes on; lock, folder: what it holds in the store.
        future: of its job; began: a monotonic clock's time then.
    """

    nodes: list[Node]
    rehearsal: Rehearsal | None = None
    explainer: str = ""
    held: bool = False
    told: bool = False
    device: str = ""
    lock: FileLock | None = None
    folder: Path | None = None
    future: Future[Any] | None = None
    began: float = 0.0

    @property
    def node(self) -> Node:
        return self.nodes[0]


@dataclass
class Standing:
    """How far a step is that is not over.

    Attributes:
        begun: whether it was looked at with its inputs there.
        waits_for: the tasks that it needs next; given: the keys of those that it has got.
        refused: explainers that cannot work on what it would train; None until they were asked.
        anew: whether this run has computed anything of it; seconds: what that took.
        used: whether all is done that it does with what it learned.
    """

    begun: bool = False
    waits_for: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    refused: list[str] | None = None
    anew: bool = False
    seconds: float = 0.0
    used: bool = False


@dataclass
class State:
    """How far a graph is: all that a scheduler keeps, beside the plans and the records of the runs.

    Attributes:
        standing: of the steps that are not over.
        over: the others, and whether they have an artifact.
        tasks: what is to be computed, by its key.
        failed: the nodes that failed, by their key.
        stopped: the steps that the user has interrupted.
        told: how many steps were left, and what ran, when it was last said how long all of it may take.
    """

    standing: dict[Place, Standing]
    over: dict[Place, bool] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    failed: dict[str, Node] = field(default_factory=dict)
    stopped: list[Place] = field(default_factory=list)
    told: tuple[int, frozenset[str]] = (0, frozenset())

    @property
    def running(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.future is not None]

    @property
    def waiting(self) -> list[Task]:
        """What is not begun, in the order of the specs."""
        left = [task for task in self.tasks.values() if task.future is None]
        return sorted(left, key=lambda task: task.node.place)

    def end(self, place: Place, artifact: bool) -> None:
        """A step is over: what only it was waiting for is not begun any more."""
        self.standing.pop(place, None)
        self.over[place] = artifact
        for key, task in list(self.tasks.items()):
            needed = [node for node in task.nodes if node.place != place]
            if task.future is None:
                task.nodes = needed or task.nodes
                if not needed:
                    del self.tasks[key]


class Devices:
    """Hands out devices, one job each; a processor is shared by all.

    Args:
        names: what `fgic_core.run.executor.Executor.devices` gives.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._taken: set[str] = set()

    def take(self, count: int) -> str | None:
        """The first of so many in a row that nobody has; None where there are none."""
        if count == 0 or self._names == ["cpu"]:
            return self._names[0]
        for start in range(len(self._names) - count + 1):
            wanted = self._names[start : start + count]
            if not self._taken & set(wanted):
                self._taken |= set(wanted)
                return wanted[0]
        return None

    def give_back(self, first: str, count: int) -> None:
        """Of what `take` gave, with the same count."""
        if count and first in self._taken:
            start = self._names.index(first)
            self._taken -= set(self._names[start : start + count])
