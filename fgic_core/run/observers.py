"""Telling observers what happens, so that a broken one spoils neither the run nor the others; and the event log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import pluggy

from fgic_core.data.artifact import Metric, Point
from fgic_core.hooks import Hooks, hookimpl
from fgic_core.run.events import words_of
from fgic_core.run.interrupts import Interrupts
from fgic_core.steps.context import Listener
from fgic_core.store.record import RunRecord, StepRecord


class Observers:
    """Observers of a run. One that raises, sys.exit() too, is dropped, and why is kept in `failures`.

    Args:
        stop: called where an observer raises KeyboardInterrupt: it may stop the run as the user does.
    """

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._managers: dict[str, pluggy.PluginManager] = {}
        self.failures: dict[str, str] = {}

    def add(self, observer: object, name: str | None = None) -> None:
        """Register an object or module with hook functions."""
        name = name or f"{type(observer).__name__}-{len(self._managers)}"
        manager = pluggy.PluginManager("fgic")
        manager.add_hookspecs(Hooks)
        try:
            manager.register(observer, name)
            manager.check_pending()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._fail(name, error)
            return
        self._managers[name] = manager

    def include(self, others: Observers) -> None:
        """Tell those of others too."""
        self._managers |= others._managers
        self.failures |= others.failures

    def add_installed(self, points: Iterable[metadata.EntryPoint] | None = None) -> None:
        """Register what packages declare in the entry-point group ``fgic.hooks``.

        Args:
            points: these, where they were looked up before.
        """
        for point in metadata.entry_points(group="fgic.hooks") if points is None else points:
            try:
                found = point.load()
                self.add(found() if isinstance(found, type) else found, point.name)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._fail(point.name, error)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call one hook of every observer."""
        for name, manager in list(self._managers.items()):
            try:
                getattr(manager.hook, hook)(**arguments)
            except KeyboardInterrupt:
                self._stop()
                raise
            except BaseException as error:  # one that calls sys.exit() does not end the run
                del self._managers[name]
                self._fail(name, error)

    def _fail(self, name: str, error: BaseException) -> None:
        self.failures[name] = words_of(error)


class NodeListener(Listener):
    """Passes a node's events on to observers; every event is a place where the run can be stopped.

    Args:
        observers: who is told.
        step: the record of the node's step; node: the node's name.
        interrupts: whether the user wants to stop.
    """

    def __init__(self, observers: Observers, step: StepRecord, node: str, interrupts: Interrupts) -> None:
        self._tell, self._interrupts = partial(observers.notify, step=step, node=node), interrupts

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self._interrupts.check()
        self._tell("progress", description=description, done=done, total=total, unit=unit)

    def metric(self, metric: Metric) -> None:
        self._interrupts.check()
        self._tell("metric", metric=metric)

    def point(self, point: Point) -> None:
        self._interrupts.check()
        self._tell("point", point=point)

    def warning(self, message: str) -> None:
        self._tell("warning", message=message)


class EventLog:
    """Writes ``events.jsonl``: one JSON object a line, with the seconds since the run began.

    Args:
        folder: the run directory.
        many: there are many of them: the file is opened for each event, of which no process could hold thousands.
    """

    def __init__(self, folder: Path, *, many: bool = False) -> None:
        self._place = folder / "events.jsonl"
        self._file: TextIO | None = None if many else self._open()
        self._started = time.monotonic()
        self._said: dict[str, float] = {}

    def _write(self, event: str, **about: Any) -> None:
        line = {"t": round(time.monotonic() - self._started, 3), "event": event, **about}
        text = json.dumps(line, ensure_ascii=False) + "\n"
        if self._file is None:
            with self._open() as file:
                file.write(text)
        else:
            self._file.write(text)
            self._file.flush()

    def _open(self) -> TextIO:
        return self._place.open("a", encoding="utf-8", errors="backslashreplace")

    @hookimpl
    def run_started(self, run: RunRecord) -> None:
        self._write(
            "run_started", name=run.name, seed=run.seed, started=run.started, steps=[step.name for step in run.steps]
        )

    @hookimpl
    def step_started(self, step: StepRecord) -> None:
        self._write("step_started", step=step.name, uses=step.uses, key=step.key, reason=step.reason)

    @hookimpl
    def step_reused(self, step: StepRecord) -> None:
        self._write("step_reused", step=step.name, uses=step.uses, key=step.key)

    @hookimpl
    def node_started(self, step: StepRecord, node: str) -> None:
        self._write("node_started", step=step.name, node=node)

    @hookimpl
    def progress(self, step: StepRecord, node: str, description: str, done: int, total: int | None, unit: str) -> None:
        now = time.monotonic()
        if done == total or now - self._said.get(node, 0.0) > 5.0:
            self._said[node] = now
            about = {"description": description, "done": done, "total": total, "unit": unit}
            self._write("progress", step=step.name, node=node, **about)

    @hookimpl
    def metric(self, step: StepRecord, node: str, metric: Metric) -> None:
        self._write("metric", step=step.name, node=node, **metric.model_dump())

    @hookimpl
    def point(self, step: StepRecord, node: str, point: Point) -> None:
        self._write("point", step=step.name, node=node, **point.model_dump())

    @hookimpl
    def warning(self, step: StepRecord, node: str, message: str) -> None:
        self._write("warning", step=step.name, node=node, message=message)

    @hookimpl
    def node_finished(self, step: StepRecord, node: str, seconds: float | None) -> None:
        self._write("node_finished", step=step.name, node=node, seconds=seconds)

    @hookimpl
    def step_finished(self, step: StepRecord, folder: Path) -> None:
        self._write("step_finished", step=step.name, seconds=step.seconds, folder=str(folder))

    @hookimpl
    def step_failed(self, step: StepRecord, error: BaseException) -> None:
        self._write("step_failed", step=step.name, error=words_of(error))

    @hookimpl
    def run_finished(self, run: RunRecord) -> None:
        self._write("run_finished", status=run.status)
        if self._file is not None:
            self._file.close()
