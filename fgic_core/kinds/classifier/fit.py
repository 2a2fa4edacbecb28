"""Has a classifier learn: cuts the validation split, has it trained, and saves what that gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.dataset import Dataset
from fgic_core.data.input_spec import InputSpec
from fgic_core.data.rows import only_columns
from fgic_core.errors import DataError, PluginError
from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.kit.inference import Batch, infer
from fgic_core.steps.context import Scores, StepContext
from fgic_core.steps.lesson import MAIN, Lesson
from fgic_core.steps.validation import cut_val, resampled

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

    from fgic_core.kit.features import SameAgain

#: How many of the best classes are kept of each prediction.
TOP = 5
#: How far logits may differ after save and load, relative to the largest.
TOLERANCE = 1e-4
#: The columns of a row that learning reads; a classifier may ask for more (`Classifier.columns`).
READS = frozenset(
    (
        *("id", "root", "path", "label", "split", "width", "height"),
        *("region", "masked", "origin", "parents", "digest"),
    )
)
_NAMED = 5


def lessons(component: Classifier, dataset: Dataset, ctx: StepContext) -> list[Lesson]:
    """The one training of a classifier."""
    return [Lesson(MAIN, learned_from(component, dataset))]


def learned_from(component: Classifier, dataset: Dataset) -> Dataset:
    """The rows that learning sees: those of train, and those of val to choose by; of them the columns it reads."""
    taught = pa.array(["train", "val"])
    rows = dataset.where(pc.is_in(dataset.table.column("split").cast(pa.string()), value_set=taught))
    return Dataset(rows.header, only_columns(rows.table, READS | component.columns))


def fit(component: Classifier, data: Dataset, ctx: StepContext) -> FittedClassifier:
    """Train; write ``component/``, ``component.json``, ``validation.json`` and ``snapshots/``.

    Args:
        component: its use-only options are not read.
        data: what `learned_from` gives: no test row.
        ctx: see `StepContext`.

    Raises:
        DataError: there is nothing to learn, or a single class.
        PluginError: the classifier breaks its contract.
    """
    train, val = training_parts(data, component.val_fraction, ctx)
    recipe = component.for_fit()

    from fgic_core.kit.features import SameAgain

    again = SameAgain()

    def ruler(fitted: Any, epoch: int) -> Scores:
        check_fitted(fitted, "evaluate was given", train, ctx)
        return {"val": classify(fitted, val, ctx, f"epoch {epoch}: val", again).scores} if len(val) else {}

    ctx.measure_by(ruler)
    fitted = recipe.fit(train, val, ctx)
    check_fitted(fitted, "fit gave", train, ctx)
    folder = ctx.folder / "component"
    folder.mkdir()
    recipe.save(fitted, folder)
    _check_saved(recipe, fitted, val if len(val) else train, ctx)
    about = {"uses": ctx.uses, "classes": list(fitted.classes)}
    _write(ctx.folder / "component.json", about)
    _write(ctx.folder / "validation.json", {"ids": val.ids})
    if not ctx.rank:
        for loss in ctx.snapshots.move_to(ctx.folder / "snapshots"):
            ctx.warn(loss)
    return fitted


def check_fitted(fitted: Any, given: str, train: Dataset, ctx: StepContext) -> None:
    """Raises PluginError where it is not what `Classifier.fit` should give."""
    from torch import nn

    if not isinstance(fitted, FittedClassifier):
        raise PluginError(f"{given} a {type(fitted).__name__}, not a FittedClassifier", where=ctx.uses)
    if not isinstance(fitted.network, nn.Module):
        what = f"{given} a {type(fitted.network).__name__} as network, not a torch.nn.Module"
        raise PluginError(what, where=ctx.uses)
    if type(fitted.input) is not InputSpec:  # none of a kind that the core cannot write
        raise PluginError(f"{given} a {type(fitted.input).__name__} as input, not an InputSpec", where=ctx.uses)
    if fitted.classes != train.classes:
        raise PluginError(
            f"{given} {len(fitted.classes)} names of classes that are not those of the data set",
            where=ctx.uses,
            hint="They are train.classes, in their order.",
        )


def _check_saved(recipe: Classifier, fitted: FittedClassifier, some: Dataset, ctx: StepContext) -> None:
    """See that what was saved gives the same logits when it is loaded.

    Raises:
        PluginError: it does not, or the network breaks its contract.
    """
    few = some.take(range(min(len(some), 4)))
    ours = next(_infer(fitted, few, ctx)).logits
    loaded = recipe.load(ctx.folder / "component", ctx.device)
    check_fitted(loaded, "load gave", some, ctx)
    if (ours - next(_infer(loaded, few, ctx)).logits).abs().max() > TOLERANCE * ours.abs().max().clamp(min=1.0):
        raise PluginError("the model gives other logits after save and load", where=ctx.uses)


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def training_parts(dataset: Dataset, val_fraction: float, ctx: StepContext) -> tuple[Dataset, Dataset]:
    """The samples to learn from and those to choose by.

    Where the data set has no validation split it is cut from train: real samples alone, stratified by class; pictures
    with the same bytes stay together, and what was made from a held-out sample is left out.

    Raises:
        DataError: there is no train sample, or they are all of one class.
    """
    train, val = dataset.split("train"), dataset.split("val")
    counts = np.bincount(train.labels, minlength=len(dataset.classes)) if len(train) else np.zeros(0, dtype=int)
    if not len(train):
        raise DataError("the data set has no train sample to learn from")
    if np.count_nonzero(counts) < 2:
        (only,) = (dataset.classes[label] for label in np.flatnonzero(counts))
        raise DataError(f"all train samples are of one class ({only})", hint="A classifier needs at least two.")
    few = [dataset.classes[label] for label in np.flatnonzero(counts < 2)]
    if few:
        names = ", ".join(few[:_NAMED]) + (", …" if len(few) > _NAMED else "")
        ctx.warn(f"{len(few)} of {len(counts)} classes have fewer than two train samples: {names}")
    if not len(val):
        train, val = cut_val(train, val_fraction, ctx)
    if not len(val):
        ctx.warn("there is no validation sample: no epoch can be told to be better than another")
    return resampled(train, ctx), val


@dataclass(frozen=True, slots=True)
class Classified:
    """What a classifier says of each sample of a split.

    Attributes:
        labels: (n,) the right classes.
        predicted: (n,) the classes with the largest logit.
        confidence: (n,) float32, their softmax probability.
        loss: (n,) float32, cross-entropy.
        top: (n, k) the best classes, best first.
    """

    labels: np.ndarray[Any, np.dtype[np.int64]]
    predicted: np.ndarray[Any, np.dtype[np.int64]]
    confidence: np.ndarray[Any, np.dtype[np.float32]]
    loss: np.ndarray[Any, np.dtype[np.float32]]
    top: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def scores(self) -> dict[str, float]:
        """Mean loss and accuracy."""
        return {"loss": float(self.loss.mean()), "accuracy": float((self.predicted == self.labels).mean())}


def classify(
    fitted: FittedClassifier, data: Dataset, ctx: StepContext, description: str, again: SameAgain | None = None
) -> Classified:
    """Classify the samples of a split that is not empty.

    Args:
        fitted: the classifier.
        data: the samples.
        ctx: of the step.
        description: of the progress bar.
        again: what is known of these samples from measuring them before, where they are measured more than once.

    Raises:
        PluginError: the network breaks its contract.
    """
    import torch
    from torch.nn import functional

    from fgic_core.kit.features import SameAgain
    from fgic_core.kit.shared import pictures_of

    rows: dict[str, list[Any]] = {"labels": [], "predicted": [], "confidence": [], "loss": [], "top": []}
    wanted = torch.from_numpy(data.labels).to(ctx.device)
    with ctx.progress(description, len(data)) as progress:
        done = 0
        how = {"pictures": pictures_of(data), **_how(data, ctx)}
        for logits in (again or SameAgain()).logits(*_arguments(fitted, data), **how):
            labels = wanted[done : done + len(logits)]
            done += len(labels)
            with torch.no_grad():
                best = logits.softmax(dim=1).topk(min(TOP, logits.shape[1]), dim=1)
                loss = functional.cross_entropy(logits, labels, reduction="none")
            if not torch.isfinite(loss).all():
                raise PluginError(
                    f"network gave logits so large ({logits.abs().max():.3g}) that their loss is not finite",
                    where=ctx.uses,
                    hint="Did the training diverge? Lower its rate.",
                )
            found = {"labels": labels, "loss": loss, "top": best.indices}
            found |= {"predicted": best.indices[:, 0], "confidence": best.values[:, 0]}
            for name, values in found.items():
                rows[name].append(values.cpu().numpy())
            progress.advance(len(labels))
    return Classified(**{name: np.concatenate(values) for name, values in rows.items()})


def _infer(fitted: FittedClassifier, data: Dataset, ctx: StepContext) -> Iterator[Batch]:
    return infer(*_arguments(fitted, data), **_how(data, ctx))


def _arguments(fitted: FittedClassifier, data: Dataset) -> tuple[nn.Module, InputSpec, Callable[[int], Image], int]:
    return fitted.network, fitted.input, data.crop, len(data)


def _how(data: Dataset, ctx: StepContext) -> dict[str, Any]:
    return {"device": ctx.device, "workers": ctx.workers, "classes": len(data.classes), "uses": ctx.uses}
