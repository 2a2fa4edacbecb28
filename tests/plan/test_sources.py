"""Which sources a module stands on, as far as this repository's own can be followed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from fgic_core import Cropper
from fgic_core.description import describe, manifest_of
from fgic_core.kinds.table import KINDS
from fgic_core.plan.keys import Keys
from fgic_core.plan.sources import Sources
from fgic_core.plan.syntax import parse
from fgic_core.registry import Entry
from fgic_core.store.memory import Memory

POINTS = [
    point for kind in KINDS for point in entry_points(group=f"fgic.{kind}") if point.dist.name.startswith("fgic-")
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}/{point.name}")
def test_every_component_of_this_repository_can_be_traced(point: EntryPoint) -> None:
    """Else its steps would be computed every time."""
    reached = Sources(Memory()).reached(point.module)
    assert reached.untraced == ()
    assert reached.missing == ()
    assert reached.unknown_files == ()
    assert reached.packages


@pytest.mark.parametrize("kind", KINDS)
def test_every_driver_can_be_traced(kind: str) -> None:
    reached = Sources(Memory()).reached(KINDS[kind].driver)
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
        ("from importlib import import_module as load; load('json.tool')", True),
        ("from importlib import import_module as load; load(name)", False),
        ("load('json.tool')", None),
        ("found = map(import_module, names)", False),
        ("load = importlib.import_module", False),
        ("sys.path.insert(0, place)", False),
        ("sys.path += [place]", False),
        ("from sys import path", False),
        ("site.addsitedir('json.tool')", False),
        ("os.path.join(place)", True),
        ("z = sys.modules['json.tool']", True),
        ("sys.modules[name] = 1", None),
        ("import pydoc; pydoc.locate('json.tool')", False),
        ("from pydoc import locate; locate(name)", False),
        ("import builtins; builtins.exec(text)", False),
        ("import importlib; getattr(importlib, 'import' + '_module')('x')", False),
        ("import_modules_from_strings(names)", False),
        ("__path__.append(place)", False),
        ("__path__ = [place]", False),
        ("x.locate('json.tool')", None),
    ],
)
def test_an_import_by_a_name_is_followed_where_the_name_is_written(line: str, traced: bool | None) -> None:
    """None: it is no import, whatever it looks like."""
    parsed = parse(f"x = 1\n{line}\n".encode(), "some.module")
    assert parsed.untraced == ([2] if traced is False else [])
    assert (("json.tool", []) in parsed.imports) is ("json.tool" in line and traced is True)


@pytest.mark.parametrize(
    ("name", "is_package", "written", "meant"),
    [
        ("shop.till", False, ".coins", "shop.coins"),
        ("shop.till", True, ".coins", "shop.till.coins"),
        ("shop.till", True, "..coins", "shop.coins"),
        ("shop.till.drawer", False, "..coins.euro", "shop.coins.euro"),
        ("shop", True, "coins", "coins"),
    ],
)
def test_a_name_that_begins_with_dots_starts_at_the_package(
    name: str, is_package: bool, written: str, meant: str
) -> None:
    parsed = parse(f"import_module({written!r}, __package__)".encode(), name, is_package=is_package)
    assert (parsed.imports, parsed.untraced) == ([(meant, [])], [])


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
        ("def f(x):\n    if not x:\n        return\n    import fgic_no_such\n", 0),
        ("for x in y:\n    if not x:\n        continue\n    import fgic_no_such\n", 0),
        ("def f(x):\n    import fgic_no_such\n    if not x:\n        return\n", 2),
        ("def f(x):\n    if not x:\n        raise ValueError\n    import fgic_no_such\n", 4),
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
        ("from fgic_core.kit import option\n", False),
        ("from fgic_core.kit import learn\n", True),
        ("from fgic_core.kit import NetworkClassifier\n", True),
        ("def fit():\n    from fgic_core.kit import learn\n", True),
        ("import fgic_core.kit as kit\n\nkit.learn\n", True),
        ("from fgic_core import kit\n\nkit.learn\n", True),
    ],
)
def test_of_the_core_a_plugin_reaches_what_defines_the_names_that_it_takes(
    text: str, reaches: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fgic_taker.py").write_text(f"from typing import TYPE_CHECKING\n\n{text}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ("torch" in Sources(Memory()).reached("fgic_taker").packages) is reaches


Site = Callable[[dict[str, str]], Path]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Writes files into a folder such as pip installs into, which is on the path."""

    def make(files: dict[str, str]) -> Path:
        folder = tmp_path / "site-packages"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return make


