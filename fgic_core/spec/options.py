"""A step's options: from YAML values to what a component is to be described with, and from what is wrong to places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgic_core.description import Answer, Manifest, Request
from fgic_core.description.words import in_words
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Problem
from fgic_core.spec.problems import Defaults, Misfits, Places, filled


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one step.

    Attributes:
        manifest: what its component's class says.
        given: the value of ``with``, defaults of the spec put in; None where there is none.
        places: where the step's words stand.
        defaults: options of components that options name, where these do not say otherwise.
    """

    manifest: Manifest
    given: Node | None
    places: Places
    defaults: Defaults

    @property
    def root(self) -> Node:
        return self.given if self.given is not None and self.given.value is not None else Node({}, self.places.options)

    @property
    def written(self) -> dict[str, Any]:
        """The options as they were given, in plain types."""
        found: dict[str, Any] | None = _plain_text(self.given.plain()) if self.given is not None else None
        return found or {}

    def request(self, base: Path, inputs: Sequence[str]) -> Request | Problem:
        """What the component is to be described with; or what is wrong already.

        Args:
            base: folder that relative paths start at.
            inputs: the ports that are given something.
        """
        root = self.root
        if not isinstance(root.value, dict):
            message = f"with should be a mapping from options to values, not {in_words(root.plain())}"
            return Problem(message, root.place, "Write with: {option: value, ...}.")
        defaults = {name: node.plain() for name, node in self.defaults.items()}
        return Request(self.manifest.entry.uses, root.plain(), base, defaults, tuple(inputs))

    def problems(self, answer: Answer) -> Iterator[Problem]:
        """What is wrong with the options, where they stand."""
        if answer.failed:
            yield Problem(answer.failed, self.places.uses)
        yield from Misfits(self.manifest, self.root, self.places, self.defaults).problems(answer.wrong)
        for path, message in answer.misread:
            yield Problem(message, self._node(path).place, self._number(path))
        if answer.described is not None and answer.described.misplaced:
            message, _, hint = answer.described.misplaced.partition("\n")
            yield Problem(message, self.places.uses, hint)

    def _number(self, path: Sequence[str | int]) -> str:
        """What to write at an option that is a number, in place of true or false."""
        value, name = self._node(path).plain(), path[-1]
        option = self.manifest.at(path[:-1]).get(str(name)) if "with" not in path else None
        if not isinstance(value, bool) or option is None:
            return ""
        if not isinstance(option.default, (int, float)):
            return f"{name} is a {option.type}."
        if value and option.default:
            return f"Write {name}: {option.default}, which is its default, or another {option.type}."
        if not value and "[0, " in option.type:
            return f"Write {name}: 0."
        return f"Write a {option.type}; its default is {option.default}."

    def _node(self, path: Sequence[str | int]) -> Node:
        """What stands at a path, which leads through the defaults of components that options name."""
        node = self.root
        for part in path:
            below = node.child(part)
            if part == "with":
                uses = (node.child("uses") or node).value
                below = filled(below, self.defaults.get(uses) if isinstance(uses, str) else None)
            node = below or node
        return node


def _plain_text(value: Any) -> Any:
    """The value without the subclass of text that `--set` marks its values with."""
    if isinstance(value, Mapping):
        return {key: _plain_text(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_plain_text(one) for one in value]
    return str(value) if isinstance(value, str) else value
