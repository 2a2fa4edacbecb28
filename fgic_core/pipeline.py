"""The Python API: a pipeline from a spec, its plan, its run, and what the run gave."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import ArtifactRecord, Metric
from fgic_core.errors import FgicError, Interrupted, StoreError
from fgic_core.interfaces import KINDS
from fgic_core.registry import Registry
from fgic_core.run.keys import Keys
from fgic_core.run.memory import default_memory
from fgic_core.run.plan import Plan, make_plan
from fgic_core.run.record import RunRecord, StepRecord
from fgic_core.run.store import Store
from fgic_core.spec import Spec, dump_yaml, from_dict, load_spec

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.data.model import Model

#: Where artifacts and runs go unless the caller, or the environment, says otherwise.
STORE = Path(".fgic") / "store"
RUNS = Path("runs")


def default_store() -> Path:
    """``$FGIC_STORE``, or ``.fgic/store`` in the working directory."""
    return Path(os.environ.get("FGIC_STORE") or STORE)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run directory.
        record: what happened, step by step.
        report: the HTML page; None if it could not be written.
        problems: what went wrong beside the steps: observers that failed, a report that could not be written.
    """

    folder: Path
    record: RunRecord
    report: Path | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """The run in a run directory."""
        folder = Path(folder)
        report = folder / "report.html"
        return cls(folder, RunRecord.read(folder), report if report.exists() else None)

    @property
    def ok(self) -> bool:
        """Whether every step that was asked for has its artifact."""
        return self.record.status == "finished"

    def artifact(self, step: str) -> ArtifactRecord:
        """What a step's artifact records of itself."""
        return ArtifactRecord.read(self._step(step).folder)

    def metrics(self, step: str) -> list[Metric]:
        """The numbers the core measured at a step."""
        return self.artifact(step).metrics

    def metric(self, step: str, name: str, part: str = "") -> Metric:
        """One of them, of exactly that part: a figure of train is never given for one of test.

        Raises:
            KeyError: there is none; names the parts that there are.
        """
        found = {metric.part: metric for metric in self.metrics(step) if metric.name == name}
        if part not in found:
            parts = f", but of {', '.join(map(repr, found))}" if found else ""
            raise KeyError(f"step {step} has no metric {name!r} of part {part!r}{parts}")
        return found[part]

    def dataset(self, step: str | None = None) -> Dataset:
        """The data set that a step gave; by default the last one."""
        from fgic_core.data.dataset import Dataset

        return Dataset.open(self._of_type("dataset", step).folder, self.record.roots)

    def model(self, step: str | None = None, device: str = "cpu", registry: Registry | None = None) -> Model:
        """The model that a step gave; by default the last one."""
        from fgic_core.run.artifacts import open_model

        return open_model(self._of_type("model", step).folder, registry or Registry(), device)

    def _step(self, name: str) -> StepRecord:
        for step in self.record.steps:
            if step.name == name:
                return step
        raise StoreError(
            f"the run has no step {name!r}", hint=f"Its steps are {', '.join(s.name for s in self.record.steps)}."
        )

    def _of_type(self, kind: str, name: str | None) -> StepRecord:
        steps = self.record.steps if name is None else [self._step(name)]
        gone = []
        for step in reversed(steps):
            try:
                if ArtifactRecord.read(step.folder).type == kind:
                    return step
            except StoreError:
                gone += [step] if step.status in ("reused", "computed") else []
        if any(KINDS[step.uses.partition("/")[0]].gives == kind for step in gone):
            raise StoreError(
                f"the {kind} of this run is no longer in the store",
                where=str(self.folder),
                hint="Run the spec again: what the store lacks is computed anew.",
            )
        raise StoreError(
            f"no {kind} is in this run" if name is None else f"step {name} gave no {kind}", where=str(self.folder)
        )


