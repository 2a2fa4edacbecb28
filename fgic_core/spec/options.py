"""A step's options: from YAML values to a component."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fgic_core.kinds.component import Component
from fgic_core.nested import entry_of
from fgic_core.registry import Registry
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Problem, plain
from fgic_core.spec.problems import Defaults, Misfits, Places, described, dotted, filled


def make(
    component: type[Component],
    uses: str,
    given: Node | None,
    base: Path,
    step: Places,
    registry: Registry,
    defaults: Defaults,
) -> Component | list[Problem]:
    """The component with the options of a step's ``with``, or what is wrong with them.

    Args:
        component: the class.
        uses: ``kind/name``.
        given: the value of ``with``; None where there is none.
        base: folder that relative paths start at.
        step: where the step's words stand.
        registry: where components come from that options name; defaults: what those have that say nothing else.
    """
    if given is not None and not isinstance(given.value, dict) and given.value is not None:
        hint = "Write with: {option: value, ...}."
        return [
            Problem(
                f"with should be a mapping from options to values, not {described(given.plain())}", given.place, hint
            )
        ]
    root = given if given is not None and given.value is not None else Node({}, step.options)
    options, plain_defaults = root.plain(), {name: node.plain() for name, node in defaults.items()}
    try:
        context = {"base": base, "registry": registry, "defaults": plain_defaults}
        made = component.model_validate(options, context=context)
    except ValidationError as error:
        return list(Misfits(component, uses, root, step, defaults).problems(error))
    except Exception as error:  # a plugin's own validator; the other steps are still checked
        return [Problem(f"{uses} failed while it checked its options: {plain(error)}", step.uses)]
    return list(_misread(root, made, defaults)) or made


def _misread(node: Node, made: Any, defaults: Defaults, path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    """What pydantic takes and a reader of the spec would not: true for 1, and numbers without end."""
    value, name = node.value, f"option {dotted(path)}"
    if isinstance(made, Component) and made._entry is not None and path[-1] != "with":
        options = filled(node.child("with"), defaults.get(entry_of(made).uses))
        if options is not None:
            yield from _misread(options, made, defaults, (*path, "with"))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _misread(entry.node, _below(made, key), defaults, (*path, key))
    elif isinstance(value, list):
        items = made if isinstance(made, (list, tuple)) and len(made) == len(value) else [None] * len(value)
        for index, (below, item) in enumerate(zip(value, items, strict=True)):
            yield from _misread(below, item, defaults, (*path, index))
    elif isinstance(value, bool) and isinstance(made, (int, float)) and not isinstance(made, bool):
        yield Problem(f"{name} should be a number, not {described(value)}", node.place)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(f"{name} should be a finite number, not {value}", node.place)


def _below(made: Any, key: str) -> Any:
    if isinstance(made, BaseModel) or is_dataclass(made):
        return getattr(made, key, None)
    return made.get(key) if isinstance(made, Mapping) else None
