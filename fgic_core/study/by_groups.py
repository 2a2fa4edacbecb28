"""A study's comparisons by groups of test pictures: small and large objects, found and missed ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fgic_core.metrics.two_way import Effect, sign_flip_floor
from fgic_core.metrics.verdicts import LEAST_SEEDS, level_of
from fgic_core.study.effects import Comparison, contrast, of_pictures
from fgic_core.study.groups import Cut, Groups
from fgic_core.study.readings import Reading

#: So many comparisons of a study are looked at from near by, the first ones.
LOOKED_AT = 6
#: Of fewer independent pictures a group has no p: none that they could show is below 0.05 (`sign_flip_floor`).
LEAST_PICTURES = 6


@dataclass(frozen=True)
class GroupEffect:
    """What a comparison comes to for the pictures of one group.

    Attributes:
        name: of the group; pictures: of it.
        values: of the better arm and of the other, the means over the seeds that both have.
        effect: in the direction that is better.
        p: of no effect, with the false discovery rate controlled among all groups of all groupings of the comparison
            (Benjamini and Hochberg 1995); NaN of a group of fewer than `LEAST_PICTURES` independent pictures.
    """

    name: str
    pictures: int
    values: tuple[float, float]
    effect: Effect
    p: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether there is an effect, by the level that verdicts have with so many seeds."""
        return self.effect.seeds >= LEAST_SEEDS and self.p < level_of(self.effect.seeds)


@dataclass(frozen=True)
class Grouped:
    """What a comparison comes to by groups of one kind.

    Attributes:
        cut: the groups; effects: of each that has pictures, in their order.
        without: how many pictures are in none.
    """

    cut: Cut
    effects: tuple[GroupEffect, ...]
    without: int


@dataclass(frozen=True)
class ByGroups:
    """A comparison by groups of pictures.

    Attributes:
        comparison: the two arms.
        grouped: one for each kind of groups.
        problems: why there are no more.
    """

    comparison: Comparison
    grouped: tuple[Grouped, ...]
    problems: tuple[str, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a group, as plain data."""
        for each in self.grouped:
            for one in each.effects:
                effect, cut = one.effect, each.cut
                yield {
                    "comparison": self.comparison.name,
                    "better": self.comparison.better,
                    "other": self.comparison.other,
                    "step": cut.step,
                    "groups_of": cut.arm,
                    "same_group_with_every_seed": cut.steady,
                    "by": cut.title,
                    "group": one.name,
                    "pictures": one.pictures,
                    "better_value": one.values[0],
                    "other_value": one.values[1],
                    "effect": effect.value,
                    "low": _finite(effect.low),
                    "high": _finite(effect.high),
                    "error": _finite(effect.error),
                    "df": effect.df,
                    "seeds": effect.seeds,
                    "clusters": effect.clusters,
                    "p": _finite(one.p),
                }


def by_groups(groups: Groups, comparison: Comparison) -> ByGroups:
    """A comparison by every kind of groups that cuts its pictures into two at least.

    Args:
        groups: of the measure's pictures; comparison: with an effect on that measure.
    """
    reading, arms = groups.reading, [arm.name for arm in groups.record.arms]
    if reading.outcomes is None or reading.clusters is None or not {comparison.better, comparison.other} <= set(arms):
        return ByGroups(comparison, (), ())
    better, other = arms.index(comparison.better), arms.index(comparison.other)
    cuts, problems = groups.cuts(comparison)
    found = [one for cut in cuts if len((one := grouped(reading, cut, better, other)).effects) > 1]
    return ByGroups(comparison, corrected(found), tuple(problems))


def grouped(reading: Reading, cut: Cut, better: int, other: int) -> Grouped:
    """What a comparison of two arms comes to by groups; p is not corrected yet.

    Args:
        reading: of the measure, with pictures; cut: these, in groups.
        better, other: the arms, by number.
    """
    found = []
    for number, name in enumerate(cut.names):
        mine = cut.groups == number
        part = of_pictures(reading, mine)
        effect = contrast(part, {better: 1.0, other: -1.0}) if mine.any() else None
        if effect is None or part.outcomes is None:
            continue
        pairs = part.outcomes[[better, other]]
        pairs = pairs[:, np.isfinite(pairs).all(axis=(0, 2))]
        values = float(pairs[0].mean(dtype=np.float64)), float(pairs[1].mean(dtype=np.float64))
        found.append(GroupEffect(name, int(mine.sum()), values, effect, p_of(effect)))
    return Grouped(cut, tuple(found), int((cut.groups < 0).sum()))


def p_of(effect: Effect) -> float:
    """The p of no effect in a group: no smaller than what the sign-flip test over its pictures can give.

    Where all of a few pictures agree nothing varies, and t would take that for certainty.
    """
    if effect.clusters < LEAST_PICTURES:
        return math.nan
    return max(effect.p_zero, sign_flip_floor(effect.clusters)) if math.isfinite(effect.p_zero) else math.nan


def corrected(found: list[Grouped]) -> tuple[Grouped, ...]:
    """With the false discovery rate controlled over all groups of a comparison that have a p."""
    from scipy.stats import false_discovery_control

    given = [one.p for each in found for one in each.effects if math.isfinite(one.p)]
    adjusted = iter(false_discovery_control(given) if given else [])
    return tuple(
        replace(
            each,
            effects=tuple(
                replace(one, p=float(next(adjusted))) if math.isfinite(one.p) else one for one in each.effects
            ),
        )
        for each in found
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
