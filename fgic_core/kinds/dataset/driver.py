"""How the core drives a dataset reader: rows checked and written, pictures verified, duplicates found."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.boxes import annotated
from fgic_core.data.checks import Problems, check_boxes, check_classes, check_rows, check_unique, conform
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.digest import digest_of
from fgic_core.data.formats import summary
from fgic_core.data.header import Column
from fgic_core.data.plausible import Plausibility
from fgic_core.data.rows import BATCH, SCHEMA, to_batches
from fgic_core.data.sample import SPLITS
from fgic_core.errors import DataError, PluginError
from fgic_core.kinds.dataset.fewer import cut_train
from fgic_core.kinds.dataset.near_duplicates import report_duplicates
from fgic_core.kinds.dataset.verify import Files

if TYPE_CHECKING:
    from fgic_core.kinds.dataset.contract import DatasetReader
    from fgic_core.steps.context import StepContext


def run(component: DatasetReader, inputs: Mapping[str, Any], ctx: StepContext) -> None:
    """Write ``samples.parquet``, ``dataset.json`` and ``duplicates.parquet`` into ``ctx.folder``.

    Annotations are checked before any picture is opened. Memory does not grow with the rows, but for ids, digests and
    hashes.

    Raises:
        DataError: the rows contradict themselves, or pictures cannot be read; lists the first of them.
    """
    classes = check_classes(component.classes())
    root, folder = _root(component, ctx)
    columns = tuple(replace(column, root=root) if column.type == "file" else column for column in component.columns())
    _check_columns(columns, type(component).__name__)
    notes, part_names = tuple(component.notes()), tuple(component.part_names())
    header = Header(classes, {root: folder}, part_names, notes, columns=columns)
    where = str(component.source() or f"{component.kind}/{type(component).__name__}")

    if component.verify == "none":
        clipped = _write_rows(component, ctx, header, ctx.folder, where)
        skipped: list[tuple[str, str]] = []
    else:
        raw = ctx.folder / ".unverified"
        clipped = _write_rows(component, ctx, header, raw, where)
        header = replace(header, skipped=tuple(ctx.left_out))
        files = Files(ctx.folder / folder, component.verify, header, where)
        header, more = files.verify(raw, ctx, skip=component.unreadable == "skip")
        clipped += more
        skipped = files.unreadable
        shutil.rmtree(raw)

    done = cut_train(component, ctx)
    if clipped:
        reached = (
            "box reached over the edge of its picture and was"
            if clipped == 1
            else "boxes reached over the edge of their pictures and were"
        )
        ctx.warn(f"{clipped:,} {reached} clipped to it.")
    if ctx.left_out:
        were = "file that may be a picture was" if len(ctx.left_out) == 1 else "files that may be pictures were"
        ctx.warn(f"{len(ctx.left_out):,} {were} left out: {summary(ctx.left_out)}.")
    if skipped:
        path, reason = skipped[0]
        were = "picture could not be read and was" if len(skipped) == 1 else "pictures could not be read and were"
        ctx.warn(f"{len(skipped):,} {were} left out, such as {path}: {reason}.")
    _count(ctx, classes, len(ctx.left_out) + len(skipped), done)
    report_duplicates(component.verify, ctx)


def _check_columns(columns: Sequence[Column], reader: str) -> None:
    """Raises PluginError where a reader declares further columns that cannot be."""
    names = [column.name for column in columns]
    for name in names:
        if name in SCHEMA.names or names.count(name) > 1:
            what = "which every data set has" if name in SCHEMA.names else "twice"
            raise PluginError(f"columns() declares {name}, {what}", where=reader, hint="Name it otherwise.")


def _root(component: DatasetReader, ctx: StepContext) -> tuple[str, Path]:
    """The name and the folder of what paths are relative to. The name depends on content alone, not on the place."""
    source = component.source()
    if source is not None and not source.is_dir():
        raise DataError("the folder of this data set is missing", where=str(source))
    # The key is a digest of the content; a reader that is driven by hand, as in a suite, has none.
    told = ctx.key or digest_of([type(component).__qualname__, component.model_dump(mode="json"), ctx.seed])
    return (told[:16], source.resolve()) if source is not None else (f"made-{told[:16]}", Path("."))


def _write_rows(component: DatasetReader, ctx: StepContext, header: Header, folder: Path, where: str) -> int:
    """Check the reader's rows and write them; how many boxes were clipped."""
    problems, plausibility = Problems(), Plausibility()
    clipped = 0
    (root,) = header.roots
    rows = component.batches(ctx)
    with DatasetWriter(folder, header, base=ctx.folder) as writer:
        for given in rows if rows is not None else to_batches(component.samples(ctx), root, header.columns):
            for start in range(0, given.num_rows, BATCH):
                batch = conform(given.slice(start, BATCH), root, header.columns)
                check_rows(batch, len(header.classes), problems)
                if component.verify == "none":
                    plausibility.add(batch)
                batch, moved = check_boxes(batch, len(header.classes), problems, sized=component.verify == "none")
                clipped += moved
                if not problems.count:
                    writer.write(batch)
        writer.header = replace(header, skipped=tuple(ctx.left_out))
    if not problems.count:
        check_unique(_column(folder, "id"), problems)
    hint = plausibility.hint() or "Correct them, or the reader that made them."
    problems.raise_if_any("the annotations contradict themselves", where, hint)
    plausibility.raise_if_impossible(where)
    for remark in plausibility.remarks():
        ctx.warn(remark)
    if not writer.rows:
        raise DataError("the data set has no samples", where=where)
    return clipped


