"""``fgic check`` after code has changed: what is computed anew, and the reason that it gives.

Two plugins, and a copy of the core that comes first on the path, are changed as their developers would change them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fgic_core
from fgic_core.store.memory import TICK

READER = '''
from fgic_core import Box, DatasetReader, ObjectBox, Sample
from fgic_grey._drawing import draw


class Grey(DatasetReader):
    """Two grey pictures."""

    start: int = 90
    note: str = ""

    def classes(self):
        return ("dark", "bright")

    def samples(self, ctx):
        """Dark before bright."""
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
#: In a namespace package, with its helper in another module of the same distribution.
TALL = '''
from fgic_core import Box, Cropper
from flat_helper import shifted


class Tall(Cropper):
    """The box, shifted."""

    def region(self, box, image):
        import lab_tools

        return Box(*shifted(box.xyxy))
'''
HELPER = "SHIFT = 0\n\n\ndef shifted(edges):\n    return [edge + SHIFT for edge in edges]\n"
SPEC = """\
version: 1
name: grey
steps:
  data: {uses: dataset/grey}
  crops: {uses: cropper/whole}
  tall: {uses: cropper/tall, from: {dataset: data}}
"""

#: What each plugin declares that it stands on: a package, and one that only its tests need.
NEEDS = "Requires-Dist: lab-numbers>=1\nRequires-Dist: lab-tests; extra == 'test'\n"
#: One whose option is a plain path, and one that imports by a name that no reader of the source can know.
DOUBTFUL = '''
from importlib import import_module
from pathlib import Path

from fgic_grey import Grey


class Listed(Grey):
    """From a table."""

    table: Path


class Chosen(Grey):
    """By a module that an option names."""

    helper: str = "math"

    def classes(self):
        import_module(self.helper)
        return ("dark", "bright")
'''
#: One that changes where modules are looked for, and one with a part that needs what is not there.
MOVED = '''
from fgic_grey import Grey


class Moved(Grey):
    """By a module that lies elsewhere."""

    def classes(self):
        import sys

        sys.path.append("elsewhere")
        return ("dark", "bright")
'''
LACKING = '''
from fgic_grey import Grey


class Lacking(Grey):
    """With a part that cannot be run here."""

    def never(self):
        import fgic_no_such
'''
DOUBT = """\
version: 1
name: doubt
steps:
  listed: {uses: dataset/listed, with: {table: table.csv}}
  moved: {uses: dataset/moved}
  lacking: {uses: dataset/lacking}
  chosen: {uses: dataset/chosen}
  crops: {uses: cropper/whole}
"""
#: Runs commands in children that begin with the modules of before loaded, and with nothing else known: each looks at
#: all files anew, as a process from scratch does, and takes a third of its time.
SERVER = """
import importlib, json, os, sys

