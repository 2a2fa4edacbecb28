"""What steps are worth: weights of pipelines, against brute force."""

from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np
import pytest

from fgic_core.metrics.contrasts import add_one_in, interaction, leave_one_out, shapley, total

STEPS = ("boxes", "crops", "synthetic", "tricks")


def _worth(weights, values):
    return sum(weight * values[steps] for steps, weight in weights.items())


@pytest.fixture
def values():
    rng = np.random.default_rng(5)
    sets = chain.from_iterable(combinations(STEPS, size) for size in range(len(STEPS) + 1))
    return {frozenset(one): float(rng.normal()) for one in sets}


def test_shapley_values_are_the_mean_over_all_orders(values):
    for step in STEPS:
        gains = []
        for order in permutations(STEPS):
            before = frozenset(order[: order.index(step)])
            gains.append(values[before | {step}] - values[before])
        assert _worth(shapley(STEPS, step), values) == pytest.approx(np.mean(gains), abs=1e-12)


def test_shapley_values_sum_to_the_total(values):
    parts = sum(_worth(shapley(STEPS, step), values) for step in STEPS)
    assert abs(parts - _worth(total(STEPS), values)) < 1e-12


def test_a_step_that_adds_the_same_everywhere_has_that_worth_in_every_way():
    values = {}
    for size in range(4):
        for one in combinations(STEPS[:3], size):
            values[frozenset(one)] = 2.0 * ("crops" in one) - 1.0 * ("boxes" in one)
    for way in (leave_one_out(STEPS[:3], "crops"), add_one_in("crops"), shapley(STEPS[:3], "crops")):
        assert _worth(way, values) == pytest.approx(2.0, abs=1e-12)
    assert _worth(interaction(STEPS[:3], "boxes", "crops"), values) == pytest.approx(0.0, abs=1e-12)


def test_steps_that_need_each_other_interact():
    needs = {
        frozenset(one): float(set(one) >= {"boxes", "crops"}) for n in range(3) for one in combinations(STEPS[:2], n)
    }
    assert _worth(interaction(STEPS[:2], "boxes", "crops"), needs) == 1.0
    assert _worth(leave_one_out(STEPS[:2], "boxes"), needs) == 1.0
    assert _worth(add_one_in("boxes"), needs) == 0.0
    assert _worth(shapley(STEPS[:2], "boxes"), needs) == 0.5


def test_the_interaction_index_is_the_mean_over_what_else_there_is(values):
    """Grabisch and Roubens 1999, by the definition."""
    others = [one for one in STEPS if one not in ("boxes", "crops")]
    by_hand = 0.0
    for chosen, share in (((), 1 / 3), ((others[0],), 1 / 6), ((others[1],), 1 / 6), (tuple(others), 1 / 3)):
        at = frozenset(chosen)
        by_hand += share * (
            values[at | {"boxes", "crops"}] - values[at | {"boxes"}] - values[at | {"crops"}] + values[at]
        )
    assert _worth(interaction(STEPS, "boxes", "crops"), values) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("way", [shapley(STEPS, "boxes"), interaction(STEPS, "boxes", "crops"), total(STEPS)])
def test_weights_add_up_to_nothing(way):
    assert sum(way.values()) == pytest.approx(0.0, abs=1e-15)
