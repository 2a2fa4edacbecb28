"""Has a generator learn from the real pictures of train, and saves what that gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from fgic_core.data.dataset import Dataset
from fgic_core.data.rows import only_columns
from fgic_core.errors import DataError, PluginError
from fgic_core.kinds.generator.contract import PER_CLASS, FittedGenerator, Generator
from fgic_core.kinds.generator.curve import Curve
from fgic_core.kinds.generator.features import extractor_of
from fgic_core.kinds.generator.filters import check_classes
from fgic_core.kinds.generator.reference import Numbers
from fgic_core.kinds.generator.ruler import sampled
from fgic_core.steps.context import StepContext
from fgic_core.steps.lesson import MAIN, Lesson
from fgic_core.steps.validation import resampled

if TYPE_CHECKING:
    from fgic_core.kinds.classifier.model import Model

#: The columns of a row that learning reads: a picture, what is on it, and where.
READS = frozenset(
    (
        *("id", "root", "path", "label", "split", "width", "height", "boxes"),
        *("part_mask", "region", "masked", "origin", "parents", "digest"),
    )
)
_NAMED = 5


def lessons(component: Generator, dataset: Dataset, ctx: StepContext) -> list[Lesson]:
    """The training of a generator; none where nothing is to be made.

    Raises:
        DataError: see `check`.
    """
    data = learned_from(component, dataset)
    if idle(component, data):
        return []
    check(component, data, ctx.inputs.get("model"))
    return [Lesson(MAIN, data)]


def learned_from(component: Generator, dataset: Dataset) -> Dataset:
    """The rows that a generator learns from, whatever its options: the real ones of the train split."""
    real = real_of(dataset.split("train"))
    return Dataset(real.header, only_columns(real.table, READS))


def idle(component: Generator, data: Dataset) -> str:
    """Why nothing is to be made, so that nothing need be learned; empty where something is."""
    if component.train_samples == "real":
        return "train_samples is real"
    return "" if amounts(component, counts_of(data)).any() else "the amounts come to 0 in every class"


def amounts(component: Generator, counts: Numbers) -> Numbers:
    """How many pictures to make of each class, given how many real ones it has."""
    if component.ratio is not None:
        return np.asarray(np.rint(counts * component.ratio), dtype=np.int64)
    if component.top_up is not None:
        return np.asarray(np.maximum(component.top_up - counts, 0), dtype=np.int64)
    return np.full(len(counts), component.per_class or PER_CLASS, dtype=np.int64)


def check(component: Generator, data: Dataset, model: Model | None) -> None:
    """See, before anything is trained, whether what was learned could be used.

    Raises:
        DataError: there is nothing to learn from, or not in a class to make pictures of; the classifier of the filter
            tells other classes apart.
    """
    counts = counts_of(data)
    if not counts.sum():
        raise DataError(
            "the data set has no real train sample for a generator to learn from",
            hint="After a generator with train_samples: synthetic there is none: write from: "
            "{dataset: a-step-before-it}.",
        )
    empty = np.flatnonzero((counts == 0) & (amounts(component, counts) > 0))
    if len(empty):
        raise DataError(
            f"{named(data.classes, empty)} of {len(counts)} classes to make pictures of "
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
    fitted = component.for_fit().fit(resampled(data, ctx), ctx)
    if not isinstance(fitted, FittedGenerator):
        raise PluginError(f"fit gave a {type(fitted).__name__}, not a FittedGenerator", where=ctx.uses)
    folder = ctx.folder / "component"
    folder.mkdir()
    component.save(fitted, folder)
    _check_saved(fitted, component.load(folder, ctx.device), int(data.labels[0]), component.resolution, ctx.uses)
    curve.grids.keep(ctx.folder)
    return fitted


def _check_saved(ours: FittedGenerator, theirs: FittedGenerator, label: int, side: int, uses: str) -> None:
    """See that a label and a seed decide a picture, and that what was saved and loaded makes the same."""
    one, again, other = (sampled(each, [label], [0], side, uses).astype(int) for each in (ours, ours, theirs))
    if np.abs(one - again).max() > 1:
        raise PluginError("sample gave two pictures for one label and seed", where=uses, hint="The seeds alone decide.")
    if np.abs(one - other).max() > 1:
        raise PluginError("the generator makes other pictures after save and load", where=uses)


def counts_of(data: Dataset) -> Numbers:
    """How many rows there are of each class, (classes,)."""
    return np.bincount(data.labels, minlength=len(data.classes))


def real_of(data: Dataset) -> Dataset:
    """The rows of real pictures."""
    return data.where(pc.equal(data.table.column("origin").cast("string"), "real"))


def named(classes: tuple[str, ...], labels: Numbers) -> str:
    """``3 (a, b, …)``: how many, and the first of their names."""
    names = ", ".join(classes[label] for label in labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
    return f"{len(labels)} ({names})"
