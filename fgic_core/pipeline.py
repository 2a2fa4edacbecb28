"""The Python API: a pipeline from a spec, its plan, its run, and what the run gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.errors import FgicError, Interrupted
from fgic_core.finished import Run, StudyRun, load_model
from fgic_core.plan.descriptions import Remembered
from fgic_core.plan.keys import Keys
from fgic_core.plan.plan import Plan, make_plan
from fgic_core.plan.study import StudyPlan, plan_study
from fgic_core.registry import Registry
from fgic_core.spec import Spec, described_anew, from_dict, load_spec
from fgic_core.store.memory import default_memory
from fgic_core.store.record import RunRecord, holding, now
from fgic_core.store.store import Store

if TYPE_CHECKING:
    from fgic_core.run.observers import Observers
    from fgic_core.run.workers import Isolation

__all__ = ["RUNS", "STORE", "Pipeline", "Run", "StudyRun", "argv", "default_store", "load_model"]

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
        keys: what has just looked at files and sources for the spec, and does not look again for the first plan.
    """

    def __init__(self, spec: Spec, registry: Registry | None = None, keys: Keys | None = None) -> None:
        self.spec = spec
        self.registry = registry or Registry()
        self._keys = keys

    @classmethod
    def from_yaml(
        cls,
        path: Path | str,
        overrides: Sequence[str] = (),
        registry: Registry | None = None,
        keys: Keys | None = None,
    ) -> Pipeline:
        """Read a spec file.

        Args:
            path: the file.
            overrides: assignments such as ``classifier.with.epochs=1``, as `--set` takes them.
            registry: where components come from; by default what is installed.
            keys: looks at files and sources, once for the spec and the first plan of it. By default each looks anew.

        Raises:
            SpecError: with every problem of the file at once.
        """
        registry = registry or Registry()
        describer = Remembered(registry, keys)
        return cls(load_spec(Path(path), registry, overrides, describer), registry, keys)

    @classmethod
    def from_dict(
        cls, document: Mapping[str, Any], base: Path | None = None, registry: Registry | None = None
    ) -> Pipeline:
        """From the same structure as a Python mapping; relative paths start at ``base``."""
        registry = registry or Registry()
        return cls(from_dict(document, registry, base, describer=Remembered(registry)), registry)

    def plan(self, store: Path | str | None = None, *, fresh: bool = False, verify: bool = False) -> Plan:
        """Which steps the store has and which would be computed, and why. Computes nothing.

        Args:
            store: folder of the artifacts; see `default_store`.
            fresh: compute everything anew.
            verify: read every file again, and believe no digest that was taken before.

        Raises:
            FgicError: a component, or what lies at a path of its options, has changed since the spec was read, and does
                not go with the options any more.
        """
        spec, keys = self._now(verify)
        found = Store(Path(store or default_store()), keys.memory.digest)
        return make_plan(replace(spec, study=None), self.registry, found, fresh, keys)

    def plan_study(self, store: Path | str | None = None, *, fresh: bool = False, verify: bool = False) -> StudyPlan:
        """The plans of every run of the spec's study, and what they share. Computes nothing.

        Args:
            store: see `plan`; fresh, verify: likewise.

        Raises:
            FgicError: the spec has no study; or see `plan`.
        """
        if self.spec.study is None:
            raise FgicError("this spec has no study", hint="Write study:, and below it seeds: [0, 1, 2].")
        spec, keys = self._now(verify)
        return plan_study(spec, self.registry, Store(Path(store or default_store()), keys.memory.digest), fresh, keys)

    def _now(self, verify: bool) -> tuple[Spec, Keys]:
        """The spec with its components as they are now, and what looks at their files."""
        keys, self._keys = self._keys, None
        if keys is not None:
            return self.spec, keys
        keys = Keys(default_memory(trusted=not verify))
        return described_anew(self.spec, Remembered(self.registry, keys)), keys

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
        isolation: Isolation | None = None,
        jobs: int = 1,
        threads: int | None = None,
        fail_fast: bool = False,
        reports: bool = False,
    ) -> Run | StudyRun:
        """Run the steps that the store does not have; of a study those of all its runs.

        A step that fails does not stop those that do not need it, nor a run that fails the others; see `Run.ok`.

        By default steps are computed in this process. Exceptions of plugins are caught there, ``sys.exit()`` too; what
        ends the process itself is not: ``os._exit()``, a segfault, a lack of memory. Such a run ends without a word
        (its record is found to be that of a killed run), and a plugin that hangs in C code does not answer to Ctrl-C.
        A signal that a plugin sends to its own process is taken for one of the user's.
        A copy of the process that a plugin makes with ``os.fork()`` and does not end runs on as a second run. With
        another ``isolation`` all of these are a failed step. Code that was edited after this process had imported it
        is refused where a step to compute stands on it: what it gave would be kept as what the new code gives.

        Args:
            store: folder of the artifacts; see `default_store`.
            runs: folder that the run directory is made in; ``runs`` in the working directory by default.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
            devices: how many of them a classifier trains on.
            until: the last step to run; only: the one step to run.
            fresh: compute every step anew.
            verify: read every file again, and believe no digest that was taken before.
            report: write the HTML report.
            fail_fast: of a study, end it once a run has failed.
            reports: of a study, write the HTML report of every run too.
            observers: objects with hook functions, see `fgic_core.hooks`.
            command: the command line, for the record.
            isolation: where steps are computed: ``none``, in this process; ``run``, in as many processes as there are
                ``jobs``, which are kept for all of them, as the command line does; ``step``, in a process for each node
                (what a step learns is one, what it does with that another). Such a process knows the components of
                installed packages, not those that were registered here. By default ``none`` for one job and ``run`` for
                several.
            jobs: how many nodes are computed at once. Nodes that use a GPU (or mps) have one each: there are never more
                of them at once than GPUs. The numbers do not depend on it, where ``threads`` are the same.
            threads: how many each job computes with. By default the machine's are divided among several jobs, and one
                job takes what torch takes by itself. In this process they are torch's alone.

        Raises:
            Interrupted: the user pressed Ctrl-C, or the process was told to end (SIGTERM); the run directory and the
                store are consistent.
            FgicError: the arguments are wrong, or this process has other code than the files have that it is from.
                Failures of steps are in the record.
        """
        from fgic_core.plan.choice import choose
        from fgic_core.plan.graph import Branch
        from fgic_core.run.beginning import about_run, isolation_of, observers_of, record_of, write_spec
        from fgic_core.run.directory import new_folder, require_text, whole, writing
        from fgic_core.run.engine import Asked, started

        folders = Path(runs or RUNS) / self.spec.name
        require_text(self.spec, Path(store or default_store()), folders)
        isolation = isolation_of(isolation, jobs, threads)
        asked = Asked(device, devices, isolation, jobs, threads, until, only, fail_fast, command)
        if self.spec.study is not None:
            from fgic_core.run.study import run_study

            of_study = self.plan_study(store, fresh=fresh, verify=verify)
            done = run_study(of_study, self.registry, folders, asked, observers, _report_of_run if reports else None)
            return _answered(done, store, report)
        plan = self.plan(store, fresh=fresh, verify=verify)
        chosen = choose(plan, until, only)
        to_compute = [(plan, step) for step in plan.steps if step.name in chosen and not step.reused]
        with started(asked, self.registry, to_compute) as engine:
            folder = new_folder(folders)
            uses = [step.uses for step in plan.steps]
            how = {"device": engine.device, "jobs": jobs, "threads": engine.threads}
            record = record_of(plan, about_run(self.spec, uses, self.registry, command, **how))
            with writing(folder), holding(folder), whole(record, folder):
                write_spec(self.spec, folder)
                record.write(folder)
                watching = observers_of(folder, observers, engine.interrupts)
                watching.notify("run_started", run=record, folder=folder)
                stopped = engine.run(engine.scheduler([Branch(plan, chosen, record, folder, watching)]))
                return self._finish(folder, record, watching, report, stopped)

    def _finish(
        self, folder: Path, record: RunRecord, watching: Observers, report: bool, stopped: Interrupted | None
    ) -> Run:
        from fgic_core.run.directory import point_latest, skip_the_rest, write_metrics

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

                page = write_report(folder, warn=lambda fault: problems.append(f"the report: {fault}"))
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


def _answered(done: StudyRun, store: Path | str | None, report: bool) -> StudyRun:
    """A study that was run, with what it shows: its tables, and its page if that is wanted."""
    from fgic_core.report.study import write_study_report

    problems, page = list(done.problems), None
    try:
        results = done.results(store)
        results.write(done.folder)
        page = write_study_report(done.folder, results) if report else None
    except Exception as error:
        problems.append(f"what the study shows could not be written: {type(error).__name__}: {error}")
    return replace(done, report=page, problems=tuple(problems))


def _report_of_run(folder: Path) -> None:
    from fgic_core.report import write_report

    write_report(folder)


def argv() -> str:
    """The command line of this process, quoted for a shell."""
    import shlex

    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
