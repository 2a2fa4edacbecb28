"""Drives a Classifier: cuts the validation part, has it trained (`fit`), and measures what that gave (`use`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.artifact import Point
from fgic_core.data.input_spec import InputSpec
from fgic_core.errors import DataError, PluginError
from fgic_core.inference import Batch, infer
from fgic_core.interfaces.classifier import Classifier, FittedClassifier
from fgic_core.steps.context import StepContext
from fgic_core.steps.snapshots import Snapshots
from fgic_core.steps.statistics import proportion
from fgic_core.steps.validation import cut_val

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset

#: How many of the best classes are kept of each prediction.
TOP = 5
#: How far logits may differ after save and load, relative to the largest.
TOLERANCE = 1e-4
_NAMED = 5


def run(component: Classifier, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Train and measure: `fit` on what `learned_from` leaves, then `use`.

    Raises:
        DataError: there is nothing to learn, or a single class.
        PluginError: the classifier breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    fitted = fit(component, learned_from(component, dataset), ctx)
    use(component, fitted, dataset, ctx)


def learned_from(component: Classifier, dataset: Dataset) -> Dataset:
    """The rows that learning sees: those of train, and those of val to choose by."""
    parts = pa.array(["train", "val"])
    return dataset.where(pc.is_in(dataset.table.column("split").cast(pa.string()), value_set=parts))


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

    def ruler(fitted: Any, epoch: int) -> dict[str, dict[str, float]]:
        _check_fitted(fitted, "evaluate was given", train, ctx)
        return {"val": classify(fitted, val, ctx, f"epoch {epoch}: val").scores} if len(val) else {}

    ctx.measure_by(ruler)
    fitted = recipe.fit(train, val, ctx)
    _check_fitted(fitted, "fit gave", train, ctx)
    folder = ctx.folder / "component"
    folder.mkdir()
    recipe.save(fitted, folder)
    about = {"uses": ctx.uses, "options": recipe.model_dump(mode="json"), "classes": list(fitted.classes)}
    _write(ctx.folder / "component.json", about)
    _write(ctx.folder / "validation.json", {"ids": val.ids})
    if not ctx.rank:
        ctx.snapshots.move_to(ctx.folder / "snapshots")
    return fitted


def use(
    component: Classifier, fitted: FittedClassifier, dataset: Dataset, ctx: StepContext, learned: Path | None = None
) -> None:
    """Measure what was fitted on the validation part and on test; write ``predictions.parquet``.

    Args:
        component: its options count.
        fitted: what `fit` gave.
        dataset: all rows.
        ctx: see `StepContext`.
        learned: the folder that `fit` wrote into; the context's own by default.

    Raises:
        PluginError: the classifier breaks its contract, or gives other logits after save and load.
    """
    learned = learned or ctx.folder
    for note in dataset.header.notes:
        ctx.warn(note)
    if "test" not in dataset.splits:
        ctx.warn("the data set has no test sample: there is no test accuracy")
    chosen = json.loads((learned / "validation.json").read_text(encoding="utf-8"))["ids"]
    parts = {
        "val": dataset.where(pc.is_in(dataset.table.column("id"), value_set=pa.array(chosen, pa.string()))),
        "test": dataset.split("test"),
    }
    results = {part: classify(fitted, data, ctx, part) for part, data in parts.items() if len(data)}
    for part, result in results.items():
        _record(result, part, dataset, ctx)
    _write_predictions({part: (parts[part], result) for part, result in results.items()}, ctx)
    loaded = component.load(learned / "component", ctx.device)
    some = next((data for data in reversed(parts.values()) if len(data)), dataset)
    _check_loaded(fitted, loaded, some, ctx)
    if component.test_curve and len(parts["test"]):
        _measure_curve(loaded, parts["test"], Snapshots(learned / "snapshots"), ctx)


def _check_fitted(fitted: Any, given: str, train: Dataset, ctx: StepContext) -> None:
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


def _measure_curve(loaded: FittedClassifier, test: Dataset, snapshots: Snapshots, ctx: StepContext) -> None:
    """Measure test at each epoch that there are weights of; ``loaded`` has the last of them afterwards."""
    epochs, lost = snapshots.epochs(), []
    for epoch in epochs:
        try:
            snapshots.put(loaded.network, epoch)
        except PluginError as error:
            lost.append(error.what)
            continue
        for name, value in classify(loaded, test, ctx, f"epoch {epoch}: test").scores.items():
            ctx.add_point(Point(epoch=epoch, part="test", name=name, value=value))
    if not epochs:
        ctx.warn("There is no test curve: the training kept no weights of its epochs.")
    elif lost:
        ctx.warn(f"The test curve lacks {len(lost)} of {len(epochs)} epochs: {lost[0]}.")


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def training_parts(dataset: Dataset, val_fraction: float, ctx: StepContext) -> tuple[Dataset, Dataset]:
    """The samples to learn from and those to choose by.

    Where the data set has no validation part it is cut from train: real samples alone, stratified by class; pictures
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
    return train, val


