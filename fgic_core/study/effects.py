"""The effects of a study: what each step is worth, how levels compare, and what that shows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from fgic_core.metrics import contrasts
from fgic_core.metrics.power import Needed, needed
from fgic_core.metrics.two_way import Effect, two_way, unvaried
from fgic_core.metrics.verdicts import Judged, Verdict, judge
from fgic_core.store.study import ArmRecord, StudyRecord
from fgic_core.study.readings import Reading

Array = np.ndarray[Any, Any]

#: Text that YAML takes for a number, a truth value or nothing.
_PLAIN = re.compile(r"[-+.0-9][-+.0-9eE_]*|true|false|null|yes|no|on|off|~", re.IGNORECASE)

Role = Literal["step", "level", "arm", "oracle", "beside"]
#: The roles of comparisons that get a verdict.
FAMILY = ("step", "level", "arm")


@dataclass(frozen=True)
class Comparison:
    """Two arms that differ by one thing.

    Attributes:
        name: of the step, of the axis with its level, or of the arm.
        role: a step that is left out, another level of an axis, an arm with a name of its own; beside the family test
            crops to annotated boxes, and an arm that the spec puts there.
        better: the arm that is to be better for the effect to be positive; other: the one it is compared with.
        judged: what it shows on the first measure; None where it cannot be said, or it is not in the family.
        needed: what would settle it; None where it is settled.
        effects: on each measure, in their order; None where there is none.
        why: why there is no effect on the first measure.
    """

    name: str
    role: Role
    better: str
    other: str
    judged: Judged | None
    needed: Needed | None
    effects: tuple[Effect | None, ...]
    why: str = ""

    @property
    def in_family(self) -> bool:
        """Whether it is one of the comparisons that get a verdict."""
        return self.role in FAMILY

    @property
    def verdict(self) -> str:
        """In a word; empty for what is in no family."""
        if self.judged is None:
            return "" if not self.in_family else Verdict.UNDECIDED.value
        verdict = self.judged.verdict
        return verdict.of_step if self.role == "step" else verdict.of_level


@dataclass(frozen=True)
class Worth:
    """What a step is worth where every combination of steps was run, in the direction that is better.

    Attributes:
        step: its name.
        leave_one_out: what the full pipeline loses without it.
        add_one_in: what it adds to the pipeline that has none.
        shapley: what it adds on average over all orders; those of all steps sum to the total.
    """

    step: str
    leave_one_out: Effect
    add_one_in: Effect
    shapley: Effect


@dataclass(frozen=True)
class Together:
    """What two steps add together beyond what each adds alone (Shapley interaction index)."""

    one: str
    other: str
    effect: Effect


@dataclass(frozen=True)
class Combinations:
    """The effects where every combination was run.

    Attributes:
        worths: one for each step; pairs: one for each two of them.
        total: what all steps add together.
    """

    worths: tuple[Worth, ...]
    pairs: tuple[Together, ...]
    total: Effect


@dataclass(frozen=True)
class ClassEffect:
    """What a comparison comes to for the pictures of one class.

    Attributes:
        name: of the class; pictures: of it in test.
        effect: in the direction that is better.
        p: of no effect, with the false discovery rate among all classes controlled (Benjamini and Hochberg 1995).
    """

    name: str
    pictures: int
    effect: Effect
    p: float


def contrast(reading: Reading, weights: Mapping[int, float], beside: Iterable[int] = ()) -> Effect | None:
    """The effect of arms by weight, in the direction that is better; over the seeds that all of them have.

    Args:
        reading: of a measure.
        weights: of the arms, by number; they add up to 0.
        beside: further arms that have to have a seed for it to count.

    Returns:
        None where no seed has a number of every arm.
    """
    arms = [arm for arm, weight in weights.items() if weight]
    seeds = shared_seeds(reading, [*dict.fromkeys([*arms, *beside])])
    if not len(seeds):
        return None
    source = reading.values if reading.outcomes is None else reading.outcomes
    table = np.zeros(source[arms[0]][seeds].shape, dtype=np.float64)
    for arm in arms:
        table += weights[arm] * source[arm][seeds]
    effect = two_way(reading.sign * table, reading.clusters)
    return unvaried(effect) if reading.quantity.unit == "fraction" else effect


def shared_seeds(reading: Reading, arms: Sequence[int]) -> Array:
    """The seeds, by number, of which every one of these arms has a number, and one for each picture."""
    seeds = np.flatnonzero(np.isfinite(reading.values[arms]).all(axis=0))
    if reading.outcomes is not None:
        seeds = seeds[np.isfinite(reading.outcomes[arms][:, seeds]).all(axis=(0, 2))]
    return seeds


def margin_of(record: StudyRecord, reading: Reading) -> float:
    """The study's margin in the unit of the quantity: percentage points are hundredths of a fraction."""
    return record.margin / 100 if reading.quantity.unit == "fraction" else record.margin


