"""Which steps of a plan are run (``--until`` and ``--only``), and whether this process can compute them."""

from __future__ import annotations

from collections.abc import Iterable

from fgic_core.errors import FgicError, StoreError
from fgic_core.kinds.ports import all_steps
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep


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


def check_code(plan: Plan, steps: Iterable[PlannedStep], *, here: bool) -> None:
    """Check that what is to compute steps has the code that their keys count: this process, or others.

    Raises:
        FgicError: this one imported some of it before that was edited; or the others lack what a notebook put into it.
    """
    for step in steps:
        if not here:
            if patched := plan.patched(step.name):
                raise FgicError(
                    f"{' and '.join(patched)} was changed in this process, and steps are computed in others",
                    where=f"step {step.name} ({step.uses})",
                    hint='Give isolation="none", or change the package.',
                )
            continue
        if outdated := plan.outdated(step.name):
            raise FgicError(
                f"this Python imported code that was changed since: {', '.join(outdated)}",
                where=f"step {step.name} ({step.uses})",
                hint='Restart Python; or give isolation="run", which computes steps in a process of their own, as '
                "fgic pipeline does.",
            )


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
