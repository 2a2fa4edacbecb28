"""Which sources this process has imported, so that one that was edited since is told from what it runs.

A key counts sources as they lie on the disk. A process that goes on for long, such as a notebook's, may have imported
them before they were edited, and what it computes is then not what the key says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: Where packages are installed: a version tells what is in them.
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STANDARD = os.path.dirname(os.__file__) + os.sep
_CORE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class _Loaded(NamedTuple):
    """A module as it was when it was first seen.

    Attributes:
        spec: what it was imported by; a reloaded module has another one.
        stat: of its file; None where that is none of our concern.
        text: its source; nothing of the core's, which counts by its stat alone.
    """

    spec: Any
    stat: tuple[int, ...] | None = None
    text: bytes = b""


_seen: dict[str, _Loaded] = {}


def note(*reloaded: str, everything: bool = False) -> None:
    """Take note of the modules that were imported since the last look.

    Args:
        reloaded: modules that are being executed now, for the first time or again.
        everything: look at each module, and not only at those behind the last that is known.
    """
    for name in reloaded:
        _note(name)
    for name in reversed(list(sys.modules)):  # in the order in which they were imported
        if name in _seen and _seen[name].spec is _spec(name):
            if not everything:
                break
            continue
        _note(name)


def before(name: str, file: Path) -> bytes | None:
    """The source that this process has of a module, where its file is another one by now.

    Returns:
        None where it has the file's, has not imported the module, or nothing is known; nothing but b"" is known of a
        module of the core.
    """
    seen = _seen.get(name)
    if seen is None or seen.stat is None or seen.spec is not _spec(name) or seen.spec.origin != str(file):
        return None
    return seen.text if _stat(seen.spec.origin) != seen.stat else None


def is_replaced(made: type) -> bool:
    """Whether the module of a class has another class in its place by now: it was reloaded."""
    now: Any = getattr(sys.modules.get(made.__module__), made.__name__, None)
    if now is made or not isinstance(now, type) or made.__qualname__ != made.__name__:
        return False
    return (now.__module__, now.__qualname__) == (made.__module__, made.__qualname__)


def _spec(name: str) -> Any:
    return getattr(sys.modules.get(name), "__dict__", {}).get("__spec__")


def _note(name: str) -> None:
    spec = _spec(name)
    file = getattr(spec, "origin", None)
    _seen[name] = _Loaded(spec)
    if not isinstance(file, str) or not file.endswith(".py") or file.startswith(_STANDARD):
        return
    if any(folder in file for folder in _INSTALLED):
        return
    stat = _stat(file)
    try:
        text = b"" if file.startswith(_CORE) else Path(file).read_bytes()
    except OSError:
        return
    _seen[name] = _Loaded(spec, stat, text)


def _stat(file: str) -> tuple[int, ...]:
    """What tells whether a file is still the same; nothing where there is none."""
    try:
        about = os.stat(file)
    except OSError:
        return ()
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino
