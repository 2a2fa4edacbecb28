"""Two models on the same test pictures, and many of them: what says something of models, and nothing of pipelines."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class McNemar(NamedTuple):
    """Two models' answers to the same pictures, and the exact McNemar test (McNemar 1947).

    It compares two *models*. Two seeds of one pipeline are two models, and the test calls many such pairs different: it
    says nothing about a step.

    Attributes:
        both: pictures that both have right; first, second: those that one alone has right; neither.
        p: two-sided and exact; 1 where no picture tells them apart.
    """

    both: int
    first: int
    second: int
    neither: int
    p: float

    @property
    def discordance(self) -> float:
        """The share of pictures that one model alone has right."""
        return (self.first + self.second) / (self.both + self.first + self.second + self.neither)


def mcnemar(first: Array, second: Array) -> McNemar:
    """Compare two models.

    Args:
        first: (n,) whether the one is right, by test picture; second: likewise, the same pictures in the same order.

    Raises:
        ValueError: they are not of the same pictures, or there are none.
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"two models' answers should be of the same pictures, not {one.shape} and {other.shape}")
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    left, right = int((one & ~other).sum()), int((~one & other).sum())
    p = float(exact([[both, left], [right, neither]], exact=True).pvalue) if left + right else 1.0
    return McNemar(both, left, right, neither, min(1.0, p))


class Interval(NamedTuple):
    """A mean with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


#: How often pictures are drawn anew.
_RESAMPLES = 2_000


def bca(values: Array, clusters: Array | None = None) -> Interval:
    """The mean over pictures of one seed, with a bootstrap's interval (BCa: Efron 1987).

    It holds over pictures, of which there are many. Over a few seeds its coverage would be far below 95 %.

    Args:
        values: (n,) by test picture.
        clusters: (n,) equal for pictures that are not independent, which are drawn together.

    Raises:
        ValueError: there is no value.
    """
    from scipy.stats import bootstrap

    given = np.asarray(values, dtype=np.float64)
    if not given.size:
        raise ValueError("there is no picture to take a mean over")
    _, group = np.unique(np.arange(len(given)) if clusters is None else np.asarray(clusters), return_inverse=True)
    sums, sizes = np.bincount(group, given), np.bincount(group)
    mean = float(given.mean())
    if len(sums) < 2:
        return Interval(mean, math.nan, math.nan)
    if np.allclose(sums / sizes, sums[0] / sizes[0]):
        return Interval(mean, mean, mean)
    found = bootstrap(
        (sums, sizes),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="BCa",
        batch=200,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


class Overlap(NamedTuple):
    """How far several models err on the same pictures.

    Attributes:
        all_right, all_wrong: shares of pictures.
        any_right: the share that at least one has right: what a perfect choice among them would get.
        shared_errors: (models, models) of the pictures that the one of the row has wrong, the share that the one of the
            column has wrong as well; NaN where there are none.
    """

    all_right: float
    all_wrong: float
    any_right: float
    shared_errors: Array


def overlap(right: Array) -> Overlap:
    """The overlap of several models' errors.

    Args:
        right: (models, n) whether each is right, by test picture.
    """
    table = np.asarray(right, dtype=bool)
    wrong = (~table).astype(np.float64)
    count = wrong.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.where(count[:, None] > 0, (wrong @ wrong.T) / count[:, None], np.nan)
    return Overlap(
        float(table.all(axis=0).mean()), float((~table).all(axis=0).mean()), float(table.any(axis=0).mean()), shared
    )
