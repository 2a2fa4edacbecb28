"""What a study will be able to show, before it is run; and what would settle what it left open.

The power of the very rule that `fgic_core.metrics.verdicts.judge` goes by: t with one degree of freedom less than
seeds, over a variance whose seeds' part is estimated from those few seeds and whose pictures' part is as good as known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fgic_core.metrics.two_way import Variances, sign_flip_floor
from fgic_core.metrics.verdicts import LEAST_SEEDS, LEVEL, level_of

#: The power that "can be told apart" stands for.
POWER = 0.8
#: What is assumed of pipelines that were never run: the standard deviation of accuracy over the seeds of one pipeline,
#: and the share of test pictures of which models of two pipelines make one right and one wrong.
SEED_SD = 0.01
DISCORDANCE = 0.10

#: No more seeds, or pictures, than these are asked for to settle something.
_MOST_SEEDS = 1_000
_MOST_PICTURES = 10_000_000
#: With so many seeds, or twice as many as there are, more pictures are asked for where neither settles it alone; then
#: with twice as many again.
_MANY_SEEDS = 20
#: As many values of the seeds' variance estimate are averaged over.
_STEPS = 400


class Foretold(NamedTuple):
    """What a study can show, in the unit of its quantity.

    Attributes:
        effect: the smallest true effect that is told from none with a probability of 80 %; infinite with fewer than
            three seeds.
        margin: the smallest margin within which pipelines that do not differ are proved equivalent with that
            probability.
        level: the level of one comparison: of the first that Holm's correction looks at, which is the hardest.
        sign_flip: whether the sign-flip test over seeds can reach 0.05 in this family.
        sign_flip_seeds: how many seeds it takes for that.
    """

    effect: float
    margin: float
    level: float
    sign_flip: bool
    sign_flip_seeds: int


class Needed(NamedTuple):
    """What would settle a comparison with a probability of 80 %, if what was seen is how it is.

    Attributes:
        seeds: so many seeds, with the same test pictures; None where no number of seeds does.
        pictures: so many test pictures, with as many seeds as now; None likewise.
        both: where neither does alone, so many seeds and test pictures; None where that does not either.
        equivalent: whether it would be settled as equivalent, or else as a difference.
    """

    seeds: int | None
    pictures: int | None
    both: tuple[int, int] | None
    equivalent: bool


def assumed(seed_sd: float = SEED_SD, discordance: float = DISCORDANCE) -> Variances:
    """The variances of the difference of two pipelines' accuracies, by what is known of such pipelines.

    Args:
        seed_sd: the standard deviation over seeds of each one's accuracy, a fraction.
        discordance: the share of pictures that one of two models has right and the other wrong. All of it is taken to
            be the pipelines' and none the seeds', which is the worst case: more seeds do not average it out.
    """
    return Variances(2 * seed_sd**2, discordance, 0.0)


def foretell(seeds: int, pictures: int, comparisons: int, variances: Variances) -> Foretold:
    """What a study can show.

    Args:
        seeds: how many; pictures: independent test pictures; 0 for a quantity that is one number a run.
        comparisons: in the family.
        variances: of a difference; see `assumed`, or those of an `Effect` that was measured.
    """
    level = level_of(seeds) / max(1, comparisons)
    needed = sign_flip_seeds(comparisons)
    if seeds < LEAST_SEEDS:
        return Foretold(math.inf, math.inf, level, False, needed)
    return Foretold(
        smallest(lambda effect: power_of_difference(effect, variances, seeds, pictures, level)),
        smallest(lambda margin: power_of_equivalence(0.0, margin, variances, seeds, pictures, level)),
        level,
        seeds >= needed,
        needed,
    )


def sign_flip_seeds(comparisons: int) -> int:
    """The fewest seeds with which the sign-flip test can reach its Holm level: 6 for one comparison, 7 for three."""
    return next(n for n in range(1, 1_000) if sign_flip_floor(n) * max(1, comparisons) <= LEVEL)


def power_of_difference(effect: float, variances: Variances, seeds: int, pictures: int, level: float) -> float:
    """The probability that an effect is told from 0, in its own direction.

    Args:
        effect: the true one.
        variances: of a difference; seeds, pictures: how many. With no pictures the quantity is one number a run.
        level: of the two-sided test.
    """
    return _rejects(lambda half, error: _normal((abs(effect) - half) / error), variances, seeds, pictures, level / 2)


def power_of_margin(
    effect: float, margin: float, variances: Variances, seeds: int, pictures: int, level: float
) -> float:
    """The probability that an effect is told to be greater than the margin; see `power_of_difference`.

    Args:
        effect: the true one; margin: what it has to exceed.
        variances: see there; seeds, pictures: see there.
        level: of the one-sided test.
    """
    return _rejects(lambda half, error: _normal((effect - margin - half) / error), variances, seeds, pictures, level)


def power_of_equivalence(
    effect: float, margin: float, variances: Variances, seeds: int, pictures: int, level: float
) -> float:
    """The probability that an effect is proved to lie within the margin either way.

    Args:
        effect: the true one; margin: either way.
        variances: see `power_of_difference`; seeds, pictures: see there.
        level: of each of the two one-sided tests.
    """

    from scipy.stats import binom

    # As `least` has it: so far from none may be what is seen, for all that so many pictures can show.
    most = float(binom.ppf(level, pictures, min(1.0, margin))) / pictures if pictures else math.inf

    def within(half: Any, error: float) -> Any:
        bound = np.minimum(margin - half, most)
        return np.maximum(0.0, _normal((bound - effect) / error) - _normal((-bound - effect) / error))

    return _rejects(within, variances, seeds, pictures, level)


def smallest(power: Callable[[float], float]) -> float:
    """The smallest value that has a power of 80 %; infinite where none up to 1000 has."""
    from scipy.optimize import brentq

    high = 1e-6
    while power(high) < POWER:
        high *= 2
        if high > 1_000:
            return math.inf
    return float(brentq(lambda value: power(value) - POWER, 0.0, high, xtol=1e-6))


def needed(value: float, variances: Variances, seeds: int, pictures: int, comparisons: int, margin: float) -> Needed:
    """What would settle a comparison that is undecided.

    It is taken for how it is: within half of the margin would be proved equivalent, anything else a difference.

    Args:
        value: the effect that was seen; variances: likewise.
        seeds: how many there were; pictures: likewise, 0 for a quantity that is one number a run.
        comparisons: in the family; margin: see `fgic_core.metrics.verdicts.judge`.
    """
    equivalent = margin > 0 and abs(value) <= margin / 2

    def settled(seeds: int, pictures: int) -> bool:
        level = level_of(seeds) / max(1, comparisons)
        if equivalent:
            return power_of_equivalence(value, margin, variances, seeds, pictures, level) >= POWER
        return power_of_difference(value, variances, seeds, pictures, level) >= POWER

    more = _first(lambda count: settled(count, pictures), max(seeds, LEAST_SEEDS), _MOST_SEEDS)
    rows = _pictures(settled, seeds, pictures)
    both, many = None, max(_MANY_SEEDS, 2 * seeds)
    while more is None and rows is None and both is None and many <= _MOST_SEEDS:
        found = _pictures(settled, many, pictures)
        both, many = (many, found) if found is not None else None, 2 * many
    return Needed(more, rows, both, equivalent)


def _pictures(settled: Callable[[int, int], bool], seeds: int, pictures: int) -> int | None:
    """The least number of pictures with which so many seeds settle something."""
    if not pictures or seeds < LEAST_SEEDS:
        return None
    return _first(lambda count: settled(seeds, count), pictures, _MOST_PICTURES)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number for which something holds, as it does for greater ones; None where it does not for high."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _rejects(
    rejects: Callable[[Any, float], Any], variances: Variances, seeds: int, pictures: int, tail: float
) -> float:
    """The probability of a rejection, averaged over what the seeds' part of the variance may be estimated to be.

    Args:
        rejects: its probability, given how far from the bound the estimate has to be, and the true standard error.
        variances: of a difference; seeds, pictures: how many.
        tail: the share of t's distribution beyond the bound.
    """
    from scipy.stats import chi2, t

    df = seeds - 1
    known = variances.pictures / pictures if pictures else 0.0
    rest = variances.both / (pictures * seeds) if pictures else 0.0
    estimated = variances.seeds / seeds + rest
    error = math.sqrt(known + estimated) or 1e-12
    shares = (np.arange(_STEPS) + 0.5) / _STEPS
    # As `two_way` has it: the seeds' part is not estimated to be less than what the rest adds by itself.
    errors = np.sqrt(known + np.maximum(rest, estimated * chi2.ppf(shares, df) / df))
    return float(np.mean(rejects(t.isf(tail, df) * errors, error)))


def _normal(values: Any) -> Any:
    from scipy.special import ndtr

    return ndtr(values)