for line in sys.stdin:
    asked = json.loads(line)
    for name in asked["load"]:
        importlib.import_module(name)
    if (child := os.fork()) == 0:
        for descriptor in (1, 2):
            os.dup2(os.open(asked["said"][descriptor - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        importlib.invalidate_caches()
        sys.argv = ["fgic", *asked["arguments"]]
        from fgic_core.cli import main

        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
LOADED = (
    "fgic_core.cli.check",
    "fgic_core.kinds.component",
    "fgic_core.pipeline",
    "fgic_core.plan.plan",
    "fgic_core.spec.load",
)
#: What `check` says of a step: whether the store has it, and why not.
Statuses = dict[str, tuple[bool, str]]


class World:
    """A copy of the core, the editable plugin `fgic-grey`, the installed one `fgic-whole`, and a store with it all."""

    def __init__(self, root: Path) -> None:
        self.root, self.core, self.site = root, root / "core" / "fgic_core", root / "site"
        self._server: subprocess.Popen[str] | None = None
        shutil.copytree(Path(fgic_core.__file__).parent, self.core, ignore=shutil.ignore_patterns("__pycache__"))
        (root / "spec.yaml").write_text(SPEC)
        (self.site / "fgic_grey").mkdir(parents=True)
        (self.site / "fgic_grey" / "__init__.py").write_text(READER)
        (self.site / "fgic_grey" / "_drawing.py").write_text(DRAWING)
        (root / "elsewhere").mkdir()
        (self.site / "fgic_grey" / "tables").symlink_to(root / "elsewhere", target_is_directory=True)
        (self.site / "fgic_whole.py").write_text(CROPPER)
        (self.site / "lab" / "crops").mkdir(parents=True)
        (self.site / "lab" / "crops" / "tall.py").write_text(TALL)
        (self.site / "flat_helper.py").write_text(HELPER)
        (self.site / "site-packages").mkdir()
        (self.site / "site-packages" / "lab_tools.py").write_text("")
        for name in ("lab_tools", "lab_numbers"):
            about = self.site / "site-packages" / f"{name}-1.0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        self._declare("fgic-tall", "0.1", "[fgic.cropper]\ntall = lab.crops.tall:Tall\n", editable=True)
        self._declare("fgic-grey", "1.0", "[fgic.dataset]\ngrey = fgic_grey:Grey\n", editable=True)
        points = "[fgic.cropper]\nwhole = fgic_whole:Whole\nwider = fgic_whole:Wider\n"
        self._declare("fgic-whole", "2.0", points, editable=False)

    def _declare(self, name: str, version: str, points: str, editable: bool) -> None:
        """What an installer writes; `direct_url.json` says that the sources are used where they are."""
        about = self.site / f"{name.replace('-', '_')}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A test.\n{NEEDS}"
        )
        (about / "entry_points.txt").write_text(points)
        if editable:
            url = {"url": self.site.as_uri(), "dir_info": {"editable": True}}
            (about / "direct_url.json").write_text(json.dumps(url))

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        """Python with the copied core and the plugins on its path."""
        own = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR", "FGIC_DEBUG", "FGIC_STORE")}
        path = [str(self.core.parent), str(self.site), str(self.site / "site-packages"), own.pop("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env={**own, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        )

    def fgic(self, *arguments: str) -> str:
        """What the command of the copied core prints."""
        process = self._start("-m", "fgic_core", *arguments)
        said, wrong = process.communicate()
        assert process.returncode == 0, wrong
        return said

    def quickly(self, *arguments: str) -> str:
        """As `fgic`, by `SERVER`."""
        if self._server is None:
            self._server = self._start("-c", SERVER)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        files = [self.root / "said.txt", self.root / "wrong.txt"]
        asked = {"arguments": arguments, "said": list(map(str, files)), "load": LOADED}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        status, (said, wrong) = self._server.stdout.readline(), [file.read_text() for file in files]
        assert status == "0\n", wrong
        return said

    def end(self) -> None:
        if self._server is not None:
            self._server.communicate()

    def check(self, *arguments: str, spec: str = "spec.yaml") -> Statuses:
        rows = json.loads(self.quickly("check", spec, "--json", *arguments))
        return {row["step"]: (row["reused"], row["reason"]) for row in rows}

    def computed(self, *arguments: str) -> set[str]:
        """The steps that the store does not have."""
        return {step for step, (reused, _) in self.check(*arguments).items() if not reused}

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
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    made.fgic("pipeline", "spec.yaml", "--device", "cpu", "--no-report", "--quiet")
    yield made
    made.end()


IN_STORE = (True, "in the store")
ANEW = (False, "its dataset (step data) is computed anew")
ALL = {"data", "crops", "tall"}


def test_nothing_is_computed_where_nothing_changed(world: World) -> None:
    assert world.check() == {"data": IN_STORE, "crops": IN_STORE, "tall": IN_STORE}
    command = ("check", "spec.yaml", "--json")
    assert world.quickly(*command) == world.fgic(*command), "from scratch too"


def test_a_mended_line_of_an_editable_plugin_counts_and_is_named(world: World) -> None:
    with world.changed(world.site / "fgic_grey" / "_drawing.py", "(8, 8)", "(9, 8)"):
        said = world.check()
    assert said == {"data": (False, "fgic-grey: its source changed"), "crops": ANEW, "tall": ANEW}


@pytest.mark.parametrize(
    ("file", "old", "new", "steps"),
    [
        ("fgic_grey/__init__.py", "+ 40", "+ 41", ALL),
        ("fgic_grey/_words.json", "", "{}", ALL),  # what lies beside the modules may be read
        ("fgic_grey/tables/words.csv", "", "a,b\n", ALL),  # behind a link too
        ("lab/crops/tall.py", "Box(*shifted", "Box(*map(float, ()), *shifted", {"tall"}),
        ("flat_helper.py", "SHIFT = 0", "SHIFT = 7", {"tall"}),
        ("fgic_grey/_drawing.py", "", "# A comment.\n", set()),
        ("fgic_grey/__init__.py", "Dark before bright", "In order", set()),
        ("fgic_grey/_unused.py", "", "x = 1\n", set()),
    ],
)
def test_what_a_plugin_reaches_counts_for_its_steps_and_no_comment_or_docstring_does(
    world: World, file: str, old: str, new: str, steps: set[str]
) -> None:
    with world.changed(world.site / file, old, new):
        assert world.computed() == steps


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("data/geometry.py", ALL),
        ("data/images.py", ALL),
        ("kinds/dataset/driver.py", {"data", *ALL}),
        ("kinds/cropper/driver.py", {"crops", "tall"}),
        ("kinds/classifier/driver.py", set()),
        ("training.py", set()),
        ("report/page.py", set()),
        ("cli/terminal.py", set()),
    ],
)
def test_of_the_core_what_a_steps_driver_reaches_counts(world: World, file: str, steps: set[str]) -> None:
    with world.changed(world.core / file, new="\n_ANOTHER = 1\n"):
        assert world.computed() == steps
    if file == "kinds/dataset/driver.py":
        with world.changed(world.core / file, new="\n# A comment.\n"):
            assert not world.computed()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("kit/best.py", True),
        ("kinds/classifier/driver.py", True),
        ("report/charts.py", False),
        ("kinds/cropper/driver.py", False),
    ],
)
def test_of_a_training_too_what_it_reaches_counts(world: World, file: str, changes: bool) -> None:
    """By its key: the best epoch, say, is chosen by a class that the plugin imports and the driver does not."""
    (world.root / "train.yaml").write_text(f"{SPEC}  net: {{uses: classifier/timm, from: {{dataset: data}}}}\n")

    def key() -> str:
        return next(row["key"] for row in json.loads(world.quickly("check", "train.yaml", "--json"))[-1:])

    before = key()
    with world.changed(world.core / file, new="\n_ANOTHER = 1\n"):
        assert (key() != before) is changes