def compare(record: StudyRecord, readings: list[Reading]) -> tuple[Comparison, ...]:
    """Every comparison of the family, with its verdict; then those beside it.

    The family is one effect a step, one a level that is not the baseline's, at the baseline's levels of everything
    else, and one an arm of the block's ``arms``, on the first measure. It stands in the spec and does not depend on
    what came out. An arm that is a step's or a level's already is not compared once more.
    """
    family: list[tuple[str, Role, int | None, int | None]] = []
    base = _number(record.arms, record.baseline)
    for step in record.ablate:
        family.append((step, "step", base, _arm(record, {step}, {})))
    for path, levels in record.axes.items():
        for level in levels:
            if not same_level(level, record.arms[base].levels.get(path)):
                family.append((f"{path} = {level_said(level)}", "level", _arm(record, set(), {path: level}), base))
    beside: list[tuple[str, Role, int | None, int | None]] = []
    known_by = {number for *_, better, other in family for number in (better, other)}
    for number, arm in enumerate(record.arms):
        if arm.under == "arms" and number not in known_by:
            family.append((arm.name, "arm", number, base))
        elif arm.under == "beside" and number not in known_by:
            beside.append((arm.name, "beside", number, base))
        elif arm.oracle and not arm.under:
            beside.append(("test crops to annotated boxes", "oracle", number, base))
    rows = []
    for name, role, better, other in [*family, *beside]:
        effects: list[Effect | None] = []
        for reading in readings:
            known = better is not None and other is not None
            effects.append(contrast(reading, {better: 1.0, other: -1.0}) if known else None)  # type: ignore[dict-item]
        rows.append((name, role, better, other, tuple(effects)))
    margin = margin_of(record, readings[0])
    first = {str(number): each[0] for number, (*_, each) in enumerate(rows[: len(family)]) if each[0]}
    judged = judge(first, margin, lacking=len(family) - len(first))
    found = []
    for place, (name, role, better, other, each) in enumerate(rows):
        mine = judged.get(str(place))
        why = "" if each[0] is not None else _why(record, readings[0], better, other)
        settles = (
            needed(
                mine.effect.value, mine.effect.variances, mine.effect.seeds, mine.effect.clusters, len(family), margin
            )
            if mine is not None and mine.verdict is Verdict.UNDECIDED and not math.isnan(mine.effect.error)
            else None
        )
        names = ["" if number is None else record.arms[number].name for number in (better, other)]
        found.append(Comparison(name, role, names[0], names[1], mine, settles, each, why))
    return tuple(found)


def combinations_of(record: StudyRecord, reading: Reading) -> Combinations | None:
    """The effects of all combinations, on a measure; None where not all of them were run, or gave a number."""
    if not record.every or not record.ablate:
        return None
    steps = tuple(record.ablate)
    arms: dict[frozenset[str], int] = {}
    for size in range(len(steps) + 1):
        for present in map(frozenset, combinations(steps, size)):
            number = _arm(record, set(steps) - present, {})
            if number is None:
                return None
            arms[present] = number

    def effect(weights: contrasts.Weights) -> Effect | None:
        return contrast(reading, {arms[present]: weight for present, weight in weights.items()})

    worths, pairs = [], []
    for step in steps:
        found = [
            effect(contrasts.leave_one_out(steps, step)),
            effect(contrasts.add_one_in(step)),
            effect(contrasts.shapley(steps, step)),
        ]
        if any(one is None for one in found):
            return None
        worths.append(Worth(step, *found))  # type: ignore[arg-type]
    for one, other in combinations(steps, 2):
        between = effect(contrasts.interaction(steps, one, other))
        if between is not None:
            pairs.append(Together(one, other, between))
    whole = effect(contrasts.total(steps))
    return Combinations(tuple(worths), tuple(pairs), whole) if whole is not None else None


