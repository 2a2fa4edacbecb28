"""Two models on the same pictures, and the overlap of several models' errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fgic_core.metrics.pairs import bca, mcnemar, overlap


def _answers(both: int, first: int, second: int, neither: int):
    one = [1] * both + [1] * first + [0] * second + [0] * neither
    other = [1] * both + [0] * first + [1] * second + [0] * neither
    return np.array(one, dtype=bool), np.array(other, dtype=bool)


def test_mcnemar_is_the_exact_binomial_test():
    found = mcnemar(*_answers(300, 30, 12, 53))
    assert found[:4] == (300, 30, 12, 53)
    assert found.p == pytest.approx(stats.binomtest(12, 42, 0.5).pvalue, rel=1e-12)
    assert found.discordance == pytest.approx(42 / 395)


def test_models_that_answer_alike_are_not_told_apart():
    assert mcnemar(*_answers(80, 0, 0, 20)).p == 1.0
    assert mcnemar(*_answers(80, 5, 5, 20)).p == 1.0


def test_answers_to_other_pictures_are_refused():
    with pytest.raises(ValueError, match="same pictures"):
        mcnemar(np.ones(3), np.ones(4))


def test_bca_is_scipys():
    values = np.random.default_rng(0).integers(-1, 2, 200).astype(float)
    own = bca(values)
    by_scipy = stats.bootstrap((values,), np.mean, n_resamples=2000, rng=np.random.default_rng(0)).confidence_interval
    assert own.value == pytest.approx(values.mean())
    assert (own.low, own.high) == pytest.approx((by_scipy.low, by_scipy.high), abs=0.01)
    assert bca(values) == own


def test_copies_make_an_interval_no_narrower():
    values = np.random.default_rng(1).integers(0, 2, 100).astype(float)
    once = bca(values)
    twice = bca(np.repeat(values, 2), np.repeat(np.arange(100), 2))
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=1e-9)
    alone = bca(np.repeat(values, 2))
    assert alone.high - alone.low < 0.8 * (once.high - once.low)


def test_bca_where_there_is_no_interval_or_no_spread():
    assert bca(np.ones(10)) == (1.0, 1.0, 1.0)
    value, low, high = bca(np.array([1.0, 0.0]), np.zeros(2))
    assert value == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    with pytest.raises(ValueError, match="no picture"):
        bca(np.array([]))


def test_the_overlap_of_errors():
    right = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], dtype=bool)
    found = overlap(right)
    assert (found.all_right, found.all_wrong, found.any_right) == (0.25, 0.0, 1.0)
    assert found.shared_errors[0].tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(found.shared_errors[2]).all()
