"""``fgic check`` after code has changed: what is computed anew, and the reason that it gives.

Two plugins, and a copy of the core that comes first on the path, are changed as their developers would change them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fgic_core

READER = '''
from fgic_core import Box, DatasetReader, ObjectBox, Sample
from fgic_grey._drawing import draw


class Grey(DatasetReader):
    """Two grey pictures."""

    start: int = 90

    def classes(self):
        return ("dark", "bright")

    def samples(self, ctx):
        for label in (0, 1):
            draw(self.start + 40 * label).save(ctx.folder / f"{label}.png")
            boxes = (ObjectBox(Box(0, 0, 4, 4)),)
            yield Sample(id=str(label), path=f"{label}.png", label=label, split="train", boxes=boxes)
'''
DRAWING = """
def draw(level):
    from PIL import Image

    return Image.new("RGB", (8, 8), (level, level, level))
"""
CROPPER = '''
from fgic_core import Cropper


class Whole(Cropper):
    """The box itself."""

    def region(self, box, image):
        return box


class Wider(Whole):
    """A pixel more."""

    def region(self, box, image):
        return box.expand(1)
'''
SPEC = "version: 1\nname: grey\nsteps:\n  data: {uses: dataset/grey}\n  crops: {uses: cropper/whole}\n"

#: What `check` says of a step: whether the store has it, and why not.
Said = dict[str, tuple[bool, str]]


class World:
    """A copy of the core, the editable plugin `fgic-grey`, the installed one `fgic-whole`, and a store with it all."""

    def __init__(self, root: Path) -> None:
        self.root, self.core, self.site = root, root / "core" / "fgic_core", root / "site"
        shutil.copytree(Path(fgic_core.__file__).parent, self.core, ignore=shutil.ignore_patterns("__pycache__"))
        (root / "spec.yaml").write_text(SPEC)
        (self.site / "fgic_grey").mkdir(parents=True)
        (self.site / "fgic_grey" / "__init__.py").write_text(READER)
        (self.site / "fgic_grey" / "_drawing.py").write_text(DRAWING)
        (self.site / "fgic_whole.py").write_text(CROPPER)
        self._declare("fgic-grey", "1.0", "[fgic.dataset]\ngrey = fgic_grey:Grey\n", editable=True)
        points = "[fgic.cropper]\nwhole = fgic_whole:Whole\nwider = fgic_whole:Wider\n"
        self._declare("fgic-whole", "2.0", points, editable=False)

    def _declare(self, name: str, version: str, points: str, editable: bool) -> None:
        """What an installer writes; `direct_url.json` says that the sources are used where they are."""
        about = self.site / f"{name.replace('-', '_')}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A test.\n")
        (about / "entry_points.txt").write_text(points)
        if editable:
            url = {"url": self.site.as_uri(), "dir_info": {"editable": True}}
            (about / "direct_url.json").write_text(json.dumps(url))

    def fgic(self, *arguments: str) -> str:
        """What the command of the copied core prints."""
        own = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR", "FGIC_DEBUG", "FGIC_STORE")}
        path = [str(self.core.parent), str(self.site), own.pop("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-m", "fgic_core", *arguments],
            capture_output=True,
            text=True,
            cwd=self.root,
            env={**own, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check(self, *arguments: str) -> Said:
        rows = json.loads(self.fgic("check", "spec.yaml", "--json", *arguments))
        return {row["step"]: (row["reused"], row["reason"]) for row in rows}

    @contextmanager
    def changed(self, file: Path, old: str = "", new: str = "# A comment.\n") -> Iterator[None]:
        """A file with a text replaced; without one, with a line more. Afterwards it is as it was."""
        before = file.read_text(encoding="utf-8") if file.exists() else None
        assert old in (before or "")
        file.write_text((before or "").replace(old, new) if old else (before or "") + new, encoding="utf-8")
        try:
            yield
        finally:
            file.unlink() if before is None else file.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    made.fgic("pipeline", "spec.yaml", "--device", "cpu", "--no-report", "--quiet")
    return made


IN_STORE = (True, "in the store")
ANEW = (False, "its dataset (step data) is computed anew")


def test_nothing_is_computed_where_nothing_changed(world: World) -> None:
    assert world.check() == {"data": IN_STORE, "crops": IN_STORE}


@pytest.mark.parametrize("file", ["__init__.py", "_drawing.py", "_words.json"])
def test_a_file_of_an_editable_plugin_counts(world: World, file: str) -> None:
    with world.changed(world.site / "fgic_grey" / file):
        said = world.check()
    assert said["data"][0] is False
    assert said["data"][1].startswith("fgic-grey changed from 1.0+")
    assert said["crops"] == ANEW


@pytest.mark.parametrize(
    "file",
    ["data/geometry.py", "interfaces/context.py", "steps/dataset.py", "steps/new.py", "training.py", "openmmlab.py"],
)
def test_the_cores_sources_that_decide_a_steps_output_count(world: World, file: str) -> None:
    with world.changed(world.core / file):
        said = world.check()
    assert said == {"data": (False, "fgic itself changed"), "crops": (False, f"fgic itself changed; {ANEW[1]}")}


@pytest.mark.parametrize("file", ["report/page.py", "cli/terminal.py"])
def test_what_only_shows_results_does_not_count(world: World, file: str) -> None:
    with world.changed(world.core / file):
        assert world.check() == {"data": IN_STORE, "crops": IN_STORE}


def test_a_new_version_of_a_plugin_counts_for_its_own_steps(world: World) -> None:
    with world.changed(world.site / "fgic_whole.dist-info" / "METADATA", "Version: 2.0", "Version: 2.1"):
        said = world.check()
    assert said == {"data": IN_STORE, "crops": (False, "fgic-whole changed from 2.0 to 2.1")}


def test_a_new_version_of_an_editable_plugin_counts_too(world: World) -> None:
    with world.changed(world.site / "fgic_grey.dist-info" / "METADATA", "Version: 1.0", "Version: 1.1"):
        said = world.check()
    assert said["data"][1].startswith("fgic-grey changed from 1.0+")
    assert " to 1.1+" in said["data"][1]


def test_a_new_version_of_an_installed_core_counts(world: World) -> None:
    """Where the core is no editable install its version alone stands for it."""
    about = world.core.parent / "fgic-0.dist-info"
    about.mkdir()
    try:
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fgic\nVersion: 0\n")
        world.fgic("pipeline", "spec.yaml", "--device", "cpu", "--no-report", "--quiet", "--store", "installed")
        with world.changed(world.core / "steps" / "dataset.py"):
            assert world.check("--store", "installed") == {"data": IN_STORE, "crops": IN_STORE}
        with world.changed(world.core / "__init__.py", '__version__ = "', '__version__ = "9.'):
            assert world.check("--store", "installed")["data"] == (False, "fgic itself changed")
    finally:
        shutil.rmtree(about)


def test_options_seeds_and_components_count_with_the_reason(world: World) -> None:
    assert world.check("--set", "data.with.start=80") == {"data": (False, "start changed from 90 to 80"), "crops": ANEW}
    assert world.check("--set", "crops.seed=4") == {"data": IN_STORE, "crops": (False, "seed changed from 0 to 4")}
    said = world.check("--set", "crops.uses=cropper/wider")
    assert said == {"data": IN_STORE, "crops": (False, "uses changed from cropper/whole")}
