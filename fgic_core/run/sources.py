"""Which sources decide what a module does: those that it imports, near and far, as far as they are not installed.

A module counts by its syntax tree without docstrings and comments. Installed packages count by their versions, which
is for `fgic_core.run.keys` to look up. Everything is found by reading, nothing is imported.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from fgic_core.data.digest import digest_of
from fgic_core.run.beside import Beside, counts
from fgic_core.run.memory import Memory, Stat
from fgic_core.run.syntax import CORE, LAZY, Parsed, parse
from fgic_core.run.walk import File, walk

#: A module, and the names that are taken from it.
_Import = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reached:
    """What a module stands on.

    Attributes:
        digest: of all own sources that it reaches, itself among them.
        packages: top-level names of the installed packages that these import.
        untraced: places where something is imported that cannot be known by reading: ``file:line``.
        missing: modules that have to be there and are not found, each with where it is imported: ``name (file:line)``.
        unknown_files: places where files are opened that cannot be known by reading: ``file:line``.
    """

    digest: str
    packages: tuple[str, ...]
    untraced: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unknown_files: tuple[str, ...] = ()


class Sources:
    """Follows imports. Files are parsed once for each stat that they have."""

    def __init__(self, memory: Memory) -> None:
        for cached in (locate, _top, _origin, _listed, is_installed):  # a notebook may have got a module since
            cached.cache_clear()
        self._memory = memory
        self._parsed: dict[str, Parsed] = {}
        self._reached: dict[tuple[str, ...], Reached] = {}

    def reached(self, *modules: str) -> Reached:
        """What modules stand on, together."""
        found = self._reached.get(modules)
        if found is None:
            found = self._reached[modules] = self._follow(modules)
        return found

    def _follow(self, modules: Sequence[str]) -> Reached:
        waiting: list[_Import] = [(name, ()) for name in modules]
        own_tops = {name.partition(".")[0] for name in modules}  # wherever they lie
        seen: set[_Import] = set()
        digests: dict[str, str] = {}
        packages: set[str] = set()
        untraced: list[str] = []
        needed: dict[str, str] = {}
        beside = Beside(locate)
        while waiting:
            name, taken = asked = waiting.pop()
            if asked in seen:
                continue
            seen.add(asked)
            top = name.partition(".")[0]
            place = locate(name, top in own_tops)
            if place is None:
                packages |= set() if is_standard(top) else {top}
                digests |= self._compiled(top)
                continue
            if place.is_dir():  # a namespace package has no code of its own
                waiting += [(f"{name}.{one}", ()) for one in taken]
                continue
            parsed = self._parse(name, place)
            elsewhere, own = self._taken(name, place, taken, parsed, top in own_tops)
            waiting += elsewhere
            if name in digests or not own:
                continue
            digests[name] = parsed.digest
            waiting += [(module, tuple(names)) for module, names in parsed.imports]
            if name.partition(".")[0] != CORE:  # of the core a test sees that no driver imports by a name it works out
                untraced += [f"{place.name}:{line}" for line in parsed.untraced]
                needed |= {module: f"{place.name}:{line}" for module, line in parsed.needed.items()}
                digests |= self._beside(name, place) | self._named(name, place, parsed)
                beside.add(name, place, parsed, own_tops)
                parent = name.rpartition(".")[0]
                waiting += [(parent, ())] if parent and locate(parent, top in own_tops) is not None else []
        missing = tuple(f"{name} ({where})" for name, where in sorted(needed.items()) if name and is_missing(name))
        for label, file in beside.files.items():
            digests[label] = self._content(file)
        for label, folder in beside.folders.items():
            digests |= self._folder(label, folder, lambda file: counts(file) and Path(file.path) not in beside.read)
        return Reached(digest_of(digests), tuple(sorted(packages)), tuple(untraced), missing, tuple(beside.unknown))

    @staticmethod
    def _taken(
        name: str, place: Path, taken: Sequence[str], parsed: Parsed, anywhere: bool
    ) -> tuple[list[_Import], bool]:
        """Where names that are taken from a module come from, and whether the module itself counts."""
        if place.name != "__init__.py":
            return [], True
        elsewhere: list[_Import] = []
        left = []
        for one in taken:
            if parsed.names.get(one, (name, one)) != (name, one):  # else a package takes a module of its own
                module, there = parsed.names[one]
                elsewhere.append((module, (there,)))
            elif locate(f"{name}.{one}", anywhere) is not None:
                elsewhere.append((f"{name}.{one}", ()))
            else:
                left.append(one)
        if name in LAZY and name != CORE and not taken:  # as a whole, to take names of it later
            return [(home, ()) for home in homes(name)], False
        if name in LAZY:
            return elsewhere + [(home, ()) for one in left if (home := public_home(one, name)) is not None], False
        # A package of the core whose names all come from elsewhere adds nothing of its own.
        return elsewhere, bool(left) or name.partition(".")[0] != CORE

    def _parse(self, name: str, file: Path) -> Parsed:
        place = str(file)
        if (parsed := self._parsed.get(place)) is not None:
            return parsed
        try:
            stat = Stat.of(file)
            told = self._memory.get("source 2", place, f"{stat} {name}")
            parsed = Parsed(**json.loads(told)) if told is not None else None
            if parsed is None:
                parsed = parse(file.read_bytes(), name, is_package=file.name == "__init__.py")
                if stat.is_settled():
                    self._memory.put("source 2", place, f"{stat} {name}", json.dumps(vars(parsed)))
        except (OSError, SyntaxError, ValueError):  # whoever imports it says what is wrong
            parsed = Parsed("unreadable", untraced=[0])
        self._parsed[place] = parsed
        return parsed

    def _named(self, name: str, place: Path, parsed: Parsed) -> dict[str, str]:
        """Files beside a module that its source names."""
        found = {}
        for text in parsed.files:
            file = place.parent / text
            try:
                if file.is_file() and file != place:
                    found[f"{name}:{text}"] = self._content(file)
            except OSError:
                found[f"{name}:{text}"] = "unreadable"
        return found

    def _beside(self, name: str, place: Path) -> dict[str, str]:
        """What lies beside a package's modules, behind links too, and is no Python: tables, templates, sources in C."""
        if place.name != "__init__.py":
            return {}
        return self._folder(f"{name}/", place.parent, lambda file: counts(file) and not file.name.endswith(".py"))

    def _folder(self, label: str, folder: Path, which: Callable[[File], bool]) -> dict[str, str]:
        """Files below a folder by their content, under a name for all of them; nothing where there are none."""
        files = sorted(filter(which, walk(str(folder))))
        if not files:
            return {}
        listing = digest_of([f"{file.name}\0{file.stat or file.leads}" for file in files])
        told = self._memory.get("beside", str(folder), listing)
        if told is None:
            told = digest_of({file.name: file.leads or self._content(Path(file.path)) for file in files})
            if all(file.stat is None or file.stat.is_settled() for file in files):
                self._memory.put("beside", str(folder), listing, told)
        return {label: told}

    def _compiled(self, top: str) -> dict[str, str]:
        """A module that is one file and no Python, where no version tells what is in it."""
        place = _origin(top) if not is_standard(top) and not _top(top) else None
        return {} if place is None or is_installed(place) else {top: self._content(place)}

    def _content(self, file: Path) -> str:
        try:
            return self._memory.digest(file)
        except OSError:
            return "unreadable"


