"""Explanations: the pointing game against its baselines, and maps over pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgic_core.report import charts as draw
from fgic_core.report.numbers import amount
from fgic_core.report.pictures import Picture
from fgic_core.report.sections.common import Part, Section, Studio, name_of, part, table
from fgic_core.report.view import StepView

EACH = 8


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


def section(studio: Studio) -> Section:
    """The section of all explainer steps."""
    parts = [part(step, studio, "explanations", _build) for step in studio.run.of_type("explanations")]
    lead = "Maps of how much each place of a picture speaks for a class, over the network's input."
    return Section("explanations", "Explanations", lead, parts)


def _build(step: StepView, studio: Studio, made: Part) -> None:
    games = [
        (title, metric)
        for name, title in (
            ("pointing_game", "this explainer"),
            ("pointing_game_center", "centre point"),
            ("pointing_game_random", "random point"),
        )
        if (metric := step.metric(name)) is not None
    ]
    for metric in step.metrics:
        if metric.name == "pointing_game" and metric.value is None:
            made.notices.append(f"The pointing game was not computed: {metric.note or 'no reason is given'}.")
    if games:
        said = "; ".join(f"{title} {amount(metric)}" for title, metric in games)
        made.charts.append(
            studio.figures.draw(
                f"{step.slug}-pointing",
                draw.intervals(games, "Does the map's peak lie in the object's box?"),
                f"Pointing game of step {step.name}: {said}.",
                size=(4.7, 0.9 + 0.36 * len(games)),
                caption="Bars are 95 % intervals. Where boxes fill the input, as in crops, any point hits often.",
            )
        )
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


def _overlay(step: StepView, studio: Studio, index: int, row: dict[str, Any], classes: tuple[str, ...]) -> Overlay:
    label, predicted, target = (name_of(classes, row.get(key)) for key in ("label", "predicted", "target"))
    file = f"{index:04d}.png"
    return Overlay(
        studio.album.file(step.folder / "inputs" / file, f"{row['id']}: the network's input"),
        studio.album.file(step.folder / "overlays" / file, f"{row['id']}: the map for {target} over the input"),
        row["id"],
        label,
        predicted,
        target,
        row.get("hit"),
    )


def _spread(items: list[int], count: int) -> list[int]:
    """So many of the items, evenly from first to last."""
    if len(items) <= count:
        return items
    return [items[index * len(items) // count] for index in range(count)]
