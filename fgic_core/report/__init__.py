"""The report of a run: one self-contained HTML page, and its figures as files.

A kind's section is made of `Section` and `Article`, by what is in `ReportContext`; its key number is a `Card`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgic_core.report.cards import Card as Card
    from fgic_core.report.cards import best as best
    from fgic_core.report.figures import Chart as Chart
    from fgic_core.report.pictures import Picture as Picture
    from fgic_core.report.section import Article as Article
    from fgic_core.report.section import ReportContext as ReportContext
    from fgic_core.report.section import Section as Section
    from fgic_core.report.section import article as article
    from fgic_core.report.view import StepView as StepView

#: Where each name lives that a kind's section needs. They are imported on first use.
_HOME = {
    "Card": "cards",
    "Chart": "figures",
    "Article": "section",
    "Picture": "pictures",
    "ReportContext": "section",
    "Section": "section",
    "StepView": "view",
    "best": "cards",
    "article": "section",
}


def write_report(run_folder: Path, store: Path | None = None, warn: Callable[[str], None] = lambda fault: None) -> Path:
    """Write ``report.html`` and ``figures/`` into a run directory; see `fgic_core.report.page`.

    Raises:
        StoreError: the folder is no run directory.
    """
    from fgic_core.report.page import write_report as write

    return write(run_folder, store, warn)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [*sorted(_HOME), "write_report"]  # noqa: PLE0604
