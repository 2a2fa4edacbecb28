"""Verdicts: the rule, Holm's correction, and how often they are wrong in studies whose truth is known."""

from __future__ import annotations

import gc
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from fgic_core.metrics.two_way import two_way
from fgic_core.metrics.verdicts import LEVEL, STRICT_LEVEL, Verdict, holm, judge, least, level_of


def _seeds(mean: float, spread: float, count: int = 7):
    """An effect of one number a run, whose seeds lie evenly around the mean."""
    return two_way(mean + spread * np.linspace(-1, 1, count))


@pytest.mark.parametrize(
    ("effect", "verdict", "of_step", "of_level"),
    [
        (_seeds(0.001, 0.002), Verdict.EQUIVALENT, "equivalent", "equivalent"),
        (_seeds(0.03, 0.005), Verdict.ABOVE_MARGIN, "necessary", "better by more than the margin"),
        (_seeds(0.012, 0.008), Verdict.ABOVE_ZERO, "helpful", "better"),
        (_seeds(-0.012, 0.008), Verdict.BELOW_ZERO, "harmful", "worse"),
        (_seeds(-0.03, 0.005), Verdict.BELOW_ZERO, "harmful", "worse"),
        (_seeds(0.01, 0.04), Verdict.UNDECIDED, "undecided", "undecided"),
    ],
)
def test_the_verdict_follows_the_rule(effect, verdict, of_step, of_level):
    found = judge({"it": effect}, 0.01)["it"].verdict
    assert (found, found.of_step, found.of_level) == (verdict, of_step, of_level)


def test_an_effect_within_the_margin_is_equivalent_though_it_is_not_none():
    judged = judge({"it": _seeds(0.004, 0.002)}, 0.01)["it"]
    assert judged.p_zero < 0.05
    assert judged.verdict is Verdict.EQUIVALENT


def test_without_a_margin_nothing_is_equivalent():
    assert judge({"it": two_way(np.zeros((7, 400)))}, 0.0)["it"].verdict is Verdict.UNDECIDED
    assert judge({"it": two_way(np.zeros((7, 400)))}, 0.01)["it"].verdict is Verdict.EQUIVALENT


def test_pictures_that_do_not_vary_prove_no_more_than_so_many_can():
    """Of fifty pictures, none differs in six studies of ten whose pipelines differ on one in a hundred."""
    same = judge({"it": two_way(np.zeros((7, 50)))}, 0.01)["it"]
    assert same.verdict is Verdict.UNDECIDED
    assert same.p_equivalent == pytest.approx(0.99**50)
    one = np.zeros((7, 395))
    one[:, 0] = 1
    seen = judge({"it": two_way(one)}, 0.01)["it"]
    assert seen.p_equivalent == pytest.approx(0.99**395 + 395 * 0.01 * 0.99**394)
    two = judge({"it": two_way(np.ones((7, 2)))}, 0.01)["it"]
    assert two.verdict is Verdict.UNDECIDED
    assert (two.p_zero, two.p_margin) == (0.5, pytest.approx(0.505**2))
    copies = judge({"it": two_way(np.ones((7, 20)), np.repeat([0, 1], 10))}, 0.01)["it"]
    assert (copies.verdict, copies.p_zero) == (Verdict.UNDECIDED, 0.5), "two pictures in ten copies each"
    assert judge({"it": two_way(np.ones((7, 20)))}, 0.01)["it"].verdict is Verdict.ABOVE_MARGIN
    number = judge({"it": two_way(np.ones(7))}, 0.01)["it"]
    assert number.p_zero == 2.0**-6


def test_an_effect_that_hardly_any_picture_shows_is_seldom_called_equivalent():
    """False equivalence where one arm is always right and the other wrong on a share of pictures, with every seed."""
    rng = np.random.default_rng(0)
    for share, margin, pictures in ((0.02, 0.02, 50), (0.05, 0.05, 50), (0.05, 0.05, 20), (0.01, 0.01, 395)):
        wrong = 0
        for _ in range(400):
            table = np.repeat((rng.random(pictures) < share)[None].astype(float), 7, axis=0)
            effect = two_way(table)
            wrong += max(effect.p_equivalent(margin), least(effect, margin).same) < LEVEL
        assert wrong <= 0.05 * 400 + 2 * (0.05 * 0.95 * 400) ** 0.5, (share, margin, pictures)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(count):
    judged = judge({"it": two_way(np.full((count, 400), 0.5))}, 0.01)["it"]
    assert judged.verdict is Verdict.UNDECIDED


def test_few_seeds_are_held_to_a_stricter_level():
    assert [level_of(n) for n in (3, 5, 6, 20)] == [STRICT_LEVEL, STRICT_LEVEL, LEVEL, LEVEL]
    effect = two_way(np.array([0.02, 0.03, 0.045, 0.06]))
    assert STRICT_LEVEL < effect.p_zero < LEVEL
    assert judge({"it": effect}, 0.0)["it"].verdict is Verdict.UNDECIDED


