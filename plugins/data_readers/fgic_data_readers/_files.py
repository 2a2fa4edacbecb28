"""What the readers share: text tables with line numbers, paths that stay inside, names of classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from fgic_core import Box, DataError, Size, regular_file

#: A path that is absolute, or climbs out of its folder, on any system.
ESCAPES = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00"

#: How many bytes a text table may have: 30 times what CUB-200-2011 writes about its parts would be 300 MB.
_LARGEST = 1 << 30


def _unique(names: list[str] | None) -> list[str] | None:
    twice = [name for name, count in Counter(names or ()).items() if count > 1]
    if twice:
        raise PydanticCustomError("class_names", "names {name} twice", {"name": repr(twice[0])})
    return names


#: An option that gives the class names in the order of their labels.
ClassNames = Annotated[list[str] | None, AfterValidator(_unique)]


def inside(name: str, where: str) -> str:
    """The relative path ``name`` in its shortest form, with forward slashes.

    Raises:
        DataError: it is empty, absolute, or leaves its folder.
    """
    if not name or re.search(ESCAPES, name):
        raise DataError(
            f"the picture's path {name!r} leaves the data set's folder",
            where=where,
            hint="Paths are relative, without `..`; move the picture into the data set's folder.",
        )
    return str(PurePosixPath(name))


def without_suffix(path: str) -> str:
    """The customary id of the picture at this path."""
    return str(PurePosixPath(path).with_suffix(""))


def rows(path: Path, names: str, layout: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text table, each with its place ``file:line``; empty lines are left out.

    Args:
        path: the file.
        names: the columns, such as ``image_id x y``. The last one takes the rest of the line, spaces and all.
        layout: what the data set's folder should hold, for the error where the file is missing.

    Raises:
        DataError: the file is missing, is not UTF-8, or a line has too few columns.
    """
    columns = len(names.split())
    try:
        lines = regular_file(path, _LARGEST).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("this file is missing", where=str(path), hint=layout) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"this file cannot be read as text: {error}", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        values = line.split(maxsplit=columns - 1)
        if not values:
            continue
        where = f"{path}:{number}"
        if len(values) < columns:
            raise DataError(
                f"{line.strip()!r} has {len(values)} columns, not {columns}", where=where, hint=f"Each line is: {names}"
            )
        yield where, [value.strip() for value in values]


def whole(text: str, what: str, where: str) -> int:
    """The whole number that the text is.

    Raises:
        DataError: it is something else.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise DataError(f"{what} should be a whole number and is {text!r}", where=where)
    return int(text)


def number(text: str, what: str, where: str) -> float:
    """The finite number that the text is.

    Raises:
        DataError: it is something else.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise DataError(f"{what} should be a number and is {text!r}", where=where)
    return value


def believable(size: Size | None, boxes: Iterable[Box]) -> Size | None:
    """The size that an annotation gives; None where its own boxes contradict it by more than a pixel.

    Sizes in annotations are wrong here and there, width and height swapped above all. The core reads the true size
    from the picture and says where it differs, but until then it would measure the boxes against this one.
    """
    if size is None or size.width <= 0 or size.height <= 0:
        return None
    limit = size.box.expand(1)
    fits = all(limit.x1 <= b.x1 and limit.y1 <= b.y1 and b.x2 <= limit.x2 and b.y2 <= limit.y2 for b in boxes)
    return size if fits else None


def readable(names: Sequence[str], prefix: str) -> list[str]:
    """Class names for people: without a technical prefix (a pattern) and with spaces for underscores.

    A name that would be shared by two classes stays as it was written.
    """
    short = [re.sub(f"^{prefix}", "", name).replace("_", " ").strip() or name for name in names]
    count = Counter(short)
    return [name if count[plain] > 1 else plain for name, plain in zip(names, short, strict=True)]
