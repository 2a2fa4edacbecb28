"""Versions of installed packages, found by the names of their folders: reading their metadata takes far longer."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata

from fgic_core.data.digest import digest_of
from fgic_core.store.memory import Memory

_FOLDER = re.compile(r"(?P<name>[A-Za-z0-9_.]+(?:-[A-Za-z_][A-Za-z0-9_.]*)*)-(?P<version>[^-]+)\.dist-info")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
#: Packages whose top-level module has another name than they.
_OTHERWISE = {"PIL": "pillow", "ruamel": "ruamel-yaml", "sklearn": "scikit-learn", "cv2": "opencv-python"}


def normalised(name: str) -> str:
    """A package's name as the index has it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_of(package: str) -> str | None:
    """A package's public version, without a local part such as ``+cu128``; None where it is not installed."""
    found = _installed(tuple(sys.path)).get(normalised(package))
    if found is None:
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            return None
    return found.partition("+")[0]


def versions_of_modules(tops: Iterable[str], memory: Memory) -> dict[str, str]:
    """Versions by package of what has these top-level modules; those that are not installed are left out."""
    found = {}
    for top in tops:
        for package in _packages_of(top, memory):
            if (version := version_of(package)) is not None:
                found[normalised(package)] = version
    return found


def declared(package: str) -> dict[str, str]:
    """Versions of what a package declares that it stands on, extras left out, as far as it is installed."""
    return {name: version for name in _requirements(package) if (version := version_of(name)) is not None}


@lru_cache(maxsize=256)
def _requirements(package: str) -> tuple[str, ...]:
    try:
        told = metadata.requires(package) or ()
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for requirement in told:
        name = _REQUIREMENT.match(requirement)
        if name and not re.search(r";.*\bextra\s*==", requirement):
            found.append(normalised(name[1]))
    return tuple(found)


def _packages_of(top: str, memory: Memory) -> list[str]:
    name, there = _OTHERWISE.get(top, top), _installed(tuple(sys.path))
    if normalised(name) in there:
        return [name]
    state = digest_of(there)
    told = memory.get("package", top, state)
    if told is None:  # reading what every installed package has takes a tenth of a second
        told = json.dumps(sorted(set(_by_module().get(top, ()))))
        memory.put("package", top, state, told)
    found: list[str] = json.loads(told)
    return found


@lru_cache(maxsize=1)
def _by_module() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@lru_cache(maxsize=8)
def _installed(paths: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        try:
            names = os.listdir(path or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info") and (match := _FOLDER.fullmatch(name)):
                found.setdefault(normalised(match["name"]), match["version"])
    return found
