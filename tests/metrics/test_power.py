"""What a study will be able to show: against formulas that are known, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from fgic_core.metrics.power import (
    Variances,
    assumed,
    foretell,
    needed,
    power_of_difference,
    power_of_equivalence,
    power_of_margin,
    sign_flip_seeds,
)
from fgic_core.metrics.two_way import two_way

MANY = 100_000


@pytest.mark.parametrize("seeds", [3, 5, 8, 20])
@pytest.mark.parametrize("effect", [0.01, 0.03])
def test_over_seeds_alone_it_is_the_power_of_the_t_test(seeds, effect):
    seen = power_of_difference(effect, Variances(0.0004, 0.0, 0.0), seeds, 0, 0.05)
    # One-sided at half the level: a rejection in the wrong direction is none.
    known = TTestPower().power(effect / 0.02, seeds, 0.025, alternative="larger")
    assert seen == pytest.approx(known, abs=2e-3)


def test_over_pictures_alone_it_is_the_power_of_the_normal_test():
    error = math.sqrt(0.1 / 395)
    seen = power_of_difference(0.04, Variances(0.0, 0.1, 0.0), MANY, 395, 0.05)
    assert seen == pytest.approx(stats.norm.sf(1.95996 - 0.04 / error), abs=1e-3)


def test_what_395_pictures_can_show_of_one_pair_of_models():
    """10 % discordance: 4.5 points are told apart, 4.7 proved equivalent; at 1 point there is no power at all."""
    shown = foretell(MANY, 395, 1, Variances(0.0, 0.1, 0.0))
    assert shown.effect == pytest.approx(0.0446, abs=2e-4)
    assert shown.margin == pytest.approx(0.0466, abs=2e-4)
    assert power_of_equivalence(0.0, 0.01, Variances(0.0, 0.1, 0.0), MANY, 395, 0.05) == 0.0


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (3, 7), (9, 9)])
def test_seeds_that_the_sign_flip_test_needs(comparisons, seeds):
    assert sign_flip_seeds(comparisons) == seeds
    assert foretell(seeds, 400, comparisons, assumed()).sign_flip
    assert not foretell(seeds - 1, 400, comparisons, assumed()).sign_flip


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_can_show_nothing(seeds):
    shown = foretell(seeds, 5794, 1, assumed())
    assert (shown.effect, shown.margin) == (math.inf, math.inf)


def test_more_seeds_pictures_and_fewer_comparisons_show_more():
    effects = [
        foretell(*about, assumed()).effect for about in ((7, 400, 3), (14, 400, 3), (14, 4000, 3), (14, 4000, 1))
    ]
    assert effects == sorted(effects, reverse=True)
    assert len(set(effects)) == 4


def test_it_is_what_simulation_shows():
    rng, parts, hits, margins, same = np.random.default_rng(1), Variances(2e-4, 0.02, 0.1), 0, 0, 0
    seeds, pictures, studies = 6, 200, 1000
    noise = [math.sqrt(part) for part in parts]
    for _ in range(studies):
        table = (
            noise[0] * rng.standard_normal((seeds, 1))
            + noise[1] * rng.standard_normal((1, pictures))
            + noise[2] * rng.standard_normal((seeds, pictures))
        )
        effect = two_way(table + 0.04)
        hits += effect.p_above(0) < 0.025
        margins += effect.p_above(0.01) < 0.05
        same += two_way(table).p_equivalent(0.04) < 0.05
    spread = 3.3 * 0.5 / math.sqrt(studies)
    assert hits / studies == pytest.approx(power_of_difference(0.04, parts, seeds, pictures, 0.05), abs=spread)
    assert margins / studies == pytest.approx(power_of_margin(0.04, 0.01, parts, seeds, pictures, 0.05), abs=spread)
    assert same / studies == pytest.approx(power_of_equivalence(0, 0.04, parts, seeds, pictures, 0.05), abs=spread)


def test_what_would_settle_it_does_and_one_less_does_not():
    parts = Variances(2e-4, 0.01, 0.05)
    found = needed(0.02, parts, 6, 395, 1, 0.01)
    assert not found.equivalent
    assert found.seeds is not None
    assert power_of_difference(0.02, parts, found.seeds, 395, 0.05) >= 0.8
    assert power_of_difference(0.02, parts, found.seeds - 1, 395, 0.05) < 0.8
    same = needed(0.001, Variances(1e-5, 0.01, 0.05), 7, 395, 1, 0.01)
    assert same.equivalent
    assert same.pictures is not None
    assert power_of_equivalence(0.001, 0.01, Variances(1e-5, 0.01, 0.05), 7, same.pictures, 0.05) >= 0.8


def test_where_neither_more_seeds_nor_more_pictures_settle_it_both_may():
    found = needed(0.01, Variances(2e-4, 0.05, 0.05), 7, 395, 1, 0.0)
    assert (found.seeds, found.pictures) == (None, None)
    assert found.both is not None
    seeds, pictures = found.both
    assert seeds == 20
    assert power_of_difference(0.01, Variances(2e-4, 0.05, 0.05), seeds, pictures, 0.05) >= 0.8


def test_many_seeds_are_asked_for_before_it_is_said_that_nothing_settles_it():
    parts = Variances(2e-3, 0.05, 0.05)  # twenty seeds are too few, however many pictures there are
    found = needed(0.018, parts, 6, 120, 3, 0.0)
    assert (found.seeds, found.pictures) == (None, None)
    assert found.both is not None
    seeds, pictures = found.both
    assert seeds == 80
    assert (
        power_of_difference(0.018, parts, seeds, pictures, 0.05 / 3)
        >= 0.8
        > power_of_difference(0.018, parts, seeds // 2, 10_000_000, 0.05 / 3)
    )


def test_no_effect_at_all_and_no_margin_is_never_settled():
    assert needed(0.0, assumed(), 7, 395, 1, 0.0)[:3] == (None, None, None)
