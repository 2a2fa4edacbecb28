"""The columns of a data set's rows, and samples as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Integral
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from fgic_core.data.geometry import Box, Size
from fgic_core.data.header import Column
from fgic_core.data.sample import ObjectBox, Part, Sample
from fgic_core.errors import DataError, PluginError

BATCH = 16_384

#: Paths that a row must not have: empty, absolute, or leading out of the data set's folder. Symbolic links inside the
#: folder are its owner's own and are followed. (Arrow's RE2 and Python's `re` read it alike.)
UNSAFE_PATH = r"^$|^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)|\x00"

_BOX = [pa.field(name, pa.float32(), nullable=False) for name in ("x1", "y1", "x2", "y2")]
_WORD = pa.dictionary(pa.int32(), pa.string())

#: The columns of ``samples.parquet``. `Sample` says what each means; `root` names the folder that `path` is relative
#: to, `digest` is the BLAKE2b-128 of the file's bytes and `phash` its perceptual hash.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("root", _WORD),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("split", _WORD),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field(
            "boxes",
            pa.list_(
                pa.struct(
                    [
                        *_BOX,
                        pa.field("label", pa.int32()),
                        pa.field("score", pa.float32()),
                        pa.field("crowd", pa.bool_(), nullable=False),
                        pa.field("origin", pa.string(), nullable=False),
                    ]
                )
            ),
        ),
        pa.field("empty", pa.bool_(), nullable=False),
        pa.field(
            "parts",
            pa.list_(
                pa.struct(
                    [
                        pa.field("name", pa.string(), nullable=False),
                        pa.field("x", pa.float32(), nullable=False),
                        pa.field("y", pa.float32(), nullable=False),
                        pa.field("visible", pa.bool_(), nullable=False),
                    ]
                )
            ),
        ),
        pa.field("part_mask", pa.string()),
        pa.field("region", pa.struct(_BOX)),
        pa.field("region_origin", _WORD),
        pa.field("masked", pa.bool_(), nullable=False),
        pa.field("origin", _WORD),
        pa.field("parents", pa.list_(pa.string())),
        pa.field("digest", pa.string()),
        pa.field("phash", pa.uint64()),
    ]
)


#: How the types of further columns (`Column`) are kept. A file is kept with the BLAKE2b-128 of its content.
#: Columns of `SCHEMA` that rows may lack, as those of older data sets do, and what holds for such rows.
ADDED = {"masked": False}

_FILE = pa.struct([pa.field("path", pa.string()), pa.field("digest", pa.string())])
_TYPES = {"text": pa.string(), "number": pa.float64(), "integer": pa.int64(), "flag": pa.bool_(), "file": _FILE}


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """`SCHEMA` with further columns."""
    return pa.schema([*SCHEMA, *(pa.field(column.name, _TYPES[column.type]) for column in columns)])


def to_batch(samples: Sequence[Sample], root: str, columns: Sequence[Column] = ()) -> pa.RecordBatch:
    """Rows of `SCHEMA`, and of further columns, from samples; digests and phash are left empty.

    Raises:
        DataError: a name is not UTF-8.
        PluginError: a sample has a value of another type than it should have; the message names the sample.
    """
    try:
        rows = [_row(sample, root) | _extra(sample, columns) for sample in samples]
        return pa.RecordBatch.from_pylist(rows, schema=schema_of(columns))
    except UnicodeEncodeError as error:
        raise DataError(f"the name {error.object!r} is not UTF-8", hint="Rename the file or folder.") from None
    except (pa.ArrowException, TypeError, OverflowError) as error:
        if len(samples) > 1:
            for sample in samples:
                to_batch([sample], root, columns)
        raise PluginError(f"a value is of the wrong type: {error}", where=f"sample {samples[0].id}") from None


def _row(s: Sample, root: str) -> dict[str, Any]:
    return {
        "id": s.id,
        "root": root,
        "path": _path(s.path),
        "label": s.label,
        "split": s.split,
        "width": s.size.width if s.size else None,
        "height": s.size.height if s.size else None,
        "boxes": [box_row(b) for b in s.boxes],
        "empty": s.empty,
        "parts": [{"name": p.name, "x": p.x, "y": p.y, "visible": p.visible} for p in s.parts],
        "part_mask": None if s.part_mask is None else _path(s.part_mask),
        "region": _corners(s.region) if s.region else None,
        "region_origin": s.region_origin,
        "masked": s.masked,
        "origin": s.origin,
        "parents": list(s.parents),
        "digest": None,
        "phash": None,
    }


def _extra(s: Sample, columns: Sequence[Column]) -> dict[str, Any]:
    unknown = s.extra.keys() - {column.name for column in columns}
    if unknown:
        raise PluginError(
            f"column {sorted(unknown)[0]} is not declared",
            where=f"sample {s.id}",
            hint="A reader names its further columns in `columns`.",
        )
    return {column.name: kept(column, s.extra.get(column.name)) for column in columns}


def kept(column: Column, value: Any) -> Any:
    """A value of a further column as a row has it, of a file its path without a digest.

    Raises:
        TypeError: it would be kept as another (2.7 as the integer 2), or is no path.
    """
    if value is None:
        return None
    if column.type == "integer" and not isinstance(value, Integral):
        raise TypeError(f"{value!r} is no integer")
    return {"path": _path(value), "digest": None} if column.type == "file" else value


def _path(value: Any) -> str:
    """A path as rows have it: text with forward slashes."""
    if isinstance(value, PurePath):
        return value.as_posix()
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no path")
    return value


def to_batches(samples: Iterable[Sample], root: str, columns: Sequence[Column] = ()) -> Iterator[pa.RecordBatch]:
    """As `to_batch`, in batches of at most `BATCH` rows."""
    samples = iter(samples)
    while waiting := list(islice(samples, BATCH)):
        yield to_batch(waiting, root, columns)


def box_row(b: ObjectBox) -> dict[str, Any]:
    """One element of the `boxes` column."""
    return {**_corners(b.box), "label": b.label, "score": b.score, "crowd": b.crowd, "origin": b.origin}


def _corners(box: Box) -> dict[str, float]:
    return {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}


def to_sample(row: Mapping[str, Any]) -> Sample:
    """The sample of one row, as ``table.to_pylist()`` gives it."""
    return Sample(
        id=row["id"],
        path=row["path"],
        label=row["label"],
        split=row["split"],
        size=Size(row["width"], row["height"]) if row["width"] is not None else None,
        boxes=tuple(
            ObjectBox(Box(b["x1"], b["y1"], b["x2"], b["y2"]), b["label"], b["score"], b["crowd"], b["origin"])
            for b in row["boxes"] or ()
        ),
        empty=row["empty"],
        parts=tuple(Part(p["name"], p["x"], p["y"], p["visible"]) for p in row["parts"] or ()),
        part_mask=row["part_mask"],
        region=Box(**row["region"]) if row["region"] else None,
        region_origin=row["region_origin"],
        masked=row.get("masked", ADDED["masked"]),
        origin=row["origin"],
        parents=tuple(row["parents"] or ()),
        extra={name: _given(value) for name, value in row.items() if name not in _NAMES},
    )


def _given(value: Any) -> Any:
    """What a sample has of a further column: of a file its path."""
    return value["path"] if isinstance(value, dict) else value


_NAMES = frozenset(SCHEMA.names)


def only_columns(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The rows with these columns alone; the others hold nothing: null, or false."""
    columns = []
    for field in table.schema:
        if field.name in names:
            columns.append(table.column(field.name))
        else:  # (Of a struct `pa.nulls` makes children that are null, which Parquet refuses.)
            nothing = False if pa.types.is_boolean(field.type) else None
            columns.append(pa.array([nothing] * table.num_rows, field.type))
    return pa.table(columns, schema=table.schema)
