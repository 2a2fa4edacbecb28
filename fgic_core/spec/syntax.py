"""What is wrong with text that is not YAML, said so that a person can mend it."""

from __future__ import annotations

import re
from typing import Any

#: A complaint: offset in the text, length, message, hint.
Complaint = tuple[int, int, str, str]

_MERGE = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?= |$)", re.MULTILINE)
_TAB = re.compile(r"^ *\t[ \t]*(?=[^\s#])", re.MULTILINE)

#: What the parser says, as a pattern; what we say; what to do.
_SAYINGS = [
    (
        "mapping values are not allowed",
        "there is a ':' too many on this line, or the line is indented too far",
        "Put text that holds ': ' in quotes.",
    ),
    ("could not find expected ':'", "a ':' is missing after this word", "Write `name: value`."),
    (
        "expected ',' or '}'",
        "a ',' or '}' is missing here",
        "Close with '}' what '{' opened, and put ',' between entries.",
    ),
    (
        "expected ',' or ']'",
        "a ',' or ']' is missing here",
        "Close with ']' what '[' opened, and put ',' between items.",
    ),
    ("found unexpected end of stream", "this quote is never closed", "Put the same quote at the end of the text."),
    (
        "expected <block end>",
        "this does not fit what stands before it",
        "Indent the lines of one mapping or list alike, and put text that goes on after a quote in quotes as a whole.",
    ),
    (
        "expected '<document start>'",
        "this does not fit what stands before it",
        "Indent the lines of one mapping or list alike.",
    ),
    ("cannot start any token", "this character cannot begin a value", "Put the text in quotes."),
    ("expected the node content", "a value is expected here", "Text that begins with this character needs quotes."),
    (
        "expected chomping or indentation",
        "the text of a block that begins with | or > stands on the lines below it",
        "Begin a new line here, or put the text in quotes.",
    ),
    ("found undefined tag", "tags are not allowed in a spec", "Remove the word that begins with '!'."),
    (
        "found unknown escape character",
        "there is no such escape in double quotes",
        "Double the backslash, or use single quotes.",
    ),
]


def complaint(error: Any, length: int) -> Complaint:
    """A parser's error: the mark of the problem, or of the context where the problem is only seen later.

    Args:
        error: a ``MarkedYAMLError``.
        length: of the whole text.
    """
    said = f"{error.problem or ''} {error.context or ''}"
    message, hint = next(((ours, hint) for theirs, ours, hint in _SAYINGS if theirs in said), ("", ""))
    mark = error.problem_mark or error.context_mark
    opened = error.context_mark
    at_end = mark is None or mark.index >= length
    if opened is not None and (at_end or "end of stream" in said or "find expected ':'" in said):
        mark = opened
        if "flow" in said and at_end:
            what = "mapping" if "mapping" in said else "list"
            bracket = "{" if what == "mapping" else "["
            message, hint = f"the {what} that '{bracket}' opens here is never closed", ""
    if not message:
        message = f"is not YAML: {(error.problem or error.context or 'it cannot be read').strip()}"
    return (min(mark.index, length) if mark is not None else 0), 1, message, hint


def marks_of_merge(text: str) -> Complaint | None:
    """The first mark that a merge left, if there is one; its hint tells the others."""
    found = list(_MERGE.finditer(text))
    if not found:
        return None
    lines = _listed([text.count("\n", 0, match.start()) + 1 for match in found])
    hint = f"Finish the merge: keep what is right and remove the marks on {lines}."
    return found[0].start(), 7, "a merge conflict is not resolved", hint


def tabs(text: str) -> Complaint | None:
    """The first line that is indented with a tab, if there is one; its hint tells the others."""
    found = list(_TAB.finditer(text))
    if not found:
        return None
    start = text.index("\t", found[0].start())
    lines = _listed([text.count("\n", 0, match.start()) + 1 for match in found])
    hint = f"Indent with spaces, on {lines}."
    return start, found[0].end() - start, "a tab indents this line, and YAML allows spaces only", hint


def _listed(lines: list[int], most: int = 8) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    if len(lines) > most:
        return f"lines {', '.join(map(str, lines[:most]))} and {len(lines) - most} more"
    return f"lines {', '.join(map(str, lines[:-1]))} and {lines[-1]}"
