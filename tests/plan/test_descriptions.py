"""Descriptions that are remembered: a plan in which nothing changed imports no plugin, and none is ever stale."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fgic_core
from fgic_core import Registry, registry
from fgic_core.description import Answer, Described, Manifest, Request, describe, manifest_of
from fgic_core.errors import FgicError
from fgic_core.kinds.component import TextFrom
from fgic_core.pipeline import Pipeline
from fgic_core.plan.descriptions import Remembered
from fgic_core.plan.interpreter import Interpreter
from fgic_core.plan.keys import Keys
from fgic_core.plan.plan import make_plan
from fgic_core.plan.sources import Reached, Sources
from fgic_core.registry import Entry
from fgic_core.spec import SpecError, described_anew, from_dict, load_spec, spec_schema
from fgic_core.store.memory import Memory
from fgic_core.store.store import Store

PLUGIN = '''
from pathlib import Path

from fgic_core import Attacker, ComponentOption, DatasetReader, InputFile, InputFolder
from fgic_made_helper import WIDEST
from pydantic import Field


class Shelf(DatasetReader):
    """Pictures on a shelf."""

    root: InputFolder = Field(description="Where the shelf is.")
    table: InputFile | None = Field(None, description="What stands there.")
    width: int = Field(3, ge=1, le=WIDEST, description="How many stand side by side.")
    attack: ComponentOption[Attacker] | None = Field(None, description="Knocks at it.")
    sure: bool = Field(True, description="Whether all is known.")

    def reads(self):
        return [self.table.with_suffix(".more")] if self.table is not None else []

    def untraced(self):
        return [] if self.sure else ["nobody knows"]

    def classes(self):
        return ["a", "b"]

    def samples(self, ctx):
        return iter(())
'''
ATTACK = '''
from fgic_core import Attacker


class Knock(Attacker):
    """Knocks."""

    hard: int = 1

    def perturb(self, network, images, labels, eps, generator):
        return images
'''
MODULES = {"fgic_made": PLUGIN, "fgic_made_helper": "WIDEST = 9\n", "fgic_made_attack": ATTACK}
ENTRIES = [
    Entry("dataset", "shelf", "fgic-made", "1.0", "", "fgic_made:Shelf"),
    Entry("attacker", "knock", "fgic-made-attack", "1.0", "", "fgic_made_attack:Knock"),
]
OPTIONS = {"root": "shelf", "table": "a.txt", "attack": {"uses": "attacker/knock", "with": {"hard": 2}}}


class Shop:
    """A package with two components, and what is asked about them, each time as by a process of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.entries = folder, list(ENTRIES)
        self.imported: list[str] = []
        for name, text in MODULES.items():
            (folder / f"{name}.py").write_text(text)
        (folder / "shelf").mkdir()
        (folder / "a.txt").write_text("a")
        load = registry.load

        def counted(entry: Entry) -> Any:
            self.imported.append(entry.uses)
            return load(entry)

        patch.setattr(registry, "load", counted)

    def describer(self, trusted: bool = True) -> Remembered:
        for name in MODULES:
            sys.modules.pop(name, None)
        self.imported.clear()
        return Remembered(Registry(self.entries), Keys(Memory(self.folder / "memory", trusted=trusted)))

    def described(self, options: Mapping[str, Any] = OPTIONS, **more: Any) -> Described:
        describer = self.describer()
        describer.manifests(["dataset/shelf"])
        (answer,) = describer.describe([Request("dataset/shelf", {**options, **more}, self.folder)])
        assert answer.described is not None, answer
        return answer.described

    def key(self) -> str:
        """The key of the step of a spec, which is planned."""
        describer = self.describer()
        step = {"uses": "dataset/shelf", "with": OPTIONS}
        spec = from_dict({"version": 1, "steps": {"d": step}}, describer.registry, self.folder, describer=describer)
        return make_plan(spec, describer.registry, Store(self.folder / "store"), keys=describer.keys).step("d").key


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fgic_core, "BEGAN", time.time_ns() + 10**18)  # as if nothing had changed since
    monkeypatch.setattr("fgic_core.plan.descriptions.TICK", 0.0)
    monkeypatch.setattr("fgic_core.store.memory.TICK", 0.0)
    yield Shop(tmp_path, monkeypatch)
    for name in MODULES:
        sys.modules.pop(name, None)


def test_what_is_remembered_is_what_the_class_says_and_needs_no_import(shop: Shop) -> None:
    made = shop.described()
    assert shop.imported == ["dataset/shelf", "attacker/knock"]
    found = shop.described()
    assert shop.imported == []
    assert found.model_dump() == made.model_dump()
    assert found.options["attack"] == {"uses": "attacker/knock", "with": {**found.options["attack"]["with"], "hard": 2}}
    assert found.reads == (shop.folder.resolve() / "a.more",)
    assert found.manifest.at(())["width"].type == "integer in [1, 9]"