def test_a_new_version_of_a_plugin_counts_for_its_own_steps(world: World) -> None:
    with world.changed(world.site / "fgic_whole.dist-info" / "METADATA", "Version: 2.0", "Version: 2.1"):
        said = world.check()
    assert said == {"data": IN_STORE, "crops": (False, "fgic-whole changed from 2.0 to 2.1"), "tall": IN_STORE}


@pytest.mark.parametrize(("name", "steps"), [("lab_tools", {"tall"}), ("lab_numbers", ALL)])
def test_another_version_of_what_a_plugin_imports_or_declares_counts(world: World, name: str, steps: set[str]) -> None:
    folder = world.site / "site-packages" / f"{name}-1.0.dist-info"
    for version, changed in (("1.1", True), ("1.0+cu128", False)):
        moved = folder.rename(folder.with_name(f"{name}-{version}.dist-info"))
        try:
            said = world.check()
        finally:
            moved.rename(folder)
        assert {step for step, (reused, _) in said.items() if not reused} == (steps if changed else set())
        if changed:
            assert f"{name.replace('_', '-')} changed from 1.0 to 1.1" in said[min(steps - {"crops"})][1]


def test_options_seeds_and_components_count_with_the_reason(world: World) -> None:
    said = world.check("--set", "data.with.start=80")
    assert said == {"data": (False, "start changed from 90 to 80"), "crops": ANEW, "tall": ANEW}
    assert world.check("--set", "data.seed=4")["data"] == (False, "seed changed from 0 to 4")
    assert world.check("--set", "crops.uses=cropper/wider")["crops"] == (False, "uses changed from cropper/whole")


def test_the_seed_of_what_draws_nothing_does_not_count(world: World) -> None:
    assert not world.computed("--set", "crops.seed=4")


