"""Reads what each run of a study measured: the number, and what each test picture adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.artifact import ArtifactRecord, Metric
from fgic_core.data.outcomes import Outcomes
from fgic_core.data.quantities import Quantity, quantity
from fgic_core.errors import FgicError, PluginError, StoreError
from fgic_core.kinds.table import KINDS, named
from fgic_core.store.artifacts import LEARNED
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import MeasureRecord, StudyRecord
from fgic_core.study.pictures import Rows, clusters_of, pairs_of, rows_of

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset

Array = np.ndarray[Any, Any]

#: How far the mean over pictures may be from the number that it is to be.
_ROUNDING = 1e-6


class SeveralValuesError(StoreError):
    """A step measured a quantity at several values, and the measure does not say which it means.

    Args:
        what: what happened.
        values: such as ``eps: 0.01568627``, what has to be said of each.
    """

    def __init__(self, what: str, values: tuple[str, ...]) -> None:
        super().__init__(what)
        self.values = values


@dataclass
class Reading:
    """One measure over all runs.

    Attributes:
        measure: what was measured; quantity: its row.
        values: (arms, seeds) the numbers; NaN where there is none.
        ids: of the test pictures that the number is a mean over; empty where it is no mean over pictures.
        outcomes: (arms, seeds, pictures) what each adds; NaN where there is none.
        clusters: (pictures,) equal for those that are not independent; None without pictures.
        labels: (pictures,) class indices; classes: their names; empty without pictures.
        problems: why numbers are missing, or cannot be compared, each once.
    """

    measure: MeasureRecord
    quantity: Quantity
    values: Array
    ids: tuple[str, ...] = ()
    outcomes: Array | None = None
    clusters: Array | None = None
    labels: Array | None = None
    classes: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.quantity.better == "lower" else 1

    def say(self, problem: str) -> None:
        """Note a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)


class Reader:
    """Reads what steps of runs measured. Artifacts that several runs share are read once."""

    def __init__(self) -> None:
        self._artifacts: dict[Path, ArtifactRecord] = {}
        self._rows: dict[Path, Rows] = {}
        self._outcomes: dict[tuple[Path, str], Outcomes | None] = {}

    def artifact(self, folder: Path) -> ArtifactRecord:
        """The record of an artifact. Raises StoreError where there is none."""
        if folder not in self._artifacts:
            self._artifacts[folder] = ArtifactRecord.read(folder)
        return self._artifacts[folder]

    def read(self, run: RunRecord, measure: MeasureRecord) -> tuple[float, Outcomes | None, Rows | None]:
        """The number of a run, what its pictures add, and what is known of these.

        Raises:
            SeveralValuesError: there are several that may be meant.
        FgicError: there is none.
        """
        if not measure.step:
            return self.seconds(run, trainings_alone=measure.quantity == "fit_seconds"), None, None
        step = next((one for one in run.steps if one.name == measure.step), None)
        if step is None or step.status not in ("computed", "reused"):
            why = f": {step.error or step.reason or step.status}" if step is not None else ""
            raise StoreError(f"step {measure.step} has no result{why}")
        artifact = self.artifact(step.folder)
        metric = metric_of(artifact, measure)
        if metric is not None:
            check_one(artifact, measure, metric)
        if metric is None or metric.value is None:
            note = f": {metric.note}" if metric is not None and metric.note else ""
            raise StoreError(f"step {measure.step} measured no {described(measure)}{note}")
        outcomes = self._outcomes_of(step, metric)
        rows = self._rows_of(run, step) if outcomes is not None else None
        return float(metric.value), outcomes, rows

    def _outcomes_of(self, step: StepRecord, metric: Metric) -> Outcomes | None:
        kind = KINDS[step.uses.partition("/")[0]]
        place = step.folder, str(metric)
        if not kind.outcomes:
            return None
        if place not in self._outcomes:
            function: Callable[[Path, Metric], Outcomes | None] = named(
                f"{kind.outcomes}:outcomes", f"what numbers of a {kind.name} are means of"
            )
            with _readable(step):
                found = function(step.folder, metric)
            if found is not None and not abs(float(found.values.mean()) - float(metric.value or 0)) < _ROUNDING:
                raise PluginError(
                    f"the pictures' mean of {metric.name} is {found.values.mean():.6g}, its number {metric.value:.6g}",
                    where=f"{kind.outcomes} ({kind.package})",
                )
            self._outcomes[place] = found
        return self._outcomes[place]

    def _rows_of(self, run: RunRecord, step: StepRecord) -> Rows | None:
        """The samples that a step was measured on, as its data set has them."""
        given = step.inputs.get("dataset")
        source = next((one for one in run.steps if one.name == given), None)
        if source is None:
            return None
        if source.folder not in self._rows:
            with _readable(source):
                self._rows[source.folder] = rows_of(source.folder)
        return self._rows[source.folder]

    def seconds(self, run: RunRecord, *, trainings_alone: bool) -> float:
        """What the steps of a run took when they were computed, by whichever run that was.

        Raises:
            StoreError: a step has no result.
        """
        seconds = 0.0
        for step in run.steps:
            if step.status not in ("computed", "reused"):
                raise StoreError(f"step {step.name} has no result")
            artifact = self.artifact(step.folder)
            seconds += 0.0 if trainings_alone else artifact.seconds
            seconds += sum(one.seconds for one in self.learned(step.folder))
        return seconds

    def learned(self, folder: Path) -> list[ArtifactRecord]:
        """What was learned for an artifact: its trainings.

        Raises:
            StoreError: one is no longer in the store.
        """
        keys = dict(self.artifact(folder).sources.get(LEARNED, {})).values()
        return [self.artifact(folder.parent.parent / key[:2] / key) for key in keys]


