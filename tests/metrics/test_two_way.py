"""An effect over seeds and pictures: its mean, its variance from both, its tests."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from fgic_core.metrics.two_way import Variances, sign_flip, sign_flip_floor, two_way


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_one_number_a_run_is_a_paired_t_test(rng):
    values = rng.normal(0.02, 0.01, 7)
    effect = two_way(values)
    by_scipy = stats.ttest_1samp(values, 0.0)
    interval = by_scipy.confidence_interval(0.95)
    assert effect.value == pytest.approx(values.mean(), abs=1e-15)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert effect.p_zero == pytest.approx(by_scipy.pvalue, rel=1e-9)
    assert effect.clusters == 0
    assert effect.df == 6
    for bound in (-0.01, 0.0, 0.015):
        above = stats.ttest_1samp(values, bound, alternative="greater").pvalue
        assert effect.p_above(bound) == pytest.approx(above, rel=1e-9)
        assert effect.p_below(bound) == pytest.approx(1 - above, rel=1e-9)


def test_equivalence_is_that_of_statsmodels(rng):
    one, other = rng.normal(0.8, 0.01, 9), rng.normal(0.8, 0.01, 9)
    p, _, _ = ttost_paired(one, other, -0.01, 0.01)
    assert two_way(one - other).p_equivalent(0.01) == pytest.approx(p, rel=1e-9)


def test_pictures_that_all_seeds_agree_on_give_the_pictures_own_variance(rng):
    pictures = rng.integers(-1, 2, 300).astype(float)
    effect = two_way(np.tile(pictures, (4, 1)))
    assert effect.error == pytest.approx(DescrStatsW(pictures).std_mean, rel=1e-12)
    assert effect.df == 3
    assert effect.variances == pytest.approx(Variances(0.0, pictures.var(ddof=1), 0.0))


def test_seeds_that_shift_every_picture_alike_give_the_seeds_own_variance(rng):
    seeds = rng.normal(0, 0.02, 6)
    effect = two_way(np.tile(seeds[:, None], (1, 200)))
    assert effect.error == pytest.approx(seeds.std(ddof=1) / math.sqrt(6), rel=1e-12)


def test_the_parts_are_those_that_the_numbers_were_drawn_with(rng):
    seeds, pictures = 40, 900
    table = (
        0.05
        + 0.3 * rng.standard_normal((seeds, 1))
        + 0.4 * rng.standard_normal((1, pictures))
        + 0.8 * rng.standard_normal((seeds, pictures))
    )
    effect = two_way(table)
    assert effect.variances.seeds == pytest.approx(0.09, rel=0.5)
    assert effect.variances.pictures == pytest.approx(0.16, rel=0.2)
    assert effect.variances.both == pytest.approx(0.64, rel=0.05)
    assert effect.error**2 == pytest.approx(effect.variances.of_mean(seeds, pictures), rel=1e-12)


def test_the_variance_is_that_of_two_way_clustering(rng):
    """Cameron, Gelbach and Miller: seeds' plus pictures' less that of both, where no part is below 0."""
    table = 0.5 * rng.standard_normal((5, 1)) + 0.5 * rng.standard_normal((1, 80)) + rng.standard_normal((5, 80))
    residual = table - table.mean()
    size, rest = table.size, table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    of_seeds = (residual.sum(1) ** 2).sum() / size**2 * 5 / 4
    of_pictures = (residual.sum(0) ** 2).sum() / size**2 * 80 / 79
    of_both = (rest**2).sum() / (4 * 79) / size
    assert two_way(table).error ** 2 == pytest.approx(of_seeds + of_pictures - of_both, rel=1e-12)


def test_a_test_set_doubled_by_copies_gives_no_narrower_interval(rng):
    table = rng.integers(-1, 2, (5, 120)).astype(float)
    once = two_way(table)
    twice = two_way(np.repeat(table, 2, axis=1), np.repeat(np.arange(120), 2))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high), rel=1e-12)
    assert twice.clusters == 120
    fooled = two_way(np.repeat(table, 2, axis=1))
    assert fooled.high - fooled.low < once.high - once.low


def test_clusters_of_different_sizes_are_linearised(rng):
    """The mean over pictures is a ratio: what a cluster adds is its deviation from the mean times its size."""
    sizes = np.array([1, 4, 2, 1, 3, 1, 5, 2])
    group = np.repeat(np.arange(8), sizes)
    values = rng.normal(0, 1, len(group)) + rng.normal(0, 2, 8)[group]
    table = np.tile(values, (3, 1))
    sums = np.bincount(group, values - values.mean())
    by_hand = math.sqrt((sums**2).sum() * 8 / 7) / len(group)
    effect = two_way(table, np.array([f"cluster {one}" for one in group]))
    assert effect.error == pytest.approx(by_hand, rel=1e-12)


def test_few_clusters_leave_no_more_degrees_of_freedom_than_they_have(rng):
    table = rng.normal(0, 1, (10, 6))
    assert two_way(table, np.array([0, 0, 1, 1, 2, 2])).df == 2


@pytest.mark.parametrize("shape", [(1, 50), (5, 1)])
def test_of_one_seed_or_one_picture_there_is_no_interval(shape):
    effect = two_way(np.ones(shape))
    assert effect.value == 1.0
    assert math.isnan(effect.low)
    assert math.isnan(effect.p_zero)
    assert math.isnan(effect.p_equivalent(0.1))


def test_where_nothing_varies_what_is_seen_is_so():
    same, apart = two_way(np.zeros((4, 30))), two_way(np.full((4, 30), 0.5))
    assert (same.low, same.high, same.p_zero, same.p_equivalent(0.01)) == (0.0, 0.0, 1.0, 0.0)
    assert (apart.p_zero, apart.p_above(0.01), apart.p_equivalent(0.01)) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("wrong", [np.array([]), np.array([[1.0, np.nan]]), np.zeros((2, 2, 2))])
def test_what_is_no_table_of_numbers_is_refused(wrong):
    with pytest.raises(ValueError, match="finite numbers by seed and picture"):
        two_way(wrong)


def test_clusters_of_other_pictures_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\) clusters are given for 4 pictures"):
        two_way(np.zeros((2, 4)), np.zeros(3))


def test_sign_flips_go_through_every_pattern(rng):
    values = rng.normal(0.5, 1, 8)
    means = [abs(np.mean(values * signs)) for signs in product((1, -1), repeat=8)]
    by_hand = np.mean(np.array(means) >= abs(values.mean()) - 1e-12)
    assert sign_flip(values) == pytest.approx(by_hand, rel=1e-12)


def test_sign_flips_have_a_floor():
    assert sign_flip((0.1, 0.2, 0.3, 0.1, 0.2)) == sign_flip_floor(5) == 0.0625
    assert sign_flip_floor(7) * 3 <= 0.05 < sign_flip_floor(6) * 3
    assert sign_flip_floor(9) * 9 <= 0.05 < sign_flip_floor(8) * 9
    assert sign_flip(np.zeros(5)) == 1.0


def test_many_seeds_signs_are_sampled_the_same_way_each_time(rng):
    values = rng.normal(0.2, 1, 20)
    assert sign_flip(values) == sign_flip(values)
    assert sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.05)
    assert sign_flip(values + 5) == pytest.approx(2 / 10_000, abs=1e-12)
