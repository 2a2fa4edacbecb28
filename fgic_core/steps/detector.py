"""Drives a Detector: has it learn, finds the boxes of every picture, and measures them against the annotated ones."""

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
from fgic_core.data.dataset import BATCH, SCHEMA, Dataset, DatasetWriter
from fgic_core.errors import PluginError
from fgic_core.interfaces.detector import Detections, Detector, FittedDetector
from fgic_core.steps import detector_rows, detector_training
from fgic_core.steps.context import StepContext
from fgic_core.steps.detector_figures import Measured, report
from fgic_core.steps.detector_ruler import Ruler, classes_of, detect, truth_of
from fgic_core.steps.snapshots import Snapshots

if TYPE_CHECKING:
    from torch import nn

_EDGES = ("x1", "y1", "x2", "y2")


def run(component: Detector, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write the input's data set with the found boxes beside the annotated ones.

    Boxes of an earlier detector go: two detectors' scores cannot be compared. Beside the rows, ``boxes.parquet`` holds
    for each sample the boxes that cropping would use and their overlap (`fgic_core.data.boxes.COMPARED`), and
    ``component/`` the trained detector with the digests of the pictures that it has seen.

    Raises:
        DataError: a detector that trains is given no annotated box to learn from, or its weights have seen test
            pictures.
        PluginError: the detector breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    data = learned_from(component, dataset)
    fit(component, data, ctx)
    crossfit = _crossfit(component, dataset, data, ctx)
    fitted = component.load(ctx.folder / "component", ctx.device)
    use(component, fitted, dataset, ctx, crossfit)


def learned_from(component: Detector, dataset: Dataset) -> Dataset:
    """The rows that a detector learns from and is chosen by, and of them what is read (`detector_rows.READS`).

    Train pictures that are not annotated are left out, those with crowds alone, and those that are test pictures too;
    of the validation part those that are not annotated, and all of it where it has no object. No row is of the test
    part. A detector that does not learn is given none.

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
    train, val = detector_training.parts(component, data, ctx)
    ruler = Ruler.of(component, "val", val)

    def measure(fitted: Any, epoch: int) -> dict[str, dict[str, float]]:
        _check_fitted(fitted, "evaluate was given", ctx)
        scores = ruler.measure(fitted, epoch, ctx)
        return {"val": scores} if scores else {}

    ctx.measure_by(measure)
    fitted = component.for_fit().fit(train, val, ctx)
    _check_fitted(fitted, "fit gave", ctx)
    detector_training.save(component, fitted, train, val, data, ctx)
    ctx.snapshots.move_to(ctx.folder / "snapshots")
    return fitted


def _check_fitted(fitted: Any, given: str, ctx: StepContext) -> None:
    """Raises PluginError where it is not what `Detector.fit` should give."""
    if not isinstance(fitted, FittedDetector):
        raise PluginError(f"{given} a {type(fitted).__name__}, not a FittedDetector", where=ctx.uses)


def _crossfit(component: Detector, dataset: Dataset, data: Dataset, ctx: StepContext) -> dict[str, Detections]:
    """The boxes of each train picture, by id, found by a detector that was not trained on it."""
    found: dict[str, Detections] = {}
    for fold in detector_training.crossfit_folds(component, dataset, data, ctx):
        with ctx.part(fold.name) as part:
            fit(component, fold.data, part)
            opened = component.load(part.folder / "component", part.device)
            seen = detect(opened, fold.members, classes_of(component, dataset), part, "detecting")
            for sample, (detections, _) in zip(fold.members.ids, seen, strict=True):
                found[sample] = detections
    return found


def use(
    component: Detector,
    fitted: FittedDetector,
    dataset: Dataset,
    ctx: StepContext,
    crossfit: Mapping[str, Detections] | None = None,
    learned: Path | None = None,
) -> None:
    """Find the boxes of every picture, write them into the rows, and measure them; draw the test curve.

    Args:
        component: says which boxes are sure enough.
        fitted: finds them.
        dataset: all of it.
        ctx: of the step.
        crossfit: with cross-fitting, what was found in each train picture by a detector that has not seen it, by id.
        learned: the folder that `fit` wrote into; the context's own by default.

    Raises:
        PluginError: the detector breaks its contract.
    """
    for note in dataset.header.notes:
        ctx.warn(note)
    detector_rows.remark(component, dataset, ctx)
    _test_curve(component, fitted, dataset, Snapshots((learned or ctx.folder) / "snapshots"), ctx)
    _write(component, fitted, detector_rows.without_found(dataset), crossfit or {}, ctx)


def _test_curve(
    component: Detector, fitted: FittedDetector, dataset: Dataset, snapshots: Snapshots, ctx: StepContext
) -> None:
    """Average precision on the test part at each epoch that a snapshot was kept of."""
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
                ctx.add_point(Point(epoch=epoch, part="test", name=name, value=value))
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
                part = measured.setdefault(row["split"], Measured())
                row["boxes"] = [*given, *_rows(one, f"predicted:{ctx.uses}", component)]
                if component.crossfit is not None and row["split"] == "train":
                    # A detector that does not learn was trained on none of them.
                    unseen = crossfit[row["id"]] if component.learns() else one
                    row["boxes"] += _rows(unseen, f"crossfit:{ctx.uses}", component)
                part.count(compared.add(row, size), size)
                if given or row["empty"]:
                    part.truth.append(truth_of(given, row["label"], component.per_class))
                    part.found.append(one)
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    assert next(found, None) is None  # and lets the progress come to its end
    for name in ("train", "val", "test"):
        if name in measured:
            report(measured[name], name, component, classes, ctx)


def _rows(found: Detections, origin: str, component: Detector) -> list[dict[str, Any]]:
    """The boxes that are sure enough, as elements of the `boxes` column."""
    return [
        {
            **dict(zip(_EDGES, map(float, box), strict=True)),
            "label": int(label) if component.per_class else None,
            "score": float(score),
            "crowd": False,
            "origin": origin,
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        if score >= component.min_score
    ]
