"""The plan of a spec: each step's key, and whether the store has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactType
from fgic_core.interfaces import Component
from fgic_core.registry import Registry
from fgic_core.run.keys import key_document, key_of
from fgic_core.run.store import Store
from fgic_core.spec import Spec, SpecStep


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        name: its name in the spec.
        uses: its component, such as ``classifier/timm``.
        component: the component with its options.
        inputs: step names by input name.
        gives: the type of its artifact.
        seed: its seed.
        key: the digest of `document`; the artifact's name in the store.
        document: everything that decides its output.
        folder: where the artifact lies or will lie.
        reused: whether the store has it.
        reason: why it is reused or computed, for people.
    """

    name: str
    uses: str
    component: Component
    inputs: Mapping[str, str]
    gives: ArtifactType
    seed: int
    key: str
    document: Mapping[str, Any]
    folder: Path
    reused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec with the key of each step and what is in the store."""

    spec: Spec
    store: Store
    steps: tuple[PlannedStep, ...]

    def step(self, name: str) -> PlannedStep:
        return next(step for step in self.steps if step.name == name)


def make_plan(spec: Spec, registry: Registry, store: Store, fresh: bool = False) -> Plan:
    """Work out every key and look each up in the store. Computes nothing and writes nothing.

    Args:
        fresh: compute everything anew, whatever the store has.
    """
    planned: dict[str, PlannedStep] = {}
    for step in spec.steps:
        inputs = {name: planned[source].key for name, source in step.inputs.items()}
        document = key_document(registry.entry(step.uses), step.component, step.seed, inputs)
        key = key_of(document)
        reused = store.record(key) is not None and not fresh
        anew = [source for source in step.inputs.values() if not planned[source].reused]
        planned[step.name] = PlannedStep(
            step.name,
            step.uses,
            step.component,
            dict(step.inputs),
            step.component.gives,
            step.seed,
            key,
            document,
            store.folder(key),
            reused,
            "in the store"
            if reused
            else "--fresh was asked for"
            if fresh
            else _why(store, spec, step, key, document, anew),
        )
    return Plan(spec, store, tuple(planned.values()))


def _why(store: Store, spec: Spec, step: SpecStep, key: str, document: Mapping[str, Any], anew: list[str]) -> str:
    """Why a step is computed, by what differs from the last time a spec of this name ran it."""
    epoch = store.interrupted_after(key)
    if epoch:
        return f"was interrupted after epoch {epoch}; goes on from there"
    last = store.last(spec.name, step.name)
    if last is None:
        return "was never computed"
    inputs = [
        _input_change(name, source, anew)
        for name, source in step.inputs.items()
        if last["inputs"].get(name) != document["inputs"][name]
    ]
    if last["uses"] != document["uses"]:
        return "; ".join([f"uses changed from {last['uses']}", *inputs])
    return "; ".join([*_own_changes(last, document), *inputs]) or "is no longer in the store"


def _own_changes(last: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    before, now = last["options"], document["options"]
    changes = [
        _option_change(name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if last["seed"] != document["seed"]:
        changes.append(f"seed changed from {last['seed']} to {document['seed']}")
    package = document["package"]
    if last["package"] != package:
        changes.append(f"{package['name']} changed from {last['package']['version']} to {package['version']}")
    if (last["core"], last["format"]) != (document["core"], document["format"]):
        changes.append("fgic itself changed")
    return changes


def _option_change(name: str, before: Any, now: Any) -> str:
    if _is_fingerprint(before) and _is_fingerprint(now):
        return f"what lies at {name} changed"
    return f"{name} changed from {_short(before)} to {_short(now)}"


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


def _input_change(name: str, source: str, anew: list[str]) -> str:
    return f"its {name} (step {source}) " + ("is computed anew" if source in anew else "is another one")


def _short(value: Any) -> str:
    import json

    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
