"""Where a spec is wrong, and how that is said: position, line, caret, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fgic_core.errors import FgicError, nearest

if TYPE_CHECKING:
    from rich.text import Text

#: Lines are shown up to this many characters; a longer one is cut around the caret.
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Source:
    """A text that a part of the spec was written in.

    Attributes:
        name: the file as the user named it, the assignment given to ``--set``, or a path of keys in Python data.
        kind: which of these three; ``axis`` for what a study puts into the document, which stands in a file or in data.
        lines: the text, by line; empty for Python data.
        order: sources with a lower number are reported first.
    """

    name: str
    kind: Literal["file", "set", "data", "axis"] = "file"
    lines: tuple[str, ...] = ()
    order: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a source; line and column are counted from 1, and line 0 is the source as a whole."""

    source: Source
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        if self.source.kind == "set":
            return f"from --set {self.source.name}"
        if self.source.kind == "data" or self.line == 0:
            return self.source.name
        return f"{self.source.name}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes:
        message: what is wrong and what was expected, one sentence without a full stop.
        place: where.
        hint: what to do about it; may be empty.
    """

    message: str
    place: Place
    hint: str = ""

    @property
    def source(self) -> Source:
        return self.place.source

    @property
    def line(self) -> int:
        return self.place.line

    @property
    def column(self) -> int:
        return self.place.column

    @property
    def length(self) -> int:
        return self.place.length

    def snippet(self) -> tuple[str, str, str] | None:
        """The line's number, the line, and blanks with carets below it; None where there is no line to show."""
        lines = self.source.lines
        if not 0 < self.line <= len(lines):
            return None
        text, start = lines[self.line - 1], self.column - 1
        cut = max(0, start - SHOWN // 2) if len(text) > SHOWN else 0
        shown = "…" if cut else ""
        indent = " " * (start - cut + len(shown))
        shown += "".join(map(_visible, text[cut : cut + SHOWN])) + ("…" if cut + SHOWN < len(text) else "")
        length = max(1, min(self.length, len(text) - start, SHOWN - (start - cut)))
        number = str(self.line) if self.source.kind != "set" else ""
        return number, shown, indent + "^" * length

    def __str__(self) -> str:
        return "".join(text for text, _ in self._parts())

    def _parts(self) -> Iterable[tuple[str, str]]:
        """The message in pieces, each with a rich style."""
        yield f"{self.place}", "bold"
        yield f": {self.message}", ""
        snippet = self.snippet()
        if snippet is not None:
            number, text, caret = snippet
            yield f"\n  {number} | ", "dim"
            yield text, ""
            yield f"\n  {' ' * len(number)} | ", "dim"
            yield caret, "bold red"
        if self.hint:
            yield "\n  " + self.hint.replace("\n", "\n  "), "green"

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text.assemble(*self._parts())


class SpecError(FgicError):
    """A spec has problems: all of them, in the order of the file, those from ``--set`` last.

    ``str()`` is plain text; printed on a rich console it is coloured.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.source.order, p.line, p.column)))
        super().__init__(self.problems[0].message)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text("\n").join(problem.__rich__() for problem in self.problems)


def _visible(character: str) -> str:
    """The character, or a stand-in of one column for what would move the caret or the terminal's cursor."""
    if character == "\t":
        return "→"
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known names, or ``otherwise``."""
    close = nearest(word, list(known))
    return f"Did you mean {' or '.join(close)}?" if close else otherwise


def misspelt(key: str, keys: Iterable[str], known: Sequence[str]) -> bool:
    """Whether an unknown key among these looks like this one, so that its absence need not be told as well."""
    return any(key in nearest(word, known, 1) for word in keys if word not in known)


def once(problems: list[Problem], unreadable: set[Place]) -> list[Problem]:
    """Of a value that could not be read, the first problem alone."""
    seen: set[Place] = set()
    kept = []
    for problem in problems:
        if problem.place not in seen:
            kept.append(problem)
        if problem.place in unreadable:
            seen.add(problem.place)
    return kept
