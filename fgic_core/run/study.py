"""Runs a study: its runs are one graph over one store, and each has a directory of its own below the study's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fgic_core.errors import FgicError, Interrupted
from fgic_core.finished import StudyRun
from fgic_core.plan.choice import choose
from fgic_core.plan.graph import Branch
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep
from fgic_core.plan.study import StudyPlan
from fgic_core.registry import Registry
from fgic_core.run.beginning import about_run, record_of, write_spec
from fgic_core.run.directory import new_folder, point_latest, skip_the_rest, write_metrics, writing
from fgic_core.run.engine import Asked, started
from fgic_core.run.events import words_of
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.observers import EventLog, Observers
from fgic_core.spec import Spec, SpecStep, dump_yaml
from fgic_core.store.record import holding, now
from fgic_core.store.study import ArmRecord, MeasureRecord, PathStepRecord, StudyRecord, StudyRunRecord, WorthRecord

#: Seconds between two looks of the study's record at its runs, while these go on.
_EVERY = 2.0


def study_record(plan: StudyPlan, about: dict[str, Any]) -> StudyRecord:
    """The record of a study that begins.

    Args:
        plan: of the study.
        about: what the records of its runs say too.
    """
    study, worth = plan.study, plan.study.worth
    return StudyRecord(
        name=plan.spec.name,
        seed=plan.spec.seed,
        seeds=list(study.seeds),
        margin=study.margin,
        vary=list(study.vary),
        measure=[
            MeasureRecord(step=one.step, quantity=one.quantity, at=dict(one.at), split=one.split)
            for one in study.measure
        ],
        baseline=study.arms[0].name,
        ablate=list(study.ablate),
        every=study.every,
        cross=study.cross,
        axes={path: list(levels) for path, levels in study.matrix.items()},
        arms=[
            ArmRecord(
                name=arm.name, left_out=list(arm.left_out), levels=dict(arm.levels), oracle=arm.oracle, under=arm.under
            )
            for arm in study.arms
        ],
        decompose=[PathStepRecord(arm=one.arm, part=one.part) for one in study.decompose],
        worth=WorthRecord(arms=list(worth.arms), curve=list(worth.curve)) if worth is not None else None,
        runs=[
            StudyRunRecord(arm=run.arm.name, seed=run.seed, folder=f"runs/{run.arm.name}/seed-{run.seed}")
            for run in plan.runs
        ],
        **about,
    )


def chosen_of(plan: StudyPlan, until: str | None, only: str | None) -> list[list[str]]:
    """The names of the steps to run, for each run.

    A run without the step that ``until`` names is run as far as that step stands in the whole pipeline; one without
    that which ``only`` names is not run.

    Raises:
        FgicError: see `fgic_core.plan.choice.choose`.
    """
    order = [step.name for step in plan.spec.steps]
    for name in (until, only):
        if name is not None and name not in order:
            raise FgicError(f"the spec has no step {name!r}", hint=f"Its steps are {', '.join(order)}.")
    return [_chosen(one, order, until, only) for one in plan.plans]


def _chosen(plan: Plan, order: list[str], until: str | None, only: str | None) -> list[str]:
    names = [step.name for step in plan.steps]
    if only is not None:
        return choose(plan, None, only) if only in names else []
    if until is not None:
        return [name for name in names if order.index(name) <= order.index(until)]
    return names


class Runs:
    """The runs of a study while it goes on: their directories, their records, and who watches them.

    Args:
        plan: of the study; chosen: the steps of each run that are wanted.
        folder: the study's; record: its record, which says how far each run is.
        about: what all records say.
        observers: who is told of every run.
        interrupts: whether the user wants to stop.
        fail_fast: begin nothing more once a run has failed.
        report: writes the report of a run into its directory; None writes none.

    Attributes:
        branches: one a run, in the order of the plan.
        problems: what went wrong beside the steps.
        end: is set to what ends all of it early.
    """

    def __init__(
        self,
        plan: StudyPlan,
        chosen: Sequence[Sequence[str]],
        folder: Path,
        record: StudyRecord,
        about: dict[str, Any],
        observers: Sequence[object],
        interrupts: Interrupts,
        *,
        fail_fast: bool,
        report: Callable[[Path], object] | None,
    ) -> None:
        self.folder, self.record = folder, record
        self._given, self._report, self._fail_fast = Observers(interrupts.ask), report, fail_fast
        for observer in observers:
            self._given.add(observer)
        self._installed = tuple(metadata.entry_points(group="fgic.hooks"))
        self._specs = Specs()
        self._written = 0.0
        self.problems: list[str] = []
        self.end: Callable[[], None] = lambda: None
        self._over: set[int] = set()
        self.branches = [
            Branch(one, wanted, record_of(one, about, run.arm.name), folder / entry.folder, Observers(interrupts.ask))
            for one, wanted, run, entry in zip(plan.plans, chosen, plan.runs, record.runs, strict=True)
        ]
        self.whole = Observers(interrupts.ask)
        self.whole.include(self._given)
        self.whole.add_installed(self._installed)

    def begun(self, number: int) -> None:
        """A run begins: its directory is made."""
        branch, entry = self.branches[number], self.record.runs[number]
        branch.folder.mkdir(parents=True)
        (branch.folder / "resolved.yaml").write_text(self._specs.text(branch.plan.spec), encoding="utf-8")
        branch.record.started = now()
        branch.record.write(branch.folder)
        branch.observers.add(EventLog(branch.folder, many=True), "event log")
        branch.observers.include(self._given)
        branch.observers.add_installed(self._installed)
        entry.status = "running"
        branch.observers.notify("run_started", run=branch.record, folder=branch.folder)

    def ended(self, number: int) -> None:
        """A run is over, as far as it can be."""
        statuses = {step.status for step in self.branches[number].record.steps}
        failed = "failed" in statuses
        self._close(number, "failed" if failed else "interrupted" if "interrupted" in statuses else "finished")
        if failed and self._fail_fast:
            self.end()
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def _close(self, number: int, status: Any) -> None:
        branch, entry = self.branches[number], self.record.runs[number]
        self._over.add(number)
        record = branch.record
        record.finished, record.status = now(), status
        skip_the_rest(record)
        record.write(branch.folder)
        write_metrics(branch.folder, record)
        entry.status, entry.seconds = status, round(sum(step.seconds for step in record.steps), 3)
        wrong = next((step for step in record.steps if step.status == "failed"), None)
        if wrong is not None:
            named = wrong.error.startswith(f"step {wrong.name}")
            entry.error = wrong.error if named else f"step {wrong.name}: {wrong.error}"
        if self._report is not None:
            try:
                self._report(branch.folder)
            except Exception as error:
                self.problems.append(f"the report of {entry.folder} could not be written: {words_of(error)}")
        branch.observers.notify("run_finished", run=record, folder=branch.folder)
        for name, why in branch.observers.failures.items():
            said = f"the observer {name} failed and was left out: {why}"
            self.problems += [said] if said not in self.problems else []

    def close(self, error: BaseException | None) -> None:
        """Whatever ended the study, the records say that it ended: of runs that were in the middle, how."""
        stopped = isinstance(error, (KeyboardInterrupt, Interrupted)) or error is None
        for number, entry in enumerate(self.record.runs):
            if entry.status == "running" and number not in self._over:
                try:
                    self._close(number, "interrupted" if stopped else "failed")
                except Exception:
                    if error is None:
                        raise
        whole = all(entry.status == "finished" for entry in self.record.runs)
        self.record.finished = now()
        self.record.status = "finished" if error is None and whole else "failed"
        if error is not None and stopped:
            self.record.status = "interrupted"
        self.write()

    def write(self) -> None:
        """Write the study's record."""
        self._written = time.monotonic()
        self.record.write(self.folder)

    def result(self) -> StudyRun:
        """What the study gave."""
        told = [f"the observer {name} failed and was left out: {why}" for name, why in self.whole.failures.items()]
        return StudyRun(self.folder, self.record, None, tuple(dict.fromkeys([*self.problems, *told])))


