"""Descriptions of components whose classes this process can import."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from fgic_core.description.manifest import Manifest, manifest_of
from fgic_core.description.model import Answer, Described, Inner, Recipe, Request, Wrong
from fgic_core.description.words import dotted, in_one_line, in_words
from fgic_core.errors import PluginError
from fgic_core.kinds.component import Component, Look
from fgic_core.kinds.dataset.contract import DatasetReader
from fgic_core.nested import REFUSED, Misfit, entry_of, nested, one_line
from fgic_core.registry import Registry


class Here:
    """Imports the classes, and asks them.

    Args:
        registry: where they come from.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def manifests(self, uses: Iterable[str], *, schema: bool = False) -> dict[str, Manifest | PluginError]:
        found: dict[str, Manifest | PluginError] = {}
        for name in dict.fromkeys(uses):
            try:
                entry, component = self._registry.entry(name), self._registry.get(name)
                found[name] = manifest_of(entry, component, schema)
            except PluginError as error:
                found[name] = error
        return found

    def describe(self, requests: Sequence[Request]) -> list[Answer]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        uses, looks = request.uses, list[Look]()
        entry, component = self._registry.entry(uses), self._registry.get(uses)
        context = {
            "base": request.base,
            "registry": self._registry,
            "defaults": request.defaults,
            "looks": looks,
        }
        try:
            made = component.model_validate(dict(request.options), context=context)
        except ValidationError as error:
            return self._faults(component, request, error, context)
        except Exception as error:  # a plugin's own validator
            return Answer(failed=f"{uses} failed while it checked its options: {in_one_line(error)}")
        if misread := tuple(_misread(request.options, made, request.defaults)):
            return Answer(misread=misread)
        if changed := _changed_again(made, request, self._registry):
            return Answer(failed=f"{uses} does not take its own options as they are: {changed}")
        try:
            described = describe(made, manifest_of(entry, component), request.inputs)
        except Exception as error:  # what it says of itself: draws, learns, reads, …
            return Answer(failed=f"{uses} failed while it was asked about itself: {in_one_line(error)}")
        return Answer(described=described, looks=tuple(looks))

    @staticmethod
    def _faults(
        component: type[Component], request: Request, error: ValidationError, context: dict[str, Any]
    ) -> Answer:
        """Everything that is wrong: validators of the whole see no options among which is one that is unknown."""
        wrong = list(_wrong(error))
        unknown = {one.loc[0] for one in wrong if one.type == "extra_forbidden" and len(one.loc) == 1}
        if unknown:
            try:
                component.model_validate(
                    {name: value for name, value in request.options.items() if name not in unknown}, context=context
                )
            except ValidationError as again:
                wrong += [one for one in _wrong(again) if (one.loc, one.type) not in {(w.loc, w.type) for w in wrong}]
            except Exception as failure:  # a plugin's own validator
                said = f"{request.uses} failed while it checked its options: {in_one_line(failure)}"
                return Answer(wrong=tuple(wrong), failed=said)
        misread = _among_others(component, request, {one.loc[0] for one in wrong if one.loc}, context)
        return Answer(wrong=tuple(wrong), misread=tuple(misread))


