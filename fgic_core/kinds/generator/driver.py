"""Makes pictures by what a generator learned (`fgic_core.kinds.generator.fit`), for train alone, and measures them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.dataset import BATCH, Dataset, DatasetWriter
from fgic_core.errors import DataError
from fgic_core.kinds.generator.contract import Generator
from fgic_core.kinds.generator.curve import check_sight
from fgic_core.kinds.generator.features import Extractor, extractor_of
from fgic_core.kinds.generator.filters import FILTERS, Filters
from fgic_core.kinds.generator.fit import amounts, counts_of, fit, idle, learned_from, lessons, named, real_of
from fgic_core.kinds.generator.reference import Numbers, Reference, pick_like
from fgic_core.kinds.generator.ruler import Ruler
from fgic_core.kinds.generator.sampling import MADE, Sampler, rows
from fgic_core.metrics.distances import nearest
from fgic_core.metrics.statistics import proportion
from fgic_core.steps.context import StepContext
from fgic_core.steps.lesson import MAIN, run_lessons

#: With fewer real pictures in a class, a generator can do little but repeat them.
FEW = 10


def run(component: Generator, inputs: Mapping[str, Any], ctx: StepContext) -> None:
    """Learn and use, one after the other; see `fgic_core.steps.lesson.run_lessons`."""
    ctx.inputs = inputs
    run_lessons(lessons(component, inputs["dataset"], ctx), fit, use, component, ctx)


def use(component: Generator, inputs: Mapping[str, Any], ctx: StepContext, learned: Mapping[str, Path]) -> None:
    """Write the input's data set with synthetic train samples, as `Generator.train_samples` says, and measure them.

    Beside the rows, ``images/`` has the pictures, each with its origin inside; ``made.parquet`` (`MADE`) the seed of
    each and what was found of it; ``held_out.parquet`` how near unseen real pictures are to those of train; ``grids/``
    pictures over the training.

    Args:
        component: says how many are made, and which go on.
        inputs: ``dataset``, all of it; perhaps ``model``, the classifier for `Generator.min_confidence`.
        ctx: of the step.
        learned: the folder that `fgic_core.kinds.generator.fit.fit` wrote into; empty where nothing is to be made.

    Raises:
        DataError: the filters let nothing through.
        PluginError: the generator breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    for remark in dataset.header.notes:
        ctx.warn(remark)
    train = learned_from(component, dataset)
    if MAIN not in learned:
        _write_kept(component, dataset, idle(component, train), ctx)
        return
    folder = learned[MAIN]
    if folder != ctx.folder and (folder / "grids").is_dir():
        shutil.copytree(folder / "grids", ctx.folder / "grids")
    fitted = component.load(folder / "component", ctx.device)
    counts = counts_of(train)
    _warn_of_few(dataset, counts, ctx)
    extractor = extractor_of(component, ctx.device)
    if extractor is None and component.fid_samples:
        ctx.warn("There is no FID, and nothing like it: set fid_weights or fid_pretrained.")
    reference = Reference.of(train, counts, component, extractor, ctx)
    check_sight(component, reference)
    filters = Filters(component, reference, extractor, inputs.get("model"), dataset.classes)
    ruler = Ruler(component, reference, extractor, counts, ctx)
    _describe(component, dataset, ctx)
    root = ctx.own_root(dataset)
    header = replace(dataset.header, roots={**dataset.header.roots, root: Path()})
    wanted = amounts(component, counts)
    sampler = Sampler(component, fitted, filters, wanted, ruler.wanted(), set(train.ids), dataset.classes, root, ctx)
    with DatasetWriter(ctx.folder, header) as writer:
        real = _keep(component, dataset, writer)
        for written in sampler.make():
            writer.write(rows(written, root))
    ctx.metric("synthetic", len(sampler.about))
    ctx.metric("real", real)
    _report(sampler, dataset.classes, reference, ctx)
    held_out = _held_out(dataset, train, component, extractor, ctx)
    _write_found(sampler, reference, held_out, ctx)
    ruler.finish(sampler.found, held_out, filters.active)


def _warn_of_few(dataset: Dataset, counts: Numbers, ctx: StepContext) -> None:
    """Of classes that are likely to be learned by heart."""
    few = np.flatnonzero((counts < FEW) & (counts > 0))
    if len(few):
        ctx.warn(
            f"{named(dataset.classes, few)} of {len(counts)} classes {'has' if len(few) == 1 else 'have'} fewer than "
            f"{FEW} real train pictures: what is made of so few is likely to repeat them."
        )


