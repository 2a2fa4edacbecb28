"""Rows of fgic's schema from a Parquet file that has some of its columns, in types that can be cast to its."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core import SCHEMA, DataError, Split, nearest, regular_file
from fgic_data_readers._files import ESCAPES

ROWS = 65_536
#: How many bytes the columns that are read may unpack to, and how many rows a table may have: tens of times what the
#: largest collections of pictures need.
_LARGEST, _MOST_ROWS = 64 << 30, 1_000_000_000
#: How many letters of a value stand in a message.
SHOWN = 200
REQUIRED = ("id", "path", "label", "split")
#: Columns that the core fills in itself.
FILLED = ("root", "digest", "phash")
#: What a column or a field of a column holds where the table has none; all others are null.
DEFAULTS: dict[str, Any] = {
    "origin": "real",
    "empty": False,
    "masked": False,
    "boxes.crowd": False,
    "boxes.origin": "annotated",
    "parts.visible": True,
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a file: the first one's number, counted from 0, and how many they are."""

    path: Path
    start: int
    count: int

    def refuse(self, wrong: pa.Array, values: pa.Array, what: str, hint: str | None = None) -> None:
        """Raise a DataError for the first row that is wrong; its value goes into ``what``."""
        row = pc.index(wrong, pa.scalar(True)).as_py()
        if row >= 0:
            where = f"{self.path}, row {self.start + row} (from 0)"
            value = values[row].as_py()
            shown = f"{value[:SHOWN]}…" if isinstance(value, str) and len(value) > SHOWN else value
            raise DataError(what.format(shown), where=where, hint=hint)


class _Misfit(Exception):
    """A column cannot be brought into the type it should have; the text says which and why."""


def label_names(path: Path) -> list[str]:
    """The distinct labels, sorted.

    Raises:
        DataError: labels are numbers.
    """
    names: set[str | None] = set()
    for batch in _read(_open(path), ["label"]):
        if not _is_text(batch.schema.field("label").type):
            raise DataError(
                "the labels are numbers, so the classes have no names",
                where=str(path),
                hint="Give the option class_names, a list of names in the order of the labels.",
            )
        names.update(pc.unique(batch.column("label").cast(pa.string())).to_pylist())
    return sorted(name for name in names if name is not None)


def batches(path: Path, classes: Sequence[str], warn: Callable[[str], None]) -> Iterator[pa.RecordBatch]:
    """The rows as batches of `SCHEMA`, whose `root`, `digest` and `phash` are null.

    Args:
        path: the Parquet file.
        classes: class names in the order of their labels.
        warn: is told which columns are passed over.

    Raises:
        DataError: a column is missing or has another type, or a row contradicts the rules; the message names the row.
    """
    file = _open(path)
    names = file.schema_arrow.names
    _warn_of_others(path, names, warn)
    seen: set[str] = set()
    roots: set[str] = set()
    start = 0
    for batch in _read(file, [name for name in names if name in SCHEMA.names and name not in FILLED[1:]]):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if "root" in columns:
            roots.update(pc.unique(columns.pop("root").cast(pa.string())).to_pylist())
        rows = _fit_batch(_Piece(path, start, batch.num_rows), columns, classes)
        seen.update(rows.column("split").dictionary.to_pylist())
        start += batch.num_rows
        yield rows
    if len(roots) > 1:
        raise DataError(
            f"the rows belong to several roots ({', '.join(map(str, roots))})",
            where=str(path),
            hint="Split the table: it is read with one root folder.",
        )
    for split in ("train", "test"):
        if split not in seen:
            raise DataError(f"no row is in the {split} split", where=str(path))


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(regular_file(path))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"this is no Parquet file that can be read: {error}", where=str(path)) from None
    names = file.schema_arrow.names
    _check_size(file, path)
    for name in REQUIRED:
        if name not in names:
            close = nearest(name, [other for other in names if other not in SCHEMA.names])
            advice = f"Is it {' or '.join(close)}? Rename that column. " if close else ""
            raise DataError(
                f"the table has no column {name}", where=str(path), hint=f"{advice}It has {', '.join(names)}."
            )
    return file


def _check_size(file: pq.ParquetFile, path: Path) -> None:
    """Raises DataError where the table's footer says that fgic's columns unpack to more than any real table's."""
    about = file.metadata
    groups = [about.row_group(index) for index in range(about.num_row_groups)]
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    known = (chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in SCHEMA.names)
    size = sum(chunk.total_uncompressed_size for chunk in known)
    if size > _LARGEST or about.num_rows > _MOST_ROWS:
        raise DataError(
            f"the table has {about.num_rows:,} rows, which unpack to {size / 2**30:,.1f} GiB",
            where=str(path),
            hint=f"A table has {_MOST_ROWS:,} rows and {_LARGEST >> 30} GiB at most: is it damaged? If not, split it.",
        )


