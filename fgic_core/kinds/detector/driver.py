"""Finds the boxes of every picture by what a detector learned (`fgic_core.kinds.detector.fit`), and measures them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fgic_core.data.artifact import Point
from fgic_core.data.boxes import ComparedWriter
from fgic_core.data.dataset import BATCH, Dataset, DatasetWriter
from fgic_core.errors import PluginError
from fgic_core.kinds.detector import rows as detector_rows
from fgic_core.kinds.detector import training as detector_training
from fgic_core.kinds.detector.contract import Detections, Detector, FittedDetector
from fgic_core.kinds.detector.figures import Measured, report
from fgic_core.kinds.detector.fit import fit, learned_from, lessons
from fgic_core.kinds.detector.ruler import Ruler, classes_of, detect, sure_boxes, truth_of
from fgic_core.steps.context import StepContext
from fgic_core.steps.lesson import MAIN, run_lessons
from fgic_core.steps.snapshots import Snapshots

if TYPE_CHECKING:
    from torch import nn


def run(component: Detector, inputs: Mapping[str, Any], ctx: StepContext) -> None:
    """Learn and use, one after the other; see `fgic_core.steps.lesson.run_lessons`."""
    ctx.inputs = inputs
    run_lessons(lessons(component, inputs["dataset"], ctx), fit, use, component, ctx)


def use(component: Detector, inputs: Mapping[str, Any], ctx: StepContext, learned: Mapping[str, Path]) -> None:
    """Write the input's data set with the found boxes beside the annotated ones, measured.

    Boxes of an earlier detector go: two detectors' scores cannot be compared. Beside the rows, ``boxes.parquet`` holds
    for each sample the boxes that cropping would use and their overlap (`fgic_core.data.boxes.COMPARED`). A detector
    that is ready, so that nothing was learned, is kept in ``component/``.

    Args:
        component: says which boxes are sure enough.
        inputs: ``dataset``, all of it.
        ctx: of the step.
        learned: the folders that `fgic_core.kinds.detector.fit.fit` wrote into, by training.

    Raises:
        DataError: the weights of a ready detector have seen test pictures.
        PluginError: the detector breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    if MAIN not in learned:
        fit(component, learned_from(component, dataset), ctx)
    folder = learned.get(MAIN, ctx.folder)
    crossfit = _crossfit(component, dataset, learned, ctx)
    for note in dataset.header.notes:
        ctx.warn(note)
    detector_rows.remark(component, dataset, ctx)
    fitted = component.load(folder / "component", ctx.device)
    _test_curve(component, fitted, dataset, Snapshots(folder / "snapshots"), ctx)
    _write(component, fitted, detector_rows.without_found(dataset), crossfit, ctx)


def _crossfit(
    component: Detector, dataset: Dataset, learned: Mapping[str, Path], ctx: StepContext
) -> dict[str, Detections]:
    """The boxes of each train picture, by id, found by a detector that was not trained on it."""
    found: dict[str, Detections] = {}
    data = learned_from(component, dataset)
    for fold in detector_training.crossfit_folds(component, dataset, data, ctx):
        opened = component.load(learned[fold.name] / "component", ctx.device)
        seen = detect(opened, fold.members, classes_of(component, dataset), ctx, f"{fold.name}: detecting")
        for sample, (detections, _) in zip(fold.members.ids, seen, strict=True):
            found[sample] = detections
    return found


def _test_curve(
    component: Detector, fitted: FittedDetector, dataset: Dataset, snapshots: Snapshots, ctx: StepContext
) -> None:
    """Average precision on the test split at each epoch that a snapshot was kept of."""
    ruler = Ruler.of(component, "test", dataset.split("test"))
    if not component.test_curve or not component.learns() or not len(ruler.data):
        return
    epochs, lost = snapshots.epochs(), []
    if fitted.network is None or not epochs:
        ctx.warn("There is no test curve: the training kept no weights of its epochs.")
        return
    with _as_it_was(fitted.network):
        for epoch in epochs:
            try:
                snapshots.put(fitted.network, epoch)
            except PluginError as error:
                lost.append(error.what)
                continue
            for name, value in ruler.measure(fitted, epoch, ctx).items():
                ctx.add_point(Point(epoch=epoch, split="test", name=name, value=value))
    if lost:
        ctx.warn(f"The test curve lacks {len(lost)} of {len(epochs)} epochs: {lost[0]}.")


@contextmanager
def _as_it_was(network: nn.Module) -> Iterator[None]:
    """Give the network its weights back afterwards."""
    state = deepcopy(network.state_dict())
    try:
        yield
    finally:
        network.load_state_dict(state)


def _write(
    component: Detector,
    fitted: FittedDetector,
    dataset: Dataset,
    crossfit: Mapping[str, Detections],
    ctx: StepContext,
) -> None:
    """Find the boxes of every picture, write them into the rows, and measure them."""
    measured: dict[str, Measured] = {}
    sources = ("predicted", "crossfit") if component.crossfit is not None else ("predicted",)
    header = replace(dataset.header, searched=tuple(f"{source}:{ctx.uses}" for source in sources))
    classes = classes_of(component, dataset)
    found = detect(fitted, dataset, classes, ctx, "detecting")
    with DatasetWriter(ctx.folder, header) as writer, ComparedWriter(ctx.folder, header.searched) as compared:
        for start in range(0, len(dataset), BATCH):
            rows = dataset.table.slice(start, BATCH).to_pylist()
            for row, (one, size) in zip(rows, found, strict=False):
                given = row["boxes"] or []
                of_split = measured.setdefault(row["split"], Measured())
                row["boxes"] = [*given, *sure_boxes(one, f"predicted:{ctx.uses}", component)]
                if component.crossfit is not None and row["split"] == "train":
                    # A detector that does not learn was trained on none of them.
                    unseen = crossfit[row["id"]] if component.learns() else one
                    row["boxes"] += sure_boxes(unseen, f"crossfit:{ctx.uses}", component)
                of_split.count(compared.add(row, size), size)
                if given or row["empty"]:
                    of_split.truth.append(truth_of(given, row["label"], component.per_class))
                    of_split.found.append(one)
            writer.write(pa.RecordBatch.from_pylist(rows, schema=dataset.schema))
    assert next(found, None) is None  # and lets the progress come to its end
    for name in ("train", "val", "test"):
        if name in measured:
            report(measured[name], name, component, classes, ctx)
