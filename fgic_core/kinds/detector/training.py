"""The splits that a detector learns from and is chosen by, the folds of cross-fitting, and what is saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fgic_core.data.boxes import with_object
from fgic_core.data.dataset import SCHEMA, Dataset
from fgic_core.errors import DataError, PluginError
from fgic_core.kinds.component import use_only
from fgic_core.kinds.detector.contract import SEEN
from fgic_core.kinds.detector.rows import among, digests_of, empty_of, seen_of
from fgic_core.kinds.detector.ruler import classes_of, detect
from fgic_core.steps.validation import cut_val, folds, resampled

if TYPE_CHECKING:
    from fgic_core.kinds.detector.contract import Detections, Detector, FittedDetector
    from fgic_core.steps.context import StepContext

#: How far boxes may differ, in pixels, after save and load.
TOLERANCE = 0.5
#: And their scores.
SCORE_TOLERANCE = 0.01


def splits(component: Detector, data: Dataset, ctx: StepContext) -> tuple[Dataset, Dataset]:
    """The samples to learn from and those to choose by; both empty for a detector that does not learn.

    Where the data have no validation split it is cut from train, and of the empty pictures of a class the same share as
    of the others.
    """
    train, val = data.split("train"), data.split("val")
    if not component.learns():
        return train, val
    if not len(val):
        train, val = _cut(train, component.val_fraction, ctx)
    if not with_object(val.table).any():
        ctx.warn("there is no validation picture with an object: no epoch can be told to be better than another")
    learned = _to_learn_from(component, train)
    learned = resampled(learned, ctx)
    if count := int(empty_of(learned).sum()):
        note = "pictures without an object that it learns from: there is nothing to find in them"
        ctx.metric("negatives", float(count), split="train", n=len(learned), note=note)
    return learned, val


@dataclass(frozen=True, slots=True)
class Fold:
    """One of the trainings of cross-fitting.

    Attributes:
        members: the train pictures whose boxes it is for.
        data: what it learns from and is chosen by, none of the members among it; see `splits`.
    """

    name: str
    members: Dataset
    data: Dataset


def crossfit_folds(component: Detector, dataset: Dataset, data: Dataset, ctx: StepContext) -> Iterator[Fold]:
    """The folds of a detector that learns, where it asks for cross-fitting.

    Args:
        component: its options.
        dataset: all train pictures are in a fold.
        data: those of them that can be learned from, and the validation split.
        ctx: its seed decides who is in which fold.
    """
    count = component.crossfit
    if count is None or not component.learns():
        return
    every = dataset.split("train")
    fold = folds(every, count, ctx.rng("folds"))
    fold_of = dict(zip(every.ids, fold.tolist(), strict=True))
    usable, own_val = data.split("train"), data.split("val")
    held = np.array([fold_of[name] for name in usable.ids], dtype=np.int64)
    for number in range(count):
        name = f"fold {number + 1} of {count}"
        train, members = usable.where(held != number), every.where(fold == number)
        if not with_object(train.table).any():
            raise DataError(f"{name} leaves no train picture with an annotated box", hint="Set a lower crossfit.")
        val = own_val.where(~among(own_val, digests_of(members)))
        if not len(val):
            train, val = _cut(train, component.val_fraction, ctx)
        yield Fold(name, members, train.concat(_as_val(val)))


def _as_val(data: Dataset) -> Dataset:
    """The rows as ones of the validation split."""
    field = SCHEMA.field("split")
    column = pa.array(["val"] * len(data)).cast(field.type)
    return Dataset(data.header, data.table.set_column(SCHEMA.get_field_index("split"), field, column))


def save(
    component: Detector, fitted: FittedDetector, train: Dataset, val: Dataset, data: Dataset, ctx: StepContext
) -> None:
    """Save what was learned with what it has seen, and check that loading it finds the same boxes.

    Args:
        component: the recipe.
        fitted: what it learned.
        train, val: from and by which it was.
        data: some of its pictures are looked at; of a detector that does not learn there are none.
        ctx: of the step, or of a fold.

    Raises:
        PluginError: it finds others.
    """
    folder = ctx.folder / "component"
    folder.mkdir()
    component.save(fitted, folder)
    own = {digest for split in (train, val) for digest in digests_of(split)}
    table = pa.table({"digest": pa.array(sorted(own | seen_of(component.weights)), pa.string())})
    pq.write_table(table, folder / SEEN, compression="zstd")
    boxed = np.flatnonzero(with_object(data.table))[:3]
    if not len(boxed):
        return
    # As they were in `fit`, which knows nothing of use-only options, so that the two are asked for the same boxes.
    fields = type(component).model_fields
    usual = {name: fields[name].get_default(call_default_factory=True) for name in use_only(type(component))}
    opened = component.model_copy(update=usual).load(folder, ctx.device)
    some, classes = data.take(boxed), classes_of(component, data)
    ours, theirs = (detect(one, some, classes, ctx, "checking what was saved") for one in (fitted, opened))
    for (one, _), (other, _) in zip(ours, theirs, strict=True):
        if not _alike(one, other):
            raise PluginError("the detector finds other boxes after save and load", where=ctx.uses)


def _alike(ours: Detections, theirs: Detections) -> bool:
    """Whether the most confident boxes of each are among the other's, with their scores and labels.

    Not whether all are equal one by one: of two that are as good as each other, rounding decides which comes first.
    """

    def held(some: Detections, others: Detections) -> bool:
        return all(
            (
                (np.abs(others.boxes - box) <= TOLERANCE).all(axis=1)
                & (np.abs(others.scores - score) <= SCORE_TOLERANCE)
                & (others.labels == label)
            ).any()
            for box, score, label in zip(some.boxes[:5], some.scores[:5], some.labels[:5], strict=True)
        )

    return held(ours, theirs) and held(theirs, ours)


def _cut(train: Dataset, fraction: float, ctx: StepContext) -> tuple[Dataset, Dataset]:
    """As `cut_val`, and of the empty pictures of a class the same share as of the others."""
    return cut_val(train, fraction, ctx, strata=train.labels * 2 + empty_of(train))


def _to_learn_from(component: Detector, train: Dataset) -> Dataset:
    """Train without empty pictures, unless the detector learns from them."""
    return train if component.negatives else train.where(~empty_of(train))
