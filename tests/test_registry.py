from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from fgic_core import Box, Cropper, PluginError, Registry, Size
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Entry, published

BROKEN = """
from fgic_core import Box, Classifier, ComponentOption, Cropper, Detector, Input, Size
from pydantic import BaseModel, ConfigDict, Field

class Plain:
    pass

class Unfinished(Cropper):
    pass

class BadDefault(Cropper):
    margin: float = Field("wide", ge=0)
    def region(self, box, image): return box

class OutOfRange(Cropper):
    margin: float = Field(-1.0, ge=0)
    def region(self, box, image): return box

class Shadow(Cropper):
    reads: int = 1
    def region(self, box, image): return box

class Bare(Cropper):
    detector: Detector | None = None
    def region(self, box, image): return box

class Wrapped(Cropper):
    class Parts(BaseModel):
        detector: Detector | None = None
    parts: Parts = Parts()
    def region(self, box, image): return box

class InSet(Cropper):
    detectors: frozenset[ComponentOption[Detector]] | None = None
    def region(self, box, image): return box

class AsKey(Cropper):
    weights: dict[ComponentOption[Detector], float] = {}
    def region(self, box, image): return box

class _Layer(BaseModel):
    width: int = Field(3, validation_alias="w")

class _Ghost(BaseModel):
    width: int = Field(3, exclude=True)

class _ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    width: int = Field(3, validation_alias="w")

class Hidden(Cropper):
    margin: float = Field(0.0, exclude=True)
    def region(self, box, image): return box

class Aliased(Cropper):
    margin: float = Field(0.0, alias="Margin")
    def region(self, box, image): return box

class Deep(Cropper):
    layers: list[_Layer] = []
    def region(self, box, image): return box

class Ghost(Cropper):
    layer: _Ghost | None = None
    def region(self, box, image): return box

class ByName(Cropper):
    layers: dict[str, _ByName] = {}
    def region(self, box, image): return box

class NoPort(Cropper):
    inputs = {"dataset": Input("dataset"), "judge": "model"}
    def region(self, box, image): return box

class OfNoType(Cropper):
    inputs = {**Cropper.inputs, "judge": Input("modell", auto=False)}
    def region(self, box, image): return box

class Portless(Cropper):
    inputs = {"judge": Input("model", auto=False)}
    def region(self, box, image): return box

class Learning(Classifier):
    def fit(self, train, val, ctx): return None

class Untaught(Learning):
    inputs = {"teacher": Input("model", auto=False)}

class TaughtByMany(Learning):
    inputs = {"dataset": Input("dataset", many=True)}

class TaughtByModel(Learning):
    inputs = {"dataset": Input("model")}

class ListsColumns(Learning):
    columns = ["boxes"]

class SetsColumns(Learning):
    columns = {"boxes"}

class Fine(Cropper):
    def region(self, box, image): return box
"""


