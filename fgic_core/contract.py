"""What a class has to be for the core to drive it: loaded by its entry point, and looked at before it is used."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.component import Component, all_fields, bare_components, hashed_components
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS

if TYPE_CHECKING:
    from fgic_core.registry import Entry


def load(entry: Entry) -> type[Component]:
    """Import a class.

    Raises:
        PluginError: it cannot be imported, or is none that the core could drive; the message says why.
    """
    where = f"{entry.uses} ({entry.package} {entry.version})"
    if entry.kind not in KINDS:
        raise PluginError(f"there is no kind {entry.kind!r}", where=where, hint=f"Kinds are {', '.join(KINDS)}.")
    interface = KINDS[entry.kind].interface
    point = metadata.EntryPoint(entry.name, entry.target, f"fgic.{entry.kind}")
    try:
        component = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a module does at import, an exit too, stays its own failure
        raise PluginError(
            f"failed to load {entry.target}: {type(error).__name__}: {error}".rstrip(": "),
            where=where,
            hint=f"Reinstall or repair the package {entry.package}.",
        ) from error
    if not (isinstance(component, type) and issubclass(component, interface)):
        raise PluginError(
            f"{entry.target} is not a subclass of {interface.__name__}",
            where=where,
            hint=f"Derive it from {_public(interface)}.",
        )
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    if missing:
        raise PluginError(
            f"{entry.target} lacks {', '.join(missing)}",
            where=where,
            hint=f"{_public(interface)} says what each must do.",
        )
    _check_ports(entry, component, interface, where)
    taken = sorted(name for name in component.model_fields if name in _methods(interface))
    if taken:
        raise PluginError(
            f"{entry.target} has an option {taken[0]}, which is the name of a method",
            where=where,
            hint=f"Name it otherwise: fgic_core.{interface.__name__}.{taken[0]} is called by the core.",
        )
    _check_written(entry, component, where)
    for name, wanted in bare_components(component).items():
        raise PluginError(
            f"{entry.target} has an option {name} whose type is {wanted.__name__} itself",
            where=where,
            hint=f"An option that names a component is a fgic_core.ComponentOption[{wanted.__name__}].",
        )
    for name in hashed_components(component):
        raise PluginError(
            f"{entry.target} has an option {name} that names components in a set, or as the keys of a mapping",
            where=where,
            hint="Components are not told apart by a hash: make it a list, or a mapping from names to components.",
        )
    try:
        _check_defaults(component)
    except Exception as error:
        raise PluginError(
            f"{entry.target} has a field whose default is not legal: {_one_line(error)}",
            where=where,
            hint="Mend the default.",
        ) from error
    return component


def _check_ports(entry: Entry, component: type[Component], interface: type[Component], where: str) -> None:
    wrong = [name for name, port in component.inputs.items() if not isinstance(port, Input)]
    if wrong:
        raise PluginError(
            f"{entry.target} declares its port {wrong[0]} as {component.inputs[wrong[0]]!r}",
            where=where,
            hint=f'Write "{wrong[0]}": fgic_core.Input("model"), or the type of what it takes.',
        )
    for name, port in component.inputs.items():
        if KINDS.type(port.type) is None:
            close = nearest(port.type, list(KINDS.types()))
            raise PluginError(
                f"{entry.target} takes {port.type!r} at its port {name}, which no kind gives that is installed",
                where=where,
                hint=f"Did you mean {' or '.join(close)}?" if close else f"Types are {', '.join(KINDS.types())}.",
            )
    if KINDS.type(interface.gives) is None:
        raise PluginError(
            f"every {interface.kind} gives {interface.gives!r}, which is no type of artifact",
            where=where,
            hint=f"Add it to the row of the kind: artifacts=(fgic_core.ArtifactType({interface.gives!r}, …),)",
        )
    taught = component.inputs.get("dataset")
    if KINDS[interface.kind].fit and (taught is None or taught.type != "dataset" or taught.many):
        raise PluginError(
            f"{entry.target} has no port dataset of one data set, which what learns is taught by",
            where=where,
            hint='Write inputs = {"dataset": fgic_core.Input("dataset"), ...}.',
        )
    if not isinstance(getattr(component, "columns", frozenset()), (frozenset, set)) and KINDS[interface.kind].fit:
        raise PluginError(
            f"{entry.target} declares its columns as {component.columns!r}",  # type: ignore[attr-defined]
            where=where,
            hint='Write columns = frozenset({"boxes"}).',
        )
    lacking = [name for name in interface.inputs if name not in component.inputs]
    if lacking:
        raise PluginError(
            f"{entry.target} has no port {lacking[0]}, which every {interface.kind} has",
            where=where,
            hint=f"Add to those of the kind: inputs = {{**{interface.__name__}.inputs, ...}}.",
        )


def _check_written(entry: Entry, component: type[Component], where: str) -> None:
    """Check that options, and the fields of models among them, are written down by the names they are read by."""
    for name, model, field in all_fields(component):
        if field.exclude:
            raise PluginError(
                f"{entry.target} keeps its option {name} out of what is written down (exclude=True)",
                where=where,
                hint="It would count into no key and reach no job: leave exclude out.",
            )
        config: Any = getattr(model, "model_config", getattr(model, "__pydantic_config__", {}))
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        read_otherwise = field.validation_alias is not None and not by_name
        if read_otherwise or (field.serialization_alias is not None and config.get("serialize_by_alias")):
            raise PluginError(
                f"{entry.target} has its option {name} read or written by another name (alias)",
                where=where,
                hint="A job gives it by its own name and would be refused: name the field as specs are to have it; "
                "renamed = {old: new} tells those who write an old name.",
            )


def _public(interface: type[Component]) -> str:
    """The name that a plugin's author takes an interface by."""
    core = interface.__module__.startswith("fgic_core.")
    return f"{'fgic_core' if core else interface.__module__}.{interface.__name__}"


def _methods(interface: type[Component]) -> set[str]:
    """The names of what an interface, or `Component`, lets a component do."""
    classes = [one for one in interface.__mro__ if issubclass(one, Component)]
    return {name for one in classes for name, value in vars(one).items() if callable(value) and name[0] != "_"}


def _check_defaults(component: type[Component]) -> None:
    """Validate each default against its own field: pydantic does not."""
    from pydantic import TypeAdapter
    from pydantic_core import PydanticUndefined

    for name, field in component.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined or default is None:
            continue
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(_annotated(field))
            adapter.validate_python(default, context={"registry": None})  # a component that it names may be missing
        except Exception as error:
            raise ValueError(f"{name}: {_one_line(error)}") from error


def _annotated(field: Any) -> Any:
    from typing import Annotated

    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _one_line(error: BaseException) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(str(e["msg"]) for e in error.errors())
    return str(error)
