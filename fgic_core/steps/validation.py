"""Cutting train: a validation split to choose by, and folds to find boxes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.metrics.statistics import hold_out

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import StepContext


def cut_val(
    train: Dataset, fraction: float, ctx: StepContext, strata: np.ndarray[Any, Any] | None = None
) -> tuple[Dataset, Dataset]:
    """Train without the validation split, and the validation split.

    Real samples alone are held out, stratified by class; pictures with the same bytes stay together, and what was made
    from a held-out sample is left out.

    Args:
        train: samples of the train split.
        fraction: share of each class to hold out.
        ctx: its seed decides which; is told what was left out.
        strata: (n,) numbers of the groups that the share is taken of each, the classes by default.
    """
    real = pc.equal(train.table.column("origin").cast(pa.string()), "real").to_numpy()
    groups = copies(train)
    held = np.zeros(len(train), dtype=bool)
    held[real] = hold_out((train.labels if strata is None else strata)[real], fraction, ctx.rng("val"), groups[real])
    # A copy among the synthetic samples, or what was made from a held-out sample, would tell of it.
    tells = np.isin(groups, groups[held]) | made_from(train, held)
    left_out = int((tells & ~held).sum())
    if left_out:
        ctx.warn(f"{left_out} train samples made from held-out validation samples were left out")
    return train.where(~held & ~tells), train.where(held)


def resampled(train: Dataset, ctx: StepContext) -> Dataset:
    """Train with its rows drawn again with replacement, where a study varies that; else as it is.

    Families (`families`) are drawn whole, of each class as many as it has, so that no class is lost and none of what
    belongs together is torn apart.

    Args:
        train: what is learned from, without what is held out to choose by.
        ctx: its stream ``resample`` draws.
    """
    if "resample" not in ctx.streams or not len(train):
        return train
    rng, family, labels = ctx.rng("resample"), families(train), train.labels
    members: dict[int, list[int]] = {}
    for row, number in enumerate(family):
        members.setdefault(int(number), []).append(row)
    of_class: dict[int, list[list[int]]] = {}
    for rows in members.values():  # one that is of several classes counts where its first row does
        of_class.setdefault(int(labels[rows[0]]), []).append(rows)
    if alone := sum(len(known) < 2 for known in of_class.values()):
        ctx.warn(
            f"in {alone} of {len(of_class)} classes all train samples were made from one another, or are copies: "
            "nothing of them can be drawn again"
        )
    drawn: list[int] = []
    for _, known in sorted(of_class.items()):
        for one in rng.integers(len(known), size=len(known)):
            drawn += known[int(one)]
    return train.take(drawn)


def folds(train: Dataset, count: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The fold, 0 to count - 1, of each train sample: classes spread evenly, families (`families`) together."""
    groups = families(train)
    fold_of: dict[int, int] = {}
    turn = int(rng.integers(count))
    labels = train.labels
    for label in np.unique(labels):
        for group in rng.permutation(np.unique(groups[labels == label])):
            if int(group) not in fold_of:
                fold_of[int(group)] = turn % count
                turn += 1
    return np.array([fold_of[int(group)] for group in groups], dtype=np.int64)


def families(samples: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A number for each sample that is the same for copies, and for samples that were made from one another.

    Also by way of others: a child of two samples makes one family of both.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = copies(samples)
    places = {name: row for row, name in enumerate(samples.ids)}
    parents = enumerate(samples.table.column("parents").to_pylist())
    links = [(groups[row], groups[places[name]]) for row, of in parents for name in of or () if name in places]
    count = int(groups.max(initial=-1)) + 1
    rows, columns = zip(*links, strict=True) if links else ((), ())
    _, family = connected_components(coo_array((np.ones(len(links)), (rows, columns)), shape=(count, count)))
    return np.asarray(family[groups], dtype=np.int64)


def copies(samples: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A number for each sample that is the same for pictures with the same bytes."""
    digests = samples.table.column("digest").to_pylist()
    numbers: dict[Any, int] = {}
    # A picture whose digest was not taken is a copy of none.
    return np.array([numbers.setdefault(digest or row, len(numbers)) for row, digest in enumerate(digests)], dtype=int)


def made_from(samples: Dataset, held: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples were made from held ones, or from what was made from them."""
    tainted = set(samples.table.filter(pa.array(held)).column("id").to_pylist())
    rows = list(zip(samples.ids, samples.table.column("parents").to_pylist(), strict=True))
    before = -1
    while len(tainted) != before:  # parents may be listed after their children
        before = len(tainted)
        tainted |= {name for name, parents in rows if not tainted.isdisjoint(parents or ())}
    return np.array([not tainted.isdisjoint(parents or ()) for _, parents in rows], dtype=bool)
