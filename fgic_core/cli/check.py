"""``fgic check``: how the steps of a spec are wired, and which would be computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, table, warn
from fgic_core.kinds.ports import steps_of

if TYPE_CHECKING:
    from fgic_core.plan.plan import Plan
    from fgic_core.plan.planned import PlannedStep
    from fgic_core.spec import SpecStep


def print_plan(
    spec: Path, overrides: Sequence[str], store: Path | None, as_json: bool, *, verify: bool = False
) -> None:
    """Print the plan of a spec, or of every run of its study.

    Args:
        spec: the file.
        overrides: assignments of ``--set``.
        store: folder of the artifacts.
        as_json: print JSON.
        verify: read every file again, and believe no digest that was taken before.

    Raises:
        SpecError: the spec has problems.
    """
    from fgic_core.pipeline import Pipeline
    from fgic_core.plan.keys import Keys
    from fgic_core.store.memory import default_memory

    keys = Keys(default_memory(trusted=not verify))
    pipeline = Pipeline.from_yaml(spec, overrides, keys=keys)
    if pipeline.spec.study is not None:
        from fgic_core.cli.study import print_study

        print_study(pipeline.plan_study(store, verify=verify), as_json)
        return
    plan = pipeline.plan(store)
    if as_json:
        print(json.dumps([_row(step, plan.spec.step(step.name)) for step in plan.steps], indent=1, ensure_ascii=False))
        return
    _print_table(plan)
    for step in plan.spec.steps:
        for said in step.without_effect:
            warn(f"{said}.")


def _print_table(plan: Plan) -> None:
    wiring = table("step", "uses", "takes", "gives", "", "why")
    for step in plan.steps:
        takes = "\n".join(f"{name} of {source}" for name, given in step.inputs.items() for source in steps_of(given))
        wiring.add_row(step.name, step.uses, takes, step.gives, "reused" if step.reused else "compute", step.reason)
    out = console()
    out.print(wiring)
    reused = sum(step.reused for step in plan.steps)
    compute = len(plan.steps) - reused
    at_most = "" if all(step.settled for step in plan.steps) else "at most "
    out.print(
        f"\n{len(plan.steps)} step{'s' * (len(plan.steps) != 1)}: {at_most}{compute} to compute, {reused} reused."
    )


def _row(step: PlannedStep, spec: SpecStep) -> dict[str, Any]:
    return {
        "step": step.name,
        "uses": step.uses,
        "inputs": dict(step.inputs),
        "gives": step.gives,
        "reused": step.reused,
        "reason": step.reason,
        "settled": step.settled,
        "key": step.key,
        "folder": str(step.folder),
        "options": step.described.options,
        "warnings": spec.without_effect,
    }
