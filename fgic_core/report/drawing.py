"""Draws what `fgic_core.report.drawn` keeps: this is where matplotlib, Arrow and the pictures come in."""

from __future__ import annotations

from fgic_core.kinds.attacker import section as robustness
from fgic_core.kinds.classifier import section as model
from fgic_core.kinds.dataset import section as dataset
from fgic_core.kinds.explainer import section as explanations
from fgic_core.report import summary
from fgic_core.report.drawn import Drawn
from fgic_core.report.figures import Figures
from fgic_core.report.html import environment
from fgic_core.report.numbers import plural
from fgic_core.report.pictures import Album
from fgic_core.report.section import Section, Studio, part
from fgic_core.report.view import RunView


def draw(run: RunView) -> tuple[Drawn, bool]:
    """Everything that the artifacts decide, and whether all of it could be had."""
    figures, album = Figures(run.folder / "figures"), Album()
    sections = [section for section in _sections(Studio(run, figures, album)) if section.parts]
    jinja = environment()
    drawn = Drawn(
        summary.headline(run),
        jinja.get_template("summary.html.j2").render(cards=summary.cards(run), warnings=summary.warnings(run)),
        jinja.get_template("sections.html.j2").render(sections=sections),
        tuple((section.anchor, section.title) for section in sections),
        {file.stem: file.read_text(encoding="utf-8") for file in figures.written},
    )
    notices = [notice for section in sections for each in section.parts for notice in each.notices]
    return drawn, not (album.lacks or any("cannot be" in notice for notice in notices))


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
