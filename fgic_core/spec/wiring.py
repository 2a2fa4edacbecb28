"""Which step feeds which port: the nearest earlier one that gives the type, unless ``from`` says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fgic_core.description.words import in_words
from fgic_core.errors import nearest
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Place, Problem, did_you_mean

#: The steps of a step's ports; names that are wrong are in it too.
Found = dict[str, "str | list[str]"]


@dataclass(frozen=True, slots=True)
class Wired:
    """What wiring has to know of a step.

    Attributes:
        name: the step's name.
        uses: its component as written.
        gives: what it gives, by its kind where it does not load; None where ``uses`` names no kind, so that it may give
            anything.
        place: where its component's name stands.
        origin: the value of ``from``; None where there is none.
        ports: what it takes, as far as that is known.
    """

    name: str
    uses: str
    gives: str | None
    place: Place
    origin: Node | None
    ports: Mapping[str, Input]

    def may_give(self, kind: str) -> bool:
        return self.gives is None or self.gives == kind


def wire(steps: list[Wired]) -> tuple[list[Found], list[Problem]]:
    """The inputs of each step, and what is wrong with them."""
    problems: list[Problem] = []
    inputs = []
    for index, step in enumerate(steps):
        chosen = _chosen(steps, index, problems)
        found: Found = {}
        for name, port in step.ports.items():
            if name in chosen:
                found[name] = chosen[name]
                continue
            earlier = [other.name for other in steps[:index] if other.may_give(port.type)] if port.auto else []
            if earlier:
                found[name] = earlier if port.many else earlier[-1]
            elif port.required:
                problems.append(_missing(steps, index, name))
        inputs.append(found)
    return inputs, problems


def _chosen(steps: list[Wired], index: int, problems: list[Problem]) -> Found:
    """What the step's ``from`` says. A wrong choice is reported and taken: nothing more is to be said of that input."""
    step = steps[index]
    if step.origin is None or step.origin.value is None:
        return {}
    if not isinstance(step.origin.value, dict):
        said = in_words(step.origin.plain())
        problems.append(
            Problem(f"from should be a mapping from inputs to steps, not {said}", step.origin.place, _example(step))
        )
        return dict.fromkeys(step.ports, "")
    chosen: Found = {}
    for name, entry in step.origin.value.items():
        if step.gives is not None and name not in step.ports:
            takes = list(step.ports)
            hint = did_you_mean(
                name, takes, f"It takes {' and '.join(takes)}." if takes else "It takes nothing: remove from."
            )
            problems.append(Problem(f"{step.uses} takes no {name}", entry.key, hint))
            for meant in _meant(step, name):
                chosen.setdefault(meant, "")
            continue
        port = step.ports.get(name)
        if port is not None and port.many and isinstance(entry.node.value, list):
            chosen[name] = _several(steps, index, name, entry.node, problems)
            continue
        problem = _refused(steps, index, name, entry.node)
        problems += [problem] if problem is not None else []
        given = str(entry.node.value)
        chosen[name] = [given] if port is not None and port.many else given
    return chosen


def _meant(step: Wired, name: str) -> list[str]:
    """The ports that a name which is none may stand for: that they are given nothing is the same mistake."""
    by_name = [port for port, about in step.ports.items() if about.required and not about.auto]
    return nearest(name, [*step.ports]) or by_name


def _several(steps: list[Wired], index: int, name: str, origin: Node, problems: list[Problem]) -> list[str]:
    """The steps that a port of many is given."""
    given: list[str] = []
    for node in origin.value:
        problem = _refused(steps, index, name, node)
        if problem is None and str(node.value) in given:
            problem = Problem(f"step {node.value} is named twice", node.place, "Name each step once.")
        problems += [problem] if problem is not None else []
        given.append(str(node.value))
    if not given:
        hint = f"Name at least one step that gives {_a(steps[index].ports[name].type)}."
        problems.append(Problem(f"{name} should not be empty", origin.place, hint))
    return given


def _refused(steps: list[Wired], index: int, port: str, origin: Node) -> Problem | None:
    """Why a step cannot take an input from there."""
    # Of a component that does not load nothing is known of its own ports.
    needed = steps[index].ports[port].type if port in steps[index].ports else None
    earlier = [s.name for s in steps[:index] if needed is None or s.may_give(needed)]
    name: Any = origin.value
    listed = (
        f"{' or '.join(earlier)} before it {'gives' if len(earlier) == 1 else 'give'} {_a(needed)}."
        if earlier and needed
        else ""
    )
    if not isinstance(name, str):
        return Problem(f"{port} should be the name of a step, not {in_words(origin.plain())}", origin.place, listed)
    position = next((i for i, s in enumerate(steps) if s.name == name), None)
    if position is None:
        return Problem(
            f"there is no step {name}", origin.place, did_you_mean(name, [s.name for s in steps[:index]], listed)
        )
    if position == index:
        return Problem(f"step {name} cannot take its {port} from itself", origin.place, listed)
    if position > index:
        hint = f"Move {name} before {steps[index].name}." + (f" Or: {listed}" if listed else "")
        return Problem(f"step {name} stands later, and steps run in order", origin.place, hint)
    source = steps[position]
    if needed is not None and source.gives is not None and source.gives != needed:
        gives = f"step {name} ({source.uses}) gives {_a(source.gives)}, not {_a(needed)}"
        return Problem(gives, origin.place, listed)
    return None


def _missing(steps: list[Wired], index: int, name: str) -> Problem:
    step, port = steps[index], steps[index].ports[name]
    earlier = [s.name for s in steps[:index] if s.gives == port.type]
    later = [s.name for s in steps[index + 1 :] if s.gives == port.type]
    what = _a(port.type) if name == port.type else f"{_a(port.type)} as its {name}"
    if not port.auto and earlier:
        listed = f"{' or '.join(earlier)} before it {'gives' if len(earlier) == 1 else 'give'} {_a(port.type)}."
        return Problem(f"{step.uses} needs {what}, and from names none", step.place, f"{_example(step, name)} {listed}")
    makers = [
        kind
        for kind in KINDS
        if (interface := KINDS.interface(kind)) is not None
        and interface.gives == port.type
        and all(one.type != port.type for one in interface.inputs.values())
    ]
    hint = f"Put a step that uses {' or '.join(f'{kind}/...' for kind in makers)} before it."
    if not makers:
        hint = f"No kind that is installed gives {_a(port.type)} without being given one."
    if later:
        hint = f"Step {later[0]} gives one, but stands later: move it before {step.name}."
    return Problem(f"{step.uses} needs {what}, and no step before it gives one", step.place, hint)


def _example(step: Wired, port: str = "") -> str:
    return f"Write from: {{{port or next(iter(step.ports), 'dataset')}: name-of-a-step}}."


def _a(what: str | None) -> str:
    return str(what) if what is None or what.endswith("s") else f"a {what}"