def _describe(component: Generator, dataset: Dataset, ctx: StepContext) -> None:
    """Say in ``component.json`` whose generator lies beside it."""
    about = {"uses": ctx.uses, "classes": list(dataset.classes)}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (ctx.folder / "component.json").write_text(text, encoding="utf-8")


def _keep(component: Generator, dataset: Dataset, writer: DatasetWriter) -> int:
    """Write the samples that go on; how many real train samples are among them."""
    split, origin = (dataset.table.column(name).cast("string") for name in ("split", "origin"))
    real = pc.equal(origin, "real")
    dropped = {"both": pa.scalar(False), "synthetic": real, "real": pc.invert(real)}[component.train_samples]
    kept = dataset.where(pc.invert(pc.and_(pc.equal(split, "train"), dropped)))
    for batch in kept.table.to_batches(max_chunksize=BATCH):
        writer.write(batch)
    return len(real_of(kept.split("train")))


def _write_kept(component: Generator, dataset: Dataset, why: str, ctx: StepContext) -> None:
    """Write what goes on where nothing is made, and why that is so.

    Raises:
        DataError: synthetic pictures alone should go on.
    """
    if component.train_samples == "synthetic":
        hint = "Raise ratio." if component.ratio is not None else "Raise top_up, or give per_class."
        raise DataError(f"synthetic pictures alone should go on, and none is to be made: {why}", hint=hint)
    if component.train_samples == "both":
        ctx.warn(f"Nothing was trained and no picture made: {why}.")
    with DatasetWriter(ctx.folder, dataset.header) as writer:
        real = _keep(component, dataset, writer)
    ctx.metric("synthetic", 0, note=f"nothing was made: {why}")
    ctx.metric("real", real)


def _report(sampler: Sampler, classes: tuple[str, ...], reference: Reference, ctx: StepContext) -> None:
    """How many pictures the filters dropped, where that left too few, and how many repeat a train picture.

    Raises:
        DataError: the filters let nothing through.
    """
    dropped = sum(sampler.refused.values())
    said = ", ".join(f"{sampler.refused[name]:,} by {name}" for name in FILTERS if name in sampler.refused)
    if sampler.filters.active:
        ctx.metric("refused", dropped, n=sampler.looked, note=said or "none")
    short = np.flatnonzero(sampler.missing)
    if len(short):
        if not sampler.about:
            raise DataError(
                f"the filters dropped every picture of {sampler.looked:,} made, to be written or measured: {said}",
                hint="Loosen them, or train longer.",
            )
        ctx.warn(
            f"{int(sampler.missing.sum()):,} pictures of {named(classes, short)} of {len(classes)} classes are "
            f"missing: the filters dropped what was made in {sampler.component.max_tries} tries."
        )
    if sampler.about:
        copies = sum(told["copy_of"] is not None for told in sampler.about)
        share = proportion(copies, len(sampler.about))
        note = f"written pictures that look the same as one of {len(reference.ids):,} train pictures (perceptual hash)"
        ctx.metric("copies", note=note, **share._asdict())


def _held_out(
    dataset: Dataset, train: Dataset, component: Generator, extractor: Extractor | None, ctx: StepContext
) -> Reference | None:
    """Real pictures that nothing was learned from, as many as are measured; None where nothing is."""
    if extractor is None or not component.fid_samples:
        return None
    for name in ("test", "val"):
        held = real_of(dataset.split(name))
        if len(held):
            counts = np.bincount(train.labels, minlength=len(train.classes))
            some = held.take(pick_like(held.labels, counts, component.fid_samples, ctx.rng("held out")))
            return Reference.of(some, counts, component, extractor, ctx)
    return None


def _write_found(sampler: Sampler, reference: Reference, held_out: Reference | None, ctx: StepContext) -> None:
    """What was found of each picture that was written, and how near unseen real pictures are to those of train."""
    pq.write_table(pa.Table.from_pylist(sampler.about, schema=MADE), ctx.folder / "made.parquet", compression="zstd")
    if held_out is None or held_out.features is None or reference.features is None:
        return
    distance, place = nearest(held_out.features, reference.features)
    columns = {
        "id": pa.array(held_out.ids, pa.string()),
        "nearest": pa.array([reference.ids[int(row)] for row in place], pa.string()),
        "nearest_distance": pa.array(distance, pa.float32()),
    }
    pq.write_table(pa.table(columns), ctx.folder / "held_out.parquet", compression="zstd")