def test_a_spec_is_planned_with_the_same_keys_where_no_plugin_can_be_imported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shop.key()
    assert shop.imported != []

    def refuse(entry: Entry) -> Any:
        raise AssertionError(f"{entry.uses} is imported")

    monkeypatch.setattr(registry, "load", refuse)
    assert shop.key() == made
    with pytest.raises(AssertionError, match="is imported"):
        shop.described(width=4)


def test_the_schema_is_remembered_too(shop: Shop) -> None:
    describer = shop.describer()
    made = spec_schema(describer.registry, describer)
    assert sorted(shop.imported) == ["attacker/knock", "dataset/shelf"]
    describer = shop.describer()
    assert spec_schema(describer.registry, describer) == made
    assert shop.imported == []


def edit(name: str, old: str, new: str) -> Callable[[Shop], None]:
    """A change of a file in the shop."""

    def change(shop: Shop) -> None:
        text = (shop.folder / name).read_text()
        assert old in text
        (shop.folder / name).write_text(text.replace(old, new))

    return change


def newer(shop: Shop) -> None:
    shop.entries[0] = replace(shop.entries[0], version="1.1")


def another(shop: Shop) -> None:
    shop.entries.append(Entry("attacker", "other", "fgic-other", "1.0", "", "fgic_made_attack:Knock"))


def elsewhere(shop: Shop) -> None:
    """The folder that an option names is a link that leads elsewhere."""
    (shop.folder / "shelf").rename(shop.folder / "moved")
    (shop.folder / "shelf").symlink_to("moved", target_is_directory=True)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edit("fgic_made.py", "Field(3,", "Field(4,"), id="its source"),
        pytest.param(edit("fgic_made.py", "Pictures on a shelf", "Pictures on two"), id="its help"),
        pytest.param(edit("fgic_made_helper.py", "9", "8"), id="what its source imports"),
        pytest.param(edit("fgic_made_attack.py", "hard: int = 1", "hard: int = 3"), id="what its options name"),
        pytest.param(edit("a.txt", "a", "b"), id="a file that an option names"),
        pytest.param(lambda shop: (shop.folder / "a.more").write_text("b"), id="a file that it reads comes"),
        pytest.param(lambda shop: (shop.folder / "shelf" / "new.txt").write_text("b"), id="what lies in a folder"),
        pytest.param(elsewhere, id="where a link leads"),
        pytest.param(newer, id="its version"),
        pytest.param(another, id="what is installed"),
    ],
)
def test_when_anything_changes_that_it_stands_on_it_is_made_anew(shop: Shop, change: Callable[[Shop], Any]) -> None:
    shop.described()
    change(shop)
    (found,) = shop.describer().manifests(["dataset/shelf"]).values()
    (now,) = shop.describer(trusted=False).manifests(["dataset/shelf"]).values()
    assert isinstance(found, Manifest)
    assert isinstance(now, Manifest)
    assert found.model_dump() == now.model_dump()
    shop.described()
    assert "dataset/shelf" in shop.imported
    shop.described()
    assert shop.imported == []


