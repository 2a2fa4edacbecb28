"""``fgic check``: how the steps of a spec are wired, and which would be computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, table

if TYPE_CHECKING:
    from fgic_core.run.plan import Plan, PlannedStep


def print_plan(spec: Path, overrides: Sequence[str], store: Path | None, as_json: bool) -> None:
    """Print the plan of a spec.

    Raises:
        SpecError: the spec has problems.
    """
    from fgic_core.pipeline import Pipeline

    plan = Pipeline.from_yaml(spec, overrides).plan(store)
    if as_json:
        print(json.dumps([_row(step) for step in plan.steps], indent=1, ensure_ascii=False))
        return
    _print_table(plan)


def _print_table(plan: Plan) -> None:
    wiring = table("step", "uses", "takes", "gives", "", "why")
    for step in plan.steps:
        takes = "\n".join(f"{name} of {source}" for name, source in step.inputs.items())
        wiring.add_row(step.name, step.uses, takes, step.gives, "reused" if step.reused else "compute", step.reason)
    out = console()
    out.print(wiring)
    reused = sum(step.reused for step in plan.steps)
    compute = len(plan.steps) - reused
    out.print(f"\n{len(plan.steps)} step{'s' * (len(plan.steps) != 1)}: {compute} to compute, {reused} reused.")


def _row(step: PlannedStep) -> dict[str, Any]:
    return {
        "step": step.name,
        "uses": step.uses,
        "inputs": dict(step.inputs),
        "gives": step.gives,
        "reused": step.reused,
        "reason": step.reason,
        "key": step.key,
        "folder": str(step.folder),
        "options": step.component.model_dump(mode="json"),
    }
