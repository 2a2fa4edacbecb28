"""The table of kinds: what is in it, what it costs, and what is said of rows that cannot be."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fgic_core import PluginError, Quantity, testing
from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.quantities import QUANTITIES, quantity
from fgic_core.kinds import table
from fgic_core.kinds.table import CORE, KINDS, Kind, Kinds
from fgic_core.registry import Entry, Registry
from fgic_core.run.job import Job, run_job
from fgic_core.store.artifacts import open_artifact

ROWS = """
from typing import ClassVar
from fgic_core import ArtifactType, Component, Input, Kind, Quantity

TRACKS = ArtifactType("tracks", "Where it went.", open="kind_rows:opened")
SPEED = Quantity("speed", "Speed", "pixels", "higher", meaning="How fast it went.")
MORE = {"suite": "kind_rows:TrackerSuite", "artifacts": (TRACKS,), "quantities": (SPEED,)}
TRACKER = Kind("tracker", "kind_rows:Tracker", "kind_rows", tensors=False, **MORE)
MASKER = Kind("masker", "kind_rows:Masker", "kind_rows", tensors=False)
LEARNER = Kind("learner", "kind_rows:Learner", "kind_rows", fit="kind_rows", tensors=False)
STRAYER = Kind("strayer", "kind_rows:Strayer", "kind_rows")
SECOND = Kind("second", "kind_rows:Tracker", "kind_rows", artifacts=(ArtifactType("tracks", open="kind_rows:other"),))
OTHER_NAME = Kind("walker", "kind_rows:Tracker", "kind_rows")
TAKEN = Kind("taker", "kind_rows:Tracker", "kind_rows", artifacts=(ArtifactType("dataset"),))
OTHERWISE = Kind("liar", "kind_rows:Tracker", "kind_rows", quantities=(Quantity("accuracy", "Speed"),))
NO_CONTRACT = Kind("lost", "kind_rows:Nowhere", "kind_rows")
WRONG_CONTRACT = Kind("wrong", "kind_rows:Tracker", "kind_rows")
NONE = "a tracker"

class Tracker(Component):
    kind: ClassVar[str] = "tracker"
    inputs: ClassVar = {}
    gives: ClassVar[str] = "tracks"

class Masker(Component):
    kind: ClassVar[str] = "masker"
    inputs: ClassVar = {}
    gives: ClassVar[str] = "dataset"

class Learner(Masker):
    kind: ClassVar[str] = "learner"
    inputs: ClassVar = {"dataset": Input("dataset")}

class Strayer(Tracker):
    kind: ClassVar[str] = "strayer"
    gives: ClassVar[str] = "footprints"

class TrackerSuite:
    pass

def opened(folder):
    return (folder / "tracks.txt").read_text()

def run(component, inputs, ctx):
    (ctx.folder / "notes.txt").write_text("there and back")

fit = run
"""


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """``rows(name=target, …)`` is a table with these kinds beside the core's."""
    (tmp_path / "kind_rows.py").write_text(ROWS)
    (tmp_path / "kind_broken.py").write_text("raise SystemError('planted')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kind_rows", raising=False)
    for name in ("speed",):
        monkeypatch.delitem(QUANTITIES, name, raising=False)

    def made(**targets: str) -> Kinds:
        return Kinds({name: [EntryPoint(name, target, table.GROUP)] for name, target in targets.items()})

    yield made
    QUANTITIES.pop("speed", None)


