"""What is remembered of files, such as the digest of their content, for as long as their stat is the same."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fgic_core.data.digest import digest_file

#: Raised whenever the meaning of a remembered value changes.
FORMAT = 2
#: Seconds. A file that changed so shortly before it was read may change again within the same tick of the file
#: system's clock: nothing is remembered of it yet.
TICK = 2.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS remembered (kind TEXT, path TEXT, stat TEXT, value TEXT, PRIMARY KEY (kind, path)) "
    "WITHOUT ROWID"
)


class Stat(NamedTuple):
    """What tells that a file is the one that was read: size in bytes, times of its content and its inode, the inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str | Path) -> Stat:
        """Raises OSError where there is no file."""
        return cls.from_result(os.stat(path))

    @classmethod
    def from_result(cls, about: os.stat_result) -> Stat:
        return cls(about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)

    def __str__(self) -> str:
        return f"{self.size} {self.mtime_ns} {self.ctime_ns} {self.inode}"

    def is_settled(self) -> bool:
        """Whether a change from now on would show."""
        return max(self.mtime_ns, self.ctime_ns) < time.time_ns() - TICK * 1e9


class Memory:
    """Values by kind and path, each good for one stat.

    It is a convenience: where it cannot be read or written, everything is worked out anew.

    Args:
        place: an SQLite file that is kept between processes, any number of which may use it; None keeps nothing.
        trusted: whether what other processes, or this one before, have left is believed (not with ``--verify``).
    """

    def __init__(self, place: Path | None = None, *, trusted: bool = True) -> None:
        self._place, self._trusted = place, trusted
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        self._fresh: dict[tuple[str, str], tuple[str, str]] = {}
        self._broken = place is None

    def get(self, kind: str, path: str, stat: object) -> str | None:
        """What is remembered; None where nothing is, or the file is another one now."""
        found = self._known.get((kind, path))
        if found is None and self._trusted:
            for row in self._ask("SELECT stat, value FROM remembered WHERE kind = ? AND path = ?", (kind, path)):
                found = self._known[kind, path] = (row[0], row[1])
        return found[1] if found is not None and found[0] == str(stat) else None

    def below(self, kind: str, folder: str) -> dict[str, tuple[str, str]]:
        """Stat and value of everything below a folder, by path."""
        start = folder.rstrip("/") + "/"
        query = "SELECT path, stat, value FROM remembered WHERE kind = ? AND path > ? AND path < ?"
        found = (
            {row[0]: (row[1], row[2]) for row in self._ask(query, (kind, start, start[:-1] + "0"))}
            if self._trusted
            else {}
        )
        return found | {path: value for (of, path), value in self._known.items() if of == kind}

    def put(self, kind: str, path: str, stat: object, value: str, *, for_others: bool = True) -> None:
        """Remember a value, in this process at once and for others with the next `flush`."""
        self._known[kind, path] = (str(stat), value)
        if for_others:
            self._fresh[kind, path] = (str(stat), value)

    def flush(self) -> None:
        """Write what is new where other processes find it."""
        fresh, self._fresh = self._fresh, {}
        if self._broken or not fresh:
            return
        rows = [(kind, path, stat, value) for (kind, path), (stat, value) in fresh.items() if _is_text(path)]
        try:
            with self._open() as connection:
                connection.executemany("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError):
            self._broken = True

    def digest(self, path: str | Path) -> str:
        """The digest of a file's content.

        Raises:
            OSError: it cannot be read.
        """
        name, stat = os.path.abspath(path), Stat.of(path)
        found = self.get("content", name, stat)
        if found is None:
            found = digest_file(Path(path))
            if stat.is_settled() and Stat.of(path) == stat:
                self.put("content", name, stat, found)
        return found

    def _ask(self, query: str, values: tuple[str, ...]) -> list[tuple[str, ...]]:
        if self._broken or self._place is None or not self._place.exists() or not all(map(_is_text, values)):
            return []
        try:
            with self._open() as connection:
                return list(connection.execute(query, values))
        except (sqlite3.Error, OSError):
            self._broken = True
            return []

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = _connection(self._place, os.getpid())
        with connection:  # one transaction
            yield connection


@lru_cache(maxsize=4)
def _connection(place: Path, process: int) -> sqlite3.Connection:
    """The process's connection: one that was opened before a fork is not to be used after it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(place, timeout=10, check_same_thread=False)
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA synchronous=OFF")  # what a power cut takes is worked out anew
    connection.execute(_TABLE)
    return connection


def _is_text(path: str) -> bool:
    """Whether SQLite can hold it; a path that is not UTF-8 is worked out each time."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def default_memory(*, trusted: bool = True) -> Memory:
    """The memory of this machine's user: ``$FGIC_CACHE``, or ``fgic`` in the user's folder for caches."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("FGIC_CACHE")
    folder = Path(chosen) if chosen else user_cache_path("fgic", appauthor=False)
    place = folder / f"remembered-{FORMAT}.sqlite3"
    return _shared(place, os.getpid()) if trusted else Memory(place, trusted=False)


@lru_cache(maxsize=4)
def _shared(place: Path, process: int) -> Memory:
    """The memory of this process: what one plan has looked up the next one knows."""
    return Memory(place)