class Specs:
    """Writes the specs of runs with everything filled in: what two have in common is put into words once."""

    def __init__(self) -> None:
        self._steps: dict[tuple[Any, ...], tuple[SpecStep, str]] = {}
        self._heads: dict[int, str] = {}

    def text(self, spec: Spec) -> str:
        """The spec as YAML, as `fgic_core.spec.dump_yaml` writes what `Spec.resolved` gives."""
        if spec.seed not in self._heads:
            head = {"version": spec.version, "name": spec.name, "seed": spec.seed, "steps": {"first": {}}}
            self._heads[spec.seed] = f"{dump_yaml(head).partition('steps:')[0]}steps:\n"
        return f"{self._heads[spec.seed]}{''.join(map(self._step, spec.steps))}"

    def _step(self, step: SpecStep) -> str:
        wiring = tuple(
            (port, tuple(given) if isinstance(given, list) else given) for port, given in step.inputs.items()
        )
        place = (step.name, id(step.described), wiring)
        if place not in self._steps:
            # (the step is kept, so that the identity of what describes it stays its own)
            one = dump_yaml({"steps": {step.name: {**step.resolved(), "seed": 0}}})
            self._steps[place] = step, one.partition("\n")[2].rpartition("0")[0]
        seed = step.resolved_seed
        said = seed if isinstance(seed, int) else f"{{{', '.join(f'{name}: {one}' for name, one in seed.items())}}}"
        return f"{self._steps[place][1]}{said}\n"


