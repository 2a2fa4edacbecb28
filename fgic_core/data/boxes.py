"""Which of a picture's boxes is looked at, and the table that sets predicted boxes beside annotated ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.geometry import Box, Size
from fgic_core.data.rows import BATCH
from fgic_core.data.sample import SOURCES, BoxSource, source_of

#: Overlap at which a found box counts as the annotated one, as in PASCAL VOC.
IOU = 0.5

#: One element of the `boxes` column.
Entry = Mapping[str, Any]


_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def box_of(entry: Entry) -> Box:
    """The edges of an element of the `boxes` column."""
    return Box(entry["x1"], entry["y1"], entry["x2"], entry["y2"])


def annotated(rows: pa.Table | pa.RecordBatch) -> _Mask:
    """Which rows of a data set are annotated: it is known which objects are there (`Sample.is_annotated`)."""
    empty = rows.column("empty").to_numpy(zero_copy_only=False)
    return np.asarray(with_box(rows) | empty.astype(bool), dtype=bool)


def with_object(rows: pa.Table | pa.RecordBatch) -> _Mask:
    """Which rows of a data set have an annotated box that is no crowd."""
    return with_box(rows, crowds=False)


def with_box(rows: pa.Table | pa.RecordBatch, crowds: bool = True) -> _Mask:
    """Which rows of a data set have an annotated box; ``crowds``: those of crowds count."""
    column = rows.column("boxes")
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    boxes = column.flatten()
    counts = pc.equal(boxes.field("origin"), "annotated")
    if not crowds:
        counts = pc.and_(counts, pc.invert(boxes.field("crowd")))
    places = pc.list_parent_indices(column).filter(counts).to_numpy()
    return np.bincount(places, minlength=len(column)).astype(bool)


class Chosen(NamedTuple):
    """The box of a picture that is looked at.

    Attributes:
        box: inside the picture; None where it has no box of that source.
        entry: its element of the `boxes` column.
        candidates: how many boxes it was chosen from.
    """

    box: Box | None
    entry: Entry | None
    candidates: int


_NONE = Chosen(None, None, 0)


def choose_box(entries: Sequence[Entry] | None, source: BoxSource, size: Size) -> Chosen:
    """The largest annotated, or the most confident found box inside the picture.

    Crowd boxes do not count: they are no single object. Of equally good boxes the first is taken.
    """
    candidates: list[tuple[float, Box, Entry]] = []
    for entry in entries or ():
        if entry["crowd"] or source_of(entry["origin"]) != source:
            continue
        box = box_of(entry).clip(size)
        if not box.is_empty:
            score = entry["score"] if entry["score"] is not None else 0.0
            candidates.append((box.area if source == "annotated" else score, box, entry))
    if not candidates:
        return _NONE
    _, box, entry = max(candidates, key=lambda candidate: candidate[0])
    return Chosen(box, entry, len(candidates))


def objects_of(entries: Sequence[Entry] | None, size: Size) -> list[Box]:
    """The annotated boxes inside the picture, without those of crowds."""
    mine = (box_of(e).clip(size) for e in entries or () if e["origin"] == "annotated" and not e["crowd"])
    return [box for box in mine if not box.is_empty]


def found_objects(annotated: Sequence[Box], predicted: Sequence[Box]) -> int:
    """How many annotated boxes a predicted one overlaps by IoU >= 0.5; each predicted box finds one at the most.

    Args:
        annotated: of one picture.
        predicted: most confident first: they choose in that order, as in COCO's matching.
    """
    left = list(annotated)
    for box in predicted:
        best = max(left, key=box.iou, default=None)
        if best is not None and box.iou(best) >= IOU:
            left.remove(best)
    return len(annotated) - len(left)


_BOX = pa.struct([(edge, pa.float32()) for edge in ("x1", "y1", "x2", "y2")])

#: The columns of ``boxes.parquet``, a row for each sample:
#: ``annotated``, ``predicted`` and ``crossfit`` are the boxes that cropping would use, null where there is none;
#: ``iou`` and ``crossfit_iou`` are their overlaps with the annotated one, null without one or where no detector looked,
#: 0 where it found none;
#: ``objects`` counts the annotated objects (no crowds), ``empty`` says that there is none in the picture (neither is
#: known where it is not annotated), ``detections`` counts the predicted boxes, ``found`` the objects that a predicted
#: box overlaps by IoU >= 0.5; ``region`` is what is cut, or masked around (null: nothing was, or the whole picture is),
#: and ``kept`` the share of the annotated box inside it.
COMPARED = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int32()),
        ("annotated", _BOX),
        ("predicted", _BOX),
        ("score", pa.float32()),
        ("iou", pa.float32()),
        ("crossfit", _BOX),
        ("crossfit_score", pa.float32()),
        ("crossfit_iou", pa.float32()),
        ("objects", pa.int32()),
        ("empty", pa.bool_()),
        ("found", pa.int32()),
        ("detections", pa.int32()),
        ("region", _BOX),
        ("region_origin", pa.string()),
        ("kept", pa.float32()),
    ]
)


def compare_boxes(row: Mapping[str, Any], size: Size, searched: Collection[str] = ()) -> dict[str, Any]:
    """One row of `COMPARED` from one row of a data set, as ``to_pylist()`` gives it.

    Args:
        row: of a data set.
        size: of the whole picture.
        searched: the sources that a detector looked for; see `Header.searched`.
    """
    entries = row["boxes"] or ()
    there = {source_of(e["origin"]) for e in entries}
    looked = there | set(searched)
    if row["split"] != "train":
        looked.discard("crossfit")
    main = {source: choose_box(entries, source, size) if source in there else _NONE for source in SOURCES}
    truth = main["annotated"].box
    objects = [box_of(e) for e in entries if e["origin"] == "annotated" and not e["crowd"]]
    predicted = [e for e in entries if source_of(e["origin"]) == "predicted"]
    predicted.sort(key=lambda e: -(e["score"] or 0.0))
    region = Box(**row["region"]) if row["region"] else None

    def overlap(source: BoxSource) -> float | None:
        if truth is None or source not in looked:
            return None
        box = main[source].box
        return box.iou(truth) if box is not None else 0.0

    return {
        "id": row["id"],
        "split": row["split"],
        "label": row["label"],
        "annotated": _edges(truth),
        "predicted": _edges(main["predicted"].box),
        "score": _score(main["predicted"]),
        "iou": overlap("predicted"),
        "crossfit": _edges(main["crossfit"].box),
        "crossfit_score": _score(main["crossfit"]),
        "crossfit_iou": overlap("crossfit"),
        "objects": len(objects),
        "empty": row["empty"],
        "found": found_objects(objects, [box_of(e) for e in predicted]),
        "detections": len(predicted),
        "region": _edges(region),
        "region_origin": row["region_origin"],
        "kept": region.intersection(truth) / truth.area if region is not None and truth is not None else None,
    }


def _edges(box: Box | None) -> dict[str, float] | None:
    return dict(zip(("x1", "y1", "x2", "y2"), box.xyxy, strict=True)) if box is not None else None


def _score(chosen: Chosen) -> float | None:
    return chosen.entry["score"] if chosen.entry is not None else None


class ComparedWriter:
    """Writes ``boxes.parquet`` beside a data set's rows, batch by batch."""

    def __init__(self, folder: Path, searched: Sequence[str] = ()) -> None:
        """Args: the folder, and the origins that a detector looked for (`Header.searched`)."""
        self._searched = frozenset(map(source_of, searched))
        self._file = pq.ParquetWriter(folder / "boxes.parquet", COMPARED, compression="zstd")
        self._waiting: list[dict[str, Any]] = []
        self._process = os.getpid()

    def __enter__(self) -> ComparedWriter:
        return self

    def add(self, row: Mapping[str, Any], size: Size) -> dict[str, Any]:
        """Compare the boxes of a row of the data set; returns what is written."""
        made = compare_boxes(row, size, self._searched)
        self._waiting.append(made)
        if len(self._waiting) >= BATCH:
            self._flush()
        return made

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_pylist(self._waiting, schema=COMPARED))
        self._waiting = []

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if os.getpid() != self._process:  # see `fgic_core.data.writer.DatasetWriter`
            return
        if kind is None:
            self._flush()
        self._file.close()


def read_compared(folder: Path) -> pa.Table | None:
    """The table that a detector's or a cropper's step wrote beside its data set; None where there is none."""
    file = folder / "boxes.parquet"
    return pq.read_table(file) if file.is_file() else None
