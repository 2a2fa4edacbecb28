"""The entry points of fgic's groups, read once: to look through what is installed takes as long as a plan."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib import metadata

#: How the name of every such group begins.
PREFIX = "fgic."


def points() -> tuple[metadata.EntryPoint, ...]:
    """Every entry point whose group's name begins with `PREFIX`, with the distribution that declares it."""
    return _found(tuple((path, _changed(path)) for path in sys.path))


@lru_cache(maxsize=4)
def _found(_: tuple[tuple[str, int], ...]) -> tuple[metadata.EntryPoint, ...]:
    found = []
    for distribution in metadata.distributions():
        if PREFIX in (distribution.read_text("entry_points.txt") or ""):
            found += [point for point in distribution.entry_points if point.group.startswith(PREFIX)]
    return tuple(found)


def _changed(path: str) -> int:
    """When something was last installed into a folder, or taken out of it."""
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0
