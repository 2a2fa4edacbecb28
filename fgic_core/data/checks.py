"""Checks of whole batches of rows: what is wrong with them, and which samples show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.boxes import with_box
from fgic_core.data.dataset import SCHEMA, UNSAFE_PATH, schema_of
from fgic_core.data.header import Column
from fgic_core.data.junk import JUNK_PATH
from fgic_core.data.rows import ADDED
from fgic_core.data.sample import SPLITS
from fgic_core.errors import DataError, PluginError

SHOWN = 20
#: How many letters of each problem are shown.
LETTERS = 1000
#: How far, in pixels, a box may reach over the picture's edge before it counts as clipped: what rounding makes.
SLACK = 0.01

_Mask = np.ndarray[Any, np.dtype[np.bool_]]
_EDGES = ("x1", "y1", "x2", "y2")


class Problems:
    """What is wrong with a data set: the first few in words, all of them by count."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(_cut(text, LETTERS))

    def add_rows(self, bad: Any, ids: pa.Array, what: str, values: Any = None) -> None:
        """One problem for each true element of ``bad``, which belongs to the sample at the same place of ``ids``."""
        rows = np.flatnonzero(np.asarray(bad))
        for row in rows[: max(SHOWN - len(self.shown), 0)]:
            shown = "" if values is None else f": {_text(values[int(row)])}"
            self.shown.append(f"sample {_cut(ids[int(row)].as_py())}: {what}{_cut(shown)}")
        self.count += len(rows)

    def raise_if_any(self, what: str, where: str, hint: str) -> None:
        """Raises DataError with all of them, if there are any."""
        if self.count:
            lines = "".join(f"\n    {line}" for line in self.shown)
            more = f"\n    and {self.count - len(self.shown):,} more" if self.count > len(self.shown) else ""
            raise DataError(f"{what}:{lines}{more}", where=where, hint=hint)


