"""Drives a Detector: trains it, finds the boxes of every picture, and measures them against the annotated ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fgic_core.data.dataset import BATCH, SCHEMA, Dataset, DatasetWriter, box_row
from fgic_core.data.geometry import Box, Size
from fgic_core.data.sample import ObjectBox, Sample
from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.detector import Detections, Detector
from fgic_core.steps.context import StepContext
from fgic_core.steps.statistics import hold_out, proportion

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH_SIZE = 8
VAL_FRACTION = 0.1

#: Overlap at which a found box counts as the annotated one, as in PASCAL VOC.
IOU = 0.5


def run(component: Detector, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write the input's data set with the predicted boxes beside the annotated ones.

    Raises:
        DataError: a detector that trains is given no annotated box to learn from.
        PluginError: the detector breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    if type(component).fit is not Detector.fit:
        _fit(component, dataset, ctx)
        folder = ctx.folder / "component"
        folder.mkdir()
        component.save(folder)
    best: dict[str, list[tuple[float, bool]]] = {}
    with DatasetWriter(ctx.folder, dataset.header) as writer, ctx.progress("detecting", len(dataset)) as progress:
        for start in range(0, len(dataset), BATCH):
            chunk = Dataset(dataset.header, dataset.table.slice(start, BATCH))
            rows = chunk.table.to_pylist()
            for first in range(0, len(rows), BATCH_SIZE):
                places = range(first, min(first + BATCH_SIZE, len(rows)))
                pictures = [chunk.picture(place) for place in places]
                for place, picture, found in zip(places, pictures, _detect(component, pictures, ctx), strict=True):
                    predicted = _boxes(found, Size(*picture.size), ctx.uses)
                    rows[place]["boxes"] = [*(rows[place]["boxes"] or []), *(box_row(box) for box in predicted)]
                    best.setdefault(rows[place]["split"], []).append(_overlap(chunk[place], predicted))
                progress.advance(len(pictures))
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    _measure(best, ctx)


def _fit(component: Detector, dataset: Dataset, ctx: StepContext) -> None:
    train = dataset.split("train")
    with_box = np.array([any(box.is_annotated for box in sample.boxes) for sample in train], dtype=bool)
    if not with_box.any():
        raise DataError(
            "no train picture has an annotated box to learn from",
            hint="Use a data set with boxes, or a detector that is trained already.",
        )
    train = train.where(with_box)
    val = dataset.split("val")
    if not len(val):
        held = hold_out(train.labels, VAL_FRACTION, ctx.rng("val"))
        train, val = train.where(~held), train.where(held)
    component.fit(train, val, ctx)


def _detect(component: Detector, pictures: Sequence[Image], ctx: StepContext) -> list[Detections]:
    found = component.detect(pictures)
    if len(found) != len(pictures):
        raise PluginError(f"detect gave {len(found)} results for {len(pictures)} pictures", where=ctx.uses)
    for one in found:
        boxes, scores = np.asarray(one.boxes, dtype=float), np.asarray(one.scores, dtype=float)
        if boxes.shape != (len(scores), 4) or len(one.labels) != len(scores):
            raise PluginError(
                f"detect gave boxes of shape {boxes.shape}, {len(scores)} scores and {len(one.labels)} labels",
                where=ctx.uses,
                hint="For n objects they are (n, 4), (n,) and (n,).",
            )
        if not np.isfinite(boxes).all() or not ((scores >= 0) & (scores <= 1)).all():
            raise PluginError("detect gave a box that is not finite or a score outside [0, 1]", where=ctx.uses)
    return found


def _boxes(found: Detections, size: Size, uses: str) -> list[ObjectBox]:
    """The detections inside the picture, most confident first."""
    kept = []
    for corners, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        box = Box(*(float(edge) for edge in corners)).clip(size)
        if not box.is_empty:
            kept.append(ObjectBox(box, int(label), float(score), origin=f"predicted:{uses}"))
    return sorted(kept, key=lambda box: -(box.score or 0.0))


def _overlap(sample: Sample, predicted: Sequence[ObjectBox]) -> tuple[float, bool]:
    """IoU of the most confident box with the largest annotated one (NaN without one), and whether any was found."""
    annotated = [box.box for box in sample.boxes if box.is_annotated and not box.crowd]
    if not annotated:
        return float("nan"), bool(predicted)
    largest = max(annotated, key=lambda box: box.area)
    return (predicted[0].box.iou(largest) if predicted else 0.0), bool(predicted)


def _measure(best: dict[str, list[tuple[float, bool]]], ctx: StepContext) -> None:
    for split, results in best.items():
        overlaps = np.array([iou for iou, _ in results if not np.isnan(iou)])
        share = proportion(int((overlaps >= IOU).sum()), len(overlaps))
        if share.n:
            note = "share of pictures whose most confident box overlaps the largest annotated one by IoU >= 0.5"
            ctx.metric(
                "box_recall50",
                share.value,
                part=split,
                n=share.n,
                low=share.low,
                high=share.high,
                unit="fraction",
                note=note,
            )
            ctx.metric("mean_iou", float(overlaps.mean()), part=split, n=len(overlaps), unit="fraction")
        nothing = sum(1 for _, any_found in results if not any_found)
        ctx.metric("no_detection", nothing, part=split, n=len(results))
