"""How many threads a job computes with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What the libraries that compute look at when they are loaded.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def available() -> int:
    """How many threads there are to share out: ``$OMP_NUM_THREADS``, or the processors that this process may use."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named):
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(asked: int | None, jobs: int) -> int | None:
    """The threads of each of so many jobs at once.

    Args:
        asked: by the user: that many each.
        jobs: how many jobs compute at the same time.

    Returns:
        their number; None leaves it to torch, as where one job has the machine to itself.
    """
    if asked is not None or jobs == 1:
        return asked
    return max(1, available() // jobs)


def environment(threads: int | None) -> dict[str, str]:
    """The environment of a process that is to compute with so many threads; None changes nothing."""
    return {**os.environ, **({name: str(threads) for name in _VARIABLES} if threads is not None else {})}


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Let torch compute with so many threads, where it is imported; None changes nothing."""
    torch = sys.modules.get("torch")
    if threads is None or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
