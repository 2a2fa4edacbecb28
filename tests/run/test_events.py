"""Events on their way from one process to another."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from fgic_core.data.artifact import Metric, Point
from fgic_core.errors import DataError, FgicError, PluginError
from fgic_core.run.events import Channel, ProcessFailed, Teller, describe, pass_on, rebuild
from fgic_core.steps.context import Listener


class Heard(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self.all.append((description, done, total, unit))

    def metric(self, metric: Metric) -> None:
        self.all.append(metric)

    def point(self, point: Point) -> None:
        self.all.append(point)

    def warning(self, message: str) -> None:
        self.all.append(message)


@pytest.fixture
def ends() -> Iterator[tuple[Teller, Channel]]:
    """Both ends of a channel."""
    reading, writing = os.pipe()
    channel = Channel(reading)
    yield Teller(writing), channel
    os.close(writing)
    channel.close()


def heard(channel: Channel) -> list[Any]:
    listener = Heard()
    for event in channel.events():
        pass_on(event, listener)
    return listener.all


def test_every_event_arrives_as_it_was_told(ends: tuple[Teller, Channel]) -> None:
    teller, channel = ends
    told = [Metric(name="accuracy", value=0.1, split="test", n=3), Point(epoch=1, split="val", name="loss", value=2.5)]
    teller.metric(told[0])  # type: ignore[arg-type]
    teller.point(told[1])  # type: ignore[arg-type]
    teller.warning("odd \udcff \n name")
    assert heard(channel) == [*told, "odd \udcff \n name"]


def test_progress_is_told_now_and_then_and_its_last_state_before_anything_else(ends: tuple[Teller, Channel]) -> None:
    teller, channel = ends
    for done in range(1000):
        teller.progress("reading", done, None, "rows")
    teller.progress("writing", 3, 3, "rows")
    said = heard(channel)
    assert said[0] == ("reading", 0, None, "rows")
    assert said[-2:] == [("reading", 999, None, "rows"), ("writing", 3, 3, "rows")]
    assert len(said) < 100


def test_a_line_that_is_no_event_and_one_that_is_not_whole_are_waited_out(ends: tuple[Teller, Channel]) -> None:
    teller, channel = ends
    os.write(teller._channel, b'printed\n[1]\n{"a": 1}\n{"event": "warning", "mess')
    assert heard(channel) == []
    os.write(teller._channel, b'age": "whole"}\n')
    assert heard(channel) == ["whole"]


class Odder(DataError):
    """An error of a plugin."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (PluginError("bad", where="a/b", hint="Mend it."), PluginError, "a/b: bad\n  Mend it."),
        (Odder("bad", where="x"), DataError, "x: bad"),
        (OSError(errno.EACCES, "denied", "x"), ProcessFailed, "PermissionError: [Errno 13] denied: 'x'"),
        (RuntimeError("I/O error (os error 28)"), OSError, "[Errno 28] I/O error (os error 28)"),
        (ValueError("planted"), ProcessFailed, "ValueError: planted"),
        (ProcessFailed("process 1 of 2 was ended"), ProcessFailed, "process 1 of 2 was ended"),
        (SystemExit(), ProcessFailed, "SystemExit: sys.exit() was called"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_an_error_is_what_it_was(error: BaseException, kind: type[BaseException], text: str) -> None:
    again = rebuild(json.loads(json.dumps(describe(error))))
    assert type(again) is kind
    assert str(again) == text
    assert type(error).__name__ in str(again.__cause__)


def test_an_error_of_fgic_stays_one() -> None:
    assert isinstance(rebuild(describe(FgicError("bad"))), FgicError)
