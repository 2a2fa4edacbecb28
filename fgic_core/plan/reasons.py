"""What changed since a step was last computed, in words, by its key documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fgic_core.plan.fingerprints import UNREAD


class _Package(BaseModel):
    """What a key document says of the package of a component that an option names."""

    name: str


class _StepPackage(BaseModel):
    within: dict[str, _Package] = {}


class _Kind(BaseModel):
    """What it says of the package that a step's kind is from, where that is another than fgic."""

    package: str
    fgic: str


class _Last(BaseModel):
    """What is looked at of the key document that a store remembers."""

    model_config = ConfigDict(strict=True)

    uses: str
    options: dict[str, Any]
    package: _StepPackage
    stands_on: dict[str, str] = {}
    inputs: dict[str, Any]
    seed: Any
    core: Any
    format: Any
    kind: _Kind | None = None


def is_document(last: Any) -> bool:
    """Whether what a store remembers of a step is a key document, and not whatever else somebody left there."""
    try:
        _Last.model_validate(last)
    except ValidationError:
        return False
    return True


def changes(last: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """What differs between two key documents of a step, but for its inputs."""
    if last["uses"] != document["uses"]:
        return [f"uses changed from {last['uses']}"]
    found = _options(last["options"], document["options"])
    if last["seed"] != document["seed"]:
        found.append(f"seed changed from {last['seed']} to {document['seed']}")
    elif last.get("streams", {}) != document.get("streams", {}):
        found.append("what its seed draws changed")
    found += _packages(last, document)
    if (last["core"], last["format"]) != (document["core"], document["format"]):
        found.append(_driver(last, document))
    return found


def _driver(last: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Whose code changed by which a component is driven: fgic's, or that of the package which its kind is from."""
    before, now = last.get("kind"), document.get("kind")
    if now is None or before is None or last["format"] != document["format"]:
        return "fgic itself changed"
    if before["package"] == now["package"] and before["fgic"] != now["fgic"]:
        return "fgic itself changed"
    return f"the kind {document['uses'].partition('/')[0]} changed, which is from {now['package']}"


def _options(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    """What differs between options; of a component that an option names, between its own."""
    found = []
    for name in sorted({*before, *now}):
        one: Any = before.get(name)
        other: Any = now.get(name)
        if one == other:
            continue
        if not (_names_component(one) and _names_component(other)):
            found.append(_option(f"{above}{name}", one, other))
        elif one["uses"] != other["uses"]:
            found.append(f"{above}{name} changed from {one['uses']} to {other['uses']}")
        else:
            found += _options(one["with"], other["with"], f"{above}{name}.with.")
    return found


def _names_component(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"uses", "with"} and isinstance(value["with"], Mapping)


def _packages(last: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    before, now = last["package"], document["package"]
    found = _package(before, now)
    within, inner = before.get("within", {}), now.get("within", {})
    for where in sorted(within.keys() & inner.keys()):
        if within[where]["name"] != inner[where]["name"]:  # the option itself says it
            continue
        found += [f"{one} ({where})" for one in _package(within[where], inner[where])]
    stood, stands = last.get("stands_on", {}), document["stands_on"]
    return found + [
        f"{name} changed from {stood.get(name, 'none')} to {stands.get(name, 'none')}"
        for name in sorted({*stood, *stands})
        if stood.get(name) != stands.get(name)
    ]


def _package(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = ("name", "version", "sources")
    if all(before.get(name) == now[name] for name in names):
        return []
    same = before.get("version") == now["version"]
    how = ": its source changed" if same else f" changed from {before.get('version')} to {now['version']}"
    return [f"{now['name']}{how}"]


def _option(name: str, before: Any, now: Any) -> str:
    if name == "(reads)":
        return "a file that its options lead to changed"
    if _is_fingerprint(now) and str(now).startswith(UNREAD):
        return f"pictures in {name} are new, or changed"
    if _has_fingerprint(before) or _has_fingerprint(now):  # which tells nobody anything
        if not before or not now:
            return f"{name} {'was set' if now else 'is no longer set'}"
        return f"what lies at {name} changed"
    return f"{name} changed from {_short(before)} to {_short(now)}"


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"({UNREAD})?[0-9a-f]{{32}}", value) is not None


def _has_fingerprint(value: Any) -> bool:
    if isinstance(value, (list, Mapping)):
        return any(map(_has_fingerprint, value.values() if isinstance(value, Mapping) else value))
    return _is_fingerprint(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