def test_what_cannot_be_known_is_computed_every_time(world: World) -> None:
    for name, source in (("doubtful", DOUBTFUL), ("moved", MOVED), ("lacking", LACKING)):
        (world.site / "fgic_grey" / f"_{name}.py").write_text(source)
    points = world.site / "fgic_grey.dist-info" / "entry_points.txt"
    (world.root / "table.csv").write_text("")
    (world.root / "doubt.yaml").write_text(DOUBT)
    with world.changed(
        points,
        new="listed = fgic_grey._doubtful:Listed\nchosen = fgic_grey._doubtful:Chosen\n"
        "moved = fgic_grey._moved:Moved\nlacking = fgic_grey._lacking:Lacking\n",
    ):
        for _ in range(2):
            world.fgic("pipeline", "doubt.yaml", "--device", "cpu", "--no-report", "--quiet")
            said = world.check(spec="doubt.yaml")
            path = "what lies at the option table is not looked at: its type is Path, not InputFile"
            assert said["listed"] == (False, f"computed every time: {path}")
            unknown = "computed every time: what it imports is not known before it runs"
            assert said["moved"] == (False, f"{unknown} (_moved.py:11)")
            lacks = "computed every time: it imports fgic_no_such (_lacking.py:9), which is not found"
            assert said["lacking"] == (False, lacks)
            assert said["chosen"][0] is False
            assert said["chosen"][1].startswith(f"{unknown} (")
            # Its output is the same all the same, and so nothing that takes it is computed again.
            assert said["crops"] == (False, "its dataset (step chosen) is computed anew")
        runs = sorted((world.root / "runs" / "doubt").glob("2*"))
        steps = json.loads((runs[-1] / "run.json").read_text())["steps"]
        assert [step["status"] for step in steps] == ["computed"] * 4 + ["reused"]


@pytest.mark.parametrize("text", ["unread:x", "provisional:x"])
def test_a_text_that_looks_like_an_unsettled_key_settles(world: World, text: str) -> None:
    (world.root / "text.yaml").write_text("version: 1\nname: text\nsteps:\n  data: {uses: dataset/grey}\n")
    assert "1 step: 1 to compute" in world.fgic("check", "text.yaml", "--set", f"data.with.note='{text}'")


def test_a_picture_below_a_hidden_folder_counts(world: World) -> None:
    """A table's rows may name it."""
    (world.root / "tables" / ".raw").mkdir(parents=True)
    (world.root / "hidden.yaml").write_text(
        "version: 1\nname: hidden\nsteps:\n"
        "  rows: {uses: dataset/parquet, with: {table: table.csv, root: tables, class_names: [a, b]}}\n"
    )
    (world.root / "table.csv").write_text("")
    keys = []
    for size in (1, 2):
        (world.root / "tables" / ".raw" / "0.png").write_bytes(b"x" * size)
        keys.append(json.loads(world.fgic("check", "hidden.yaml", "--json"))[0]["key"])
    assert keys[0] != keys[1]


def test_pictures_of_equal_size_that_change_places_are_noticed(world: World) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for level, name in ((40, "dark"), (200, "bright")):
            (world.root / "data" / part / name).mkdir(parents=True)
            Image.new("RGB", (8, 8), (level,) * 3).save(world.root / "data" / part / name / "0.bmp")
    (world.root / "swap.yaml").write_text(
        "version: 1\nname: swap\nsteps:\n  pictures: {uses: dataset/image-folder, with: {root: data}}\n"
    )
    arguments = ("pipeline", "swap.yaml", "--device", "cpu", "--no-report", "--quiet")
    assert "at most 1 to compute" in world.fgic("check", "swap.yaml")
    settle = TICK + 0.1  # files that are newer are believed by no other process
    time.sleep(settle)
    world.fgic(*arguments)
    assert world.check(spec="swap.yaml") == {"pictures": IN_STORE}
    digests = []
    for _ in range(2):
        dark, bright = (world.root / "data" / "train" / name / "0.bmp" for name in ("dark", "bright"))
        dark.rename(world.root / "x.bmp")
        bright.rename(dark)
        (world.root / "x.bmp").rename(bright)
        assert world.check(spec="swap.yaml")["pictures"][0] is False
        time.sleep(settle)
        world.fgic(*arguments)
        run = json.loads((world.root / "runs" / "swap" / "latest" / "run.json").read_text())
        digests.append((run["steps"][0]["key"], run["steps"][0]["status"]))
    # As they were before, they are the data set that the store has.
    assert [status for _, status in digests] == ["computed", "reused"]
    assert digests[0][0] != digests[1][0]
