"""What a generator made: pictures beside real ones, the nearest train pictures, and how new the pictures are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.dataset import Dataset
from fgic_core.kinds.generator import charts as draw
from fgic_core.kinds.generator import training_pictures
from fgic_core.kinds.generator.ruler import NEAREST_SHARE
from fgic_core.report.cards import Card, best
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import label as label_of
from fgic_core.report.numbers import number, percent
from fgic_core.report.pictures import Picture
from fgic_core.report.section import Example, ReportContext, name_of, rows_by_id, table
from fgic_core.report.view import StepView

#: How many classes are shown, pictures of each, and pairs of a made and a train picture; how many pairs at most are
#: there because their hashes say that they look the same.
CLASSES, REAL, MADE, NEAREST, COPIES = 8, 4, 6, 6, 3
#: Longest side of a thumbnail where many stand in a row, in pixels.
SIDE = 176
#: How a real picture fills a square, as the generator saw it, by the option `resize`.
_FITS = {"center_crop": "cover", "squash": "fill"}


@dataclass(frozen=True)
class Generated:
    """What a generator adds to a data set's section: charts, and what its template shows, by name."""

    charts: list[Chart]
    content: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A class: real train pictures and made ones."""

    name: str
    real: list[Picture]
    made: list[Picture]


@dataclass(frozen=True)
class Neighbours:
    """A made picture, its nearest train picture, and what their distance means."""

    made: Example
    train: Example
    copied: bool
    about: str


def card(step: StepView) -> Card | None:
    """The key number: FID beside that of unseen real pictures, or else how many pictures were made."""
    if (found := step.metric("FID")) is not None:
        real = step.metric("FID_real")
        return Card(label_of("FID"), found, step, f"unseen real pictures {number(real.value)}" if real else "")
    if (made := step.metric("synthetic")) is None:
        return best(step)
    return Card(label_of("synthetic"), made, step, "FID not computed" if made.value else made.note)


def is_generator(step: StepView) -> bool:
    """Whether a step made pictures."""
    return step.record.uses.startswith("generator/")


def synthetic(dataset: Dataset, before: Dataset | None = None) -> np.ndarray[Any, Any]:
    """The rows whose pictures were made, leaving out those that ``before`` has too."""
    origin = dataset.table.column("origin").cast(pa.string())
    held = pc.fill_null(pc.starts_with(origin, "synthetic"), False)
    if before is not None:
        known = before.table.column("id").combine_chunks()
        held = pc.and_(held, pc.invert(pc.is_in(dataset.table.column("id"), value_set=known)))
    return np.flatnonzero(held.to_numpy(zero_copy_only=False))


def part_of(
    step: StepView, dataset: Dataset, before: Dataset | None, report: ReportContext, notices: list[str]
) -> Generated:
    """What the files of a generator's step show; what is not there is left out.

    Args:
        before: the data set that was learned from; None where it cannot be read.
        notices: takes what could not be shown, and why.
    """
    made, unseen = (_rows(step.folder / f"{name}.parquet", notices) for name in ("made", "held_out"))
    usual = _distances(unseen)
    chart = _novelty(step, _distances(made), usual, report)
    options = step.artifact.options if step.artifact else {}
    return Generated(
        [] if chart is None else [chart],
        {
            "fit": _FITS.get(str(options.get("resize")), "contain"),
            "training": training_pictures.strip(step, dataset.classes, report, notices),
            "kinds": _kinds(dataset, before, report),
            "nearest": _nearest(made, usual, dataset, before, report),
            "made": len(made),
            "measured": bool(len(_distances(made))),
        },
    )


def _rows(path: Path, notices: list[str]) -> list[dict[str, Any]]:
    """The rows of a table of the step; none where it has no such file."""
    if not path.exists():
        return []
    try:
        return [dict(row) for row in table(path).to_pylist()]
    except (OSError, ValueError) as error:
        notices.append(f"{path.name} cannot be read: {error}")
        return []


def _distances(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """From the nearest train picture, of the rows that have one."""
    found = [row["nearest_distance"] for row in rows if row.get("nearest_distance") is not None]
    values: np.ndarray[Any, Any] = np.array([value for value in found if np.isfinite(value)], dtype=np.float64)
    return values


def _novelty(
    step: StepView, made: np.ndarray[Any, Any], usual: np.ndarray[Any, Any], report: ReportContext
) -> Chart | None:
    if not len(made) or not len(usual):
        return None
    bound = float(np.quantile(usual, NEAREST_SHARE))
    return report.figures.draw(
        f"{step.slug}-novelty",
        draw.novelty(made, usual, bound, NEAREST_SHARE),
        f"Distance from the nearest train picture in step {step.name}: median {number(float(np.median(made)))} of "
        f"synthetic pictures, {number(float(np.median(usual)))} of unseen real ones.",
        caption="Where the two overlap, pictures are as new as real ones. Far to the left are memories of train "
        "pictures, or blurred ones, which are near to everything; far to the right is what is unlike anything real. "
        "The pairs below tell which.",
    )


def _kinds(dataset: Dataset, before: Dataset | None, report: ReportContext) -> list[Kind]:
    """Classes, spread evenly, with some of their real and made pictures; none is chosen for its looks."""
    rows = synthetic(dataset, before)
    labels = dataset.labels[rows]
    there = np.unique(labels)
    train = _real_train(before)
    known = before.labels[train] if before is not None else train
    found = []
    for label in there[_evenly(len(there), CLASSES)]:
        name = name_of(dataset.classes, int(label))
        own, others = rows[labels == label], train[known == label]
        real = [
            report.album.shown(before, int(row), f"{name}, a real train picture", side=SIDE)
            for row in others[_evenly(len(others), REAL)]
        ]
        made = [
            report.album.shown(dataset, int(row), f"{name}, a synthetic picture", side=SIDE)
            for row in own[_evenly(len(own), MADE)]
        ]
        found.append(Kind(name, real, made))
    return found


def _real_train(dataset: Dataset | None) -> np.ndarray[Any, Any]:
    """The rows of real train pictures."""
    if dataset is None:
        return np.zeros(0, dtype=np.int64)
    split, origin = (dataset.table.column(name).cast(pa.string()) for name in ("split", "origin"))
    held = pc.and_(pc.equal(split, "train"), pc.equal(origin, "real"))
    return np.flatnonzero(pc.fill_null(held, False).to_numpy(zero_copy_only=False))


def _evenly(count: int, most: int) -> np.ndarray[Any, Any]:
    """At most so many positions below ``count``, from first to last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _nearest(
    made: list[dict[str, Any]],
    usual: np.ndarray[Any, Any],
    dataset: Dataset,
    before: Dataset | None,
    report: ReportContext,
) -> list[Neighbours]:
    """The made pictures that are nearest to a train picture, copies by their hash first among equals."""
    held = [row for row in made if row.get("nearest") or row.get("copy_of")]
    held.sort(key=lambda row: (_far(row), str(row["id"])))
    copies = [row for row in held if row.get("copy_of")][:COPIES]
    others = [row for row in held if row not in copies][: NEAREST - len(copies)]
    chosen = sorted([*copies, *others], key=_far)
    ours = rows_by_id(dataset, [row["id"] for row in chosen])
    theirs = rows_by_id(before, [_twin(row) for row in chosen])
    found = []
    for row in chosen:
        place, twin = ours.get(row["id"]), _twin(row)
        name = name_of(dataset.classes, None if place is None else int(dataset.labels[place]))
        other = theirs.get(twin)
        of = name if before is None or other is None else name_of(before.classes, int(before.labels[other]))
        picture = report.album.shown(dataset, place, f"{name}, a synthetic picture", side=SIDE)
        real = report.album.shown(before, other, f"{of}, the train picture nearest to it", side=SIDE)
        found.append(
            Neighbours(
                Example(picture, "synthetic", name),
                Example(real, "nearest in train", f"{of} · {twin}"),
                bool(row.get("copy_of")),
                _meaning(row, usual),
            )
        )
    return found


def _twin(row: dict[str, Any]) -> str:
    """The id of the train picture that a made one is shown beside."""
    return str(row.get("copy_of") or row["nearest"])


def _far(row: dict[str, Any]) -> float:
    found = row.get("nearest_distance")
    return float("inf") if found is None else float(found)


def _meaning(row: dict[str, Any], usual: np.ndarray[Any, Any]) -> str:
    """What a made picture's distance from its nearest train picture means."""
    if row.get("nearest_distance") is None:
        return ""
    said = f"Distance {_far(row):.3g}"
    if len(usual):
        share = float((usual <= _far(row)).mean())
        many = f"{number(len(usual))} unseen real pictures"
        return f"{said}: " + (f"{percent(share)} of {many} are as near." if share else f"none of {many} is as near.")
    if row.get("distance") is not None:
        return f"{said}, {row['distance']:.2g} times what is usual between train pictures of the class."
    return f"{said}."