def test_the_core_another_python_and_what_it_stands_on_count(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = Sources.reached

    def edited(sources: Sources, *modules: str) -> Reached:
        found = reached(sources, *modules)
        return replace(found, digest="of another text") if "fgic_core.description.here" in modules else found

    for name, value in (
        ("fgic_core.plan.sources.Sources.reached", edited),
        ("sys.version", "4"),
        ("fgic_core.plan.identities.declared", lambda package: {"numpy": "1"}),
        ("fgic_core.plan.descriptions.versions_of_modules", lambda tops, memory: {"pydantic": "3"}),
    ):
        shop.described()
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            shop.described()
            assert shop.imported != [], name


def test_what_may_be_stale_is_not_remembered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_remembered(**more: Any) -> bool:
        shop.described(**more)
        shop.described(**more)
        return shop.imported == []

    assert is_remembered(width=1)
    assert not is_remembered(sure=False), "only a run would tell what it reads"
    (shop.folder / "shelf" / "a.png").write_bytes(b"1")
    assert not is_remembered(), "pictures were not read yet"
    (shop.folder / "shelf" / "a.png").unlink()
    assert is_remembered()
    source = shop.folder / "fgic_made_helper.py"
    with monkeypatch.context() as patch:  # the process is older than the change
        patch.setattr(fgic_core, "BEGAN", source.stat().st_ctime_ns)
        assert not is_remembered(width=2), "the class may be of the text before"
    for text in (
        "import os\n\nWIDEST = int(os.environ.get('W', 9))\n",
        "from os import getenv\n\n\ndef widest():\n    return int(getenv('W', 9))\n\n\nWIDEST = widest()\n",
    ):
        source.write_text(text)
        assert not is_remembered(width=4), "another process may have another environment"
    source.write_text("import os\n\nWIDEST = 9\n\n\ndef unused():\n    return os.environ\n")
    assert is_remembered(width=4)
    source.write_text("import importlib\n\nWIDEST = importlib.import_module('fgic_made' + '_attack') and 9\n")
    assert not is_remembered(width=3), "what it imports is not known"


MORE = "    more: list[int] = Field(default_factory={})\n"
HARD = "    hard: int = 1\n"
HELP = '    """Pictures on a shelf."""\n'


@pytest.mark.parametrize(
    ("uses", "name", "old", "new"),
    [
        pytest.param("dataset/shelf", "fgic_made", HELP, f"{HELP}\n{MORE}", id="of its own"),
        pytest.param(
            "dataset/shelf",
            "fgic_made",
            f"class Shelf(DatasetReader):\n{HELP}",
            f"class Shape(BaseModel):\n{MORE}\nclass Shelf(DatasetReader):\n{HELP}\n    shape: Shape = Shape()\n",
            id="of a model",
        ),
        pytest.param("attacker/knock", "fgic_made_attack", HARD, f"{HARD}{MORE}", id="of what it names"),
    ],
)
def test_a_default_that_a_function_makes_is_made_each_time(
    shop: Shop, uses: str, name: str, old: str, new: str
) -> None:
    """It may look at a clock or a file; a list that is empty always is the same."""
    for factory, remembered in (("list", True), ("lambda: [1]", False)):
        assert MODULES[name].count(old) == 1
        text = MODULES[name].replace(old, new.format(factory))
        (shop.folder / f"{name}.py").write_text(f"from pydantic import BaseModel, Field\n{text}")
        shop.described()
        shop.described()
        assert (shop.imported == []) == remembered, factory
        shop.describer().manifests([uses])
        assert (shop.imported == []) == remembered, f"the help tells of {factory}"


def test_a_class_of_this_process_is_not_remembered(shop: Shop) -> None:
    def answer() -> Answer:
        describer = shop.describer()
        describer.registry.register("own", describer.registry.get("dataset/shelf"))
        shop.imported.clear()
        describer.manifests(["dataset/own"])
        (found,) = describer.describe([Request("dataset/own", OPTIONS, shop.folder)])
        assert found.described is not None
        return found

    assert len(answer().looks) == len(answer().looks) == 2, "what was made has looks, what is remembered none"
    assert len(shop.describer().describe([Request("dataset/shelf", OPTIONS, shop.folder)])[0].looks) == 2


def test_a_file_that_changed_while_it_was_looked_at_is_looked_at_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fgic_core.plan.descriptions.TICK", 3600.0)
    shop.described()
    shop.described()
    assert shop.imported != []


def test_with_verify_nothing_remembered_is_believed(shop: Shop) -> None:
    made = shop.described()
    describer = shop.describer(trusted=False)
    describer.manifests(["dataset/shelf"])
    assert shop.imported == ["dataset/shelf"]
    (answer,) = describer.describe([Request("dataset/shelf", OPTIONS, shop.folder)])
    assert answer.described is not None
    assert answer.described.model_dump() == made.model_dump()


def test_a_plan_describes_anew_what_changed_since_the_spec_was_read(shop: Shop) -> None:
    describer = shop.describer()
    step = {"uses": "dataset/shelf", "with": OPTIONS}
    spec = from_dict({"version": 1, "steps": {"d": step}}, describer.registry, shop.folder, describer=describer)
    pipeline = Pipeline(spec, describer.registry)
    before = pipeline.plan(shop.folder / "store").step("d").key
    (shop.folder / "a.more").write_text("more")
    assert pipeline.plan(shop.folder / "store").step("d").key != before
    (shop.folder / "a.txt").unlink()
    with pytest.raises(
        FgicError, match=r"step d: the options of dataset/shelf are not legal any more: should be a file"
    ):
        pipeline.plan(shop.folder / "store")


def test_requests_and_answers_go_through_json(shop: Shop) -> None:
    described = shop.described()
    assert Described.model_validate(json.loads(described.model_dump_json())).model_dump() == described.model_dump()
    request = Request("dataset/shelf", OPTIONS, shop.folder, {"attacker/knock": {"hard": 3}}, ("dataset",))
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    request = replace(request, options={"attack": {"with": [TextFrom("a", Path("b"))]}})  # of --set
    (text,) = Request.from_dict(json.loads(json.dumps(request.to_dict()))).options["attack"]["with"]
    assert getattr(text, "base", None) == Path("b")
    with pytest.raises(TypeError, match="root is a PosixPath"):
        replace(request, options={"root": shop.folder}).to_dict()


SPEC = """\
version: 1
steps:
  birds: {uses: dataset/synthetic-birds, with: {num_classes: 3, object_scale: [0.5, 0.8]}}
  classifier: {uses: classifier/timm, with: {model: test_resnet, pretrained: false, epochs: 1}}
  pgd: {uses: attacker/pgd, with: {eps: [0, 8/255], steps: 2}}
"""
WRONG = """\
version: 1
steps:
  birds: {uses: dataset/synthetic-birds, with: {num_classes: 1, sise: 3}}
  lost: {uses: dataset/image-folder, with: {root: nowhere}}
  classifier: {uses: classifier/timm, with: {model: resnet5, epochs: soon, model_options: {num_classes: 3}}}
  more: {uses: generator/mix, with: {per_class: 3, ratio: 1.0, opacity: true}}
  pgd: {uses: attacker/pgd, with: {eps: [0, 8]}}
"""


def test_another_python_says_the_same(tmp_path: Path) -> None:
    """With the same keys, the same words for what is wrong and where, and what only this process has left out."""
    (tmp_path / "s.yaml").write_text(SPEC)
    (tmp_path / "w.yaml").write_text(WRONG)
    here, there = Registry(), Interpreter(sys.executable, [path for path in sys.path if path])
    specs = [load_spec(tmp_path / "s.yaml", here, ["pgd.with.steps=3"], describer) for describer in (there, None)]
    keys = Keys()
    plans = [make_plan(spec, here, Store(tmp_path / "store"), keys=keys) for spec in specs]
    assert [step.key for step in plans[0].steps] == [step.key for step in plans[1].steps]
    assert specs[0].resolved() == specs[1].resolved()
    assert all(step.described.manifest.identity is not None for step in specs[0].steps)
    said = []
    for describer in (there, None):
        with pytest.raises(SpecError) as caught:
            load_spec(tmp_path / "w.yaml", here, ["pgd.with.step=3"], describer)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert said[0].count("w.yaml:") == len(caught.value.problems) - 1
    (error,) = there.manifests(["attacker/none"]).values()
    assert "no component attacker/none is installed" in str(error)


def test_a_python_that_cannot_be_asked_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no module named fgic_core' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(
        FgicError, match=r"(?s)python: .*cannot be asked: ended with status 3; no module named fgic_core"
    ):
        Interpreter(broken).manifests(["attacker/pgd"])


