"""Descriptions of components from memory, so that a plan in which nothing changed imports no plugin.

What is remembered stands on: the options, where their paths lead and what lies there (and at what `Component.reads`
names), by content; the code of the class and of what its options name, docstrings too, and the versions of what that
stands on; what is installed; this Python; and the core's own code that makes descriptions. When any of these is another
one it is made anew. So it is always where it can't be known what it stands on: where sources import or open what only a
run would tell, where these look at the environment when they are imported, where `Component.untraced` says so, where
pictures were not read yet, for a class that was registered in this process, and for one whose code may have changed
since this process imported it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import fgic_core
from fgic_core.data.digest import digest_of
from fgic_core.description import Answer, Described, Describer, Here, Manifest, Request
from fgic_core.errors import PluginError
from fgic_core.kinds.component import Look
from fgic_core.kinds.table import KINDS
from fgic_core.plan.fingerprints import UNREAD
from fgic_core.plan.keys import Keys
from fgic_core.plan.packages import versions_of_modules
from fgic_core.plan.walk import walk
from fgic_core.registry import Registry
from fgic_core.store.memory import TICK, Stat

#: Raised whenever the meaning of what is remembered changes.
_FORMAT = 1
#: Where a class and its description are made.
_MAKERS = ("fgic_core.description.here", "fgic_core.contract", "fgic_core.registry")


class Remembered:
    """Remembers what another describer says. One object lives as long as one plan: everything is looked at once in it.

    Args:
        registry: what is installed.
        keys: looks at files and sources.
        describer: what makes descriptions; by default this process, from the classes.
    """

    def __init__(self, registry: Registry, keys: Keys | None = None, describer: Describer | None = None) -> None:
        self.registry, self.keys = registry, keys if keys is not None else Keys()
        self._describer: Describer = describer if describer is not None else Here(registry)
        self._manifests: dict[tuple[str, bool], Manifest] = {}

    def manifests(self, uses: Iterable[str], *, schema: bool = False) -> dict[str, Manifest | PluginError]:
        found: dict[str, Manifest | PluginError | None] = {one: self._manifest(one, schema) for one in uses}
        made = self._describer.manifests([one for one, manifest in found.items() if manifest is None], schema=schema)
        for one, manifest in made.items():
            if isinstance(manifest, Manifest):
                self._manifests[one, schema] = manifest
                if stamp := self._stamp(manifest):
                    self._put("manifest", self._place(one, schema), [stamp, manifest.model_dump(mode="json")])
        self.keys.memory.flush()
        return {one: made[one] if manifest is None else manifest for one, manifest in found.items()}

    def describe(self, requests: Sequence[Request]) -> list[Answer]:
        found = [self._described(request) for request in requests]
        began = time.time_ns()
        lacking = [request for request, one in zip(requests, found, strict=True) if one is None]
        made = iter(self._describer.describe(lacking))
        answers = []
        for request, one in zip(requests, found, strict=True):
            answer = Answer(described=one) if one is not None else next(made)
            if one is None:
                self._remember(request, answer, began)
            answers.append(answer)
        self.keys.memory.flush()
        return answers

    def _manifest(self, uses: str, schema: bool) -> Manifest | None:
        """The manifest from memory; None where there is none that is good."""
        if (uses, schema) in self._manifests:
            return self._manifests[uses, schema]
        told = self._get("manifest", self._place(uses, schema))
        if told is None:
            return None
        manifest = Manifest.model_validate(told[1])
        if told[0] != self._stamp(manifest):
            return None
        self._manifests[uses, schema] = manifest
        return manifest

    def _place(self, uses: str, schema: bool) -> str:
        """What a manifest is remembered under; nothing for what is not."""
        try:
            entry = self.registry.entry(uses)
        except PluginError:
            return ""
        return "" if self.registry.is_registered(uses) else f"{digest_of(asdict(entry))} {schema}"

    def _stamp(self, manifest: Manifest) -> str:
        """The digest of the code of a class; nothing where that is not known, or may not be what was imported."""
        if manifest.identity is not None:  # another Python has it, and remembers
            return ""
        if manifest.made:  # its defaults stand on more than code
            return ""
        looked = self.keys.identities.look(manifest)
        quiet = looked.newest < fgic_core.BEGAN - TICK * 1e9 and not looked.looks_around
        return digest_of([looked.identity.model_dump(), looked.texts]) if quiet and not looked.identity.doubts else ""

    @cached_property
    def _world(self) -> str:
        """The digest of what every description stands on; nothing where that may have changed since it was loaded."""
        core = self.keys.sources.reached(*_MAKERS)
        installed = [path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")]
        if max([core.newest, *(_changed(path, within=False) for path in installed)]) >= fgic_core.BEGAN - TICK * 1e9:
            return ""
        versions = versions_of_modules(core.packages, self.keys.memory)
        known = [*KINDS, *(asdict(entry) for entry in self.registry.entries())]
        return digest_of([_FORMAT, sys.version, sys.flags.optimize, core.digest, versions, known])

    def _described(self, request: Request) -> Described | None:
        """The description from memory; None where there is none that is good."""
        told = self._get("described", _digest(request))
        if told is None:
            return None
        manifests: dict[str, Manifest] = {}
        for uses, stamp in told["stamps"].items():
            manifest = self._manifest(uses, False)
            if manifest is None or self._stamp(manifest) != stamp:
                return None
            manifests[uses] = manifest
        if not all(Look(*look).is_as_it_was() for look in told["looks"]):
            return None
        if any(self.keys.fingerprints(Path(path)) != content for path, content in told["contents"].items()):
            return None
        about = told["described"]
        for where, uses in told["named"].items():
            about["named"][where]["manifest"] = manifests[uses]
        return Described.model_validate({**about, "manifest": manifests[request.uses]})

    def _remember(self, request: Request, answer: Answer, began: int) -> None:
        """Keep a description, where all that it stands on is known."""
        described = answer.described
        if described is None or any(one.untraced for one in described.recipes):
            return
        stamps = {}
        for one in described.recipes:
            uses = one.manifest.entry.uses
            if self.registry.is_registered(uses) or not (stamp := self._stamp(one.manifest)):
                return
            stamps[uses] = stamp
            self._put("manifest", self._place(uses, False), [stamp, one.manifest.model_dump(mode="json")])
        paths = {*described.files.values(), *(path for one in described.recipes for path in one.reads)}
        contents = {str(path): self.keys.fingerprints(path) for path in paths}
        if any(content.startswith(UNREAD) for content in contents.values()):
            return
        if any(_changed(path) >= began - TICK * 1e9 for path in paths):
            return
        about = described.model_dump(mode="json", exclude={"manifest": True, "named": {"__all__": {"manifest"}}})
        value = {
            "stamps": stamps,
            "named": {where: one.manifest.entry.uses for where, one in described.named.items()},
            "looks": answer.looks,
            "contents": contents,
            "described": about,
        }
        self._put("described", _digest(request), value)

    def _get(self, kind: str, place: str) -> Any:
        told = self.keys.memory.get(kind, place, self._world) if place and self._world else None
        return json.loads(told) if told is not None else None

    def _put(self, kind: str, place: str, value: Any) -> None:
        if place and self._world:
            self.keys.memory.put(kind, place, self._world, json.dumps(value))


def _digest(request: Request) -> str:
    """What a description is remembered under; nothing where options are no plain data, as they can be in Python."""
    try:
        return digest_of(request.to_dict())
    except (TypeError, ValueError):
        return ""


def _changed(path: Path, *, within: bool = True) -> int:
    """When what lies at a path, or below a folder there, was last changed, in nanoseconds.

    Where there is nothing it is the folder above that tells when there was something last.
    """
    try:
        below = walk(str(path)) if within and path.is_dir() else []
        stats = [Stat.of(path), *(file.stat for file in below if file.stat)]
    except OSError:
        return _changed(path.parent, within=False) if path != path.parent else 0
    return max(max(stat.mtime_ns, stat.ctime_ns) for stat in stats)