def _read(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with file:
        yield from file.iter_batches(batch_size=ROWS, columns=columns)


def _warn_of_others(path: Path, names: list[str], warn: Callable[[str], None]) -> None:
    others = [name for name in names if name not in SCHEMA.names]
    if others:
        close = {name: nearest(name, [known for known in SCHEMA.names if known not in names], 1) for name in others}
        words = [f"{name} (is it {close[name][0]}?)" if close[name] else name for name in others]
        warn(f"columns of {path.name} that were passed over: {', '.join(words)}")


def _fit_batch(piece: _Piece, columns: dict[str, pa.Array], classes: Sequence[str]) -> pa.RecordBatch:
    for name in REQUIRED:
        piece.refuse(columns[name].is_null(), columns[name], f"{name} is null")
    try:
        columns["label"] = _labels(piece, columns["label"], classes)
        fitted = {
            field.name: _fit(columns[field.name], field.type, field.name)
            if field.name in columns
            else _default(field.name, field.type, piece.count)
            for field in SCHEMA
        }
    except _Misfit as error:
        last = piece.start + piece.count - 1
        raise DataError(str(error), where=f"{piece.path}, rows {piece.start} to {last} (from 0)") from None
    if "empty" not in columns:  # somebody looked where there is a list, and found none where it is an empty one
        fitted["empty"] = pc.equal(pc.list_value_length(fitted["boxes"]), 0).fill_null(False)
    for name in ("empty", "masked"):
        piece.refuse(fitted[name].is_null(), fitted[name], f"{name} is null")
    for name in ("path", "part_mask"):
        escapes = pc.match_substring_regex(fitted[name], ESCAPES).fill_null(False)
        what = f"{name} {{!r}} leaves the data set's folder"
        piece.refuse(escapes, fitted[name], what, "Paths are relative, without `..`.")
    piece.refuse(pc.equal(fitted["path"], ""), fitted["path"], "path is empty")
    splits = fitted["split"].cast(pa.string())
    legal = get_args(Split)
    wrong = pc.invert(pc.is_in(splits, pa.array(legal)))
    piece.refuse(wrong, splits, "split is {!r}", f"A split is {', '.join(legal)}.")
    return pa.RecordBatch.from_arrays([fitted[name] for name in SCHEMA.names], schema=SCHEMA)


def _labels(piece: _Piece, labels: pa.Array, classes: Sequence[str]) -> pa.Array:
    """Labels as indices into the classes."""
    if _is_text(labels.type):
        names = labels.cast(pa.string())
        found = pc.index_in(names, pa.array(classes, pa.string()))
        piece.refuse(found.is_null(), names, "label {!r} is not in class_names")
        return found
    numbers = _fit(labels, pa.int64(), "label")
    wrong = pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, len(classes)))
    piece.refuse(wrong, numbers, f"label {{}} is no index into the {len(classes)} classes")
    return numbers


def _fit(array: pa.Array, target: pa.DataType, name: str) -> pa.Array:
    """The array in the target type; fields that a struct lacks get their defaults."""
    kind = array.type
    if kind.equals(target):
        return array
    try:
        if pa.types.is_dictionary(target):
            return array.cast(target.value_type).dictionary_encode().cast(target)
        if pa.types.is_struct(target) and pa.types.is_struct(kind):
            return _fit_struct(array, target, name)
        if pa.types.is_list(target) and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return _fit_list(array, target, name)
        _check_flags(array, target, name)
        return array.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise _Misfit(f"column {name} has type {kind}, which does not fit {target}: {error}") from None


def _check_flags(array: pa.Array, target: pa.DataType, name: str) -> None:
    """Numbers that should be flags are 0 or 1; Arrow takes all but 0 for true."""
    if pa.types.is_boolean(target) and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        wrong = pc.invert(pc.is_in(array.drop_null(), pa.array([0, 1]).cast(array.type)))
        row = pc.index(wrong, pa.scalar(True)).as_py()
        if row >= 0:
            raise _Misfit(f"column {name} should be 0, 1, false or true and has {array.drop_null()[row].as_py()}")


def _fit_list(array: pa.Array, target: pa.DataType, name: str) -> pa.Array:
    lengths = pc.list_value_length(array).fill_null(0).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    values = _fit(array.flatten(), target.value_type, name)
    return pa.ListArray.from_arrays(offsets, values, type=target, mask=array.is_null())


def _fit_struct(array: pa.StructArray, target: pa.DataType, name: str) -> pa.Array:
    children = []
    for field in target:
        full = f"{name}.{field.name}"
        if array.type.get_field_index(field.name) >= 0:
            child = _fit(pc.struct_field(array, field.name), field.type, full)
        elif field.nullable or full in DEFAULTS:
            child = _default(full, field.type, len(array))
        else:
            raise _Misfit(f"column {name} has no field {field.name}; it has {', '.join(f.name for f in array.type)}")
        if not field.nullable and child.null_count:
            if pc.any(pc.and_(child.is_null(), array.is_valid())).as_py():
                raise _Misfit(f"column {full} has a null")
            child = child.fill_null(pa.scalar(0).cast(field.type) if not pa.types.is_string(field.type) else "")
        children.append(child)
    return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())


def _default(name: str, target: pa.DataType, count: int) -> pa.Array:
    value = DEFAULTS.get(name)
    if value is None:
        return pa.nulls(count, target)
    plain = target.value_type if pa.types.is_dictionary(target) else target
    return _fit(pa.repeat(pa.scalar(value, plain), count), target, name)


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))
