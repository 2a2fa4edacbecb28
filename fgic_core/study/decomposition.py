"""What one pipeline has more than another, part by part along a way between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fgic_core.metrics.two_way import Effect
from fgic_core.store.study import StudyRecord
from fgic_core.study.effects import contrast, shared_seeds, why_none
from fgic_core.study.readings import Reading


@dataclass(frozen=True)
class PathPart:
    """A part of the way: what an arm has more than the one before it, in the direction that is better.

    Attributes:
        name: of the part; arm: that it leads to; before: the arm before that.
        effect: over the seeds that every arm of the way has.
    """

    name: str
    arm: str
    before: str
    effect: Effect


@dataclass(frozen=True)
class Decomposition:
    """What the last arm of a way has more than the first, and the parts that sum to it.

    Attributes:
        way: the arms.
        start: the mean of the first arm over the seeds that every arm of the way has; NaN where there is none.
        parts: one for each arm but the first; empty where `whole` is None.
        whole: what the last arm has more than the first; None where no seed has a number of every arm.
        why: why there is none.
    """

    way: tuple[str, ...]
    start: float
    parts: tuple[PathPart, ...]
    whole: Effect | None
    why: str = ""


def decomposition_of(record: StudyRecord, reading: Reading) -> Decomposition | None:
    """The parts of a study's way on a measure; None where it names none.

    Every part is over the same seeds and pictures, those that all arms of the way have: so that the parts sum to the
    whole, whatever failed.
    """
    if not record.decompose:
        return None
    arms = [arm.name for arm in record.arms]
    way = tuple(step.arm for step in record.decompose)
    numbers = [arms.index(name) for name in way]
    whole = contrast(reading, {numbers[-1]: 1.0, numbers[0]: -1.0}, beside=numbers)
    if whole is None:
        return Decomposition(way, math.nan, (), None, why_none(record, reading, numbers))
    parts = []
    for step, number, before in zip(record.decompose[1:], numbers[1:], numbers, strict=False):
        effect = contrast(reading, {number: 1.0, before: -1.0}, beside=numbers)
        assert effect is not None  # it has the seeds of the whole
        parts.append(PathPart(step.part, step.arm, arms[before], effect))
    start = float(reading.values[numbers[0], shared_seeds(reading, numbers)].mean())
    return Decomposition(way, start, tuple(parts), whole)
