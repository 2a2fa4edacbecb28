"""What lies at the paths that options name, as it counts into a step's key: by content, the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fgic_core.data.digest import digest_bytes, digest_file
from fgic_core.data.formats import HEIF_SUFFIXES, has_heif
from fgic_core.plan.walk import File, walk
from fgic_core.store.memory import Memory

#: Files of more bytes count by their size: no annotation and no picture is as large, and one of holes has no end.
_LARGEST = 8 << 30
_UNREADABLE = "unreadable"
#: How the fingerprint of a folder begins whose pictures were not all read yet.
UNREAD = "unread:"
_THREADS = 8


class Fingerprints:
    """Digests of files and folders. Each path is looked at once in the life of an object, which is one plan.

    A file counts by its content, a folder by the names and contents of the files below it, hidden ones too, but for
    junk (`fgic_core.data.junk`), which no row of a data set may name. What cannot be read counts as that, and so does a
    link to nothing, or back to a folder that it lies in, with the name of that: whoever needs the file says what is
    wrong with it.

    A picture that was never read is not read to see whether something changed; its folder's fingerprint is then none
    of content and begins with `UNREAD`, until `read` has read the pictures.

    Args:
        memory: where contents are remembered.

    Attributes:
        unread: the folders whose pictures have to be read before their fingerprint is known.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.unread: set[Path] = set()
        self._found: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """The fingerprint of a file or a folder."""
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = self._folder(path) if path.is_dir() else self._file(path)
        return found

    def _file(self, path: Path) -> str:
        try:
            return self.memory.digest(path)
        except OSError:
            return _UNREADABLE

    def _folder(self, folder: Path) -> str:
        place = os.path.abspath(folder)
        files = sorted(walk(place))
        listing = _digest(f"{file.name}\0{file.stat or file.leads}\0{_heif(file)}" for file in files)
        known = self.memory.get("folder", place, listing)
        if known is not None:
            return known
        contents = self._contents(place, files)
        lacking = any(content is None for content in contents)
        whole = _digest(
            f"{file.name}\0{content or (file.stat.size if file.stat else -1)}\0{_heif(file)}"
            for file, content in zip(files, contents, strict=True)
        )
        if lacking:
            self.unread.add(folder)
            return UNREAD + whole
        if all(file.stat is None or file.stat.is_settled() for file in files):
            self.memory.put("folder", place, listing, whole)
        return whole

    def _contents(self, place: str, files: list[File]) -> list[str | None]:
        """What each file counts as; None for a picture whose content is not known."""
        before = self.memory.below("content", place)
        contents: list[str | None] = []
        for file in files:
            stat, digest = before.get(file.path, ("", ""))
            if file.stat is None or file.stat.size > _LARGEST:
                contents.append(f"{file.stat.size}" if file.stat else _UNREADABLE + file.leads)
            elif stat == str(file.stat):
                contents.append(digest)
            else:
                contents.append(None if file.is_picture else self._file(Path(file.path)))
        return contents

    def read(self, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> str:
        """Read the pictures of a folder that were not read yet; returns its fingerprint.

        Args:
            folder: one of `unread`.
            progress: told how many are read of how many.
        """
        place = os.path.abspath(folder)
        files = walk(place)
        contents = self._contents(place, files)
        missing = [file for file, content in zip(files, contents, strict=True) if content is None]
        progress(0, len(missing))
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            for done, (file, digest) in enumerate(zip(missing, pool.map(_read, missing), strict=True), 1):
                assert file.stat is not None
                # Of a file that may still change within a tick this process alone goes by what it read.
                self.memory.put("content", file.path, file.stat, digest, for_others=file.stat.is_settled())
                if done % 256 == 0 or done == len(missing):
                    progress(done, len(missing))
        self.memory.flush()
        self.unread.discard(folder)
        self._found.pop(folder, None)
        return self(folder)


def _read(file: File) -> str:
    try:
        return digest_file(Path(file.path))
    except OSError:
        return _UNREADABLE


def _heif(file: File) -> str:
    """A mark of what cannot be read here: where it can be, the data set is another one."""
    return "" if has_heif() or os.path.splitext(file.name)[1].lower() not in HEIF_SUFFIXES else _UNREADABLE


def _digest(lines: Iterator[str]) -> str:
    return digest_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