PLUGIN = {
    "fgic_till/__init__.py": "import fgic_bank\nfrom fgic_till import _coins\n",
    "fgic_till/_coins.py": "EURO = 1\n",
}


def digest(module: str) -> str:
    return Sources(Memory()).reached(module).digest


def test_a_plugin_counts_by_its_sources_where_pip_has_copied_them_too(site: Site) -> None:
    """``pip install .`` once more, without a new version, is another plugin."""
    folder = site({**PLUGIN, "fgic_bank.py": "RATE = 1\n"})
    before = Sources(Memory()).reached("fgic_till")
    assert before.packages == ("fgic_bank",), "another package counts by its version"
    (folder / "fgic_bank.py").write_text("RATE = 2\n")
    (folder / "fgic_till" / "_coins.py").write_text("EURO = 1  # a comment\n")
    assert digest("fgic_till") == before.digest
    (folder / "fgic_till" / "_coins.py").write_text("EURO = 2\n")
    assert digest("fgic_till") != before.digest


def test_a_component_that_another_module_makes_counts_by_both(site: Site) -> None:
    """The entry point names where it is declared; the class says where it was made."""
    files = {"fgic_declared.py": "from fgic_maker import make\n\nMade = make(3)\n", "fgic_maker.py": "WIDTH = 1\n"}
    folder = site(files)

    class Made(Cropper):
        __module__ = "fgic_maker"

        def region(self, box, image):
            return box

    entry = Entry("cropper", "made", "fgic-maker", "1.0", "", "fgic_declared:Made")

    def sources() -> str:
        document = Keys(Memory()).document(describe(Made(), manifest_of(entry, Made)), 0, {})
        assert document.untraced == ()
        return document.content["package"]["sources"]

    before = sources()
    assert sources() == before
    for name, text in files.items():
        (folder / name).write_text(text.replace("3", "4").replace("1", "2"))
        assert sources() != before, name
        (folder / name).write_text(text)
    for name, text in files.items():
        (folder / name).write_text(text + "\n\ndef f(name):\n    return open(__file__ + name)\n")
        document = Keys(Memory()).document(describe(Made(), manifest_of(entry, Made)), 0, {})
        line = text.count("\n") + 4
        assert document.untraced == (f"which files it opens is not known before it runs ({name}:{line})",)
        (folder / name).write_text(text)


@pytest.mark.parametrize("text", ["PRICES = Path(__file__).with_name('prices.csv')\n", "PRICES = 'prices.csv'\n"])
def test_a_file_that_a_module_names_counts_and_no_other_beside_it(text: str, site: Site) -> None:
    """Beside a module that is no package, whoever opens it; all that lies in a package counts anyway."""
    folder = site({"fgic_shop.py": f"from pathlib import Path\n\n{text}", "prices.csv": "1\n", "notes.csv": "1\n"})
    before = digest("fgic_shop")
    (folder / "notes.csv").write_text("2\n")
    assert digest("fgic_shop") == before
    (folder / "prices.csv").write_text("2\n")
    assert digest("fgic_shop") != before


