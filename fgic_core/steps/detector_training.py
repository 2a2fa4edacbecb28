"""What a detector may learn from, what it has seen, and the folds of cross-fitting."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.boxes import annotated, with_object
from fgic_core.data.dataset import Dataset
from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.detector import SEEN
from fgic_core.steps.validation import cut_val, families, folds

if TYPE_CHECKING:
    from pathlib import Path

    from fgic_core.interfaces.detector import Detections, Detector
    from fgic_core.steps.context import StepContext

#: How far boxes may differ, in pixels, after save and load.
TOLERANCE = 0.5
#: And their scores.
SCORE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Training:
    """The samples that a detector learns from and is chosen by; both empty for one that does not learn.

    Attributes:
        usable: train samples with an annotated box, and empty ones, validation not cut off.
        train: what `fit` is given to learn from: of these the ones it can learn from.
        own_val: the data set's validation part, as far as it can be used.
        val: what `fit` is given to choose by: that, or what was cut from train.
        seen: digests of pictures that its weights had seen before.
    """

    component: Detector
    dataset: Dataset
    usable: Dataset
    train: Dataset
    own_val: Dataset
    val: Dataset
    seen: frozenset[str]

    def folds(self, ctx: StepContext) -> Iterator[tuple[str, Dataset, Dataset, Dataset]]:
        """For each fold its name, its train pictures, and train and val of the detector that must not see them."""
        count = self.component.crossfit
        if count is None or not self.component.learns():
            return
        every = self.dataset.split("train")
        fold = folds(every, count, ctx.rng("folds"))
        usable = pc.is_in(every.table.column("id"), value_set=self.usable.table.column("id").combine_chunks())
        held = usable.to_numpy()
        for number in range(count):
            name = f"fold {number + 1} of {count}"
            train, members = every.where(held & (fold != number)), every.where(fold == number)
            if not with_object(train.table).any():
                raise DataError(f"{name} leaves no train picture with an annotated box", hint="Set a lower crossfit.")
            val = _without(self.own_val, _digests(members))
            if not len(val):
                train, val = _cut(train, self.component.val_fraction, ctx)
            yield name, members, _to_learn_from(self.component, train), val

    def save(self, component: Detector, dataset: Dataset, ctx: StepContext) -> None:
        """Save the detector with what it has seen, and check that loading it finds the same boxes.

        Raises:
            PluginError: it finds others.
        """
        from fgic_core.interfaces.detector import Detector

        if type(component).fit is Detector.fit:
            return
        folder = ctx.folder / "component"
        folder.mkdir()
        component.save(folder)
        own = {digest for part in (self.train, self.val) for digest in _digests(part)}
        table = pa.table({"digest": pa.array(sorted(own | self.seen), pa.string())})
        pq.write_table(table, folder / SEEN, compression="zstd")
        fresh = type(component).model_validate(
            component.model_dump(mode="json"), context={"base": folder, "trusted": True}
        )
        fresh.load(folder, ctx.device)
        from fgic_core.steps.detector import detect

        boxed = np.flatnonzero(with_object(dataset.table))[:3]
        some = dataset.take(boxed if len(boxed) else range(min(3, len(dataset))))
        ours, theirs = (detect(one, some, ctx, "checking what was saved") for one in (component, fresh))
        for one, other in zip(ours, theirs, strict=True):
            if not _alike(one, other):
                raise PluginError("the detector finds other boxes after save and load", where=ctx.uses)


def _alike(ours: Detections, theirs: Detections) -> bool:
    """Whether the most confident boxes of each are among the other's, with their scores and labels.

    Not whether all are equal one by one: of two that are as good as each other, rounding decides which comes first.
    """

    def among(some: Detections, others: Detections) -> bool:
        return all(
            (
                (np.abs(others.boxes - box) <= TOLERANCE).all(axis=1)
                & (np.abs(others.scores - score) <= SCORE_TOLERANCE)
                & (others.labels == label)
            ).any()
            for box, score, label in zip(some.boxes[:5], some.scores[:5], some.labels[:5], strict=True)
        )

    return among(ours, theirs) and among(theirs, ours)


def prepare(component: Detector, dataset: Dataset, ctx: StepContext) -> Training:
    """What the detector is given to learn from.

    Train pictures that are not annotated are left out, those with crowds alone, and those that are test pictures too;
    empty ones unless it learns from them (`Detector.negatives`).

    Raises:
        DataError: there is nothing to learn from; the weights it starts from have seen test pictures, or (with
            `crossfit`) train pictures.
    """
    seen = _seen(component.weights)
    if component.weights is not None and not seen:
        ctx.warn(f"Nothing is known of the pictures that {component.weights.name} was trained on.")
    _check_seen(component, dataset, seen)
    train = dataset.split("train")
    nothing = train.take([])
    if not component.learns():
        return Training(component, dataset, nothing, nothing, nothing, nothing, seen)
    usable = train.where(with_object(train.table) | _empty(train))
    if not with_object(usable.table).any():
        raise DataError(
            "no train picture has an annotated box to learn from",
            hint="Use a data set with boxes, or a detector that is trained already.",
        )
    _say_left_out(component, train, ctx)
    usable = _without_test(usable, dataset, ctx, "train")
    if not with_object(usable.table).any():
        raise DataError("every train picture with a box is a test picture too", hint="Mend the data set's split.")
    val = _choosing(dataset, ctx)
    chosen_by = val
    kept = usable
    if not len(val):
        kept, chosen_by = _cut(usable, component.val_fraction, ctx)
    if not with_object(chosen_by.table).any():
        ctx.warn("there is no validation picture with an object: no epoch can be told to be better than another")
    _check_folds(component, dataset.split("train"))
    learned = _to_learn_from(component, kept)
    if count := int(_empty(learned).sum()):
        note = "pictures without an object that it learns from: there is nothing to find in them"
        ctx.metric("negatives", float(count), part="train", n=len(learned), note=note)
    return Training(component, dataset, usable, learned, val, chosen_by, seen)


def _say_left_out(component: Detector, train: Dataset, ctx: StepContext) -> None:
    """Warn of the train pictures that nothing is learned from, each kind by its name."""
    known, boxed, empty = annotated(train.table), with_object(train.table), _empty(train)
    left_out = {
        "are not annotated: nothing is learned from them.": ~known,
        "have crowds alone: no box is learned from them.": known & ~boxed & ~empty,
    }
    if not component.negatives:
        words = f"are empty and left out: {ctx.uses} does not learn from pictures without an object."
        left_out[words] = empty
    for words, which in left_out.items():
        if which.any():
            ctx.warn(f"{int(which.sum()):,} of {len(train):,} train pictures {words}")


def _empty(data: Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(data.table.column("empty").to_numpy(), dtype=bool)


def _to_learn_from(component: Detector, train: Dataset) -> Dataset:
    """Train without empty pictures, unless the detector learns from them."""
    return train if component.negatives else train.where(~_empty(train))


def _cut(train: Dataset, fraction: float, ctx: StepContext) -> tuple[Dataset, Dataset]:
    """As `cut_val`, and of the empty pictures of a class the same share as of the others."""
    return cut_val(train, fraction, ctx, strata=train.labels * 2 + _empty(train))


def _check_folds(component: Detector, train: Dataset) -> None:
    """Raises DataError before anything is trained where there are fewer families of train pictures than folds."""
    if component.crossfit is not None and (count := len(np.unique(families(train)))) < component.crossfit:
        raise DataError(
            f"the train part has {count} pictures that are not copies of each other, too few for {component.crossfit} "
            "folds",
            hint="Set a lower crossfit.",
        )


def _choosing(dataset: Dataset, ctx: StepContext) -> Dataset:
    """The data set's own validation pictures that an epoch can be chosen by; none of them is a test picture."""
    val = dataset.split("val")
    if not len(val):
        return val
    known = _without_test(val.where(annotated(val.table)), dataset, ctx, "validation")
    if with_object(known.table).any():
        return known
    ctx.warn("no validation picture has a box to choose the epoch by: some are held out of train instead")
    return known.take([])


