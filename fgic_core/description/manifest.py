"""What the class of a component says of itself, whatever its options: all that is asked of it without an instance."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic.fields import FieldInfo

from fgic_core.description.words import describe
from fgic_core.kinds.component import USE_ONLY, Component, fields_of, names_components
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Entry


class Option(BaseModel):
    """One option of a component, or a field of a model among them.

    Attributes:
        name: the word in a spec; field: the name in Python.
        type: what is legal, for people.
        required: whether a spec must give it.
        default: as JSON has it; None where it is required.
        description: what it does.
        core: whether the interface declares it, so that every component of the kind has it.
        use_only: whether learning does not see it.
        component: whether it names components.
        models: the places in `Manifest.models` of the models that its value may be made of.
        made: whether its default is made by a function, which may look at anything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    field: str
    type: str
    required: bool
    default: Any
    description: str
    core: bool = False
    use_only: bool = False
    component: bool = False
    models: tuple[int, ...] = ()
    made: bool = False


class Identity(BaseModel):
    """Which code a component is.

    Attributes:
        name: of its package; version: of that, public.
        sources: the digest of its own sources, near and far, where they may be edited.
        stands_on: versions of the packages that these import, and of those that its package declares.
        doubts: why they may not tell everything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    version: str
    sources: str
    stands_on: dict[str, str]
    doubts: tuple[str, ...] = ()


class Manifest(BaseModel):
    """What a component's class says.

    Attributes:
        entry: its declaration.
        module: where the class is defined.
        doc: its help.
        models: options: of the component first, then of the models that these are made of.
        ports: what a step of it takes; gives: what that gives.
        several_devices: see `fgic_core.kinds.component.Component`; columns: see `fgic_core.Classifier`.
        renamed: options that had another name, with what to write now.
        identity: of a component that lives in another Python, what that says of its code; None where this one can look.
        json_schema: of the options, where it was asked for and they have one; if not, ``no_schema`` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    entry: Entry
    module: str
    doc: str
    models: tuple[tuple[Option, ...], ...]
    ports: dict[str, Input]
    gives: str
    several_devices: bool = False
    columns: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    identity: Identity | None = None
    json_schema: dict[str, Any] | None = None
    no_schema: str = ""
    #: The class, of which that of a notebook has no file that tells what it is.
    _class: Any = PrivateAttr(None)

    @property
    def own_class(self) -> type[Component] | None:
        """The class, in the process that has imported it."""
        found: type[Component] | None = self._class
        return found

    @property
    def summary(self) -> str:
        """The first paragraph of the help, on one line."""
        return self.doc.split("\n\n", 1)[0].replace("\n", " ")

    @property
    def options(self) -> list[Option]:
        """The component's own options before those of its kind, and what is needed first."""
        return sorted(self.models[0], key=lambda option: (option.core, not option.required))

    @property
    def made(self) -> bool:
        """Whether a default is made by a function: of what it looks at nothing is known."""
        return any(option.made for options in self.models for option in options)

    @property
    def use_only(self) -> frozenset[str]:
        """The options that learning does not see, by their names in Python."""
        return frozenset(option.field for option in self.models[0] if option.use_only)

    def at(self, path: Sequence[str | int]) -> dict[str, Option]:
        """The options, by the name a spec knows them by, of what stands at a path below the component's."""
        models = [0]
        for part in path:
            found = [one for model in models for one in self.models[model] if part in (one.field, one.name)]
            if found:  # an index or a key of a mapping leaves the models as they are
                models = [model for one in found for model in one.models]
        return {one.name: one for model in models for one in self.models[model]}


@lru_cache(maxsize=1024)
def manifest_of(entry: Entry, component: type[Component], schema: bool = False) -> Manifest:
    """The manifest of a class of this process.

    Args:
        entry: its declaration.
        component: the class.
        schema: with the JSON Schema of its options.
    """
    columns = getattr(component, "columns", None)  # of what learns; readers have a method of that name
    json_schema, no_schema = _schema(entry, component) if schema else (None, "")
    made = Manifest(
        entry=entry,
        module=component.__module__,
        doc=inspect.cleandoc(component.__doc__ or ""),
        models=_models_of(component),
        ports=dict(component.inputs),
        gives=component.gives,
        several_devices=component.several_devices,
        columns=tuple(sorted(columns)) if isinstance(columns, (frozenset, set)) else (),
        renamed=dict(component.renamed),
        json_schema=json_schema,
        no_schema=no_schema,
    )
    made._class = component
    return made


def options_of(component: type[Component]) -> list[Option]:
    """See `Manifest.options`."""
    return sorted(_models_of(component)[0], key=lambda option: (option.core, not option.required))


def _models_of(component: type[Component]) -> tuple[tuple[Option, ...], ...]:
    models: list[type] = [component]
    found: list[tuple[Option, ...]] = []
    interface = KINDS[component.kind].interface.model_fields
    for model in models:  # which grows meanwhile
        options = []
        for name, field in fields_of(model).items():
            within = list(dict.fromkeys(_models(field.annotation)))
            models += [one for one in within if one not in models]
            places = tuple(models.index(one) for one in within)
            options.append(_option(name, field, places, core=model is component and name in interface))
        found.append(tuple(options))
    return tuple(found)


def _option(name: str, field: FieldInfo, models: tuple[int, ...], *, core: bool) -> Option:
    from pydantic_core import to_jsonable_python

    default = None
    if not field.is_required():
        default = to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
    return Option(
        name=field.alias or name,
        field=name,
        type=describe(field.annotation, field.metadata),
        required=field.is_required(),
        default=default,
        description=(field.description or "").strip(),
        core=core,
        use_only=USE_ONLY in field.metadata,
        component=names_components(field),
        models=models,
        made=field.default_factory not in (None, list, dict, set, frozenset, tuple),
    )


def _models(annotation: Any) -> Iterator[type]:
    """The models and dataclasses in a type, but for components, which have manifests of their own."""
    if isinstance(annotation, type) and not get_args(annotation):
        if (issubclass(annotation, BaseModel) and not issubclass(annotation, Component)) or is_dataclass(annotation):
            yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)


def _schema(entry: Entry, component: type[Component]) -> tuple[dict[str, Any] | None, str]:
    """The JSON Schema of its options; else why there is none."""
    try:
        template = f"#/$defs/{schema_key(entry.uses)}/$defs/{{model}}"
        found: Mapping[str, Any] = component.model_json_schema(ref_template=template)
    except Exception as error:  # a field that has no JSON Schema is the plugin's fault, and only its own
        return None, f"has no JSON Schema: {str(error).splitlines()[0]}"
    return dict(found), ""


def schema_key(uses: str) -> str:
    """A name in ``$defs`` that needs no escapes in a JSON pointer."""
    return uses.replace("~", "-").replace("/", ".")
