"""Fewer train pictures than a data set has, and the validation part that is cut first, the same for any number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.dataset import SCHEMA, Dataset, DatasetWriter
from fgic_core.data.header import Header
from fgic_core.data.rows import BATCH
from fgic_core.steps.validation import cut_val, made_from

if TYPE_CHECKING:
    from fgic_core.kinds.dataset.contract import DatasetReader
    from fgic_core.steps.context import StepContext

#: What is held out of the train pictures where `max_train_per_class` is asked for and nothing else is said: as much as
#: classifiers and detectors hold out by default.
VAL_FRACTION = 0.1
_LOOKED_AT = ["id", "label", "split", "origin", "parents", "digest"]
_NAMED = 5

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def cut_train(component: DatasetReader, ctx: StepContext) -> dict[str, str]:
    """Do to the data set in ``ctx.folder`` what the reader's `val_fraction` and `max_train_per_class` say.

    The validation part is held out first, and train rows are left out then, so that neither validation nor test depends
    on how many go on. That pictures were left out stands among the data set's notes.

    Args:
        component: the reader.
        ctx: of the step. Its seed draws the validation part (stream ``split``) and who goes on (stream ``resample``).

    Returns:
        what was done, by the split that it made.
    """
    limit, fraction = component.max_train_per_class, component.val_fraction
    if limit is None and fraction is None:
        return {}
    header = Header.read(ctx.folder)
    rows = Dataset(header, pq.read_table(ctx.folder / "samples.parquet", columns=_LOOKED_AT))
    train, done = rows.split("train"), {}
    held: set[str] = set()
    if len(rows.split("val")):
        if fraction is not None:
            ctx.warn("val_fraction changes nothing: this data set has a validation part of its own.")
    elif len(train):
        share = VAL_FRACTION if fraction is None else fraction
        train, val = cut_val(train, share, ctx)
        held = set(val.ids)
        done["val"] = f"a share of {share:g} of each class's train pictures (val_fraction)"
    kept = train.where(_first(train, limit, ctx)) if limit is not None else train
    if limit is not None:
        done["train"] = f"at most {limit:,} of each class, of {len(train):,} pictures (max_train_per_class)"
        note = f"Of {len(train):,} train pictures {len(kept):,} are used, at most {limit:,} of each class."
        header = replace(header, notes=(*header.notes, note))
        _say_fewer(train, limit, ctx)
    _rewrite(header, held, set(kept.ids), ctx)
    return done


def _first(train: Dataset, limit: int, ctx: StepContext) -> _Mask:
    """Which rows go on: the first ``limit`` of each class in an order that does not depend on ``limit``.

    Those of a smaller number are among those of a larger one. Real pictures come before made ones, and what was made
    from one that is left out is left out too. Copies may be parted: what is left out is in no part of the data set.
    """
    labels = train.labels
    real = pc.equal(train.table.column("origin").cast(pa.string()), "real").to_numpy()
    kept = np.zeros(len(train), dtype=bool)
    for label in np.unique(labels):
        rng, members = ctx.rng("fewer", int(label)), labels == label
        order = [*rng.permutation(np.flatnonzero(members & real)), *rng.permutation(np.flatnonzero(members & ~real))]
        kept[order[:limit]] = True
    return kept & ~made_from(train, ~kept)


def _say_fewer(train: Dataset, limit: int, ctx: StepContext) -> None:
    """Warn of classes that have fewer than asked for."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    few = np.flatnonzero((counts > 0) & (counts < limit))
    if len(few):
        names = ", ".join(f"{train.classes[label]} ({counts[label]})" for label in few[:_NAMED])
        more = ", …" if len(few) > _NAMED else ""
        ctx.warn(
            f"{len(few):,} of {len(counts):,} classes have fewer than {limit:,} train pictures, and all of these are "
            f"used: {names}{more}."
        )


def _rewrite(header: Header, held: set[str], kept: set[str], ctx: StepContext) -> None:
    """Write the rows again: ``held`` ones of train as validation part, of the others of train those that are kept."""
    file, every = ctx.folder / "samples.parquet", ctx.folder / ".every.parquet"
    file.replace(every)
    place, kind = SCHEMA.get_field_index("split"), SCHEMA.field("split")
    with DatasetWriter(ctx.folder, header) as writer, pq.ParquetFile(every) as rows:
        for batch in rows.iter_batches(batch_size=BATCH):
            splits, ids = batch.column("split").cast(pa.string()).to_pylist(), batch.column("id").to_pylist()
            moved = ["val" if name in held else split for split, name in zip(splits, ids, strict=True)]
            there = [split != "train" or name in kept for split, name in zip(moved, ids, strict=True)]
            batch = batch.set_column(place, kind, pa.array(moved).cast(kind.type))  # noqa: PLW2901
            writer.write(batch.filter(pa.array(there)))
    every.unlink()
