"""Has a detector learn, and saves what that gave; with cross-fitting several times, each without a fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError
from fgic_core.kinds.detector import rows as detector_rows
from fgic_core.kinds.detector import training as detector_training
from fgic_core.kinds.detector.contract import Detector, FittedDetector
from fgic_core.kinds.detector.ruler import Ruler
from fgic_core.steps.lesson import MAIN, Lesson

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import Scores, StepContext


def lessons(component: Detector, dataset: Dataset, ctx: StepContext) -> list[Lesson]:
    """The training of a detector that learns, and those of its folds; none for a ready one.

    Raises:
        DataError: see `learned_from`.
    """
    data = learned_from(component, dataset)
    if not component.learns():
        return []
    folds = detector_training.crossfit_folds(component, dataset, data, ctx)
    return [Lesson(MAIN, data), *(Lesson(fold.name, fold.data) for fold in folds)]


def learned_from(component: Detector, dataset: Dataset) -> Dataset:
    """The rows that a detector learns from and is chosen by, and of them what is read (`detector_rows.READS`).

    Train pictures that are not annotated are left out, those with crowds alone, and those that are test pictures too;
    of the validation split those that are not annotated, and all of it where it has no object. No row is of the test
    split. A detector that does not learn is given none.

    Raises:
        DataError: there is nothing to learn from; the weights it starts from have seen test pictures, or (with
            `crossfit`) train pictures; there are too few pictures for the folds.
    """
    return detector_rows.learnable(component, dataset)


def fit(component: Detector, data: Dataset, ctx: StepContext) -> FittedDetector:
    """Have the detector learn from these rows, and write ``component/`` and ``snapshots/``.

    Args:
        component: the recipe; its use-only options play no part.
        data: as `learned_from` gives it.
        ctx: of the step, or of a fold.

    Returns:
        What it learned. To be used it is opened by `Detector.load`, where use-only options count.

    Raises:
        PluginError: the detector breaks its contract.
    """
    train, val = detector_training.splits(component, data, ctx)
    ruler = Ruler.of(component, "val", val)

    def measure(fitted: Any, epoch: int) -> Scores:
        _check_fitted(fitted, "evaluate was given", ctx)
        scores = ruler.measure(fitted, epoch, ctx)
        return {"val": scores} if scores else {}

    ctx.measure_by(measure)
    fitted = component.for_fit().fit(train, val, ctx)
    _check_fitted(fitted, "fit gave", ctx)
    detector_training.save(component, fitted, train, val, data, ctx)
    for loss in ctx.snapshots.move_to(ctx.folder / "snapshots"):
        ctx.warn(loss)
    return fitted


def _check_fitted(fitted: Any, given: str, ctx: StepContext) -> None:
    """Raises PluginError where it is not what `Detector.fit` should give."""
    if not isinstance(fitted, FittedDetector):
        raise PluginError(f"{given} a {type(fitted).__name__}, not a FittedDetector", where=ctx.uses)
