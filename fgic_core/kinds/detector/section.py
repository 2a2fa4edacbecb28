"""What a detector found: how well its boxes fit, and where they fit worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.boxes import IOU, read_compared
from fgic_core.data.dataset import Dataset
from fgic_core.report import charts as draw
from fgic_core.report.figures import Chart
from fgic_core.report.section import Example, ReportContext, name_of, rows_by_id
from fgic_core.report.view import StepView

WORST, ALARMS = 12, 6


@dataclass(frozen=True)
class Detected:
    """What a detector adds to a data set's section.

    Attributes:
        chart: how well the boxes fit; None where no picture has an annotated box.
        worst: the test pictures (or those of another split) whose box fits worst, below IoU 0.5.
        pictures: how many there are of these.
        alarms: empty pictures of that split in which something was found, the surest first.
        alarm_pictures: how many there are of these.
    """

    chart: Chart | None
    worst: list[Example]
    pictures: int
    alarms: list[Example]
    alarm_pictures: int


def part_of(step: StepView, dataset: Dataset, report: ReportContext) -> Detected | None:
    """What ``boxes.parquet`` of a detector's step says; None where the step has none."""
    table = read_compared(step.folder) if step.record.uses.startswith("detector/") else None
    if table is None:
        return None
    values = _overlaps(table)
    alarms = _alarms(table, dataset, report)
    if not values:
        return Detected(None, [], 0, *alarms)
    said = ", ".join(f"{name} {(found >= IOU).mean():.0%}" for name, found in values.items())
    chart = report.figures.draw(
        f"{step.slug}-overlap",
        draw.overlaps(values),
        f"Share of pictures by overlap of the found with the annotated box in step {step.name}; at IoU 0.5: {said}.",
        caption="The most confident box against the largest annotated one; 0 where none was found.",
    )
    worst, pictures = _worst(table, dataset, report)
    return Detected(chart, worst, pictures, *alarms)


def _overlaps(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    values: dict[str, np.ndarray[Any, Any]] = {}
    for split in ("train", "val", "test"):
        rows = table.filter(pc.equal(table.column("split"), split))
        for column, name in (("iou", split), ("crossfit_iou", f"{split}, cross-fitted")):
            found = rows.column(column).drop_null().to_numpy()
            if len(found):
                values[name] = found
    return values


def _worst(table: pa.Table, dataset: Dataset, report: ReportContext) -> tuple[list[Example], int]:
    """Pictures whose box misses the object, the worst first; of the test split where there is one."""
    for split in ("test", "val", "train"):
        rows = table.filter(pc.and_(pc.equal(table.column("split"), split), pc.is_valid(table.column("iou"))))
        if len(rows):
            break
    missed = rows.filter(pc.less(rows.column("iou"), IOU))
    order = np.argsort(missed.column("iou").to_numpy(), kind="stable")[:WORST]
    chosen = missed.take(order).to_pylist()
    places = rows_by_id(dataset, [row["id"] for row in chosen])
    found = []
    for row in chosen:
        title = "no box found" if row["predicted"] is None else f"IoU {row['iou']:.2f}, score {row['score']:.2f}"
        breed = name_of(dataset.classes, row["label"])
        picture = report.album.whole(dataset, places[row["id"]], f"{breed}, {row['id']}: {title}")
        found.append(Example(picture, title, f"{row['split']} · {row['id']}"))
    return found, len(missed)


def _alarms(table: pa.Table, dataset: Dataset, report: ReportContext) -> tuple[list[Example], int]:
    """Empty pictures in which something was found, the surest first; of the test split where it has empty ones."""
    empty = table.filter(table.column("empty"))
    for split in ("test", "val", "train"):
        rows = empty.filter(pc.equal(empty.column("split"), split))
        if len(rows):
            break
    found = rows.filter(pc.greater(rows.column("detections"), 0))
    order = np.argsort(-found.column("score").to_numpy(), kind="stable")[:ALARMS]
    chosen = found.take(order).to_pylist()
    places = rows_by_id(dataset, [row["id"] for row in chosen])
    shown = []
    for row in chosen:
        title = f"score {row['score']:.2f}"
        picture = report.album.whole(dataset, places[row["id"]], f"{row['id']}, an empty picture: {title}")
        shown.append(Example(picture, title, f"{row['split']} · {row['id']}"))
    return shown, len(found)
