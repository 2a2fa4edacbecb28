"""What a detector may learn from, what it has seen, and the folds of cross-fitting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.dataset import Dataset
from fgic_core.errors import DataError, PluginError
from fgic_core.steps.validation import cut_val, folds

if TYPE_CHECKING:
    from pathlib import Path

    from fgic_core.interfaces.detector import Detections, Detector
    from fgic_core.steps.context import StepContext

#: Beside a trained detector's weights: the digests of the pictures that it was trained on or chosen by.
SEEN = "seen.parquet"
#: How far boxes may differ, in pixels, after save and load.
TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class Training:
    """The samples that a detector learns from and is chosen by; both empty for one that does not learn.

    Attributes:
        usable: train samples with an annotated box, validation not cut off.
        train, val: what `fit` is given.
        seen: digests of pictures that its weights had seen before.
    """

    component: Detector
    dataset: Dataset
    usable: Dataset
    train: Dataset
    val: Dataset
    seen: frozenset[str]

    def folds(self, ctx: StepContext) -> Iterator[tuple[str, Dataset, Dataset, Dataset]]:
        """For each fold its name, its train pictures, and train and val of the detector that must not see them."""
        count = self.component.crossfit
        if count is None or not self.component.learns():
            return
        every = self.dataset.split("train")
        fold = folds(every, count, ctx.rng("folds"))
        if len(np.unique(fold)) < count:
            raise DataError(
                f"{len(every)} train samples cannot be cut into {count} folds", hint="Set a lower crossfit."
            )
        usable = pc.is_in(every.table.column("id"), value_set=self.usable.table.column("id").combine_chunks())
        held = usable.to_numpy()
        for number in range(count):
            train = every.where(held & (fold != number))
            val = self.dataset.split("val")
            name = f"fold {number + 1} of {count}"
            if not len(train):
                raise DataError(f"{name} leaves no train picture with an annotated box", hint="Set a lower crossfit.")
            if not len(val):
                train, val = cut_val(train, self.component.val_fraction, ctx)
            yield name, every.where(fold == number), train, val

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

        some = dataset.take(range(min(2, len(dataset))))
        ours, theirs = (detect(one, some, ctx, "checking what was saved") for one in (component, fresh))
        for one, other in zip(ours, theirs, strict=True):
            if not _alike(one, other):
                raise PluginError("the detector finds other boxes after save and load", where=ctx.uses)


def _alike(ours: Detections, theirs: Detections) -> bool:
    boxes, others = np.asarray(ours.boxes), np.asarray(theirs.boxes)
    return boxes.shape == others.shape and bool((np.abs(boxes - others) <= TOLERANCE).all())


def prepare(component: Detector, dataset: Dataset, ctx: StepContext) -> Training:
    """What the detector is given to learn from.

    Train pictures without an annotated box are left out, and those that are test pictures too.

    Raises:
        DataError: there is nothing to learn from; the weights it starts from have seen test pictures, or (with
            `crossfit`) train pictures.
    """
    seen = _seen(component.weights)
    _check_seen(component, dataset, seen)
    train = dataset.split("train")
    nothing = train.take([])
    if not component.learns():
        return Training(component, dataset, nothing, nothing, nothing, seen)
    usable = train.where(with_box(train))
    if not len(usable):
        raise DataError(
            "no train picture has an annotated box to learn from",
            hint="Use a data set with boxes, or a detector that is trained already.",
        )
    if len(usable) < len(train):
        ctx.warn(f"{len(train) - len(usable):,} of {len(train):,} train pictures have no box to learn from.")
    usable = _without_test(usable, dataset, ctx)
    val = dataset.split("val")
    train, val = (usable, val) if len(val) else cut_val(usable, component.val_fraction, ctx)
    return Training(component, dataset, usable, train, val, seen)


def with_box(data: Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples have an annotated box that is no crowd."""
    column = data.table.column("boxes").to_pylist()
    return np.array(
        [any(box["origin"] == "annotated" and not box["crowd"] for box in boxes or ()) for boxes in column], dtype=bool
    )


def _digests(data: Dataset) -> list[str]:
    return [digest for digest in data.table.column("digest").to_pylist() if digest is not None]


def _without_test(usable: Dataset, dataset: Dataset, ctx: StepContext) -> Dataset:
    """Without the pictures that stand in the test part as well, byte for byte."""
    test = set(_digests(dataset.split("test")))
    twice = np.array([digest in test for digest in usable.table.column("digest").to_pylist()], dtype=bool)
    if not twice.any():
        return usable
    ctx.warn(f"{int(twice.sum()):,} train pictures are test pictures too; the detector is not trained on them.")
    kept = usable.where(~twice)
    if not len(kept):
        raise DataError("every train picture with a box is a test picture too", hint="Mend the data set's split.")
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