@pytest.fixture
def installed(rows, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """``installed(name=target, …)`` puts these kinds beside the core's, and gives a registry of one component of each.

    A component ``kind/own`` is its kind's contract itself.
    """

    def put(**targets: str) -> Registry:
        monkeypatch.setattr(KINDS, "__dict__", vars(rows(**targets)))
        return Registry([Entry(kind, "own", "fgic-rows", "1", "", f"kind_rows:{kind.title()}") for kind in targets])

    return put


def test_a_kind_from_elsewhere_stands_after_the_cores_and_is_imported_when_it_is_asked_for(rows) -> None:  # type: ignore[no-untyped-def]
    kinds = rows(tracker="kind_rows:TRACKER")
    assert list(kinds) == [*(row.name for row in CORE), "tracker"]
    assert "tracker" in kinds
    assert "kind_rows" not in sys.modules
    assert quantity("speed").unit == ""
    assert kinds["tracker"].interface.__name__ == "Tracker"
    assert quantity("speed").unit == "pixels"
    assert kinds.type("tracks").meaning == "Where it went."
    assert kinds.type("trax") is None
    assert kinds.interface("walker") is None


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("tracker", "kind_broken:X", "the kind tracker cannot be imported (kind_broken:X): SystemError: planted"),
        ("tracker", "kind_rows:NOWHERE", "the kind tracker cannot be imported (kind_rows:NOWHERE): AttributeError"),
        ("tracker", "kind_rows:NONE", "kind_rows:NONE is no kind of the name tracker"),
        ("runner", "kind_rows:OTHER_NAME", "kind_rows:OTHER_NAME is no kind of the name runner"),
        ("taker", "kind_rows:TAKEN", "the kind taker adds a type of artifact 'dataset', which the core has"),
        ("liar", "kind_rows:OTHERWISE", "its quantity accuracy has another meaning already"),
        ("lost", "kind_rows:NO_CONTRACT", "the contract of the kind lost cannot be imported (kind_rows:Nowhere)"),
        (
            "wrong",
            "kind_rows:WRONG_CONTRACT",
            "kind_rows:Tracker is no contract of the kind wrong: its kind is 'tracker'",
        ),
    ],
)
def test_a_row_that_cannot_be_says_why_and_the_others_stay(rows, name: str, target: str, said: str) -> None:  # type: ignore[no-untyped-def]
    kinds = rows(**{name: target})
    for _ in range(2):
        with pytest.raises(PluginError) as error:
            kinds[name].interface  # noqa: B018
        assert said in str(error.value)
    assert kinds.interface(name) is None
    assert kinds["cropper"].interface.__name__ == "Cropper"
    assert QUANTITIES["accuracy"].label == "Accuracy"


def test_a_kind_of_two_packages_is_of_neither() -> None:
    points = [EntryPoint("tracker", f"kind_{one}:TRACKER", table.GROUP) for one in ("one", "two")]
    with pytest.raises(PluginError, match="the kind tracker is claimed by several packages"):
        Kinds({"tracker": points})["tracker"]


def test_what_a_type_of_artifact_opens_is_what_a_component_is_given(
    rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    kinds = rows(tracker="kind_rows:TRACKER")
    monkeypatch.setattr("fgic_core.store.artifacts.KINDS", kinds)
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "tracks.txt").write_text("there and back")
    about = {"key": "k", "uses": "tracker/x", "package": "p", "version": "1", "options": {}, "seed": 0, "inputs": {}}
    ArtifactRecord(type="tracks", **about).sealed().write(folder)
    assert open_artifact(folder, Registry([]), {}, "cpu") == "there and back"


def test_a_kind_that_gives_what_no_kind_has_a_row_for_is_told(installed) -> None:  # type: ignore[no-untyped-def]
    registry = installed(strayer="kind_rows:STRAYER", tracker="kind_rows:TRACKER")
    with pytest.raises(PluginError) as error:
        registry.get("strayer/own")
    assert "every strayer gives 'footprints', which is no type of artifact" in str(error.value)
    assert "artifacts=(fgic_core.ArtifactType('footprints', …),)" in str(error.value)
    assert registry.get("tracker/own").__name__ == "Tracker"


