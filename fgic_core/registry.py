"""The registry: which components are installed, found by entry point and imported when they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from fgic_core.contract import load
from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.component import Component
from fgic_core.kinds.table import GROUP, KINDS
from fgic_core.points import PREFIX, points


@dataclass(frozen=True, slots=True)
class Entry:
    """One component that some installed package declares.

    Attributes:
        kind: its interface's word.
        name: its name within the kind.
        package: the distribution that declares it, its version, and its one-line summary.
        target: ``module:Class``.
    """

    kind: str
    name: str
    package: str
    version: str
    summary: str
    target: str

    @property
    def uses(self) -> str:
        """The word a spec names it by, such as ``classifier/timm``."""
        return f"{self.kind}/{self.name}"


class Registry:
    """Components by ``kind/name``.

    *Installed* is what a package declares; *loaded* is what was imported; *failed* is what could not be, with the
    reason. A name that two packages declare belongs to neither.

    Args:
        entries: what is installed; by default read from the environment's entry points.
    """

    def __init__(self, entries: Iterable[Entry] | None = None) -> None:
        self._given = None if entries is None else list(entries)
        self._loaded: dict[str, type[Component]] = {}
        self._failed: dict[str, PluginError] = {}
        self._registered: set[str] = set()

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in _installed() if self._given is None else self._given:
            found.setdefault(entry.uses, []).append(entry)
        return found

    def entries(self) -> list[Entry]:
        """Everything installed, in the order of kinds and by name. Imports nothing."""
        order = list(KINDS)
        return sorted(
            (entry for entries in self._entries.values() for entry in entries),
            key=lambda e: (order.index(e.kind) if e.kind in order else len(order), e.name, e.package),
        )

    def names(self) -> list[str]:
        """Every installed ``kind/name``, once."""
        return list(dict.fromkeys(entry.uses for entry in self.entries()))

    def entry(self, uses: str) -> Entry:
        """The declaration of a component.

        Raises:
            PluginError: it is not installed, or two packages claim it.
        """
        entries = self._entries.get(uses, [])
        if len(entries) > 1:
            claims = " and ".join(f"{e.package} {e.version}" for e in entries)
            raise PluginError(f"{uses} is claimed by two packages: {claims}", hint="Uninstall one of them.")
        if not entries:
            raise PluginError(f"no component {uses} is installed", hint=self._advice(uses))
        return entries[0]

    def _advice(self, uses: str) -> str:
        package = published().get(uses)
        if package:
            return f"Install it: pip install {package}"
        kind, _, name = uses.partition("/")
        if kind not in KINDS:
            kinds = nearest(kind, list(KINDS), 1)
            if kinds and name:
                return f"Did you mean {kinds[0]}/{name}?"
            return f"A component is named kind/name, with a kind out of {', '.join(KINDS)}."
        others = [entry.name for entry in self.entries() if entry.kind == kind]
        close = nearest(name, others)
        if close:
            return f"Did you mean {' or '.join(f'{kind}/{other}' for other in close)}?"
        installed = ", ".join(f"{kind}/{other}" for other in dict.fromkeys(others))
        return f"Installed are {installed}." if others else f"No {kind} is installed."

    def register(self, name: str, component: type[Component], package: str = "this process") -> None:
        """Add a component of this process, as a notebook or a test does."""
        entry = Entry(
            component.kind,
            name,
            package,
            "0",
            _first_line(component),
            f"{component.__module__}:{component.__qualname__}",
        )
        self._entries.setdefault(entry.uses, []).append(entry)
        self._loaded[entry.uses] = component
        self._registered.add(entry.uses)

    def is_registered(self, uses: str) -> bool:
        """Whether it is a component of this process, which no other can have."""
        return uses in self._registered

    def get(self, uses: str) -> type[Component]:
        """The component's class; imports its module at the first call.

        Raises:
            PluginError: it is not installed, is claimed twice, or fails to load. The message says why.
        """
        entry = self.entry(uses)
        if uses in self._failed:
            raise self._failed[uses]
        if uses not in self._loaded:
            try:
                self._loaded[uses] = load(entry)
            except PluginError as error:
                self._failed[uses] = error
                raise
        return self._loaded[uses]

    def create(self, uses: str, base: Path | None = None, **options: Any) -> Component:
        """A component with these options, for use without a spec.

        Args:
            uses: ``kind/name``.
            base: folder that relative paths in the options start at; the working directory by default.

        Raises:
            PluginError: see `get`.
            pydantic.ValidationError: an option is unknown or has no legal value.
        """
        return self.get(uses).model_validate(options, context={"base": base or Path.cwd(), "registry": self})

    def declared(self, component: type[Component]) -> Entry | None:
        """The declaration of a class; None where nothing installed declares it. Imports no other package."""
        top = component.__module__.partition(".")[0]
        for entry in self.entries():
            near = entry.uses in self._loaded or entry.target.partition(":")[0].partition(".")[0] == top
            if near and entry.kind == component.kind and len(self._entries[entry.uses]) == 1:
                try:
                    if self.get(entry.uses) is component:
                        return entry
                except PluginError:
                    continue
        return None

    def load_all(self) -> Mapping[str, PluginError]:
        """Import everything; returns what failed and why, by ``kind/name``."""
        failed = {}
        for uses in self.names():
            try:
                self.get(uses)
            except PluginError as error:
                failed[uses] = error
        return failed


def installed() -> Registry:
    """A registry of what is installed, for who is given none."""
    return _found_on(tuple(sys.path))


@lru_cache(maxsize=4)
def _found_on(_: tuple[str, ...]) -> Registry:
    return Registry()


def _installed() -> list[Entry]:
    found = []
    about: dict[int, tuple[str, str, str]] = {}
    for point in points():
        distribution = point.dist
        if distribution is None or point.group in (f"{PREFIX}hooks", GROUP):
            continue
        if id(distribution) not in about:  # which is read from its file each time it is asked for
            told = distribution.metadata
            about[id(distribution)] = (told["Name"], told["Version"], told["Summary"] or "")
        package, version, summary = about[id(distribution)]
        kind = point.group.removeprefix(PREFIX)
        found.append(Entry(kind, point.name, package, version, summary, point.value))
    return list(dict.fromkeys(found))


def published() -> dict[str, str]:
    """Package names of components that are known to exist, by ``kind/name``, whether installed or not."""
    text = resources.files("fgic_core").joinpath("published.json").read_text(encoding="utf-8")
    known: dict[str, str] = json.loads(text)
    return known


def _first_line(component: type[Component]) -> str:
    return (component.__doc__ or "").strip().split("\n", 1)[0]
