"""Drives a Classifier: cuts the validation part, has it trained, and measures it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.classifier import Classifier
from fgic_core.steps.batches import batches
from fgic_core.steps.context import StepContext
from fgic_core.steps.statistics import proportion
from fgic_core.steps.validation import cut_val
from fgic_core.training import evaluation

if TYPE_CHECKING:
    import torch

    from fgic_core.data.dataset import Dataset

#: How many of the best classes are kept of each prediction.
TOP = 5
#: How far logits may differ after save and load, relative to the largest.
TOLERANCE = 1e-4
_NAMED = 5


def run(component: Classifier, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Train and measure; write ``component/``, ``component.json`` and ``predictions.parquet``.

    Neither the test part nor anything measured on it reaches the component.

    Raises:
        DataError: there is nothing to learn, or a single class.
        PluginError: the classifier breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    for note in dataset.header.notes:
        ctx.warn(note)
    train, val = training_parts(dataset, component.val_fraction, ctx)
    parts = {"val": val, "test": dataset.split("test")}
    ctx.measure_by(_ruler(parts if component.test_curve else {"val": val}, ctx))
    component.fit(train, val, ctx)
    results = {part: classify(component, data, ctx, part) for part, data in parts.items() if len(data)}
    for part, result in results.items():
        _record(result, part, dataset, ctx)
    _write_predictions({part: (parts[part], result) for part, result in results.items()}, ctx)
    _save(component, dataset, next((data for data in reversed(parts.values()) if len(data)), train), ctx)


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
    if "test" not in dataset.splits:
        ctx.warn("the data set has no test sample: there is no test accuracy")
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


def _ruler(parts: Mapping[str, Dataset], ctx: StepContext) -> Any:
    def measure(component: Any, epoch: int) -> dict[str, dict[str, float]]:
        return {
            part: classify(component, data, ctx, f"epoch {epoch}: {part}").scores
            for part, data in parts.items()
            if len(data)
        }

    return measure


def classify(component: Classifier, data: Dataset, ctx: StepContext, description: str) -> Classified:
    """Classify the samples of a part that is not empty.

    Raises:
        PluginError: `network` or `prepare` breaks its contract.
    """
    import torch
    from torch.nn import functional

    rows: dict[str, list[Any]] = {"labels": [], "predicted": [], "confidence": [], "loss": [], "top": []}
    with ctx.progress(description, len(data)) as progress:
        for logits, labels in _logits(component, data, ctx):
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


def _logits(component: Classifier, data: Dataset, ctx: StepContext) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits (n, classes) float32 and labels (n,), batch by batch, with the network in evaluation mode."""
    import torch

    # Not inference_mode: what a network caches in it could not be trained through afterwards.
    with evaluation(_network(component, ctx)) as network:
        for number, (images, labels) in enumerate(batches(data, component, ctx.device, workers=ctx.workers)):
            if number == 0:
                _check_inputs(component, data, images, ctx)
            with torch.no_grad():
                logits = network(images)
            _check_logits(logits, (len(images), len(data.classes)), ctx)
            yield logits.float(), labels
        if any(module.training for module in network.modules()):
            raise PluginError("network switches itself to training mode", where=ctx.uses)


def _network(component: Classifier, ctx: StepContext) -> Any:
    from torch import nn

    network = component.network()
    if not isinstance(network, nn.Module):
        raise PluginError(f"network gave a {type(network).__name__}, not a torch.nn.Module", where=ctx.uses)
    return network


def _check_inputs(component: Classifier, data: Dataset, images: torch.Tensor, ctx: StepContext) -> None:
    import torch

    size = component.input_size()
    if not images.is_floating_point() or tuple(images.shape[1:]) != (3, size.height, size.width):
        raise PluginError(
            f"prepare gave {images.dtype} of shape {tuple(images.shape[1:])}",
            where=ctx.uses,
            hint=f"It is float (3, {size.height}, {size.width}), as input_size says.",
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise PluginError(
            f"prepare gave values from {images.min():.3g} to {images.max():.3g}",
            where=ctx.uses,
            hint="They are in [0, 1]; the normalisation belongs into the network.",
        )
    if not torch.equal(component.prepare(data.image(0)), images[0].cpu()):
        raise PluginError(
            "prepare gave two inputs for one picture", where=ctx.uses, hint="It is deterministic; augment in fit."
        )


def _check_logits(logits: Any, shape: tuple[int, int], ctx: StepContext) -> None:
    import torch

    found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != shape:
        raise PluginError(f"network gave {found} for a batch", where=ctx.uses, hint=f"It is logits of shape {shape}.")
    if not torch.isfinite(logits).all():
        raise PluginError(
            "network gave logits that are not finite", where=ctx.uses, hint="Did the training diverge? Lower its rate."
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


def _save(component: Classifier, dataset: Dataset, some: Dataset, ctx: StepContext) -> None:
    """Save the model, and see that loading it gives the same logits."""
    folder = ctx.folder / "component"
    folder.mkdir()
    component.save(folder)
    options = component.model_dump(mode="json")
    about = {"uses": ctx.uses, "options": options, "classes": list(dataset.classes)}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (ctx.folder / "component.json").write_text(text, encoding="utf-8")
    fresh = type(component).model_validate(options, context={"base": folder, "trusted": True})
    fresh.load(folder, ctx.device)
    few = some.take(range(min(len(some), 4)))
    ours, theirs = (next(_logits(one, few, ctx))[0] for one in (component, fresh))
    if (ours - theirs).abs().max() > TOLERANCE * ours.abs().max().clamp(min=1.0):
        raise PluginError("the model gives other logits after save and load", where=ctx.uses)
