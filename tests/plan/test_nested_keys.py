"""What an option names counts into the key as what the component itself is does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pytest
from pydantic import Field

from fgic_core import Attacker, Classifier, ComponentOption, InputFile, InputFolder, Registry, UseOnly
from fgic_core.data.artifact import ArtifactRecord
from fgic_core.description import describe, manifest_of
from fgic_core.errors import PluginError, StoreError
from fgic_core.nested import entry_of, nested
from fgic_core.pipeline import Pipeline
from fgic_core.plan.keys import KeyDocument, Keys
from fgic_core.plan.plan import make_plan
from fgic_core.plan.reasons import changes
from fgic_core.registry import Entry
from fgic_core.run.job import Job
from fgic_core.run.processes import run_in_processes
from fgic_core.run.workers import WorkerProcesses
from fgic_core.spec import SpecError
from fgic_core.steps.context import Listener
from fgic_core.store.artifacts import open_component
from fgic_core.store.memory import Memory
from fgic_core.store.store import Store

#: Sources that were parsed once are not parsed for each test.
MEMORY = Memory()


class Reading(Attacker):
    """Reads files, some of which its options only lead to."""

    file: InputFile | None = Field(None, description="A file, and the one beside it.")
    folder: InputFolder | None = Field(None, description="A folder.")
    plain: Path | None = Field(None, description="Nobody looks there.")
    random: bool = Field(False, description="Draws.")
    inner: ComponentOption[Attacker] | None = Field(None, description="Another one.")

    def draws(self) -> bool:
        return self.random

    def reads(self) -> Sequence[Path]:
        return [self.file.with_suffix(".beside")] if self.file is not None else []

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
        return images


class Hardened(Classifier):
    """Draws nothing itself."""

    attack: ComponentOption[Attacker] = Field(description="Makes the pictures.")
    judge: UseOnly[ComponentOption[Attacker] | None] = Field(None, description="Plays no part in fit.")

    def draws(self) -> bool:
        return False

    def fit(self, train: Any, val: Any, ctx: Any) -> None:
        return None


@dataclass(frozen=True)
class Pair:
    """Two attacks, as the standard library's dataclass."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    weak: ComponentOption[Attacker]
    strong: ComponentOption[Attacker] | None = None


@pydantic.dataclasses.dataclass(frozen=True)
class Schedule:
    """Pairs, as pydantic's dataclass."""

    pairs: list[Pair]


class Scheduled(Hardened):
    """Its attacks stand in dataclasses."""

    attack: Schedule = Field(description="Makes the pictures.")  # type: ignore[assignment]


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.register("scheduled", Scheduled, "own-classifiers")
    made.register("reading", Reading, "own-attacks")
    made.register("hardened", Hardened, "own-classifiers")
    return made


def document(
    registry: Registry, node: Any = "use", seed: int = 0, uses: str = "classifier/hardened", **options: Any
) -> KeyDocument:
    made = describe(registry.create(uses, **options), manifest_of(registry.entry(uses), registry.get(uses)))
    return Keys(MEMORY).document(made, seed, {}, node)


def reading(**options: Any) -> dict[str, Any]:
    return {"uses": "attacker/reading", "with": options}


def test_its_package_and_what_that_stands_on_count(registry: Registry) -> None:
    found = document(registry, attack=reading(inner="attacker/pgd")).content
    within = found["package"]["within"]
    assert {where: told["name"] for where, told in within.items()} == {
        "attack": "own-attacks",
        "attack.with.inner": "fgic-attack-pgd",
    }
    assert len({told["sources"] for told in [found["package"], *within.values()]}) >= 2
    assert "torch" in found["stands_on"]


def test_what_its_options_name_and_lead_to_counts_by_content(registry: Registry, tmp_path: Path) -> None:
    for name in ("a.txt", "a.beside", "b.txt", "b.beside"):
        (tmp_path / name).write_text("1")
    attack = reading(file=str(tmp_path / "a.txt"))

    def key(attack: Any) -> str:
        return document(registry, attack=attack).key

    before = key(attack)
    assert key(reading(file=str(tmp_path / "b.txt"))) == before
    assert key(reading(inner=attack)) != before
    inner = key(reading(inner=attack))
    for name in ("a.txt", "a.beside"):
        (tmp_path / name).write_text("2")
        assert key(attack) != before
        assert key(reading(inner=attack)) != inner
        (tmp_path / name).write_text("1")
    assert (key(attack), key(reading(inner=attack))) == (before, inner)


def test_what_a_dataclass_among_its_options_names_counts_too(registry: Registry, tmp_path: Path) -> None:
    for name in ("a.txt", "a.beside"):
        (tmp_path / name).write_text("1")
    pair = {"weak": "attacker/pgd", "strong": reading(file=str(tmp_path / "a.txt"), random=True)}
    made = registry.create("classifier/scheduled", attack={"pairs": [pair]})
    assert list(nested(made)) == ["attack.pairs[0].weak", "attack.pairs[0].strong"]

    def key(seed: int = 0) -> str:
        return document(registry, seed=seed, uses="classifier/scheduled", attack={"pairs": [pair]}).key

    before = key()
    assert key(seed=1) != before
    (tmp_path / "a.beside").write_text("2")
    assert key() != before