def _column(folder: Path, name: str) -> pa.ChunkedArray:
    return pq.read_table(folder / "samples.parquet", columns=[name]).column(name)


def _count(ctx: StepContext, classes: tuple[str, ...], skipped: int, done: Mapping[str, str]) -> None:
    """Samples by split, classes, skipped pictures; a warning for classes that cannot be learned or tested.

    Args:
        done: what made a split what it is, in words; nothing where it is as it was read.
    """
    table = pq.read_table(ctx.folder / "samples.parquet", columns=["label", "split"])
    splits = table.column("split").cast(pa.string())
    for split in SPLITS:
        labels = table.column("label").filter(pc.equal(splits, split)).to_numpy()
        if len(labels) or split != "val":
            ctx.metric("samples", float(len(labels)), split=split, note=done.get(split, ""))
        absent = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
        if len(absent) and (split == "train" or (split == "test" and len(labels))):
            names = ", ".join(classes[index] for index in absent[:5]) + (", …" if len(absent) > 5 else "")
            ctx.warn(f"{len(absent):,} of {len(classes):,} classes have no {split} sample: {names}.")
    _count_boxless(ctx)
    ctx.metric("classes", float(len(classes)))
    ctx.metric("skipped", float(skipped), note="pictures that could not be read" if skipped else "")


def _count_boxless(ctx: StepContext) -> None:
    """Pictures without an object, and pictures that nobody annotated, where others are annotated."""
    known: dict[str, list[np.ndarray[Any, Any]]] = {split: [] for split in SPLITS}
    empty: dict[str, list[np.ndarray[Any, Any]]] = {split: [] for split in SPLITS}
    with pq.ParquetFile(ctx.folder / "samples.parquet") as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=["split", "boxes", "empty"]):
            splits = np.asarray(batch.column("split").cast(pa.string()))
            for split in SPLITS:
                known[split].append(annotated(batch)[splits == split])
                empty[split].append(batch.column("empty").to_numpy(zero_copy_only=False)[splits == split])
    counts = {split: (np.concatenate(known[split]), np.concatenate(empty[split])) for split in SPLITS}
    if not any(of.any() for of, _ in counts.values()):
        return
    for split, (of, without) in counts.items():
        if without.any():
            note = "somebody looked and there is no object: what a detector finds there is wrong"
            ctx.metric("empty", float(without.sum()), split=split, n=len(of), note=note)
        if not of.all():
            note = "nobody looked for objects: no detector learns from them or is measured on them"
            ctx.metric("not_annotated", float((~of).sum()), split=split, n=len(of), note=note)
