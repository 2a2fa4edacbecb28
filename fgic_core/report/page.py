"""Puts the page together and writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from fgic_core.report import drawn as kept
from fgic_core.report.diagram import layout
from fgic_core.report.drawn import Drawn
from fgic_core.report.html import environment
from fgic_core.report.view import RunView


def write_report(run_folder: Path, store: Path | None = None, warn: Callable[[str], None] = lambda fault: None) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` of a run, whatever became of it.

    The page is one file that loads nothing from outside and runs no script. Charts and pictures are inside it. The same
    run folder gives the same bytes.

    Args:
        run_folder: holds ``run.json``.
        store: where the artifacts lie, if not where `RunRecord.read` looks for them.
        warn: told what a kind failed to show; the page says it as well.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: the folder holds no ``run.json`` that can be read.
    """
    run = RunView(Path(run_folder), store)
    drawn = _drawn(run, warn)
    jinja = environment()
    status = jinja.get_template("status.html.j2").module.status  # type: ignore[attr-defined]
    sections = drawn.sections
    for step in run.steps:
        sections = sections.replace(f"<!--status {step.slug}-->", str(status(step.record)))
    text = jinja.get_template("report.html.j2").render(
        run=run.record,
        steps=run.steps,
        # Both were made by our own templates, which escape what is not theirs.
        drawn=replace(drawn, summary=Markup(drawn.summary), sections=Markup(sections)),  # noqa: S704
        diagrams=[layout(run.steps, across=True), layout(run.steps, across=False)],
        resolved=_resolved(run.folder),
    )
    path = run.folder / "report.html"
    beside = run.folder / "report.html.new"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


def _drawn(run: RunView, warn: Callable[[str], None]) -> Drawn:
    """What the artifacts decide: from the last run of the same artifacts by the same sources, or drawn anew."""
    key = kept.key_of(run)
    found = kept.read(run, key) if key is not None else None
    if found is not None:
        for name, svg in found.figures.items():
            (run.folder / "figures").mkdir(exist_ok=True)
            (run.folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
        return found
    from fgic_core.report.drawing import draw

    made, whole = draw(run)
    for fault in made.faults:
        warn(fault)
    if key is not None and whole:
        kept.keep(run, key, made)
    return made


def _resolved(folder: Path) -> str:
    try:
        return (folder / "resolved.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