class Pipeline:
    """A checked spec, ready to plan and run.

    Args:
        spec: see `fgic_core.spec`.
        registry: where components come from; by default what is installed.
    """

    def __init__(self, spec: Spec, registry: Registry | None = None) -> None:
        self.spec = spec
        self.registry = registry or Registry()

    @classmethod
    def from_yaml(cls, path: Path | str, overrides: Sequence[str] = (), registry: Registry | None = None) -> Pipeline:
        """Read a spec file.

        Args:
            path: the file.
            overrides: assignments such as ``classifier.with.epochs=1``, as `--set` takes them.

        Raises:
            SpecError: with every problem of the file at once.
        """
        registry = registry or Registry()
        return cls(load_spec(Path(path), registry, overrides), registry)

    @classmethod
    def from_dict(
        cls, document: Mapping[str, Any], base: Path | None = None, registry: Registry | None = None
    ) -> Pipeline:
        """From the same structure as a Python mapping; relative paths start at ``base``."""
        registry = registry or Registry()
        return cls(from_dict(document, registry, base), registry)

    def plan(self, store: Path | str | None = None, *, fresh: bool = False, verify: bool = False) -> Plan:
        """Which steps the store has and which would be computed, and why. Computes nothing.

        Args:
            store: folder of the artifacts; see `default_store`.
            fresh: compute everything anew.
            verify: read every file again, and believe no digest that was taken before.
        """
        memory = default_memory(trusted=not verify)
        found = Store(Path(store or default_store()), memory.digest)
        return make_plan(self.spec, self.registry, found, fresh, Keys(memory))

    def run(
        self,
        *,
        store: Path | str | None = None,
        runs: Path | str | None = None,
        device: str = "auto",
        devices: int = 1,
        until: str | None = None,
        only: str | None = None,
        fresh: bool = False,
        verify: bool = False,
        report: bool = True,
        observers: Sequence[object] = (),
        command: str = "",
    ) -> Run:
        """Run the steps that the store does not have.

        A step that fails does not stop those that do not need it; see `Run.ok`.

        Args:
            store: folder of the artifacts; see `default_store`.
            runs: folder that the run directory is made in; ``runs`` in the working directory by default.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
            devices: how many of them a classifier trains on.
            until: the last step to run; only: the one step to run.
            fresh: compute every step anew.
            verify: read every file again, and believe no digest that was taken before.
            report: write the HTML report.
            observers: objects with hook functions, see `fgic_core.hooks`.
            command: the command line, for the record.

        Raises:
            Interrupted: the user pressed Ctrl-C, or the process was told to end (SIGTERM); the run directory and the
                store are consistent.
            FgicError: the arguments are wrong. Failures of steps are in the record.
        """
        from fgic_core.run.device import choose_device
        from fgic_core.run.executor import Executor, choose
        from fgic_core.run.interrupts import Interrupts
        from fgic_core.run.observers import EventLog, Observers

        plan = self.plan(store, fresh=fresh, verify=verify)
        chosen = choose(plan, until, only)
        idle = all(plan.step(name).reused for name in chosen)
        device = device if idle else choose_device(device, devices)
        folder = _new_folder(Path(runs or RUNS) / self.spec.name)
        record = self._record(plan, device, command)
        stopped: Interrupted | None = None
        with _writing(folder), Interrupts() as interrupts:
            self._write_spec(folder)
            record.write(folder)
            watching = Observers()
            watching.add(EventLog(folder), "event log")
            for observer in observers:
                watching.add(observer)
            watching.add_installed()
            watching.notify("run_started", run=record, folder=folder)
            executor = Executor(
                plan,
                self.registry,
                folder,
                record,
                watching,
                interrupts,
                fresh=fresh,
                device=device,
                devices=devices,
                workers=min(8, os.cpu_count() or 1) if device.startswith("cuda") else 0,
            )
            try:
                executor.run(chosen)
            except Interrupted as error:
                stopped = error
            except KeyboardInterrupt:  # between two steps
                stopped = Interrupted("stopped", hint="What is finished is kept. The same command goes on.")
            return self._finish(folder, record, watching, report, stopped)

    def _finish(self, folder: Path, record: RunRecord, watching: Any, report: bool, stopped: Interrupted | None) -> Run:
        from fgic_core.run.executor import now

        failed = any(step.status == "failed" for step in record.steps)
        record.finished = now()
        record.status = "interrupted" if stopped else "failed" if failed else "finished"
        for step in record.steps:
            if step.status in ("waiting", "running"):
                step.status, step.reason = "skipped", "the run was stopped before it"
        record.write(folder)
        _write_metrics(folder, record)
        problems: list[str] = []
        page: Path | None = None
        if report:
            try:
                from fgic_core.report import write_report

                page = write_report(folder)
            except KeyboardInterrupt:
                hint = f"What is finished is kept. The report is not written; fgic report {folder} does that."
                stopped = stopped or Interrupted("stopped", hint=hint)
            except Exception as error:
                problems.append(f"the report could not be written: {type(error).__name__}: {error}")
        _point_latest(folder)
        watching.notify("run_finished", run=record, folder=folder)
        problems += [f"the observer {name} failed and was left out: {why}" for name, why in watching.failures.items()]
        if stopped:
            stopped.hint = "\n  ".join([stopped.hint or "", *problems])
            raise stopped
        return Run(folder, record, page, tuple(problems))

    def _record(self, plan: Plan, device: str, command: str) -> RunRecord:
        from fgic_core.run.executor import now, versions

        entries = [self.registry.entry(step.uses) for step in plan.steps]
        return RunRecord(
            name=self.spec.name,
            seed=self.spec.seed,
            started=now(),
            command=command,
            device=device,
            python=platform.python_version(),
            platform=platform.platform(),
            versions=versions({entry.package: entry.version for entry in entries}),
            store=plan.store.root,
            steps=[
                StepRecord(name=s.name, uses=s.uses, key=s.key, folder=s.folder, inputs=dict(s.inputs), reason=s.reason)
                for s in plan.steps
            ],
        )

    def _write_spec(self, folder: Path) -> None:
        if self.spec.text:
            (folder / "spec.yaml").write_text(self.spec.text, encoding="utf-8")
        (folder / "resolved.yaml").write_text(dump_yaml(self.spec.resolved()), encoding="utf-8")