@pytest.mark.parametrize(
    ("opens", "counts", "spared", "known"),
    [
        ("(HERE / 'tables' / 'a.csv').read_text()", "tables/a.csv", "tables/b.csv", True),
        ("list((HERE / 'tables').iterdir())", "tables/b.csv", "notes.csv", True),
        ("(HERE / 'tables' / f'{name}.csv').read_text()", "tables/b.csv", "notes.csv", True),
        ("open(os.path.join(os.path.dirname(__file__), 'PRICES'))", "PRICES", "notes.csv", True),
        ("open(f'{HERE}/PRICES')", "PRICES", "notes.csv", True),
        ("open(HERE.joinpath('PRICES'))", "PRICES", "notes.csv", True),
        ("Path(__file__).with_suffix('.csv').read_text()", "fgic_shop.csv", "notes.csv", True),
        ("Path(__file__).resolve().parents[0].joinpath('PRICES').open()", "PRICES", "notes.csv", True),
        ("Path(__file__).stem", None, "notes.csv", True),
        ("(HERE / name).read_text()", None, "notes.csv", False),
        ("Path(__file__).with_name(f'{name}.csv').read_text()", None, "notes.csv", False),
        ("(HERE / 'PRICES').with_suffix(name).read_text()", None, "notes.csv", False),
        ("open(__file__.replace('.py', '.csv'))", None, "notes.csv", False),
        ("list(HERE.glob('*.csv'))", None, "notes.csv", False),
        ("(HERE / 'none_such.csv').read_text()", None, "notes.csv", False),
        ("importlib.resources.files('fgic_data') / 'x.csv'", "fgic_data/x.csv", "notes.csv", True),
        ("importlib.resources.files(name)", None, "notes.csv", False),
        ("pkgutil.get_data('fgic_data', 'x.csv')", "fgic_data/x.csv", "notes.csv", True),
        ("fgic_data.__path__", "fgic_data/x.csv", "notes.csv", True),
        ("__import__('fgic_data', fromlist=['late'])", "fgic_data/late.py", "notes.csv", True),
    ],
)
def test_what_a_module_opens_beside_itself_counts_or_is_a_reason(
    opens: str, counts: str | None, spared: str, known: bool, site: Site
) -> None:
    text = "import fgic_data, importlib.resources, os, pkgutil\nfrom pathlib import Path\n\n"
    data = ["tables/a.csv", "tables/b.csv", "notes.csv", "PRICES", "fgic_shop.csv", "fgic_data/x.csv"]
    text += f"HERE = Path(__file__).parent\n\n\ndef f(name):\n    return (HERE / 'PRICES').name, {opens}\n"
    folder = site({"fgic_shop.py": text, "fgic_data/late.py": "X = 1\n", **dict.fromkeys(data, "1\n")})
    before = Sources(Memory()).reached("fgic_shop", "fgic_data")
    assert before.unknown_files == (() if known else ("fgic_shop.py:8",))
    (folder / spared).write_text("X = 2\n")
    assert Sources(Memory()).reached("fgic_shop", "fgic_data").digest == before.digest
    if counts is not None:
        (folder / counts).write_text("X = 2\n")
        assert Sources(Memory()).reached("fgic_shop", "fgic_data").digest != before.digest


@pytest.mark.parametrize(
    "opens",
    [
        "from pathlib import Path\nX = Path(__file__).parent / 'any'\n",
        "from importlib import resources\nX = resources.files(__package__)\n",
        "import pkgutil\nX = pkgutil.get_data(__name__, 'any')\n",
        "X = list(__path__)\n",
    ],
)
def test_of_a_package_that_asks_where_it_lies_every_file_counts(opens: str, site: Site) -> None:
    """Sources that nobody imports among them: a config in Python is data to who reads it."""
    files = {"fgic_till/__init__.py": f"{opens}from fgic_till import _coins\n", "fgic_till/_coins.py": "EURO = 1\n"}
    folder = site({**files, "fgic_till/strong/config.py": "k = 1\n"}) / "fgic_till"
    before = digest("fgic_till")
    (folder / "_coins.py").write_text("EURO = 1  # a comment\n")
    assert digest("fgic_till") == before
    (folder / "strong" / "config.py").write_text("k = 2\n")
    assert digest("fgic_till") != before
    assert Sources(Memory()).reached("fgic_till").unknown_files == ()


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ({}, True),
        ({"section.py": "from fgic_core.report import article\n"}, False),  # no section names it
        ({"section.py": "SHOWN = f'{__package__}/goods.html.j2'\n"}, False),  # it is no section
        ({"__init__.py": "from fgic_shop import section\n"}, False),  # what is computed stands on the section
        ({"driver.py": "NAME = 'goods.html.j2'\n"}, False),  # what is computed names it
        ({"driver.py": "NAME = open(f'{__file__}/../goods.html.j2')\n"}, False),  # or opens what lies there
    ],
)
def test_the_template_of_a_section_counts_for_the_page_alone(change: dict[str, str], still: bool, site: Site) -> None:
    files = {
        "__init__.py": "",
        "driver.py": "NAME = 'goods'\n",
        "section.py": "from fgic_core.report import article\n\nSHOWN = [f'{__package__}/goods.html.j2', 'goods.j2']\n",
        "goods.html.j2": "1\n",
        "goods.j2": "1\n",
        **change,
    }
    folder = site({f"fgic_shop/{name}": text for name, text in files.items()}) / "fgic_shop"
    before = digest("fgic_shop.driver")
    (folder / "goods.html.j2").write_text("2\n")
    assert (digest("fgic_shop.driver") == before) is still
    (folder / "goods.html.j2").write_text("1\n")
    (folder / "goods.j2").write_text("2\n")
    assert digest("fgic_shop.driver") != before


