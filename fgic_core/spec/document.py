"""From YAML text to a tree of plain values that know where they stand.

YAML 1.2's core schema: ``1e-3`` is a number, ``on`` and ``8/255`` are text. Keys are always text. Nothing is
constructed but text, numbers, true, false, null, lists and mappings; tags are refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fgic_core.spec.errors import Place, Problem, Source
from fgic_core.spec.syntax import complaint, marks_of_merge, tabs

#: Limits that no spec comes near: characters of text, levels of nesting, values after aliases are followed.
MOST_TEXT, MOST_LEVELS, MOST_VALUES = 400_000, 50, 20_000

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document.

    Attributes:
        value: text, a number, true, false or null; a list of nodes; a mapping from keys to entries.
        place: where it stands.
    """

    value: Any
    place: Place

    def child(self, part: str | int) -> Node | None:
        """The value under a key or an index, if there is one."""
        if isinstance(self.value, dict):
            entry = self.value.get(str(part))
            return entry.node if entry else None
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            found: Node = self.value[part]
            return found
        return None

    def plain(self) -> Any:
        """The value with everything below it, as Python data without places."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def size(self) -> int:
        """How many values `plain` has, this one included; stops counting soon after `MOST_VALUES`."""
        count, waiting = 0, [self]
        while waiting and count <= MOST_VALUES:
            node = waiting.pop()
            count += 1
            if isinstance(node.value, dict):
                waiting += [entry.node for entry in node.value.values()]
            elif isinstance(node.value, list):
                waiting += node.value
        return count

    def with_child(self, part: str | int, key: Place, node: Node) -> Node:
        """This mapping or list with one value put in; shares the others. Null becomes a mapping."""
        if isinstance(self.value, list):
            return Node([node if i == part else old for i, old in enumerate(self.value)], self.place)
        return Node({**(self.value or {}), str(part): Entry(key, node)}, self.place)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a mapping and where its key stands."""

    key: Place
    node: Node


def read(text: str, source: Source, offset: int = 0) -> tuple[Node | None, list[Problem]]:
    """Read one YAML document.

    Args:
        text: YAML, with line feeds as line ends.
        source: what positions are told by; its lines are those of the text.
        offset: column that the text's first line begins at, within the source's line.

    Returns:
        The document's root and what is wrong: where the root is None it is not YAML; otherwise the rest can still be
        looked at. An empty text gives neither root nor problem.
    """
    if len(text) > MOST_TEXT:
        return None, [Problem(f"is too large for a spec: more than {MOST_TEXT} characters", Place(source))]
    reader = _Reader(text, source, offset)
    found = marks_of_merge(text)
    if found:
        return None, [reader.problem(found)]
    try:
        root = reader.document()
    except _Unreadable as error:
        return None, [*reader.problems, reader.problem(tabs(text) or error.complaint)]
    if root is not None and root.size() > MOST_VALUES:
        return None, [Problem(f"holds more than {MOST_VALUES} values once its aliases are followed", root.place)]
    return root, reader.problems


def from_data(data: Any, name: str = "spec", level: int = 0) -> Node:
    """Python data as a tree; a value's place is its path of keys.

    Raises:
        RecursionError: it is nested too deeply, or holds itself.
    """
    if level > MOST_LEVELS:
        raise RecursionError(name)
    place = Place(Source(name, "data"))
    above = "" if level == 0 else f"{name}."
    if isinstance(data, Mapping):
        children = {str(key): from_data(value, f"{above}{key}", level + 1) for key, value in data.items()}
        return Node({key: Entry(node.place, node) for key, node in children.items()}, place)
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return Node([from_data(value, f"{name}[{i}]", level + 1) for i, value in enumerate(data)], place)
    return Node(data, place)


