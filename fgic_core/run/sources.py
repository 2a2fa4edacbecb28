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
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgic_core.data.digest import digest_bytes, digest_of
from fgic_core.run.memory import Memory, Stat
from fgic_core.run.walk import walk

#: The core's own package: its public names (``from fgic_core import Box``) count by the module that defines them.
CORE = "fgic_core"
_DYNAMIC = {
    *("import_module", "__import__", "exec", "eval", "run_path", "run_module"),
    *("spec_from_file_location", "SourceFileLoader", "load_module", "resolve_name"),
    *("spec_from_loader", "module_from_spec", "exec_module", "zipimporter", "entry_points", "addsitedir"),
}
#: Of `sys`, what decides where modules are found.
_FINDERS = {"path", "meta_path", "path_hooks", "path_importer_cache"}
_LACK = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
#: A text that may be the name of a file beside the module.
_FILE = re.compile(r"[\w-][\w./-]{0,99}\.\w{1,8}")
#: Of these, those that are not given the name of a module.
_BY_OTHER = _DYNAMIC - {"import_module", "__import__", "run_module", "resolve_name", "load_module"}
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
        missing: modules that have to be there and are not found, each with where it is imported: ``name (file:line)``.
    """

    digest: str
    packages: tuple[str, ...]
    untraced: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass
class Parsed:
    """What a source file says.

    Attributes:
        digest: of its syntax tree.
        imports: module names with the names that are taken from each; none for the module as such.
        untraced: lines that import something unknown, or change where modules are looked for.
        needed: where modules are imported that have to be there: the line by the module's name; not what is imported
            under a condition, or where its lack is caught.
        files: texts that may be names of files beside it.
        names: where the names come from that the module has from others: the module, and the name there.
    """

    digest: str
    imports: list[tuple[str, list[str]]] = field(default_factory=list)
    untraced: list[int] = field(default_factory=list)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)


class Sources:
    """Follows imports. Files are parsed once for each stat that they have."""

    def __init__(self, memory: Memory) -> None:
        for cached in (locate, _top, _origin, is_installed):  # a notebook may have got a module since
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
        missing: list[str] = []
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
                missing += [f"{name} ({needed[name]})"] if needed.get(name) and is_missing(name) else []
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
                parent = name.rpartition(".")[0]
                waiting += [(parent, ())] if parent and locate(parent, top in own_tops) is not None else []
        return Reached(digest_of(digests), tuple(sorted(packages)), tuple(untraced), tuple(sorted(missing)))

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
            if one in parsed.names:
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
                    found[f"{name}:{text}"] = self._content(file)
            except OSError:
                found[f"{name}:{text}"] = "unreadable"
        return found

    def _beside(self, name: str, place: Path) -> dict[str, str]:
        """What lies beside a package's modules, behind links too, and is no Python: tables, templates, sources in C."""
        if place.name != "__init__.py":
            return {}
        folder = str(place.parent)
        files = sorted(file for file in walk(folder) if not file.name.endswith((".py", ".pyc")))
        if not files:
            return {}
        listing = digest_of([f"{file.name}\0{file.stat}" for file in files])
        told = self._memory.get("beside", folder, listing)
        if told is None:
            told = digest_of({file.name: self._content(Path(file.path)) for file in files})
            if all(file.stat is None or file.stat.is_settled() for file in files):
                self._memory.put("beside", folder, listing, told)
        return {f"{name}/": told}

    def _compiled(self, top: str) -> dict[str, str]:
        """A module that is one file and no Python, where no version tells what is in it."""
        place = _origin(top)
        if place is None or place.suffix == ".py" or is_installed(place):
            return {}
        return {top: self._content(place)}

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
    return read(ast.parse(source), name, is_package=is_package)


def read(tree: ast.AST, name: str, *, is_package: bool = False) -> Parsed:
    """As `parse`, of a syntax tree, which is left without docstrings."""
    package = name if is_package else name.rpartition(".")[0]
    found = Parsed(tree_digest(tree))
    aliases: dict[str, str] = {}
    dynamic = set(_DYNAMIC)
    attributes: list[tuple[str, str, int]] = []
    calls: list[tuple[ast.Call, bool]] = []
    mentions: list[ast.Name | ast.Attribute] = []
    for node, spared in _run(tree):
        before = len(found.imports)
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
                if module == "sys" and one.name in _FINDERS:
                    found.untraced.append(node.lineno)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            mentions.append(node)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                attributes.append((node.value.id, node.attr, node.lineno))
        elif isinstance(node, ast.Call):
            calls.append((node, spared))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE.fullmatch(node.value):
            found.files.append(node.value)
        if not spared:
            found.needed |= {module: node.lineno for module, _ in found.imports[before:]}  # type: ignore[attr-defined]
    for call, spared in calls:
        before = len(found.imports)
        _dynamic(call, found, dynamic, package)
        if not spared:
            found.needed |= {module: call.lineno for module, _ in found.imports[before:]}
    called = {id(call.func) for call, _ in calls}
    for mention in mentions:  # given on, to be called elsewhere
        said = mention.id if isinstance(mention, ast.Name) else mention.attr
        if said in dynamic - _PURE and id(mention) not in called and isinstance(mention.ctx, ast.Load):
            found.untraced.append(mention.lineno)
    found.untraced += [line for one, attr, line in attributes if aliases.get(one, one) == "sys" and attr in _FINDERS]
    found.imports += [(CORE, [attr]) for one, attr, _ in attributes if aliases.get(one) == CORE]
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _run(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes of what is run (not what is for type checkers alone), and whether it can do without what it imports.

    It can where it stands under a condition, or where the lack of a module is caught.
    """
    waiting = [(tree, False)]
    while waiting:
        node, spared = waiting.pop()
        yield node, spared
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += [(one, spared) for one in node.orelse]
            continue
        spared = spared or isinstance(node, (ast.If, ast.Match)) or _catches_lack(node)
        waiting += [(one, spared) for one in ast.iter_child_nodes(node)]


def _catches_lack(node: ast.AST) -> bool:
    """Whether it catches that a module is not there: ``except ImportError``, ``with suppress(ImportError)``."""
    caught: list[ast.expr] = []
    if isinstance(node, ast.Try):
        if any(handler.type is None for handler in node.handlers):
            return True
        caught = [handler.type for handler in node.handlers if handler.type is not None]
    elif isinstance(node, ast.With):
        caught = [one for item in node.items if isinstance(item.context_expr, ast.Call) for one in item.context_expr.args]
    return any(isinstance(one, ast.Name) and one.id in _LACK for kind in caught for one in ast.walk(kind))


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
    by_name = name not in _BY_OTHER
    if by_name and isinstance(first, ast.Constant) and isinstance(first.value, str):
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
