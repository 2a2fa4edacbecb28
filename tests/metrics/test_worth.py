"""How many real pictures do as well as a target: the number, its interval, and what lies beyond the curve."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fgic_core.metrics.two_way import two_way
from fgic_core.metrics.worth import Rate, Reached, rate, reached

Array = np.ndarray[Any, Any]
SIZES = (40, 80, 160)


def _simulated() -> ModuleType:
    """The simulated studies of the benchmarks, which draw many more of them."""
    path = Path(__file__).parents[2] / "benchmarks" / "simulated_studies.py"
    spec = importlib.util.spec_from_file_location("simulated_studies", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _steady(*means: float, seeds: int = 5, pictures: int = 50) -> list[Array]:
    """Tables in which nothing varies."""
    return [np.full((seeds, pictures), mean) for mean in means]


def _noisy(*means: float, sd: float, seeds: int = 6, rng: np.random.Generator) -> list[Array]:
    """One number a run, a table a mean; the means are exactly these."""
    noise = rng.normal(0, sd, (len(means), seeds))
    return [mean + row - row.mean() for mean, row in zip(means, noise, strict=True)]


def test_between_two_sizes_the_curve_is_linear_in_the_logarithm_of_the_size():
    target, *curve = _steady(0.75, 0.6, 0.7, 0.8)
    found = reached(target, curve, SIZES)
    assert found.value == pytest.approx(math.sqrt(80 * 160), rel=1e-12), "half the way in accuracy is half that of logs"
    assert (found.low, found.high) == pytest.approx((found.value, found.value), rel=1e-6), "where nothing varies"
    assert (found.first, found.last, found.target, found.means) == (40, 160, 0.75, (0.6, 0.7, 0.8))


@pytest.mark.parametrize(("mean", "size"), [(0.6, 40), (0.7, 80), (0.8, 160)])
def test_at_a_size_that_was_measured_the_curve_is_what_was_measured(mean, size):
    target, *curve = _steady(mean, 0.6, 0.7, 0.8)
    found = reached(target, curve, SIZES)
    assert found.value == pytest.approx(size, rel=1e-12)


def test_beyond_the_curve_nothing_is_said_but_on_which_side():
    above, below, *curve = _steady(0.9, 0.5, 0.6, 0.7, 0.8)
    more, less = reached(above, curve, SIZES), reached(below, curve, SIZES)
    assert (more.value, more.low, more.high) == (math.inf, pytest.approx(160), math.inf)
    assert (less.value, less.low, less.high) == (-math.inf, -math.inf, pytest.approx(40))
    assert rate(more, 40, 60) == Rate(math.inf, pytest.approx(2.0), math.inf, 0.0, 2.0)
    assert rate(less, 60, 40) == Rate(-math.inf, -math.inf, pytest.approx(-0.5), -0.5, 2.5)


def test_one_synthetic_picture_is_worth_its_share_of_the_real_ones_that_they_all_replace():
    found = Reached(116.0, 98.0, math.inf, 40.0, 160.0, 0.7, (0.6, 0.8), two_way(np.zeros(3)))
    assert rate(found, 80, 120) == Rate(0.3, 0.15, math.inf, pytest.approx(-1 / 3), pytest.approx(2 / 3))
    assert rate(found, 0, 116).value == 1.0, "synthetic ones alone"
    with pytest.raises(ValueError, match="no synthetic pictures"):
        rate(found, 80, 0)


def test_a_curve_that_noise_bends_is_taken_for_its_isotonic_regression():
    target, *curve = _steady(0.725, 0.6, 0.75, 0.7, 0.8)
    found = reached(target, curve, (40, 80, 160, 320))
    assert found.value == pytest.approx(80, rel=1e-9), "both pooled are 0.725, which the first of them reaches"
    assert found.low <= found.value <= found.high
    assert found.means == (0.6, 0.75, 0.7, 0.8), "what was measured is told as it was measured"


def test_the_interval_is_that_of_fieller():
    """One number a run and two sizes: the roots of a quadratic equation in the share of the way between them."""
    rng = np.random.default_rng(5)
    target, low, high = _noisy(0.71, 0.6, 0.8, sd=0.008, rng=rng)
    apart, rise = target - low, high - low
    a, b, quantile = apart.mean(), rise.mean(), stats.t.ppf(0.975, 5)
    cov = np.cov(apart, rise) / 6 * quantile**2
    roots = np.sort(np.roots([b**2 - cov[1, 1], -2 * (a * b - cov[0, 1]), a**2 - cov[0, 0]]).real)
    found = reached(target, [low, high], (50, 200))
    assert (found.low, found.high) == pytest.approx(tuple(50 * 4**roots), rel=1e-9)
    assert found.value == pytest.approx(50 * 4 ** (a / b), rel=1e-9)


def test_at_the_ends_of_the_interval_the_target_is_just_not_told_from_the_curve():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 0.3, 200)
    tables = [mean + shared + rng.normal(0, 0.3, (7, 200)) for mean in (0.72, 0.6, 0.7, 0.78)]
    clusters = np.arange(200) // 2
    found = reached(tables[0], tables[1:], SIZES, clusters)
    assert 40 < found.low < found.value < found.high < 160
    for size, bound in ((found.low, "low"), (found.high, "high")):
        after = 2 if size < 80 else 3
        share = math.log(size / SIZES[after - 2]) / math.log(2)
        effect = two_way(tables[0] - (1 - share) * tables[after - 1] - share * tables[after], clusters)
        assert getattr(effect, bound) == pytest.approx(0.0, abs=1e-9)
    assert found.rise == two_way(tables[3] - tables[1], clusters)


def test_where_the_end_of_the_curve_is_not_told_from_the_target_the_interval_is_open():
    rng = np.random.default_rng(2)
    target, *curve = _noisy(0.79, 0.6, 0.7, 0.8, sd=0.02, rng=rng)
    found = reached(target, curve, SIZES)
    assert math.isfinite(found.value)
    assert (math.isfinite(found.low), found.high) == (True, math.inf)
    target, *curve = _noisy(0.615, 0.6, 0.7, 0.8, sd=0.02, rng=rng)
    found = reached(target, curve, SIZES)
    assert math.isfinite(found.value)
    assert (found.low, math.isfinite(found.high)) == (-math.inf, True)
    target, *curve = _noisy(0.7, 0.7, 0.7, 0.7, sd=0.02, rng=rng)
    flat = reached(target, curve, SIZES)
    assert (flat.low, flat.high) == (-math.inf, math.inf), "a curve that does not rise measures nothing"
    assert flat.rise.p_zero > 0.05


def test_of_a_single_seed_there_is_a_number_and_no_interval():
    target, *curve = _steady(0.75, 0.6, 0.7, 0.8, seeds=1)
    found = reached(target, curve, SIZES)
    assert found.value == pytest.approx(math.sqrt(80 * 160))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_an_interval_that_is_narrower_than_a_step_is_found():
    rng = np.random.default_rng(3)
    target, *curve = _noisy(0.7031, 0.6, 0.8, sd=1e-6, rng=rng)
    found = reached(target, curve, (40, 160))
    assert found.low < found.value < found.high
    assert found.high / found.low < 1.0001


@pytest.mark.parametrize(
    ("sizes", "tables"),
    [((40,), 1), ((40, 40), 2), ((80, 40), 2), ((0, 40), 2), ((40, 80, 160), 2)],
)
def test_what_is_no_curve_is_refused(sizes, tables):
    with pytest.raises(ValueError, match="sizes"):
        reached(np.zeros((2, 3)), [np.zeros((2, 3))] * tables, sizes)


def test_tables_of_other_runs_are_refused():
    with pytest.raises(ValueError, match="tables of"):
        reached(np.zeros((2, 3)), [np.zeros((2, 3)), np.zeros((3, 3))], (40, 80))


@pytest.mark.parametrize(("world", "seeds", "size"), [("SEEDS", 20, 60), ("BOTH", 7, 110)])
def test_the_planted_number_is_covered(world, seeds, size):
    """``benchmarks/worth.py`` draws many more, in more conditions."""
    simulated = _simulated()
    means = (0.7, 0.78, 0.84)
    accuracy = float(np.interp(math.log(size), np.log(SIZES), means))
    like = getattr(simulated, world)
    like = type(like)(like.name, 200, like.seed_sd, like.own, accuracy=accuracy)
    rng, studies, covered, values = np.random.default_rng(8), 40, 0, []
    for _ in range(studies):
        target, *curve = simulated.outcomes(like, [accuracy - one for one in means], ["normal"] * 4, seeds, rng)
        found = reached(target, curve, SIZES)
        covered += found.low <= size <= found.high
        values.append(found.value)
    assert covered / studies >= 0.93 - 0.08, "less what chance takes of 40"
    assert np.median(values) == pytest.approx(size, rel=0.2)
