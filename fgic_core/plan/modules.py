"""Where modules lie, found without importing them."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from fgic_core.plan.syntax import CORE


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


def compiled(top: str) -> Path | None:
    """The file of a top-level module that is no Python, where no version tells what is in it; else None."""
    place = _origin(top) if not is_standard(top) and not _top(top) else None
    return None if place is None or is_installed(place) else place


def forget() -> None:
    """Look again from now on."""
    for cached in (locate, _top, _origin, _listed, is_installed):
        cached.cache_clear()
