"""FID, KID, precision and recall equal those of the packages that people use, and what is near is found exactly."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fgic_core import DataError
from fgic_core.metrics.distances import (
    Moments,
    diversity,
    frechet_distance,
    kernel_distance,
    label_agreement,
    nearest,
    precision_recall,
)

Features = np.ndarray[Any, np.dtype[np.float32]]


def features(n: int, d: int, seed: int = 0, offset: float = 0.3) -> Features:
    """As networks have them: correlated, not negative, with a spectrum that falls."""
    mix = np.random.default_rng(1000 + d).normal(size=(d, d)) * np.arange(1, d + 1)[:, None] ** -0.7
    rows = np.random.default_rng(seed).normal(size=(n, d)) @ mix
    return np.maximum(rows + offset, 0).astype(np.float32)


def normal(n: int, d: int, seed: int) -> Features:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def moments(*pieces: Features) -> Moments:
    made = Moments()
    for piece in pieces:
        made.add(piece)
    return made


def fid(one: Features, other: Features) -> float:
    return frechet_distance(moments(one), moments(other))


SIZES = [(500, 32), (300, 64), (40, 64), (65, 64), (20, 256)]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_fid_equals_torch_fidelity_also_where_covariances_are_singular(n: int, d: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    one, other = features(n, d, 0), features(n + 7, d, 1, offset=0.5)
    stats = [fid_features_to_statistics(torch.from_numpy(some.astype(np.float64))) for some in (one, other)]
    theirs = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    # Its roots of rounding errors are millionths where pictures are fewer than features; the next test has no such.
    assert fid(one, other) == pytest.approx(theirs, rel=1e-6 if n > d else 1e-5)
    assert fid(other, one) == pytest.approx(fid(one, other), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [*SIZES, (60, 400)])
def test_fid_is_exact_where_covariances_are_singular(n: int, d: int) -> None:
    """The trace is the sum of the singular values of the product of the centred features, which has no small roots."""
    one, other = (features(n, d, seed, offset=0.3 + seed / 5).astype(np.float64) for seed in (0, 1))
    first, second = one - one.mean(axis=0), other - other.mean(axis=0)
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    spread = (first**2).sum() + (second**2).sum() - 2 * shared
    exact = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum() + spread / (n - 1)
    assert fid(one, other) == pytest.approx(exact, rel=1e-9)


class Through(nn.Module):
    """What torchmetrics takes for a network: the pictures are the features."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def torchmetrics_of(metric: Any, made: Features, real: Features) -> Any:
    metric.update(torch.from_numpy(made.astype(np.float64)), real=False)
    metric.update(torch.from_numpy(real.astype(np.float64)), real=True)
    return metric.compute()


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_fid_equals_torchmetrics(n: int, d: int) -> None:
    image = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is what is compared with")
    metric = image.FrechetInceptionDistance(feature=Through(d)).set_dtype(torch.float64)
    one, other = features(n, d, 0), features(n, d, 1, offset=0.5)
    theirs = float(torchmetrics_of(metric, one, other))
    assert fid(one, other) == pytest.approx(theirs, rel=1e-6 if n > d else 1e-5)


@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")
@pytest.mark.parametrize(("n", "d"), SIZES[:2])
def test_fid_equals_clean_fid(n: int, d: int) -> None:
    """Where covariances are singular, clean-fid adds 1e-6 to their diagonals, so that is left out."""
    clean = pytest.importorskip("cleanfid.fid", reason="clean-fid is what is compared with")
    one, other = features(n, d, 0), features(n, d, 1, offset=0.5)
    both = [
        (some.mean(axis=0, dtype=np.float64), np.cov(some.astype(np.float64), rowvar=False)) for some in (one, other)
    ]
    try:
        theirs = clean.frechet_distance(*both[0], *both[1])
    except (TypeError, ValueError) as error:  # newer SciPy's sqrtm returns one value
        pytest.skip(f"this clean-fid does not run with this SciPy: {error}")
    assert fid(one, other) == pytest.approx(float(theirs), rel=1e-6)


def test_fid_of_known_normal_distributions_is_that_of_the_formula() -> None:
    """Of independent features it is the sum of (mean - mean)² + (deviation - deviation)²."""
    unit = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=np.float32)
    deviation = np.sqrt(4 / 3)
    found = fid(unit * np.array([1, 2], np.float32), unit * np.array([3, 2], np.float32) + np.float32(5))
    assert found == pytest.approx(25 + 25 + (2 * deviation) ** 2, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [*SIZES, (2, 8)])
