"""The groups of a study's test pictures, as the kinds of its steps know them (`Kind.groups`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core.data.groups import Grouping
from fgic_core.errors import FgicError, PluginError
from fgic_core.kinds.table import KINDS, named
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.study.effects import Comparison
from fgic_core.study.readings import Reading, Readings

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Cut:
    """The pictures of a measure, cut into groups by what a step of a study's runs knows of them.

    Attributes:
        step: its name; arm: whose step it is.
        title, names: see `Grouping`.
        groups: (pictures,) where each one's group stands among the names; -1 of what is in none.
        steady: the share of pictures that are in the same group whatever the seed.
    """

    step: str
    arm: str
    title: str
    names: tuple[str, ...]
    groups: Array
    steady: float


class Groups:
    """The pictures of a measure in groups, as the runs of a study know them. What several runs share is read once.

    Args:
        source: reads the runs; reading: of the measure.
    """

    def __init__(self, source: Readings, reading: Reading) -> None:
        self.source, self.reading, self.record = source, reading, source.record
        self._read: dict[Path, list[Grouping]] = {}
        self._cuts: dict[tuple[str, str], list[Cut]] = {}

    def cuts(self, comparison: Comparison) -> tuple[list[Cut], list[str]]:
        """The groups that a comparison is looked at by, and why there are no more.

        They are those of the baseline's steps, and of the other arm's where the baseline has no step of the name.
        """
        cuts: list[Cut] = []
        problems: list[str] = []
        for arm in sorted((comparison.other, comparison.better), key=lambda name: name != self.record.baseline):
            taken = {cut.step for cut in cuts}
            for step in self._steps(arm):
                if step in taken:
                    continue
                try:
                    cuts += self._cuts_by(arm, step)
                except FgicError as error:
                    problems.append(f"step {step} of {arm}: {error.what}")
        return cuts, problems

    def _steps(self, arm: str) -> list[str]:
        """The steps whose kinds know groups, of those that the measured step stands on, first ones first."""
        for run in self._runs(arm):
            wanted, found = {self.reading.measure.step}, []
            for step in reversed(run.steps):
                if step.name in wanted:
                    wanted |= {name for given in step.inputs.values() for name in _names(given)}
                    found += [step.name] if _knows(step) else []
            return found[::-1]
        return []

    def _runs(self, arm: str) -> Iterator[RunRecord]:
        """Of the seeds that have a run, in their order."""
        runs = (self.source.run(arm, seed) for seed in self.record.seeds)
        return (run for run in runs if run is not None)

    def _cuts_by(self, arm: str, name: str) -> list[Cut]:
        """By a step of an arm: each picture is in the group in which it is with most seeds.

        Raises:
            FgicError: what the step gave cannot be read.
        """
        if (arm, name) in self._cuts:
            return self._cuts[arm, name]
        steps = [step for run in self._runs(arm) for step in run.steps if step.name == name]
        known = [self._groupings(step) for step in steps if step.status in ("computed", "reused")]
        place = {picture: number for number, picture in enumerate(self.reading.ids)}
        cuts = []
        for first in known[0] if known else []:
            same = [one for seed in known for one in seed if (one.title, one.names) == (first.title, first.names)]
            groups, steady = most_often([_in_order(one, place) for one in same], len(first.names))
            cuts.append(Cut(name, arm, first.title, first.names, groups, steady))
        self._cuts[arm, name] = cuts
        return cuts

    def _groupings(self, step: StepRecord) -> list[Grouping]:
        if step.folder not in self._read:
            kind = KINDS[step.uses.partition("/")[0]]
            where = f"{kind.groups} ({kind.package})"
            function: Callable[[Path, str], list[Grouping]] = named(
                f"{kind.groups}:groups", f"the groups of pictures of a {kind.name}"
            )
            self.source.artifact(step.folder)  # raises where there is none
            try:
                found = function(step.folder, self.reading.measure.split or "test")
            except Exception as error:  # whatever a package of somebody's does
                raise PluginError(f"groups() raised {type(error).__name__}: {error}", where=where) from error
            if not isinstance(found, list) or not all(isinstance(one, Grouping) for one in found):
                raise PluginError(f"groups() gave {type(found).__name__}, not a list of Grouping", where=where)
            self._read[step.folder] = found
        return self._read[step.folder]


def most_often(groups: list[Array], count: int) -> tuple[Array, float]:
    """The group in which each picture is most often, and the share of pictures that are always in the same one.

    Args:
        groups: (pictures,) of each seed, by number, -1 for none; count: of the groups.

    Returns:
        of equally many the first, and none where that is more often than any.
    """
    table = np.stack(groups)
    votes = np.stack([(table == number).sum(axis=0) for number in [*range(count), -1]])
    chosen = votes.argmax(axis=0)
    steady = float((table == table[0]).all(axis=0).mean()) if table.size else 1.0
    return np.where(chosen == count, -1, chosen), steady


def _in_order(grouping: Grouping, place: dict[str, int]) -> Array:
    """(pictures,) the groups of a measure's pictures, in their order."""
    ordered = np.full(len(place), -1, dtype=np.int64)
    for name, group in zip(grouping.ids, grouping.groups.tolist(), strict=True):
        if name in place:
            ordered[place[name]] = group
    return ordered


def _knows(step: StepRecord) -> bool:
    name = step.uses.partition("/")[0]
    try:
        return name in KINDS and bool(KINDS[name].groups)
    except PluginError:  # a kind that cannot be used
        return False


def _names(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given
