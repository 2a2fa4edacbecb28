"""``fgic pipeline``: run a spec, show how it goes, and sum it up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, table, warn
from fgic_core.hooks import hookimpl
from fgic_core.kinds.ports import all_steps

if TYPE_CHECKING:
    from fgic_core.cli.terminal import Terminal
    from fgic_core.pipeline import Pipeline
    from fgic_core.store.record import RunRecord, StepRecord
    from fgic_core.store.study import StudyRecord

#: So many runs that failed are named; ``study.json`` names all.
_MOST_FAILURES = 10


def run_pipeline(spec: Path, overrides: Sequence[str], *, quiet: bool, **arguments: Any) -> int:
    """Run a spec, or its study; returns the exit code: 0, or 1 where a step failed or a study measured nothing.

    Args:
        spec: the file.
        overrides: assignments of ``--set``.
        quiet: print the run directory and errors alone.
        arguments: those of `fgic_core.pipeline.Pipeline.run`.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        FgicError: the spec or an option is wrong.
    """
    from fgic_core.pipeline import Pipeline, argv
    from fgic_core.plan.keys import Keys
    from fgic_core.store.memory import default_memory

    keys = Keys(default_memory(trusted=not arguments.get("verify")))
    pipeline = Pipeline.from_yaml(spec, overrides, keys=keys)
    if pipeline.spec.study is not None:
        return _run_study(pipeline, quiet, arguments)
    terminal = choose_terminal(quiet)
    last = _LastWord()
    observers = [last] if terminal is None else [terminal, last]
    try:
        run = pipeline.run(**arguments, observers=observers, command=argv())
    finally:
        if terminal is not None:
            terminal.close()
        if last.record is not None and not quiet:
            _print_summary(last.record)
            _print_failures(last.record)
        if last.folder is not None:
            _print_places(last.folder, quiet)
    for problem in run.problems:
        warn(problem)
    return 0 if run.ok else 1


def _run_study(pipeline: Pipeline, quiet: bool, arguments: Mapping[str, Any]) -> int:
    from fgic_core.cli.study_terminal import LiveStudy, PlainStudy
    from fgic_core.pipeline import StudyRun, argv

    terminal = LiveStudy() if sys.stderr.isatty() and not quiet else PlainStudy(sys.stderr, failures_only=quiet)
    last = _LastWord()
    try:
        result = pipeline.run(**arguments, observers=[terminal, last], command=argv())
    finally:
        terminal.close()
        if last.study is not None and not quiet:
            _print_arms(last.study)
        if last.study_folder is not None:
            print(last.study_folder if quiet else f"study   {last.study_folder}")
    code = 0 if result.ok else 1
    if isinstance(result, StudyRun) and (result.folder / "results.json").exists() and (result.ok or not quiet):
        from fgic_core.cli.study import print_results, say_unmeasured

        results = result.results(arguments.get("store"))
        if not quiet:
            print_results(results)
            if result.report is not None:
                print(f"report  {result.report}")
        if result.ok:  # else the failures say why there is no number
            ended = [f"--{name} {arguments[name]}" for name in ("until", "only") if arguments.get(name)]
            code = say_unmeasured(results, " and ".join(ended), quiet=quiet)
    for problem in result.problems:
        warn(problem)
    return code


def _print_arms(record: StudyRecord) -> None:
    """How the runs of each arm ended."""
    from fgic_core.cli.numbers import duration

    summary = table("arm", "runs", "finished", "failed", "not run", "time")
    for arm in record.arms:
        runs = [run for run in record.runs if run.arm == arm.name]
        ended = Counter(run.status for run in runs)
        left = len(runs) - ended["finished"] - ended["failed"]
        took = sum(run.seconds for run in runs)
        counts = [str(number or "") for number in (ended["finished"], ended["failed"], left)]
        summary.add_row(arm.name, str(len(runs)), *counts, duration(took) if took else "")
    out = console()
    out.print()
    out.print(summary)
    out.print()
    wrong = [run for run in record.runs if run.error]
    for run in wrong[:_MOST_FAILURES]:
        print(f"{run.arm}, seed {run.seed}: {run.error.splitlines()[0]}")
    if len(wrong) > _MOST_FAILURES:
        print(f"… and {len(wrong) - _MOST_FAILURES} more runs that failed.")
    if wrong:
        print("What is finished is kept. When what failed is mended, the same command computes what is missing.\n")


def choose_terminal(quiet: bool) -> Terminal | None:
    """Who shows the progress: bars where a person looks on, lines where stderr goes to a file."""
    from fgic_core.cli.terminal import LiveTerminal, PlainTerminal

    if quiet:
        return PlainTerminal(sys.stderr, failures_only=True)
    return LiveTerminal() if sys.stderr.isatty() else PlainTerminal(sys.stderr)


class _LastWord:
    """Keeps the record and the directory of the run that ended, however it ended."""

    def __init__(self) -> None:
        self.record: RunRecord | None = None
        self.folder: Path | None = None
        self.study: StudyRecord | None = None
        self.study_folder: Path | None = None

    @hookimpl
    def run_finished(self, run: RunRecord, folder: Path) -> None:
        self.record, self.folder = run, folder

    @hookimpl
    def study_finished(self, study: StudyRecord, folder: Path) -> None:
        self.study, self.study_folder = study, folder


def _print_summary(record: RunRecord) -> None:
    summary = table("step", "uses", "status", "time", "result")
    for step in record.steps:
        summary.add_row(step.name, step.uses, step.status, _time(step), _result(step))
    out = console()
    out.print()
    out.print(summary)
    out.print()


def _print_failures(record: RunRecord) -> None:
    """What failed, what was not run because of it, and how to go on."""
    failed = [step.name for step in record.steps if step.status == "failed"]
    if not failed:
        return
    lost: dict[str, list[str]] = {}  # by what was not run, the failed steps that it needs, near and far
    for step in record.steps:
        near = dict.fromkeys(all_steps(step.inputs))
        if step.status == "skipped":
            causes = [cause for name in near for cause in ([name] if name in failed else lost.get(name, []))]
            lost |= {step.name: list(dict.fromkeys(causes))} if causes else {}
    print(f"{len(failed)} step{'s' * (len(failed) != 1)} failed: {', '.join(failed)}.")
    for name, causes in lost.items():
        print(f"Not run: {name}, because of {' and '.join(causes)}.")
    print("What is finished is kept. When what failed is mended, the same command computes what is missing.")
    print()


def _time(step: StepRecord) -> str:
    from fgic_core.cli.numbers import duration

    return duration(step.seconds) if step.status == "computed" else ""


def _result(step: StepRecord) -> str:
    from fgic_core.cli.numbers import headline
    from fgic_core.data.artifact import ArtifactRecord
    from fgic_core.errors import StoreError

    if step.status not in ("computed", "reused"):
        return (step.error or step.reason).split("\n", 1)[0]
    try:
        return headline(ArtifactRecord.read(step.folder).metrics)
    except StoreError:
        return ""


def _print_places(folder: Path, quiet: bool) -> None:
    report = folder / "report.html"
    if quiet:
        print(folder)
        return
    print(f"run     {folder}")
    if report.exists():
        print(f"report  {report}")
