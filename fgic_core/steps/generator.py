"""Drives a Generator: trains it on real train pictures, writes what it makes into train alone, and measures it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.dataset import BATCH, Dataset, DatasetWriter
from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.generator import PER_CLASS, FittedGenerator, Generator
from fgic_core.steps import generator_trainings as trainings
from fgic_core.steps.context import StepContext
from fgic_core.steps.distances import nearest
from fgic_core.steps.features import Extractor, extractor_of
from fgic_core.steps.generator_curve import Curve, check_sight
from fgic_core.steps.generator_filters import FILTERS, Filters, check_classes
from fgic_core.steps.generator_maker import MADE, Maker, rows
from fgic_core.steps.generator_reference import Numbers, Reference, pick_like
from fgic_core.steps.generator_ruler import Ruler, sampled
from fgic_core.steps.statistics import proportion

if TYPE_CHECKING:
    from fgic_core.data.model import Model

#: With fewer real pictures in a class, a generator can do little but repeat them.
FEW = 10
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
    dataset, model = inputs["dataset"], inputs.get("model")
    data = learned_from(component, dataset)
    if idle(component, data):
        use(component, None, dataset, ctx)
        return
    check(component, data, model)
    note = "by a generator that another step has trained"
    if not trainings.take(ctx):
        note = ""
        fit(component, data, ctx)
        trainings.keep(ctx)
    fitted = component.load(ctx.folder / "component", ctx.device)
    use(component, fitted, dataset, ctx, model, note)


def learned_from(component: Generator, dataset: Dataset) -> Dataset:
    """The rows that a generator learns from, whatever its options: the real ones of the train part."""
    return _real(dataset.split("train"))


def idle(component: Generator, data: Dataset) -> str:
    """Why nothing is to be made, so that nothing need be learned; empty where something is."""
    if component.keep == "real":
        return "keep is real"
    return "" if amounts(component, _counts(data)).any() else "the amounts come to 0 in every class"


def check(component: Generator, data: Dataset, model: Model | None) -> None:
    """See, before anything is trained, whether what was learned could be used.

    Raises:
        DataError: there is nothing to learn from, or not in a class to make pictures of; the classifier of the filter
            tells other classes apart.
    """
    counts = _counts(data)
    if not counts.sum():
        raise DataError(
            "the data set has no real train sample for a generator to learn from",
            hint="After a generator with keep: synthetic there is none: write from: {dataset: a-step-before-it}.",
        )
    empty = np.flatnonzero((counts == 0) & (amounts(component, counts) > 0))
    if len(empty):
        raise DataError(
            f"{_named(data.classes, empty)} of {len(counts)} classes to make pictures of "
            f"{'has' if len(empty) == 1 else 'have'} no real train picture to learn from",
            hint="Give them some, or take the classes out of the data set.",
        )
    check_classes(model, data.classes)


def fit(component: Generator, data: Dataset, ctx: StepContext) -> FittedGenerator:
    """Have the generator learn from these rows, and write ``component/`` and ``grids/``.

    Args:
        component: the recipe; its use-only options play no part.
        data: as `learned_from` gives it.
        ctx: of the step.

    Raises:
        PluginError: the generator breaks its contract.
    """
    curve = Curve(component.for_fit(), data, extractor_of(component, ctx.device), ctx)
    ctx.measure_by(curve.measure, snapshots=False)
    fitted = component.for_fit().fit(data, ctx)
    if not isinstance(fitted, FittedGenerator):
        raise PluginError(f"fit gave a {type(fitted).__name__}, not a FittedGenerator", where=ctx.uses)
    folder = ctx.folder / "component"
    folder.mkdir()
    component.save(fitted, folder)
    _check_saved(fitted, component.load(folder, ctx.device), int(data.labels[0]), component.resolution, ctx.uses)
    curve.grids.keep(ctx.folder)
    return fitted


def use(
    component: Generator,
    fitted: FittedGenerator | None,
    dataset: Dataset,
    ctx: StepContext,
    model: Model | None = None,
    note: str = "",
) -> None:
    """Make the pictures that are asked for, drop those that the filters refuse, write the others, and measure them.

    Args:
        component: says how many, and which.
        fitted: makes them; None where nothing is to be made (`idle`).
        dataset: all of it.
        ctx: of the step.
        model: the classifier for `Generator.min_confidence`.
        note: what is to be said of the training beside the number of pictures.
    """
    for remark in dataset.header.notes:
        ctx.warn(remark)
    train = learned_from(component, dataset)
    if fitted is None:
        _write_kept(component, dataset, idle(component, train), ctx)
        return
    counts = _counts(train)
    _warn_of_few(dataset, counts, ctx)
    extractor = extractor_of(component, ctx.device)
    if extractor is None and component.fid_samples:
        ctx.warn("There is no FID, and nothing like it: set fid_weights or fid_pretrained.")
    reference = Reference.of(train, counts, component, extractor, ctx)
    check_sight(component, reference)
    filters = Filters(component, reference, extractor, model, dataset.classes)
    ruler = Ruler(component, reference, extractor, counts, ctx)
    _describe(component, dataset, ctx)
    root = _root(component, dataset, ctx)
    header = replace(dataset.header, roots={**dataset.header.roots, root: Path()})
    wanted = amounts(component, counts)
    maker = Maker(component, fitted, filters, wanted, ruler.wanted(), set(train.ids), dataset.classes, root, ctx)
    with DatasetWriter(ctx.folder, header) as writer:
        real = _keep(component, dataset, writer)
        for written in maker.make():
            writer.write(rows(written, root))
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


def _counts(data: Dataset) -> Numbers:
    """How many rows there are of each class, (classes,)."""
    return np.bincount(data.labels, minlength=len(data.classes))


def _warn_of_few(dataset: Dataset, counts: Numbers, ctx: StepContext) -> None:
    """Of classes that are likely to be learned by heart."""
    few = np.flatnonzero((counts < FEW) & (counts > 0))
    if len(few):
        ctx.warn(
            f"{_named(dataset.classes, few)} of {len(counts)} classes {'has' if len(few) == 1 else 'have'} fewer than "
            f"{FEW} real train pictures: what is made of so few is likely to repeat them."
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


def _check_saved(ours: FittedGenerator, theirs: FittedGenerator, label: int, side: int, uses: str) -> None:
    """See that a label and a seed decide a picture, and that what was saved and loaded makes the same."""
    one, again, other = (sampled(each, [label], [0], side, uses).astype(int) for each in (ours, ours, theirs))
    if np.abs(one - again).max() > 1:
        raise PluginError("sample gave two pictures for one label and seed", where=uses, hint="The seeds alone decide.")
    if np.abs(one - other).max() > 1:
        raise PluginError("the generator makes other pictures after save and load", where=uses)


def _describe(component: Generator, dataset: Dataset, ctx: StepContext) -> None:
    """Say in ``component.json`` whose generator lies beside it."""
    about = {"uses": ctx.uses, "options": component.model_dump(mode="json"), "classes": list(dataset.classes)}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (ctx.folder / "component.json").write_text(text, encoding="utf-8")


def _keep(component: Generator, dataset: Dataset, writer: DatasetWriter) -> int:
    """Write the samples that go on; how many real train samples are among them."""
    split, origin = (dataset.table.column(name).cast("string") for name in ("split", "origin"))
    real = pc.equal(origin, "real")
    dropped = {"both": pa.scalar(False), "synthetic": real, "real": pc.invert(real)}[component.keep]
    kept = dataset.where(pc.invert(pc.and_(pc.equal(split, "train"), dropped)))
    for batch in kept.table.to_batches(max_chunksize=BATCH):
        writer.write(batch)
    return len(_real(kept.split("train")))


def _write_kept(component: Generator, dataset: Dataset, why: str, ctx: StepContext) -> None:
    """Write what goes on where nothing is made, and why that is so.

    Raises:
        DataError: synthetic pictures alone should go on.
    """
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
