"""The plugin of docs/plugins.md, written into a folder, installed with pip, and used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fgic_core import Run

DOCS = Path(__file__).parents[1] / "docs" / "plugins.md"


def documented(name: str) -> str:
    """The code block that follows a file's name in the documentation."""
    found = re.search(rf"`{re.escape(name)}`\n\n```\w+\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"docs/plugins.md shows no {name}"
    return found[1]


@pytest.fixture
def golden(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site folder that pip installed the documented plugin into, beside the toys."""
    source = tmp_path / "golden"
    source.mkdir()
    for name in ("fgic_crop_golden.py", "pyproject.toml"):
        (source / name).write_text(documented(name), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    site = tmp_path / "installed"
    done = subprocess.run([*command, "--target", str(site), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
    return site


def fgic(*arguments: str, cwd: Path) -> str:
    """What the command prints; it must succeed."""
    command = [sys.executable, "-m", "fgic_core", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_plugin_installed_with_pip_is_listed_completed_and_works_in_a_spec(golden: Path, tmp_path: Path) -> None:
    listed = json.loads(fgic("plugins", "--json", cwd=tmp_path))
    (entry,) = [one for one in listed if "golden" in json.dumps(one)]
    assert "fgic-crop-golden" in json.dumps(entry)

    schema = fgic("schema", cwd=tmp_path)
    assert "cropper/golden" in schema
    assert "Added on every side, as a fraction of the box's longer side." in schema

    shown = fgic("plugins", "show", "cropper/golden", cwd=tmp_path)
    assert "Crop to the golden rectangle around the box." in shown
    assert "margin" in shown

    (tmp_path / "spec.yaml").write_text(
        "version: 1\nname: golden\nsteps:\n  dots: {uses: dataset/dots}\n"
        "  crops: {uses: cropper/golden, with: {margin: 0.1}}\n"
    )
    fgic("pipeline", "spec.yaml", "--no-report", "--device", "cpu", cwd=tmp_path)
    run = Run.open(tmp_path / "runs" / "golden" / "latest")
    assert [step.status for step in run.record.steps] == ["computed", "computed"]
    region = run.dataset("crops")[0].region
    assert region is not None
    assert region.width > region.height