def test_holm_counts_the_family():
    effect = _seeds(0.012, 0.0132)
    assert 0.05 / 4 < effect.p_zero < 0.05
    none = {f"other {n}": _seeds(0.0, 0.05) for n in range(3)}
    assert judge({"it": effect}, 0.0)["it"].verdict is Verdict.ABOVE_ZERO  # no margin, nothing above it
    family = judge({"it": effect, **none}, 0.0)
    assert family["it"].verdict is Verdict.UNDECIDED
    assert family["it"].p_zero == pytest.approx(4 * effect.p_zero)


def test_a_comparison_that_has_no_effect_counts_all_the_same():
    effect = _seeds(0.012, 0.0132)
    judged = judge({"it": effect}, 0.01, lacking=3)["it"]
    assert judged.p_zero == pytest.approx(4 * effect.p_zero)
    assert judged.p_margin == pytest.approx(min(1, 4 * effect.p_above(0.01)))
    assert judged.p_equivalent == pytest.approx(min(1, 4 * effect.p_equivalent(0.01)))
    assert judged.sign_flip_floor == 4 * 2**-6
    assert judge({}, 0.01, lacking=3) == {}


def test_each_null_has_its_own_correction():
    family = {"a": _seeds(0.03, 0.01), "b": _seeds(0.001, 0.002), "c": _seeds(-0.02, 0.03)}
    judged = judge(family, 0.01)
    for own, given in (
        ("p_zero", [one.p_zero for one in family.values()]),
        ("p_margin", [one.p_above(0.01) for one in family.values()]),
        ("p_equivalent", [one.p_equivalent(0.01) for one in family.values()]),
    ):
        assert [getattr(one, own) for one in judged.values()] == pytest.approx(multipletests(given, method="holm")[1])


def test_holm_keeps_what_is_not_known_and_counts_it():
    assert holm([]) == []
    found = holm([0.01, math.nan, 0.04])
    assert (found[0], found[2]) == pytest.approx((0.03, 0.08))
    assert math.isnan(found[1])


def test_the_sign_flip_test_says_where_it_cannot_speak():
    three = judge({str(n): _seeds(0.1, 0.01, 6) for n in range(3)}, 0.0)
    assert not any(one.sign_flip_can_speak for one in three.values())
    assert three["0"].sign_flip_floor == pytest.approx(3 * 2**-5)
    seven = judge({str(n): _seeds(0.1, 0.01, 7) for n in range(3)}, 0.0)
    assert all(one.sign_flip_can_speak for one in seven.values())
    assert seven["0"].p_sign_flip == pytest.approx(3 * 2**-6)


@pytest.fixture(scope="module")
def simulated():
    """The generator of the benchmark `verdicts.py`, which draws a thousand studies where this draws some."""
    path = Path(__file__).parents[2] / "benchmarks" / "simulated_studies.py"
    spec = importlib.util.spec_from_file_location("simulated_studies", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    gc.freeze()  # statsmodels collects garbage at each correction
    yield module
    gc.unfreeze()


def _wrong(simulated, world, shape, effect, seeds, says, studies=150):
    """The share of studies with such a verdict."""
    rng = np.random.default_rng(11)
    count = 0
    for _ in range(studies):
        right = simulated.outcomes(world, (effect,), (shape, shape), seeds, rng)
        judged = judge({"it": two_way(right[0].astype(np.float32) - right[1])}, 0.01)["it"]
        count += judged.verdict in says
    return count / studies


HELPFUL = (Verdict.ABOVE_MARGIN, Verdict.ABOVE_ZERO)


# Of 150 studies 5 % wrong ones are 17 or fewer in 999 of 1000 runs.
@pytest.mark.parametrize("shape", ["normal", "skewed"])
@pytest.mark.parametrize(
    ("effect", "says"), [(0.0, HELPFUL), (0.0, (Verdict.BELOW_ZERO,)), (0.01, (Verdict.ABOVE_MARGIN,))]
)
@pytest.mark.parametrize("seeds", [3, 7])
def test_verdicts_are_seldom_wrong(simulated, shape, effect, says, seeds):
    assert _wrong(simulated, simulated.SEEDS, shape, effect, seeds, says) <= 17 / 150


def test_equivalence_is_seldom_proved_of_what_differs_by_the_margin(simulated):
    world = simulated.World("large", pictures=3000, seed_sd=0.002, own=0.0, shared=0.8)
    assert _wrong(simulated, world, "normal", 0.01, 7, (Verdict.EQUIVALENT,), studies=100) <= 13 / 100
    assert _wrong(simulated, world, "normal", 0.0, 7, (Verdict.EQUIVALENT,), studies=100) > 0.5


def test_a_test_of_two_models_would_call_seeds_of_one_pipeline_different(simulated):
    """Why McNemar gives no verdict about a step: the pictures are many, and seeds differ."""
    from fgic_core.metrics.pairs import mcnemar

    rng = np.random.default_rng(2)
    world = simulated.World("one pipeline", pictures=5794, seed_sd=0.01, own=0.0, shared=0.9)
    different = 0
    for _ in range(60):
        one, other = simulated.outcomes(world, (), ("normal",), 2, rng)[0]
        different += mcnemar(one, other).p < 0.05
    assert different / 60 > 0.3
