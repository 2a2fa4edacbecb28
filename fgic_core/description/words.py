"""Types, values and places of options in words."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

from fgic_core.kinds.component import Epsilon, InputFile, InputFolder
from fgic_core.nested import Named

_WORDS = {
    bool: "true | false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    type(None): "null",
    Any: "anything",
}


def _validator(alias: Any) -> int:
    """What tells an annotated type of fgic's own from every other: the identity of its validator."""
    return next(id(item) for item in get_args(alias) if isinstance(item, (BeforeValidator, PlainValidator)))


_OWN = {
    _validator(Epsilon): "number in [0, 1] or n/255",
    _validator(InputFile): "path of a file",
    _validator(InputFolder): "path of a folder",
}


def describe(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """A type and its bounds in words, such as ``sgd | adamw`` or ``integer >= 1``."""
    flat = _flatten(metadata)
    own = next((_OWN[id(item)] for item in flat if id(item) in _OWN), None)
    own = own or next((item.words for item in flat if isinstance(item, Named)), None)
    if own:
        return own
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0], [*annotation.__metadata__, *metadata])
    if origin in (Union, types.UnionType):
        # A field's bounds hold for the numbers among the alternatives.
        parts = [describe(part, [] if part in (str, bool, type(None)) else flat) for part in arguments]
        return " | ".join(dict.fromkeys(parts))
    if origin is Literal:
        return " | ".join("null" if value is None else str(value) for value in arguments)
    if origin in (list, tuple, set, frozenset) or annotation in (list, tuple, set, frozenset):
        return _collection(origin or annotation, arguments, flat)
    if origin is dict or annotation is dict:
        return f"mapping of {describe(arguments[0])} to {describe(arguments[1])}" if arguments else "mapping"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"mapping ({', '.join(annotation.model_fields)})"
    word = _WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation))
    return f"{word}{_bounds(flat)}"


def _collection(kind: Any, arguments: tuple[Any, ...], metadata: list[Any]) -> str:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"[{', '.join(describe(part) for part in arguments)}]"
    items = f"list of {_grouped(describe(arguments[0]))}" if arguments else "list"
    least = next((item.min_length for item in metadata if isinstance(item, annotated_types.MinLen)), 0)
    most = next((item.max_length for item in metadata if isinstance(item, annotated_types.MaxLen)), None)
    if most is not None:
        return f"{items}, {least} to {most} long"
    return f"{items}, not empty" if least == 1 else f"{items}, at least {least}" if least else items


def _grouped(text: str) -> str:
    return f"({text})" if " | " in text or " or " in text else text


def _bounds(metadata: list[Any]) -> str:
    low: tuple[str, Any] | None = None
    high: tuple[str, Any] | None = None
    for item in metadata:
        if isinstance(item, annotated_types.Ge):
            low = ("[", item.ge)
        elif isinstance(item, annotated_types.Gt):
            low = ("(", item.gt)
        elif isinstance(item, annotated_types.Le):
            high = ("]", item.le)
        elif isinstance(item, annotated_types.Lt):
            high = (")", item.lt)
    if low and high:
        return f" in {low[0]}{_number(low[1])}, {_number(high[1])}{high[0]}"
    if low:
        return f" {'>=' if low[0] == '[' else '>'} {_number(low[1])}"
    if high:
        return f" {'<=' if high[0] == ']' else '<'} {_number(high[1])}"
    return ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _flatten(metadata: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Metadata with the constraints that a nested `Field(...)` or `Interval` holds."""
    flat: list[Any] = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            flat += item.metadata
        elif isinstance(item, annotated_types.GroupedMetadata):
            flat += list(item)
        else:
            flat.append(item)
    return flat


def in_one_line(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def dotted(path: Sequence[str | int]) -> str:
    """``("layers", 0, "name")`` as ``layers[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def in_words(value: Any) -> str:
    """A value, as an error names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return "so large a number" if math.isfinite(value) and abs(value) > 1e30 else str(value)
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else f"a {type(value).__name__}"
