"""Processes that tell events, as who started them sees them: what they say, that they ended, that they are silent."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from fgic_core.run.events import Event

#: Seconds between two looks at a process that says nothing, and for which the last words of one that ended are read.
LOOK, _LAST_WORDS = 0.1, 1.0
#: Seconds without a heartbeat after which a process is said to give no sign of life.
SILENCE = 60.0
#: Seconds after which a process that lives, tells of nothing and computes nothing is said to hang.
IDLE = 600.0


class Channel:
    """The reading end of a channel.

    Args:
        descriptor: is closed with this object.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor, self.ended = descriptor, False
        self._lines: deque[bytes] = deque()
        self._rest = b""

    def read(self) -> bytes:
        """The bytes that are there; sets `ended` at the end."""
        try:
            found = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return b""
        self.ended = not found
        return found

    def look(self) -> bool:
        """Take what has come; whether anything has."""
        found = self.read()
        *lines, self._rest = (self._rest + found).split(b"\n")
        self._lines.extend(lines)
        return bool(found)

    def events(self, more: bool = True) -> Iterator[Event]:
        """The whole events that have come. One whose reader was interrupted is there again the next time.

        Args:
            more: look for new ones.
        """
        if more:
            self.look()
        while self._lines:
            try:
                event = json.loads(self._lines[0])
            except ValueError:
                event = None
            if isinstance(event, dict) and "event" in event:
                yield event
            self._lines.popleft()

    def close(self) -> None:
        os.close(self.descriptor)


class Pulse:
    """Notices a process that gives no sign of life, or that lives and does nothing; says each once.

    Args:
        now: a monotonic clock's time.
    """

    def __init__(self, now: float) -> None:
        self._sign = self._told = now
        self._processor = self._used = 0.0
        self._said = ""

    def heard(self, event: Event, now: float) -> None:
        """Take note of an event."""
        self._sign = now
        if event["event"] == "heartbeat":
            self._processor = float(event["processor"])
            self._said = "" if self._said == "silent" else self._said
        else:
            self._told, self._used, self._said = now, self._processor, ""

    def alarm(self, now: float) -> str:
        """What is to be said now; empty for nothing."""
        quiet, told = now - self._sign, now - self._told
        if quiet > SILENCE and self._said != "silent":
            self._said = "silent"
            return (
                f"its process has given no sign of life for {quiet:.0f} s: it is stopped, or hangs in code that does "
                "not let go of Python; Ctrl-C ends the run"
            )
        if told > IDLE and self._processor - self._used < told / 100 and not self._said:
            self._said = "idle"
            return (
                f"it has told of nothing for {told / 60:.0f} min and computes nothing: it may hang; Ctrl-C ends the run"
            )
        return ""


class Watched:
    """A process that tells events, as who started it sees it.

    Its end is looked for, not that of the channels: a copy of the process may hold those open for ever.

    Args:
        process: the process.
        channels: of it and of those that it started, one each.
        output: what all of them print; printed: takes that.

    Attributes:
        ended: whether the process has ended, and everything that it told has been read.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channels: Sequence[Channel],
        output: Channel | None = None,
        printed: Callable[[bytes], None] = lambda text: None,
    ) -> None:
        self.process, self.channels, self.output, self._printed = process, channels, output, printed
        self.ended = False
        self._pulses: list[Pulse] = []
        self.begin()

    def begin(self) -> None:
        """Count silence from now on, as for a new piece of work."""
        self._pulses = [Pulse(time.monotonic()) for _ in self.channels]

    def events(self) -> Iterator[tuple[int, Event]]:
        """What has been told, by the number of the channel, but for heartbeats."""
        gone, limit = self.process.poll() is not None, time.monotonic() + _LAST_WORDS
        more = True
        while more:
            more = False
            for number, channel in enumerate(self.channels):
                more = channel.look() or more
                for event in channel.events(more=False):
                    self._pulses[number].heard(event, time.monotonic())
                    if event["event"] != "heartbeat":
                        yield number, event
            if self.output is not None and (text := self.output.read()):
                more = True
                self._printed(text)
            more = more and gone and time.monotonic() < limit
        self.ended = gone

    def alarms(self) -> Iterator[tuple[int, str]]:
        """What is to be said of silent processes, by the number of the channel."""
        for number, pulse in enumerate(self._pulses):
            if said := pulse.alarm(time.monotonic()):
                yield number, said

    @property
    def descriptors(self) -> list[int]:
        """What to wait for."""
        channels = [*self.channels, *([self.output] if self.output is not None else [])]
        return [channel.descriptor for channel in channels if not channel.ended]


def wait(watched: Sequence[Watched], seconds: float) -> None:
    """Wait until one of the processes says something, at most so long."""
    with selectors.DefaultSelector() as selector:
        for one in watched:
            for descriptor in one.descriptors:
                selector.register(descriptor, selectors.EVENT_READ)
        selector.select(max(0.0, seconds))