def _among_others(
    component: type[Component], request: Request, wrong: Set[Any], context: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """As `_misread`, of options that are legal beside ones that are not: each is read by its own type."""
    for name, value in request.options.items():
        if name in wrong or (field := component.model_fields.get(name)) is None:
            continue
        with suppress(Exception):  # it is said already what is wrong with it
            annotated: Any = Annotated[(field.annotation, *field.metadata)]
            made = TypeAdapter(annotated).validate_python(value, context=context)
            yield from list(_misread(value, made, request.defaults, (name,)))


def _changed_again(made: Component, request: Request, registry: Registry) -> str:
    """What comes of options that are read once more, as by a job; nothing where they stay the same."""
    try:
        told = made.model_dump(mode="json")
    except Exception:  # whoever writes them down says so
        return ""
    try:
        again = type(made).model_validate(told, context={"base": request.base, "registry": registry})
    except ValidationError as error:
        return f"when a job reads {one_line(error)}"
    except Exception as error:
        return f"when a job reads them, {in_one_line(error)}"
    before, after = _counted(made)[0], _counted(again)[0]
    changed = [
        f"{name} is {in_words(before[name])}, then {in_words(after[name])}"
        for name in before
        if before[name] != after[name]
    ]
    more = ". A validator that changes a value must leave alone what it has changed already."
    return f"{'; '.join(changed)} when a job reads them again{more}" if changed else ""


def describe(component: Component, manifest: Manifest, inputs: Sequence[str] = ()) -> Described:
    """The description of a component.

    Args:
        component: with its options.
        manifest: of its class.
        inputs: the ports that its step is given something at.
    """
    counted, files, unordered, doubts = _counted(component)
    named = {where: _recipe(one, manifest_of(entry_of(one), type(one))) for where, one in nested(component).items()}
    misplaced = ""
    try:
        component.check_inputs(inputs)
    except ValueError as error:
        misplaced = str(error)
    own = _recipe(component, manifest)
    return Described(
        **{name: getattr(own, name) for name in Recipe.model_fields},
        options=component.model_dump(mode="json"),
        counted=counted,
        files=files,
        unordered=unordered,
        doubts=doubts,
        learns=component.learns(),
        source=component.source() if isinstance(component, DatasetReader) else None,
        named=named,
        without_effect=dict(component.without_effect()),
        misplaced=misplaced,
    )


def _recipe(component: Component, manifest: Manifest) -> Recipe:
    return Recipe(
        manifest=manifest,
        draws=component.draws(),
        reads=tuple(component.reads()),
        untraced=tuple(component.untraced()),
    )


def _counted(component: Component) -> tuple[dict[str, Any], dict[str, Path], str, dict[str, tuple[str, ...]]]:
    """The options as they count, what the marks in them stand for, the mark of a list without order, and doubts."""
    mark = "@"
    text = repr(component.model_dump(mode="python"))
    while mark in text:
        mark += "@"
    places: dict[Path, str] = {}

    def marked(path: Path) -> str:
        return places.setdefault(path, f"{mark}{len(places)}")

    unordered = f"{mark}set"
    counted, doubts = dict[str, Any](), dict[str, tuple[str, ...]]()
    for name, value in component.model_dump(mode="python", context={"fingerprint": marked}).items():
        found: list[str] = []
        counted[name] = _plain(value, name, found, unordered)
        if found:
            doubts[name] = tuple(found)
    return counted, {name: path for path, name in places.items()}, unordered, doubts


def _plain(value: Any, where: str, doubts: list[str], unordered: str) -> Any:
    """An option's value as JSON has it; what it cannot hold is a doubt."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one, f"{where}.{name}", doubts, unordered) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, where, doubts, unordered) for one in value]
    if isinstance(value, (set, frozenset)):
        items = (_plain(one, where, doubts, unordered) for one in value)
        return [unordered, *sorted(items, key=repr)]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        doubts.append(f"what lies at the option {where} is not looked at: its type is Path, not InputFile")
        return str(value)
    try:
        from pydantic_core import to_jsonable_python

        return to_jsonable_python(value)
    except Exception:
        doubts.append(f"the option {where} holds a {type(value).__name__}, which has no content that can be compared")
        return repr(type(value))


def _wrong(error: ValidationError) -> Iterator[Wrong]:
    for one in error.errors(include_url=False):
        context = dict(one.get("ctx", {}))
        refused, inner = None, None
        if one["type"] == REFUSED:
            refused, misfit = context.get("refused"), context.get("misfit")
            if isinstance(misfit, Misfit):
                manifest = manifest_of(misfit.entry, misfit.component)
                inner = Inner(manifest=manifest, wrong=tuple(_wrong(misfit.error)))
            context = {}
        plain = json.loads(json.dumps(context, default=str))
        yield Wrong(loc=one["loc"], type=one["type"], msg=one["msg"], ctx=plain, refused=refused, inner=inner)


def _misread(
    given: Any, made: Any, defaults: Mapping[str, Mapping[str, Any]], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What pydantic takes and a reader of the spec would not: true for 1, and numbers without end."""
    name = f"option {dotted(path)}"
    if isinstance(made, Component) and made._entry is not None and path and path[-1] != "with":
        options = given.get("with") if isinstance(given, Mapping) else None
        if options is None or isinstance(options, Mapping):
            options = {**defaults.get(entry_of(made).uses, {}), **(options or {})}
        yield from _misread(options, made, defaults, (*path, "with"))
    elif isinstance(given, Mapping):
        for key, one in given.items():
            yield from _misread(one, _below(made, key), defaults, (*path, key))
    elif isinstance(given, (list, tuple)):
        items = made if isinstance(made, (list, tuple)) and len(made) == len(given) else [None] * len(given)
        for index, (below, item) in enumerate(zip(given, items, strict=True)):
            yield from _misread(below, item, defaults, (*path, index))
    elif isinstance(given, bool) and isinstance(made, (int, float)) and not isinstance(made, bool):
        yield path, f"{name} should be a number, not {in_words(given)}"
    elif isinstance(given, float) and not math.isfinite(given):
        yield path, f"{name} should be a finite number, not {given}"


def _below(made: Any, key: str) -> Any:
    if isinstance(made, BaseModel) or is_dataclass(made):
        return getattr(made, key, None)
    return made.get(key) if isinstance(made, Mapping) else None
