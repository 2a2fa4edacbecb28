"""What a step learns: one training, or with cross-fitting several, each a node of its own with a key of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import StepContext

#: The name of what the step itself learned, among the folders of what was learned.
MAIN = ""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training of a step.

    Attributes:
        name: `MAIN`, or for a training beside it such as ``fold 1 of 5``.
        data: all that it is given: rows of train and val, and of them the columns that are read.
    """

    name: str
    data: Dataset


def run_lessons(
    lessons: Sequence[Lesson],
    fit: Callable[[Any, Dataset, StepContext], object],
    use: Callable[[Any, Mapping[str, Any], StepContext, Mapping[str, Path]], None],
    component: Any,
    ctx: StepContext,
) -> None:
    """Learn and use in one folder and one process, as a suite does; a pipeline makes nodes of it.

    Args:
        lessons: what is learned; fit: has one learned; use: uses what was learned.
        component: the recipe.
        ctx: of the step, with its inputs.
    """
    import shutil

    learned: dict[str, Path] = {}
    for lesson in lessons:
        if lesson.name == MAIN:
            fit(component, lesson.data, ctx)
            learned[MAIN] = ctx.folder
        else:
            own = ctx.training(lesson.name)
            fit(component, lesson.data, own)
            learned[lesson.name] = own.folder
    use(component, ctx.inputs, ctx, learned)
    for name, folder in learned.items():
        if name != MAIN:
            shutil.rmtree(folder, ignore_errors=True)