def test_of_what_lies_in_a_package_nothing_counts_that_systems_and_editors_leave(site: Site) -> None:
    folder = site({**PLUGIN, "fgic_till/prices.csv": "1\n"}) / "fgic_till"
    before = digest("fgic_till")
    people = ("README.md", "LICENSE", "py.typed", "tests/test_coins.py", "tests/data/x.csv")
    for name in (".DS_Store", ".git/HEAD", "prices.csv~", "prices.csv.swp", "__pycache__/x.nbi", "old.pyc", *people):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("x")
        assert digest("fgic_till") == before, name
    (folder / "prices.csv").write_text("2\n")
    assert digest("fgic_till") != before


SCRIPT = """
from importlib import import_module

from fgic_core import Cropper
from fgic_core.store.memory import Memory
from fgic_core.plan.notebook import reached_by_class
from fgic_core.plan.sources import Sources


class Plain(Cropper):
    def region(self, box, image):
        return box


class Lacking(Plain):
    def region(self, box, image):
        import fgic_no_such


class Reading(Plain):
    def region(self, box, image):
        open(__file__)


class Chosen(Plain):
    name: str = "math"

    def region(self, box, image):
        import_module(self.name)


for made in (Plain, Lacking, Reading, Chosen):
    reached = reached_by_class(made, Sources(Memory()))
    print(made.__name__, *reached.untraced, *reached.missing, "/", *reached.unknown_files)
"""


def test_of_a_class_of_a_script_too_it_is_said_what_it_imports_unknown(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Plain /\nLacking fgic_no_such (Lacking) /\nReading / Reading\nChosen Chosen /\n"


PATCHES = """
import fgic_patched_crop
from fgic_core import Cropper, Pipeline, Registry
from fgic_core.errors import FgicError
from fgic_core.plan.notebook import reached_by_class
from fgic_core.plan.sources import Sources
from fgic_core.registry import Entry
from fgic_core.store.memory import Memory

known = Registry([Entry("cropper", "installed", "fgic-patched", "1", "", "fgic_patched_crop:Installed")])


class Own(Cropper):
    def region(self, box, image):
        return box


def wider(self, box, image):
    return box.expanded(0.1)


def narrower(self, box, image):
    return box.expanded(-0.1)


def alone(box, image):
    return box


def digest(made):
    return reached_by_class(made, Sources(Memory())).digest


for made in (Own, fgic_patched_crop.Installed):
    region, seen = made.region, [digest(made)]
    for patch in (wider, narrower, staticmethod(alone), region):
        made.region = patch
        seen.append(digest(made))
    print(len(set(seen)), seen[0] == seen[-1])

fgic_patched_crop.Installed.region = wider
steps = {"d": {"uses": "dataset/drawn"}, "c": {"uses": "cropper/installed"}}


class Drawn(fgic_patched_crop.DatasetReader):
    def classes(self):
        return ["a"]

    def samples(self, ctx):
        return iter(())


known.register("drawn", Drawn)
pipeline = Pipeline.from_dict({"version": 1, "steps": steps}, registry=known)
try:
    pipeline.run(store="s", isolation="run")
except FgicError as error:
    print(error)
"""
PATCHED = """
from fgic_core import Cropper, DatasetReader


class Installed(Cropper):
    def region(self, box, image):
        return box
"""


def test_what_a_notebook_puts_into_a_class_counts_and_goes_to_no_other_process(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(PATCHES)
    (tmp_path / "fgic_patched_crop.py").write_text(PATCHED)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    own, installed, *said = done.stdout.splitlines()
    assert (own, installed) == ("4 True", "4 True"), done.stderr
    assert said[0] == (
        "step c (cropper/installed): Installed.region was changed in this process, and steps are computed in others"
    )


@pytest.mark.parametrize("uses", ["dataset/synthetic-birds", "cropper/square", "detector/torchvision", "explainer/cam"])
def test_what_a_node_is_handed_counts_though_no_driver_imports_it(uses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another way to draw random numbers, or to predict, would leave old artifacts in use."""
    from fgic_core.description.here import Here
    from fgic_core.description.model import Request
    from fgic_core.registry import Registry

    keys, asked = Keys(Memory()), set()
    follow = keys.sources.reached
    monkeypatch.setattr(keys.sources, "reached", lambda *modules: asked.update(modules) or follow(*modules))
    (answer,) = Here(Registry()).describe([Request(uses, {}, Path())])
    assert answer.described is not None
    for node in ("use", "fit") if uses.startswith("detector") else ("use",):
        asked.clear()
        keys.document(answer.described, 0, {}, node)  # type: ignore[arg-type]
        assert "fgic_core.steps.context" in asked
        assert ("fgic_core.data.dataset" in asked) == (not uses.startswith("dataset"))
        assert ("fgic_core.kinds.classifier.model" in asked) == uses.startswith("explainer")
