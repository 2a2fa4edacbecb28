"""Draws what `fgic_core.report.drawn` keeps: this is where matplotlib, Arrow and the pictures come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module

from fgic_core.kinds.table import KINDS
from fgic_core.report import summary
from fgic_core.report.drawn import Drawn
from fgic_core.report.figures import Figures
from fgic_core.report.html import environment
from fgic_core.report.numbers import plural
from fgic_core.report.pictures import Album
from fgic_core.report.section import NO_PART as _NO_PART
from fgic_core.report.section import Article, ReportContext, Section, article
from fgic_core.report.view import RunView, StepView

#: How a notice begins of a section that its package fails to make.
_NO_SECTION = "The section of this kind cannot be shown"


def draw(run: RunView) -> tuple[Drawn, bool]:
    """Everything that the artifacts decide, and whether all of it could be had."""
    faults: list[str] = []
    figures, album = Figures(run.folder / "figures"), Album()
    sections = [section for section in _sections(ReportContext(run, figures, album)) if section.articles]
    jinja = environment()
    drawn = Drawn(
        summary.headline(run, faults),
        jinja.get_template("summary.html.j2").render(cards=summary.cards(run), warnings=summary.warnings(run)),
        _rendered(sections),
        tuple((section.anchor, section.title) for section in sections),
        {file.stem: file.read_text(encoding="utf-8") for file in figures.written},
    )
    notices = [notice for section in sections for each in section.articles for notice in each.notices]
    faults += [
        f"step {each.step.name}: {notice}"
        for section in sections
        for each in section.articles
        for notice in each.notices
        if notice.startswith((_NO_PART, _NO_SECTION))
    ]
    drawn = replace(drawn, faults=tuple(dict.fromkeys(faults)))
    return drawn, not (faults or album.lacks or any("cannot be" in notice for notice in notices))


def _rendered(sections: list[Section]) -> str:
    """The sections as HTML. A template that fails costs its article's pictures and no more."""
    whole = environment().get_template("sections.html.j2")
    try:
        return whole.render(sections=sections)
    except Exception:  # of a template that a package of somebody's brought
        for section in sections:
            for article in section.articles:
                alone = Section(section.anchor, section.title, "", [article])
                try:
                    whole.render(sections=[alone])
                except Exception as error:
                    article.template = article.aside = ""
                    article.notices.append(f"{_NO_PART}: {type(error).__name__}: {error}")
        return whole.render(sections=sections)


def _sections(report: ReportContext) -> list[Section]:
    """Those of the kinds in the order of `KINDS`, and the steps of kinds that are not installed here."""
    together: dict[str, list[StepView]] = {}
    for kind in KINDS:
        for step in report.run.steps:
            if step.kind == kind and step.row is not None:
                together.setdefault(step.row.section or kind, []).append(step)
    found = [_section(name, steps, report) for name, steps in together.items()]
    others = [_plain(step, report) for step in report.run.steps if step.row is None]
    lead = f"{plural(len(others), 'step')} of a kind that this report knows nothing more about."
    return [*found, Section("other", "Other steps", lead, others)]


def _section(name: str, steps: Sequence[StepView], report: ReportContext) -> Section:
    """The section that a kind makes; where it makes none, or its package fails, the numbers and curves of its steps."""
    kind = steps[0].kind
    articles, title = [_plain(step, report) for step in steps], f"{kind[:1].upper()}{kind[1:]}".replace("_", " ")
    if name == kind:
        return Section(kind, title, "", articles)
    try:
        made = import_module(name).section(steps, report)
        if isinstance(made, Section):
            return made
        said = f"it gave {type(made).__name__}"
    except Exception as error:  # whatever a package of somebody's does
        said = f"{type(error).__name__}: {error}"
    for one in articles:
        one.notices.append(f"{_NO_SECTION} ({name}): {said}")
    return Section(kind, title, "", articles)


def _plain(step: StepView, report: ReportContext) -> Article:
    return article(step, report, "", lambda *_: None)
