"""How many real pictures a synthetic one is worth: where a learning curve reaches what an arm with both measures.

Pipelines that learn from real pictures alone, of several numbers, are a curve. The number of real pictures at which it
is as good as a pipeline with real and synthetic ones, less the real ones that this has, over its synthetic ones, is
what one of them is worth: an exchange rate, and not a difference in accuracy, which depends on how steep the curve is
there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fgic_core.metrics.two_way import Effect, two_way

Array = np.ndarray[Any, Any]

#: Between two sizes of the curve the contrast is looked at in so many steps; what lies between two of them that differ
#: is then found exactly.
_STEPS = 8
#: What is this near to the bound of a test is on it.
_ROUNDING = 1e-12


class Reached(NamedTuple):
    """The number of real pictures alone with which the curve is as good as a target.

    Attributes:
        value: the number; infinite where the target is better than all of the curve, -infinite where it is worse.
        low, high: the 95 % interval; -infinite or infinite where it goes beyond the curve, where nothing was measured;
            NaN with fewer than two seeds or two clusters of pictures.
        first, last: the sizes at which the curve begins and ends.
        target: what the target measures; means: (sizes,) what the curve does, over the same seeds.
        rise: the last of the curve less its first. Where that is not told from 0 there is no curve to measure by.
    """

    value: float
    low: float
    high: float
    first: float
    last: float
    target: float
    means: tuple[float, ...]
    rise: Effect


class Rate(NamedTuple):
    """How many real pictures one synthetic picture is worth.

    Attributes:
        value, low, high: the number and its 95 % interval; infinite and NaN as `Reached` has them.
        least, most: what is said where one of them is beyond the curve: less than the one, more than the other.
    """

    value: float
    low: float
    high: float
    least: float
    most: float


def reached(target: Array, curve: Sequence[Array], sizes: Sequence[float], clusters: Array | None = None) -> Reached:
    """The number of real pictures alone with which the curve is as good as the target.

    Between two neighbouring sizes the curve is taken to be linear in the logarithm of the size, and beyond its ends
    nothing is taken. Where noise bends it downwards, the point estimate goes by its isotonic regression. The interval
    holds every size at which the target less the curve is not told from 0, by t over the variance of seeds and pictures
    (`two_way`): it is that of a ratio (Fieller 1954), which may be open to either side, and no step of it assumes that
    an estimated slope is the true one.

    Args:
        target: (seeds, pictures) or (seeds,): what each run measures, more being better.
        curve: the same of each size, of the same seeds and pictures.
        sizes: how many real pictures each has, in ascending order.
        clusters: (pictures,) equal for pictures that are not independent; see `two_way`.

    Raises:
        ValueError: there are fewer than two sizes, they do not ascend, or the tables differ in their shape.
    """
    tables = [np.asarray(one, dtype=np.float64) for one in (target, *curve)]
    places = np.log(np.asarray(sizes, dtype=np.float64)) if all(size > 0 for size in sizes) else np.zeros(0)
    if len(places) < 2 or (np.diff(places) <= 0).any():
        raise ValueError(f"a curve takes two sizes or more, ascending from above 0, and not {list(sizes)}")
    if len(curve) != len(sizes) or len({table.shape for table in tables}) > 1:
        raise ValueError(f"{len(sizes)} sizes are given for tables of {[table.shape for table in tables[1:]]}")
    means = tuple(float(table.mean()) for table in tables[1:])
    mean, rise = float(tables[0].mean()), two_way(tables[-1] - tables[1], clusters)
    value = _crossing(mean, means, places)
    low, high = _interval(tables[0], tables[1:], places, clusters)
    if not math.isnan(low):  # where noise bent the curve, what was pooled may lie outside of what the pieces allow
        low, high = min(low, value), max(high, value)
    ends = float(sizes[0]), float(sizes[-1])
    return Reached(_size(value), _size(low), _size(high), *ends, mean, means, rise)


def rate(found: Reached, real: float, synthetic: float) -> Rate:
    """What one synthetic picture is worth.

    Args:
        found: where the curve is as good as the target.
        real, synthetic: how many pictures of each the target has.

    Raises:
        ValueError: it has no synthetic ones.
    """
    if not synthetic > 0:
        raise ValueError("what has no synthetic pictures shows nothing of their worth")
    numbers = (found.value, found.low, found.high, found.first, found.last)
    return Rate(*((number - real) / synthetic for number in numbers))


def _crossing(target: float, means: Sequence[float], places: Array) -> float:
    """Where the curve's isotonic regression first is as good as the target; infinite beyond its ends."""
    from scipy.optimize import isotonic_regression

    levels = isotonic_regression(means).x
    if target < levels[0]:
        return -math.inf
    if target > levels[-1]:
        return math.inf
    after = int(np.searchsorted(levels, target))
    if after == 0:
        return float(places[0])
    share = (target - levels[after - 1]) / (levels[after] - levels[after - 1])
    return float(places[after - 1] + share * (places[after] - places[after - 1]))


def _interval(target: Array, curve: Sequence[Array], places: Array, clusters: Array | None) -> tuple[float, float]:
    """The least and the greatest place at which the target is not told from the curve, as logarithms."""
    begins, ends = two_way(target - curve[0], clusters), two_way(target - curve[-1], clusters)
    if math.isnan(begins.low):
        return math.nan, math.nan
    found: list[float] = []
    for number, (one, other) in enumerate(pairwise(curve)):
        shares = _untold(target - one, other - one, clusters)
        found += [places[number] + share * (places[number + 1] - places[number]) for share in shares]
    # Beyond an end the curve is no worse, or no better, than there: that is ruled out where the target is told from it.
    low = -math.inf if begins.low <= 0 else min(found, default=math.inf)
    high = math.inf if ends.high >= 0 else max(found, default=-math.inf)
    if low == math.inf or high == -math.inf:  # all of the curve is told from the target: it lies beyond one end
        low, high = (places[-1], math.inf) if low == math.inf else (-math.inf, places[0])
    return float(low), float(high)


def _untold(apart: Array, rise: Array, clusters: Array | None) -> list[float]:
    """The first and the last share of the way from one size to the next at which the target is not told from the curve.

    Args:
        apart: the target less the curve at the one size; rise: the curve from there to the next.
    """
    from scipy.optimize import brentq

    def spare(share: float) -> float:
        """How far the interval goes beyond 0, on the side where it ends sooner; below 0 where it lacks it."""
        effect = two_way(apart - share * rise, clusters)
        return min(effect.high, -effect.low) + _ROUNDING

    shares = np.linspace(0.0, 1.0, _STEPS + 1)
    slope = float(rise.mean())
    crossing = float(apart.mean()) / slope if slope else math.nan
    if 0 < crossing < 1:  # held, however narrow the interval around it is
        shares = np.unique([*shares, crossing])
    held = np.array([spare(float(share)) for share in shares]) >= 0
    if not held.any():
        return []
    first, last = int(np.argmax(held)), len(held) - 1 - int(np.argmax(held[::-1]))
    low = shares[0] if first == 0 else brentq(spare, shares[first - 1], shares[first])
    high = shares[-1] if last == len(held) - 1 else brentq(spare, shares[last], shares[last + 1])
    return [float(low), float(high)]


def _size(place: float) -> float:
    return place if math.isinf(place) else math.exp(place)
