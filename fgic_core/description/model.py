"""What is said of a component with its options, as values that go through JSON: nothing here holds a class or a path's
content, so that it can be made in one process, remembered, and used in another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from fgic_core.description.manifest import Manifest
from fgic_core.errors import PluginError
from fgic_core.kinds.component import Look, TextFrom
from fgic_core.kinds.ports import Input
from fgic_core.nested import Refused


@dataclass(frozen=True, slots=True)
class Request:
    """What a component is to be described with.

    Attributes:
        uses: ``kind/name``.
        options: as they were given, defaults of the spec among them; in Python any values.
        base: folder that relative paths in them start at.
        defaults: options by ``kind/name`` of what options name, where these do not say otherwise.
        inputs: the ports that its step is given something at.
    """

    uses: str
    options: Mapping[str, Any] = field(default_factory=dict)
    base: Path = Path()
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it.

        Raises:
            TypeError: an option is given as what JSON does not have, as it can be in Python.
        """
        bases: list[Any] = []
        about = {name: _plain(getattr(self, name), (name,), bases) for name in ("uses", "options", "defaults")}
        return {**about, "base": str(self.base), "inputs": list(self.inputs), "bases": bases}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Request:
        """What `to_dict` gave."""
        for path, base in told["bases"]:
            at = told
            for part in path[:-1]:
                at = at[part]
            at[path[-1]] = TextFrom(at[path[-1]], Path(base))  # type: ignore[index]
        return cls(told["uses"], told["options"], Path(told["base"]), told["defaults"], tuple(told["inputs"]))


class Recipe(BaseModel):
    """What counts of a component besides its options.

    Attributes:
        manifest: what its class says.
        draws: see `fgic_core.kinds.component.Component.draws`; reads and untraced: likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    manifest: Manifest
    draws: bool
    reads: tuple[Path, ...] = ()
    untraced: tuple[str, ...] = ()


class Described(Recipe):
    """A component with its options, checked: all that is needed to plan a step of it.

    Attributes:
        options: every option, as JSON has it; paths are absolute.
        counted: the options as they count into a key; in the place of a path stands a name of `files`, and a list that
            begins with `unordered` is one whose order means nothing.
        files: what the names of paths in ``counted`` stand for.
        unordered: see ``counted``.
        doubts: by option, why what it holds cannot be compared.
        learns: see `fgic_core.kinds.component.Component.learns`.
        source: of a reader, where its pictures lie.
        named: what its options name, near and far, by where: ``attack``, ``attack.with.inner``.
        without_effect: options that play no part beside the values of others, with why.
        misplaced: why the options do not go with the inputs that its step has; empty where they do.
    """

    options: dict[str, Any]
    counted: dict[str, Any]
    files: dict[str, Path]
    unordered: str
    doubts: dict[str, tuple[str, ...]]
    learns: bool
    source: Path | None = None
    named: dict[str, Recipe] = {}
    without_effect: dict[str, str] = {}
    misplaced: str = ""

    @property
    def uses(self) -> str:
        return self.manifest.entry.uses

    @property
    def kind(self) -> str:
        return self.manifest.entry.kind

    @property
    def ports(self) -> Mapping[str, Input]:
        return self.manifest.ports

    @property
    def recipes(self) -> list[Recipe]:
        """It, and what its options name."""
        return [self, *self.named.values()]

    @cached_property
    def any_draws(self) -> bool:
        """Whether the seed has a part in what it gives, by itself or by what its options name."""
        return any(one.draws for one in self.recipes)


class Wrong(BaseModel):
    """One thing that is wrong with options, as pydantic says it.

    Attributes:
        loc, type, msg, ctx: see pydantic's errors; what is no plain data in ``ctx`` is text.
        refused: what is wrong with what names a component.
        inner: what is wrong with the options of a component that is named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    loc: tuple[str | int, ...]
    type: str
    msg: str
    ctx: dict[str, Any] = {}
    refused: tuple[Refused, ...] | None = None
    inner: Inner | None = None


class Inner(BaseModel):
    """A component that an option names and that does not take its options."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    manifest: Manifest
    wrong: tuple[Wrong, ...]


class Answer(BaseModel):
    """What comes of a request: a description, or what stands against one.

    Attributes:
        described: the description.
        wrong: what is wrong with the options; misread: besides, what was taken that a reader of a spec would not, by
            the path to it; failed: why nothing can be said, for a mistake of the component's own.
        looks: the paths that were looked at, and what came of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    described: Described | None = None
    wrong: tuple[Wrong, ...] = ()
    misread: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    failed: str = ""
    looks: tuple[Look, ...] = ()


class Describer(Protocol):
    """Says what components are, and what they are with options: where their classes can be imported."""

    def manifests(self, uses: Iterable[str], *, schema: bool = False) -> dict[str, Manifest | PluginError]:
        """What the classes of these names say; or why one cannot be had.

        Args:
            uses: names of components.
            schema: with the JSON Schema of their options.
        """

    def describe(self, requests: Sequence[Request]) -> list[Answer]:
        """What components are with these options. Their classes can be had: `manifests` said so."""


def _plain(value: Any, path: tuple[str | int, ...], bases: list[Any]) -> Any:
    if isinstance(value, TextFrom):
        bases.append([list(path), str(value.base)])
        return str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"{path[-1]} has a key that is no text")
        return {str(name): _plain(one, (*path, name), bases) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, (*path, index), bases) for index, one in enumerate(value)]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{path[-1]} is a {type(value).__name__}, which is no plain data")
