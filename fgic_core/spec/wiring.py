"""Which step feeds which: the nearest earlier one that gives the type, unless ``from`` says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgic_core.interfaces import KINDS, Component
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Place, Problem, did_you_mean
from fgic_core.spec.options import described


@dataclass(frozen=True, slots=True)
class Port:
    """What wiring has to know of a step.

    Attributes:
        name: the step's name.
        uses: its component as written.
        kind: its interface; None where ``uses`` names no kind, so that it may give anything.
        place: where its component's name stands.
        origin: the value of ``from``; None where there is none.
    """

    name: str
    uses: str
    kind: type[Component] | None
    place: Place
    origin: Node | None


def wire(ports: list[Port]) -> tuple[list[dict[str, str]], list[Problem]]:
    """The inputs of each step, and what is wrong with them."""
    problems: list[Problem] = []
    inputs = []
    for index, port in enumerate(ports):
        chosen = _chosen(ports, index, problems)
        found: dict[str, str] = {}
        for needed in _inputs(port):
            if needed in chosen:
                found[needed] = chosen[needed]
                continue
            if port.kind is not None and needed in port.kind.may_take:
                continue
            source = next((p for p in reversed(ports[:index]) if p.kind is None or p.kind.gives == needed), None)
            if source is not None:
                found[needed] = source.name
            else:
                problems.append(_missing(ports, index, needed))
        inputs.append(found)
    return inputs, problems


def _inputs(port: Port) -> tuple[str, ...]:
    """What the step takes, and what it may take besides."""
    return (*port.kind.takes, *port.kind.may_take) if port.kind is not None else ()


def _chosen(ports: list[Port], index: int, problems: list[Problem]) -> dict[str, str]:
    """What the step's ``from`` says. A wrong choice is reported and taken: nothing more is to be said of that input."""
    port = ports[index]
    if port.origin is None or port.origin.value is None:
        return {}
    if not isinstance(port.origin.value, dict):
        said = described(port.origin.plain())
        problems.append(
            Problem(f"from should be a mapping from inputs to steps, not {said}", port.origin.place, _example(port))
        )
        return dict.fromkeys(_inputs(port), "")
    chosen = {}
    for needed, entry in port.origin.value.items():
        if port.kind is not None and needed not in _inputs(port):
            takes = _inputs(port)
            message = f"{port.uses} takes no {needed}"
            hint = did_you_mean(
                needed, takes, f"It takes {' and '.join(takes)}." if takes else "It takes nothing: remove from."
            )
            problems.append(Problem(message, entry.key, hint))
            continue
        chosen[needed] = str(entry.node.value)
        problem = _refused(ports, index, needed, entry.node)
        if problem is not None:
            problems.append(problem)
    return chosen


def _refused(ports: list[Port], index: int, needed: str, origin: Node) -> Problem | None:
    """Why a step cannot take an input from there."""
    earlier = [p.name for p in ports[:index] if p.kind is None or p.kind.gives == needed]
    name: Any = origin.value
    listed = (
        f"{' or '.join(earlier)} before it {'gives' if len(earlier) == 1 else 'give'} a {needed}." if earlier else ""
    )
    if not isinstance(name, str):
        return Problem(f"{needed} should be the name of a step, not {described(origin.plain())}", origin.place, listed)
    position = next((i for i, p in enumerate(ports) if p.name == name), None)
    if position is None:
        return Problem(
            f"there is no step {name}", origin.place, did_you_mean(name, [p.name for p in ports[:index]], listed)
        )
    if position == index:
        return Problem(f"step {name} cannot take its {needed} from itself", origin.place, listed)
    if position > index:
        hint = f"Move {name} before {ports[index].name}." + (f" Or: {listed}" if listed else "")
        return Problem(f"step {name} stands later, and steps run in order", origin.place, hint)
    kind = ports[position].kind
    if kind is not None and kind.gives != needed:
        return Problem(
            f"step {name} ({ports[position].uses}) gives {_a(kind.gives)}, not {_a(needed)}", origin.place, listed
        )
    return None


def _missing(ports: list[Port], index: int, needed: str) -> Problem:
    port = ports[index]
    later = [p.name for p in ports[index + 1 :] if p.kind is not None and p.kind.gives == needed]
    makers = [kind for kind, interface in KINDS.items() if interface.gives == needed and needed not in interface.takes]
    hint = f"Put a step that uses {' or '.join(f'{kind}/...' for kind in makers)} before it."
    if later:
        hint = f"Step {later[0]} gives one, but stands later: move it before {port.name}."
    return Problem(f"{port.uses} needs {_a(needed)}, and no step before it gives one", port.place, hint)


def _example(port: Port) -> str:
    needed = port.kind.takes[0] if port.kind is not None and port.kind.takes else "dataset"
    return f"Write from: {{{needed}: name-of-a-step}}."


def _a(what: str) -> str:
    return what if what.endswith("s") else f"a {what}"