class Readings(Reader):
    """What the runs of a study measured. Artifacts that several runs share are read once.

    Args:
        folder: of the study; record: its record.
        store: where artifacts lie, if not where the runs' records say.

    Attributes:
        measures: one for each that the study names.
    """

    def __init__(self, folder: Path, record: StudyRecord, store: Path | None = None) -> None:
        super().__init__()
        self.folder, self.record = folder, record
        self._datasets: dict[Path, Dataset] = {}
        self._runs: dict[tuple[str, int], RunRecord] = {}
        for run in record.runs:
            if run.status in ("finished", "failed", "interrupted", "killed") and (folder / run.folder).is_dir():
                try:
                    self._runs[run.arm, run.seed] = RunRecord.read(folder / run.folder, store)
                except StoreError:
                    continue  # a run that was killed before its record was written
        self.measures = [self._measure(measure) for measure in record.measure]

    def run(self, arm: str, seed: int) -> RunRecord | None:
        """The record of a run; None where it has none."""
        return self._runs.get((arm, seed))

    def _measure(self, measure: MeasureRecord) -> Reading:
        shape = len(self.record.arms), len(self.record.seeds)
        reading = Reading(measure, quantity(measure.quantity), np.full(shape, np.nan))
        found: dict[tuple[int, int], tuple[Outcomes, Rows | None, RunRecord]] = {}
        for a, arm in enumerate(self.record.arms):
            if measure.step and measure.step in arm.left_out:
                continue
            for s, seed in enumerate(self.record.seeds):
                run = self._runs.get((arm.name, seed))
                if run is None:
                    continue
                try:
                    value, outcomes, rows = self.read(run, measure)
                except SeveralValuesError as error:
                    reading.say(f"{error.what}; say which: at: {{{error.values[-1]}}}")
                    continue
                except FgicError as error:
                    reading.say(f"{arm.name}, seed {seed}: {error.what}")
                    continue
                reading.values[a, s] = value
                if outcomes is not None:
                    found[a, s] = outcomes, rows, run
        if found:
            self._by_picture(reading, found)
        return reading

    def dataset(self, arm: str, step: str) -> Dataset | None:
        """The data set that a step of an arm was measured on, of the first seed that has one."""
        from fgic_core.data.dataset import Dataset

        for seed in self.record.seeds:
            run = self._runs.get((arm, seed))
            mine = next((one for one in run.steps if one.name == step), None) if run is not None else None
            source = (
                next((one for one in run.steps if mine and one.name == mine.inputs.get("dataset")), None)
                if run
                else None
            )
            if run is None or source is None or source.status not in ("computed", "reused"):
                continue
            if source.folder not in self._datasets:
                try:
                    self._datasets[source.folder] = Dataset.open(source.folder, run.roots)
                except FgicError:
                    continue
            return self._datasets[source.folder]
        return None

    def _by_picture(
        self, reading: Reading, found: Mapping[tuple[int, int], tuple[Outcomes, Rows | None, RunRecord]]
    ) -> None:
        """Put what pictures add side by side: the same picture in the same column, in every run."""
        first, rows, run = found[min(found)]
        place = {name: number for number, name in enumerate(first.ids)}
        table = np.full((*reading.values.shape, len(place)), np.nan, dtype=np.float32)
        for (a, s), (outcomes, own, _) in found.items():
            arm, seed = self.record.arms[a].name, self.record.seeds[s]
            if differs := difference(first.ids, rows, outcomes.ids, own):
                reading.say(f"{arm}, seed {seed} was measured on other pictures, and is not compared: {differs}")
                reading.values[a, s] = np.nan
                continue
            columns = [place[name] for name in outcomes.ids]
            table[a, s, columns] = outcomes.values
        reading.ids, reading.outcomes = first.ids, table
        reading.clusters = clusters_of(first.ids, rows, duplicates_of(run))
        if rows is not None:
            reading.labels = np.array([rows.about[name][1] if name in rows.about else -1 for name in first.ids])
            reading.classes = rows.classes