def entry(kind: str, name: str, target: str, package: str = "fgic-broken") -> Entry:
    return Entry(kind, name, package, "1.2", "", target)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with one sound component among broken ones."""
    (tmp_path / "broken_parts.py").write_text(BROKEN)
    (tmp_path / "broken_import.py").write_text("raise ValueError('planted')")
    (tmp_path / "broken_assert.py").write_text("assert False, 'mmcv is too new'")
    (tmp_path / "broken_exit.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry(
        [
            entry("cropper", "fine", "broken_parts:Fine"),
            entry("cropper", "raises", "broken_import:X"),
            entry("cropper", "asserts", "broken_assert:X"),
            entry("cropper", "exits", "broken_exit:X"),
            entry("cropper", "missing", "broken_parts:Absent"),
            entry("cropper", "plain", "broken_parts:Plain"),
            entry("cropper", "unfinished", "broken_parts:Unfinished"),
            entry("cropper", "bad-default", "broken_parts:BadDefault"),
            entry("cropper", "out-of-range", "broken_parts:OutOfRange"),
            entry("cropper", "shadow", "broken_parts:Shadow"),
            entry("cropper", "bare", "broken_parts:Bare"),
            entry("cropper", "wrapped", "broken_parts:Wrapped"),
            entry("cropper", "in-set", "broken_parts:InSet"),
            entry("cropper", "keyed", "broken_parts:AsKey"),
            entry("cropper", "excluded", "broken_parts:Hidden"),
            entry("cropper", "other-name", "broken_parts:Aliased"),
            entry("cropper", "deep", "broken_parts:Deep"),
            entry("cropper", "ghost", "broken_parts:Ghost"),
            entry("cropper", "by-name", "broken_parts:ByName"),
            entry("cropper", "no-port", "broken_parts:NoPort"),
            entry("cropper", "portless", "broken_parts:Portless"),
            entry("cropper", "typeless", "broken_parts:OfNoType"),
            entry("classifier", "untaught", "broken_parts:Untaught"),
            entry("classifier", "taught-by-many", "broken_parts:TaughtByMany"),
            entry("classifier", "taught-by-model", "broken_parts:TaughtByModel"),
            entry("classifier", "lists", "broken_parts:ListsColumns"),
            entry("classifier", "fine", "broken_parts:SetsColumns"),
            entry("detector", "fine", "broken_parts:Fine"),
            entry("chopper", "fine", "broken_parts:Fine"),
            entry("cropper", "twice", "broken_parts:Fine", "fgic-one"),
            entry("cropper", "twice", "broken_parts:Fine", "fgic-two"),
        ]
    )


@pytest.mark.parametrize(
    ("uses", "message"),
    [
        ("cropper/raises", "failed to load broken_import:X: ValueError: planted"),
        ("cropper/asserts", "failed to load broken_assert:X: AssertionError: mmcv is too new"),
        ("cropper/exits", "failed to load broken_exit:X: SystemExit: 3"),
        ("cropper/missing", "has no attribute 'Absent'"),
        ("cropper/plain", "broken_parts:Plain is not a subclass of Cropper"),
        ("cropper/unfinished", "broken_parts:Unfinished lacks region"),
        ("cropper/shadow", "broken_parts:Shadow has an option reads, which is the name of a method"),
        ("cropper/bare", "broken_parts:Bare has an option detector whose type is Detector itself"),
        ("cropper/wrapped", "broken_parts:Wrapped has an option parts whose type is Detector itself"),
        ("cropper/in-set", "broken_parts:InSet has an option detectors that names components in a set"),
        ("cropper/keyed", "broken_parts:AsKey has an option weights that names components in a set, or as the keys"),
        ("cropper/excluded", "broken_parts:Hidden keeps its option margin out of what is written down (exclude=True)"),
        ("cropper/other-name", "broken_parts:Aliased has its option margin read or written by another name (alias)"),
        ("cropper/deep", "broken_parts:Deep has its option layers.width read or written by another name (alias)"),
        ("cropper/ghost", "broken_parts:Ghost keeps its option layer.width out of what is written down"),
        ("cropper/bad-default", "has a field whose default is not legal: margin: Input should be a valid number"),
        ("cropper/out-of-range", "margin: Input should be greater than or equal to 0"),
        ("cropper/no-port", "broken_parts:NoPort declares its port judge as 'model'"),
        ("cropper/portless", "broken_parts:Portless has no port dataset, which every cropper has"),
        ("cropper/typeless", "broken_parts:OfNoType takes 'modell' at its port judge, which no kind gives"),
        ("classifier/untaught", "broken_parts:Untaught has no port dataset of one data set, which what learns is"),
        ("classifier/taught-by-many", "broken_parts:TaughtByMany has no port dataset of one data set"),
        ("classifier/taught-by-model", "broken_parts:TaughtByModel has no port dataset of one data set"),
        ("classifier/lists", "broken_parts:ListsColumns declares its columns as ['boxes']"),
        ("detector/fine", "broken_parts:Fine is not a subclass of Detector"),
        ("chopper/fine", "there is no kind 'chopper'"),
        ("cropper/twice", "cropper/twice is claimed by two packages: fgic-one 1.2 and fgic-two 1.2"),
    ],
)
def test_a_broken_plugin_says_which_and_why_and_the_others_work(broken: Registry, uses: str, message: str) -> None:
    with pytest.raises(PluginError) as failure:
        broken.get(uses)
    assert message in str(failure.value)
    assert uses in str(failure.value)
    assert broken.get("cropper/fine").__name__ == "Fine"
    assert broken.get("cropper/by-name").__name__ == "ByName"


def test_loading_everything_returns_every_failure(broken: Registry) -> None:
    failed = broken.load_all()
    assert set(failed) == set(broken.names()) - {"cropper/fine", "cropper/by-name", "classifier/fine"}


@pytest.mark.parametrize(
    ("uses", "advice"),
    [
        ("cropper/fien", "Did you mean cropper/fine?"),
        ("croper/fine", "Did you mean cropper/fine?"),
        ("cropper/golden", "Installed are cropper/asserts"),
        ("explainer/golden", "No explainer is installed."),
        ("nonsense", "A component is named kind/name"),
        ("classifier/timm", "Install it: pip install fgic-classify-timm"),
    ],
)
def test_an_unknown_component_gets_advice(broken: Registry, uses: str, advice: str) -> None:
    with pytest.raises(PluginError, match=f"no component {uses} is installed") as failure:
        broken.get(uses)
    assert advice in str(failure.value)


def test_installed_components_are_listed_without_being_imported() -> None:
    code = """
import sys
from fgic_core import Registry
entries = Registry().entries()
print(*(m for m in sys.modules if m.startswith("fgic_") and not m.startswith("fgic_core")))
print("torch" in sys.modules, len(entries))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "False"
    assert int(said[1]) >= len(published())


def test_every_installed_component_loads_and_is_described() -> None:
    registry = Registry()
    assert registry.load_all() == {}
    for uses in registry.names():
        component = registry.get(uses)
        assert component.kind == uses.partition("/")[0]
        assert (component.__doc__ or "").strip(), uses
        for name, field in component.model_fields.items():
            assert field.description, f"{uses}: {name} has no description"


def test_everything_published_by_this_project_is_installed() -> None:
    assert set(published()) <= set(Registry().names())


def test_a_component_of_this_process_can_be_registered() -> None:
    class Whole(Cropper):
        """The whole picture."""

        margin: float = Field(0.0, ge=0)

        def region(self, box: Box, image: Size) -> Box:
            return image.box

    registry = Registry([])
    registry.register("whole", Whole)
    component = registry.create("cropper/whole", margin=0.5)
    assert isinstance(component, Whole)
    assert component.margin == 0.5


def test_every_kind_has_a_driver() -> None:
    from importlib.util import find_spec

    assert all(find_spec(kind.driver) and (not kind.fit or find_spec(kind.fit)) for kind in KINDS.values())
