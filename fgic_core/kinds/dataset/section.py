"""Data sets: counts, example pictures with boxes and parts, crops, duplicates, skipped pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.dataset import Dataset
from fgic_core.kinds.detector import section as detection
from fgic_core.kinds.generator import section as generation
from fgic_core.metrics.statistics import pick_evenly
from fgic_core.report import charts as draw
from fgic_core.report.charts import MANY_CLASSES
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import plural
from fgic_core.report.section import Article, Example, ReportContext, Section, article, name_of, rows_by_id, table
from fgic_core.report.view import StepView

EXAMPLES, CROPS, PAIRS, SKIPPED, MADE = 12, 6, 6, 50, 12
#: Examples are picked from at most about this many rows, so that a million rows cost no time.
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Pair:
    """Two pictures side by side."""

    left: Example
    right: Example
    about: str = ""


def section(steps: Sequence[StepView], report: ReportContext) -> Section:
    """The section of all steps that give a data set: readers, detectors, croppers, generators."""
    articles = [article(step, report, f"{__package__}/section.html.j2", _build) for step in steps]
    return Section("data", "Data", "", articles)


def _build(step: StepView, report: ReportContext, made: Article) -> None:
    dataset = report.run.dataset(step)
    if dataset is None:
        made.notices.append("The rows of this data set cannot be read, so its pictures are not shown.")
        return
    source = report.run.source(step, "dataset")
    before = report.run.dataset(source)
    made_here = generation.is_generator(step)
    counts = _counts(dataset)
    same = before is not None and _equal(counts, _counts(before))
    if counts and not same:
        made.charts.insert(len(made.charts) if made_here else 0, _count_chart(step, report, counts, dataset.classes))
    viewed = any(_differ(dataset, before, column) for column in ("region", "masked"))
    cropped = _occurs(dataset, "region") and not made_here and viewed
    changed = not made_here and _differ(dataset, before, "boxes")
    found = detection.part_of(step, dataset, report) if changed and before is not None else None
    if found is not None and found.chart is not None:
        made.charts.append(found.chart)
    generated = generation.part_of(step, dataset, before, report, made.notices) if made_here else None
    if generated is not None:
        made.charts.extend(generated.charts)
    crops = _crops(dataset, report) if cropped else []
    examples = _examples(dataset, report) if changed and not cropped else []
    shown = [example.picture for example in examples]
    said = step.metric("samples") is not None
    made.content = {
        "total": None if said else [(split, int(values.sum())) for split, values in counts.items()],
        "classes": len(dataset.classes),
        "same_as": source.name if same and source is not None else "",
        "box_origins": _box_origins(dataset) if changed else [],
        "region_origins": _origins(dataset, "region_origin") if cropped else [],
        "examples": examples,
        "worst": found.worst if found is not None else [],
        "worst_of": found.pictures if found is not None else 0,
        "alarms": found.alarms if found is not None else [],
        "alarms_of": found.alarm_pictures if found is not None else 0,
        "annotated": any(box.is_annotated for picture in shown for box in picture.boxes),
        "predicted": any(not box.is_annotated for picture in shown for box in picture.boxes),
        "parts": any(picture.parts for picture in shown),
        "crops": crops,
        "masked": bool(crops) and bool(pc.any(dataset.table.column("masked")).as_py()),
        "synthetic": _synthetic(dataset, report) if _grown(dataset, before) and not made_here else [],
        "generation": generated.content if generated is not None else None,
        "duplicates": _duplicates(step, dataset, report),
        "skipped": dataset.header.skipped[:SKIPPED] if before is None else (),
        "skipped_more": max(len(dataset.header.skipped) - SKIPPED, 0),
        "notes": dataset.header.notes if before is None else (),
    }
    if not said or same or made.content["box_origins"] or made.content["region_origins"]:
        made.aside = f"{__package__}/aside.html.j2"


def _counts(dataset: Dataset) -> dict[str, np.ndarray[Any, Any]]:
    """Pictures of each class, by split; synthetic ones of train apart."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for split in dataset.splits:
        rows_of = dataset.split(split)  # type: ignore[arg-type]
        found[split] = np.bincount(rows_of.labels, minlength=len(dataset.classes))
        if split == "train" and len(rows := generation.synthetic(rows_of)):
            made = np.bincount(rows_of.labels[rows], minlength=len(dataset.classes))
            found |= {split: found[split] - made, "synthetic": made}
    return found


def _differ(dataset: Dataset, before: Dataset | None, column: str) -> bool:
    return before is None or not before.table.column(column).equals(dataset.table.column(column))


def _grown(dataset: Dataset, before: Dataset | None) -> bool:
    return before is None or len(before) != len(dataset)


def _equal(counts: dict[str, np.ndarray[Any, Any]], others: dict[str, np.ndarray[Any, Any]]) -> bool:
    return counts.keys() == others.keys() and all(np.array_equal(counts[split], others[split]) for split in counts)


