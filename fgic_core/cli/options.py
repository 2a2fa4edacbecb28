"""A component's options in words: what may stand in a spec."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

from fgic_core.kinds.component import Component, Epsilon, InputFile, InputFolder
from fgic_core.kinds.table import KINDS
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


class Option(NamedTuple):
    """One option of a component.

    Attributes:
        name: the word in a spec.
        type: what is legal, for people.
        required: whether a spec must give it.
        default: as JSON has it; None where it is required.
        description: what it does.
        core: whether the interface declares it, so that every component of the kind has it.
    """

    name: str
    type: str
    required: bool
    default: Any
    description: str
    core: bool


def options_of(component: type[Component]) -> list[Option]:
    """The options of a component, its own before those of its interface."""
    interface = KINDS[component.kind].interface.model_fields
    found = [
        Option(
            field.alias or name,
            describe(field.annotation, field.metadata),
            field.is_required(),
            _default(field),
            (field.description or "").strip(),
            name in interface,
        )
        for name, field in component.model_fields.items()
    ]
    return sorted(found, key=lambda option: (option.core, not option.required))


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


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return None
    from pydantic_core import to_jsonable_python

    return _rounded(to_jsonable_python(field.get_default(call_default_factory=True), fallback=str))


def _rounded(value: Any) -> Any:
    """Floats at six significant digits: 1/255 is nothing to read in seventeen."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return [_rounded(item) for item in value] if isinstance(value, list) else value
