"""COCO annotation files from a data set, built with sahi's classes and exact where these are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.boxes import annotated
from fgic_core.data.dataset import Dataset
from fgic_core.data.files import regular_file
from fgic_core.data.geometry import Size
from fgic_core.data.images import read_size
from fgic_core.data.rows import BATCH, UNSAFE_PATH
from fgic_core.data.sample import SPLITS, Split
from fgic_core.errors import DataError, FgicError, PluginError

#: Where everything is written first, inside of the folder.
_UNFINISHED = ".unfinished"
#: A box as it is written: (x, y, width, height), area, label, crowd. (Plain tuples cost the garbage collector nothing.)
_Annotated = tuple[tuple[float, float, float, float], float, int | None, bool]


@dataclass(frozen=True, slots=True)
class CocoSplit:
    """One annotation file and how many images and boxes it lists."""

    file: Path
    images: int
    boxes: int


@dataclass(frozen=True, slots=True)
class CocoFolder:
    """What `write_coco` wrote.

    Attributes:
        folder: holds ``annotations/`` and, if pictures were copied, ``images/``.
        pictures: the folder that the files' names start at.
        splits: the annotation files by split.
        left_out: what the data set holds and COCO has no place for, and how many boxes or samples have it.
    """

    folder: Path
    pictures: Path
    splits: Mapping[Split, CocoSplit]
    left_out: tuple[str, ...]


def write_coco(
    dataset: Dataset, folder: Path, *, copy_pictures: bool = False, progress: Callable[[int, int], None] | None = None
) -> CocoFolder:
    """Write ``annotations/instances_{train,val,test}.json`` for the splits that occur: whole, or not at all.

    Annotated boxes become annotations (a box without a label has its sample's), samples without one images without
    annotations: empty ones as COCO means it, those that were not annotated with a mark of fgic's own. Category k + 1
    is class k; every file lists every class. `dataset/coco` reads the same data set back: ids and labels stand in keys
    that other readers pass over (see docs/coco.md).

    Args:
        dataset: what to write.
        folder: does not exist, or is empty.
        copy_pictures: copy the pictures to ``images/``; those of several root folders to ``images/1/``, ``images/2/``,
            … in the order in which the rows name the folders.
        progress: is told how many of how many images are done.

    Raises:
        PluginError: sahi is not installed.
        DataError: there are no samples, a path leaves the data set's folder, two samples share one picture, a box is
            empty, a picture is missing; or pictures lie below several folders and are not copied.
        FgicError: the folder is not empty, or cannot be written.
    """
    require_sahi()
    if not len(dataset):
        raise DataError("the data set has no samples", where=str(folder))
    check_free(folder)
    places = _places(dataset, copy_pictures)
    splits: dict[Split, CocoSplit] = {}
    with _whole(folder) as stage:
        images = stage / "images" if copy_pictures else None
        ready = _Pictures(places, images, lambda done: progress(done, len(dataset)) if progress else None)
        (stage / "annotations").mkdir()
        for split in SPLITS:
            rows = dataset.split(split)
            if len(rows):
                name = f"annotations/instances_{split}.json"
                document = _document(rows, ready)
                text = json.dumps(document, separators=(",", ":"), allow_nan=False)
                (stage / name).write_text(text, encoding="utf-8")
                splits[split] = CocoSplit(folder / name, len(document["images"]), len(document["annotations"]))
    pictures = folder / "images" if copy_pictures else Path(dataset.header.roots[next(iter(places))] or "")
    return CocoFolder(folder, pictures, splits, _left_out(dataset))


def require_sahi() -> Any:
    """sahi's module of COCO classes. Raises PluginError where it cannot be imported."""
    try:
        return import_module("sahi.utils.coco")
    except ImportError as error:
        why, hint = "is not installed", "Install it: pip install 'fgic[coco]'"
        if error.name != "sahi":
            why, hint = f"cannot be imported: {error}", "Is it libGL? Then pip install opencv-python-headless helps."
        raise PluginError(f"COCO files are written with sahi, which {why}", hint=hint) from None


def check_free(folder: Path) -> None:
    """Raises FgicError unless the folder is empty or does not exist."""
    try:
        first = next(folder.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FgicError(f"this cannot be written to: {error.strerror}", where=str(folder)) from None
    if first is not None:
        killed = f"Another conversion is writing it, or one was killed: then remove {first}."
        hint = killed if first.name == _UNFINISHED else "Give one that is empty, or a new one."
        raise FgicError("the folder is not empty", where=str(folder), hint=hint)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write into. What it holds at the end is moved to ``folder``; on any failure it is removed."""
    stage, new = folder / _UNFINISHED, not folder.exists()
    moved: list[str] = []
    try:
        stage.mkdir(parents=True)
    except OSError as error:
        raise FgicError(f"no folder can be made: {error.strerror}", where=str(folder)) from None
    try:
        yield stage
        for name in ("images", "annotations"):
            if (stage / name).exists():
                moved.append(name)
                (stage / name).rename(folder / name)
        stage.rmdir()
    except BaseException as error:
        for name in moved:
            if not (stage / name).exists():
                shutil.rmtree(folder / name, ignore_errors=True)
        shutil.rmtree(stage, ignore_errors=True)
        if new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            what = f"the COCO files cannot be written: {error.strerror or error}"
            raise FgicError(what, where=str(folder), hint="Nothing was left there.") from error
        raise


def _places(dataset: Dataset, copy_pictures: bool) -> dict[str, str]:
    """What a picture's name starts with, by the root of its row."""
    roots = pc.unique(dataset.table.column("root").cast(pa.string())).to_pylist()
    places = [str(dataset.header.place(root)) for root in roots]
    if len(roots) > 1 and not copy_pictures:
        folders = " and ".join(places)
        raise DataError(
            f"its pictures lie below {len(roots)} folders, and the names in COCO files start at one: {folders}",
            hint="Have the pictures copied (copy_pictures=True, --copy-pictures), or convert the data sets apart.",
        )
    return {root: f"{number}/" if len(roots) > 1 else "" for number, root in enumerate(roots, 1)}


class _Pictures:
    """Names, sizes and copies of the rows' pictures, one after the other."""

    def __init__(self, places: Mapping[str, str], images: Path | None, tell: Callable[[int], None]) -> None:
        self._places, self._images, self._tell = places, images, tell
        self._ids: dict[str, str] = {}  # by the picture's name

    def next(self, rows: Dataset, position: int, row: Mapping[str, Any]) -> tuple[str, Size]:
        """The name and the size of the row's picture, which is copied if that was asked for."""
        name = self._places[row["root"]] + Path(row["path"]).as_posix()
        if name in self._ids:
            raise DataError(
                f"samples {self._ids[name]} and {row['id']} show the same picture {name}; COCO files list each once",
                hint="Convert the data set as it was before one picture became several samples.",
            )
        self._ids[name] = row["id"]
        width, height = row["width"], row["height"]
        size = Size(width, height) if width and height else read_size(rows.file(position))
        if self._images is not None:
            _copy(rows.file(position), self._images / name)
        self._tell(len(self._ids))
        return name, size


def _copy(picture: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = regular_file(picture).open("rb")
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DataError(f"the picture {what}", where=str(picture), hint="Restore the file.") from None
    with file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def _document(rows: Dataset, pictures: _Pictures) -> dict[str, Any]:
    """The content of one split's file: sahi's, and what sahi drops or has no key for."""
    from fgic_core import __version__

    sahi = require_sahi()
    coco = sahi.Coco()
    for number, name in enumerate(rows.classes, 1):
        coco.add_category(sahi.CocoCategory(id=number, name=name))
    annotation = _exact(sahi.CocoAnnotation)
    kept: list[_Annotated] = []
    about: list[dict[str, Any]] = []
    for position, (row, boxes) in enumerate(_rows(rows.table)):
        name, size = pictures.next(rows, position, row)
        image = sahi.CocoImage(file_name=name, height=size.height, width=size.width)
        for bbox, area, label, _ in boxes:
            image.add_annotation(annotation(bbox, area, (row["label"] if label is None else label) + 1))
        coco.add_image(image)
        kept += boxes
        about.append(_about(row, known=row["empty"] or bool(boxes)))
    document: dict[str, Any] = coco.json
    for entry, more in zip(document["images"], about, strict=True):
        entry.update(more)
    for entry, (_, _, label, crowd) in zip(document["annotations"], kept, strict=True):
        entry["iscrowd"] = int(crowd)
        if label is None:
            entry["class_agnostic"] = True
    info = {"description": f"Written by fgic {__version__}.", "notes": list(rows.header.notes)}
    return {"info": info, **document}


def _exact(base: Any) -> Any:
    """sahi's `CocoAnnotation` without the polygon that costs boxes their last bits, areas their fractions, and time."""

    class Exact(base):  # type: ignore[misc]
        bbox = area = category_id = None  # properties of the base
        segmentation = ()

        def __init__(self, bbox: Sequence[float], area: float, category_id: int) -> None:
            self.bbox, self.area, self.category_id = bbox, area, category_id

    return Exact


def _about(row: Mapping[str, Any], known: bool) -> dict[str, Any]:
    """What an image's entry holds beyond COCO's own keys."""
    origin = {"sample_origin": row["origin"]} if row["origin"] != "real" else {}
    parents = {"sample_parents": row["parents"]} if row["parents"] else {}
    unknown = {} if known else {"not_annotated": True}
    return {"sample_id": row["id"], "category_id": row["label"] + 1, **unknown, **origin, **parents}


def _rows(table: pa.Table) -> Iterator[tuple[dict[str, Any], list[_Annotated]]]:
    """Each row without its boxes, and its annotated boxes."""
    for batch in table.to_batches(max_chunksize=BATCH):
        unsafe = pc.index(pc.match_substring_regex(batch.column("path"), UNSAFE_PATH), pa.scalar(True)).as_py()
        if unsafe >= 0:
            key, name = (batch.column(column)[unsafe].as_py() for column in ("id", "path"))
            raise DataError(f"sample {key} has a path outside of the data set's folder: {name!r}")
        columns = ["id", "root", "path", "label", "width", "height", "empty", "origin", "parents"]
        yield from zip(batch.select(columns).to_pylist(), _annotated(batch), strict=True)


def _annotated(batch: pa.RecordBatch) -> list[list[_Annotated]]:
    """The annotated boxes of each row. Raises DataError for one that is empty or not finite."""
    column = batch.column("boxes")
    flat = column.flatten()
    annotated = pc.equal(flat.field("origin"), "annotated")
    parent = pc.list_parent_indices(column).filter(annotated).to_pylist()
    flat = flat.filter(annotated)
    # In float64 the sides are exact, or so near that x + width is rounded to the same float32 edge again.
    edges = [flat.field(edge).to_numpy(zero_copy_only=False).astype(np.float64) for edge in ("x1", "y1", "x2", "y2")]
    width, height = edges[2] - edges[0], edges[3] - edges[1]
    bad = np.flatnonzero(~(np.isfinite(edges).all(axis=0) & (width > 0) & (height > 0)))
    if len(bad):
        shown = tuple(round(float(edge[bad[0]]), 2) for edge in edges)
        raise DataError(f"sample {batch.column('id')[parent[bad[0]]].as_py()}: a box is empty or not finite: {shown}")
    boxes = zip(*(side.tolist() for side in (edges[0], edges[1], width, height)), strict=True)
    found: list[list[_Annotated]] = [[] for _ in range(len(batch))]
    fields = (flat.field("label").to_pylist(), flat.field("crowd").to_pylist())
    whole: Iterator[_Annotated] = zip(boxes, (width * height).tolist(), *fields, strict=True)
    for row, box in zip(parent, whole, strict=True):
        found[row].append(box)
    return found


def _left_out(dataset: Dataset) -> tuple[str, ...]:
    """What COCO files do not hold of this data set, in words with counts."""
    table = dataset.table
    origins = pc.list_flatten(table.column("boxes")).combine_chunks().field("origin")
    counts = {
        "predicted boxes": pc.sum(pc.not_equal(origins, "annotated")).as_py() or 0,
        "part locations": pc.sum(pc.greater(pc.list_value_length(table.column("parts")), 0)).as_py() or 0,
        "part masks": len(table) - table.column("part_mask").null_count,
        "regions, as an entry is the whole picture": len(table) - table.column("region").null_count,
        "which pictures are not annotated, but for fgic's own reader": int((~annotated(table)).sum()),
    }
    for column in dataset.header.columns:
        values = table.column(column.name)
        values = pc.struct_field(values, "path") if column.type == "file" else values
        counts[f"values of the further column {column.name}"] = len(table) - values.null_count
    return tuple(f"{what} ({count:,})" for what, count in counts.items() if count)