def _count_chart(
    step: StepView, report: ReportContext, counts: dict[str, np.ndarray[Any, Any]], classes: tuple[str, ...]
) -> Chart:
    totals = ", ".join(f"{split} {int(values.sum())}" for split, values in counts.items())
    height = 1.3 + 0.21 * len(classes) if len(classes) <= MANY_CLASSES else 3.0
    return report.figures.draw(
        f"{step.slug}-counts",
        draw.class_counts(counts, classes),
        f"Pictures per class and split in step {step.name}: {plural(len(classes), 'class', 'classes')}; {totals}.",
        size=(4.7, max(height, 2.4)),
    )


def _pick(dataset: Dataset, count: int) -> list[int]:
    """Rows spread evenly over the classes, the same at every time."""
    stride = max(len(dataset) // _LOOKED_AT, 1)
    chosen = pick_evenly(dataset.labels[::stride], count, np.random.default_rng(0)) * stride
    labels = dataset.labels[chosen]
    return [int(row) for row in chosen[np.argsort(labels, kind="stable")]]


def _examples(dataset: Dataset, report: ReportContext) -> list[Example]:
    rows = _pick(dataset, EXAMPLES)
    found = []
    for row in rows:
        sample = dataset[row]
        title = name_of(dataset.classes, sample.label)
        found.append(
            Example(report.album.whole(dataset, row, f"{title}, {sample.id}"), title, f"{sample.split} · {sample.id}")
        )
    return found


def _crops(dataset: Dataset, report: ReportContext) -> list[Pair]:
    held = np.flatnonzero(pc.is_valid(dataset.table.column("region")).to_numpy(zero_copy_only=False))
    pairs = []
    for row in (int(held[index]) for index in _pick(dataset.take(held), CROPS)):
        sample = dataset[row]
        title = name_of(dataset.classes, sample.label)
        whole = report.album.whole(dataset, row, f"{title}, the whole picture with its region", region=True)
        what = "masked" if sample.masked else "crop"
        view = report.album.shown(dataset, row, f"{title}, {'masked' if sample.masked else 'the crop'}")
        pairs.append(Pair(Example(whole, title, sample.id), Example(view, what, sample.region_origin or "")))
    return pairs


def _synthetic(dataset: Dataset, report: ReportContext) -> list[Example]:
    rows = generation.synthetic(dataset)
    found = []
    for row in (int(rows[index]) for index in _pick(dataset.take(rows), MADE)) if len(rows) else ():
        sample = dataset[row]
        title = name_of(dataset.classes, sample.label)
        found.append(Example(report.album.shown(dataset, row, f"{title}, a synthetic picture"), title, sample.origin))
    return found


def _occurs(dataset: Dataset, column: str) -> bool:
    return bool(dataset.table.column(column).null_count < len(dataset))


def _origins(dataset: Dataset, column: str) -> list[tuple[str, int]]:
    values = dataset.table.column(column).cast(pa.string())
    return _by_count(pc.value_counts(values).to_pylist(), "whole picture")


def _box_origins(dataset: Dataset) -> list[tuple[str, int]]:
    boxes = pc.list_flatten(dataset.table.column("boxes"))
    return _by_count(pc.value_counts(pc.struct_field(boxes, "origin")).to_pylist(), "unknown")


def _by_count(rows: list[dict[str, Any]], missing: str) -> list[tuple[str, int]]:
    counted = Counter({row["values"] or missing: row["counts"] for row in rows})
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _duplicates(step: StepView, dataset: Dataset, report: ReportContext) -> dict[str, Any] | None:
    """Pairs of pictures that are the same or look the same; those across splits first."""
    path = step.folder / "duplicates.parquet"
    if not path.exists():
        return None
    unsought = next(
        (metric.note for metric in step.metrics if metric.name == "duplicates" and metric.value is None), None
    )
    found = table(path)
    across = pc.not_equal(found.column("a_split"), found.column("b_split"))
    chosen = pa.concat_tables([found.filter(across), found.filter(pc.invert(across))]).slice(0, PAIRS).to_pylist()
    rows = rows_by_id(dataset, [name for row in chosen for name in (row["a"], row["b"])])

    def example(row: dict[str, Any], side: str) -> Example:
        name, split = row[side], row[f"{side}_split"]
        return Example(report.album.shown(dataset, rows.get(name), f"{name} ({split})"), split, name)

    pairs = [
        Pair(
            example(row, "a"),
            example(row, "b"),
            "equal files" if row["kind"] == "exact" else f"they look the same (distance {row['distance']} of 64)",
        )
        for row in chosen
    ]
    kinds = _by_count(pc.value_counts(found.column("kind")).to_pylist(), "unknown")
    return {
        "pairs": pairs,
        "count": len(found),
        "across": pc.sum(across).as_py() or 0,
        "kinds": kinds,
        "unsought": unsought,
    }
