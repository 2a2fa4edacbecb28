"""Settings of all tests: property tests draw the same cases every time, and a slow machine fails none of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("fgic", deadline=None, derandomize=True)
settings.load_profile("fgic")


@pytest.fixture
def pipe() -> Iterator[Callable[[Path], Path]]:
    """Makes a named pipe, which nobody must open.

    After a while somebody writes nothing into it, so that who does open it gets an empty file and a test that fails,
    and not one that never ends. Who does not open it is not disturbed, however slow the machine is.
    """
    made: list[Path] = []
    done = threading.Event()

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        made.append(path)
        return path

    def release() -> None:
        wait = 5.0
        while not done.wait(wait):
            wait = 0.2
            for path in made:
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    yield make
    done.set()
    thread.join()