@dataclass(frozen=True, slots=True)
class Classified:
    """What a classifier says of each sample of a part.

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


def classify(fitted: FittedClassifier, data: Dataset, ctx: StepContext, description: str) -> Classified:
    """Classify the samples of a part that is not empty.

    Raises:
        PluginError: the network breaks its contract.
    """
    import torch
    from torch.nn import functional

    rows: dict[str, list[Any]] = {"labels": [], "predicted": [], "confidence": [], "loss": [], "top": []}
    wanted = torch.from_numpy(data.labels).to(ctx.device)
    with ctx.progress(description, len(data)) as progress:
        done = 0
        for batch in _infer(fitted, data, ctx):
            logits, labels = batch.logits, wanted[done : done + len(batch.logits)]
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
    return infer(
        fitted.network,
        fitted.input,
        data.image,
        len(data),
        device=ctx.device,
        workers=ctx.workers,
        classes=len(data.classes),
        uses=ctx.uses,
    )


def _record(result: Classified, part: str, dataset: Dataset, ctx: StepContext) -> None:
    n = len(result.labels)
    names = dataset.classes
    right = result.predicted == result.labels
    accuracy = proportion(int(right.sum()), n)
    ctx.metric("accuracy", part=part, unit="fraction", **accuracy._asdict())
    if len(np.unique(dataset.labels)) > TOP:  # of fewer classes the best five are all
        within = proportion(int((result.top == result.labels[:, None]).any(axis=1).sum()), n)
        ctx.metric("top5_accuracy", part=part, unit="fraction", **within._asdict())
    present, counts = np.unique(result.labels, return_counts=True)
    of = f"{len(present)} classes" if len(present) == len(names) else f"the {len(present)} of {len(names)} that occur"
    mean = float(np.mean([right[result.labels == label].mean() for label in present]))
    ctx.metric("mean_class_accuracy", mean, part=part, n=n, unit="fraction", note=f"mean over {of}")
    # What there is to beat: a guess among the classes that are there, and always the same answer.
    note = "" if len(present) == len(names) else f"of {len(names)}; the others do not occur here"
    ctx.metric("classes", float(len(present)), part=part, note=note)
    most = int(counts.argmax())
    note = f"of one that always says {names[int(present[most])]}"
    ctx.metric("majority_accuracy", float(counts[most]) / n, part=part, n=n, unit="fraction", note=note)
    ctx.metric("loss", float(result.loss.mean()), part=part, n=n)


def _write_predictions(results: Mapping[str, tuple[Dataset, Classified]], ctx: StepContext) -> None:
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("label", pa.int32()),
            ("predicted", pa.int32()),
            ("confidence", pa.float32()),
            ("loss", pa.float32()),
            ("top", pa.list_(pa.int32())),
        ]
    )
    tables = [
        pa.table(
            [
                pa.array(data.ids, pa.string()),
                pa.array([part] * len(data), pa.string()),
                pa.array(result.labels.astype(np.int32)),
                pa.array(result.predicted.astype(np.int32)),
                pa.array(result.confidence),
                pa.array(result.loss),
                pa.array(list(result.top.astype(np.int32)), pa.list_(pa.int32())),
            ],
            schema=schema,
        )
        for part, (data, result) in results.items()
    ]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    pq.write_table(table, ctx.folder / "predictions.parquet", compression="zstd")


def _check_loaded(fitted: FittedClassifier, loaded: FittedClassifier, some: Dataset, ctx: StepContext) -> None:
    """See that what was saved and loaded gives the same logits.

    Raises:
        PluginError: it does not.
    """
    _check_fitted(loaded, "load gave", some, ctx)
    few = some.take(range(min(len(some), 4)))
    ours, theirs = (next(_infer(one, few, ctx)).logits for one in (fitted, loaded))
    if (ours - theirs).abs().max() > TOLERANCE * ours.abs().max().clamp(min=1.0):
        raise PluginError("the model gives other logits after save and load", where=ctx.uses)
