"""What observers can listen to. The terminal, the event log and the report are observers; so is any tracker.

A third-party observer is a class or module with some of these functions marked `hookimpl`, declared in the
entry-point group ``fgic.hooks``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from fgic_core.data.artifact import Metric, Point
    from fgic_core.store.record import RunRecord, StepRecord
    from fgic_core.store.study import StudyRecord

hookspec = pluggy.HookspecMarker("fgic")
hookimpl = pluggy.HookimplMarker("fgic")


class Hooks:
    """The hook specifications. Arguments that an observer does not need can be left out of its functions.

    A step is computed as one node or as several, and several nodes may be computed at once (``--jobs``): then their
    events come one after the other, mixed, and ``node`` tells them apart: ``classifier.fit`` for what step classifier
    learns, ``classifier.fold 1 of 5`` for one of several such trainings, ``classifier`` for what is done with it. All
    hooks are called in one thread. Of a study several runs may go on at once: an observer that is declared as a class
    is made once for each of them, and once more for the study.
    """

    @hookspec
    def study_started(self, study: StudyRecord, folder: Path, nodes: int, computed: int) -> None:
        """A study begins. Of its ``nodes``, which its runs share, ``computed`` are to be computed, at most."""

    @hookspec
    def study_finished(self, study: StudyRecord, folder: Path) -> None:
        """The study is over; ``study.status`` says how, and ``study.runs`` how each run ended."""

    @hookspec
    def run_started(self, run: RunRecord, folder: Path) -> None:
        """A run begins; every step's status is `waiting` or `reused`."""

    @hookspec
    def step_started(self, step: StepRecord) -> None:
        """A step is about to be computed."""

    @hookspec
    def step_reused(self, step: StepRecord) -> None:
        """A step was found in the store."""

    @hookspec
    def node_started(self, step: StepRecord, node: str) -> None:
        """A node of a step is about to be computed."""

    @hookspec
    def progress(self, step: StepRecord, node: str, description: str, done: int, total: int | None, unit: str) -> None:
        """``done`` of ``total`` units of the work so described; called often. A new description is a new bar."""

    @hookspec
    def metric(self, step: StepRecord, node: str, metric: Metric) -> None:
        """The core measured a number."""

    @hookspec
    def point(self, step: StepRecord, node: str, point: Point) -> None:
        """A point of a curve."""

    @hookspec
    def warning(self, step: StepRecord, node: str, message: str) -> None:
        """Something bears on the numbers, or on how long they take."""

    @hookspec
    def node_finished(self, step: StepRecord, node: str, seconds: float | None) -> None:
        """A node is in the store; or it failed, and ``seconds`` is None. What it learned may serve several steps."""

    @hookspec
    def time_left(self, seconds: float | None) -> None:
        """How long all of it will take from now on, about; None where that is not known."""

    @hookspec
    def step_finished(self, step: StepRecord, folder: Path) -> None:
        """A step's artifact is in the store, at ``folder``."""

    @hookspec
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        """A step failed or was interrupted; nothing of it is in the store but its checkpoints, and what it learned."""

    @hookspec
    def run_finished(self, run: RunRecord, folder: Path) -> None:
        """The run is over; ``run.status`` says how."""
