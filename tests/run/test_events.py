"""Events on their way from one process to another."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from fgic_core.data.artifact import Metric, Point
from fgic_core.errors import DataError, FgicError, PluginError
from fgic_core.run.events import EventWriter, ProcessFailed, describe, pass_on, rebuild
from fgic_core.run.watching import IDLE, SILENCE, Channel, Pulse
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
def ends() -> Iterator[tuple[EventWriter, Channel]]:
    """Both ends of a channel."""
    reading, writing = os.pipe()
    channel = Channel(reading)
    yield EventWriter(writing), channel
    os.close(writing)
    channel.close()


def heard(channel: Channel) -> list[Any]:
    listener = Heard()
    for event in channel.events():
        pass_on(event, listener)
    return listener.all


def test_every_event_arrives_as_it_was_told(ends: tuple[EventWriter, Channel]) -> None:
    writer, channel = ends
    told = [Metric(name="accuracy", value=0.1, split="test", n=3), Point(epoch=1, split="val", name="loss", value=2.5)]
    writer.metric(told[0])  # type: ignore[arg-type]
    writer.point(told[1])  # type: ignore[arg-type]
    writer.warning("odd \udcff \n name")
    assert heard(channel) == [*told, "odd \udcff \n name"]


def test_progress_is_told_now_and_then_and_its_last_state_before_anything_else(
    ends: tuple[EventWriter, Channel],
) -> None:
    writer, channel = ends
    for done in range(1000):
        writer.progress("reading", done, None, "rows")
    writer.progress("writing", 3, 3, "rows")
    said = heard(channel)
    assert said[0] == ("reading", 0, None, "rows")
    assert said[-2:] == [("reading", 999, None, "rows"), ("writing", 3, 3, "rows")]
    assert len(said) < 100


def test_a_line_that_is_no_event_and_one_that_is_not_whole_are_waited_out(ends: tuple[EventWriter, Channel]) -> None:
    writer, channel = ends
    os.write(writer._channel, b'printed\n[1]\n{"a": 1}\n{"event": "warning", "mess')
    assert heard(channel) == []
    os.write(writer._channel, b'age": "whole"}\n')
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


def test_an_event_whose_reader_was_interrupted_is_there_again(ends: tuple[EventWriter, Channel]) -> None:
    writer, channel = ends
    writer.finished("the answer")
    reading = channel.events()
    assert isinstance(reading, Generator)
    next(reading)
    reading.close()
    assert [event["answer"] for event in channel.events()] == ["the answer"]
    assert list(channel.events()) == []


def beat(processor: float) -> dict[str, Any]:
    return {"event": "heartbeat", "processor": processor}


def test_a_process_without_a_heartbeat_is_said_to_be_silent_once_for_each_silence() -> None:
    pulse = Pulse(0.0)
    assert pulse.alarm(SILENCE - 1) == ""
    assert "has given no sign of life for 61 s" in pulse.alarm(SILENCE + 1)
    assert pulse.alarm(SILENCE + 2) == ""
    pulse.heard(beat(1.0), SILENCE + 3)
    assert pulse.alarm(SILENCE + 4) == ""
    assert "no sign of life" in pulse.alarm(2 * SILENCE + 4)


@pytest.mark.parametrize(("used", "hangs"), [(0.001, True), (0.5, False)])
def test_a_process_that_lives_and_tells_and_computes_nothing_is_said_to_hang(used: float, hangs: bool) -> None:
    """One that uses the processor is at work, whatever it says."""
    pulse = Pulse(0.0)
    said = []
    for second in range(0, int(IDLE) + 60, 5):
        pulse.heard(beat(used * second), float(second))
        said.append(pulse.alarm(float(second)))
    assert [text for text in said if text] == [f"{NOTHING}: it may hang; Ctrl-C ends the run"] * hangs
    pulse.heard({"event": "progress"}, IDLE + 60)
    assert pulse.alarm(IDLE + 65) == ""


NOTHING = "it has told of nothing for 10 min and computes nothing"


def test_a_heartbeat_comes_whatever_else_is_told(ends: tuple[EventWriter, Channel]) -> None:
    writer, channel = ends
    writer.progress("reading", 1, 9, "rows")
    writer.beat(0.01)
    found: list[str] = []
    while found.count("heartbeat") < 2:
        found += [event["event"] for event in channel.events()]
    assert found[:2] == ["progress", "heartbeat"]
