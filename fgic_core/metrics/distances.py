"""Distances between sets of features: FID, KID, precision and recall, nearest neighbours.

Features are (n, d) float32, in memory or a `numpy.memmap`, and computed with in float64. Figures of two networks, or
of two numbers of pictures, do not compare: a report names both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fgic_core.errors import DataError

#: Rows that become float64 at once.
_ROWS = 1024
#: Numbers in a block of distances: 64 MiB.
_BLOCK = 1 << 23
#: Neighbours looked at again beyond those asked for, because the fast distances are rounded.
_SPARE = 4
#: The error of KID is worked out on so many pictures of a kind at most, and falls with the root of how many there are.
_JACKKNIFE = 5000
#: Rows and columns of the kernel that are in memory at once.
_TILE = 256

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Moments:
    """Mean and covariance of features that come in pieces, in float64 (Chan, Golub and LeVeque 1983).

    Attributes:
        n: how many rows were added.
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean: Doubles | None = None
        self._scatter: Doubles | None = None

    def add(self, features: Floats) -> None:
        """Take note of (n, d) features; however they are cut into pieces, the moments are the same up to rounding.

        Raises:
            DataError: there is another number of features than before, or one is not finite.
        """
        for _, rows in _in_float64(features):
            if not np.isfinite(rows).all():
                raise DataError("some features are not finite", hint="Are the weights of the network?")
            if self._mean is None or self._scatter is None:
                self._mean, self._scatter = np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1]))
            _check_dims(rows, self._mean[None])
            count, mean = len(rows), rows.mean(axis=0)
            shift, total, apart = mean - self._mean, self.n + count, rows - mean
            self._scatter += apart.T @ apart
            self._scatter += np.outer(shift, shift * (self.n * count / total))
            self._mean += shift * (count / total)
            self.n = total

    @property
    def mean(self) -> Doubles:
        """(d,); a DataError where nothing was added."""
        if self._mean is None:
            raise DataError("there are no features to take the mean of")
        return self._mean

    @property
    def covariance(self) -> Doubles:
        """(d, d), divided by n - 1 as `numpy.cov` does; a DataError where there are fewer than two rows."""
        if self._scatter is None or self.n < 2:
            raise DataError(f"a covariance takes at least two pictures, and there are {self.n}")
        return self._scatter / (self.n - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """FID, the squared Fréchet distance between two normal distributions (Heusel et al., NeurIPS 2017); 0 or more.

    It is biased upwards, the more the fewer pictures there are: compare at equal numbers.

    torch-fidelity takes the trace of the square root of the product of the covariances from the product's general
    eigenvalues. The same trace is that of the symmetric matrix sqrt(A) B sqrt(A), without the directions in which A
    has no spread. It takes less time (at 2048 features 0.4 of it where pictures are few), and is right to 1e-10 there,
    where the roots of eigenvalues that are 0 but for rounding put torch-fidelity off by millionths.

    Raises:
        DataError: one has fewer than two rows, or they have different numbers of features.
    """
    _check_dims(a.mean[None], b.mean[None])
    a, b = (a, b) if a.n <= b.n else (b, a)
    first, second, shift = a.covariance, b.covariance, a.mean - b.mean
    values, vectors = np.linalg.eigh(first)
    spread = values > values[-1] * len(values) * np.finfo(np.float64).eps
    root = vectors[:, spread] * np.sqrt(values[spread])
    shared = np.sqrt(np.linalg.eigvalsh(root.T @ second @ root).clip(min=0)).sum()
    return max(float(shift @ shift + np.trace(first) + np.trace(second) - 2 * shared), 0.0)


class KernelDistance(NamedTuple):
    """KID and its standard error; None where there are fewer than three pictures of a kind, or it was not asked for."""

    value: float
    error: float | None


def kernel_distance(
    made: Floats,
    real: Floats,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
    *,
    with_error: bool = True,
) -> KernelDistance:
    """KID: mean over random subsets (Bińkowski et al., ICLR 2018), and how far it may be off.

    It is the unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³: about 0, also below it, for
    pictures of one distribution, however few they are. Kernel and estimate are torch-fidelity's, and so are the
    subsets, by its seed. Their standard deviation is no measure of error: the subsets share their pictures, and are
    all the same where there are no more pictures than one holds. The error is a jackknife's (`_kernel_error`).

    Args:
        made, real: (n, d) and (m, d).
        subsets: how many are drawn.
        subset_size: pictures of each kind in one, without repetition; lowered to the smaller of n and m.
        seed: decides the subsets.
        with_error: work out the standard error, which takes about as long where pictures are many.

    Raises:
        DataError: there are fewer than two pictures of a kind, or different numbers of features.
    """
    from torch_fidelity.metric_kid import kernel_mmd

    _check_two(made, real)
    size = min(subset_size, len(made), len(real))
    if size == len(made) == len(real):
        subsets = 1  # all would be the same but for their order
    rng = np.random.RandomState(seed)
    found = []
    for _ in range(subsets):
        rows, others = (rng.choice(len(features), size, replace=False) for features in (made, real))
        found.append(kernel_mmd(_take(made, rows), _take(real, others)))
    value = float(np.mean(found))
    if not with_error or min(len(made), len(real)) < 3:
        return KernelDistance(value, None)
    own = _kernel_error(made, real, rng)
    return KernelDistance(value, math.hypot(own, float(np.std(found)) / subsets**0.5))


def _kernel_error(made: Floats, real: Floats, rng: np.random.RandomState) -> float:
    """The standard error of the discrepancy between all of these, by the jackknife (Efron and Stein 1981).

    It is the spread of the estimates that leave out one picture, of both kinds. For distributions that are the same it
    is up to 1.4 times too large, never too small.
    """
    rows, others = (_some(len(features), rng) for features in (made, real))
    shares = len(rows) / len(made), len(others) / len(real)
    n, m = len(rows), len(others)
    ours, _ = _kernel_sums(made, rows, made, rows)
    theirs, _ = _kernel_sums(real, others, real, others)
    across, back = _kernel_sums(made, rows, real, others)
    between = across.sum()
    within = ours.sum() / n / (n - 1), theirs.sum() / m / (m - 1)
    less_made = (ours.sum() - 2 * ours) / (n - 1) / (n - 2) + within[1] - 2 * (between - across) / (n - 1) / m
    less_real = within[0] + (theirs.sum() - 2 * theirs) / (m - 1) / (m - 2) - 2 * (between - back) / n / (m - 1)
    return float(np.sqrt(shares[0] * (n - 1) * less_made.var() + shares[1] * (m - 1) * less_real.var()))


def _some(count: int, rng: np.random.RandomState) -> Numbers:
    """The positions of all, or of as many as the error is worked out on."""
    return np.arange(count) if count <= _JACKKNIFE else np.sort(rng.choice(count, _JACKKNIFE, replace=False))


def _kernel_sums(one: Floats, rows: Numbers, other: Floats, others: Numbers) -> tuple[Doubles, Doubles]:
    """The sums of KID's kernel over some rows of each, (n,) and (m,); of a set with itself without the diagonal."""
    across, down = np.zeros(len(rows)), np.zeros(len(others))
    for start in range(0, len(rows), _TILE):
        some = _take(one, rows[start : start + _TILE])
        for first in range(0, len(others), _TILE):
            kernel = (some @ _take(other, others[first : first + _TILE]).T / one.shape[1] + 1) ** 3
            if one is other and start == first:
                np.fill_diagonal(kernel, 0.0)
            across[start : start + _TILE] += kernel.sum(axis=1)
            down[first : first + _TILE] += kernel.sum(axis=0)
    return across, down


def precision_recall(made: Floats, real: Floats, k: int = 3) -> tuple[float, float]:
    """Precision and recall of a generator, by torch-fidelity (Kynkäänniemi et al., NeurIPS 2019).

    Precision is the share of made pictures that lie among the real ones: within the distance of some real picture to
    its k-th nearest real one. Recall is the share of real pictures that lie so among the made ones. Memory is 16 bytes
    for each number of `made` and of `real`.

    Args:
        made, real: (n, d) and (m, d).
        k: neighbours; lowered to what the smaller of n and m allows.

    Raises:
        DataError: there are fewer than two pictures of a kind, or different numbers of features.
    """
    import torch
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    _check_two(made, real)
    k = min(k, len(made) - 1, len(real) - 1)
    # Distances by matrix products lose what is small beside the features: float64, and measured from their middle.
    middle = _middle(real)
    ours, theirs = (torch.from_numpy(features.astype(np.float64) - middle) for features in (made, real))
    batch = max(_BLOCK // max(len(made), len(real)), 1)
    precision, recall = calculate_precision_recall_part(ours, theirs, k, batch)
    return float(precision), float(recall)


def nearest(queries: Floats, real: Floats, *, same: bool = False) -> tuple[Doubles, Numbers]:
    """The nearest row of ``real`` to each of ``queries``.

    Args:
        queries, real: (n, d) and (m, d).
        same: the queries are the rows of ``real``; none is its own neighbour.

    Returns:
        (n,) Euclidean distances, exact to float64 (0 for a copy), and (n,) positions in ``real``.

    Raises:
        DataError: there is no row to be near to, or there are different numbers of features.
    """
    distances, positions = _neighbours(queries, real, 1, same)
    return distances[:, 0], positions[:, 0]


def label_agreement(
    made: Floats, labels: Numbers, real: Floats, real_labels: Numbers, k: int = 5
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each made picture looks like its label: most of the k nearest real pictures have it.

    Where labels have equally many, that of the nearest of their pictures counts.

    Args:
        made, labels: (n, d) and (n,).
        real, real_labels: (m, d) and (m,).
        k: neighbours; lowered to m.

    Returns:
        (n,).

    Raises:
        DataError: there is no real picture, or there are different numbers of features.
    """
    _, positions = _neighbours(made, real, k)
    near = np.asarray(real_labels)[positions]  # (n, k), the nearest first
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    chosen = near[np.arange(len(near)), votes.argmax(axis=1)]  # argmax takes the first of equals
    return np.asarray(chosen == np.asarray(labels), dtype=np.bool_)


def diversity(features: Floats, labels: Numbers) -> float:
    """The mean over classes of the mean Euclidean distance between two pictures of the class.

    Args:
        features, labels: (n, d) and (n,). Classes of one picture do not count.

    Returns:
        0 where every class is one picture over and over; NaN where no class has two.
    """
    means = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            means.append(_mean_distance(_take(features, rows)))
    return float(np.mean(means)) if means else float("nan")


def _mean_distance(features: Doubles) -> float:
    """The mean distance between two different rows."""
    features = features - features[0]  # what is left of copies is exactly 0
    size, total = max(_BLOCK // len(features), 1), 0.0
    for start in range(0, len(features), size):
        squares = _squares(features[start : start + size], features)
        places = np.arange(len(squares))
        squares[places, start + places] = 0.0
        total += float(np.sqrt(squares).sum())
    return total / (len(features) * (len(features) - 1))


def _neighbours(queries: Floats, real: Floats, k: int, same: bool = False) -> tuple[Doubles, Numbers]:
    """Distances to, and positions of, the k nearest rows of ``real``, the nearest first; (n, k) each.

    Matrix products find some more than k, which are then measured by differences.
    """
    _check_dims(queries, real)
    k = min(k, len(real) - same)
    if k < 1:
        raise DataError(f"there are {len(real)} real pictures to be near to", hint="It takes more.")
    distances, positions = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    middle = _middle(real)
    for start, rows in _in_float64(queries):
        own = np.arange(start, start + len(rows)) if same else None
        for row, found in enumerate(_candidates(rows - middle, real, middle, k + _SPARE, own)):
            some = found[found >= 0]
            apart = np.linalg.norm(_take(real, some) - rows[row], axis=1)
            order = np.lexsort((some, apart))[:k]
            distances[start + row], positions[start + row] = apart[order], some[order]
    return distances, positions


def _candidates(rows: Doubles, real: Floats, middle: Doubles, count: int, own: Numbers | None) -> Numbers:
    """Positions of the rows of ``real`` that seem nearest to each of ``rows``; -1 where there are not so many.

    Args:
        rows: (n, d), less ``middle``.
        own: (n,) the position of each row itself, which is left out.
    """
    least, best = np.full((len(rows), count), np.inf), np.full((len(rows), count), -1, dtype=np.int64)
    for start, some in _in_float64(real):
        squares = _squares(rows, some - middle)
        if own is not None:
            here = np.flatnonzero((own >= start) & (own < start + len(some)))
            squares[here, own[here] - start] = np.inf
        places = np.broadcast_to(np.arange(start, start + len(some)), squares.shape)
        squares, places = np.hstack([least, squares]), np.hstack([best, places])
        chosen = np.argpartition(squares, count - 1, axis=1)[:, :count]
        least, best = np.take_along_axis(squares, chosen, 1), np.take_along_axis(places, chosen, 1)
    return np.where(np.isfinite(least), best, -1)


def _squares(one: Doubles, other: Doubles) -> Doubles:
    """Squared distances between the rows of both, by a matrix product, with its rounding."""
    squares = -2 * (one @ other.T)
    squares += (one * one).sum(axis=1)[:, None]
    squares += (other * other).sum(axis=1)
    return np.asarray(squares.clip(min=0))


def _in_float64(features: Floats) -> Iterator[tuple[int, Doubles]]:
    """Pieces of the features, each with the position of its first row."""
    for start in range(0, len(features), _ROWS):
        yield start, features[start : start + _ROWS].astype(np.float64)


def _take(features: Floats, rows: Numbers) -> Doubles:
    return np.asarray(features[rows], dtype=np.float64)


def _middle(features: Floats) -> Doubles:
    return np.asarray(np.mean(features, axis=0, dtype=np.float64))


def _check_two(made: Floats, real: Floats) -> None:
    _check_dims(made, real)
    if min(len(made), len(real)) < 2:
        raise DataError(f"to compare takes at least two pictures of each kind; {len(made)} are made, {len(real)} real")


def _check_dims(one: Floats, other: Floats) -> None:
    if one.ndim != 2 or one.shape[1:] != other.shape[1:]:
        shapes = f"{one.shape} and {other.shape}"
        raise DataError(f"features of the shapes {shapes} do not compare", hint="Are they of one network?")
