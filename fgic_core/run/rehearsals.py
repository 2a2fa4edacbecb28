"""Which explainers are tried before a training, and on what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fgic_core.errors import PluginError
from fgic_core.kinds.ports import all_steps
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep
from fgic_core.run.executor import Named, Rehearsal


def rehearsals_of(plan: Plan, planned: PlannedStep, wanted: Sequence[str]) -> Iterator[tuple[str, Rehearsal]]:
    """What has to be tried before a step trains, by the explainer's step.

    Args:
        plan: the plan; planned: the step, which has its inputs.
        wanted: the steps that are to be run.
    """
    if planned.reused or planned.trained or planned.described.kind != "classifier":
        return
    for other in plan.steps:
        explains = other.described.kind == "explainer" and planned.name in all_steps(other.inputs)
        if other.name not in wanted or other.reused or not explains:
            continue
        from fgic_core.data.header import Header

        classes = Header.read(plan.step(str(planned.inputs["dataset"])).folder).classes
        classifier, explainer = (Named(one.uses, one.described.options) for one in (planned, other))
        yield other.name, Rehearsal(classifier, explainer, len(classes))


def refusal(error: PluginError, trains: str, explains: str) -> PluginError:
    """What is told of an explainer that cannot work on a classifier.

    Args:
        error: its error; trains, explains: the names of their steps.
    """
    return PluginError(
        f"{error.what} (seen before the training of step {trains}, which was not begun)",
        where=error.where,
        hint=f"{error.hint or ''} Without step {explains}, --until {trains} trains.".strip(),
    )