def scalar(text: str) -> Any:
    """What an unquoted word means. Raises ValueError for a number that is none (``.nan``) or too long to read."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError("is too large a number")
        return number
    if _INFINITE.fullmatch(text):
        raise ValueError("is not a finite number")
    return text


class _Unreadable(Exception):
    """The text is not one YAML document."""

    def __init__(self, start: int, length: int, message: str, hint: str = "") -> None:
        self.complaint = (start, length, message, hint)


@dataclass
class _Reader:
    """Builds nodes from the parser's events, so that tags are seen and aliases are shared instead of copied."""

    text: str
    source: Source
    offset: int
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = [0] + [i + 1 for i, character in enumerate(self.text) if character == "\n"]

    def document(self) -> Node | None:
        self.events = self._events()
        next(self.events)  # the start of the stream
        if _kind(next(self.events)) == "StreamEnd":
            return None
        first = next(self.events)
        root = self.node(first, 0)
        next(self.events)  # the end of the document
        event = next(self.events)
        if _kind(event) == "DocumentStart":
            message = "a second document begins here; a spec is one document"
            hint = "Remove the line ---, or put what follows into a file of its own."
            raise _Unreadable(event.start_mark.index, 3, message, hint)
        empty = _kind(first) == "Scalar" and first.implicit[0] and not first.value
        return None if empty else root

    def _events(self) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

        events = YAML(typ="safe", pure=True).parse(self.text)
        while True:
            try:
                event = next(events)
            except StopIteration:
                return
            except MarkedYAMLError as error:
                raise _Unreadable(*complaint(error, len(self.text))) from None
            except ReaderError as error:
                message = f"the character {self.text[error.position : error.position + 1]!r} cannot stand in YAML"
                hint = "Remove it, or write it as an escape in double quotes."
                raise _Unreadable(error.position, 1, message, hint) from None
            except Exception:  # on odd input the parser's own faults come out: AssertionError, ValueError and others
                raise _Unreadable(0, 1, "is not YAML that can be read") from None
            yield event

    def node(self, event: Any, level: int, key: Place | None = None) -> Node:
        start = event.start_mark.index
        if level > MOST_LEVELS:
            raise _Unreadable(start, 1, f"is nested more than {MOST_LEVELS} levels deep")
        if _kind(event) == "Alias":
            return self.alias(event)
        place = self.place(start, event.end_mark.index)
        if event.tag is not None:
            hint = "Remove the word that begins with '!'."
            self.problems.append(Problem("tags are not allowed in a spec", place, hint))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if _kind(event) == "Scalar":
            node = self.scalar(event, place, key)
        elif _kind(event) == "SequenceStart":
            node = self.sequence(place, level)
        else:
            node = self.mapping(place, level)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        name = event.anchor
        node = self.anchors.get(name)
        if node is None:
            known = ", ".join(f"&{anchor}" for anchor, made in self.anchors.items() if made is not None)
            inside = name in self.anchors
            message = f"*{name} stands inside of &{name}" if inside else f"*{name} refers to no anchor before it"
            hint = f"Anchors before it are {known}." if known else "Text that begins with * needs quotes."
            raise _Unreadable(event.start_mark.index, len(name) + 1, message, hint)
        return node

    def scalar(self, event: Any, place: Place, key: Place | None) -> Node:
        if not event.implicit[0]:  # quoted, or tagged
            return Node(event.value, place)
        try:
            return Node(scalar(event.value), key if key is not None and not event.value else place)
        except ValueError as error:
            what = str(error) if str(error).startswith("is ") else "is too long a number"
            self.problems.append(Problem(f"{event.value[:40]} {what}", place))
            return Node(None, place)

    def sequence(self, place: Place, level: int) -> Node:
        nodes = []
        while _kind(event := next(self.events)) != "SequenceEnd":
            nodes.append(self.node(event, level + 1))
        return Node(nodes, place)

    def mapping(self, place: Place, level: int) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        while _kind(event := next(self.events)) != "MappingEnd":
            if _kind(event) != "Scalar":
                message = "a key should be a word, not a list, a mapping or an alias"
                hint = "Text that begins with [, {, * or & needs quotes."
                raise _Unreadable(event.start_mark.index, 1, message, hint)
            word, key = event.value, self.place(event.start_mark.index, event.end_mark.index)
            node = self.node(next(self.events), level + 1, key)
            if word == "<<" and event.implicit[0]:
                merged.append(node)
            elif word in entries:
                message = f"{word} is here twice; the first is on line {entries[word].key.line}"
                self.problems.append(Problem(message, key, "Keep one of them."))
            else:
                entries[word] = Entry(key, node)
        for node in merged:
            self.merge(entries, node)
        return Node(entries, place)

    def merge(self, entries: dict[str, Entry], node: Node) -> None:
        """Take in the entries of ``<<: *anchor``; what is written out wins."""
        for part in node.value if isinstance(node.value, list) else [node]:
            if isinstance(part.value, dict):
                for word, entry in part.value.items():
                    entries.setdefault(word, entry)
            else:
                self.problems.append(Problem("<< should be followed by a mapping or an alias of one", part.place))

    def place(self, start: int, end: int) -> Place:
        line = bisect_right(self.starts, start) - 1
        column = start - self.starts[line] + (self.offset if line == 0 else 0)
        stop = self.starts[line + 1] - 1 if line + 1 < len(self.starts) else len(self.text)
        return Place(self.source, line + 1, column + 1, max(1, min(end, stop) - start))

    def problem(self, found: tuple[int, int, str, str]) -> Problem:
        start, length, message, hint = found
        return Problem(message, self.place(start, start + length), hint)


def _kind(event: Any) -> str:
    """The event's kind, by name: importing the parser's classes would load it with this module."""
    return type(event).__name__.removesuffix("Event")
