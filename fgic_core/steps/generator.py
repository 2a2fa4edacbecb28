"""Drives a Generator: trains it on real train pictures, writes what it makes into train alone, and measures it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.artifact import Point
from fgic_core.data.dataset import BATCH, Dataset, DatasetWriter
from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.generator import PER_CLASS, Generator
from fgic_core.steps.context import StepContext
from fgic_core.steps.distances import nearest
from fgic_core.steps.features import Extractor, extractor_of
from fgic_core.steps.generator_filters import FILTERS, Filters
from fgic_core.steps.generator_maker import MADE, Maker, rows
from fgic_core.steps.generator_reference import Numbers, Reference, pick_like
from fgic_core.steps.generator_ruler import Ruler, sampled
from fgic_core.steps.statistics import proportion

#: With fewer real pictures in a class, a generator can do little but repeat them.
FEW = 10
#: With less than that share of different features among different pictures, an extractor is blind.
SIGHT = 0.9
_NAMED = 5


def run(component: Generator, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write the input's data set with synthetic train samples, as `Generator.keep` says.

    Beside the rows, ``images/`` has the pictures, each with its origin inside; ``made.parquet`` (`MADE`) the seed of
    each and what was found of it; ``held_out.parquet`` how near unseen real pictures are to those of train; ``grids/``
    pictures over the training; ``component/`` the generator.

    Raises:
        DataError: there is no real train picture of a class to learn from, or the filters let nothing through.
        PluginError: the generator breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    resumed, ctx.warnings = ctx.warnings, []  # those of a training that was interrupted come after our own
    for note in dataset.header.notes:
        ctx.warn(note)
    train = _real(dataset.split("train"))
    counts = np.bincount(train.labels, minlength=len(dataset.classes))
    wanted = amounts(component, counts)
    if component.keep == "real" or not wanted.any():
        _write_kept(component, dataset, ctx)
        return
    _check(dataset, counts, wanted, ctx)
    extractor = extractor_of(component, ctx.device)
    if extractor is None and component.fid_samples:
        ctx.warn("There is no FID, and nothing like it: set fid_weights or fid_pretrained.")
    reference = Reference.of(train, counts, component, extractor, ctx)
    _check_sight(component, reference)
    filters = Filters(component, reference, extractor, inputs.get("model"), dataset.classes)
    ruler = Ruler(component, reference, extractor, counts, ctx)
    trained = _train(component, train, ruler, resumed, ctx)
    _check_saved(component, dataset, ctx)
    root = _root(component, dataset, ctx)
    header = replace(dataset.header, roots={**dataset.header.roots, root: Path()})
    maker = Maker(component, filters, wanted, ruler.wanted(), set(train.ids), dataset.classes, root, ctx)
    with DatasetWriter(ctx.folder, header) as writer:
        real = _keep(component, dataset, writer)
        for written in maker.make():
            writer.write(rows(written, root))
    note = "" if trained else "by a generator that another step has trained"
    ctx.metric("synthetic", len(maker.about), part="train", note=note)
    ctx.metric("real", real, part="train")
    _report(maker, dataset.classes, reference, ctx)
    held_out = _held_out(dataset, train, component, extractor, ctx)
    _write_found(maker, reference, held_out, ctx)
    ruler.finish(maker.found, held_out, filters.active)


def amounts(component: Generator, counts: Numbers) -> Numbers:
    """How many pictures to make of each class, given how many real ones it has."""
    if component.ratio is not None:
        return np.asarray(np.rint(counts * component.ratio), dtype=np.int64)
    if component.top_up is not None:
        return np.asarray(np.maximum(component.top_up - counts, 0), dtype=np.int64)
    return np.full(len(counts), component.per_class or PER_CLASS, dtype=np.int64)


def _real(data: Dataset) -> Dataset:
    return data.where(pc.equal(data.table.column("origin").cast("string"), "real"))


def _check(dataset: Dataset, counts: Numbers, wanted: Numbers, ctx: StepContext) -> None:
    """That there is something to learn from, and little reason to fear that it is learned by heart."""
    if not counts.sum():
        raise DataError(
            "the data set has no real train sample for a generator to learn from",
            hint="After a generator with keep: synthetic there is none: write from: {dataset: a-step-before-it}.",
        )
    empty = np.flatnonzero((counts == 0) & (wanted > 0))
    if len(empty):
        raise DataError(
            f"{_named(dataset.classes, empty)} of {len(counts)} classes to make pictures of "
            f"{'has' if len(empty) == 1 else 'have'} no real train picture to learn from",
            hint="Give them some, or take the classes out of the data set.",
        )
    few = np.flatnonzero((counts < FEW) & (counts > 0))
    if len(few):
        ctx.warn(
            f"{_named(dataset.classes, few)} of {len(counts)} classes {'has' if len(few) == 1 else 'have'} fewer than "
            f"{FEW} real train pictures: what is made of so few is likely to repeat them."
        )


def _check_sight(component: Generator, reference: Reference) -> None:
    """That the extractor tells real pictures apart; else every figure would be good."""
    if reference.features is None or reference.distinct >= SIGHT:
        return
    side = component.fid_size or component.resolution
    raise PluginError(
        f"fid_model sees no difference between many real pictures: only {reference.distinct:.0%} of them have features "
        "of their own",
        where=component.fid_model,
        hint=f"Raise fid_size (pictures come to it at {side} pixels), or name another fid_model.",
    )


def _named(classes: tuple[str, ...], labels: Numbers) -> str:
    """``3 (a, b, …)``: how many, and the first of their names."""
    names = ", ".join(classes[label] for label in labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
    return f"{len(labels)} ({names})"


def _root(component: Generator, dataset: Dataset, ctx: StepContext) -> str:
    """The name of the folder of the pictures, by content alone; another one where the data set has it already."""
    # The key tells steps of equal options on different inputs apart: pictures are looked up by the root's name.
    identity = repr((ctx.key, ctx.uses, ctx.seed, component.model_dump_json()))
    for turn in range(len(dataset.header.roots) + 1):
        digest = hashlib.blake2b(f"{identity}{turn or ''}".encode(), digest_size=8).hexdigest()
        if f"made-{digest}" not in dataset.header.roots:
            break
    return f"made-{digest}"


def _train(component: Generator, train: Dataset, ruler: Ruler, resumed: list[str], ctx: StepContext) -> bool:
    """Train the generator, or take what a step with the same training left; save it.

    What it learned, its curves, its warnings and its grids are the same either way.

    Returns:
        Whether it was trained.
    """
    folder = ctx.folder / "component"
    kept = ctx.trained
    if kept is not None and (record := _read(kept)) is not None:
        shutil.copytree(kept / "component", folder)
        component.load(folder, ctx.device)
        ctx.curves = []
        for point in record["curves"]:
            ctx.add_point(Point(**point))
        for warning in record["warnings"]:
            ctx.warn(warning)
        if (kept / "grids").is_dir():
            shutil.copytree(kept / "grids", ctx.folder / "grids")
        return False
    before = list(ctx.warnings)
    ctx.warnings += [warning for warning in resumed if warning not in before]
    ctx.measure_by(ruler.epoch)
    component.fit(train, ctx)
    folder.mkdir()
    component.save(folder)
    ruler.grids.keep(ctx.folder)
    if kept is not None and ctx.curves:  # what trained nothing is quickly had again
        _keep_training(kept, ctx, [warning for warning in ctx.warnings if warning not in before])
    return True


def _read(kept: Path) -> dict[str, Any] | None:
    """What is known of a training that is kept; None where there is none, or it is damaged."""
    try:
        record: dict[str, Any] = json.loads((kept / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not {"curves", "warnings", "files"} <= record.keys():
        return None
    found = {name: (kept / name).stat().st_size if (kept / name).is_file() else -1 for name in record["files"]}
    return record if found == record["files"] else None


def _keep_training(kept: Path, ctx: StepContext, warnings: list[str]) -> None:
    """Copy the training to where other steps find it, whole or not at all."""
    fresh = kept.with_suffix(".new")  # whoever gets here holds the lock of the training
    shutil.rmtree(fresh, ignore_errors=True)
    for name in ("component", "grids"):
        if (ctx.folder / name).is_dir():
            shutil.copytree(ctx.folder / name, fresh / name)
    files = {str(file.relative_to(fresh)): file.stat().st_size for file in sorted(fresh.rglob("*")) if file.is_file()}
    record = {"curves": [point.model_dump() for point in ctx.curves], "warnings": warnings, "files": files}
    (fresh / "training.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    shutil.rmtree(kept, ignore_errors=True)
    fresh.rename(kept)


def _check_saved(component: Generator, dataset: Dataset, ctx: StepContext) -> None:
    """Say whose generator it is, and see that loading it makes the same pictures."""
    folder = ctx.folder / "component"
    options = component.model_dump(mode="json")
    about = {"uses": ctx.uses, "options": options, "classes": list(dataset.classes)}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (ctx.folder / "component.json").write_text(text, encoding="utf-8")
    fresh = type(component).model_validate(options, context={"base": folder, "trusted": True})
    fresh.load(folder, ctx.device)
    label = int(_real(dataset.split("train")).labels[0])
    ours, again, theirs = (sampled(one, [label], [0], ctx.uses).astype(int) for one in (component, component, fresh))
    if np.abs(ours - again).max() > 1:
        raise PluginError(
            "sample gave two pictures for one label and seed", where=ctx.uses, hint="The seeds alone decide."
        )
    if np.abs(ours - theirs).max() > 1:
        raise PluginError("the generator makes other pictures after save and load", where=ctx.uses)


def _keep(component: Generator, dataset: Dataset, writer: DatasetWriter) -> int:
    """Write the samples that go on; how many real train samples are among them."""
    split, origin = (dataset.table.column(name).cast("string") for name in ("split", "origin"))
    real = pc.equal(origin, "real")
    dropped = {"both": pa.scalar(False), "synthetic": real, "real": pc.invert(real)}[component.keep]
    kept = dataset.where(pc.invert(pc.and_(pc.equal(split, "train"), dropped)))
    for batch in kept.table.to_batches(max_chunksize=BATCH):
        writer.write(batch)
    return len(_real(kept.split("train")))


def _write_kept(component: Generator, dataset: Dataset, ctx: StepContext) -> None:
    """Write what goes on where nothing is made.

    Raises:
        DataError: synthetic pictures alone should go on.
    """
    why = "keep is real" if component.keep == "real" else "the amounts come to 0 in every class"
    if component.keep == "synthetic":
        hint = "Raise ratio." if component.ratio is not None else "Raise top_up, or give per_class."
        raise DataError(f"synthetic pictures alone should go on, and none is to be made: {why}", hint=hint)
    if component.keep == "both":
        ctx.warn(f"Nothing was trained and no picture made: {why}.")
    with DatasetWriter(ctx.folder, dataset.header) as writer:
        real = _keep(component, dataset, writer)
    ctx.metric("synthetic", 0, part="train", note=f"nothing was made: {why}")
    ctx.metric("real", real, part="train")


def _report(maker: Maker, classes: tuple[str, ...], reference: Reference, ctx: StepContext) -> None:
    """How many pictures the filters dropped, where that left too few, and how many repeat a train picture.

    Raises:
        DataError: the filters let nothing through.
    """
    dropped = sum(maker.refused.values())
    said = ", ".join(f"{maker.refused[name]:,} by {name}" for name in FILTERS if name in maker.refused)
    if maker.filters.active:
        ctx.metric("refused", dropped, part="synthetic", n=maker.looked, note=said or "none")
    short = np.flatnonzero(maker.missing)
    if len(short):
        if not maker.about:
            raise DataError(
                f"the filters dropped every picture of {maker.looked:,} made, to be written or measured: {said}",
                hint="Loosen them, or train longer.",
            )
        ctx.warn(
            f"{int(maker.missing.sum()):,} pictures of {_named(classes, short)} of {len(classes)} classes are missing: "
            f"the filters dropped what was made in {maker.component.max_tries} tries."
        )
    if maker.about:
        copies = sum(told["copy_of"] is not None for told in maker.about)
        share = proportion(copies, len(maker.about))
        note = f"written pictures that look the same as one of {len(reference.ids):,} train pictures (perceptual hash)"
        ctx.metric("copies", part="synthetic", unit="fraction", note=note, **share._asdict())


def _held_out(
    dataset: Dataset, train: Dataset, component: Generator, extractor: Extractor | None, ctx: StepContext
) -> Reference | None:
    """Real pictures that nothing was learned from, as many as are measured; None where nothing is."""
    if extractor is None or not component.fid_samples:
        return None
    for name in ("test", "val"):
        part = _real(dataset.split(name))
        if len(part):
            counts = np.bincount(train.labels, minlength=len(train.classes))
            some = part.take(pick_like(part.labels, counts, component.fid_samples, ctx.rng("held out")))
            return Reference.of(some, counts, component, extractor, ctx)
    return None


def _write_found(maker: Maker, reference: Reference, held_out: Reference | None, ctx: StepContext) -> None:
    """What was found of each picture that was written, and how near unseen real pictures are to those of train."""
    pq.write_table(pa.Table.from_pylist(maker.about, schema=MADE), ctx.folder / "made.parquet", compression="zstd")
    if held_out is None or held_out.features is None or reference.features is None:
        return
    distance, place = nearest(held_out.features, reference.features)
    columns = {
        "id": pa.array(held_out.ids, pa.string()),
        "nearest": pa.array([reference.ids[int(row)] for row in place], pa.string()),
        "nearest_distance": pa.array(distance, pa.float32()),
    }
    pq.write_table(pa.table(columns), ctx.folder / "held_out.parquet", compression="zstd")
