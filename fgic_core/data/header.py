"""The JSON header of a data set: what holds for every row. It is read where no row is looked at, and needs no Arrow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fgic_core.data.files import regular_file
from fgic_core.errors import DataError

ColumnType = Literal["text", "number", "integer", "flag", "file"]

#: 2: rows say which pictures are empty. 3: the header has the digests of the rows, and where a folder lies may be open.
FORMAT = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a data set's rows have beyond those of every data set, such as a mask beside each picture.

    Attributes:
        name: as `Sample.extra` has it.
        type: ``text``, ``number``, ``integer``, ``flag``, or ``file``: a path, whose file counts by its content.
        root: of a file, the name of the folder that paths are relative to, which may be another than the pictures'; a
            reader leaves it empty for its own.
        meaning: one sentence.
    """

    name: str
    type: ColumnType
    root: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError where name or type are none that there can be."""
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"a column's name has lower-case letters, digits and '_', not {self.name!r}")
        if self.type not in get_args(ColumnType):
            raise ValueError(f"a column's type is one of {', '.join(get_args(ColumnType))}, not {self.type!r}")


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for every row of a data set.

    Attributes:
        classes: class names; a label is an index into them.
        roots: the folders that rows' paths are relative to, by the name that the `root` column uses; None for one of
            which is not known where it lies.
        part_names: names of the parts; a part mask's value p is part number p, counted from 1.
        notes: facts that belong beside every number made from these data (contamination, squashed pictures).
        skipped: pictures that could not be read and were left out: path and reason.
        searched: origins of the boxes that a detector looked for, such as ``predicted:detector/mmdet``: a picture
            without such a box is one in which it found nothing.
        columns: the columns that rows have beyond those of every data set.
    """

    classes: tuple[str, ...]
    roots: Mapping[str, Path | None] = field(default_factory=dict)
    part_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    searched: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()

    def place(self, root: str, where: str | None = None) -> Path:
        """Where the pictures of a root lie.

        Raises:
            DataError: it is no root of the data set, or where it lies is not known; ``where`` stands in the message.
        """
        if root not in self.roots:
            raise DataError(f"the folder {root!r} of pictures is not known to the data set", where=where)
        if (folder := self.roots[root]) is None:
            raise DataError(
                f"where the pictures of the folder {root!r} lie is not known",
                where=where,
                hint="A run's directory says it: open the data set by the run (Run.dataset, fgic data convert RUN).",
            )
        return folder

    def write(self, folder: Path) -> None:
        """Write the header of the rows that ``folder`` holds."""
        from fgic_core.data.contents import rows_digests

        document = {
            "format": FORMAT,
            "classes": list(self.classes),
            "roots": {name: None if path is None else str(path) for name, path in sorted(self.roots.items())},
            "part_names": list(self.part_names),
            "notes": list(self.notes),
            "skipped": [list(pair) for pair in self.skipped],
            "searched": list(self.searched),
            **({"columns": [asdict(column) for column in self.columns]} if self.columns else {}),
            "rows": rows_digests(folder / "samples.parquet"),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (folder / "dataset.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Header:
        """Raises DataError where the header is missing, damaged or of another format."""
        try:
            document = json.loads(regular_file(folder / "dataset.json").read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise DataError(
                    f"data set format {document['format']} is not format {FORMAT}",
                    where=str(folder),
                    hint="Make it again with this version of fgic.",
                )
            return cls(
                tuple(map(str, document["classes"])),
                {name: None if path is None else Path(path) for name, path in document["roots"].items()},
                tuple(map(str, document["part_names"])),
                tuple(map(str, document["notes"])),
                tuple((str(path), str(reason)) for path, reason in document["skipped"]),
                tuple(map(str, document.get("searched", ()))),
                tuple(Column(**column) for column in document.get("columns", ())),
            )
        except KeyError as error:
            raise DataError(f"the data set's header lacks {error}", where=str(folder / "dataset.json")) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"no data set can be read here: {error}", where=str(folder)) from None
