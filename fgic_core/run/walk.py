"""The files below a folder that count: all but junk, links followed."""

from __future__ import annotations

import os
from typing import NamedTuple

from fgic_core.data.formats import PICTURE_SUFFIXES
from fgic_core.data.junk import is_junk
from fgic_core.run.memory import Stat


class File(NamedTuple):
    """A file below a folder: its name relative to the folder, its path, and its stat; None where there is no file."""

    name: str
    path: str
    stat: Stat | None

    @property
    def is_picture(self) -> bool:
        return os.path.splitext(self.name)[1].lower() in PICTURE_SUFFIXES


def walk(folder: str, prefix: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> list[File]:
    """The files below a folder, in no order.

    A folder that cannot be listed, or that is a link back to one that it lies in, is a file without a stat.

    Args:
        folder: its absolute path.
        prefix: what names begin with.
        above: device and inode of the folders that this one was reached through.
    """
    try:
        about = os.stat(folder)
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not is_junk(entry.name)]
    except OSError:
        return [File(prefix, folder, None)]
    place = (about.st_dev, about.st_ino)
    if place in above:
        return [File(prefix, folder, None)]
    found: list[File] = []
    for entry in listed:
        name = prefix + entry.name
        try:
            if entry.is_dir():
                found += walk(entry.path, f"{name}/", above | {place})
            else:
                stat = Stat.from_result(entry.stat()) if entry.is_file() else None
                found.append(File(name, entry.path, stat))
        except OSError:
            found.append(File(name, entry.path, None))
    return found
