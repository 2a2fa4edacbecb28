"""Which samples an explainer or an attacker is measured on."""

from __future__ import annotations

import numpy as np

from fgic_core.data.dataset import Dataset
from fgic_core.data.sample import Split
from fgic_core.errors import DataError
from fgic_core.kinds.classifier.model import Model
from fgic_core.metrics.statistics import pick_evenly
from fgic_core.steps.context import StepContext


def choose(dataset: Dataset, model: Model, count: int | None, ctx: StepContext, purpose: str) -> tuple[Dataset, Split]:
    """Samples to measure on, in the data set's order, and the split they come from.

    They come from the test split; where there is none from val, then train, with a warning.

    Args:
        dataset: what the step got.
        model: what is measured; must tell apart the same classes.
        count: how many, evenly over the classes; None takes all.
        ctx: its seed and ``purpose`` decide which.
        purpose: ``explain`` or ``attack``.

    Raises:
        DataError: there is no sample, or the classes are others than the model's.
    """
    if dataset.classes != model.classes:
        raise DataError(
            _difference(dataset.classes, model.classes),
            hint="Give both steps the same data set: `from: {dataset: …}`.",
        )
    order: tuple[Split, ...] = ("test", "val", "train")
    for split in order:
        rows_of = dataset.split(split)
        if len(rows_of):
            break
    else:
        raise DataError(f"the data set has no sample to {purpose}")
    if split != "test":
        ctx.warn(f"There is no test sample: {purpose}s {split} samples, which the model may have learned from.")
    rows: np.ndarray[tuple[int], np.dtype[np.int64]] = pick_evenly(rows_of.labels, count, ctx.rng(purpose))
    return rows_of.take(rows), split


def _difference(data: tuple[str, ...], model: tuple[str, ...]) -> str:
    """In what the classes of a data set differ from those of a model."""
    if len(data) != len(model):
        return f"the data set's {len(data)} classes are not the model's {len(model)}"
    label = next(label for label, (a, b) in enumerate(zip(data, model, strict=True)) if a != b)
    return (
        f"the data set's classes are not the model's: class {label} is {data[label]!r} in the data set and "
        f"{model[label]!r} in the model"
    )
