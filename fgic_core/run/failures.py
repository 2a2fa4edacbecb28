"""What is said and kept of steps that failed, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence

from fgic_core.errors import FgicError, StepError, StoreError
from fgic_core.plan.graph import Branch
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep
from fgic_core.registry import Registry
from fgic_core.run.events import ProcessFailed, is_disk_full, text_of, traceback_of, words_of
from fgic_core.store.record import StepRecord


class Failures:
    """Explains errors, tells of them and keeps them in full.

    Args:
        registry: says which package a component is of.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def tell(
        self,
        branch: Branch,
        planned: PlannedStep,
        step: StepRecord,
        error: BaseException,
        told: FgicError | None = None,
    ) -> None:
        """A step failed.

        Args:
            branch: its run; planned, step: the step.
            error: why; told: in words for the user, where these are known better than by the error alone.
        """
        said = told or self._explain(branch, planned, error)
        step.status, step.error = "failed", text_of(said) or type(said).__name__
        errors = branch.folder / "errors"
        errors.mkdir(exist_ok=True)
        (errors / f"{step.name}.txt").write_text(traceback_of(error), encoding="utf-8")
        branch.observers.notify("step_failed", step=step, error=said)

    def stopped(self, branch: Branch, step: StepRecord) -> None:
        """The user stopped a step."""
        step.status, step.error = "interrupted", "stopped"
        branch.observers.notify("step_failed", step=step, error=KeyboardInterrupt("stopped"))

    def _explain(self, branch: Branch, planned: PlannedStep, error: BaseException) -> FgicError:
        if isinstance(error, FgicError) and text_of(error) == _text(error):
            return error
        if is_disk_full(error):
            return StoreError(
                "the disk is full",
                where=f"step {planned.name}",
                hint=f"Free some room in {branch.plan.store.root} or choose another folder with --store, then run "
                "again.",
            )
        entry = self._registry.entry(planned.uses)
        return StepError(
            text_of(error) if isinstance(error, ProcessFailed) else words_of(error),
            step=planned.name,
            component=planned.uses,
            where=f"step {planned.name} ({planned.uses} of {entry.package} {entry.version})",
            hint=f"The whole message is in {branch.folder / 'errors' / (planned.name + '.txt')}.",
        )


def how_to_go_on(stopped: Sequence[tuple[Plan, str]]) -> str:
    """What the user who stopped a run can do.

    Args:
        stopped: the steps that were stopped.
    """
    where = []
    for plan, name in stopped:
        epoch = plan.interrupted_after(name)
        where.append(f"after epoch {epoch} of step {name}" if epoch else f"with step {name}")
    command = "The same command without --fresh" if any(plan.fresh for plan, _ in stopped) else "The same command"
    return f"What is finished is kept. {command} goes on {' and '.join(dict.fromkeys(where))}".rstrip() + "."


def _text(error: BaseException) -> str | None:
    """Its text; None where it has none that can be had."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
