"""Explanations: the pointing game against its baselines, and maps over pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgic_core.report import charts as draw
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import OF_TRAIN, amount, is_of_train, label
from fgic_core.report.pictures import Picture
from fgic_core.report.section import Part, Section, Studio, name_of, part, table
from fgic_core.report.view import StepView

EACH = 8
#: The pointing games, and in whose box the peak should lie.
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


def section(studio: Studio) -> Section:
    """The section of all explainer steps."""
    parts = [part(step, studio, "explanations", _build) for step in studio.run.of_type("explanations")]
    lead = "Maps of how much each place of a picture speaks for a class, over the network's input."
    return Section("explanations", "Explanations", lead, parts)


def _build(step: StepView, studio: Studio, made: Part) -> None:
    made.charts.extend(
        chart for name, whose in _GAMES.items() if (chart := _game(step, studio, name, whose)) is not None
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
    classes = studio.run.classes(step)
    made.content = {
        "n": len(rows),
        "groups": [
            (
                title,
                len(chosen),
                [_overlay(step, studio, index, rows[index], classes) for index in _spread(chosen, EACH)],
            )
            for title, chosen in (("Right predictions", right), ("Wrong predictions", wrong))
        ],
    }
    if not rows:
        made.notices.append("No picture was explained.")


def _game(step: StepView, studio: Studio, name: str, whose: str) -> Chart | None:
    """A pointing game beside its baselines; None where it was not played."""
    titles = ((name, "this explainer"), (f"{name}_center", "centre point"), (f"{name}_random", "random point"))
    games = [(title, metric) for of, title in titles if (metric := step.metric(of)) is not None]
    if not games:
        return None
    said = "; ".join(f"{title} {amount(metric)}" for title, metric in games)
    return studio.figures.draw(
        f"{step.slug}-{name.replace('_', '-').removesuffix('-game')}",
        draw.intervals(games, f"Does the map's peak lie in {whose}?"),
        f"{label(name)} of step {step.name}: {said}.",
        size=(4.7, 0.9 + 0.36 * len(games)),
        caption="Bars are 95 % intervals. Where boxes fill the input, as in crops, any point hits often.",
    )


def _overlay(step: StepView, studio: Studio, index: int, row: dict[str, Any], classes: tuple[str, ...]) -> Overlay:
    right, predicted, target = (name_of(classes, row.get(key)) for key in ("label", "predicted", "target"))
    file = f"{index:04d}.png"
    return Overlay(
        studio.album.file(step.folder / "inputs" / file, f"{row['id']}: the network's input"),
        studio.album.file(step.folder / "overlays" / file, f"{row['id']}: the map for {target} over the input"),
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
