"""Packages that exist for one test: what pip would have written, without pip."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Install = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages that the `fgic` fixture's processes find."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path) -> Install:
    """Install a package of one module into `site`."""

    def make(package: str, source: str, entry_points: Mapping[str, Sequence[str]]) -> Path:
        module = package.replace("-", "_")
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        about = site / f"{module}-1.2.3.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3\nSummary: The {package}.\n"
        )
        groups = [f"[fgic.{kind}]\n" + "\n".join(points) for kind, points in entry_points.items()]
        (about / "entry_points.txt").write_text("\n".join(groups) + "\n")
        return site / f"{module}.py"

    return make


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    """The environment of processes that find the packages in `site` first."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def fgic(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the command line in a process of its own, in `tmp_path`."""

    def run(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        # Absent: what would colour the output, or make it as wide as the window that runs the tests.
        own = {k: v for k, v in environment.items() if k not in ("COLUMNS", "FORCE_COLOR", "FGIC_DEBUG", "FGIC_STORE")}
        return subprocess.run(
            [sys.executable, "-m", "fgic_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={**own, "TMPDIR": str(tmp_path), **more},
            timeout=600,
            check=False,
        )

    return run
