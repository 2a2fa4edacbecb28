"""What a process that computes a step tells the one that watches it: one JSON document a line, on a channel of its own.

The events are ``started``, ``heartbeat``, ``progress``, ``metric``, ``point``, ``warning``, and as the last one
``error`` or ``finished``. The channel is never standard output, where plugins and libraries print what they like; how
it is read, `fgic_core.run.watching` says.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fgic_core.data.artifact import Metric, Point
from fgic_core.errors import DataError, FgicError, PluginError, StoreError
from fgic_core.steps.context import Listener

Event = dict[str, Any]
#: Errors that stay what they are on their way; of any other error of fgic's the base class is made.
_ERRORS: dict[str, type[FgicError]] = {kind.__name__: kind for kind in (DataError, PluginError, StoreError, FgicError)}
#: Seconds between two events on the progress of the same work: a reader of a million rows tells of each.
_EVERY = 0.05
#: Seconds between two heartbeats.
BEAT = 5.0


class ProcessFailed(Exception):
    """A component failed in another process: its exception as text; the cause holds what that process said."""


class ProcessOutput(Exception):
    """What a process wrote of its end, so that it stands in the traceback here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# The side that computes.


class EventWriter(Listener):
    """Writes events to a channel.

    In a copy of the process that multiprocessing made (a data loader's worker) it says nothing: what such a copy
    measures belongs to nobody.

    Args:
        channel: a file descriptor.
        check: called before each event of a step; raises where the step is to stop.
        copied: called instead in a copy of the process that is none of multiprocessing's; does not come back.
    """

    def __init__(
        self, channel: int, check: Callable[[], None] = lambda: None, copied: Callable[[], None] = lambda: None
    ) -> None:
        self._channel, self._check, self._copied = channel, check, copied
        self._process, self._lock = os.getpid(), threading.Lock()
        self._last, self._next = "", 0.0
        self._held: Event | None = None

    def _say(self, event: str, **about: Any) -> None:
        if os.getpid() != self._process:
            self._copied()
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._say("progress", **held)
        self._write({"event": event, **about})

    def _write(self, event: Event) -> None:
        # All of ASCII: a lone surrogate, which UTF-8 has no bytes for, is escaped like any other character.
        line = json.dumps(event, default=_as_text).encode("ascii") + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._channel, line) :]

    def beat(self, every: float = BEAT) -> None:
        """From now on give a sign of life every so many seconds, whatever the step does, until the process ends.

        It has the processor seconds that the process has used: one that waits for ever uses none.
        """

        def beats() -> None:
            with suppress(OSError):  # nobody listens any more
                while True:
                    self._write({"event": "heartbeat", "processor": time.process_time()})
                    time.sleep(every)

        threading.Thread(target=beats, daemon=True).start()

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self._check()
        now, about = time.monotonic(), {"description": description, "done": done, "total": total, "unit": unit}
        if description == self._last and now < self._next and done != total and os.getpid() == self._process:
            self._held = about  # said before whatever is said next
            return
        if description == self._last:
            self._held = None
        self._last, self._next = description, now + _EVERY
        self._say("progress", **about)

    def metric(self, metric: Metric) -> None:
        self._check()
        self._say("metric", **metric.model_dump())

    def point(self, point: Point) -> None:
        self._check()
        self._say("point", **point.model_dump())

    def warning(self, message: str) -> None:
        self._say("warning", message=message)

    def started(self) -> None:
        """The process is there."""
        self._say("started", process=self._process)

    def error(self, error: BaseException) -> None:
        """The end: it failed."""
        self._say("error", **describe(error))

    def finished(self, answer: Any = None) -> None:
        """The end: it is done, and this came out."""
        self._say("finished", answer=answer)


def describe(error: BaseException) -> Event:
    """An exception of any kind as JSON; `rebuild` makes one of it again."""
    about: Event = {
        "time": time.time_ns(),
        "type": type(error).__name__,
        "kind": "",
        "what": text_of(error),
        "where": None,
        "hint": None,
        "errno": errno.ENOSPC if is_disk_full(error) else None,
        "traceback": traceback_of(error),
    }
    if isinstance(error, KeyboardInterrupt):
        about["kind"] = "interrupt"
    elif isinstance(error, ProcessFailed):
        about["kind"] = "process"
    elif isinstance(error, FgicError):
        about["kind"] = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), "FgicError")
        if type(error).__str__ is FgicError.__str__:
            about |= {name: _as_text(getattr(error, name), None) for name in ("what", "where", "hint")}
    return about


def text_of(error: BaseException) -> str:
    """The exception's text, whatever its ``__str__`` does, in characters that can be written."""
    if isinstance(error, SystemExit):
        return f"sys.exit({_as_text(error.code, '')}) was called"
    return str(_as_text(error))


def words_of(error: BaseException) -> str:
    """The exception's type and text."""
    return f"{clean(type(error).__name__)}: {text_of(error)}".removesuffix(": ")


def _as_text(value: object, nothing: str | None = "None") -> str | None:
    if value is None:
        return nothing
    try:
        return clean(str(value))
    except KeyboardInterrupt:
        raise
    except BaseException as trouble:
        return f"(its text cannot be printed: {type(trouble).__name__})"


def clean(text: str) -> str:
    """The text with lone surrogates escaped, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def traceback_of(error: BaseException) -> str:
    """What Python would print of it; a ``__str__`` that raises costs that line alone."""
    try:
        return clean("".join(traceback.format_exception(error)))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"{words_of(error)}\n"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether that is why; safetensors, written in Rust, says it in words alone."""
    full = (errno.ENOSPC, errno.EDQUOT)
    while error is not None:
        if isinstance(error, OSError) and error.errno in full:
            return True
        if re.search(rf"\(os error ({full[0]}|{full[1]})\)", text_of(error)):
            return True
        error = error.__cause__
    return False


# The side that is told.


def pass_on(event: Mapping[str, Any], listener: Listener) -> None:
    """Tell a listener of an event; those that are none of a step's own it need not know."""
    name, about = event["event"], {key: value for key, value in event.items() if key != "event"}
    if name == "progress":
        listener.progress(**about)
    elif name == "metric":
        listener.metric(Metric(**about))
    elif name == "point":
        listener.point(Point(**about))
    elif name == "warning":
        listener.warning(**about)


def rebuild(event: Mapping[str, Any]) -> BaseException:
    """The exception of an ``error`` event; its cause holds the traceback of the other process."""
    kind, what = event["kind"], event["what"]
    error: BaseException
    if kind == "interrupt":
        error = KeyboardInterrupt()
    elif kind in _ERRORS:
        error = _ERRORS[kind](what, where=event["where"], hint=event["hint"])
    elif event["errno"] is not None:
        error = OSError(event["errno"], what)
    else:
        error = ProcessFailed(what if kind == "process" else f"{event['type']}: {what}".removesuffix(": "))
    error.__cause__ = ProcessOutput(event["traceback"])
    return error