def of_pictures(reading: Reading, mine: Array) -> Reading:
    """What a reading with pictures has of some of them alone: (pictures,) a mask."""
    part = Reading(reading.measure, reading.quantity, reading.values)
    if reading.outcomes is not None and reading.clusters is not None:
        part.outcomes, part.clusters = reading.outcomes[:, :, mine], reading.clusters[mine]
    return part


def by_class(reading: Reading, better: int, other: int) -> tuple[ClassEffect, ...]:
    """What a comparison comes to class by class, those that gain most first; empty without pictures."""
    from scipy.stats import false_discovery_control

    if reading.outcomes is None or reading.labels is None or reading.clusters is None:
        return ()
    found = []
    for label in np.unique(reading.labels[reading.labels >= 0]):
        mine = reading.labels == label
        effect = contrast(of_pictures(reading, mine), {better: 1.0, other: -1.0})
        if effect is not None:
            found.append((reading.classes[label] if reading.classes else str(label), int(mine.sum()), effect))
    known = [effect.p_zero if math.isfinite(effect.p_zero) else 1.0 for _, _, effect in found]
    adjusted = false_discovery_control(known) if known else []
    rows = [ClassEffect(*about, float(p)) for about, p in zip(found, adjusted, strict=True)]
    return tuple(sorted(rows, key=lambda row: -row.effect.value))


def flipped(reading: Reading, before: int, after: int) -> list[tuple[str, float, float]]:
    """The pictures that most seeds have right before and wrong after: id and the shares of seeds that have it right.

    Args:
        reading: of a quantity that is 1 for a right picture and 0 for a wrong one.
        before, after: the arms.
    """
    if reading.outcomes is None:
        return []
    first, second = (_mean(reading.outcomes[arm]) for arm in (before, after))
    rows = [
        (name, float(one), float(other))
        for name, one, other in zip(reading.ids, first, second, strict=True)
        if one > 0.5 > other
    ]
    return sorted(rows, key=lambda row: (row[2] - row[1], row[0]))


def _mean(table: Array) -> Array:
    """(pictures,) the mean over the seeds that have numbers; NaN where none has."""
    known = table[np.isfinite(table).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(table.shape[1], np.nan)


def _number(arms: Iterable[ArmRecord], name: str) -> int:
    return next(number for number, arm in enumerate(arms) if arm.name == name)


def _arm(record: StudyRecord, left_out: set[str], levels: Mapping[str, Any]) -> int | None:
    """The arm without these steps that has the baseline's levels but for some; None where there is none."""
    base = record.arms[_number(record.arms, record.baseline)].levels
    for number, arm in enumerate(record.arms):
        if not arm.levels.keys() <= record.axes.keys():  # it has a name of its own, and something else is other there
            continue
        wanted = {path: levels.get(path, base.get(path)) for path in arm.levels}
        same = set(levels) <= set(arm.levels) and all(same_level(one, wanted[path]) for path, one in arm.levels.items())
        if set(arm.left_out) == left_out and not arm.oracle and same:
            return number
    return None


def same_level(one: Any, other: Any) -> bool:
    """Whether two levels are one: true is not 1, and neither is "1"."""
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def level_said(level: Any) -> str:
    """A level as one would write it in a spec: text that would be read as something else has quotes."""
    if not isinstance(level, str):
        return json.dumps(level, default=str)
    return json.dumps(level) if _PLAIN.fullmatch(level) else level


def _why(record: StudyRecord, reading: Reading, better: int | None, other: int | None) -> str:
    if better is None or other is None:
        return "one of the two pipelines is not among the study's arms: it is excluded, or the same as another"
    return why_none(record, reading, (better, other))


def why_none(record: StudyRecord, reading: Reading, arms: Sequence[int]) -> str:
    """Why arms that were run are not compared on a measure."""
    for number in arms:
        if not np.isfinite(reading.values[number]).any():
            return f"no run of {record.arms[number].name} has a number"
    return "no seed has a number of both" if len(arms) == 2 else "no seed has a number of all of them"
