"""The kind of docs/kinds.md, written into a folder, installed with pip, and used: it costs that package alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fgic_core import Dataset, Run

DOCS = Path(__file__).parents[1] / "docs" / "kinds.md"
SPEC = """\
version: 1
name: masked
steps:
  dots: {uses: dataset/dots, with: {per_class: 8}}
  masks: {uses: segmenter/border, with: {distance: 40}}
  crops: {uses: cropper/exact}
  classifier: {uses: classifier/linear}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(module_toys: Path) -> Path:
    """A site folder that pip installed the documented package into; beside it ``source`` with its test."""
    source = module_toys.parent / "source"
    blocks = re.findall(
        r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 9
    for name, text in blocks:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    target = module_toys.parent / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(target), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def fgic(site: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """``fgic(*arguments, status=0)`` is what the command says on both channels, in a folder with the spec."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])

    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "fgic_core", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_its_steps_are_planned_stored_measured_and_reported_like_others(fgic, site: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "segmenter/border" in json.dumps(json.loads(fgic("plugins", "--json")))
    assert "Distance in RGB" in fgic("plugins", "show", "segmenter/border")
    assert "segmenter/border" in fgic("schema")
    wrong = fgic("check", "spec.yaml", "--set", "masks.with.distanse=1", status=2)
    assert "distance" in wrong
    assert "Traceback" not in wrong

    fgic("pipeline", "spec.yaml", "--quiet")
    run = Run.open(tmp_path / "runs" / "masked" / "latest")
    found = run.metric("masks", "mask_in_box", "test")
    assert found.value is not None
    assert 0.5 < found.value <= 1
    rows: Dataset = run.dataset("crops")
    assert rows.content(0, "mask").startswith(b"\x89PNG")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="segmentation-title">Segmentation</h2>' in page
    assert "Mask inside the box" in page
    assert "Pictures and masks" in page
    assert re.search(r"[Tt]est mask inside the box \d", page)  # the first sentence

    assert fgic("check", "spec.yaml").count("in the store") == 4
    driver = site / "fgic_segment" / "driver.py"
    kept = driver.read_text()
    driver.write_text(kept.replace("(mask & within).sum() / mask.sum()", "0.25"))
    steps = {step["step"]: step["reason"] for step in json.loads(fgic("check", "spec.yaml", "--json"))}
    assert "in the store" in steps["dots"]
    assert "the kind segmenter changed, which is from fgic-segment" in steps["masks"]
    fgic("pipeline", "spec.yaml", "--quiet")
    run = Run.open(tmp_path / "runs" / "masked" / "latest")
    assert run.metric("masks", "mask_in_box", "test").value == 0.25
    driver.write_text(kept)

    template = site / "fgic_segment" / "masks.html.j2"
    fgic("pipeline", "spec.yaml", "--quiet")
    template.write_text(template.read_text().replace("Pictures and masks", "Masks and pictures"))
    assert fgic("check", "spec.yaml").count("in the store") == 4
    fgic("pipeline", "spec.yaml", "--quiet")
    page = (tmp_path / "runs" / "masked" / "latest" / "report.html").read_text(encoding="utf-8")
    assert "Masks and pictures" in page
    template.write_text(template.read_text() + "{{ content.nowhere.at.all }}")
    said = fgic("pipeline", "spec.yaml", "--quiet")
    assert "the report: step masks: A part of this step cannot be shown: UndefinedError" in said
    page = (tmp_path / "runs" / "masked" / "latest" / "report.html").read_text(encoding="utf-8")
    assert "A part of this step cannot be shown: UndefinedError" in page
    assert "Mask inside the box" in page


def test_its_suite_holds_a_component_to_the_contract(site: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(site.parent / "source" / "test_border.py"),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"1\d passed", done.stdout), done.stdout


def test_a_kind_that_is_broken_or_gone_says_so_and_others_work(fgic, site: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "spec.yaml").write_text(SPEC.replace("  classifier: {uses: classifier/linear}\n", ""))
    fgic("pipeline", "spec.yaml", "--quiet", "--set", "masks.with.distance=50")
    (run,) = (one for one in (tmp_path / "runs" / "masked").iterdir() if not one.is_symlink())
    row = site / "fgic_segment" / "__init__.py"
    kept = row.read_text()
    try:
        row.write_text("raise ValueError('planted')")
        said = fgic("check", "spec.yaml", status=2)
        assert "the kind segmenter cannot be imported (fgic_segment:SEGMENTER): ValueError: planted" in said
        assert "Traceback" not in said
        plain = (
            (tmp_path / "spec.yaml")
            .read_text()
            .replace("  masks: {uses: segmenter/border, with: {distance: 40}}\n", "")
        )
        (tmp_path / "plain.yaml").write_text(plain)
        fgic("pipeline", "plain.yaml", "--quiet")
        fgic("report", str(run))
        page = (run / "report.html").read_text(encoding="utf-8")
        assert "Other steps" in page
        assert "Mask inside the box" not in page
        assert "mask_in_box" in page
    finally:
        row.write_text(kept)
