"""The statistics that every ruler shares: intervals, and fair choices of samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Proportion(NamedTuple):
    """A share of n with its 95 % Wilson score interval (Wilson 1927); all NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Proportion:
    """The share of successes among n trials."""
    if n == 0:
        return Proportion(float("nan"), float("nan"), float("nan"), 0)
    from scipy.stats import binomtest

    interval = binomtest(int(successes), int(n)).proportion_ci(confidence_level=0.95, method="wilson")
    return Proportion(successes / n, float(interval.low), float(interval.high), int(n))


def pick_evenly(
    labels: np.ndarray[Any, Any], count: int | None, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions of ``count`` samples, as evenly over the classes as their sizes allow, in ascending order.

    Args:
        labels: (n,) class indices.
        count: how many to pick; None, or n and more, picks all.
        rng: decides which.
    """
    total = len(labels)
    if count is None or count >= total:
        return np.arange(total, dtype=np.int64)
    order = rng.permutation(total)
    rank = np.empty(total, dtype=np.int64)
    seen: dict[int, int] = {}
    for position in order:
        label = int(labels[position])
        rank[position] = seen.get(label, 0)
        seen[label] = rank[position] + 1
    turn = np.empty(total, dtype=np.int64)
    turn[order] = np.arange(total)
    chosen = np.lexsort((turn, rank))[:count]
    return np.sort(chosen).astype(np.int64)


def hold_out(
    labels: np.ndarray[Any, Any],
    fraction: float,
    rng: np.random.Generator,
    groups: np.ndarray[Any, Any] | None = None,
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples to hold out: that share of each class, at least one, never all samples of a class.

    Args:
        labels: (n,) class indices.
        fraction: the share, in (0, 1).
        rng: decides which.
        groups: (n,) numbers of samples that must stay together, as copies of one picture must; more than the share
            may be held out for it.
    """
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held[members[:count]] = True
    if groups is None:
        return held
    held = np.isin(groups, groups[held])
    for label in np.unique(labels):
        if held[labels == label].all():
            held &= ~np.isin(groups, groups[labels == label])
    return held
