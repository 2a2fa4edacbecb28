"""Classifiers: curves, accuracies with intervals, confusions, mistakes, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fgic_core.metrics.statistics import proportion
from fgic_core.report import charts as draw
from fgic_core.report.cards import Card, best
from fgic_core.report.charts import MANY_CLASSES
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import percent, plural
from fgic_core.report.pictures import Picture
from fgic_core.report.section import Article, ReportContext, Section, article, name_of, rows_by_id, table
from fgic_core.report.view import StepView

MISTAKES, CONFUSED = 12, 10
#: From so many times the share of a guess on, that of the most frequent class is named too.
IMBALANCED = 1.5


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction."""

    picture: Picture
    id: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Confused:
    """How often one class was taken for another."""

    label: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True)
class _Test:
    """The predictions on the test split, a row for each sample."""

    ids: list[str]
    labels: np.ndarray[Any, Any]
    predicted: np.ndarray[Any, Any]
    confidence: np.ndarray[Any, Any]


def section(steps: Sequence[StepView], report: ReportContext) -> Section:
    """The section of all classifier steps."""
    articles = [article(step, report, f"{__package__}/section.html.j2", _build) for step in steps]
    return Section("classifier", "Classifier" if len(articles) < 2 else "Classifiers", "", articles)


def card(step: StepView) -> Card | None:
    """The key number, beside that of guessing and, where classes are of unequal size, of the most frequent class."""
    found = best(step)
    if found is None or found.metric.value is None or found.metric.name != "accuracy":
        return found
    split = found.metric.split
    if (classes := step.metric("classes", split)) is None or not classes.value:
        return found
    guess, most = 1 / classes.value, step.metric("majority_accuracy", split)
    common = most is not None and most.value is not None and most.value >= IMBALANCED * guess
    frequent = f", most frequent class {percent(most.value)}" if most and common else ""
    return replace(found, beside=f"guessing {percent(guess)}{frequent}")


def clause(card: Card) -> str:
    """The key number in words."""
    classes = card.step.metric("classes", card.metric.split)
    count = int(classes.value) if classes is not None and classes.value else 0
    return card.words() + (f" over {plural(count, 'class', 'classes')}" if count else "")


def _build(step: StepView, report: ReportContext, made: Article) -> None:
    path = step.folder / "predictions.parquet"
    if not path.exists():
        made.notices.append("This step kept no predictions, so its mistakes are not shown.")
        return
    test = _read(path)
    classes = _all_classes(report.run.classes(step), test)
    made.content = {
        "n": len(test.ids),
        "wrong": int((test.labels != test.predicted).sum()),
        "mistakes": [],
        "confused": [],
    }
    if not test.ids:
        made.notices.append("There are no test predictions: the data set has no test pictures.")
        return
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(matrix, (test.labels, test.predicted), 1)
    made.charts.extend(_charts(step, report, test, matrix, classes))
    made.content["mistakes"] = _mistakes(step, report, test, classes)
    made.content["confused"] = _confused(matrix, classes)
    made.aside = f"{__package__}/aside.html.j2" if made.content["confused"] else ""


def _read(path: Any) -> _Test:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = table(path)
    rows = rows.filter(pc.equal(rows.column("split").cast(pa.string()), "test"))
    numbers = (np.asarray(rows.column(name).to_numpy()) for name in ("label", "predicted", "confidence"))
    labels, predicted, confidence = numbers
    return _Test(
        rows.column("id").cast(pa.string()).to_pylist(),
        labels.astype(int),
        predicted.astype(int),
        confidence.astype(float),
    )


def _all_classes(classes: tuple[str, ...], test: _Test) -> tuple[str, ...]:
    """The class names, made up where an artifact names fewer than it predicts."""
    most = int(max(test.labels.max(initial=-1), test.predicted.max(initial=-1))) + 1
    return classes + tuple(f"class {label}" for label in range(len(classes), most))


def _charts(
    step: StepView, report: ReportContext, test: _Test, matrix: np.ndarray[Any, Any], classes: tuple[str, ...]
) -> list[Chart]:
    charts = []
    right = np.diag(matrix)
    count = matrix.sum(axis=1)
    there = np.flatnonzero(count + matrix.sum(axis=0))
    if len(there) <= MANY_CLASSES:
        side = 2.4 + 0.22 * len(there)
        absent = len(classes) - len(there)
        caption = "Rows are true classes and columns predicted ones; shaded by the share of the row."
        if absent:
            caption += f" Without {plural(absent, 'class', 'classes')} that neither occur nor were predicted."
        charts.append(
            report.figures.draw(
                f"{step.slug}-confusion",
                draw.confusion(matrix[np.ix_(there, there)], [classes[label] for label in there]),
                f"Confusion matrix of step {step.name} on {plural(len(test.ids), 'test picture')}: "
                f"{int(right.sum())} on the diagonal.",
                size=(max(side + 0.5, 4.2), max(side, 3.4)),
                caption=caption,
                wide=len(there) > 16,
            )
        )
    held = np.flatnonzero(count)
    shares = [proportion(int(right[label]), int(count[label])) for label in held]
    values, low, high = (np.array([share[index] for share in shares]) for index in range(3))
    charts.append(
        report.figures.draw(
            f"{step.slug}-classes",
            draw.class_accuracy(values, low, high, [classes[label] for label in held]),
            f"Accuracy by class of step {step.name}, from {values.min():.0%} to {values.max():.0%}.",
            size=(4.7, max(1.2 + 0.2 * len(held), 2.8) if len(held) <= MANY_CLASSES else 2.8),
            caption="With 95 % Wilson intervals." if len(held) <= MANY_CLASSES else f"{len(held)} classes.",
        )
    )
    charts.append(
        report.figures.draw(
            f"{step.slug}-reliability",
            draw.reliability(test.confidence, test.labels == test.predicted),
            f"Share of right predictions against confidence of step {step.name}.",
            caption="Below the dotted line the classifier is surer than it should be. Ten bins of equal width.",
        )
    )
    return charts


def _mistakes(step: StepView, report: ReportContext, test: _Test, classes: tuple[str, ...]) -> list[Mistake]:
    """The wrong predictions it was surest of."""
    wrong = np.flatnonzero(test.labels != test.predicted)
    order = wrong[np.argsort(-test.confidence[wrong], kind="stable")][:MISTAKES]
    dataset = report.run.dataset(report.run.source(step, "dataset"))
    rows = rows_by_id(dataset, [test.ids[index] for index in order])
    found = []
    for index in order:
        label, predicted = name_of(classes, int(test.labels[index])), name_of(classes, int(test.predicted[index]))
        name = test.ids[index]
        picture = report.album.shown(dataset, rows.get(name), f"{name}: {label}, taken for {predicted}")
        found.append(Mistake(picture, name, label, predicted, float(test.confidence[index])))
    return found


def _confused(matrix: np.ndarray[Any, Any], classes: tuple[str, ...]) -> list[Confused]:
    """The pairs of classes that were confused most often."""
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    pairs = np.argwhere(off > 0)
    counts = off[off > 0]
    best = np.argsort(-counts, kind="stable")[:CONFUSED]
    return [
        Confused(classes[row], classes[column], int(matrix[row, column]), int(matrix[row].sum()))
        for row, column in pairs[best]
    ]
