"""Fixtures that tests of several packages share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOYS = Path(__file__).parent / "toys"
TOY_POINTS = {
    "dataset": "dots = fgic_toys:Dots\nshelf = fgic_toys:Shelf\nspecks = fgic_planted:Specks",
    "detector": "bright = fgic_toys:Bright",
    "cropper": "exact = fgic_toys:Exact",
    "generator": "tint = fgic_toys:Tint\ncopies = fgic_planted:Copies",
    "classifier": "linear = fgic_toys:Linear\nridge = fgic_planted:Ridge",
    "explainer": "saliency = fgic_toys:Saliency",
    "attacker": "sign = fgic_toys:Sign",
}


def declare(site: Path, name: str, points: str, version: str = "0.1.0", summary: str = "A test package.") -> None:
    """Make the environment see a distribution with these entry points, by what an installer would write."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n")
    (info / "entry_points.txt").write_text(points)


#: Seconds after which something is taken to never happen: no busy machine needs as long.
FAR = 600


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """``wait_for(happened, what, process)`` waits for an event, and fails where the process ends without it."""

    def wait(happened: Callable[[], object], what: str, process: subprocess.Popen[str]) -> None:
        limit = time.monotonic() + FAR
        while not happened():
            assert process.poll() is None, f"the process ended before {what}"
            assert time.monotonic() < limit, f"after {FAR} s there was still no {what}"
            time.sleep(0.02)

    return wait


def install_toys(place: Path, patch: pytest.MonkeyPatch) -> Path:
    """A site folder with the package ``fgic-toys``, seen by this process and by those it starts."""
    site = place / "site"
    site.mkdir()
    declare(site, "fgic-toys", "\n".join(f"[fgic.{kind}]\n{point}" for kind, point in TOY_POINTS.items()) + "\n")
    for toy in TOYS.glob("*.py"):
        (site / toy.name).write_text(toy.read_text(encoding="utf-8"), encoding="utf-8")
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    patch.setenv("FGIC_TOYS", str(place))
    for toy in TOYS.glob("*.py"):
        sys.modules.pop(toy.stem, None)
    return site


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """See `install_toys`."""
    yield install_toys(tmp_path, monkeypatch)
    sys.modules.pop("fgic_toys", None)


@pytest.fixture(scope="module")
def module_toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As `toys`, once for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        yield install_toys(tmp_path_factory.mktemp("toys"), patch)
    sys.modules.pop("fgic_toys", None)


SEVEN_STEPS = """\
version: 1
name: toys
seed: 3
steps:
  dots: {uses: dataset/dots, with: {count: 3}}
  boxes: {uses: detector/bright}
  crops: {uses: cropper/exact}
  more: {uses: generator/tint, with: {per_class: 4}}
  classifier: {uses: classifier/linear, with: {epochs: 4, val_fraction: 0.34}}
  map: {uses: explainer/saliency, with: {samples: 6}}
  attack: {uses: attacker/sign, with: {eps: [0, 8/255], samples: 6}}
"""


@pytest.fixture
def seven_steps(toys: Path, tmp_path: Path) -> Path:
    """A spec with one toy of each kind."""
    spec = tmp_path / "toys.yaml"
    spec.write_text(SEVEN_STEPS, encoding="utf-8")
    return spec
