"""From effects to words: which of several comparisons show something, with a correction for looking at many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from fgic_core.metrics.two_way import Effect, sign_flip, sign_flip_floor

#: The level of every test, after Holm's correction.
LEVEL = 0.05
#: The level with few seeds: where the seeds of one pipeline are skewed and those of the other are steady, t at 0.05 is
#: wrong in up to a tenth of studies and at 0.01 in under a twentieth (``benchmarks/verdicts.py``).
STRICT_LEVEL = 0.01
#: Below so many seeds the strict level holds. The sign-flip test cannot speak there either.
FEW_SEEDS = 6
#: Fewer seeds decide nothing.
LEAST_SEEDS = 3


class Verdict(str, Enum):
    """What a comparison shows. The effect is in the direction that is better."""

    EQUIVALENT = "equivalent"
    ABOVE_MARGIN = "above margin"
    ABOVE_ZERO = "above zero"
    BELOW_ZERO = "below zero"
    UNDECIDED = "undecided"

    @property
    def of_step(self) -> str:
        """The word for a step, by its leave-one-out effect."""
        return {"above margin": "necessary", "above zero": "helpful", "below zero": "harmful"}.get(
            self.value, self.value
        )

    @property
    def of_level(self) -> str:
        """The word for another level of an axis, by how much better it is than the first."""
        return {"above margin": "better by more than the margin", "above zero": "better", "below zero": "worse"}.get(
            self.value, self.value
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A comparison and what it shows.

    Attributes:
        effect: with its interval, which is not adjusted for the number of comparisons.
        verdict: see `judge`.
        p_zero: of no effect, two-sided; p_margin: of an effect no greater than the margin; p_equivalent: of an effect
            of the margin or more either way. Holm-adjusted within the family, each on its own. NaN where there is none.
        p_sign_flip: of the sign-flip test over seeds, Holm-adjusted; NaN with a single seed.
        sign_flip_floor: the smallest that it could have been, before any other comparison is looked at.
        level: what the p of a verdict has to be below.
    """

    effect: Effect
    verdict: Verdict
    p_zero: float
    p_margin: float
    p_equivalent: float
    p_sign_flip: float
    sign_flip_floor: float
    level: float

    @property
    def sign_flip_can_speak(self) -> bool:
        """Whether the sign-flip test could have reached the level in this family at all."""
        return self.sign_flip_floor <= LEVEL


def judge(effects: Mapping[str, Effect], margin: float, lacking: int = 0) -> dict[str, Judged]:
    """The verdict of each comparison of a family.

    A verdict needs its Holm-adjusted p (Holm 1979) below the level, for its own null, by t over the two-way variance,
    with one degree of freedom less than seeds. That assumes that seeds' differences are about symmetric.

    1. *equivalent*: the effect lies within the margin, either way (TOST). It takes precedence.
    2. *above zero*, *below zero*: there is an effect.
    3. *above margin*: it is above zero, and greater than the margin.
    4. *undecided*: none of these; also wherever there are fewer than three seeds.

    No p is below what so many pictures allow, however little they vary: see `least`.

    Args:
        effects: of the whole family, by name: positive is better.
        margin: what counts as a difference, in the effects' unit; with 0 nothing is equivalent.
        lacking: how many comparisons of the family have no effect. They count, for the family was chosen before.
    """
    names = list(effects)
    family = [effects[name] for name in names]
    none = [math.nan] * lacking
    floors = [least(one, margin) for one in family]
    zero = holm([*(np.maximum(one.p_zero, floor.zero) for one, floor in zip(family, floors, strict=True)), *none])
    above = holm(
        [*(np.maximum(one.p_above(margin), floor.margin) for one, floor in zip(family, floors, strict=True)), *none]
    )
    same = holm(
        [*(np.maximum(one.p_equivalent(margin), floor.same) for one, floor in zip(family, floors, strict=True)), *none]
    )
    flips = holm([*(sign_flip(one.by_seed) if one.seeds > 1 else math.nan for one in family), *none])
    judged = {}
    for name, one, p_zero, p_margin, p_same, p_flip in zip(names, family, zero, above, same, flips, strict=False):
        level = level_of(one.seeds)
        floor = min(1.0, sign_flip_floor(one.seeds) * (len(family) + lacking))
        verdict = Verdict.UNDECIDED
        if one.seeds >= LEAST_SEEDS:
            if margin > 0 and p_same < level:
                verdict = Verdict.EQUIVALENT
            elif p_zero < level and one.value < 0:
                verdict = Verdict.BELOW_ZERO
            elif p_zero < level:
                verdict = Verdict.ABOVE_MARGIN if margin > 0 and p_margin < level else Verdict.ABOVE_ZERO
        judged[name] = Judged(one, verdict, p_zero, p_margin, p_same, p_flip, floor, level)
    return judged


class Least(NamedTuple):
    """The smallest p that so many pictures allow: of no effect, of one no greater than the margin, of TOST."""

    zero: float
    margin: float
    same: float


def least(effect: Effect, margin: float) -> Least:
    """The smallest p that the pictures of an effect allow. t knows nothing of it where these hardly vary.

    Two models that differ on one picture in a hundred answer fifty pictures alike in six studies of ten. The floor of
    TOST is therefore the chance that n pictures show so little or less where the true effect is the margin; of all
    ways in which shares can do so, one picture in so many is the likeliest (Hoeffding 1956). The floor of no effect is
    that of a sign-flip test over the pictures, 2^(1-n), and that of the margin ((1 + margin) / 2)^n.

    Args:
        effect: on pictures, of which each adds a share; of one number a run (no clusters) those of the seeds count,
            where nothing varies.
        margin: in the unit of the effect.
    """
    from scipy.stats import binom

    n = effect.clusters
    if math.isnan(effect.error) or not (n or effect.error == 0.0):
        return Least(0.0, 0.0, 0.0)
    if not n:
        floor = sign_flip_floor(effect.seeds)
        return Least(floor, floor, floor)
    share = min(1.0, margin)
    seen = math.floor(n * abs(effect.value) + 1e-9)
    return Least(sign_flip_floor(n), ((1 + share) / 2) ** n, float(binom.cdf(seen, n, share)))


def level_of(seeds: int) -> float:
    """What the Holm-adjusted p of a verdict over so many seeds has to be below."""
    return STRICT_LEVEL if seeds < FEW_SEEDS else LEVEL


def holm(values: Sequence[float]) -> list[float]:
    """The p values of a family, adjusted as Holm (1979) does; NaN stays NaN, and counts as a comparison."""
    from statsmodels.stats.multitest import multipletests

    if not values:
        return []
    p = np.asarray(values, dtype=np.float64)
    known = np.where(np.isnan(p), 1.0, p)
    adjusted = multipletests(known, method="holm")[1]
    return [math.nan if math.isnan(given) else float(value) for given, value in zip(values, adjusted, strict=True)]
