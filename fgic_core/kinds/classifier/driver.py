"""Measures what a classifier learned (`fgic_core.kinds.classifier.fit`), on the validation split and on test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.artifact import Point
from fgic_core.errors import PluginError
from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.kinds.classifier.fit import TOP, Classified, classify, fit, lessons
from fgic_core.metrics.statistics import proportion
from fgic_core.steps.context import StepContext
from fgic_core.steps.lesson import MAIN, run_lessons
from fgic_core.steps.snapshots import Snapshots

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.kit.features import SameAgain


def run(component: Classifier, inputs: Mapping[str, Any], ctx: StepContext) -> None:
    """Learn and use, one after the other; see `fgic_core.steps.lesson.run_lessons`."""
    ctx.inputs = inputs
    run_lessons(lessons(component, inputs["dataset"], ctx), fit, use, component, ctx)


def use(component: Classifier, inputs: Mapping[str, Any], ctx: StepContext, learned: Mapping[str, Path]) -> None:
    """Measure what was learned on the validation split and on test; write ``predictions.parquet``.

    Args:
        component: its options count.
        inputs: ``dataset``, all rows.
        ctx: see `StepContext`.
        learned: the folder that `fgic_core.kinds.classifier.fit.fit` wrote into.

    Raises:
        PluginError: the classifier breaks its contract.
    """
    from fgic_core.kit.features import SameAgain

    dataset: Dataset = inputs["dataset"]
    folder = learned[MAIN]
    for note in dataset.header.notes:
        ctx.warn(note)
    if "test" not in dataset.splits:
        ctx.warn("the data set has no test sample: there is no test accuracy")
    chosen = json.loads((folder / "validation.json").read_text(encoding="utf-8"))["ids"]
    splits = {
        "val": dataset.where(pc.is_in(dataset.table.column("id"), value_set=pa.array(chosen, pa.string()))),
        "test": dataset.split("test"),
    }
    if folder != ctx.folder:  # whoever reads the artifact wants the names of the classes
        shutil.copyfile(folder / "component.json", ctx.folder / "component.json")
    fitted = component.for_fit().load(folder / "component", ctx.device)  # as whoever takes the model opens it
    again = {split: SameAgain() for split in splits}
    results = {split: classify(fitted, data, ctx, split, again[split]) for split, data in splits.items() if len(data)}
    for split, result in results.items():
        _record(result, split, dataset, ctx)
    _write_predictions({split: (splits[split], result) for split, result in results.items()}, ctx)
    if component.test_curve and len(splits["test"]):
        _measure_curve(fitted, splits["test"], Snapshots(folder / "snapshots"), again["test"], ctx)


def _measure_curve(
    loaded: FittedClassifier, test: Dataset, snapshots: Snapshots, again: SameAgain, ctx: StepContext
) -> None:
    """Measure test at each epoch that there are weights of; ``loaded`` has the last of them afterwards."""
    epochs, lost = snapshots.epochs(), []
    for epoch in epochs:
        try:
            snapshots.put(loaded.network, epoch)
        except PluginError as error:
            lost.append(error.what)
            continue
        for name, value in classify(loaded, test, ctx, f"epoch {epoch}: test", again).scores.items():
            ctx.add_point(Point(epoch=epoch, split="test", name=name, value=value))
    if not epochs:
        ctx.warn("There is no test curve: the training kept no weights of its epochs.")
    elif lost:
        ctx.warn(f"The test curve lacks {len(lost)} of {len(epochs)} epochs: {lost[0]}.")


def _record(result: Classified, split: str, dataset: Dataset, ctx: StepContext) -> None:
    n = len(result.labels)
    names = dataset.classes
    right = result.predicted == result.labels
    accuracy = proportion(int(right.sum()), n)
    ctx.metric("accuracy", split=split, **accuracy._asdict())
    if len(np.unique(dataset.labels)) > TOP:  # of fewer classes the best five are all
        within = proportion(int((result.top == result.labels[:, None]).any(axis=1).sum()), n)
        ctx.metric("top5_accuracy", split=split, **within._asdict())
    present, counts = np.unique(result.labels, return_counts=True)
    of = f"{len(present)} classes" if len(present) == len(names) else f"the {len(present)} of {len(names)} that occur"
    mean = float(np.mean([right[result.labels == label].mean() for label in present]))
    ctx.metric("mean_class_accuracy", mean, split=split, n=n, note=f"mean over {of}")
    # What there is to beat: a guess among the classes that are there, and always the same answer.
    note = "" if len(present) == len(names) else f"of {len(names)}; the others do not occur here"
    ctx.metric("classes", float(len(present)), split=split, note=note)
    most = int(counts.argmax())
    note = f"of one that always says {names[int(present[most])]}"
    ctx.metric("majority_accuracy", float(counts[most]) / n, split=split, n=n, note=note)
    ctx.metric("loss", float(result.loss.mean()), split=split, n=n)


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
                pa.array([split] * len(data), pa.string()),
                pa.array(result.labels.astype(np.int32)),
                pa.array(result.predicted.astype(np.int32)),
                pa.array(result.confidence),
                pa.array(result.loss),
                pa.array(list(result.top.astype(np.int32)), pa.list_(pa.int32())),
            ],
            schema=schema,
        )
        for split, (data, result) in results.items()
    ]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    pq.write_table(table, ctx.folder / "predictions.parquet", compression="zstd")