def _digests(data: Dataset) -> list[str]:
    return [digest for digest in data.table.column("digest").to_pylist() if digest is not None]


def _without(data: Dataset, digests: Collection[str]) -> Dataset:
    """The samples whose pictures are none of these, byte for byte."""
    known = set(digests)
    kept = [digest is None or digest not in known for digest in data.table.column("digest").to_pylist()]
    return data.where(np.array(kept, dtype=bool))


def _without_test(data: Dataset, dataset: Dataset, ctx: StepContext, what: str) -> Dataset:
    """Without the pictures that stand in the test part as well."""
    kept = _without(data, _digests(dataset.split("test")))
    if left_out := len(data) - len(kept):
        ctx.warn(f"{left_out:,} {what} pictures are test pictures too; the detector does not get to see them.")
    return kept


def _seen(weights: Path | None) -> frozenset[str]:
    """Digests of the pictures that weights have seen, as far as they say so."""
    file = weights.parent / SEEN if weights is not None else None
    if file is None or not file.is_file():
        return frozenset()
    try:
        return frozenset(pq.read_table(file, columns=["digest"]).column("digest").to_pylist())
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"what these weights have seen cannot be read: {error}", where=str(file)) from None


def _check_seen(component: Detector, dataset: Dataset, seen: frozenset[str]) -> None:
    if not seen:
        return
    count = sum(digest in seen for digest in _digests(dataset.split("test")))
    if count:
        raise DataError(
            f"the detector's weights were trained on {count:,} of the test pictures",
            where=str(component.weights),
            hint="What it finds there tells nothing of new pictures. Train it on the train part of this split.",
        )
    count = sum(digest in seen for digest in _digests(dataset.split("train")))
    if count and component.crossfit is not None:
        raise DataError(
            f"crossfit asks for boxes by a detector that has not seen the picture, but the weights it starts from were "
            f"trained on {count:,} of the train pictures",
            where=str(component.weights),
            hint="Leave out weights or crossfit.",
        )
