"""Copies of a process that a plugin makes with ``os.fork()``, and that come back into fgic instead of ending."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fgic_core.run.events import ProcessFailed

#: Seconds that copies are given to end when their step has ended.
PATIENCE = 5.0


class Copies:
    """Knows of each copy of this process, but for those that multiprocessing and subprocess make and end themselves.

    A copy that comes back would compute the step a second time, into the same files. It is ended where it first tells
    of an event, or at the end of the step, and the step is failed. Made once in a process.
    """

    def __init__(self) -> None:
        self._plain = False
        self._is_copy = False
        self._witness: tuple[int, int] | None = None
        os.register_at_fork(before=self._before, after_in_child=self._in_child)

    def _before(self) -> None:
        self._plain = not _by_a_library()
        if self._plain and self._witness is None:
            self._witness = os.pipe()

    def _in_child(self) -> None:
        if self._plain and self._witness is not None:
            self._is_copy = True
            os.write(self._witness[1], b"made %d\n" % os.getpid())

    def leave(self) -> None:
        """End this process if it is such a copy."""
        if self._is_copy and self._witness is not None:
            os.write(self._witness[1], b"back %d\n" % os.getpid())
            os._exit(1)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Around a step.

        Raises:
            ProcessFailed: a copy came back.
        """
        try:
            yield
        except SystemExit as error:
            if self._is_copy:  # it ends as it should, if late
                os._exit(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
            raise
        finally:
            self.leave()
            back = self._end_them()
        if back:
            raise ProcessFailed(
                "it made a copy of its process with os.fork(), and the copy went on with the step; end copies with "
                "os._exit(), or use multiprocessing"
            )

    def _end_them(self) -> bool:
        """End the copies that are left; whether one came back."""
        if self._witness is None:
            return False
        (reading, writing), self._witness = self._witness, None
        os.close(writing)
        said, ended = b"", False
        while not ended and select.select([reading], [], [], PATIENCE)[0]:
            more = os.read(reading, 4096)
            said, ended = said + more, not more
        for process in map(int, re.findall(rb"made (\d+)", said)):
            with suppress(OSError):  # one that is no child of ours any more is gone, and its number may be another's
                if os.waitpid(process, os.WNOHANG) == (0, 0):
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)
        os.close(reading)
        return b"back" in said


def _by_a_library() -> bool:
    frame = sys._getframe()
    found = frame.f_back
    while found is not None:
        if found.f_globals.get("__name__", "").partition(".")[0] in ("multiprocessing", "subprocess"):
            return True
        found = found.f_back
    return False