def test_what_is_wrong_in_a_dataclass_is_said_where_it_stands(registry: Registry) -> None:
    for pair, message, hint in (
        ({"weak": "attacker/pgd", "stong": None}, "attack.pairs[0] has no option stong", "Did you mean strong?"),
        ({}, "attack.pairs[0] needs the option weak", "Write weak:"),
        ({"weak": {"uses": "attacker/pgd", "with": {"steps": True}}}, "weak.with.steps should be a number", ""),
    ):
        steps = {
            "birds": {"uses": "dataset/synthetic-birds"},
            "net": {"uses": "classifier/scheduled", "with": {"attack": {"pairs": [pair]}}},
        }
        with pytest.raises(SpecError) as caught:
            Pipeline.from_dict({"version": 1, "steps": steps}, registry=registry)
        assert message in str(caught.value)
        assert hint in str(caught.value)


def test_pictures_that_were_not_read_are_read_first(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    found = document(registry, attack=reading(inner=reading(folder=str(tmp_path))))
    assert found.unread == {tmp_path.resolve()}


def test_a_folder_that_was_not_named_before_was_set(registry: Registry, tmp_path: Path) -> None:
    def between(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        one, other = (document(registry, attack=reading(**options)).content for options in (before, now))
        return changes(one, other)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").touch()
    a, b = ({"folder": str(tmp_path / name)} for name in "ab")
    assert between({}, a) == ["attack.with.folder was set"]
    assert between(a, {}) == ["attack.with.folder is no longer set"]
    assert between(a, b) == ["what lies at attack.with.folder changed"]


def test_a_plain_path_is_a_doubt(registry: Registry) -> None:
    (doubt,) = document(registry, attack=reading(plain="x")).untraced
    assert doubt == "what lies at the option attack.with.plain is not looked at: its type is Path, not InputFile"


def test_the_seed_counts_where_it_draws(registry: Registry) -> None:
    def differ(attack: Any) -> bool:
        return document(registry, attack=attack).key != document(registry, seed=1, attack=attack).key

    assert not differ(reading())
    assert differ(reading(random=True))
    assert differ(reading(inner=reading(random=True)))


def test_the_seed_reaches_what_draws(registry: Registry, tmp_path: Path) -> None:
    def seed(attack: Any) -> int:
        steps = {
            "birds": {"uses": "dataset/synthetic-birds"},
            "net": {"uses": "classifier/hardened", "seed": 5, "with": {"attack": attack}},
        }
        spec = Pipeline.from_dict({"version": 1, "steps": steps}, registry=registry).spec
        return make_plan(spec, registry, Store(tmp_path), keys=Keys(MEMORY)).step("net").seed

    assert (seed(reading()), seed(reading(inner=reading(random=True)))) == (0, 5)


def test_what_fit_cannot_read_is_no_part_of_what_is_learned(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    judge = reading(file=str(tmp_path / "a.txt"), inner="attacker/pgd")
    for node, counts in (("fit", False), ("use", True)):
        with_it, without = (document(registry, node, attack=reading(), judge=one) for one in (judge, None))
        assert (with_it.key != without.key) is counts
        assert any(where.startswith("judge") for where in with_it.content["package"]["within"]) is counts


ATTACK = '''
import importlib

import hypothesis
from fgic_core import Attacker


class Named(Attacker):
    """Imports what nobody knows before."""

    def perturb(self, network, images, labels, eps, generator):
        return importlib.import_module(self.norm).zeros(images)
'''


@pytest.fixture
def named(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyDocument]:
    """What the key has of an attack whose module is not this one."""
    (tmp_path / "fgic_named_attack.py").write_text(ATTACK)
    monkeypatch.syspath_prepend(str(tmp_path))
    more = Registry([Entry("attacker", "named", "own-attacks", "0", "", "fgic_named_attack:Named")])
    for uses in ("attacker/reading", "classifier/hardened"):
        more.register(uses.partition("/")[2], registry.get(uses))
    yield document(more, attack=reading(inner="attacker/named"))
    sys.modules.pop("fgic_named_attack")


def test_what_it_imports_counts_by_version(named: KeyDocument, registry: Registry) -> None:
    assert "hypothesis" in named.content["stands_on"]
    assert "hypothesis" not in document(registry, attack=reading()).content["stands_on"]


def test_what_it_imports_by_a_name_of_its_own_is_a_doubt(named: KeyDocument) -> None:
    (doubt,) = named.untraced
    assert doubt.startswith("attacker/named in attack.with.inner: what it imports is not known before it runs (")


def test_what_this_process_alone_knows_is_computed_in_no_other(registry: Registry, tmp_path: Path) -> None:
    made = registry.create("classifier/hardened", attack=reading(inner=reading()))
    named = [entry_of(one).uses for one in nested(made).values()]
    more = made.model_dump(mode="json")
    job = Job(uses="classifier/timm", options=more, named=named, inputs={}, output=tmp_path, devices=2)
    with pytest.raises(PluginError, match="attacker/reading is known to this process alone, and another is to compute"):
        WorkerProcesses().submit(job, Listener())
    with pytest.raises(PluginError, match="attacker/reading is known to this process alone, and 2 devices need 2"):
        run_in_processes(job, Listener())


def test_an_artifact_whose_attack_is_not_installed_any_more_says_so(registry: Registry, tmp_path: Path) -> None:
    made = registry.create("classifier/hardened", attack=reading())
    about = {"type": "model", "uses": "classifier/hardened", "options": made.model_dump(mode="json")}
    about |= {"key": "0", "content": "0", "package": "own-classifiers", "version": "0", "seed": 0, "inputs": {}}
    ArtifactRecord(**about).sealed().write(tmp_path)
    assert open_component(tmp_path, registry) == made
    fewer = Registry()
    fewer.register("hardened", Hardened)
    with pytest.raises(StoreError, match=r"attack: no component attacker/reading is installed"):
        open_component(tmp_path, fewer)
