"""The registry: which components are installed, found by entry point and imported when they are used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.component import Component, bare_components, hashed_components
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS

PREFIX = "fgic."


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
                self._loaded[uses] = _load(entry)
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
    for distribution in metadata.distributions():
        for point in distribution.entry_points:
            if not point.group.startswith(PREFIX) or point.group == f"{PREFIX}hooks":
                continue
            about = distribution.metadata
            found.append(
                Entry(
                    point.group.removeprefix(PREFIX),
                    point.name,
                    about["Name"],
                    distribution.version,
                    about["Summary"] or "",
                    point.value,
                )
            )
    return list(dict.fromkeys(found))


def published() -> dict[str, str]:
    """Package names of components that are known to exist, by ``kind/name``, whether installed or not."""
    text = resources.files("fgic_core").joinpath("published.json").read_text(encoding="utf-8")
    known: dict[str, str] = json.loads(text)
    return known


def _load(entry: Entry) -> type[Component]:
    where = f"{entry.uses} ({entry.package} {entry.version})"
    if entry.kind not in KINDS:
        raise PluginError(f"there is no kind {entry.kind!r}", where=where, hint=f"Kinds are {', '.join(KINDS)}.")
    interface = KINDS[entry.kind].interface
    point = metadata.EntryPoint(entry.name, entry.target, PREFIX + entry.kind)
    try:
        component = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a module does at import, an exit too, stays its own failure
        raise PluginError(
            f"failed to load {entry.target}: {type(error).__name__}: {error}".rstrip(": "),
            where=where,
            hint=f"Reinstall or repair the package {entry.package}.",
        ) from error
    if not (isinstance(component, type) and issubclass(component, interface)):
        raise PluginError(
            f"{entry.target} is not a subclass of {interface.__name__}",
            where=where,
            hint=f"Derive it from {_public(interface)}.",
        )
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    if missing:
        raise PluginError(
            f"{entry.target} lacks {', '.join(missing)}",
            where=where,
            hint=f"{_public(interface)} says what each must do.",
        )
    _check_ports(entry, component, interface, where)
    taken = sorted(name for name in component.model_fields if name in _methods(interface))
    if taken:
        raise PluginError(
            f"{entry.target} has an option {taken[0]}, which is the name of a method",
            where=where,
            hint=f"Name it otherwise: fgic_core.{interface.__name__}.{taken[0]} is called by the core.",
        )
    hidden = [name for name, field in component.model_fields.items() if field.exclude]
    if hidden:
        raise PluginError(
            f"{entry.target} keeps its option {hidden[0]} out of what is written down (exclude=True)",
            where=where,
            hint="It would count into no key and reach no job: leave exclude out.",
        )
    for name, wanted in bare_components(component).items():
        raise PluginError(
            f"{entry.target} has an option {name} whose type is {wanted.__name__} itself",
            where=where,
            hint=f"An option that names a component is a fgic_core.ComponentOption[{wanted.__name__}].",
        )
    for name in hashed_components(component):
        raise PluginError(
            f"{entry.target} has an option {name} that names components in a set, or as the keys of a mapping",
            where=where,
            hint="Components are not told apart by a hash: make it a list, or a mapping from names to components.",
        )
    try:
        _check_defaults(component)
    except Exception as error:
        raise PluginError(
            f"{entry.target} has a field whose default is not legal: {_one_line(error)}",
            where=where,
            hint="Mend the default.",
        ) from error
    return component


def _check_ports(entry: Entry, component: type[Component], interface: type[Component], where: str) -> None:
    wrong = [name for name, port in component.inputs.items() if not isinstance(port, Input)]
    if wrong:
        raise PluginError(
            f"{entry.target} declares its port {wrong[0]} as {component.inputs[wrong[0]]!r}",
            where=where,
            hint=f'Write "{wrong[0]}": fgic_core.Input("model"), or the type of what it takes.',
        )
    for name, port in component.inputs.items():
        if KINDS.type(port.type) is None:
            close = nearest(port.type, list(KINDS.types()))
            raise PluginError(
                f"{entry.target} takes {port.type!r} at its port {name}, which no kind gives that is installed",
                where=where,
                hint=f"Did you mean {' or '.join(close)}?" if close else f"Types are {', '.join(KINDS.types())}.",
            )
    lacking = [name for name in interface.inputs if name not in component.inputs]
    if lacking:
        raise PluginError(
            f"{entry.target} has no port {lacking[0]}, which every {interface.kind} has",
            where=where,
            hint=f"Add to those of the kind: inputs = {{**{interface.__name__}.inputs, ...}}.",
        )


def _public(interface: type[Component]) -> str:
    """The name that a plugin's author takes an interface by."""
    core = interface.__module__.startswith("fgic_core.")
    return f"{'fgic_core' if core else interface.__module__}.{interface.__name__}"


def _methods(interface: type[Component]) -> set[str]:
    """The names of what an interface, or `Component`, lets a component do."""
    classes = [one for one in interface.__mro__ if issubclass(one, Component)]
    return {name for one in classes for name, value in vars(one).items() if callable(value) and name[0] != "_"}


def _check_defaults(component: type[Component]) -> None:
    """Validate each default against its own field: pydantic does not."""
    from pydantic import TypeAdapter
    from pydantic_core import PydanticUndefined

    for name, field in component.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined or default is None:
            continue
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(_annotated(field))
            adapter.validate_python(default, context={"registry": None})  # a component that it names may be missing
        except Exception as error:
            raise ValueError(f"{name}: {_one_line(error)}") from error


def _annotated(field: Any) -> Any:
    from typing import Annotated

    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _one_line(error: BaseException) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(str(e["msg"]) for e in error.errors())
    return str(error)


def _first_line(component: type[Component]) -> str:
    return (component.__doc__ or "").strip().split("\n", 1)[0]
