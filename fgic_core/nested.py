"""Options that name a component: ``attack: {uses: attacker/pgd, with: {steps: 7}}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import BaseModel, SerializationInfo, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.component import Component, NamesComponent
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Entry, Registry, installed

C = TypeVar("C", bound=Component)

#: The type of pydantic's error where an option's component cannot be had; its context holds what is ``refused``, or the
#: ``misfit``.
REFUSED: Final = "component"
#: In the JSON Schema of a component, the kind of what an option of it names.
SCHEMA_KEY: Final = "x-fgic-kind"
_KEYS = ("uses", "with")
#: How a message and a hint of `Refused` begin where they name the option.
OPTION, WRITE = "{option} ", "Write {option}: "


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that is wrong with what names a component.

    Attributes:
        at: the key it is about, `uses`, `with` or an unknown one; empty for the option as a whole.
        message: what is wrong; where it begins with `OPTION` the option's name belongs there.
        hint: what to do about it; may be empty; `WRITE` as ``message``.
        shown: whether the message goes on with the value that stands there.
        wanted: in the message, what is legal there, where another kind might be as well; else empty.
        stranger: whether what stands there is, or may be, of another kind.
    """

    at: str
    message: str
    hint: str = ""
    shown: bool = False
    wanted: str = ""
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class Misfit:
    """A component that was found and does not take its options.

    Attributes:
        entry: its declaration; component: its class.
        error: what pydantic says of the options.
    """

    entry: Entry
    component: type[Component]
    error: ValidationError


if TYPE_CHECKING:
    ComponentOption = Annotated[C, "an option that names a component"]
else:

    class ComponentOption:
        """The type of an option that names a component: ``attack: ComponentOption[Attacker] = Field(description=…)``.

        In a spec it is ``attack: {uses: attacker/pgd, with: {steps: 7}}``, or ``attack: attacker/pgd`` where nothing is
        said of its options. The field's value is the component, with its options checked: ``self.attack.perturb(…)``.
        It may stand in a list or a mapping (not in a set), beside None, in a model or a dataclass, or in the options of
        a component that is named so itself; a default is written as in a spec. In Python a component of an installed
        class can be given as it is.

        What is named counts into the key of the step: class, package, sources, options, what it reads and whether it
        draws. The core hands it nothing: its methods are called by the component whose option it is.

        Args:
            interface: the kind that is wanted, such as `fgic_core.Attacker`.

        Raises:
            TypeError: that is none of the interfaces.
        """

        def __class_getitem__(cls, interface: type[Component]) -> Any:
            if interface is not KINDS.interface(getattr(interface, "kind", "")):
                known = ", ".join(one.__name__ for kind in KINDS if (one := KINDS.interface(kind)) is not None)
                raise TypeError(f"ComponentOption takes one of {known}, not {interface!r}")
            return Annotated[interface, Named(interface)]