def test_an_unchanged_check_imports_no_plugin(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "s.yaml").write_text(SPEC)
    code = (
        "import sys; sys.argv = ['fgic', 'check', 's.yaml']; from fgic_core.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted(name for name in sys.modules if name.startswith('fgic_')), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    first, again = (
        subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert again.stdout == first.stdout
    assert "fgic_classify_timm" in first.stderr
    assert [name for name in again.stderr.split() if not name.startswith("fgic_core")] == []


def test_sets_of_paths_count_in_one_order(tmp_path: Path) -> None:
    from fgic_core import Attacker, InputFile

    class Many(Attacker):
        """Names several files."""

        files: frozenset[InputFile] = frozenset()
        mark: str = "@"

        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
            return images

    known = Registry([])
    known.register("many", Many)
    for name in "abcd":
        (tmp_path / name).write_text(name)
    keys = set()
    for names in ("abcd", "dcba", "bdac"):
        made = known.create("attacker/many", base=tmp_path, files=list(names), mark="@set@@0")
        described = describe(made, manifest_of(known.entry("attacker/many"), Many))
        assert described.unordered not in ("@set@@0", "@set")
        document = Keys().document(described, 0, {})
        assert document.content["options"]["mark"] == "@set@@0"
        keys.add(document.key)
        first, *files = described.counted["files"]
        turned = described.model_copy(update={"counted": {**described.counted, "files": [first, *files[::-1]]}})
        keys.add(Keys().document(turned, 0, {}).key)
    assert len(keys) == 1


def test_an_answer_without_a_description_says_why(shop: Shop) -> None:
    describer = shop.describer()
    (manifest,) = describer.manifests(["dataset/shelf"]).values()
    assert isinstance(manifest, Manifest)
    (answer,) = describer.describe([Request("dataset/shelf", {"root": "gone"}, shop.folder)])
    assert answer == Answer.model_validate(json.loads(answer.model_dump_json()))
    assert [one.loc for one in answer.wrong] == [("root",)]
    (shop.folder / "gone").mkdir()
    (answer,) = describer.describe([Request("dataset/shelf", {"root": "gone"}, shop.folder)])
    assert answer.described is not None


def test_described_anew_is_the_same_where_nothing_changed(shop: Shop) -> None:
    describer = shop.describer()
    step = {"uses": "dataset/shelf", "with": OPTIONS}
    spec = from_dict({"version": 1, "steps": {"d": step}}, describer.registry, shop.folder, describer=describer)
    assert described_anew(spec, shop.describer()).resolved() == spec.resolved()
    assert shop.imported == []
