"""Ctrl-C and SIGTERM as one exception that no library swallows for good."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

#: The signals that stop a run.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held() -> Iterator[None]:
    """Block the signals that stop a run, in this thread: what comes meanwhile comes afterwards.

    A process that is started meanwhile begins with them blocked.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupts:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt, and `check` raises it again if a library ate it.

    A library that catches everything while it is imported, or in a destructor, eats the exception of a Ctrl-C; the run
    would go on as if nobody had pressed a key. So the wish is kept here, and asked for wherever a step reports.

    So it is known, too, whether anybody asked at all: a KeyboardInterrupt that a component raises is one of its errors.

    One that is entered within another knows what that was told before: a Ctrl-C that was eaten before a run began stops
    the run.

    A signal that the process was started to ignore (``nohup``, a background job) or that someone else handles is left
    alone, and outside the main thread, where Python sets no handlers, nothing is changed.

    Args:
        sigterm: whether SIGTERM counts, or ends the process as it always did.
    """

    def __init__(self, sigterm: bool = True) -> None:
        self._usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
        if sigterm:
            self._usual[signal.SIGTERM] = signal.SIG_DFL
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, usual in self._usual.items():
                handler = signal.getsignal(number)
                outer = getattr(handler, "__self__", None)
                if isinstance(outer, Interrupts):
                    self._asked = self._asked or outer._asked
                if handler == usual or isinstance(outer, Interrupts):
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.ask()
        raise KeyboardInterrupt

    def ask(self) -> None:
        """Keep it in mind that the run was asked to stop, for the next `check`."""
        self._asked = True

    @property
    def nobody_asked(self) -> bool:
        """Whether a KeyboardInterrupt that was caught came of no signal: one would have been seen here."""
        return signal.SIGINT in self._before and not self._asked

    def forget(self) -> None:
        """Go on: who asked was none of those who may."""
        self._asked = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if the run was asked to stop, now or before."""
        if self._asked:
            raise KeyboardInterrupt