def run_study(
    plan: StudyPlan,
    registry: Registry,
    runs: Path,
    asked: Asked,
    observers: Sequence[object],
    report: Callable[[Path], object] | None,
) -> StudyRun:
    """Run every run of a study that the store does not have.

    Args:
        plan: of the study.
        registry: where components come from.
        runs: folder that the study's is made in.
        asked: how.
        observers: who is told of every run, and of the study.
        report: writes the report of a run; None writes none.

    Raises:
        Interrupted: the user stopped it; the records say so.
        FgicError: the arguments are wrong. Failures of steps are in the records.
    """
    chosen = chosen_of(plan, asked.until, asked.only)
    to_compute: dict[int, tuple[Plan, PlannedStep]] = {}  # one of those that seeds alone tell apart
    for one, wanted in zip(plan.plans, chosen, strict=True):
        for step in one.steps:
            if step.name in wanted and not step.reused:
                to_compute.setdefault(id(step.described), (one, step))
    with started(asked, registry, list(to_compute.values())) as engine:
        uses = [step.uses for arm in plan.study.arms for step in arm.steps]
        how = {"device": engine.device, "jobs": asked.jobs, "threads": engine.threads}
        about = about_run(plan.spec, uses, registry, asked.command, **how)
        folder = new_folder(runs)
        record = study_record(plan, about)
        with writing(folder), holding(folder):
            write_spec(plan.spec, folder)
            record.write(folder)
            study = Runs(
                *(plan, chosen, folder, record, about, observers, engine.interrupts),
                fail_fast=asked.fail_fast,
                report=report,
            )
            computed = plan.to_compute(chosen)
            study.whole.notify("study_started", study=record, folder=folder, nodes=plan.nodes, computed=computed)
            scheduler = engine.scheduler(study.branches, study)
            study.end = scheduler.end
            try:
                stopped = engine.run(scheduler)
            except BaseException as error:
                study.close(error)
                raise
            study.close(stopped)
            point_latest(folder)
            study.whole.notify("study_finished", study=record, folder=folder)
            result = study.result()
            if stopped is not None:
                stopped.hint = "\n  ".join([stopped.hint or "", *result.problems])
                raise stopped
            return result