@pytest.mark.parametrize(
    ("kind", "node", "said"),
    [
        ("masker", "use", "nothing that steps of the kind masker give was written: there is no dataset.json in"),
        ("learner", "fit", "nothing that steps of the kind learner give was written: there is no component in"),
        ("tracker", "use", "of the kind tracker wrote an artifact of type tracks that cannot be opened: FileNotFound"),
    ],
)
def test_a_driver_that_wrote_nothing_fails_its_own_step(  # type: ignore[no-untyped-def]
    installed, kind: str, node: str, said: str, tmp_path: Path
) -> None:
    registry = installed(**{kind: f"kind_rows:{kind.upper()}"})
    testing.tiny_dataset(tmp_path / "data", classes=1, per_class=1)
    output = tmp_path / "output"
    output.mkdir()
    inputs = {"dataset": tmp_path / "data"} if node == "fit" else {}
    with pytest.raises(PluginError) as error:
        run_job(Job(node=node, uses=f"{kind}/own", options={}, inputs=inputs, output=output), registry)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "kind_rows" in str(error.value), "where the driver is"
    assert (output / "notes.txt").exists()
    assert not (output / "artifact.json").exists()


def test_the_suite_of_a_kind_is_offered_beside_the_cores_whatever_other_kinds_do(installed) -> None:  # type: ignore[no-untyped-def]
    installed(broken="kind_broken:X", tracker="kind_rows:TRACKER")
    assert getattr(testing, "TrackerSuite", None) is sys.modules["kind_rows"].TrackerSuite
    assert testing.CropperSuite.__module__ == "fgic_core.kinds.cropper.suite"
    with pytest.raises(AttributeError, match=r"no attribute 'WalkerSuite'.*kind broken cannot be imported .*planted"):
        testing.WalkerSuite  # type: ignore[attr-defined]  # noqa: B018
    installed(tracker="kind_rows:TRACKER")
    with pytest.raises(AttributeError, match=r"no attribute 'WalkerSuite'$"):
        testing.WalkerSuite  # type: ignore[attr-defined]  # noqa: B018


def test_the_table_imports_no_kind() -> None:
    code = "import sys; from fgic_core.kinds.table import KINDS; assert 'attacker' in KINDS; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fgic_core.kinds.table" in loaded
    assert not [name for name in loaded if name.startswith("fgic_core.kinds.") and name.count(".") > 2]
    assert not {"pydantic", "numpy", "pyarrow", "torch"} & set(loaded)


def test_every_row_of_the_core_holds() -> None:
    from importlib import import_module

    for name in (row.name for row in CORE):
        row = KINDS[name]
        assert isinstance(row, Kind)
        assert row.interface.kind == name
        assert KINDS.type(row.interface.gives) is not None
        assert callable(import_module(row.section).section)
        assert table.named(row.suite, "the suite").__name__.endswith("Suite")
        if row.head:
            assert callable(import_module(row.head).card)


def test_a_package_that_is_found_twice_claims_its_kind_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder that holds its build's metadata is, where what was installed from it is on the path too."""
    for place in ("source", "site"):
        info = tmp_path / place / "fgic_rows-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fgic-rows\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[fgic.kind]\ntracker = kind_rows:TRACKER\n")
        monkeypatch.syspath_prepend(str(tmp_path / place))
    (tmp_path / "site" / "kind_rows.py").write_text(ROWS)
    monkeypatch.delitem(sys.modules, "kind_rows", raising=False)
    assert Kinds()["tracker"].package == "fgic-rows"
    QUANTITIES.pop("speed", None)


def test_a_type_that_two_kinds_add_in_two_ways_is_told(rows) -> None:  # type: ignore[no-untyped-def]
    kinds = rows(tracker="kind_rows:TRACKER", second="kind_rows:SECOND")
    with pytest.raises(PluginError, match="the type of artifact tracks is added by two kinds in two ways"):
        kinds.type("tracks")


def test_a_quantity_of_no_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="higher or lower is better"):
        Quantity("speed", "Speed", "pixels", "up")  # type: ignore[arg-type]
