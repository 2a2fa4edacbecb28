"""Runs a plan: step by step, each from the store or as a job, and keeps the record of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.errors import FgicError, Interrupted, PluginError, StepError, StoreError
from fgic_core.kinds.classifier.contract import Classifier
from fgic_core.kinds.dataset.contract import DatasetReader
from fgic_core.kinds.explainer.contract import Explainer
from fgic_core.kinds.ports import all_steps
from fgic_core.nested import entry_of, nested
from fgic_core.registry import Registry
from fgic_core.run.artifacts import LEARNED
from fgic_core.run.engines import Engine
from fgic_core.run.events import ProcessFailed, is_disk_full, text_of, traceback_of, words_of
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.job import Job
from fgic_core.run.lessons import Taught, cut
from fgic_core.run.observers import Observers
from fgic_core.run.plan import Plan, PlannedLesson, PlannedStep
from fgic_core.run.record import RunRecord, StepRecord
from fgic_core.steps.context import Listener
from fgic_core.steps.lesson import MAIN

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset


class _StepListener(Listener):
    """Passes a step's events on to the observers of the run; every event is a place where the run can be stopped."""

    def __init__(self, observers: Observers, step: StepRecord, interrupts: Interrupts) -> None:
        self._observers, self._step, self._interrupts = observers, step, interrupts

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self._interrupts.check()
        self._observers.notify("progress", step=self._step, description=description, done=done, total=total, unit=unit)

    def metric(self, metric: Metric) -> None:
        self._interrupts.check()
        self._observers.notify("metric", step=self._step, metric=metric)

    def point(self, point: Point) -> None:
        self._interrupts.check()
        self._observers.notify("point", step=self._step, point=point)

    def warning(self, message: str) -> None:
        self._observers.notify("warning", step=self._step, message=message)


