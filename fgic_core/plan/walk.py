"""The files below a folder that count: all but junk, links followed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from fgic_core.data.formats import PICTURE_SUFFIXES
from fgic_core.data.junk import is_junk
from fgic_core.store.memory import Stat


class File(NamedTuple):
    """A file below a folder.

    Attributes:
        name: relative to the folder.
        path: its path.
        stat: its stat; None where there is no file.
        leads: of a link back to a folder that it lies in the name of that, relative too; else empty.
    """

    name: str
    path: str
    stat: Stat | None
    leads: str = ""

    @property
    def is_picture(self) -> bool:
        return os.path.splitext(self.name)[1].lower() in PICTURE_SUFFIXES


def walk(folder: str, prefix: str = "", above: Mapping[tuple[int, int], str] | None = None) -> list[File]:
    """The files below a folder, in no order.

    A folder that cannot be listed, or that is a link back to one that it lies in, is a file without a stat.

    Args:
        folder: its absolute path.
        prefix: what names begin with.
        above: the names of the folders that this one was reached through, by device and inode.
    """
    above = above or {}
    try:
        about = os.stat(folder)
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not is_junk(entry.name)]
    except OSError:
        return [File(prefix, folder, None)]
    place = (about.st_dev, about.st_ino)
    if place in above:
        return [File(prefix, folder, None, above[place])]
    found: list[File] = []
    for entry in listed:
        name = prefix + entry.name
        try:
            if entry.is_dir():
                found += walk(entry.path, f"{name}/", {**above, place: prefix or "."})
            else:
                stat = Stat.from_result(entry.stat()) if entry.is_file() else None
                found.append(File(name, entry.path, stat))
        except OSError:
            found.append(File(name, entry.path, None))
    return found
