"""Puts the page together and writes it."""

from __future__ import annotations

from pathlib import Path

from fgic_core.report import summary
from fgic_core.report.diagram import layout
from fgic_core.report.figures import Figures
from fgic_core.report.html import environment
from fgic_core.report.numbers import plural
from fgic_core.report.pictures import Album
from fgic_core.report.sections import dataset, explanations, model, robustness
from fgic_core.report.sections.common import Section, Studio, part
from fgic_core.report.view import RunView


def write_report(run_folder: Path, store: Path | None = None) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` of a run, whatever became of it.

    The page is one file that loads nothing from outside and runs no script. Charts and pictures are inside it. The same
    run folder gives the same bytes.

    Args:
        run_folder: holds ``run.json``.
        store: where the artifacts lie, if not where `RunRecord.read` looks for them.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: the folder holds no ``run.json`` that can be read.
    """
    run = RunView(Path(run_folder), store)
    studio = Studio(run, Figures(run.folder / "figures"), Album())
    sections = [section for section in _sections(studio) if section.parts]
    text = (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run.record,
            steps=run.steps,
            headline=summary.headline(run),
            cards=summary.cards(run),
            warnings=summary.warnings(run),
            diagrams=[layout(run.steps, across=True), layout(run.steps, across=False)],
            sections=sections,
            resolved=_resolved(run.folder),
        )
    )
    path = run.folder / "report.html"
    beside = run.folder / "report.html.new"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


def _sections(studio: Studio) -> list[Section]:
    """Data, classifiers, explanations, robustness, and the steps of kinds that this version does not know."""
    unknown = [step for step in studio.run.steps if step.type is None]
    others = [part(step, studio, "", lambda *_: None) for step in unknown]
    lead = f"{plural(len(others), 'step')} of a kind that this report knows nothing more about."
    return [
        dataset.section(studio),
        model.section(studio),
        explanations.section(studio),
        robustness.section(studio),
        Section("other", "Other steps", lead, others),
    ]


def _resolved(folder: Path) -> str:
    try:
        return (folder / "resolved.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
