"""What every section is made of: an article for each step, with its metrics and curves whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import Metric
from fgic_core.report import charts_training as draw
from fgic_core.report.figures import SMALL, Chart, Figures
from fgic_core.report.numbers import DASH, label
from fgic_core.report.pictures import Album, Picture
from fgic_core.report.view import RunView, StepView


@dataclass(frozen=True)
class ReportContext:
    """What a section is made with.

    Attributes:
        run: the run folder, read.
        figures: draws charts.
        album: makes pictures small and puts them into the page.
    """

    run: RunView
    figures: Figures
    album: Album


@dataclass
class Article:
    """One step's article in a section.

    Attributes:
        step: the step.
        template: the template that shows what is below the charts, as ``package/file``, such as
            ``fgic_segment/section.html.j2``.
        aside: the template that stands among the charts; empty for none.
        content: what these templates show, by name.
        charts: shown before the content.
        metrics: the table of numbers.
        notices: what could not be shown, and why.
    """

    step: StepView
    template: str = ""
    aside: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A section of the page; absent where it has no articles."""

    anchor: str
    title: str
    lead: str
    articles: list[Article]
    charts: list[Chart] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    """A picture with the words below it."""

    picture: Picture
    title: str
    about: str = ""


Builder = Callable[[StepView, ReportContext, Article], None]


def article(step: StepView, report: ReportContext, template: str, build: Builder) -> Article:
    """A step's article: its numbers and curves, then what ``build`` adds.

    Args:
        step: the step; report: see `ReportContext`.
        template: shows what ``build`` puts into ``content``; see `Article`.
        build: adds charts, content and notices to the article. It is not called for a step without an artifact.

    A step that cannot be shown in full is shown as far as it goes, with the reason.
    """
    made = Article(step, metrics=step.metrics)
    if step.artifact is None:
        return made
    made.charts.extend(curves(step, report))
    settings = curves(step, report, settings=True)
    try:
        build(step, report, made)
        made.template = template if made.content else ""
    except Exception as error:  # an artifact may come from any plugin; its numbers are shown all the same
        made.notices.append(f"{NO_PART}: {type(error).__name__}: {error}")
    made.charts.extend(settings)
    return made


#: How a notice begins of what a kind fails to show of a step.
NO_PART = "A part of this step cannot be shown"
#: The curves that are shown first.
_FIRST = ("accuracy", "mAP", "mAP50", "mAP75", "FID", "KID", "loss")


def curves(step: StepView, report: ReportContext, *, settings: bool = False) -> list[Chart]:
    """A chart for each quantity that was followed over the epochs, accuracy and loss first; or for what was set."""
    losses = [point for point in step.curves if point.name.startswith("loss_")]
    names = sorted(
        {
            point.name
            for point in step.curves
            if (point.name in draw.SETTINGS) == settings and not point.name.startswith("loss_")
        },
        key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name),
    )
    charts = []
    for name in names:
        points = [point for point in step.curves if point.name == name]
        last = {point.split: point.value for point in sorted(points, key=lambda point: point.epoch)}
        said = ", ".join(f"{split} {value:.3g}".strip() for split, value in last.items())
        charts.append(
            report.figures.draw(
                f"{step.slug}-curve-{''.join(c if c.isalnum() else '-' for c in name)}",
                draw.curve(name, points),
                f"{label(name)} over the epochs of step {step.name}; at the end: {said}.",
                size=(SMALL[0], 1.9) if settings else SMALL,
                caption=_caption(step, name, last.keys()),
            )
        )
    if losses and not settings:
        said = ", ".join(sorted({point.name for point in losses}))
        alt = f"{draw.loss_title(losses)} over the epochs of step {step.name}: {said}."
        caption = "They work against each other: neither has to fall for the pictures to become better."
        charts.append(
            report.figures.draw(
                f"{step.slug}-curve-loss-parts",
                draw.loss_parts(losses),
                alt,
                caption=caption if draw.adversarial(losses) else "",
            )
        )
    return charts


def _caption(step: StepView, name: str, splits: AbstractSet[str]) -> str:
    """What a reader must know beside a curve."""
    if "test" in splits:
        return "The test curve is drawn and was never used to choose."
    if name not in ("FID", "KID") or "" not in splits:
        return ""
    few = step.artifact.options.get("curve_samples") if step.artifact else None
    of = f"Of the same {few} pictures" if isinstance(few, int) else "Of the same few pictures"
    if name == "KID":
        return f"{of} at every epoch; less is better."
    return f"{of} at every epoch; less is better. The fewer pictures, the higher FID: compare along the line alone."


def table(path: Path) -> Any:
    """An artifact's Parquet file as an Arrow table."""
    import pyarrow.parquet as pq

    return pq.read_table(path)


def rows_by_id(dataset: Any, ids: list[str]) -> dict[str, int]:
    """The rows of a data set (None has none) that hold these samples."""
    if dataset is None or not ids:
        return {}
    import pyarrow as pa
    import pyarrow.compute as pc

    column = dataset.table.column("id").combine_chunks()
    found = pc.index_in(pa.array(ids, pa.string()), value_set=column).to_pylist()
    return {name: row for name, row in zip(ids, found, strict=True) if row is not None}


def name_of(classes: tuple[str, ...], label: int | None) -> str:
    """A class's name; its number where the names are not known."""
    if label is None:
        return DASH
    return classes[label] if 0 <= label < len(classes) else f"class {label}"
