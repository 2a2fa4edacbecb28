"""How many real pictures one synthetic picture is worth to a pipeline, and whether FID or KID would have told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core.errors import FgicError
from fgic_core.kinds.ports import steps_of
from fgic_core.metrics.two_way import Effect, two_way
from fgic_core.metrics.verdicts import LEAST_SEEDS
from fgic_core.metrics.worth import Rate, Reached, rate, reached
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import MeasureRecord, StudyRecord
from fgic_core.study.effects import shared_seeds
from fgic_core.study.pictures import Counted, counted_in
from fgic_core.study.readings import Reading, Readings, metric_of

Array = np.ndarray[Any, Any]

#: What a generator's pictures are measured by, where they are.
QUALITIES = ("FID", "KID", "precision", "recall")
#: Of these it is asked whether they foretell the worth.
FORETELLING = ("FID", "KID")
#: A rank correlation of fewer arms says nothing.
_LEAST_ARMS = 3


@dataclass(frozen=True)
class Quality:
    """What a generator's pictures measure by themselves.

    Attributes:
        step: the generator; quantity: such as FID.
        value: the mean over seeds; NaN where it was not measured.
        low, high: 95 % over seeds; where all seeds share one generator that of its own measurement; NaN without one.
        n: how many pictures it was measured on, of the first seed; None where that is not known.
        why: why there is no number.
    """

    step: str
    quantity: str
    value: float
    low: float
    high: float
    n: int | None
    why: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """An arm of the curve.

    Attributes:
        arm: its name; pictures: what it learns from; None where that is not known.
        effect: what it measures, with its interval, over the seeds that the whole curve has.
        why: why it is no part of the curve; empty where it is.
    """

    arm: str
    pictures: Counted | None
    effect: Effect | None
    why: str = ""


@dataclass(frozen=True)
class Target:
    """An arm of which it is asked what its synthetic pictures are worth.

    Attributes:
        arm: its name; pictures: what it learns from; None where that is not known.
        effect: what it measures, with its interval, over the seeds that it shares with the curve.
        reached: where the curve is as good; rate: what one synthetic picture is worth; None where it cannot be said,
            as with fewer than three seeds, or where the curve does not rise beyond chance.
        qualities: of its generators.
        why: why it cannot be said.
    """

    arm: str
    pictures: Counted | None
    effect: Effect | None
    reached: Reached | None
    rate: Rate | None
    qualities: tuple[Quality, ...]
    why: str = ""

    def quality(self, quantity: str) -> Quality | None:
        """Of its generator; None where it was not measured, or there are several generators."""
        found = [one for one in self.qualities if one.quantity == quantity and math.isfinite(one.value)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class Foretells:
    """Whether a quantity goes with the worth over the arms that have both: Spearman's rho, which describes them alone.

    Attributes:
        quantity: such as FID.
        arms: with a number of both and their numbers: arm, quantity, worth. Of arms whose generators were measured on
            another number of pictures than most there is none: FID depends on it.
        rho: NaN with fewer than three arms, or where one of the two is the same in all.
    """

    quantity: str
    arms: tuple[tuple[str, float, float], ...]
    rho: float


@dataclass(frozen=True)
class SyntheticWorth:
    """What a study shows of the worth of synthetic pictures.

    Attributes:
        curve: over real pictures alone, in ascending order of their number, then what is no part of it.
        targets: in the order of the spec.
        foretells: of FID and of KID, where any arm has them.
        notes: what a reader has to know of the numbers of pictures.
    """

    curve: tuple[CurvePoint, ...]
    targets: tuple[Target, ...]
    foretells: tuple[Foretells, ...]
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[CurvePoint, ...]:
        """The arms that the curve goes through."""
        return tuple(point for point in self.curve if not point.why)


def worth_of(record: StudyRecord, source: Readings, reading: Reading) -> SyntheticWorth | None:
    """What synthetic pictures are worth on a measure; None where the study does not ask.

    Args:
        record: of the study; source: reads its runs; reading: of the measure.
    """
    if record.worth is None:
        return None
    return _Asked(record, source, reading).answer()


class _Asked:
    """The arms that are asked about, as their runs are."""

    def __init__(self, record: StudyRecord, source: Readings, reading: Reading) -> None:
        self.record, self.source, self.reading = record, source, reading
        self._names = [arm.name for arm in record.arms]
        self._counted: dict[Path, Counted] = {}
        self._varying: list[str] = []

    def answer(self) -> SyntheticWorth:
        assert self.record.worth is not None
        points = self._points(self.record.worth.curve)
        good = [point for point in points if not point.why]
        flat = self._flat(good)
        targets = tuple(self._target(name, good, flat) for name in self.record.worth.arms)
        notes = []
        if self._varying:
            named = ", ".join(dict.fromkeys(self._varying))
            notes.append(f"Of {named} the seeds differ in the number of train pictures: their mean is what counts.")
        return SyntheticWorth(tuple(points), targets, foretelling(targets), tuple(notes))

    def _points(self, names: Sequence[str]) -> list[CurvePoint]:
        """The curve's arms, those that can be used first and in ascending order."""
        points: list[CurvePoint] = []
        for name in names:
            pictures, why = self._pictures(name)
            if pictures is not None and pictures.synthetic:
                why = f"it learns from {pictures.synthetic:,.0f} synthetic pictures: a curve is of real pictures alone"
            elif pictures is not None and not pictures.real:
                why = "it learns from no real picture"
            elif pictures is not None:
                twin = next((one for one in points if one.pictures == pictures and not one.why), None)
                why = f"it has as many real pictures as {twin.arm}" if twin is not None else ""
            points.append(CurvePoint(name, pictures, None, why or self._without_number(name)))
        good = sorted((one for one in points if not one.why), key=lambda one: one.pictures.real if one.pictures else 0)
        tables = self._tables([one.arm for one in good]) if good else None
        if tables is not None:
            good = [replace(one, effect=self._mean(table)) for one, table in zip(good, tables, strict=True)]
        return [*good, *(one for one in points if one.why)]

    def _flat(self, curve: Sequence[CurvePoint]) -> str:
        """Why the curve measures nothing, over all seeds that it has; empty where it does, or has too few of them."""
        tables = self._tables([one.arm for one in curve]) if len(curve) > 1 else None
        if tables is None or len(tables[0]) < LEAST_SEEDS:
            return ""
        found = self._reached(tables[-1], tables, curve)
        return "" if found.rise.low > 0 else untold(found)

    def _reached(self, target: Array, tables: Sequence[Array], curve: Sequence[CurvePoint]) -> Reached:
        sizes = [one.pictures.real for one in curve if one.pictures is not None]
        signed = [self.reading.sign * table for table in (target, *tables)]
        return reached(signed[0], signed[1:], sizes, self.reading.clusters)

    def _target(self, name: str, curve: Sequence[CurvePoint], flat: str) -> Target:
        pictures, why = self._pictures(name)
        qualities = tuple(self._qualities(name))
        why = why or self._without_number(name)
        if not why and pictures is not None and not pictures.synthetic:
            why = "it learns from no synthetic picture"
        if not why and len(curve) < 2:
            why = "the curve has fewer than two arms that can be used"
        tables = None if why else self._tables([name, *(one.arm for one in curve)])
        if tables is None or pictures is None:
            why = why or "no seed has a number of it and of all of the curve"
            return Target(name, pictures, None, None, None, qualities, why)
        effect = self._mean(tables[0])
        if effect.seeds < LEAST_SEEDS:
            why = f"fewer than {LEAST_SEEDS} seeds decide nothing"
            return Target(name, pictures, effect, None, None, qualities, why)
        found = self._reached(tables[0], tables[1:], curve)
        if why := flat or untold(found):
            return Target(name, pictures, effect, None, None, qualities, why)
        return Target(name, pictures, effect, found, rate(found, pictures.real, pictures.synthetic), qualities)

    def _tables(self, names: Sequence[str]) -> list[Array] | None:
        """(seeds, pictures) or (seeds,) of each arm, over the seeds that all of them have; None without such a seed."""
        arms = [self._names.index(name) for name in names]
        seeds = shared_seeds(self.reading, arms)
        source = self.reading.values if self.reading.outcomes is None else self.reading.outcomes
        return [source[arm][seeds].astype(np.float64) for arm in arms] if len(seeds) else None

    def _mean(self, table: Array) -> Effect:
        return two_way(table, self.reading.clusters if table.ndim == 2 else None)

    def _without_number(self, name: str) -> str:
        there = np.isfinite(self.reading.values[self._names.index(name)]).any()
        return "" if there else "no run of it has a number"

    def _runs(self, name: str) -> Iterator[RunRecord]:
        for seed in self.record.seeds:
            run = self.source.run(name, seed)
            if run is not None:
                yield run

    def _pictures(self, name: str) -> tuple[Counted | None, str]:
        """What an arm learns from, the mean over seeds; or why that is not known."""
        found, why = [], "no run of it is there"
        for run in self._runs(name):
            step = _learned_from(run, self.reading.measure.step)
            if step is None or step.status not in ("computed", "reused"):
                why = "no run of it has the data set that it learns from"
                continue
            try:
                if step.folder not in self._counted:
                    self._counted[step.folder] = counted_in(step.folder)
            except (FgicError, OSError, ValueError) as error:
                why = f"what it learns from cannot be read: {error}"
                continue
            found.append(self._counted[step.folder])
        if not found:
            return None, why
        if len(set(found)) > 1:
            self._varying.append(name)
        return Counted(*(float(np.mean(numbers)) for numbers in zip(*found, strict=True))), ""

    def _qualities(self, name: str) -> Iterator[Quality]:
        """Of each generator whose pictures an arm learns from."""
        steps: dict[str, list[StepRecord]] = {}
        for run in self._runs(name):
            for step in _generators(run, self.reading.measure.step):
                steps.setdefault(step.name, []).append(step)
        for generator, of in steps.items():
            for quantity in QUALITIES:
                yield self._quality(generator, quantity, of)

    def _quality(self, name: str, quantity: str, steps: Sequence[StepRecord]) -> Quality:
        metrics, why = [], ""
        for folder in dict.fromkeys(step.folder for step in steps):
            try:
                metric = metric_of(self.source.artifact(folder), MeasureRecord(step=name, quantity=quantity))
            except FgicError as error:
                why = error.what
                continue
            if metric is not None and metric.value is not None:
                metrics.append(metric)
            else:
                why = why or (metric.note if metric is not None else "")
        if not metrics:
            return Quality(name, quantity, math.nan, math.nan, math.nan, None, why or "it was not measured")
        values = np.array([metric.value for metric in metrics], dtype=np.float64)
        if len(metrics) == 1:
            low, high = (math.nan if one is None else one for one in (metrics[0].low, metrics[0].high))
        else:
            low, high = two_way(values)[1:3]
        return Quality(name, quantity, float(values.mean()), low, high, metrics[0].n)


