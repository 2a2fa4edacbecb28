"""Which sources a module stands on, as far as this repository's own can be followed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from fgic_core.interfaces import KINDS
from fgic_core.run.memory import Memory
from fgic_core.run.sources import Sources
from fgic_core.run.syntax import parse

POINTS = [
    point for kind in KINDS for point in entry_points(group=f"fgic.{kind}") if point.dist.name.startswith("fgic-")
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}/{point.name}")
def test_every_component_of_this_repository_can_be_traced(point: EntryPoint) -> None:
    """Else its steps would be computed every time."""
    reached = Sources(Memory()).reached(point.module)
    assert reached.untraced == ()
    assert reached.missing == ()
    assert reached.packages


@pytest.mark.parametrize("kind", KINDS)
def test_every_driver_can_be_traced(kind: str) -> None:
    reached = Sources(Memory()).reached(f"fgic_core.steps.{kind}")
    assert reached.untraced == ()
    assert "pyarrow" in reached.packages


@pytest.mark.parametrize(
    ("line", "traced"),
    [
        ("import_module('json.tool')", True),
        ("importlib.import_module('json.tool')", True),
        ("import_module(f'json.{name}')", False),
        ("__import__(name)", False),
        ("exec(text)", False),
        ("network.eval()", True),
        ("runpy.run_path(name)", False),
        ("found = map(import_module, names)", False),
        ("load = importlib.import_module", False),
        ("sys.path.insert(0, place)", False),
        ("sys.path += [place]", False),
        ("from sys import path", False),
        ("site.addsitedir('json.tool')", False),
        ("os.path.join(place)", True),
    ],
)
def test_an_import_by_a_name_is_followed_where_the_name_is_written(line: str, traced: bool) -> None:
    parsed = parse(f"x = 1\n{line}\n".encode(), "some.module")
    assert parsed.untraced == ([] if traced else [2])
    assert (("json.tool", []) in parsed.imports) is (traced and "json.tool" in line)


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("import fgic_no_such\n", 1),
        ("def f():\n    from fgic_no_such.part import x\n", 2),
        ("x = import_module('fgic_no_such')\n", 1),
        ("try:\n    import fgic_no_such\nexcept ImportError:\n    import fgic_no_such_either\n", 0),
        ("with suppress(ModuleNotFoundError):\n    import fgic_no_such\n", 0),
        ("if x:\n    import fgic_no_such\n", 0),
        ("try:\n    import fgic_no_such\nexcept OSError:\n    pass\n", 2),
        ("import xml.dom, fgic_core.errors, numpy.no_such\n", 0),
        ("import fgic_taker.none\n", 1),
    ],
)
def test_a_module_that_is_not_there_is_missed_where_nothing_does_without_it(
    text: str, missed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fgic_taker").mkdir()
    (tmp_path / "fgic_taker" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    (missing,) = Sources(Memory()).reached("fgic_taker").missing or ("",)
    assert missing.endswith(f"(__init__.py:{missed})" if missed else "")
    assert bool(missing) is bool(missed)


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("from fgic_core import read_weights\n", True),
        ("import fgic_core as core\n\nx = core.read_weights\n", True),
        ("import fgic_core\n\nx = fgic_core.Box\n", False),
        ("from fgic_core import Box\n", False),
        ("if TYPE_CHECKING:\n    from fgic_core import read_weights\n", False),
    ],
)
def test_of_the_core_a_plugin_reaches_what_defines_the_names_that_it_takes(
    text: str, reaches: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fgic_taker.py").write_text(f"from typing import TYPE_CHECKING\n\n{text}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ("torch" in Sources(Memory()).reached("fgic_taker").packages) is reaches


SCRIPT = """
from importlib import import_module

from fgic_core import Cropper
from fgic_core.run.memory import Memory
from fgic_core.run.notebook import reached_by_class
from fgic_core.run.sources import Sources


class Plain(Cropper):
    def region(self, box, image):
        return box


class Lacking(Plain):
    def region(self, box, image):
        import fgic_no_such


class Chosen(Plain):
    name: str = "math"

    def region(self, box, image):
        import_module(self.name)


for made in (Plain, Lacking, Chosen):
    reached = reached_by_class(made, Sources(Memory()))
    print(made.__name__, *reached.untraced, *reached.missing)
"""


def test_of_a_class_of_a_script_too_it_is_said_what_it_imports_unknown(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Plain\nLacking fgic_no_such (Lacking)\nChosen Chosen\n"
