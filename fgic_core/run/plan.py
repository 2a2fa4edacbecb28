"""The plan of a spec: each step's key, and whether the store has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactType
from fgic_core.interfaces import Component, Wiring
from fgic_core.interfaces.ports import steps_of
from fgic_core.registry import Registry
from fgic_core.run.fingerprints import UNREAD
from fgic_core.run.keys import PROVISIONAL, KeyDocument, Keys, is_settled
from fgic_core.run.store import Store
from fgic_core.spec import Spec


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        name: its name in the spec.
        uses: its component, such as ``classifier/timm``.
        component: the component with its options.
        inputs: step names by port.
        gives: the type of its artifact.
        seed: its seed.
        key: the digest of `document`; the artifact's name in the store.
        document: everything that decides its output.
        folder: where the artifact lies or will lie.
        reused: whether the store has it.
        reason: why it is reused or computed, for people.
        settled: whether the key is one of content. If not, the content of an input, or of a folder of pictures, is not
            known yet, and once it is the store may turn out to have the artifact.
        volatile: whether it is computed every time, since not everything that decides its output can be known.
        content: the digest of what steps are given of its artifact; empty until there is one.
    """

    name: str
    uses: str
    component: Component
    inputs: Wiring
    gives: ArtifactType
    seed: int
    key: str
    document: Mapping[str, Any]
    folder: Path
    reused: bool
    reason: str
    settled: bool = True
    volatile: bool = False
    content: str = ""
    unread: frozenset[Path] = frozenset()


class Plan:
    """A spec with the key of each step and what is in the store.

    Attributes:
        spec: the spec; store: the store.
        fresh: whether everything is computed anew.
        steps: in the spec's order. `settle` brings one up to date.
    """

    def __init__(self, spec: Spec, registry: Registry, store: Store, keys: Keys, fresh: bool = False) -> None:
        self.spec, self.store, self.fresh = spec, store, fresh
        self._registry, self._keys = registry, keys
        self._steps: dict[str, PlannedStep] = {}
        for step in spec.steps:
            self._steps[step.name] = self._planned(step.name)

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        return tuple(self._steps.values())

    def step(self, name: str) -> PlannedStep:
        return self._steps[name]

    def settle(self, name: str, progress: Callable[[int, int], None] = lambda done, total: None) -> PlannedStep:
        """The step with its key of content, now that its inputs exist; pictures that were never read are read.

        Args:
            name: the step's. The steps that it takes have their artifacts.
            progress: told how many pictures are read of how many.
        """
        for folder in self._steps[name].unread:
            self._keys.fingerprints.read(folder, progress)
        if not self._steps[name].settled:
            self._steps[name] = self._planned(name)
        return self._steps[name]

    def computed(self, name: str, content: str) -> None:
        """Take note of the content of a step that was computed."""
        self._steps[name] = replace(self._steps[name], content=content)

    def _planned(self, name: str) -> PlannedStep:
        step = self.spec.step(name)
        inputs = {port: self._given(given) for port, given in step.inputs.items()}
        document = self._keys.document(self._registry.entry(step.uses), step.component, step.seed, inputs)
        key, settled = document.key, is_settled(document.content)
        record, damage = self.store.look(key) if settled else (None, "")
        reused = record is not None and not self.fresh and not document.untraced
        return PlannedStep(
            step.name,
            step.uses,
            step.component,
            dict(step.inputs),
            step.component.gives,
            step.seed if step.component.draws() else 0,
            key,
            document.content,
            self.store.folder(key),
            reused,
            "in the store" if reused else self._why(name, key, document, damage),
            settled,
            bool(document.untraced),
            record.content if reused and record is not None else "",
            document.unread,
        )

    def _given(self, source: str | list[str]) -> Any:
        """What the key of a step has of one that it takes, or of several: its content, or what will make it."""
        if isinstance(source, list):
            return [self._given(one) for one in source]
        step = self._steps[source]
        return step.content or PROVISIONAL + step.key

    def _why(self, name: str, key: str, document: KeyDocument, damage: str) -> str:
        """Why a step is computed, by what differs from the last time a spec of this name ran it."""
        step, content = self.spec.step(name), document.content
        if self.fresh:
            return "--fresh was asked for"
        if document.untraced:
            return f"computed every time: {document.untraced[0]}"
        if damage:
            return f"is damaged in the store: {damage}"
        epoch = self.store.interrupted_after(key)
        if epoch:
            return f"was interrupted after epoch {epoch}; goes on from there"
        last = self.store.last(self.spec.name, name)
        if last is None:
            return "was never computed"
        changes = []
        if last["uses"] != content["uses"]:
            changes.append(f"uses changed from {last['uses']}")
        else:
            changes += _own_changes(last, content)
        changes += [
            self._input_change(port, given)
            for port, given in step.inputs.items()
            if last["inputs"].get(port) != content["inputs"][port]
        ]
        return "; ".join(changes) or "is no longer in the store"

    def _input_change(self, port: str, given: str | list[str]) -> str:
        names = steps_of(given)
        anew = [name for name in names if not self._steps[name].content]
        steps = f"step{'s' * (len(anew or names) != 1)} {' and '.join(anew or names)}"
        return f"its {port} ({steps}) " + ("is computed anew" if anew else "is another one")


def make_plan(spec: Spec, registry: Registry, store: Store, fresh: bool = False, keys: Keys | None = None) -> Plan:
    """Work out every key and look each up in the store. Computes nothing and writes nothing but what it remembers.

    Args:
        fresh: compute everything anew, whatever the store has.
        keys: works the keys out; by default with the user's memory of files.
    """
    keys = keys if keys is not None else Keys()
    plan = Plan(spec, registry, store, keys, fresh)
    keys.memory.flush()
    return plan


def _own_changes(last: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    before, now = last["options"], document["options"]
    changes = [
        _option_change(name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if last["seed"] != document["seed"]:
        changes.append(f"seed changed from {last['seed']} to {document['seed']}")
    changes += _package_changes(last, document)
    if (last["core"], last["format"]) != (document["core"], document["format"]):
        changes.append("fgic itself changed")
    return changes


def _package_changes(last: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    before, now = last["package"], document["package"]
    changes = []
    if before != now:
        same = before.get("version") == now.get("version")
        versions = "its source changed" if same else f"changed from {before.get('version')} to {now['version']}"
        changes.append(f"{now['name']}: {versions}" if same else f"{now['name']} {versions}")
    stood, stands = last.get("stands_on", {}), document["stands_on"]
    changes += [
        f"{name} changed from {stood.get(name, 'none')} to {stands.get(name, 'none')}"
        for name in sorted({*stood, *stands})
        if stood.get(name) != stands.get(name)
    ]
    return changes


def _option_change(name: str, before: Any, now: Any) -> str:
    if name == "(reads)":
        return "a file that its options lead to changed"
    if _is_fingerprint(now) and str(now).startswith(UNREAD):
        return f"pictures in {name} are new, or changed"
    if _is_fingerprint(before) and _is_fingerprint(now):
        return f"what lies at {name} changed"
    return f"{name} changed from {_short(before)} to {_short(now)}"


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"({UNREAD})?[0-9a-f]{{32}}", value) is not None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