def is_standard(top: str) -> bool:
    """Whether a top-level module is Python's own."""
    return top in sys.stdlib_module_names or top == "__main__"


@lru_cache(maxsize=4096)
def locate(name: str, anywhere: bool = False) -> Path | None:
    """The file (or a namespace package's folder) of a module; None where there is none.

    Args:
        name: its full name.
        anywhere: also where packages are installed; else what lies there counts by its version, and is None here.
    """
    top, _, rest = name.partition(".")
    if is_standard(top):
        return None
    places = _top(top)
    if not places or (top != CORE and not anywhere and any(is_installed(place) for place in places)):
        return None
    for part in rest.split(".") if rest else ():
        folders = [place.parent if place.name == "__init__.py" else place for place in places]
        places = next((found for folder in folders if (found := _in(folder, part))), ())
        if not places:
            return None
    return places[0]


def is_missing(name: str) -> bool:
    """Whether nothing of that name can be imported, as far as looking tells; of an installed package not its parts."""
    top, _, rest = name.partition(".")
    places = _top(top)
    if is_standard(top) or (not places and (_origin(top) is not None or top in sys.modules)):
        return False
    if not places:
        return True
    if not rest or any(is_installed(place) for place in places) or name in sys.modules:
        return False
    folder, part = locate(name.rpartition(".")[0], True), name.rpartition(".")[2]
    if folder is None:
        return True
    beside = folder.parent if folder.name == "__init__.py" else folder
    compiled = any((beside / f"{part}{suffix}").is_file() for suffix in EXTENSION_SUFFIXES)
    return locate(name, True) is None and not compiled


@lru_cache(maxsize=1024)
def _origin(top: str) -> Path | None:
    """The file of a top-level module, whatever it holds."""
    try:
        found = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


def _in(folder: Path, name: str) -> tuple[Path, ...]:
    there = _listed(str(folder))
    if name not in there and f"{name}.py" not in there:  # most names are no modules
        return ()
    for place in (folder / name / "__init__.py", folder / f"{name}.py"):
        if place.is_file():
            return (place,)
    return (folder / name,) if (folder / name).is_dir() else ()


@lru_cache(maxsize=1024)
def _listed(folder: str) -> frozenset[str]:
    """The names in a folder; none where it cannot be listed."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


@lru_cache(maxsize=1024)
def _top(name: str) -> tuple[Path, ...]:
    """Where a top-level module lies: its file, or the folders of a namespace package."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
        if (file := getattr(sys.modules.get(name), "__file__", None)) is not None:
            return (Path(file),)
    if found is None:
        return ()
    if found.origin is not None and found.origin.endswith(".py"):
        return (Path(found.origin),)
    return tuple(Path(place) for place in found.submodule_search_locations or ())


@lru_cache(maxsize=1)
def _site() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]).resolve() for name in ("purelib", "platlib", "stdlib"))


@lru_cache(maxsize=1024)
def is_installed(place: Path) -> bool:
    """Whether a file lies where packages are installed, so that a version tells what is in it."""
    return any(part in ("site-packages", "dist-packages") for part in place.parts) or any(
        place.is_relative_to(folder) for folder in _site()
    )


def public_home(name: str, package: str = CORE) -> str | None:
    """The module that defines a name of the core, or of another package of it that imports its names on first use."""
    home: str | None = import_module(package)._MODULE.get(name)
    return home


def homes(package: str) -> list[str]:
    """The modules that define the names of such a package."""
    return sorted(set(import_module(package)._MODULE.values()))
