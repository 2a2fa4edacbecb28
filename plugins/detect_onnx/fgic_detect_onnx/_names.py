"""The names of a model's classes, and which of the classes count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fgic_core import PluginError, nearest, regular_file
from fgic_detect_onnx._coco import COCO_NAMES

_SHOWN = 20
#: How many bytes a file of names may have.
_LARGEST = 16 << 20

#: One entry of the Python dict that Ultralytics writes as text: ``{0: 'person', 1: "driver's cab"}``.
_ENTRY = re.compile(r"""(\d+):\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""")


def find_names(
    file: Path | None, metadata: Mapping[str, str], count: int, exact: bool, where: str
) -> tuple[str, ...] | None:
    """The names of the classes, from the file, else from the model, else COCO's for 80 classes; None if unknown.

    Args:
        file: one name a line.
        metadata: texts in the model; `names` is Ultralytics'.
        count: how many classes the model has, or has at least if that is not `exact`.
        where: what errors call the model.

    Raises:
        PluginError: the file cannot be read, or has not as many names as the model has classes.
    """
    if file is not None:
        names = _read(file)
        if len(names) != count if exact else len(names) < count:
            raise PluginError(
                f"the file has {len(names)} names, but the model {Path(where).name} has "
                f"{'' if exact else 'at least '}{count} classes",
                where=str(file),
                hint="Write one name a line, in the order in which the model counts its classes.",
            )
        return names
    written = _written(metadata.get("names", ""))
    if written and (len(written) == count if exact else len(written) >= count):
        return written
    return COCO_NAMES if exact and count == len(COCO_NAMES) else None


def _read(file: Path) -> tuple[str, ...]:
    try:
        lines = regular_file(file, _LARGEST).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(
            f"the names cannot be read: {error}", where=str(file), hint="It should be UTF-8 text, one name a line."
        ) from None
    return tuple(line.strip() for line in lines)


def _written(text: str) -> tuple[str, ...]:
    """The names in a model's metadata; empty where they are not counted from 0 without a gap."""
    entries = {int(number): one or other for number, one, other in _ENTRY.findall(text)}
    if sorted(entries) != list(range(len(entries))):
        return ()
    return tuple(re.sub(r"\\(.)", r"\1", entries[number]) for number in range(len(entries)))


def find_classes(wanted: Sequence[str] | None, names: Sequence[str] | None) -> list[int] | None:
    """The indices of the classes that count; None for all.

    Raises:
        PluginError: a name is of no class, or the names are not known.
    """
    if wanted is None:
        return None
    if names is None:
        raise PluginError(
            "the option classes needs the names of the model's classes, which are not in the model",
            where="detector/onnx",
            hint="Give label_names: a text file with one name a line, in the model's order.",
        )
    for name in wanted:
        if name not in names:
            raise PluginError(f"the model has no class {name!r}", where="detector/onnx", hint=_known(name, names))
    return [index for index, name in enumerate(names) if name in wanted]


def _known(name: str, names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    close = nearest(name, distinct)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    more = len(distinct) - _SHOWN
    return f"Its classes are {', '.join(distinct[:_SHOWN])}" + (f" and {more} more." if more > 0 else ".")
