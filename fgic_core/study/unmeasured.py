"""Measures that no run of a study has a number of, though its runs came to their end: why, and what to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fgic_core.data.artifact import Metric
from fgic_core.errors import FgicError
from fgic_core.store.record import StepRecord
from fgic_core.study.readings import Reading, Readings, described, value_at
from fgic_core.study.results import Results

_DONE = ("computed", "reused")
#: So many of a step's numbers are named.
_MOST = 8


@dataclass(frozen=True)
class Unmeasured:
    """A measure without a number in any run.

    Attributes:
        number: its place among the study's measures: verdicts stand on the first, 0.
        reading: of the measure.
        what: that it has none, and why; hint: what the step did measure, and what to write.
        left_out: whether no run came as far as the step, because it was not to.
    """

    number: int
    reading: Reading
    what: str
    hint: str = ""
    left_out: bool = False


def unmeasured(results: Results) -> list[Unmeasured]:
    """The measures that no run has a number of, of a study whose runs are all finished."""
    return [
        _why(number, reading, results.source)
        for number, reading in enumerate(results.readings)
        if not np.isfinite(reading.values).any()
    ]


def _why(number: int, reading: Reading, source: Readings) -> Unmeasured:
    measure, said = reading.measure, described(reading.measure)
    done = _done(source)
    if not measure.step or measure.step not in [step.name for step in done]:
        of = f"step {measure.step}" if measure.step else "a step of each run"
        return Unmeasured(number, reading, f"no run has a number of {said}, for {of} was not run", "", left_out=True)
    measured = {step.name: _metrics(source, step) for step in done}
    mine = measured[measure.step]
    several = [problem for problem in reading.problems if problem.startswith(f"step {measure.step} measured ")]
    if several:
        return Unmeasured(number, reading, several[0])
    what = f"no run has a number of {said}: step {measure.step} measured none"
    hint = f"It measured {_listed(mine)}." if mine else "It measured nothing."
    if written := _instead(reading, measured):
        hint += f" Write measure: [{written}]" + (", or another of its numbers." if _named(written, reading) else ".")
    return Unmeasured(number, reading, what, hint)


def _done(source: Readings) -> list[StepRecord]:
    """The steps that any run has done, of each name the first."""
    found: dict[str, StepRecord] = {}
    for arm in source.record.arms:
        for seed in source.record.seeds:
            run = source.run(arm.name, seed)
            for step in run.steps if run is not None else ():
                if step.status in _DONE:
                    found.setdefault(step.name, step)
    return list(found.values())


def _metrics(source: Readings, step: StepRecord) -> list[Metric]:
    try:
        return [one for one in source.artifact(step.folder).metrics if one.value is not None]
    except FgicError:  # it is no longer in the store
        return []


def _listed(metrics: Sequence[Metric]) -> str:
    """``robust_accuracy (test) at eps=0; eps=0.01568627``."""
    by_name: dict[tuple[str, str], list[Metric]] = {}
    for one in metrics:
        by_name.setdefault((one.name, one.split), []).append(one)
    said = []
    for (name, split), same in by_name.items():
        telling = _telling(same)
        places = [", ".join(f"{key}={value_at(one.at[key])}" for key in telling if key in one.at) for one in same]
        at = f" at {'; '.join(places)}" if telling else ""
        said.append(f"{name}{f' ({split})' if split else ''}{at}")
    more = f" and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return f"{', '.join(said[:_MOST])}{more}"


def _telling(metrics: Sequence[Metric]) -> list[str]:
    """What tells metrics of one name and split apart."""
    names = dict.fromkeys(name for one in metrics for name in one.at)
    return [name for name in names if any(one.at.get(name) != metrics[0].at.get(name) for one in metrics)]


def _instead(reading: Reading, measured: dict[str, list[Metric]]) -> str:
    """The measure that is nearest to what was asked for, as a spec has it; empty without any."""
    measure = reading.measure
    mine = measured[measure.step]
    others = [
        (step, one)
        for step, metrics in measured.items()
        for one in metrics
        if one.name == measure.quantity and one.split in ("test", "")
    ]
    same = [(measure.step, one) for one in mine if one.name == measure.quantity]
    fitting = [one for one in same if one[1].split == (measure.split or "test")]
    found = fitting or same or others or [(measure.step, one) for one in mine if one.split in ("test", "")]
    if not found:
        return ""
    step, metric = found[-1]
    alike = [one for one in measured[step] if (one.name, one.split) == (metric.name, metric.split)]
    at = ", ".join(f"{name}: {value_at(metric.at[name])}" for name in _telling(alike) if name in metric.at)
    split = f", split: {metric.split}" if metric.split not in ("test", "") else ""
    return f"{{step: {step}, quantity: {metric.name}{f', at: {{{at}}}' if at else ''}{split}}}"


def _named(written: str, reading: Reading) -> bool:
    return written.startswith(f"{{step: {reading.measure.step},")