@contextmanager
def _readable(step: StepRecord) -> Iterator[None]:
    """Says of a file of an artifact that cannot be read which step's it is."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise StoreError(
            f"what step {step.name} gave cannot be read: {error}",
            where=str(step.folder),
            hint="Run the spec again: what the store lacks is computed anew.",
        ) from None


def duplicates_of(run: RunRecord) -> list[tuple[str, str]]:
    """The samples of a run's data sets that are duplicates of one another."""
    return [
        pair
        for step in run.steps
        if step.uses.partition("/")[0] == "dataset" and step.folder.is_dir()
        for pair in pairs_of(step.folder)
    ]


def metric_of(artifact: ArtifactRecord, measure: MeasureRecord) -> Metric | None:
    """The number that a measure means: of the split it names, else of test, else of no split."""
    fitting = [one for one in artifact.metrics if one.name == measure.quantity and one.is_at(**measure.at)]
    for split in (measure.split,) if measure.split is not None else ("test", ""):
        for one in fitting:
            if one.split == split:
                return one
    return None


def check_one(artifact: ArtifactRecord, measure: MeasureRecord, metric: Metric) -> None:
    """Check that a measure means one number alone: none is chosen for the user.

    Args:
        artifact: of the step; measure: what is asked for; metric: what `metric_of` found.

    Raises:
        SeveralValuesError: the same was measured at several values that the measure does not tell apart.
    """
    fitting = [
        one.at
        for one in artifact.metrics
        if (one.name, one.split) == (metric.name, metric.split) and one.is_at(**measure.at)
    ]
    names = dict.fromkeys(name for at in fitting for name in at)
    telling = [name for name in names if any(at.get(name) != fitting[0].get(name) for at in fitting)]
    if not telling:
        return
    said = [[(name, value_at(at[name])) for name in telling if name in at] for at in fitting]
    several = "; ".join(", ".join(f"{name}={value}" for name, value in one) or "none" for one in said)
    raise SeveralValuesError(
        f"step {measure.step} measured {measure.quantity} at several values: {several}",
        tuple(", ".join(f"{name}: {value}" for name, value in one) for one in said),
    )


def value_at(value: float | str) -> str:
    """With as many digits as tell which number is meant: see `Metric.is_at`."""
    return value if isinstance(value, str) else f"{value:.7g}"


def described(measure: MeasureRecord) -> str:
    """Such as ``robust_accuracy (test, eps=0.0157)``."""
    about = [measure.split] if measure.split else []
    about += [
        f"{name}={value if isinstance(value, str) else format(value, '.4g')}" for name, value in measure.at.items()
    ]
    return f"{measure.quantity} ({', '.join(about)})" if about else measure.quantity


def difference(ids: tuple[str, ...], rows: Rows | None, others: tuple[str, ...], own: Rows | None) -> str:
    """In what pictures that two runs were measured on differ; empty where they are the same.

    Args:
        ids: of the one run's; rows: what is known of them.
        others: of the other run's; own: what is known of these.
    """
    if set(ids) != set(others):
        lacking, more = sorted(set(ids) - set(others)), sorted(set(others) - set(ids))
        said = [f"it lacks {len(lacking):,} ({lacking[0]}, …)"] if lacking else []
        said += [f"it has {len(more):,} more ({more[0]}, …)"] if more else []
        return " and ".join(said)
    if rows is None or own is None or rows is own:
        return ""
    if rows.classes != own.classes:
        return "its classes are others"
    changed = [name for name in ids if rows.about.get(name) != own.about.get(name)]
    return f"{len(changed):,} pictures have other content or another label ({changed[0]}, …)" if changed else ""
