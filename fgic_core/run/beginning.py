"""How a run begins: where its steps are computed, its record, who watches it, and the spec in its directory."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fgic_core.errors import FgicError
from fgic_core.plan.plan import Plan
from fgic_core.registry import Registry
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.observers import EventLog, Observers
from fgic_core.run.workers import Isolation
from fgic_core.spec import Spec, dump_yaml
from fgic_core.store.record import RunRecord, StepRecord, now, versions


def isolation_of(asked: Isolation | None, jobs: int, threads: int | None) -> Isolation:
    """Where steps are computed.

    Raises:
        FgicError: not so.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise FgicError(f"{name}={value} is asked for, and there is at least 1", hint=f"Leave {name} out.")
    if asked == "none" and jobs > 1:
        raise FgicError(
            f'{jobs} jobs at once are asked for, and isolation="none", which computes in this one process',
            hint='Leave isolation out, or give isolation="run": a process for each job at once.',
        )
    return asked or ("none" if jobs == 1 else "run")


def about_run(spec: Spec, uses: Iterable[str], registry: Registry, command: str, **about: Any) -> dict[str, Any]:
    """What the records of runs say that are begun together.

    Args:
        spec: whose; uses: the components that take part.
        registry: says which packages these are of.
        command: the command line.
        about: ``device``, ``jobs`` and ``threads``.
    """
    entries = [registry.entry(one) for one in dict.fromkeys(uses)]
    return {
        "started": now(),
        "command": command,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions({entry.package: entry.version for entry in entries}),
        **about,
    }


def record_of(plan: Plan, about: dict[str, Any], arm: str = "") -> RunRecord:
    """The record of a run that begins.

    Args:
        plan: of the run.
        about: see `about_run`.
        arm: of a run of a study.
    """
    spec = plan.spec
    return RunRecord(
        name=spec.name,
        seed=spec.seed,
        arm=arm,
        store=plan.store.root,
        project=spec.path.resolve().parent if spec.path is not None else None,
        steps=[
            StepRecord(name=s.name, uses=s.uses, key=s.key, folder=s.folder, inputs=dict(s.inputs), reason=s.reason)
            for s in plan.steps
        ],
        **about,
    )


def write_spec(spec: Spec, folder: Path) -> None:
    """Write the spec into a run's directory, or a study's, as it was given and with everything filled in."""
    if spec.text:
        (folder / "spec.yaml").write_text(spec.text, encoding="utf-8")
    (folder / "resolved.yaml").write_text(dump_yaml(spec.resolved()), encoding="utf-8")


def observers_of(folder: Path, given: Sequence[object], interrupts: Interrupts) -> Observers:
    """Who watches a run: the event log in its directory, who is given, and who is installed."""
    watching = Observers(interrupts.ask)
    watching.add(EventLog(folder), "event log")
    for observer in given:
        watching.add(observer)
    watching.add_installed()
    return watching