def load_model(
    folder: Path | str, step: str | None = None, device: str = "cpu", registry: Registry | None = None
) -> Model:
    """The trained classifier of a run directory or of a model artifact's folder.

    Args:
        folder: ``runs/<name>/<time>``, ``runs/<name>/latest``, or an artifact.
        step: the classifier's step, where a run has several; the last one by default.

    Raises:
        StoreError: there is no model.
    """
    folder = Path(folder)
    if (folder / "run.json").exists():
        return Run.open(folder).model(step, device, registry)
    if (folder / "artifact.json").exists():
        from fgic_core.run.artifacts import open_model

        return open_model(folder, registry or Registry(), device)
    raise StoreError(
        "this is neither a run directory nor a model",
        where=str(folder),
        hint="Give a folder such as runs/<name>/latest.",
    )


def _new_folder(parent: Path) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise FgicError(
                f"no run directory can be made: {error.strerror}",
                where=str(parent),
                hint="Choose another folder with --runs.",
            ) from None
        return folder.resolve()
    raise FgicError("too many runs in one second", where=str(parent))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Says of an OSError that the run directory could not be written; those of steps never come so far."""
    try:
        yield
    except OSError as error:
        raise FgicError(
            f"the run directory cannot be written: {error.strerror or error}",
            where=str(folder),
            hint="What the finished steps gave is in the store. Choose another folder with --runs and run again.",
        ) from error


def _point_latest(folder: Path) -> None:
    beside = folder.parent / f".latest-{os.getpid()}"
    try:
        beside.symlink_to(folder.name, target_is_directory=True)
        beside.replace(folder.parent / "latest")
    except OSError:  # a file system without links: `latest` is a convenience
        beside.unlink(missing_ok=True)


def _write_metrics(folder: Path, record: RunRecord) -> None:
    found = {}
    for step in record.steps:
        if step.status in ("reused", "computed"):
            artifact = ArtifactRecord.read(step.folder)
            found[step.name] = [metric.model_dump(exclude_defaults=True) for metric in artifact.metrics]
    (folder / "metrics.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def argv() -> str:
    """The command line of this process, quoted for a shell."""
    import shlex

    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
