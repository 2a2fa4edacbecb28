"""Which rows of a data set a detector may learn from, and what its first weights have seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.boxes import annotated, with_object
from fgic_core.data.dataset import SCHEMA, Dataset
from fgic_core.data.rows import only_columns
from fgic_core.data.sample import source_of
from fgic_core.errors import DataError
from fgic_core.kinds.detector.contract import SEEN
from fgic_core.steps.validation import families

if TYPE_CHECKING:
    from pathlib import Path

    from fgic_core.kinds.detector.contract import Detector
    from fgic_core.steps.context import StepContext

#: The columns of a row that learning reads. The others are empty in what it is given.
READS = frozenset(
    (
        *("id", "root", "path", "label", "split", "width", "height", "boxes"),
        *("empty", "origin", "parents", "digest"),
    )
)

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Rows:
    """Which rows of a data set mean what to a detector: masks, (n,) each.

    Attributes:
        train, val: of which split a row is.
        known, boxed, empty: whether it is annotated, has an annotated object, has none for sure.
        tested: whether its picture stands in the test split, byte for byte.
    """

    def __init__(self, dataset: Dataset) -> None:
        split = dataset.table.column("split").cast(pa.string())
        self.train, self.val = (np.asarray(pc.equal(split, name).to_numpy(), dtype=bool) for name in ("train", "val"))
        self.known, self.boxed, self.empty = annotated(dataset.table), with_object(dataset.table), empty_of(dataset)
        self.tested = among(dataset, digests_of(dataset.split("test")))

    @property
    def usable(self) -> _Mask:
        """Train rows to learn from: with an object, or empty ones; no test pictures."""
        return self.train & (self.boxed | self.empty) & ~self.tested

    @property
    def choosing(self) -> _Mask:
        """Rows of the validation split that an epoch can be chosen by; none where no object is among them."""
        known = self.val & self.known & ~self.tested
        return known if (known & self.boxed).any() else np.zeros_like(known)


def learnable(component: Detector, dataset: Dataset) -> Dataset:
    """See `fgic_core.kinds.detector.driver.learned_from`."""
    check_seen(component, dataset)
    if not component.learns():
        return bare(dataset.take([]))
    rows = Rows(dataset)
    if not (rows.train & rows.boxed).any():
        raise DataError(
            "no train picture has an annotated box to learn from",
            hint="Use a data set with boxes, or a detector that is trained already.",
        )
    if not (rows.usable & rows.boxed).any():
        raise DataError("every train picture with a box is a test picture too", hint="Mend the data set's split.")
    _check_folds(component, dataset.where(rows.train))
    return bare(dataset.where(rows.usable | rows.choosing))


def without_found(dataset: Dataset) -> Dataset:
    """The data set without the boxes of an earlier detector."""
    if not earlier(dataset):
        return dataset
    column = dataset.table.column("boxes").to_pylist()
    kept = [[box for box in boxes or () if source_of(box["origin"]) == "annotated"] for boxes in column]
    kind = SCHEMA.field("boxes")
    table = dataset.table.set_column(SCHEMA.get_field_index("boxes"), kind, pa.array(kept, kind.type))
    return Dataset(dataset.header, table)


def earlier(dataset: Dataset) -> list[str]:
    """The origins of the boxes that an earlier detector has found, or looked for."""
    boxes = pc.list_flatten(dataset.table.column("boxes"))
    origins = pc.unique(pc.struct_field(boxes, "origin")).to_pylist()
    return sorted({*(origin for origin in origins if source_of(origin) != "annotated"), *dataset.header.searched})


def bare(dataset: Dataset) -> Dataset:
    """The rows with what learning reads and nothing else: no found box, no column but `READS`, no notes."""
    found = without_found(dataset)
    header = replace(dataset.header, notes=(), skipped=(), searched=(), part_names=())
    return Dataset(header, only_columns(found.table, READS))


def remark(component: Detector, dataset: Dataset, ctx: StepContext) -> None:
    """Warn of what is not known of first weights, and of the pictures that nothing is learned from, each kind by name.

    Args:
        component: the recipe.
        dataset: all of it; what was left out of training is not seen there.
        ctx: of the step.
    """
    if component.weights is not None and not seen_of(component.weights):
        ctx.warn(f"Nothing is known of the pictures that {component.weights.name} was trained on.")
    if found := earlier(dataset):
        ctx.warn(f"The boxes of an earlier detector ({', '.join(found)}) are replaced by this one's.")
    if not component.learns():
        return
    rows = Rows(dataset)
    left_out = {
        "are not annotated: nothing is learned from them.": rows.train & ~rows.known,
        "have crowds alone: no box is learned from them.": rows.train & rows.known & ~rows.boxed & ~rows.empty,
    }
    if not component.negatives:
        words = f"are empty and left out: {ctx.uses} does not learn from pictures without an object."
        left_out[words] = rows.train & rows.empty
    for words, which in left_out.items():
        if which.any():
            ctx.warn(f"{int(which.sum()):,} of {int(rows.train.sum()):,} train pictures {words}")
    asked = {"train": rows.train & (rows.boxed | rows.empty), "validation": rows.val & rows.known}
    for what, which in asked.items():
        if count := int((which & rows.tested).sum()):
            ctx.warn(f"{count:,} {what} pictures are test pictures too; the detector does not get to see them.")
    if rows.val.any() and not rows.choosing.any():
        ctx.warn("no validation picture has a box to choose the epoch by: some are held out of train instead")


def empty_of(data: Dataset) -> _Mask:
    """Which samples have no object for sure."""
    return np.asarray(data.table.column("empty").to_numpy(), dtype=bool)


def _check_folds(component: Detector, train: Dataset) -> None:
    """Raises DataError before anything is trained where there are fewer families of train pictures than folds."""
    if component.crossfit is not None and (count := len(np.unique(families(train)))) < component.crossfit:
        raise DataError(
            f"the train split has {count} pictures that are not copies of each other, too few for {component.crossfit} "
            "folds",
            hint="Set a lower crossfit.",
        )


def digests_of(data: Dataset) -> list[str]:
    """The digests of the pictures, as far as they were taken."""
    return [digest for digest in data.table.column("digest").to_pylist() if digest is not None]


def among(data: Dataset, digests: Collection[str]) -> _Mask:
    """Which samples' pictures are one of these, byte for byte."""
    known = set(digests)
    column = data.table.column("digest").to_pylist()
    return np.array([digest is not None and digest in known for digest in column], dtype=bool)


def seen_of(weights: Path | None) -> frozenset[str]:
    """Digests of the pictures that weights have seen, as far as they say so."""
    file = weights.parent / SEEN if weights is not None else None
    if file is None or not file.is_file():
        return frozenset()
    try:
        return frozenset(pq.read_table(file, columns=["digest"]).column("digest").to_pylist())
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"what these weights have seen cannot be read: {error}", where=str(file)) from None


def check_seen(component: Detector, dataset: Dataset) -> None:
    """Raises DataError where the first weights have seen test pictures, or (with `crossfit`) train pictures."""
    seen = seen_of(component.weights)
    if not seen:
        return
    count = sum(digest in seen for digest in digests_of(dataset.split("test")))
    if count:
        raise DataError(
            f"the detector's weights were trained on {count:,} of the test pictures",
            where=str(component.weights),
            hint="What it finds there tells nothing of new pictures. Train it on the train split of this split.",
        )
    count = sum(digest in seen for digest in digests_of(dataset.split("train")))
    if count and component.crossfit is not None:
        raise DataError(
            f"crossfit asks for boxes by a detector that has not seen the picture, but the weights it starts from were "
            f"trained on {count:,} of the train pictures",
            where=str(component.weights),
            hint="Leave out weights or crossfit.",
        )
