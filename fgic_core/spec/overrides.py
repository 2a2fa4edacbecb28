"""``--set classifier.with.epochs=1``: assignments put into a spec's document before it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fgic_core.description import Manifest, Option
from fgic_core.kinds.component import TextFrom
from fgic_core.spec.document import Entry, Node, read
from fgic_core.spec.errors import Place, Problem, Source, did_you_mean
from fgic_core.spec.problems import Defaults, filled

#: Keys of a spec and of a step.
TOP = ("version", "name", "seed", "defaults", "steps", "study")
STEP = ("uses", "with", "from", "seed")


def assign(root: Node, assignment: str, order: int) -> tuple[Node, list[Problem]]:
    """The document with one assignment made, or as it was and what is wrong with the assignment.

    Values are YAML. Relative paths among them start at the working directory, as on any command line.

    Args:
        root: a mapping.
        assignment: ``path=value``.
        order: how many sources there were before.
    """
    source = Source(assignment, "set", (assignment,), order)
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        hint = "Write a path of keys, = and a value, such as classifier.with.epochs=1."
        return root, [Problem("this is not an assignment", Place(source, 1, 1, len(assignment)), hint)]
    value, problems = read(text, source, len(path) + 1)
    if problems:
        return root, problems
    value = value or Node(None, Place(source, 1, len(path) + 2))
    parts = _parts(path, source)
    where, problem = target(root, parts)
    if problem is not None:
        return root, [problem]
    changed, problem = put(root, where, _from_here(value))
    return (changed or root), [problem] if problem else []


#: A part of the path and where it stands.
Part = tuple[str, Place]


def _parts(path: str, source: Source) -> list[Part]:
    parts, column = [], 1
    for part in path.split("."):
        word = part.strip()
        parts.append((word, Place(source, 1, column + len(part) - len(part.lstrip()), max(1, len(word)))))
        column += len(part) + 1
    return parts


def target(root: Node, parts: list[Part], whose: str = "") -> tuple[list[Part], Problem | None]:
    """The path from the document's root, the word ``steps`` put in where it was left out.

    Args:
        root: a mapping; parts: the path as it is written.
        whose: the word of a study that it stands under; by default that of ``--set``, which the study itself can be.
    """
    first, place = parts[0]
    if len(parts) == 1 and first in ("seed", "name", "version"):
        return parts, None
    if first == "study" and not whose:
        return parts, None
    if first == "steps":
        parts = parts[1:]
        if not parts:
            return [], Problem("all steps cannot be set at once", place, "Write step.with.option=value.")
    (name, place), rest = parts[0], parts[1:]
    steps = root.child("steps")
    names = list(steps.value) if steps is not None and isinstance(steps.value, dict) else []
    step = steps.child(name) if steps is not None and name in names else None
    if step is None:
        known = f"Steps are {', '.join(names)}; of the spec itself, name and seed can be set." if names else ""
        return [], Problem(f"the spec has no step {name}", place, did_you_mean(name, [*names, "seed", "name"], known))
    if not rest:
        return [], Problem(
            f"{name} is a whole step", place, f"Write {name}.with.option=value, {name}.uses=kind/name or {name}.seed=1."
        )
    (key, place), options = rest[0], step.child("with")
    if key not in STEP:
        after = ".".join(word for word, _ in rest)
        mentioned = options is not None and isinstance(options.value, dict) and key in options.value
        hint = did_you_mean(key, STEP) if not mentioned else ""
        return [], Problem(f"a step has no {key}", place, hint or f"For an option write {name}.with.{after}=...")
    return [("steps", place), *parts], None


def put(node: Node, path: list[Part], value: Node) -> tuple[Node | None, Problem | None]:
    """A copy of the tree with the value at the path; mappings on the way are made where there are none."""
    (part, place), rest = path[0], path[1:]
    key: str | int = part
    if part == "with" and isinstance(node.value, str) and "/" in node.value:  # the short form of a component's name
        node = Node({"uses": Entry(node.place, node)}, node.place)
    if isinstance(node.value, list):
        if not part.isascii() or not part.isdigit() or int(part) >= len(node.value):
            return None, Problem(f"{part or 'this'} is no index of a list of {len(node.value)}, counted from 0", place)
        key = int(part)
    elif not isinstance(node.value, dict) and node.value is not None:
        return None, Problem(f"{part} cannot be set in what is neither a mapping nor a list", place)
    if not part:
        return None, Problem("a key is missing between two dots", place)
    if rest:
        below, problem = put(node.child(key) or Node(None, place), rest, value)
        if below is None:
            return None, problem
        value = below
    entry = node.value.get(part) if isinstance(node.value, dict) else None
    return node.with_child(key, entry.key if rest and isinstance(entry, Entry) else place, value), None


def _from_here(node: Node) -> Node:
    """The same values, with text that knows that relative paths in it start at the working directory."""
    if isinstance(node.value, dict):
        return replace(node, value={k: Entry(e.key, _from_here(e.node)) for k, e in node.value.items()})
    if isinstance(node.value, list):
        return replace(node, value=[_from_here(item) for item in node.value])
    return replace(node, value=TextFrom(node.value, Path.cwd())) if isinstance(node.value, str) else node


def completed(
    options: Node | None,
    manifest: Manifest,
    known: Callable[[str], Manifest | None],
    defaults: Defaults,
    standing: Node | None,
) -> Node | None:
    """Options with the names of components that an assignment left to their defaults.

    ``net.with.attack.with.steps=3`` sets an option of the attack that there is without it.

    Args:
        options: of a component; manifest: what its class says.
        known: the manifest of another component; None where it cannot be had, which is said where its options are
            checked.
        defaults: what the spec says of each.
        standing: what the options are where they say nothing else.
    """
    if options is None or not isinstance(options.value, dict):
        return options
    for name, entry in options.value.items():
        option = next((one for one in manifest.models[0] if name in (one.field, one.name)), None)
        if option is None or not isinstance(entry.node.value, dict) or not option.component:
            continue
        node, below = _named(entry.node, standing.child(name) if standing is not None else None, option)
        uses, key = node.child("uses"), node.value.get("with")
        if uses is not None and isinstance(uses.value, str) and key is not None:
            inner = known(uses.value)
            if inner is None:
                continue
            made = completed(key.node, inner, known, defaults, filled(below, defaults.get(uses.value)))
            node = node.with_child("with", key.key, made or key.node)
        options = options.with_child(name, entry.key, node)
    return options


def _named(node: Node, standing: Node | None, option: Option) -> tuple[Node, Node | None]:
    """What an option has, with the name of the component that stands there, and the options of that."""
    key = node.value.get("with")
    if "uses" in node.value or key is None or key.key.source.kind not in ("set", "axis"):
        return node, None
    stands = standing or _node(option.default, key.key)
    if isinstance(stands.value, str):
        stands = Node({"uses": Entry(key.key, stands)}, key.key)
    if not isinstance(stands.value, dict) or "uses" not in stands.value:
        return node, None
    below = stands.child("with")
    given = filled(key.node, below) or key.node
    return replace(node, value={**stands.value, **node.value, "with": Entry(key.key, given)}), below


def _node(value: Any, place: Place) -> Node:
    """Plain data that stands at a place."""
    if isinstance(value, Mapping):
        return Node({str(name): Entry(place, _node(one, place)) for name, one in value.items()}, place)
    return Node([_node(one, place) for one in value] if isinstance(value, (list, tuple)) else value, place)
