"""What every component is: a pydantic model whose fields are its options."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SerializationInfo,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from fgic_core.errors import PluginError
from fgic_core.kinds.ports import Input
from fgic_core.loaded import note

T = TypeVar("T")
C = TypeVar("C", bound="Component")


#: Where a use-only option must not be read, by kind; in others in `fit` alone.
_WHERE = {"classifier": "fit, build and load"}


class _UseOnly:
    """The type of the marker `USE_ONLY`."""

    def __repr__(self) -> str:
        return "USE_ONLY"


#: Marks an option that plays no part in `fit`, but in what is done with what was learned.
USE_ONLY: Final = _UseOnly()
#: The type of such an option: ``min_score: UseOnly[float] = Field(0.05, description="…")``. `fit` cannot read it, and
#: another value of it trains nothing anew.
UseOnly = Annotated[T, USE_ONLY]


class NamesComponent:
    """The type of what marks an option that names a component (`fgic_core.ComponentOption`)."""


class Component(BaseModel):
    """Base of all interfaces: options are fields, the docstring is the help, the methods are the behaviour.

    Options are frozen, and a component never changes: what `fit` learns it returns.

    Heavy packages (torch, timm, mmdet) are imported inside methods, so that reading a spec stays quick.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), arbitrary_types_allowed=True, validate_default=True
    )

    #: The interface's word in ``uses: kind/name``; set by the interfaces, never by a plugin.
    kind: ClassVar[str]
    #: What a step of it takes, by the name of the port. A component that takes more than its kind adds to it:
    #: ``inputs = {**Classifier.inputs, "teacher": Input("model", auto=False)}``.
    inputs: ClassVar[Mapping[str, Input]]
    #: The type of artifact that it gives; see `fgic_core.ArtifactType`.
    gives: ClassVar[str]
    #: Whether a step of it can compute on several devices, in a process for each; see `Context.rank`.
    several_devices: ClassVar[bool] = False
    #: Options that had another name before, with what to write now.
    renamed: ClassVar[Mapping[str, str]] = {}
    #: Of a component that an option names (`fgic_core.ComponentOption`), its declaration.
    _entry: Any = PrivateAttr(None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        note(cls.__module__)  # which is being executed now

    def draws(self) -> bool:
        """Whether the step's seed has a part in what it gives. If not, steps of other seeds share its artifact."""
        return True

    def learns(self) -> bool:
        """Whether a step of it has something learned first (`fit`), which has a key and an artifact of its own."""
        return False

    def reads(self) -> Sequence[Path]:
        """Files that the options lead to without naming them, such as a configuration's bases; their content counts.

        So does that there is none: what would be read if it were there is named as well. A component is described once
        and not asked again before its options, what lies at their paths, its sources or one of these files change; a
        validator, `learns`, `draws`, `untraced` and `check_inputs` look at nothing else.
        """
        return ()

    def untraced(self) -> Sequence[str]:
        """Why what the options lead to is not known before the step runs, such as a configuration that is a program.

        With a reason the step is computed every time, and says so; without one its output is reused.
        """
        return ()

    def without_effect(self) -> Mapping[str, str]:
        """Options that play no part beside the values of others, by name, with why: ``optimizer is adamw``.

        `fgic check` says so of those that a spec gives.
        """
        return {}

    def check_inputs(self, inputs: Collection[str]) -> None:
        """Whether the options go with the inputs that the step has, by the names of their ports.

        Raises:
            ValueError: they do not; the message says what is wrong and, on a second line, what to do.
        """

    def for_fit(self: C) -> C:
        """The component as `fit` sees it: a copy without its use-only options, of which reading one is an error."""
        made = self.model_copy()
        for name in use_only(type(self)):
            made.__dict__.pop(name, None)
        return made

    if not TYPE_CHECKING:  # a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in use_only(type(self)):
                where = _WHERE.get(getattr(type(self), "kind", ""), "fit")
                raise PluginError(
                    f"{type(self).__name__}.{name} is declared use-only; {where} must not read it",
                    hint=f"If what is learned, or how it is opened, depends on {name}, declare it without UseOnly.",
                )
            return super().__getattr__(name)


def use_only(component: type[Component]) -> frozenset[str]:
    """The names of the options that are declared `UseOnly`."""
    return frozenset(name for name, field in component.model_fields.items() if USE_ONLY in field.metadata)


_FRACTION = r"^\s*([0-9]+(?:\.[0-9]*)?)\s*/\s*([0-9]+(?:\.[0-9]*)?)\s*$"


def _fraction(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(_FRACTION, value)
        if match and float(match[2]) > 0:
            return float(match[1]) / float(match[2])
        raise PydanticCustomError("epsilon", "should be a number in [0, 1] or a fraction such as 8/255")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 1:
        raise PydanticCustomError(
            "epsilon", "is {value}, but images are in [0, 1]; write {value}/255 for 8-bit steps", {"value": value}
        )
    return value


#: A perturbation size in [0, 1], for images in [0, 1]. In a spec ``8/255`` is as good as ``0.0314``.
Epsilon = Annotated[
    float,
    Field(ge=0.0, le=1.0),
    BeforeValidator(
        _fraction,
        json_schema_input_type=Annotated[float, Field(ge=0.0, le=1.0)] | Annotated[str, Field(pattern=_FRACTION)],
    ),
    Field(json_schema_extra={"examples": ["8/255", 0.03]}),
]


class TextFrom(str):
    """Text that an option was given as, in which a relative path starts at ``base`` and not at the spec's folder."""

    __slots__ = ("base",)
    base: Path

    def __new__(cls, text: str, base: Path) -> TextFrom:
        made = super().__new__(cls, text)
        made.base = base
        return made


class Look(NamedTuple):
    """One look at a path that an option was given.

    Attributes:
        given: the text; base: the folder that it starts at.
        folder: whether a folder is wanted there.
        found: where it leads; None where what is wanted is not there.
    """

    given: str
    base: str
    folder: bool
    found: str | None

    @classmethod
    def at(cls, given: str, base: str, folder: bool) -> Look:
        try:
            found = str(_existing(given, base, folder))
        except PydanticCustomError:
            found = None
        return cls(given, base, folder, found)

    def is_as_it_was(self) -> bool:
        """Whether the same is found there now."""
        return self.at(self.given, self.base, self.folder) == self


def _absolute(value: Any, info: ValidationInfo, folder: bool) -> Path:
    """The absolute path; that it exists is taken on trust for options of an artifact that was computed before."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise PydanticCustomError("path", "should be a path")
    context = info.context or {}
    base = value.base if isinstance(value, TextFrom) else context.get("base", Path.cwd())
    if context.get("trusted"):
        return _place(value, base)
    if (looks := context.get("looks")) is not None:  # what is remembered of the options depends on it
        looks.append(Look.at(str(value), str(base), folder))
    return _existing(value, base, folder)


def _place(value: str | Path, base: str | Path) -> Path:
    path = Path(value).expanduser()
    return path if path.is_absolute() else Path(base) / path


def _existing(value: str | Path, base: str | Path, folder: bool) -> Path:
    path = _place(value, base)
    if folder and not path.is_dir():
        raise PydanticCustomError(
            "path", "should be a folder that exists; there is none at {path}", {"path": str(path)}
        )
    if not folder and path.is_dir():
        raise PydanticCustomError("path", "should be a file; {path} is a folder", {"path": str(path)})
    if not folder and not path.is_file():
        if path.exists():
            what = "should be a regular file; {path} is a named pipe, a socket or a device"
            raise PydanticCustomError("path", what, {"path": str(path)})
        raise PydanticCustomError("path", "should be a file that exists; there is none at {path}", {"path": str(path)})
    return path.resolve()


def _file(value: Any, info: ValidationInfo) -> Path:
    return _absolute(value, info, folder=False)


def _folder(value: Any, info: ValidationInfo) -> Path:
    return _absolute(value, info, folder=True)


def _external(path: Path, info: SerializationInfo) -> str:
    """How the path is written: as its content's fingerprint, relative to the spec's folder, or as it is."""
    context = info.context or {}
    if (fingerprint := context.get("fingerprint")) is not None:
        return str(fingerprint(path))
    if (base := context.get("relative_to")) is not None and path.is_relative_to(base):
        return path.relative_to(base).as_posix()
    return str(path)


#: An existing file or folder that an option names. Relative paths start at the spec file's folder. What lies there
#: counts into the step's key (by content; see `fgic_core.plan.fingerprints`), where it lies does not.
InputFile = Annotated[
    Path, PlainValidator(_file, json_schema_input_type=str), PlainSerializer(_external, return_type=str)
]
InputFolder = Annotated[
    Path, PlainValidator(_folder, json_schema_input_type=str), PlainSerializer(_external, return_type=str)
]


def fields_of(of: type) -> Mapping[str, FieldInfo]:
    """The fields of a pydantic model or of a dataclass; of any other class there are none."""
    if issubclass(of, BaseModel):
        return of.model_fields
    if not is_dataclass(of):
        return {}
    if hasattr(of, "__pydantic_fields__"):
        own: Mapping[str, FieldInfo] = of.__pydantic_fields__
        return own
    try:
        hints = get_type_hints(of, include_extras=True)
    except NameError:  # of a type that is not there any more when the class is made
        return {}
    return {field.name: FieldInfo.from_annotation(hints[field.name]) for field in fields(of)}


def all_fields(component: type[Component]) -> Iterator[tuple[str, type, FieldInfo]]:
    """The options of a component and the fields of the models among them: the name from above, whose, and the field."""
    waiting: list[tuple[str, type]] = [("", component)]
    seen: set[type] = set()
    while waiting:
        above, model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in fields_of(model).items():
            yield f"{above}{name}", model, field
            for leaf in _leaves(field.annotation, field.metadata, above=frozenset({model})):
                if isinstance(leaf.type, type) and not issubclass(leaf.type, Component):
                    waiting.append((f"{above}{name}.", leaf.type))


class _Leaf(NamedTuple):
    """A type in that of an option, at its end: `marked` is what says how its value is written, if anything does.

    A `hashed` one is of a set's items or of a mapping's keys.
    """

    type: Any
    marked: Any
    hashed: bool


def _leaves(
    annotation: Any, metadata: Sequence[Any] = (), hashed: bool = False, above: frozenset[Any] = frozenset()
) -> Iterator[_Leaf]:
    """The types that an option's type is made of, those of the fields of models and dataclasses among them."""
    for one in metadata:
        if isinstance(one, NamesComponent) or (isinstance(one, PlainSerializer) and one.func is _external):
            yield _Leaf(annotation, one, hashed)
            return
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        yield from _leaves(annotation.__origin__, annotation.__metadata__, hashed, above)
    elif isinstance(annotation, type) and not arguments:
        yield _Leaf(annotation, None, hashed)
        if annotation not in above and not issubclass(annotation, Component):
            for field in fields_of(annotation).values():
                yield from _leaves(field.annotation, field.metadata, hashed, above | {annotation})
    else:
        within_set = isinstance(origin, type) and issubclass(origin, Set)
        keys = isinstance(origin, type) and issubclass(origin, Mapping)
        for index, one in enumerate(arguments):
            yield from _leaves(one, (), hashed or within_set or (keys and index == 0), above)


def _options_of(component: type[Component]) -> Iterator[tuple[str, _Leaf]]:
    for name, field in component.model_fields.items():
        for leaf in _leaves(field.annotation, field.metadata):
            yield name, leaf


def names_components(field: FieldInfo) -> bool:
    """Whether an option names components, alone or among other things."""
    return any(isinstance(leaf.marked, NamesComponent) for leaf in _leaves(field.annotation, field.metadata))


def bare_components(component: type[Component]) -> dict[str, type[Component]]:
    """The options whose type is an interface and not `ComponentOption` of it, with that interface."""
    return {
        name: leaf.type
        for name, leaf in _options_of(component)
        if leaf.marked is None and isinstance(leaf.type, type) and issubclass(leaf.type, Component)
    }


def hashed_components(component: type[Component]) -> list[str]:
    """The options that name components in a set or as keys: a component has no hash that its options decide."""
    found = (name for name, leaf in _options_of(component) if leaf.hashed and isinstance(leaf.marked, NamesComponent))
    return list(dict.fromkeys(found))


def plain_paths(component: type[Component]) -> list[str]:
    """The options whose type is `Path` and not `InputFile` or `InputFolder`: what lies there is not looked at."""
    found = (
        name
        for name, leaf in _options_of(component)
        if leaf.marked is None and isinstance(leaf.type, type) and issubclass(leaf.type, Path)
    )
    return list(dict.fromkeys(found))