def untold(found: Reached) -> str:
    """Why nothing can be told by a curve, of any target or of this one; empty where something can."""
    ends = f"from {found.first:,.0f} to {found.last:,.0f} real pictures"
    if not found.rise.low > 0:
        return f"the curve {ends} does not rise beyond chance"
    everywhere = math.isinf(found.low) and math.isinf(found.high) and found.low < found.high
    return f"the curve {ends} is as good as it nowhere that could be told" if everywhere else ""


def _learned_from(run: RunRecord, measured: str) -> StepRecord | None:
    """The step whose data set the classifier behind a measured step learns from."""
    steps = {step.name: step for step in run.steps}
    step = steps.get(measured)
    if not measured:  # a number of the whole run
        step = next((one for one in reversed(run.steps) if one.uses.startswith("classifier/")), None)
    while step is not None and (given := steps_of(step.inputs.get("model", []))):
        step = steps.get(given[0])
    given = steps_of(step.inputs.get("dataset", [])) if step is not None else []
    return steps.get(given[0]) if given else None


def _generators(run: RunRecord, measured: str) -> Iterator[StepRecord]:
    """The generators on the way to what is learned from that are done."""
    steps = {step.name: step for step in run.steps}
    step = _learned_from(run, measured)
    while step is not None:
        if step.uses.startswith("generator/") and step.status in ("computed", "reused"):
            yield step
        given = steps_of(step.inputs.get("dataset", []))
        step = steps.get(given[0]) if given else None


def foretelling(targets: Sequence[Target]) -> tuple[Foretells, ...]:
    """Of each quantity that any arm has, how it goes with the worth."""
    from scipy.stats import spearmanr

    found = []
    for quantity in FORETELLING:
        known = [
            (quality.n, (target.arm, quality.value, target.rate.value))
            for target in targets
            if (quality := target.quality(quantity)) is not None
            and target.rate is not None
            and math.isfinite(target.rate.value)
            and not (math.isinf(target.rate.low) and math.isinf(target.rate.high))  # it cannot be told
        ]
        if not known:
            continue
        most = Counter(n for n, _ in known).most_common(1)[0][0]
        rows = [row for n, row in known if n == most]
        one, other = ([row[place] for row in rows] for place in (1, 2))
        varied = len(rows) >= _LEAST_ARMS and len(set(one)) > 1 and len(set(other)) > 1
        rho = float(spearmanr(one, other).statistic) if varied else math.nan
        found.append(Foretells(quantity, tuple(rows), rho))
    return tuple(found)
