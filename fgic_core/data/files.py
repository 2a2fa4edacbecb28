"""Opening what users name: regular files alone, and none that is too large for what it should be."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

#: What else lies at a path, in words.
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class UnfitFileError(OSError):
    """What lies at a path is no regular file, or is too large. As text it is the reason alone, without the path."""

    def __str__(self) -> str:
        return str(self.strerror)


def regular_file(path: Path, most: int | None = None) -> Path:
    """The path, if a regular file (or a link to one) lies there: ``regular_file(path).read_bytes()``.

    Whoever opens a named pipe waits until somebody writes into it, and a device may never end; neither is noticed
    before it is too late, and a signal does not end the wait where it is a thread's. So the look comes first.

    Args:
        path: what is about to be opened.
        most: how many bytes the file may have; None does not look.

    Raises:
        UnfitFileError: it is something else, or larger; an OSError, so that it is reported where those are.
        OSError: there is nothing, or a folder, or it cannot be looked at.
    """
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    if not stat.S_ISREG(about.st_mode):
        what = _KINDS.get(stat.S_IFMT(about.st_mode), "something else")
        raise UnfitFileError(errno.EINVAL, f"it is {what} and not a file", str(path))
    if most is not None and about.st_size > most:
        raise UnfitFileError(
            errno.EFBIG, f"it has {in_bytes(about.st_size)}, and such a file has {in_bytes(most)} at most", str(path)
        )
    return path


def in_bytes(size: float) -> str:
    """A size for people, such as ``1.5 MiB``."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.4g} {unit}"
