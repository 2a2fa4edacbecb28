"""What a component stands on that was defined in a notebook or a script: its own source, and what that refers to."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

from fgic_core.data.digest import digest_of
from fgic_core.plan.modules import is_missing, locate
from fgic_core.plan.sources import Reached, Sources
from fgic_core.plan.syntax import read

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def reached_by_class(component: type, sources: Sources) -> Reached:
    """What a class of this process stands on.

    One of a module counts by the module. One of a notebook, or of the script that runs, counts by its own source and by
    the functions, classes and plain values there that it uses, near and far; the rest of the notebook may change. So do
    functions of a notebook that were put into a class after it was made, whichever it is.
    """
    walk = _Walk(sources)
    if locate(component.__module__, True) is not None:
        for base in component.__mro__:
            walk.patches(base)
        return walk.added_to(sources.reached(component.__module__))
    for base in component.__mro__:
        if base.__module__ == component.__module__:
            walk.follow(base, base.__qualname__)
    return walk.result()


class _Walk:
    """Follows names from object to object."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._digests: dict[str, str] = {}
        self._packages: set[str] = set()
        self._untraced: list[str] = []
        self._missing: list[str] = []
        self._unknown_files: list[str] = []
        self._outdated: list[str] = []
        self._patched: list[str] = []

    def result(self) -> Reached:
        packages = tuple(sorted(self._packages))
        missing, files = tuple(self._missing), tuple(self._unknown_files)
        outdated = tuple(self._outdated)
        return Reached(digest_of(self._digests), packages, tuple(self._untraced), missing, files, outdated=outdated)

    def added_to(self, reached: Reached) -> Reached:
        """What a module stands on, with what was put into its class."""
        if not self._patched:
            return reached
        own = self.result()
        return replace(
            reached,
            digest=digest_of([reached.digest, own.digest]),
            packages=tuple(sorted({*reached.packages, *own.packages})),
            untraced=reached.untraced + own.untraced,
            missing=reached.missing + own.missing,
            unknown_files=reached.unknown_files + own.unknown_files,
            outdated=reached.outdated + own.outdated,
            patched=tuple(self._patched),
        )

    def patches(self, made: type) -> None:
        """Take functions of a notebook into account that are in a class by another name than they were made by."""
        for name, value in vars(made).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not isinstance(function, FunctionType) or not _is_local(function.__module__):
                continue
            if (function.__module__, function.__qualname__) != (made.__module__, f"{made.__qualname__}.{name}"):
                self._patched.append(f"{made.__qualname__}.{name}")
                self._code(function, name, f" as {made.__module__}.{made.__qualname__}.{name}")

    def follow(self, found: Any, name: str) -> None:
        """Take one object into account, and what it refers to."""
        if isinstance(found, ModuleType):
            self._module(found.__name__)
        elif isinstance(found, (FunctionType, type)):
            self._code(found, name)
        elif not self._value(found, name):
            self._untraced.append(f"{name} (a {type(found).__name__})")

    def _code(self, found: FunctionType | type, name: str, role: str = "") -> None:
        if not _is_local(found.__module__):
            self._module(found.__module__)
            return
        key = f"{found.__module__}.{found.__qualname__}{role}"
        if key in self._digests:
            return
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(found)))
        except (OSError, TypeError, SyntaxError):
            self._untraced.append(name)
            return
        parsed = read(tree, found.__module__)
        self._digests[key] = parsed.digest
        if isinstance(found, type):
            self.patches(found)
        self._untraced += [name for _ in parsed.untraced[:1]]
        self._unknown_files += [name for _ in [*parsed.opened, *parsed.resources][:1]]
        self._missing += [f"{module} ({name})" for module in parsed.needed if is_missing(module)]
        world = vars(sys.modules[found.__module__])
        free = {}
        if isinstance(found, FunctionType):
            free = dict(zip(found.__code__.co_freevars, found.__closure__ or (), strict=True))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._imports(node)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id in free:
                    self.follow(free[node.id].cell_contents, node.id)
                elif node.id in world and not hasattr(builtins, node.id) and world[node.id] is not found:
                    self.follow(world[node.id], node.id)

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for one in node.names:
                self._module(one.name)
        elif node.module:
            self._module(node.module, *(one.name for one in node.names))

    def _module(self, name: str, *taken: str) -> None:
        from fgic_core.plan.modules import public_home
        from fgic_core.plan.syntax import LAZY

        if name in LAZY and taken:  # public names count by where they are defined
            for home in filter(None, (public_home(one, name) for one in taken)):
                self._module(home)
            return
        reached = self._sources.reached(name)
        self._digests[name] = reached.digest
        self._packages.update(reached.packages)
        self._untraced += reached.untraced
        self._missing += reached.missing
        self._unknown_files += reached.unknown_files
        self._outdated += reached.outdated

    def _value(self, found: Any, name: str) -> bool:
        """Count a plain value by what it is; whether it is one."""
        if not _is_plain(found):
            home = getattr(type(found), "__module__", "")
            if _is_local(home) or not home or home == "builtins":
                return False
            if home.partition(".")[0] == "typing":
                return True
            self._module(home)  # such as a pydantic field's marker: as good as its package's version and its text
            text = repr(found)
            if " at 0x" in text:
                return False
            self._digests[f"={name}"] = digest_of(text)
            return True
        self._digests[f"={name}"] = digest_of(repr(found))
        return True


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    return isinstance(value, _PLAIN)


def _is_local(module: str) -> bool:
    """Whether a module has no file that could be read: a notebook's, or the script that runs."""
    return module == "__main__" or (module in sys.modules and getattr(sys.modules[module], "__file__", None) is None)