def test_fid_and_kid_of_the_same_pictures_are_about_zero_and_never_below(n: int, d: int) -> None:
    one = features(n, d)
    spread = float(np.trace(moments(one).covariance))
    for found in (fid(one, one), fid(one, one[::-1].copy()), fid(one[: n // 2 + 1], one[: n // 2 + 1])):
        assert 0 <= found < 1e-8 * spread + 1e-12
    assert kernel_distance(one, one)[0] <= 1e-9


def test_fid_is_biased_where_pictures_are_few_and_kid_is_not() -> None:
    """Two sets of 100 from one distribution of 64 features are 22 apart, of 5,000 less than one."""
    few = [(normal(100, 64, seed), normal(100, 64, seed + 50)) for seed in range(20)]
    assert np.mean([fid(*pair) for pair in few]) == pytest.approx(22.1, abs=0.4)
    assert fid(normal(5000, 64, 0), normal(5000, 64, 1)) < 0.5
    found = [kernel_distance(*pair)[0] for pair in few]
    apart = kernel_distance(few[0][0] + np.float32(0.5), few[0][1])[0]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert apart > 20 * np.std(found)


@pytest.mark.parametrize("size", [1, 3, 97, 1000, 1024, 2500])
def test_moments_of_pieces_are_those_of_all_at_once(size: int) -> None:
    rows = features(2500, 24) + np.float32(1000)  # far from 0, where a sum of squares loses its digits
    found = moments(*(rows[start : start + size] for start in range(0, len(rows), size)))
    exact = rows.astype(np.float64)
    assert found.n == 2500
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(exact, rowvar=False), rtol=1e-9, atol=1e-11)


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and numpy held at most during the work, beyond what they had."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    n, d = 30_000, 256
    rows = np.memmap(tmp_path / "features", np.float32, "w+", shape=(n, d))
    for start in range(0, n, 1000):
        rows[start : start + 1000] = normal(1000, d, start)
    whole = rows.nbytes
    queries = rows[n - 3 :].copy()
    assert peak(lambda: moments(rows)) < whole / 3
    assert peak(lambda: nearest(queries, rows)) < whole / 3
    assert peak(lambda: kernel_distance(rows, rows[: n // 2], subsets=2, subset_size=200)) < whole / 3
    assert nearest(queries, rows)[1].tolist() == [n - 3, n - 2, n - 1]


@pytest.mark.parametrize(("n", "m", "size"), [(120, 90, 50), (90, 90, 1000), (60, 200, 1000)])
def test_kid_equals_torch_fidelity(n: int, m: int, size: int) -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    made, real = features(n, 48, 0), features(m, 48, 1, offset=0.4)
    mean, error = kernel_distance(made, real, subsets=20, subset_size=size)
    theirs = kid_features_to_metric(
        *(torch.from_numpy(some.astype(np.float64)) for some in (made, real)),
        kid_subsets=20,
        kid_subset_size=min(n, m, size),
        rng_seed=2020,
        verbose=False,
    )
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert error is not None
    assert error > theirs["kernel_inception_distance_std"] / 20**0.5
    assert kernel_distance(made, real, subsets=20, subset_size=size, with_error=False) == (mean, None)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 24), (60, 200)])
def test_the_error_of_kid_is_how_far_it_is_off(n: int, m: int) -> None:
    """Where all subsets hold the same pictures too: their own standard deviation says 0 there."""
    found = [kernel_distance(features(n, 16, seed), features(m, 16, seed + 1000, offset=0.5), 4) for seed in range(100)]
    values, errors = np.array(found, dtype=float).T
    middle = kernel_distance(features(3000, 16, 7), features(3000, 16, 8, offset=0.5), 10, with_error=False).value
    assert 0.8 < np.sqrt((errors**2).mean()) / values.std() < 1.6
    within = np.abs(values - middle) < 1.96 * errors
    assert within.mean() > 0.85


def test_the_error_of_kid_is_the_jackknifes_by_leaving_out_one_after_the_other() -> None:
    made, real = features(9, 6, 0), features(12, 6, 1)
    assert kernel_distance(made[:2], real).error is None, "of two pictures none can be left out"
    whole = kernel_distance(made, real[:9])
    ours = [_mmd(np.delete(made, row, 0), real[:9]) for row in range(9)]
    theirs = [_mmd(made, np.delete(real[:9], row, 0)) for row in range(9)]
    assert whole.error == pytest.approx(np.sqrt(8 * np.var(ours) + 8 * np.var(theirs)), rel=1e-9)


def _mmd(made: Features, real: Features) -> float:
    """The unbiased squared maximum mean discrepancy, as it is written in the paper."""

    def kernel(one: Features, other: Features) -> Any:
        return (one.astype(np.float64) @ other.astype(np.float64).T / one.shape[1] + 1) ** 3

    ours, theirs = kernel(made, made), kernel(real, real)
    n, m = len(made), len(real)
    within = (ours.sum() - np.trace(ours)) / n / (n - 1) + (theirs.sum() - np.trace(theirs)) / m / (m - 1)
    return float(within - 2 * kernel(made, real).mean())


def test_the_error_of_kid_falls_as_pictures_are_more_than_it_is_worked_out_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from fgic_core.metrics import distances

    pairs = [(features(400, 16, seed), features(400, 16, seed + 50, offset=0.6)) for seed in range(8)]
    whole = [kernel_distance(*pair, 1).error for pair in pairs]
    monkeypatch.setattr(distances, "_JACKKNIFE", 100)
    few = [kernel_distance(*pair, 1).error for pair in pairs]
    assert np.mean(np.array(few) / np.array(whole)) == pytest.approx(1, abs=0.3)  # of 100 pictures it would be 2


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kid_equals_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.kid", reason="torchmetrics is what is compared with")
    made, real = features(80, 48, 0), features(80, 48, 1, offset=0.4)
    metric = image.KernelInceptionDistance(feature=Through(48), subsets=3, subset_size=80)
    assert kernel_distance(made, real)[0] == pytest.approx(float(torchmetrics_of(metric, made, real)[0]), rel=1e-6)


def test_kid_of_one_seed_is_the_same_and_leaves_the_global_random_numbers_alone() -> None:
    made, real = features(80, 16, 0), features(90, 16, 1)
    state = np.random.get_state()[1].tolist()
    assert kernel_distance(made, real, 5, 20) == kernel_distance(made, real, 5, 20)
    assert kernel_distance(made, real, 5, 20) != kernel_distance(made, real, 5, 20, seed=1)
    assert np.random.get_state()[1].tolist() == state


def test_precision_and_recall_equal_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    made, real = normal(150, 16, 0) * np.float32(0.8), normal(200, 16, 1)
    theirs = prc_features_to_metric(torch.from_numpy(made), torch.from_numpy(real), verbose=False)
    precision, recall = precision_recall(made, real)
    assert (precision, recall) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)
    assert precision > recall, "made pictures nearer to the middle are real enough, and do not cover the real ones"


def test_precision_is_of_the_made_pictures_and_recall_of_the_real_ones() -> None:
    real = normal(200, 8, 0)
    assert precision_recall(real.copy(), real) == (1.0, 1.0)
    collapsed = real[:1] + normal(200, 8, 1) * np.float32(1e-3)
    precision, recall = precision_recall(collapsed, real)
    assert precision == 1.0
    assert recall <= 0.01
    half_wrong = np.concatenate([real, real + np.float32(100)])
    assert precision_recall(half_wrong, real) == (0.5, 1.0)


def test_copies_are_found_at_distance_zero_among_large_features() -> None:
    """In float32, by a matrix product, a copy of features of 1e4 would be tens away."""
    real = normal(3000, 128, 0) * np.float32(1e4) + np.float32(5e4)
    queries = normal(40, 128, 1) * np.float32(1e4) + np.float32(5e4)
    planted = {0: 2999, 7: 0, 39: 1500}
    for row, place in planted.items():
        queries[row] = real[place]
    queries[8] = real[4] + np.float32(0.0625)
    distances, positions = nearest(queries, real)
    for row, place in planted.items():
        assert (distances[row], positions[row]) == (0.0, place)
    assert (distances[8], positions[8]) == (pytest.approx(0.0625 * np.sqrt(128), rel=1e-9), 4)
    assert (np.delete(distances, [0, 7, 8, 39]) > 1e4).all()


def test_the_nearest_is_the_nearest_of_all() -> None:
    queries, real = features(70, 20, 0), features(2100, 20, 1)
    apart = np.linalg.norm(queries[:, None].astype(np.float64) - real[None], axis=2)
    distances, positions = nearest(queries, real)
    np.testing.assert_allclose(distances, apart.min(axis=1), rtol=1e-12)
    assert positions.tolist() == apart.argmin(axis=1).tolist()


def test_a_row_is_not_its_own_neighbour_but_its_copy_is() -> None:
    real = normal(1500, 8, 0)
    real[1400] = real[3]
    distances, positions = nearest(real, real, same=True)
    assert (positions != np.arange(1500)).all()
    assert (positions[3], positions[1400]) == (1400, 3)
    assert (distances[[3, 1400]] == 0).all()
    assert (np.delete(distances, [3, 1400]) > 0).all()


def test_labels_agree_on_separate_blobs_and_not_when_they_are_swapped() -> None:
    labels = np.arange(120) % 3
    real = normal(120, 6, 0) + labels[:, None].astype(np.float32) * 50
    made = normal(60, 6, 1) + labels[:60, None].astype(np.float32) * 50
    assert label_agreement(made, labels[:60], real, labels).all()
    assert not label_agreement(made, (labels[:60] + 1) % 3, real, labels).any()
    half = np.where(np.arange(60) < 30, labels[:60], (labels[:60] + 1) % 3)
    assert label_agreement(made, half, real, labels).tolist() == [True] * 30 + [False] * 30


def test_of_labels_with_equally_many_neighbours_the_nearest_counts() -> None:
    real = np.array([[1.0], [2.0], [3.0], [4.0], [50.0]], dtype=np.float32)
    labels = np.array([1, 0, 0, 1, 2])
    zero = np.zeros((1, 1), dtype=np.float32)
    assert label_agreement(zero, np.array([1]), real, labels, k=4).all()
    assert label_agreement(zero, np.array([0]), real, labels, k=3).all()
    assert label_agreement(zero, np.array([1]), real, labels, k=2).all()
    assert label_agreement(zero, np.array([1]), real[:1], labels[:1]).all(), "fewer than k are all"


def test_diversity_is_the_mean_distance_within_classes() -> None:
    one = np.array([[0.0, 0.0], [3.0, 4.0], [7.0, 7.0], [7.0, 7.0], [9.0, 9.0]], dtype=np.float32)
    assert diversity(one, np.array([0, 0, 1, 1, 2])) == pytest.approx(2.5)
    many = features(400, 10)
    apart = np.linalg.norm(many[:, None].astype(np.float64) - many[None], axis=2)
    assert diversity(many, np.zeros(400, int)) == pytest.approx(apart.sum() / (400 * 399), rel=1e-9)
    assert diversity(np.repeat(many[:1], 9, axis=0), np.zeros(9, int)) == 0
    assert np.isnan(diversity(many[:3], np.arange(3)))


def test_features_that_are_all_the_same_give_finite_figures() -> None:
    flat, other = np.full((12, 8), 3.0, np.float32), np.full((12, 8), 5.0, np.float32)
    assert fid(flat, flat) == 0
    assert fid(flat, other) == pytest.approx(32)
    assert fid(flat, features(12, 8)) > 0
    assert kernel_distance(flat, flat) == (0, 0)
    assert precision_recall(flat, flat) == (1, 1)
    assert precision_recall(flat, other) == (0, 0)
    assert (nearest(flat, flat, same=True)[0] == 0).all()


def test_too_few_pictures_and_features_of_two_networks_are_refused() -> None:
    one, two = features(1, 8), features(20, 8)
    for compare in (kernel_distance, precision_recall, fid):
        for pair in ((one, two), (two, one)):
            with pytest.raises(DataError, match="at least two pictures"):
                compare(*pair)
        with pytest.raises(DataError, match="do not compare"):
            compare(two, features(20, 9))
    with pytest.raises(DataError, match="1 real pictures to be near to"):
        nearest(one, one, same=True)
    with pytest.raises(DataError, match="0 real pictures to be near to"):
        nearest(one, two[:0])
    with pytest.raises(DataError, match="no features to take the mean of"):
        fid(two, two[:0])
    with pytest.raises(DataError, match="not finite"):
        moments(np.full((2, 2), np.nan, np.float32))
    assert nearest(two[:0], two)[0].shape == (0,)
    assert precision_recall(two[:3], two, k=5)[1] <= 1, "k is lowered to what the pictures allow"
