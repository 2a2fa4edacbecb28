"""What runs that are to be compared measured, each at which step, and that this can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgic_core.data.artifact import Metric
from fgic_core.data.outcomes import Outcomes
from fgic_core.errors import FgicError, PluginError, StoreError
from fgic_core.kinds.table import KINDS
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import MeasureRecord, StudyRecord, is_study
from fgic_core.study.pictures import Rows
from fgic_core.study.readings import Reader, SeveralValuesError, described, difference, metric_of

if TYPE_CHECKING:
    from fgic_core.finished import Run


@dataclass(frozen=True)
class Measured:
    """A run as it is read.

    Attributes:
        record: of the run; step: the step whose number it is.
        metric: the number; outcomes: what each picture adds; rows: what is known of the pictures.
    """

    folder: Path
    record: RunRecord
    step: StepRecord
    metric: Metric
    outcomes: Outcomes
    rows: Rows | None


def record_of(run: Path | str | Run, store: Path | str | None) -> tuple[Path, RunRecord]:
    """A run's directory and record.

    Raises:
        StoreError: it is no run directory.
    """
    if not isinstance(run, (str, Path)):
        return run.folder, run.record
    folder = Path(run)
    if not (folder / "run.json").exists() and is_study(folder):
        ended = [one.folder for one in StudyRecord.read(folder).runs if one.status == "finished"]
        which = f"Name runs of it, such as {folder / ended[0]}. " if ended else ""
        raise StoreError(
            "this is the folder of a study, which is of many runs",
            where=str(folder),
            hint=f"{which}How its pipelines compare over all seeds, fgic report {folder} says.",
        )
    return folder, RunRecord.read(folder, Path(store) if store is not None else None)


def measured(
    reader: Reader, folder: Path, record: RunRecord, step: str | None, measure: str, at: dict[str, float | str]
) -> Measured:
    """The number of a run and what its pictures add.

    Raises:
        StoreError: there is none, or there are several that it may mean.
    """
    if step is not None and step not in [one.name for one in record.steps]:
        names = ", ".join(one.name for one in record.steps)
        raise StoreError(f"the run has no step {step!r}", where=str(folder), hint=f"Its steps are {names}.")
    asked = MeasureRecord(step=step or _step_of(reader, folder, record, measure), quantity=measure, at=at)
    try:
        _, outcomes, rows = reader.read(record, asked)
    except FgicError as error:
        if isinstance(error, SeveralValuesError):
            error.hint = "Say which: --at eps=4/255."
        error.where = " in ".join(filter(None, [error.where, str(folder)]))
        raise
    if outcomes is None:
        raise StoreError(
            f"{described(asked)} of step {asked.step} is no mean over pictures, by which runs could be compared",
            where=str(folder),
            hint="Such means are accuracy and loss of a classifier, robust_accuracy of an attack.",
        )
    mine = record.step(asked.step)
    metric = metric_of(reader.artifact(mine.folder), asked)
    assert metric is not None
    return Measured(folder, record, mine, metric, outcomes, rows)


def _step_of(reader: Reader, folder: Path, record: RunRecord, measure: str) -> str:
    """The step of a run that measured it, where there is one; no other stands in for one that failed."""
    able = [step for step in record.steps if _can(step)]
    done = [step for step in able if step.status in ("computed", "reused")]
    wanted = MeasureRecord(step="", quantity=measure)
    found = [step for step in done if metric_of(reader.artifact(step.folder), wanted) is not None]
    kinds = {step.uses.partition("/")[0] for step in found or able}
    for step in able:
        if step not in done and step.uses.partition("/")[0] in kinds:
            why = step.error or step.reason or step.status
            raise StoreError(
                f"step {step.name}, which may have measured {measure}, has no result: {why}",
                where=str(folder),
                hint="Run the spec again, or name another step with --step.",
            )
    if len(found) == 1:
        return found[0].name
    steps = ", ".join(step.name for step in found)
    if found:
        hint = f"Say whose: --step {found[0].name}. One name counts for all runs; or give one for each."
        raise StoreError(f"several steps of this run measured {measure}: {steps}", where=str(folder), hint=hint)
    without = "" if able else ": it has no classifier, nor another step whose numbers are known picture by picture"
    raise StoreError(f"no step of this run measured {measure} on test pictures{without}", where=str(folder))


def _can(step: StepRecord) -> bool:
    """Whether a step is of a kind whose numbers are known picture by picture."""
    name = step.uses.partition("/")[0]
    with suppress(PluginError):  # a kind that cannot be used
        return name in KINDS and bool(KINDS[name].outcomes)
    return False


def check_alike(found: Sequence[Measured], measure: str) -> None:
    """Check that runs can be compared.

    Raises:
        FgicError: two are the same, or were measured on other pictures or otherwise.
    """
    first = found[0]
    for number, one in enumerate(found):
        for other in found[:number]:
            if (other.step.name, other.folder.resolve()) == (one.step.name, one.folder.resolve()):
                raise FgicError(
                    f"step {one.step.name} of {one.folder} is named twice", hint="Name another run or step."
                )
        if one.metric.at.keys() != first.metric.at.keys() or not one.metric.is_at(**first.metric.at):
            told = [
                ", ".join(f"{name} {_said(value)}" for name, value in run.metric.at.items()) for run in (one, first)
            ]
            raise FgicError(
                f"{measure} of {one.folder} was measured at {told[0]}, that of {first.folder} at {told[1]}",
                hint="Say at which of those that both have: --at eps=4/255.",
            )
        if differs := difference(first.outcomes.ids, first.rows, one.outcomes.ids, one.rows):
            raise FgicError(
                f"{one.folder} was measured on other test pictures than {first.folder}: {differs}",
                hint="Runs are compared picture by picture: both need the same test set.",
            )


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
