"""The report of a run: one self-contained HTML page, and its figures as files."""

from __future__ import annotations

from pathlib import Path


def write_report(run_folder: Path, store: Path | None = None) -> Path:
    """Write ``report.html`` and ``figures/`` into a run directory; see `fgic_core.report.page`.

    Raises:
        StoreError: the folder is no run directory.
    """
    from fgic_core.report.page import write_report as write

    return write(run_folder, store)


__all__ = ["write_report"]