class Executor:
    """Runs the steps of a plan in their order.

    Args:
        plan: what to run.
        registry: where components come from.
        folder: the run directory; it exists.
        record: the record of the run, kept up to date in ``folder``.
        observers: who is told.
        interrupts: whether the user wants the run to stop.
        engine: computes the steps.
        fresh: compute every step, from nothing.
        device: torch's name of the device; devices: how many; workers: data loader processes.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        folder: Path,
        record: RunRecord,
        observers: Observers,
        interrupts: Interrupts,
        engine: Engine,
        *,
        fresh: bool = False,
        device: str = "cpu",
        devices: int = 1,
        workers: int = 0,
    ) -> None:
        self.plan, self.registry, self.folder, self.record, self.observers = plan, registry, folder, record, observers
        self.interrupts, self.engine = interrupts, engine
        self.fresh, self.device, self.devices, self.workers = fresh, device, devices, workers
        self._roots: dict[str, Path] = {}

    def run(self, chosen: list[str]) -> None:
        """Run the steps of these names; the others are skipped, but their artifacts may serve as inputs.

        Raises:
            Interrupted: the user stopped the run. The record says so; what is finished is in the store.
        """
        done: set[str] = set()
        for planned in self.plan.steps:
            step = self.record.step(planned.name)
            if planned.name not in chosen:
                step.status, step.reason = "skipped", "was not asked for"
                if planned.reused:
                    self._remember_roots(planned)
                    done.add(planned.name)
                continue
            if step.status == "failed":  # seen before the training that it needs
                continue
            lacking = [source for source in all_steps(planned.inputs) if source not in done]
            if lacking:
                step.status, step.reason = "skipped", f"needs step {' and '.join(lacking)}, which has no artifact"
                continue
            try:
                self.interrupts.check()
                settled = self._settle(planned, step)
                if failed := self._rehearse(settled, chosen):
                    step.status, step.reason = (
                        "skipped",
                        f"step {' and '.join(failed)} could not explain what it trains",
                    )
                    continue
                self._step(settled, step)
                done.add(planned.name)
            except KeyboardInterrupt as error:
                if self.interrupts.nobody_asked:
                    self._failed(step, self._explain(planned, error), "failed", error)
                    continue
                if step.status not in ("computed", "reused"):
                    self._failed(step, KeyboardInterrupt("stopped"), "interrupted")
                raise Interrupted("stopped", hint=self._how_to_go_on(planned)) from None
            except BaseException as error:  # a component that calls sys.exit() does not end the run
                self._failed(step, self._explain(planned, error), "failed", error)
            finally:
                self.record.write(self.folder)

    def _settle(self, planned: PlannedStep, step: StepRecord) -> PlannedStep:
        """The step as it is planned now that its inputs exist."""
        listener = _StepListener(self.observers, step, self.interrupts)
        settled = self.plan.settle(
            planned.name, lambda done, total: listener.progress("reading pictures", done, total, "pictures")
        )
        step.key, step.folder = settled.key, settled.folder
        if settled.reused or not planned.settled:
            step.reason = settled.reason
        return settled

    def _rehearse(self, planned: PlannedStep, chosen: list[str]) -> list[str]:
        """The explainers that are to be run and cannot work on what this step is about to train; they have failed."""
        if planned.reused or planned.trained or not isinstance(planned.component, Classifier):
            return []
        failed = []
        for other in self.plan.steps:
            wanted = other.name in chosen and not other.reused and planned.name in all_steps(other.inputs)
            if not wanted or not isinstance(other.component, Explainer):
                continue
            from fgic_core.data.header import Header

            classes = Header.read(self.plan.step(str(planned.inputs["dataset"])).folder).classes
            listener = _StepListener(self.observers, self.record.step(planned.name), self.interrupts)
            trying = f"trying {other.uses} before the training"
            listener.progress(trying, 0, 1, "pictures")
            classifier, explainer = (planned.uses, planned.component), (other.uses, other.component)
            try:
                error = self.engine.rehearse(classifier, explainer, len(classes))
            except KeyboardInterrupt:
                if not self.interrupts.nobody_asked:
                    raise
                error = None  # a component raised it: left to its step
            listener.progress(trying, 1, 1, "pictures")
            if error is not None:
                told = PluginError(
                    f"{error.what} (seen before the training of step {planned.name}, which was not begun)",
                    where=error.where,
                    hint=f"{error.hint or ''} Without step {other.name}, --until {planned.name} trains.".strip(),
                )
                self._failed(self.record.step(other.name), told, "failed", error)
                failed.append(other.name)
        return failed

    def _step(self, planned: PlannedStep, step: StepRecord) -> None:
        """Have the step learn what it learns, and then use it; what the store has is not computed."""
        if planned.reused:
            self._reuse(planned, step)
            return
        anew, seconds = False, 0.0
        for lesson in planned.lessons or ():
            if lesson.reused:
                continue
            name = f"{planned.name}.fit" if lesson.name == MAIN else f"{planned.name}.{lesson.name}"
            # Before it is begun: what an interrupted training leaves is needed too.
            self.plan.store.remember(self.plan.spec.name, name, lesson.document)
            record, computed = self._node(lesson.key, planned, step, self._fit_job(planned, lesson), lesson)
            self.plan.learned(planned.name, lesson.name, record.content)
            anew, seconds = anew or computed, seconds + record.seconds * computed
        planned = self.plan.settle(planned.name)
        step.key, step.folder = planned.key, planned.folder
        if planned.reused and not anew:
            step.reason = planned.reason
            self._reuse(planned, step)
            return
        if not planned.reused:
            record, computed = self._node(planned.key, planned, step, lambda folder: self._job(planned, folder))
            self.plan.computed(planned.name, record.content)
            anew, seconds = anew or computed, seconds + record.seconds * computed
        if not anew:
            step.reason = "was computed by another run in the meantime"
            self._reuse(planned, step)
            return
        step.status, step.seconds = "computed", round(seconds, 3)
        self.plan.store.remember(self.plan.spec.name, planned.name, planned.document)
        self._remember_roots(planned)
        self.observers.notify("step_finished", step=step, folder=planned.folder)

    def _node(
        self,
        key: str,
        planned: PlannedStep,
        step: StepRecord,
        job: Callable[[Path], Job],
        lesson: PlannedLesson | None = None,
    ) -> tuple[ArtifactRecord, bool]:
        """Compute what is to lie in the store under a key; its record, and whether it was computed here.

        Args:
            key: of the step, or of what it learns.
            planned: the step; step: its record.
            job: makes the job that writes into a folder.
            lesson: what it learns, where that is to be computed.

        Raises:
            StoreError: what it is given was replaced by another run, before it was computed or while it was.
        """
        store = self.plan.store

        def waiting() -> None:
            self.observers.notify("warning", step=step, message="another run is computing this step; waiting for it")

        with store.lock(key, waiting):
            fresh = (self.fresh or planned.volatile) and not self.plan.has_made(key)
            there = None if fresh else store.record(key)
            if there is not None and (not there.doubt or self.plan.has_made(key)):
                return there, False
            if fresh:
                store.forget_checkpoints(key)
            if step.status != "running":
                step.status = "running"
                self.record.write(self.folder)
                self.observers.notify("step_started", step=step)
            folder = store.begin(key)
            try:
                listener = _StepListener(self.observers, step, self.interrupts)
                self.plan.check_given(planned.name, lesson)
                artifact = self.engine.compute(job(folder), listener)
                self.plan.check_given(planned.name, lesson)
                if doubt := self.plan.why_doubted(planned.name, lesson):
                    artifact = artifact.model_copy(update={"doubt": doubt}).sealed()
                    artifact.write(folder)
                    listener.warning(f"What this step gave {doubt}. Later runs compute it again.")
            except BaseException:
                store.discard(key, folder)
                raise
            store.commit(key, folder)
        self.plan.made(key)
        return artifact, True

    def _reuse(self, planned: PlannedStep, step: StepRecord) -> None:
        step.status = "reused"
        self.plan.store.remember(self.plan.spec.name, planned.name, planned.document)
        self._remember_roots(planned)
        self.observers.notify("step_reused", step=step)

    def _fit_job(self, planned: PlannedStep, lesson: PlannedLesson) -> Callable[[Path], Job]:
        """What makes the job of a training. It names a folder of the rows that are learned from, and no other."""

        def make(folder: Path) -> Job:
            rows = folder.with_name(f"{folder.name}-rows")  # goes when the step is begun again, or is done
            data = self._lesson_data(planned, lesson)
            rows.mkdir()
            data.write(rows)
            inputs = {
                port: self._folders(given)
                for port, given in planned.inputs.items()
                if planned.component.inputs[port].at == "fit"
            }
            return self._write_job(
                Job(
                    node="fit",
                    lesson=lesson.name,
                    inputs={**inputs, "dataset": rows},
                    **self._about(planned, folder, lesson.key, lesson.seed, lesson.document),
                ),
                f"{planned.name}.fit" if lesson.name == MAIN else f"{planned.name}.{lesson.name.replace(' ', '-')}",
            )

        return make

    def _lesson_data(self, planned: PlannedStep, lesson: PlannedLesson) -> Dataset:
        dataset = self.plan.step(str(planned.inputs["dataset"])).folder
        models = {
            port: Taught.read(self.plan.step(str(name)).given)
            for port, name in planned.inputs.items()
            if planned.component.inputs[port].type == "model" and isinstance(name, str)
        }
        made = cut(planned.component, planned.uses, planned.seed, dataset, models, self._roots)
        return next(one.data for one, key in made if key.name == lesson.name)

    def _job(self, planned: PlannedStep, folder: Path) -> Job:
        return self._write_job(
            Job(
                inputs={name: self._folders(given) for name, given in planned.inputs.items()},
                learned={lesson.name: lesson.folder for lesson in planned.lessons or ()},
                **self._about(planned, folder, planned.key, planned.seed, planned.document),
            ),
            planned.name,
        )

    def _about(
        self, planned: PlannedStep, folder: Path, key: str, seed: int, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What every job says."""
        sources: dict[str, Any] = {
            port: [self.plan.step(one).given.name for one in given]
            if isinstance(given, list)
            else self.plan.step(given).given.name
            for port, given in planned.inputs.items()
        }
        if planned.lessons and key == planned.key:
            sources[LEARNED] = {lesson.name: lesson.key for lesson in planned.lessons}
        return {
            "uses": planned.uses,
            "options": planned.component.model_dump(mode="json"),
            "named": [entry_of(one).uses for one in nested(planned.component).values()],
            "roots": self._roots,
            "output": folder,
            "scratch": self.plan.store.scratch(key),
            "sources": sources,
            "seed": seed,
            "device": self.device,
            "devices": self.devices,
            "workers": self.workers,
            "key": key,
            "document": dict(document),
            "base": self.plan.spec.base,
        }

    def _write_job(self, job: Job, name: str) -> Job:
        jobs = self.folder / "jobs"
        jobs.mkdir(exist_ok=True)
        (jobs / f"{name}.json").write_text(job.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return job

    def _folders(self, given: str | list[str]) -> Path | list[Path]:
        """Where what a step gives lies, or several do."""
        if isinstance(given, list):
            return [self.plan.step(one).given for one in given]
        return self.plan.step(given).given

    def _remember_roots(self, planned: PlannedStep) -> None:
        """Note where the step's own pictures lie now: the artifact may be older than the place of its files."""
        if planned.gives != "dataset":
            return
        from fgic_core.data.header import Header

        source = planned.component.source() if isinstance(planned.component, DatasetReader) else None
        for name, path in Header.read(planned.folder).roots.items():
            if path is not None:
                self._roots[name] = (planned.folder / path).resolve()
            elif source is not None:
                self._roots[name] = source
        self.record.roots = dict(self._roots)

    def _explain(self, planned: PlannedStep, error: BaseException) -> FgicError:
        if isinstance(error, FgicError) and text_of(error) == _text(error):
            return error
        if is_disk_full(error):
            return StoreError(
                "the disk is full",
                where=f"step {planned.name}",
                hint=f"Free some room in {self.plan.store.root} or choose another folder with --store, then run again.",
            )
        entry = self.registry.entry(planned.uses)
        return StepError(
            text_of(error) if isinstance(error, ProcessFailed) else words_of(error),
            step=planned.name,
            component=planned.uses,
            where=f"step {planned.name} ({planned.uses} of {entry.package} {entry.version})",
            hint=f"The whole message is in {self.folder / 'errors' / (planned.name + '.txt')}.",
        )

    def _failed(self, step: StepRecord, error: BaseException, status: Any, cause: BaseException | None = None) -> None:
        step.status, step.error = status, text_of(error) or type(error).__name__
        if cause is not None:
            errors = self.folder / "errors"
            errors.mkdir(exist_ok=True)
            (errors / f"{step.name}.txt").write_text(traceback_of(cause), encoding="utf-8")
        self.observers.notify("step_failed", step=step, error=error)

    def _how_to_go_on(self, planned: PlannedStep) -> str:
        epoch = self.plan.interrupted_after(planned.name)
        where = f"after epoch {epoch} of step {planned.name}" if epoch else f"with step {planned.name}"
        return f"What is finished is kept. The same command goes on {where}."


def choose(plan: Plan, until: str | None, only: str | None) -> list[str]:
    """The names of the steps to run.

    Raises:
        StoreError: ``only`` names a step whose inputs are not in the store.
        FgicError: a name is not a step of the spec.
    """
    names = [step.name for step in plan.steps]
    for name in (until, only):
        if name is not None and name not in names:
            raise FgicError(f"the spec has no step {name!r}", hint=f"Its steps are {', '.join(names)}.")
    if only is not None:
        if lacking := _lacking(plan, only):
            raise lacking
        return [only]
    return names[: names.index(until) + 1] if until is not None else names


def _lacking(plan: Plan, only: str) -> StoreError | None:
    """Why a step cannot be run alone; None where it can."""
    missing = [step for step in _above(plan, only, near=True) if not step.reused]
    if not missing:
        return None
    needs = f"step {only} needs step{'s' * (len(missing) != 1)} {' and '.join(step.name for step in missing)}"
    if plan.fresh:
        return StoreError(
            f"{needs}, which --only takes from the store, and --fresh takes nothing from there",
            hint=f"--fresh --until {only} computes all that {only} needs, and {only}. Without --fresh, --only {only} "
            "computes it where the store lacks it.",
        )
    for step in _above(plan, only):
        if step.volatile:
            return StoreError(
                f"{needs}, and step {step.name} is {step.reason}, so that what the store has is never taken",
                hint=f"Run them together: --until {only}",
            )
    verb, unread = "is" if len(missing) == 1 else "are", any(step.unread for step in _above(plan, only))
    where = "not known to be in the store before pictures are read" if unread else "not in the store"
    return StoreError(f"{needs}, which {verb} {where}", hint=f"Run it first: --until {missing[-1].name}")


def _above(plan: Plan, name: str, near: bool = False) -> list[PlannedStep]:
    """What a step takes, in the spec's order; with what that takes, and so on, unless only what is ``near`` counts."""
    wanted: set[str] = set()
    waiting = list(all_steps(plan.step(name).inputs))
    while waiting:
        wanted.add(one := waiting.pop())
        waiting += [] if near else [other for other in all_steps(plan.step(one).inputs) if other not in wanted]
    return [step for step in plan.steps if step.name in wanted]


def _text(error: BaseException) -> str | None:
    """Its text; None where it has none that can be had."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def now() -> str:
    """The time as a record keeps it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions(packages: Mapping[str, str]) -> dict[str, str]:
    """Versions of the given packages (name to version) and of what they stand on, where installed."""
    from importlib import metadata

    found = dict(packages)
    for name in ("fgic", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow", "pyarrow", "scipy"):
        try:
            found.setdefault(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
