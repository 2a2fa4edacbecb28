"""From pydantic's errors to problems with a place: what is wrong with options, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fgic_core.description import Manifest, Wrong
from fgic_core.description.words import dotted, in_words
from fgic_core.nested import OPTION, REFUSED, WRITE, Refused, either
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Place, Problem, did_you_mean

_SHOULD_BE = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "mapping_type": "a mapping",
    "none_required": "null",
    "path_type": "a path",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
}


#: Options by ``kind/name`` that a component has where nothing else is said.
Defaults = Mapping[str, Node]


def filled(options: Node | None, defaults: Node | None) -> Node | None:
    """Options, and the defaults of their component for those that they do not give."""
    if defaults is None or (options is not None and not isinstance(options.value, (dict, type(None)))):
        return options
    if options is None or options.value is None:
        return defaults
    return replace(options, value={**defaults.value, **options.value})


class Places:
    """Where the words of a step stand: the value of ``uses``, and the key ``with`` (or else again ``uses``)."""

    def __init__(self, uses: Place, options: Place | None = None) -> None:
        self.uses = uses
        self.options = options or uses


class Misfits:
    """Maps the errors of one validation; those of a component that an option names have a mapping of their own.

    Args:
        above: the path from the step's options to these.
    """

    def __init__(
        self,
        manifest: Manifest,
        root: Node,
        step: Places,
        defaults: Defaults,
        above: tuple[str | int, ...] = (),
    ) -> None:
        self.manifest, self.uses, self.root, self.step = manifest, manifest.entry.uses, root, step
        self.defaults, self.above = defaults, above

    def problems(self, errors: Sequence[Wrong]) -> Iterator[Problem]:
        wrong: dict[tuple[str | int, ...], list[Wrong]] = {}
        refused: dict[tuple[str | int, ...], list[tuple[tuple[str | int, ...], Wrong]]] = {}
        lacking: list[tuple[tuple[str | int, ...], Wrong]] = []
        for one in errors:
            path, rest = self._walk(one.loc)
            if one.type == REFUSED:
                (refused.setdefault(path, []) if path else lacking).append((rest, one))
            elif one.type == "missing":
                yield self._missing(path, str(rest[-1]) if rest else "")
            elif one.type in ("extra_forbidden", "unexpected_keyword_argument"):
                yield self._unknown(path)
            else:
                wrong.setdefault((*path, "[key]") if rest[-1:] == ("[key]",) else path, []).append(one)
        for rest, about in lacking:  # the defaults of several options, perhaps
            yield from self._component((), rest, about)
        for path, found in refused.items():
            yield from self._components(path, found)
        for path, several in wrong.items():
            if path in refused:  # what else might stand there
                continue
            # A list counts as too short when an item of it is refused; the item's own problem says enough.
            below = any(len(other) > len(path) and other[: len(path)] == path for other in [*wrong, *refused])
            if not (below and all(one.type == "too_short" for one in several)):
                yield self._wrong(path, several)

    def _walk(self, loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], tuple[str | int, ...]]:
        """The part of an error's location that is in the document, and what comes after.

        Parts that are not in the document between others that are name a member of a union.
        """
        node, path, rest = self.root, [], []
        for part in loc:
            below = node.child(part) if not isinstance(node.value, dict) or isinstance(part, str | int) else None
            if below is None:
                rest.append(part)
            else:
                node, rest = below, []
                path.append(part)
        return tuple(path), tuple(rest)

    def _node(self, path: Sequence[str | int]) -> Node:
        node = self.root
        for part in path:
            node = node.child(part) or node
        return node

    def _key(self, path: Sequence[str | int]) -> Place:
        """Where the key of a value stands; of an item of a list, the item."""
        if not path:
            return self.step.options
        above = self._node(path[:-1])
        return above.value[str(path[-1])].key if isinstance(above.value, dict) else self._node(path).place

    def _components(
        self, path: tuple[str | int, ...], found: Sequence[tuple[tuple[str | int, ...], Wrong]]
    ) -> Iterator[Problem]:
        """As `_component`, where components of several kinds may stand: of the one that was meant."""
        fitting = [(rest, about) for rest, about in found if about.inner is not None]
        if not fitting:
            rest, first = found[0]
            refused = tuple(either([about.refused or () for _, about in found]))
            fitting = [(rest, first.model_copy(update={"refused": refused}))]
        for rest, about in fitting:
            yield from self._component(path, rest, about)

    def _component(self, path: tuple[str | int, ...], rest: tuple[str | int, ...], about: Wrong) -> Iterator[Problem]:
        """What is wrong with a component that an option names; with `rest` it is the option's default."""
        node = self._node(path) if path else Node(None, self.step.options)
        at = (*self.above, *(path or rest[:1]))
        if (inner := about.inner) is not None:
            uses, options = node.child("uses") or node, node.child("with")
            root = filled(options, self.defaults.get(inner.manifest.entry.uses))
            places = Places(uses.place, node.value["with"].key if options is not None else None)
            if root is None or root.value is None:
                root = Node({}, places.options)
            yield from Misfits(inner.manifest, root, places, self.defaults, (*at, "with")).problems(inner.wrong)
            return
        found: Sequence[Refused] = about.refused or ()
        for one in found:
            entry = node.value.get(one.at) if isinstance(node.value, dict) else None
            value = entry.node if entry is not None else node
            shown = f", not {in_words(value.plain())}" if one.shown else ""
            place = entry.key if entry is not None and one.at not in ("uses", "with") else value.place
            message = one.message.replace(OPTION, f"option {dotted(at)} ")
            if not path:
                message = f"the default of {dotted(at)}: {one.message.replace(OPTION, '')}"
            hint = one.hint.replace(WRITE, f"Write {at[-1]}: " if isinstance(at[-1], str) else "Write ")
            yield Problem(message + shown, place, hint)

    def _missing(self, path: tuple[str | int, ...], option: str) -> Problem:
        known = self.manifest.at(path).get(option)
        about = known.description if known is not None else ""
        hint = f"{option}: {about}" if about else f"Write {option}: ... under with."
        whose = self.uses if not path else dotted((*self.above, *path))
        return Problem(f"{whose} needs the option {option}", self._key(path), hint)

    def _unknown(self, path: tuple[str | int, ...]) -> Problem:
        option, known = str(path[-1]), list(self.manifest.at(path[:-1]))
        listed = (
            f"Its options are {', '.join(known)}."
            if 0 < len(known) <= 12
            else f"fgic plugins show {self.uses} lists its options."
        )
        whose = self.uses if len(path) == 1 else dotted((*self.above, *path[:-1]))
        return Problem(
            f"{whose} has no option {option}",
            self._key(path),
            self._renamed(option, path) or did_you_mean(option, known, listed if known else "It takes no options."),
        )

    def _renamed(self, option: str, path: tuple[str | int, ...]) -> str:
        """What to write in place of an option's old name."""
        return self.manifest.renamed.get(option, "") if len(path) == 1 else ""

    def _wrong(self, path: tuple[str | int, ...], errors: list[Wrong]) -> Problem:
        if path[-1:] == ("[key]",):
            path = path[:-1]
            name, place, value = f"the key {path[-1]}", self._key(path), str(path[-1])
        else:
            name = f"option {dotted((*self.above, *path))}"
            place, value = self._node(path).place, self._node(path).plain()
        if not path:
            name, place = self.uses, self.step.options
        texts = list(dict.fromkeys(_text(one) for one in errors))
        if all(text.startswith("should be ") for text in texts):
            text = "should be " + " or ".join(text.removeprefix("should be ") for text in texts)
            text += "" if ";" in text else f", not {in_words(value)}"
        else:
            text = "; ".join(texts)
        verb = re.match(r"(should|is|are|has|must|needs|cannot|does)\b", text)
        return Problem(f"{name}{'' if verb else ':'} {text}", place, _advice(value, errors))


def _text(error: Wrong) -> str:
    """What is wrong, as words that go on after the option's name."""
    kind, context = error.type, error.ctx
    if kind in _SHOULD_BE:
        return "should be " + _SHOULD_BE[kind].format(**{name: _short(value) for name, value in context.items()})
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        what = "characters" if kind.startswith("string") else "items"
        least = "min_length" in context
        bound = context["min_length" if least else "max_length"]
        return f"should have at {'least' if least else 'most'} {bound} {what if bound != 1 else what[:-1]}"
    if kind == "string_pattern_mismatch":
        return f"should be text like {context['pattern']}"
    said = error.msg.removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    return said.replace("Input should be ", "should be ", 1)


def _short(bound: Any) -> Any:
    """A bound without ``.0``."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _advice(value: Any, errors: list[Wrong]) -> str:
    choices = [
        choice
        for one in errors
        if one.type in ("literal_error", "enum")
        for choice in re.findall(r"'([^']*)'", one.ctx["expected"])
    ]
    if choices and isinstance(value, str):
        return did_you_mean(value, choices)
    if any(one.type == "string_type" for one in errors) and isinstance(value, (int, float)):
        return "Put it in quotes."
    return ""
