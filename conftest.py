"""Settings of all tests: property tests draw the same cases every time, and a slow machine fails none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

settings.register_profile("fgic", deadline=None, derandomize=True)
settings.load_profile("fgic")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Iterator[None]:
    """Say in the last line what was not tested because the real pictures and weights are not here."""
    yield

    def reason(report: Any) -> str:
        return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)

    lacking = [report for report in terminalreporter.stats.get("skipped", ()) if "FGIC_REAL_DATA" in reason(report)]
    if lacking:
        terminalreporter.write_line(
            f"Without the real pictures {len(lacking)} tests were skipped: FGIC_REAL_DATA names their folder.",
            yellow=True,
        )
