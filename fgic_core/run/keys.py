"""What decides a step's output, and the digest of it that names the artifact."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgic_core.interfaces import Component
from fgic_core.registry import Entry

#: Raised whenever the meaning of a key or of an artifact's files changes.
KEY_FORMAT = 2

#: What of the core decides what a step gives; the modules are those that plugins train by.
_CORE = ("data", "interfaces", "steps", "training.py", "weights.py", "openmmlab.py")


def key_document(
    entry: Entry, component: Component, seed: int, inputs: Mapping[str, str], options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Everything that decides the output of a step: no path, no time, nothing of this machine.

    Args:
        entry: the component's declaration.
        component: its options; what lies at paths counts by content (`fgic_core.interfaces.component.fingerprint`).
        seed: the step's seed.
        inputs: keys of the input artifacts by input name.
        options: the component's options with fingerprints, where they were taken already.
    """
    return {
        "format": KEY_FORMAT,
        "core": core_version(),
        "uses": entry.uses,
        "package": {"name": entry.package, "version": package_version(entry, type(component))},
        "options": dict(options)
        if options is not None
        else component.model_dump(mode="json", context={"fingerprint": True}),
        "seed": seed,
        "inputs": dict(inputs),
    }


def key_of(document: Mapping[str, Any]) -> str:
    """The BLAKE2b-128 digest of a key document, 32 hexadecimal digits."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def training_key(document: Mapping[str, Any], component: Component) -> str | None:
    """The digest of what decides what a component learns; None where that is all that decides the step's output.

    Args:
        document: the step's key document.
        component: says which options play no part in its training (`Component.after_fit`).
    """
    if not component.after_fit:
        return None
    options = {name: value for name, value in document["options"].items() if name not in component.after_fit}
    inputs = {name: key for name, key in document["inputs"].items() if name in component.takes}
    return key_of({**document, "options": options, "inputs": inputs})


@lru_cache(maxsize=1)
def core_version() -> str:
    """The core's version; for an editable install with the digest of the sources that decide a step's output."""
    from fgic_core import __version__

    if not _is_editable("fgic"):
        return __version__
    home = Path(__file__).parents[1]
    return f"{__version__}+{_sources(*(home / name for name in _CORE))}"


def package_version(entry: Entry, component: type[Component]) -> str:
    """The version of a component's package; for an editable install with the digest of its sources.

    A component of this process (`Registry.register`) counts by its source text.
    """
    try:
        editable = _is_editable(entry.package)
    except metadata.PackageNotFoundError:
        return _class_digest(component)
    if not editable:
        return entry.version
    return f"{entry.version}+{_module_digest(entry.target.partition(':')[0].partition('.')[0])}"


def _is_editable(package: str) -> bool:
    text = metadata.distribution(package).read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))


@lru_cache(maxsize=64)
def _module_digest(module: str) -> str:
    found = find_spec(module)
    if found is None or found.origin is None:
        return "unknown"
    places = [Path(place) for place in found.submodule_search_locations or [found.origin]]
    return _sources(*places)


def _class_digest(component: type[Component]) -> str:
    try:
        text = inspect.getsource(component)
    except (OSError, TypeError):
        text = component.__qualname__
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _sources(*places: Path) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(place.parent).as_posix()}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
