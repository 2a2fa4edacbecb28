"""MATLAB files of lists, looked at before they are loaded: a small one can stand for more than memory holds."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core import DataError, regular_file

if TYPE_CHECKING:
    import numpy as np

#: How many bytes a list may have, before and after it is decompressed. The lists of all of Stanford Dogs have 4 MB.
_LARGEST = 32 << 20
#: How many entries a variable of a list may have. Stanford Dogs has 20,580.
_ENTRIES = 200_000
#: How deeply cells may lie in cells. scipy reads them by recursion in C, which ends the process where the stack does.
_DEEPEST = 8
_MATRIX, _COMPRESSED = 14, 15
_RESTORE = "Restore it from the archive."


def load_mat(path: Path, names: Sequence[str], layout: str) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a MATLAB file that have these names; those that it lacks are left out.

    Args:
        path: the file, of MATLAB 4 to 7.
        names: of variables.
        layout: what the data set's folder should hold, for the error where the file is missing.

    Raises:
        DataError: the file is missing, is none that can be read, or stands for more than a list could hold.
    """
    from scipy.io import loadmat, whosmat

    try:
        content = _expand(regular_file(path, _LARGEST).read_bytes(), path)
        for name, shape, _ in whosmat(BytesIO(content)):
            if name in names and math.prod(shape) > _ENTRIES:
                raise _too_much(path, f"{name} has {math.prod(shape):,} entries, and a list has {_ENTRIES:,} at most")
        found: dict[str, Any] = loadmat(BytesIO(content), variable_names=list(names))
    except FileNotFoundError:
        raise DataError("this list is missing", where=str(path), hint=layout) from None
    except DataError:
        raise
    except Exception as error:  # a broken file makes scipy raise nearly anything
        raise DataError(
            f"this is not a MATLAB list that can be read: {error}", where=str(path), hint=_RESTORE
        ) from None
    return {name: value for name, value in found.items() if name in names}


def _too_much(path: Path, what: str) -> DataError:
    return DataError(f"this is no list of pictures: {what}", where=str(path), hint=_RESTORE)


def _expand(content: bytes, path: Path) -> bytes:
    """The file without compression, if it is of MATLAB 5 to 7; others have none.

    The elements of such a file follow its header of 128 bytes, each a type, a length, and that many bytes.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 128 or content[124:126] not in (b"\0\1", b"\1\0"):
        return content
    parts, size, position = [content[:128]], 0, 128
    while position + 8 <= len(content):
        kind, length = struct.unpack_from(f"{order}II", content, position)
        end = position + 8 + length
        if kind == _COMPRESSED:
            part = zlib.decompressobj().decompress(content[position + 8 : end], _LARGEST - size + 1)
        else:
            part = content[position:end]
        size += len(part)
        if size > _LARGEST:
            raise _too_much(path, f"decompressed it has more than {_LARGEST >> 20} MiB")
        parts.append(part)
        position = end
    whole = b"".join(parts)
    _check_depth(whole, order, path)
    return whole


def _check_depth(content: bytes, order: str, path: Path) -> None:
    ends: list[int] = []
    position = 128
    while position + 8 <= len(content):
        while ends and position >= ends[-1]:
            ends.pop()
        kind, length = struct.unpack_from(f"{order}II", content, position)
        position += 8
        if kind == _MATRIX:
            ends.append(position + length)
            if len(ends) > _DEEPEST:
                raise _too_much(path, f"cells lie in cells, more than {_DEEPEST} deep")
        elif kind >> 16 == 0:  # else type, length and value share 8 bytes
            position += -(-length // 8) * 8