@dataclass(frozen=True)
class Named(NamesComponent):
    """What the annotation of such an option holds: reads and writes its value.

    Attributes:
        interface: of the components that it may name.
    """

    interface: type[Component]

    @property
    def kind(self) -> str:
        return self.interface.kind

    @property
    def words(self) -> str:
        """What is legal, for people."""
        return f"{self.kind}/name | {{uses: {self.kind}/name, with: {{...}}}}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read, serialization=core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        """What is legal whatever is installed; `fgic_core.spec.schema` puts what is in its place."""
        name = {"type": "string", "pattern": f"^{self.kind}/[^/]+$"}
        mapping = {
            "type": "object",
            "required": ["uses"],
            "additionalProperties": False,
            "properties": {"uses": name, "with": {"type": ["object", "null"]}},
        }
        return {"anyOf": [name, mapping], SCHEMA_KEY: self.kind}

    def _read(self, value: Any, info: ValidationInfo) -> Any:
        """The component.

        The context may have the ``registry`` (None looks nothing up: the value is checked as far as that goes, and
        given back), and ``defaults``: options by ``kind/name`` for what does not say otherwise.
        """
        context = info.context or {}
        registry: Registry | None = context["registry"] if "registry" in context else installed()
        if isinstance(value, Component):
            return self._given(value, registry) if registry is not None else value
        uses, options, refused = self._parts(value)
        if refused or registry is None:
            return value if not refused else _refuse(refused)
        try:
            entry, component = registry.entry(uses), registry.get(uses)
        except PluginError as error:
            return _refuse([self._missing(uses, error, registry)])
        options = {**context.get("defaults", {}).get(uses, {}), **options}
        try:
            made = component.model_validate(options, context=context | {"registry": registry})
        except ValidationError as error:
            said = f"{uses}: {one_line(error)}"
            raise PydanticCustomError(
                REFUSED, "{said}", {"said": said, "misfit": Misfit(entry, component, error)}
            ) from None
        except Exception as error:  # a plugin's own validator
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return _refuse([Refused("uses", f"{uses} failed while it checked its options: {text}")])
        made._entry = entry
        return made

    def _parts(self, value: Any) -> tuple[str, Mapping[str, Any], list[Refused]]:
        """The component's name and options, and what is wrong with the way they are written."""
        example = f"{WRITE}{{uses: {self.kind}/name, with: {{...}}}}."
        if isinstance(value, str) and value.strip():
            found: Mapping[str, Any] = {"uses": value}
        elif isinstance(value, Mapping):
            found = value
        else:
            what = f"{OPTION}should be {_a(self.kind)}"
            return "", {}, [Refused("", what, example, shown=True, wanted=_a(self.kind))]
        absent = [key for key in _KEYS if key not in found]
        refused = [self._unknown(str(key), absent) for key in found if key not in _KEYS]
        misspelt = any("uses" in nearest(str(word), _KEYS, 1) for word in found if word not in _KEYS)
        uses, options = found.get("uses"), found.get("with")
        if "uses" not in found:
            what = f"{OPTION}does not say which {self.kind} it uses"
            refused += [] if misspelt else [Refused("", what, example, wanted=self.kind)]
        elif not isinstance(uses, str) or not uses.strip():
            refused.append(Refused("uses", "uses should be kind/name", example, shown=True))
        elif uses.partition("/")[0] in KINDS and not uses.startswith(f"{self.kind}/"):
            what = f"{uses} stands where {_a(self.kind)} is wanted"
            refused.append(Refused("uses", what, example, wanted=_a(self.kind), stranger=True))
        if options is not None and not isinstance(options, Mapping):
            what = "with should be a mapping from options to values"
            refused.append(Refused("with", what, "Write with: {option: value, ...}.", shown=True))
        return str(uses), options or {}, refused

    def _unknown(self, key: str, absent: list[str]) -> Refused:
        close = nearest(key, absent)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Options stand under with: write with: {...}."
        return Refused(key, f"{OPTION}has no {key}", hint)

    def _missing(self, uses: str, error: PluginError, registry: Registry) -> Refused:
        """Why a component cannot be had."""
        text = " ".join((f"{error.where}: {error.what}" if error.where else error.what).split())
        names = [name for name in registry.names() if name.startswith(f"{self.kind}/")]
        hint = error.hint or ""
        if "/" not in uses:
            close = [f"{self.kind}/{name}" for name in nearest(uses, [name.partition("/")[2] for name in names])]
            hint = f"Did you mean {' or '.join(close)}?" if close else f"Installed are {', '.join(names)}."
        return Refused("uses", text, hint)

    def _given(self, value: Component, registry: Registry) -> Component:
        """A component that was given as it is."""
        entry = value._entry or registry.declared(type(value))
        if not isinstance(value, self.interface):
            _refuse([Refused("", f"{type(value).__name__} stands where {_a(self.kind)} is wanted")])
        if entry is None:
            hint = f"Install a package that does, or register it and give {{uses: {self.kind}/name}}."
            _refuse([Refused("", f"{type(value).__name__} is declared by no installed package", hint)])
        copy = value.model_copy()
        copy._entry = entry
        return copy


def entry_of(component: Component) -> Entry:
    """The declaration of a component that an option names.

    Raises:
        PluginError: it came there without being checked, as by ``model_construct``.
    """
    entry: Entry | None = component._entry
    if entry is None:
        raise PluginError(
            f"a {type(component).__name__} stands in an option without its name",
            hint="Options of components are given when a component is made, and checked then.",
        )
    return entry


def nested(component: Component) -> dict[str, Component]:
    """Every component that an option of this one names, near and far, by where: ``attack``, ``attack.with.inner``."""
    return {where: one for name, value in _fields(component) for where, one in _within(value, name)}


def _fields(model: BaseModel) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in model.__dict__.items() if name in type(model).model_fields)


def _within(value: Any, where: str) -> Iterator[tuple[str, Component]]:
    if isinstance(value, Component):
        yield where, value
        where = f"{where}.with"
    if isinstance(value, BaseModel):
        items = [(f"{where}.{name}", one) for name, one in _fields(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        items = [(f"{where}.{field.name}", getattr(value, field.name, None)) for field in fields(value)]
    elif isinstance(value, Mapping):
        items = [(f"{where}.{name}", one) for name, one in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f"{where}[{index}]", one) for index, one in enumerate(value)]
    else:
        return
    for name, one in items:
        yield from _within(one, name)


def _written(component: Component, info: SerializationInfo) -> dict[str, Any]:
    """As a spec has it, with every option."""
    options = component.model_dump(mode=info.mode, context=info.context, by_alias=info.by_alias)
    return {"uses": entry_of(component).uses, "with": options}


def either(refused: Sequence[Sequence[Refused]]) -> list[Refused]:
    """What is wrong where components of several kinds may stand, by what is wrong with each of these."""
    near = [one for one in refused if not any(each.stranger for each in one)] or refused
    merged: dict[tuple[str, str], Refused] = {}
    for one in (each for every in near for each in every):
        key = (one.at, one.message.replace(one.wanted, "\0", 1) if one.wanted else one.message)
        before = merged.get(key)
        if before is not None and one.wanted and one.wanted != before.wanted:
            wanted = f"{before.wanted} or {one.wanted}"
            merged[key] = replace(before, message=before.message.replace(before.wanted, wanted, 1), wanted=wanted)
        else:
            merged[key] = one
    return list(merged.values())


def _refuse(refused: list[Refused]) -> Any:
    texts = [f"{one.message}. {one.hint}".strip().replace(OPTION, "").replace(WRITE, "Write ") for one in refused]
    raise PydanticCustomError(REFUSED, "{said}", {"said": " ".join(texts), "refused": tuple(refused)})


def one_line(error: ValidationError) -> str:
    """What is wrong with options, by their names."""
    found = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found)


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
