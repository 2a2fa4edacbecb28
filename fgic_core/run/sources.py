"""Which sources decide what a module does: those that it imports, near and far, as far as they are not installed.

A module counts by its syntax tree without docstrings and comments. Installed packages count by their versions, which
is for `fgic_core.run.keys` to look up. Everything is found by reading, nothing is imported.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgic_core.data.digest import digest_bytes, digest_of
from fgic_core.run.memory import Memory, Stat

#: The core's own package: its public names (``from fgic_core import Box``) count by the module that defines them.
CORE = "fgic_core"
_DYNAMIC = {
    *("import_module", "__import__", "exec", "eval", "run_path", "run_module"),
    *("spec_from_file_location", "SourceFileLoader", "load_module", "resolve_name"),
}
#: A text that may be the name of a file beside the module.
_FILE = re.compile(r"[\w-][\w./-]{0,99}\.\w{1,8}")
_PURE = {"exec", "eval"}  # as plain names alone: a network has a method of that name

#: A module, and the names that are taken from it.
_Import = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reached:
    """What a module stands on.

    Attributes:
        digest: of all own sources that it reaches, itself among them.
        packages: top-level names of the installed packages that these import.
        untraced: places where something is imported that cannot be known by reading: ``file:line``.
    """

    digest: str
    packages: tuple[str, ...]
    untraced: tuple[str, ...]


@dataclass
class Parsed:
    """What a source file says.

    Attributes:
        digest: of its syntax tree.
        imports: module names with the names that are taken from each; none for the module as such.
        untraced: lines that import something unknown.
        files: texts that may be names of files beside it.
        names: where the names come from that the module has from others: the module, and the name there.
    """

    digest: str
    imports: list[tuple[str, list[str]]] = field(default_factory=list)
    untraced: list[int] = field(default_factory=list)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


class Sources:
    """Follows imports. Files are parsed once for each stat that they have."""

    def __init__(self, memory: Memory) -> None:
        for cached in (locate, _top, is_installed):  # a notebook may have got a module since
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
        while waiting:
            name, taken = asked = waiting.pop()
            if asked in seen:
                continue
            seen.add(asked)
            top = name.partition(".")[0]
            place = locate(name, top in own_tops)
            if place is None:
                packages |= set() if is_standard(top) else {top}
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
                digests |= self._beside(name, place) | self._named(name, place, parsed)
                parent = name.rpartition(".")[0]
                waiting += [(parent, ())] if parent and locate(parent, top in own_tops) is not None else []
        return Reached(digest_of(digests), tuple(sorted(packages)), tuple(untraced))

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
        if name == CORE:
            return elsewhere + [(home, ()) for one in left if (home := public_home(one)) is not None], False
        # A package of the core whose names all come from elsewhere adds nothing of its own.
        return elsewhere, bool(left) or name.partition(".")[0] != CORE

    def _parse(self, name: str, file: Path) -> Parsed:
        place = str(file)
        if (parsed := self._parsed.get(place)) is not None:
            return parsed
        try:
            stat = Stat.of(file)
            told = self._memory.get("source", place, f"{stat} {name}")
            parsed = Parsed(**json.loads(told)) if told is not None else None
            if parsed is None:
                parsed = parse(file.read_bytes(), name, is_package=file.name == "__init__.py")
                if stat.is_settled():
                    self._memory.put("source", place, f"{stat} {name}", json.dumps(vars(parsed)))
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
                    found[f"{name}:{text}"] = self._memory.digest(file)
            except OSError:
                found[f"{name}:{text}"] = "unreadable"
        return found

    def _beside(self, name: str, place: Path) -> dict[str, str]:
        """What lies beside a package's modules and is no Python: tables, templates, sources in C."""
        if place.name != "__init__.py":
            return {}
        found = {}
        for file in sorted(place.parent.rglob("*")):
            inside = file.relative_to(place.parent).parts
            if file.suffix in (".py", ".pyc") or not file.is_file() or "__pycache__" in inside:
                continue
            if any(part.startswith(".") for part in inside) or file.name.endswith(("~", ".swp")):
                continue  # what systems and editors leave
            try:
                found[f"{name}/{file.relative_to(place.parent).as_posix()}"] = self._memory.digest(file)
            except OSError:
                found[f"{name}/{file.name}"] = "unreadable"
        return found


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


def _in(folder: Path, name: str) -> tuple[Path, ...]:
    for place in (folder / name / "__init__.py", folder / f"{name}.py"):
        if place.is_file():
            return (place,)
    return (folder / name,) if (folder / name).is_dir() else ()


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


def public_home(name: str) -> str | None:
    """The module that defines one of the core's public names."""
    import fgic_core

    home: str | None = fgic_core._MODULE.get(name)
    return home


def parse(source: bytes, name: str, *, is_package: bool = False) -> Parsed:
    """What a module's source says.

    Args:
        source: its text.
        name: its full name, which relative imports start at.
        is_package: whether it is the ``__init__`` of a package.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it holds a null byte.
    """
    tree = ast.parse(source)
    package = name if is_package else name.rpartition(".")[0]
    found = Parsed(tree_digest(tree))
    aliases: dict[str, str] = {}
    dynamic = set(_DYNAMIC)
    attributes: list[tuple[str, str]] = []
    calls: list[ast.Call] = []
    for node in _run(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                found.imports.append((one.name, []))
                aliases[one.asname or one.name] = one.name
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            found.imports.append((module, [one.name for one in node.names if one.name != "*"]))
            for one in node.names:
                found.names[one.asname or one.name] = (module, one.name)
                if one.name in _DYNAMIC and one.asname:
                    dynamic.add(one.asname)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.append((node.value.id, node.attr))
        elif isinstance(node, ast.Call):
            calls.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE.fullmatch(node.value):
            found.files.append(node.value)
    for call in calls:
        _dynamic(call, found, dynamic, package)
    found.imports += [(CORE, [one]) for alias, one in attributes if aliases.get(alias) == CORE]
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of what is run: not what is for type checkers alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        else:
            waiting += list(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _dynamic(call: ast.Call, found: Parsed, dynamic: set[str], package: str) -> None:
    """Take note of a call that imports by a name: followed where the name is written there."""
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if name not in dynamic or (name in _PURE and not isinstance(function, ast.Name)):
        return
    first: Any = call.args[0] if call.args else None
    by_file = name in ("exec", "eval", "run_path", "spec_from_file_location", "SourceFileLoader")
    if not by_file and isinstance(first, ast.Constant) and isinstance(first.value, str):
        text = first.value.partition(":")[0]
        level = len(text) - len(text.lstrip("."))
        above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        found.imports.append((".".join([*above, *filter(None, [text.lstrip(".")])]), []))
        return
    found.untraced.append(call.lineno)


def tree_digest(tree: ast.AST) -> str:
    """The digest of a syntax tree without docstrings; comments and places are none of it anyway."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first: Any = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return digest_bytes(ast.dump(tree).encode("utf-8", "surrogatepass"))
