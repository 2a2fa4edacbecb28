"""The job documents of a plan's nodes: what a process needs to know to compute one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError
from fgic_core.kinds.ports import all_steps, steps_of
from fgic_core.kinds.table import KINDS
from fgic_core.plan.graph import Node
from fgic_core.plan.lessons import Seeds, Taught, cut
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedLesson, PlannedStep
from fgic_core.run.job import Job
from fgic_core.store.artifacts import LEARNED


class Resources(NamedTuple):
    """What a job computes with. None of it is in a key.

    Attributes:
        device: torch's name of it; devices: how many.
        workers: data loader processes.
        threads: of torch; None leaves it to torch.
    """

    device: str = "cpu"
    devices: int = 1
    workers: int = 0
    threads: int | None = None


def job_of(plan: Plan, node: Node, output: Path, resources: Resources) -> Job:
    """The job that computes a node into a folder.

    That of a training names a folder of the rows that are learned from, which is written beside ``output``, and no
    other.
    """
    planned = plan.step(node.step)
    if node.lesson is None:
        return Job(
            inputs={port: _folders(plan, given) for port, given in planned.inputs.items()},
            learned={lesson.name: lesson.folder for lesson in planned.lessons or ()},
            seed=planned.seed,
            streams=dict(planned.streams),
            document=dict(planned.document),
            **_about(plan, planned, node, output, resources),
        )
    rows = output.with_name(f"{output.name}-rows")  # goes when the step is begun again, or is done
    rows.mkdir()
    _rows_of(plan, planned, node.lesson).write(rows)
    given = {port: one for port, one in planned.inputs.items() if planned.described.ports[port].at == "fit"}
    return Job(
        node="fit",
        lesson=node.lesson.name,
        inputs={**{port: _folders(plan, one) for port, one in given.items()}, "dataset": rows},
        seed=node.lesson.seed,
        streams=dict(node.lesson.streams),
        document=dict(node.lesson.document),
        **_about(plan, planned, node, output, resources),
    )


def _rows_of(plan: Plan, planned: PlannedStep, lesson: PlannedLesson) -> Any:
    """The data set that is learned from."""
    models = {
        port: Taught.read(plan.step(name).given)
        for port, name in planned.inputs.items()
        if planned.described.ports[port].type == "model" and isinstance(name, str)
    }
    dataset, roots = plan.step(str(planned.inputs["dataset"])).folder, roots_above(plan, planned.name)
    seeds = Seeds(planned.seed, planned.streams)
    made, *_ = cut(plan.component(planned.name), planned.uses, seeds, dataset, models, roots)
    return next(one.data for one, key in made if key.name == lesson.name)


def _about(plan: Plan, planned: PlannedStep, node: Node, output: Path, resources: Resources) -> dict[str, Any]:
    """What every job says."""
    sources: dict[str, Any] = {
        port: [plan.step(one).given.name for one in given] if isinstance(given, list) else plan.step(given).given.name
        for port, given in planned.inputs.items()
    }
    if planned.lessons and node.lesson is None:
        sources[LEARNED] = {lesson.name: lesson.key for lesson in planned.lessons}
    return {
        "uses": planned.uses,
        "options": planned.described.options,
        "defaults": {
            one.field: one.default
            for one in planned.described.manifest.models[0]
            if not (one.required or one.made or one.component) and one.field not in plan.spec.step(planned.name).given
        },
        "named": [one.manifest.entry.uses for one in planned.described.named.values()],
        "roots": roots_above(plan, planned.name),
        "output": output,
        "scratch": plan.store.scratch(node.key),
        "sources": sources,
        "key": node.key,
        "base": plan.spec.base,
        **resources._asdict(),
    }


def _folders(plan: Plan, given: str | list[str]) -> Path | list[Path]:
    """Where what a step gives lies, or several do."""
    if isinstance(given, list):
        return [plan.step(one).given for one in given]
    return plan.step(given).given


def roots_above(plan: Plan, name: str) -> dict[str, Path]:
    """Where the pictures lie now of the data sets that a step takes, near and far, by root name."""
    above: set[str] = set()
    waiting = all_steps(plan.step(name).inputs)
    while waiting:
        above.add(one := waiting.pop())
        waiting += [other for other in all_steps(plan.step(one).inputs) if other not in above]
    found: dict[str, Path] = {}
    for step in plan.steps:
        found |= roots_of(plan, step) if step.name in above else {}
    return found


def roots_of(plan: Plan, planned: PlannedStep) -> Mapping[str, Path]:
    """Where a step's own pictures lie now, by root name: its artifact may be older than the place of its files.

    Beside them those of what its artifact was made from and is no longer given: an input that was computed anew and
    came out the same has another key, and roots are named after keys.
    """
    return _roots_at(plan, planned, planned.folder) if planned.gives == "dataset" else {}


def _roots_at(plan: Plan, planned: PlannedStep, folder: Path) -> dict[str, Path]:
    """See `roots_of`, of an artifact that the step gives, or gave."""
    from fgic_core.data.header import Header

    found: dict[str, Path] = {}
    try:
        sources, header = ArtifactRecord.read(folder).sources, Header.read(folder)
    except FgicError:  # what was is no longer there: whoever needs a picture of it says so
        return found
    for port, given in planned.inputs.items():
        keys = sources.get(port, [])
        for name, key in zip(steps_of(given), steps_of(keys), strict=False):
            above = plan.step(name)
            if above.gives == "dataset" and above.folder.name != key:
                found |= _roots_at(plan, above, plan.store.folder(key))
    source = planned.described.source
    for name, path in header.roots.items():
        if path is not None:
            found[name] = (folder / path).resolve()
        elif source is not None:
            found[name] = source
    return found


def needs_device(planned: PlannedStep) -> bool:
    """Whether a step computes with tensors, on whatever device there is."""
    return KINDS[planned.described.kind].tensors


def devices_needed(planned: PlannedStep, devices: int) -> int:
    """How many devices of its own a step takes, where the user gives so many."""
    if not needs_device(planned):
        return 0
    return devices if planned.described.manifest.several_devices else 1
