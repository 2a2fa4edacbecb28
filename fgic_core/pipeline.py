"""The Python API: a pipeline from a spec, its plan, its run, and what the run gave."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.errors import Interrupted
from fgic_core.finished import Run, load_model
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Registry
from fgic_core.run.keys import Keys
from fgic_core.run.memory import default_memory
from fgic_core.run.plan import Plan, make_plan
from fgic_core.run.record import RunRecord, StepRecord, holding
from fgic_core.run.store import Store
from fgic_core.spec import Spec, dump_yaml, from_dict, load_spec

if TYPE_CHECKING:
    from fgic_core.run.engines import Isolation
    from fgic_core.run.interrupts import Interrupts
    from fgic_core.run.observers import Observers

__all__ = ["RUNS", "STORE", "Pipeline", "Run", "argv", "default_store", "load_model"]

#: Where artifacts and runs go unless the caller, or the environment, says otherwise.
STORE = Path(".fgic") / "store"
RUNS = Path("runs")


def default_store() -> Path:
    """``$FGIC_STORE``, or ``.fgic/store`` in the working directory."""
    return Path(os.environ.get("FGIC_STORE") or STORE)


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
        isolation: Isolation = "none",
    ) -> Run:
        """Run the steps that the store does not have.

        A step that fails does not stop those that do not need it; see `Run.ok`.

        By default steps are computed in this process. Exceptions of plugins are caught there, ``sys.exit()`` too; what
        ends the process itself is not: ``os._exit()``, a segfault, a lack of memory. Such a run ends without a word
        (its record is found to be that of a killed run), and a plugin that hangs in C code does not answer to Ctrl-C.
        A signal that a plugin sends to its own process is taken for one of the user's.
        A copy of the process that a plugin makes with ``os.fork()`` and does not end runs on as a second run. With
        another ``isolation`` all of these are a failed step.

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
            isolation: where steps are computed: ``none``, in this process; ``run``, in one process that is kept for
                all of them, as the command line does; ``step``, in a process for each. Such a process knows the
                components of installed packages, not those that were registered here.

        Raises:
            Interrupted: the user pressed Ctrl-C, or the process was told to end (SIGTERM); the run directory and the
                store are consistent.
            FgicError: the arguments are wrong. Failures of steps are in the record.
        """
        from fgic_core.run.device import check_device
        from fgic_core.run.directory import new_folder, require_text, whole, writing
        from fgic_core.run.engines import engine_of
        from fgic_core.run.executor import Executor, choose
        from fgic_core.run.interrupts import Interrupts

        folders = Path(runs or RUNS) / self.spec.name
        require_text(self.spec, Path(store or default_store()), folders)
        plan = self.plan(store, fresh=fresh, verify=verify)
        chosen = choose(plan, until, only)
        to_compute = [step for step in plan.steps if step.name in chosen and not step.reused]
        check_device(device)
        with Interrupts() as interrupts, closing(engine_of(isolation, self.registry, interrupts)) as engine:
            if any(KINDS[step.component.kind].tensors for step in to_compute):
                device = engine.device(device, devices)
            folder = new_folder(folders)
            record = self._record(plan, device, command)
            with writing(folder), holding(folder), whole(record, folder):
                self._write_spec(folder)
                record.write(folder)
                watching = _observers(folder, observers, interrupts)
                watching.notify("run_started", run=record, folder=folder)
                executor = Executor(
                    plan,
                    self.registry,
                    folder,
                    record,
                    watching,
                    interrupts,
                    engine,
                    fresh=fresh,
                    device=device,
                    devices=devices,
                    workers=min(8, os.cpu_count() or 1) if device.startswith("cuda") else 0,
                )
                stopped: Interrupted | None = None
                try:
                    executor.run(chosen)
                except Interrupted as error:
                    stopped = error
                except KeyboardInterrupt:  # between two steps
                    stopped = Interrupted("stopped", hint="What is finished is kept. The same command goes on.")
                engine.close()  # its memory is free before the report is drawn
                return self._finish(folder, record, watching, report, stopped)

    def _finish(
        self, folder: Path, record: RunRecord, watching: Observers, report: bool, stopped: Interrupted | None
    ) -> Run:
        from fgic_core.run.directory import point_latest, skip_the_rest, write_metrics
        from fgic_core.run.executor import now

        failed = any(step.status == "failed" for step in record.steps)
        record.finished = now()
        record.status = "interrupted" if stopped else "failed" if failed else "finished"
        skip_the_rest(record)
        record.write(folder)
        write_metrics(folder, record)
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
        point_latest(folder)
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
            project=self.spec.path.resolve().parent if self.spec.path is not None else None,
            steps=[
                StepRecord(name=s.name, uses=s.uses, key=s.key, folder=s.folder, inputs=dict(s.inputs), reason=s.reason)
                for s in plan.steps
            ],
        )

    def _write_spec(self, folder: Path) -> None:
        if self.spec.text:
            (folder / "spec.yaml").write_text(self.spec.text, encoding="utf-8")
        (folder / "resolved.yaml").write_text(dump_yaml(self.spec.resolved()), encoding="utf-8")


def _observers(folder: Path, given: Sequence[object], interrupts: Interrupts) -> Observers:
    from fgic_core.run.observers import EventLog, Observers

    watching = Observers(interrupts.ask)
    watching.add(EventLog(folder), "event log")
    for observer in given:
        watching.add(observer)
    watching.add_installed()
    return watching


def argv() -> str:
    """The command line of this process, quoted for a shell."""
    import shlex

    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
