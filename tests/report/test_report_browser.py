"""The page in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgic_core.report import write_report

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open the page headless; console messages go to stderr."""
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_browser_shows_the_headings_and_has_no_complaint(fake_run: Callable[..., Any], tmp_path: Path) -> None:
    page = write_report(fake_run().all_steps())
    done = browse(page, tmp_path, "--dump-dom")
    headings = [
        re.sub(r"<[^>]+>", "", text).strip() for text in re.findall(r"<h2[^>]*>(.*?)</h2>", done.stdout, re.DOTALL)
    ]
    for heading in ("What was run", "Data", "Classifier", "Explanations", "Robustness", "Provenance"):
        assert heading in headings
    assert "<script" not in done.stdout
    assert "CONSOLE" not in done.stderr
    assert "Content Security Policy" not in done.stderr


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_is_drawn(fake_run: Callable[..., Any], tmp_path: Path, width: int) -> None:
    page = write_report(fake_run().all_steps())
    picture = tmp_path / "page.png"
    browse(page, tmp_path, f"--screenshot={picture}", f"--window-size={width},4000")
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[1] == width
    inked = (pixels != 255).any(axis=2)
    assert inked.mean() > 0.05
    assert inked[2000:].any()
    colours = np.unique(pixels.reshape(-1, 3), axis=0)
    assert len(colours) > 1000, "the pictures are not drawn"


def test_the_page_is_no_wider_than_a_phone(fake_run: Callable[..., Any], tmp_path: Path) -> None:
    page = write_report(fake_run().all_steps())
    frame = tmp_path / "phone.html"
    frame.write_text(
        f'<body><iframe id="f" src="{page.as_uri()}" style="width:420px;height:900px;border:0"></iframe>'
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        " document.title = 'width ' + d.scrollWidth; }</script></body>",
        encoding="utf-8",
    )
    done = browse(frame, tmp_path, "--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=5000")
    assert "<title>width 420</title>" in done.stdout
