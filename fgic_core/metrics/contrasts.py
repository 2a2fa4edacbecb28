"""What a step is worth where several pipelines were run: every effect as weights of the pipelines.

The value of a set of steps is what the pipeline that has them measures. Each effect is a sum of such values with
weights, so that one way to find intervals serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import factorial

#: The steps that a pipeline has.
Steps = frozenset[str]
#: The pipelines of an effect, each with its weight. The weights add up to 0.
Weights = Mapping[Steps, float]


def leave_one_out(steps: Iterable[str], step: str) -> Weights:
    """What the full pipeline loses without the step: positive where the step helps."""
    full = frozenset(steps)
    return {full: 1.0, full - {step}: -1.0}


def add_one_in(step: str) -> Weights:
    """What the step adds to the pipeline that has none of the steps."""
    return {frozenset({step}): 1.0, frozenset(): -1.0}


def total(steps: Iterable[str]) -> Weights:
    """What all steps add together."""
    return {frozenset(steps): 1.0, frozenset(): -1.0}


def shapley(steps: Iterable[str], step: str) -> Weights:
    """The Shapley value: what the step adds, averaged over all orders in which the steps could be added.

    Those of all steps sum to `total` (Shapley, "A value for n-person games", 1953).
    """
    others = sorted(frozenset(steps) - {step})
    count = len(others) + 1
    weights: dict[Steps, float] = {}
    for size in range(count):
        share = factorial(size) * factorial(count - size - 1) / factorial(count)
        for chosen in map(frozenset, combinations(others, size)):
            weights[chosen | {step}] = share
            weights[chosen] = -share
    return weights


def interaction(steps: Iterable[str], one: str, other: str) -> Weights:
    """What two steps add together beyond what each adds alone, averaged over what else there may be.

    The Shapley interaction index (Grabisch and Roubens 1999): above 0 where they need each other, below 0 where they do
    the same work.
    """
    others = sorted(frozenset(steps) - {one, other})
    count = len(others) + 2
    weights: dict[Steps, float] = {}
    for size in range(count - 1):
        share = factorial(size) * factorial(count - size - 2) / factorial(count - 1)
        for chosen in map(frozenset, combinations(others, size)):
            for extra, sign in (({one, other}, 1), ({one}, -1), ({other}, -1), (set[str](), 1)):
                weights[chosen | extra] = weights.get(chosen | extra, 0.0) + sign * share
    return weights
