"""Explanations: the pointing game against its baselines, and maps over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fgic_core.report import charts as draw
from fgic_core.report.cards import Card, best
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import OF_TRAIN, amount, is_of_train, label, percent, with_interval
from fgic_core.report.pictures import Picture
from fgic_core.report.section import Article, ReportContext, Section, article, name_of, table
from fgic_core.report.view import StepView

EACH = 8
#: The pointing games, and in whose box the peak should lie.
_WHERE = {"pointing_game": "the object's box", "pointing_detected": "the box that a detector found"}
_GAMES = {"pointing_game": "the object's box", "pointing_detected": "the detector's box"}


@dataclass(frozen=True)
class Overlay:
    """A network's input and the map over it."""

    input: Picture
    overlay: Picture
    id: str
    label: str
    predicted: str
    target: str
    hit: bool | None
    boxes_of: str


def section(steps: Sequence[StepView], report: ReportContext) -> Section:
    """The section of all explainer steps."""
    articles = [article(step, report, f"{__package__}/section.html.j2", _build) for step in steps]
    lead = "Maps of how much each place of a picture speaks for a class, over the network's input."
    return Section("explanations", "Explanations", lead, articles)


def card(step: StepView) -> Card | None:
    """The key number: a pointing game beside its baselines, for on crops any point hits often."""
    found = best(step)
    if found is None or found.metric.name not in _GAMES:
        return found
    beside = ", ".join(f"{title} {percent(value)}" for title, value in _baselines(step, found.metric.name))
    return replace(found, title=label(found.metric.name), beside=beside or found.beside)


def clause(card: Card) -> str:
    """The key number in words."""
    name = card.metric.name
    if name not in _GAMES or card.metric.value is None:
        return card.words()
    said = " and ".join(f"{percent(value)} for the {title}" for title, value in _baselines(card.step, name))
    beside = f", beside {said}" if said else ""
    return f"the map's peak lies in {_WHERE[name]} in {with_interval(card.metric)} of the pictures{beside}"


def _baselines(step: StepView, game: str) -> list[tuple[str, float | None]]:
    names = (("centre", f"{game}_center"), ("random point", f"{game}_random"))
    return [(title, found.value) for title, name in names if (found := step.metric(name)) is not None]


def _build(step: StepView, report: ReportContext, made: Article) -> None:
    made.charts.extend(
        chart for name, whose in _GAMES.items() if (chart := _game(step, report, name, whose)) is not None
    )
    if any(is_of_train(metric) for metric in step.metrics):
        made.notices.append(OF_TRAIN)
    for metric in step.metrics:
        if metric.name == "pointing_game" and metric.value is None:
            made.notices.append(f"The pointing game was not computed: {metric.note or 'no reason is given'}.")
    path = step.folder / "explanations.parquet"
    if not path.exists():
        made.notices.append("This step kept no table of its maps, so they are not shown.")
        return
    rows = table(path).to_pylist()
    right = [index for index, row in enumerate(rows) if row["label"] == row["predicted"]]
    wrong = [index for index, row in enumerate(rows) if row["label"] != row["predicted"]]
    classes = report.run.classes(step)
    made.content = {
        "n": len(rows),
        "groups": [
            (
                title,
                len(chosen),
                [_overlay(step, report, index, rows[index], classes) for index in _spread(chosen, EACH)],
            )
            for title, chosen in (("Right predictions", right), ("Wrong predictions", wrong))
        ],
    }
    if not rows:
        made.notices.append("No picture was explained.")


def _game(step: StepView, report: ReportContext, name: str, whose: str) -> Chart | None:
    """A pointing game beside its baselines; None where it was not played."""
    titles = ((name, "this explainer"), (f"{name}_center", "centre point"), (f"{name}_random", "random point"))
    games = [(title, metric) for of, title in titles if (metric := step.metric(of)) is not None]
    if not games:
        return None
    said = "; ".join(f"{title} {amount(metric)}" for title, metric in games)
    return report.figures.draw(
        f"{step.slug}-{name.replace('_', '-').removesuffix('-game')}",
        draw.intervals(games, f"Does the map's peak lie in {whose}?"),
        f"{label(name)} of step {step.name}: {said}.",
        size=(4.7, 0.9 + 0.36 * len(games)),
        caption="Bars are 95 % intervals. Where boxes fill the input, as in crops, any point hits often.",
    )


def _overlay(
    step: StepView, report: ReportContext, index: int, row: dict[str, Any], classes: tuple[str, ...]
) -> Overlay:
    right, predicted, target = (name_of(classes, row.get(key)) for key in ("label", "predicted", "target"))
    file = f"{index:04d}.png"
    return Overlay(
        report.album.file(step.folder / "inputs" / file, f"{row['id']}: the network's input"),
        report.album.file(step.folder / "overlays" / file, f"{row['id']}: the map for {target} over the input"),
        row["id"],
        right,
        predicted,
        target,
        row.get("hit"),
        "detector's box" if row.get("boxes_of") == "detected" else "box",
    )


def _spread(items: list[int], count: int) -> list[int]:
    """So many of the items, evenly from first to last."""
    if len(items) <= count:
        return items
    return [items[index * len(items) // count] for index in range(count)]
