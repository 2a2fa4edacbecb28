"""What every component is: a pydantic model whose fields are its options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from fgic_core.data.artifact import ArtifactType
from fgic_core.data.formats import HEIF_SUFFIXES, PICTURE_SUFFIXES, has_heif
from fgic_core.errors import PluginError

T = TypeVar("T")
C = TypeVar("C", bound="Component")


class _UseOnly:
    """The type of the marker `USE_ONLY`."""

    def __repr__(self) -> str:
        return "USE_ONLY"


#: Marks an option that plays no part in `fit`, but in what is done with what was learned.
USE_ONLY: Final = _UseOnly()
#: The type of such an option: ``min_score: UseOnly[float] = Field(0.05, description="…")``. `fit` cannot read it, and
#: another value of it trains nothing anew.
UseOnly = Annotated[T, USE_ONLY]


class Component(BaseModel):
    """Base of all interfaces: options are fields, the docstring is the help, the methods are the behaviour.

    Options are frozen. State that `fit` or `load` makes goes into private attributes
    (``_network: nn.Module | None = PrivateAttr(None)``).

    Heavy packages (torch, timm, mmdet) are imported inside methods, so that reading a spec stays quick.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), arbitrary_types_allowed=True)

    #: The interface's word in ``uses: kind/name``; set by the interfaces, never by a plugin.
    kind: ClassVar[str]
    #: The types of artifact that a step of this kind takes and gives.
    takes: ClassVar[tuple[ArtifactType, ...]]
    #: What it takes besides, where ``from`` names a step for it.
    may_take: ClassVar[tuple[ArtifactType, ...]] = ()
    gives: ClassVar[ArtifactType]
    #: Options that play no part in `fit`: steps that differ in these alone share one training.
    after_fit: ClassVar[frozenset[str]] = frozenset()
    #: Whether a step of it can compute on several devices, in a process for each; see `Context.rank`.
    several_devices: ClassVar[bool] = False

    def check_inputs(self, inputs: Collection[str]) -> None:
        """Whether the options go with the inputs that the step has, by type.

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
                raise PluginError(
                    f"{type(self).__name__}.{name} is declared use-only; fit must not read it",
                    hint=f"If what is learned depends on {name}, declare it without UseOnly.",
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


def _absolute(value: Any, info: ValidationInfo, folder: bool) -> Path:
    """The absolute path; that it exists is taken on trust for options of an artifact that was computed before."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise PydanticCustomError("path", "should be a path")
    base = value.base if isinstance(value, TextFrom) else (info.context or {}).get("base", Path.cwd())
    path = Path(value).expanduser()
    path = path if path.is_absolute() else Path(base) / path
    if (info.context or {}).get("trusted"):
        return path
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
    if info.context and info.context.get("fingerprint"):
        return fingerprint(path)
    return str(path)


#: An existing file or folder that an option names. Relative paths start at the spec file's folder. What lies there
#: counts into the step's key (see `fingerprint`), where it lies does not.
InputFile = Annotated[
    Path, PlainValidator(_file, json_schema_input_type=str), PlainSerializer(_external, return_type=str)
]
InputFolder = Annotated[
    Path, PlainValidator(_folder, json_schema_input_type=str), PlainSerializer(_external, return_type=str)
]


def fingerprint(path: Path) -> str:
    """A digest of what lies at a path, the same on every machine.

    A file counts by its content. In a folder, pictures count by relative name and size in bytes, every other file by
    relative name and content: a data set of a million pictures is not read to see whether an annotation changed.
    (Files of more than 8 GiB count like pictures; no annotation is as large, and one full of holes has no end.)
    (The pictures' own digests are taken when a data set is read.) What cannot be read counts as that, and so does a
    link to nothing or back to a folder that it lies in: whoever needs the file says what is wrong with it.
    """
    if not path.is_dir():
        return _content(path)
    digest = hashlib.blake2b(digest_size=16)
    for name, size, file_path in sorted(_walk(path, "", frozenset())):
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        if Path(name).suffix.lower() in HEIF_SUFFIXES and not has_heif():
            digest.update(_UNREADABLE.encode())  # where it can be read, the data set is another one
        elif Path(name).suffix.lower() not in PICTURE_SUFFIXES and size <= _LARGEST:
            digest.update(_content(Path(file_path)).encode())
    return digest.hexdigest()


def _content(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        if not path.is_file():  # a pipe would be waited for
            return _UNREADABLE
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return _UNREADABLE
    return digest.hexdigest()


_UNREADABLE = "unreadable"
_LARGEST = 8 << 30


def _walk(folder: Path | str, prefix: str, above: frozenset[tuple[int, int]]) -> list[tuple[str, int, str]]:
    """The files below a folder: relative name, size (-1 where there is no file), path.

    Args:
        above: device and inode of the folders that this one was reached through.
    """
    import os

    found: list[tuple[str, int, str]] = []
    try:
        about = os.stat(folder)
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return [(prefix, -1, str(folder))]
    place = (about.st_dev, about.st_ino)
    if place in above:
        return [(prefix, -1, str(folder))]
    for entry in listed:
        try:
            if entry.is_dir():
                found += _walk(entry.path, f"{prefix}{entry.name}/", above | {place})
            else:
                found.append((prefix + entry.name, entry.stat().st_size, entry.path))
        except OSError:
            found.append((prefix + entry.name, -1, entry.path))
    return found
