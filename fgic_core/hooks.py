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
    from fgic_core.run.record import RunRecord, StepRecord

hookspec = pluggy.HookspecMarker("fgic")
hookimpl = pluggy.HookimplMarker("fgic")


class Hooks:
    """The hook specifications. Arguments that an observer does not need can be left out of its functions."""

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
    def progress(self, step: StepRecord, description: str, done: int, total: int | None, unit: str) -> None:
        """``done`` of ``total`` units of the work so described; called often. A new description is a new bar."""

    @hookspec
    def metric(self, step: StepRecord, metric: Metric) -> None:
        """The core measured a number."""

    @hookspec
    def point(self, step: StepRecord, point: Point) -> None:
        """A point of a curve."""

    @hookspec
    def warning(self, step: StepRecord, message: str) -> None:
        """Something bears on the numbers."""

    @hookspec
    def step_finished(self, step: StepRecord, folder: Path) -> None:
        """A step's artifact is in the store, at ``folder``."""

    @hookspec
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        """A step failed or was interrupted; nothing of it is in the store but its checkpoints."""

    @hookspec
    def run_finished(self, run: RunRecord, folder: Path) -> None:
        """The run is over; ``run.status`` says how."""