def _cut(text: Any, most: int = LETTERS // 2) -> Any:
    """The beginning and the end of a text that is too long for a message."""
    return f"{text[: most // 2]} … {text[-most // 2 :]}" if isinstance(text, str) and len(text) > most else text


def _text(value: Any) -> str:
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    if isinstance(value, dict):
        value = tuple(round(float(value[edge]), 2) for edge in _EDGES)
    return repr(value)


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The class names.

    Raises:
        DataError: there are none, one is empty, or two are equal.
    """
    if not classes:
        raise DataError("the data set has no classes")
    bad = [name for name in classes if not isinstance(name, str) or not name.strip()]
    if bad:
        raise DataError(f"{bad[0]!r} is no class name", hint="Give each class a name.")
    seen: dict[str, int] = {}
    for index, name in enumerate(classes):
        if not name.isprintable() and any(0xD800 <= ord(letter) <= 0xDFFF for letter in name):
            raise DataError(f"the class name {name!r} is not UTF-8", hint="Rename the class's folder, or its entry.")
        if name in seen:
            raise DataError(f"class name {name!r} is given to both label {seen[name]} and label {index}")
        seen[name] = index
    return tuple(classes)


def conform(batch: pa.RecordBatch, root: str, more: Sequence[Column] = ()) -> pa.RecordBatch:
    """The batch with the columns of `SCHEMA`, and ``more``: all of `root`, others that are left out empty, `origin`
    real.

    Raises:
        PluginError: a column that must be there is not, or one has another type.
    """
    columns = []
    schema = schema_of(more)
    for field in schema:
        if field.name == "root":
            column = pa.array([root], field.type.value_type).dictionary_encode()
            column = pa.DictionaryArray.from_arrays(np.zeros(len(batch), np.int32), column.dictionary)
        elif field.name in batch.schema.names:
            column = batch.column(field.name)
        elif field.name == "origin":
            column = pa.DictionaryArray.from_arrays(np.zeros(len(batch), np.int32), pa.array(["real"]))
        elif field.name in ("empty", *ADDED):
            column = pa.repeat(False, len(batch))
        elif field.name in ("id", "path", "label", "split"):
            raise PluginError(f"the reader's rows have no column {field.name}")
        else:
            column = pa.nulls(len(batch), field.type)
        try:
            column = column if column.type == field.type else column.cast(field.type)
        except pa.ArrowException as error:
            raise PluginError(f"the reader's column {field.name} should be of type {field.type}: {error}") from None
        columns.append(_writable(column) if field.name == "region" else column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _writable(regions: pa.StructArray) -> pa.StructArray:
    """Parquet wants a value for the edges even of a region that is null; a missing edge of a real one becomes NaN."""
    edges = [pc.fill_null(pc.struct_field(regions, [edge]), float("nan")) for edge in _EDGES]
    return pa.StructArray.from_arrays(edges, fields=list(regions.type), mask=pc.is_null(regions))


def check_rows(batch: pa.RecordBatch, classes: int, problems: Problems) -> None:
    """Ids, paths, labels, splits, sizes, regions and part locations of a batch of `SCHEMA`."""
    ids = batch.column("id")
    problems.add_rows(_true(pc.or_kleene(pc.is_null(ids), pc.equal(ids, ""))), batch.column("path"), "the id is empty")
    for name in ("path", "part_mask"):
        paths = batch.column(name)
        unsafe = pc.match_substring_regex(paths, UNSAFE_PATH)
        missing = np.asarray(pc.is_null(paths)) & (name == "path")
        problems.add_rows(_true(unsafe) | missing, ids, f"the {name} leaves the data set's folder", paths)
        junk = pc.match_substring_regex(paths, JUNK_PATH)
        problems.add_rows(
            _true(junk), ids, f"the {name} names what systems and programs leave, which counts as junk", paths
        )
    labels = batch.column("label")
    outside = pc.or_kleene(pc.less(labels, 0), pc.greater_equal(labels, classes))
    problems.add_rows(
        _true(pc.or_kleene(outside, pc.is_null(labels))), ids, f"the label is not in 0..{classes - 1}", labels
    )
    for name, legal in (("split", pa.array(SPLITS)), ("origin", None)):
        words = batch.column(name)
        bad = pc.is_null(words) if legal is None else pc.invert(pc.is_in(words.cast(pa.string()), value_set=legal))
        problems.add_rows(bad, ids, f"the {name} is not legal", words)
    for name in ("width", "height"):
        problems.add_rows(_true(pc.less(batch.column(name), 1)), ids, f"the {name} is not positive", batch.column(name))
    regions = batch.column("region")
    if regions.null_count < len(regions):
        _, empty = _judge(_edges(regions))
        bad = empty & ~np.asarray(pc.is_null(regions))
        problems.add_rows(bad, ids, "the region is empty or not finite", regions)
    bad = _true(batch.column("masked")) & np.asarray(pc.is_null(regions))
    problems.add_rows(bad, ids, "it is said to be masked and has no region to show")
    problems.add_rows(batch.column("masked").is_null(), ids, "nothing says whether it is masked")
    bad = _true(batch.column("empty")) & with_box(batch)
    problems.add_rows(bad, ids, "it is said to be empty and has an annotated box")
    problems.add_rows(batch.column("empty").is_null(), ids, "nothing says whether it is empty")
    parts = batch.column("parts")
    points = parts.flatten()
    if len(points):
        bad = ~np.isfinite(np.stack([_numpy(points.field(axis)) for axis in ("x", "y")])).all(axis=0)
        problems.add_rows(bad, ids.take(pc.list_parent_indices(parts)), "a part's location is not finite")


def check_boxes(
    batch: pa.RecordBatch, classes: int, problems: Problems, sized: bool = True
) -> tuple[pa.RecordBatch, int]:
    """The batch with boxes clipped to their pictures (where the size is known), and how many had to be.

    Boxes that are empty, inverted, not finite or wholly outside are problems, and so are labels outside the classes
    and scores outside [0, 1].

    Args:
        batch: rows of `SCHEMA`.
        classes: how many there are.
        problems: is told what is wrong.
        sized: whether width and height can be believed; if not, they are passed over and no box is clipped.
    """
    column = batch.column("boxes")
    flat = column.flatten()
    if not len(flat):
        return batch, 0
    parent = np.asarray(pc.list_parent_indices(column))
    ids = batch.column("id").take(pa.array(parent))
    edges = _edges(flat)
    finite, empty = _judge(edges)
    problems.add_rows(~finite, ids, "a box is not finite", flat)
    problems.add_rows(finite & empty, ids, "a box is empty or inverted", flat)
    incomplete = pc.or_(pc.is_null(flat.field("crowd")), pc.is_null(flat.field("origin")))
    problems.add_rows(incomplete, ids, "a box has no origin or crowd flag", flat)
    labels, scores = flat.field("label"), flat.field("score")
    outside = pc.or_kleene(pc.less(labels, 0), pc.greater_equal(labels, classes))
    problems.add_rows(_true(outside), ids, f"a box's label is not in 0..{classes - 1}", labels)
    outside = pc.invert(pc.and_kleene(pc.greater_equal(scores, 0.0), pc.less_equal(scores, 1.0)))
    problems.add_rows(_true(outside), ids, "a box's score is not in [0, 1]", scores)

    limits = np.stack([_numpy(batch.column(name))[parent] for name in ("width", "height")])
    known = ~np.isnan(limits).any(axis=0) & sized
    limits = np.where(known, limits, np.inf)
    clipped = np.clip(edges, 0.0, np.concatenate([limits, limits]))
    _, gone = _judge(clipped)
    problems.add_rows(finite & ~empty & gone, ids, "a box lies outside of the picture", flat)
    clipped = np.where(known & finite, clipped, edges)
    moved = ~np.isclose(clipped, edges, rtol=0.0, atol=SLACK, equal_nan=True).all(axis=0)
    if np.array_equal(clipped, edges, equal_nan=True):
        return batch, 0
    return batch.set_column(SCHEMA.get_field_index("boxes"), "boxes", _with_edges(column, clipped)), int(moved.sum())


def _with_edges(column: pa.ListArray, edges: np.ndarray[Any, Any]) -> pa.ListArray:
    kind = SCHEMA.field("boxes").type.value_type
    flat = column.flatten()
    fresh = {name: pa.array(edges[row], pa.float32()) for row, name in enumerate(_EDGES)}
    fields = [fresh.get(field.name, flat.field(field.name)) for field in kind]
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.StructArray.from_arrays(fields, fields=list(kind)), type=SCHEMA.field("boxes").type
    )


def _edges(boxes: pa.StructArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(4, n): x1, y1, x2, y2 of each box; NaN where there is none."""
    return np.stack([_numpy(pc.struct_field(boxes, [edge])) for edge in _EDGES])


def _judge(edges: np.ndarray[Any, Any]) -> tuple[_Mask, _Mask]:
    """For each box of (4, n) edges: whether it is finite, and whether it has no area."""
    return np.isfinite(edges).all(axis=0), ~((edges[2] > edges[0]) & (edges[3] > edges[1]))


def _numpy(values: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """As float64, NaN for null."""
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _true(mask: pa.Array) -> _Mask:
    """Arrow booleans as NumPy's; null is false."""
    return np.asarray(pc.fill_null(mask, False))


def check_unique(ids: pa.ChunkedArray, problems: Problems) -> None:
    """That no id occurs twice: exact, by a hash table of all ids."""
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    for entry in counts.filter(pc.greater(counts.field("counts"), 1)):
        problems.add(f"id {entry['values'].as_py()!r} is given to {entry['counts'].as_py()} samples")
