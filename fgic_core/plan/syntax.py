"""What a source file says of what it stands on, found by reading its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fgic_core.data.digest import digest_bytes
from fgic_core.plan.opened import module_of, opened
from fgic_core.plan.surroundings import looks_around

#: The core's own package: its public names (``from fgic_core import Box``) count by the module that defines them.
CORE = "fgic_core"
#: Packages that import their public names on first use, from the modules that their table says.
LAZY = (CORE, "fgic_core.kit")
_DYNAMIC = {
    *("import_module", "__import__", "exec", "eval", "run_path", "run_module"),
    *("spec_from_file_location", "SourceFileLoader", "load_module", "resolve_name"),
    *("spec_from_loader", "module_from_spec", "exec_module", "zipimporter", "entry_points", "addsitedir"),
    *("import_modules_from_strings", "get_object_from_string"),  # of MMEngine
}
#: What imports by a name or opens files of a package, by its own full name: the last part alone is a common one.
_LOADERS = {"pydoc.locate", "pydoc.safeimport", "builtins.exec", "builtins.eval"}
_WHOLE = {"importlib", "runpy"}
_PLACES = {"__file__", "__path__"}
_RESOURCES = ("importlib.resources.", "importlib_resources.", "pkgutil.get_data", "inspect.getfile")
_GIVEN = {"importlib.resources.as_file", "importlib_resources.as_file"}  # takes what others of them give
#: Of `sys`, what decides where modules are found.
_FINDERS = {"path", "meta_path", "path_hooks", "path_importer_cache"}
_LACK = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
#: A text that may be the name of a file beside the module.
_FILE = re.compile(r"[\w-][\w./-]{0,99}\.\w{1,8}")
#: Of these, those that are not given the name of a module.
_BY_OTHER = _DYNAMIC - {"import_module", "__import__", "run_module", "resolve_name", "load_module"}
_PURE = {"exec", "eval"}  # as plain names alone: a network has a method of that name


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
        opened: paths of what it opens beside itself, relative to its folder, each with its line; the folder where a
            name in it is not known.
        resources: packages whose files it asks for, each with its line; nothing where the name is not known.
        names: where the names come from that the module has from others: the module, and the name there.
        looks_around: whether it looks at the environment, or the like, when it is imported.
    """

    digest: str
    imports: list[tuple[str, list[str]]] = field(default_factory=list)
    untraced: list[int] = field(default_factory=list)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)
    opened: list[tuple[str, int]] = field(default_factory=list)
    resources: list[tuple[str, int]] = field(default_factory=list)
    looks_around: bool = False


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
    reader = _Reader(
        Parsed(tree_digest(tree), looks_around=looks_around(tree)), name if is_package else name.rpartition(".")[0]
    )
    for node, spared in _run(tree):
        reader.see(node, spared)
    reader.look_back()
    if name.partition(".")[0] != CORE and reader.names_itself:
        file = "__init__.py" if is_package else f"{name.rpartition('.')[2]}.py"
        reader.found.opened += sorted(set(opened(tree, file)))
    return reader.found


class _Reader:
    """Takes note of what a module imports.

    Args:
        found: what is known of it.
        package: where relative imports start.
    """

    def __init__(self, found: Parsed, package: str) -> None:
        self.found, self._package = found, package
        self._aliases: dict[str, str] = {}
        self._dynamic = set(_DYNAMIC)
        self._calls: list[tuple[ast.Call, bool]] = []
        self._mentions: list[ast.Name | ast.Attribute] = []
        self._subscripts: list[ast.Subscript] = []
        self.names_itself = False

    def see(self, node: ast.AST, spared: bool) -> None:
        """Take one node into account; ``spared`` says that it can do without what it imports."""
        if isinstance(node, ast.Import):
            for one in node.names:
                self._imports(one.name, [], node.lineno, spared)
                self._aliases[one.asname or one.name] = one.name
        elif isinstance(node, ast.ImportFrom):
            self._imports_from(node, spared)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self._mentions.append(node)
            self.names_itself |= isinstance(node, ast.Name) and node.id == "__file__"
        elif isinstance(node, ast.Call):
            self._calls.append((node, spared))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            self._subscripts.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE.fullmatch(node.value):
            self.found.files.append(node.value)

    def _imports(self, module: str, names: list[str], line: int, spared: bool) -> None:
        self.found.imports.append((module, names))
        if not spared:
            self.found.needed[module] = line

    def _imports_from(self, node: ast.ImportFrom, spared: bool) -> None:
        module = _absolute(node, self._package)
        self._imports(module, [one.name for one in node.names if one.name != "*"], node.lineno, spared)
        for one in node.names:
            self.found.names[one.asname or one.name] = (module, one.name)
            if one.name in _DYNAMIC and one.asname:
                self._dynamic.add(one.asname)
            if module == "sys" and one.name in _FINDERS:
                self.found.untraced.append(node.lineno)

    def look_back(self) -> None:
        """Judge calls and names, now that it is known what each name stands for."""
        for call, spared in self._calls:
            self._call(call, spared)
        called = {id(call.func) for call, _ in self._calls}
        if self._package.partition(".")[0] != CORE:
            self._files(called)
        for mention in self._mentions:
            said = mention.id if isinstance(mention, ast.Name) else mention.attr
            if said == "__path__" and isinstance(mention, ast.Name) and not isinstance(mention.ctx, ast.Load):
                self.found.untraced.append(mention.lineno)
            if said in self._dynamic - _PURE and id(mention) not in called and isinstance(mention.ctx, ast.Load):
                self.found.untraced.append(mention.lineno)  # given on, to be called elsewhere
            if isinstance(mention, ast.Attribute) and isinstance(mention.value, ast.Name):
                whose = self._aliases.get(mention.value.id, mention.value.id)
                if whose == "sys" and said in _FINDERS:
                    self.found.untraced.append(mention.lineno)
                if mention.value.id == "__path__" and said in ("append", "extend", "insert"):
                    self.found.untraced.append(mention.lineno)
                if self._aliases.get(mention.value.id) == CORE:
                    self.found.imports.append((CORE, [said]))

    def _files(self, called: set[int]) -> None:
        """Take note of packages whose files are asked for, and of modules that are taken from `sys.modules`."""
        known = {"sys": "sys", **self._aliases, **{name: ".".join(home) for name, home in self.found.names.items()}}

        def full(node: ast.expr) -> str:
            return module_of(node, known, self._package) or ""

        parts = {id(node.value) for node in self._mentions if isinstance(node, ast.Attribute)}
        for call, _ in self._calls:
            function = full(call.func)
            if function.startswith(_RESOURCES) and function not in _GIVEN:
                self.found.resources.append((full(call.args[0]) if call.args else "", call.lineno))
        for node in self._mentions:
            name = full(node)
            if name in _LOADERS or (id(node) not in called and name.startswith(_RESOURCES) and name not in _GIVEN):
                self.found.untraced.append(node.lineno)
            elif isinstance(node, ast.Name) and node.id == "__path__":
                self.found.resources.append((self._package, node.lineno))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in _PLACES:
                self.found.resources.append((full(node.value), node.lineno))
            elif isinstance(node, ast.Name) and name in _WHOLE and id(node) not in parts:
                self.found.untraced.append(node.lineno)  # as in ``getattr(importlib, …)``
        for one in self._subscripts:
            if full(one.value) == "sys.modules" and isinstance(one.slice, ast.Constant):
                self.found.imports.append((str(one.slice.value), []))

    def _call(self, call: ast.Call, spared: bool) -> None:
        """Take note of a call that imports by a name: followed where the name is written there."""
        function = call.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name not in self._dynamic or (name in _PURE and not isinstance(function, ast.Name)):
            return
        first: Any = call.args[0] if call.args else None
        if name not in _BY_OTHER and isinstance(first, ast.Constant) and isinstance(first.value, str):
            text = first.value.partition(":")[0]
            level = len(text) - len(text.lstrip("."))
            above = self._package.split(".")[: len(self._package.split(".")) - level + 1] if level else []
            taken = _fromlist(call) if name == "__import__" else []
            self._imports(".".join([*above, *filter(None, [text.lstrip(".")])]), taken, call.lineno, spared)
            return
        self.found.untraced.append(call.lineno)


def _fromlist(call: ast.Call) -> list[str]:
    """The names that ``__import__('shop', fromlist=['till'])`` takes, as far as they are written there."""
    given: Any = next((one.value for one in call.keywords if one.arg == "fromlist"), None)
    given = call.args[3] if given is None and len(call.args) > 3 else given
    return [str(one.value) for one in getattr(given, "elts", ()) if isinstance(one, ast.Constant)]


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
        guarded = _guarded(node)
        waiting += [(one, spared or one in guarded) for one in ast.iter_child_nodes(node)]


def _guarded(node: ast.AST) -> set[ast.AST]:
    """The statements of a block that stand behind ``if …: return``: they are run under a condition too."""
    found: set[ast.AST] = set()
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(node, block, None)
        if isinstance(statements, list):
            first = next((n for n, one in enumerate(statements, 1) if isinstance(one, ast.If) and _leaves(one)), None)
            found.update(statements[first:] if first is not None else ())
    return found


def _leaves(node: ast.If) -> bool:
    ends = [block[-1] for block in (node.body, node.orelse) if block]
    return any(isinstance(one, (ast.Return, ast.Continue, ast.Break)) for one in ends)


def _catches_lack(node: ast.AST) -> bool:
    """Whether it catches that a module is not there: ``except ImportError``, ``with suppress(ImportError)``."""
    caught: list[ast.expr] = []
    if isinstance(node, ast.Try):
        if any(handler.type is None for handler in node.handlers):
            return True
        caught = [handler.type for handler in node.handlers if handler.type is not None]
    elif isinstance(node, ast.With):
        asked = [item.context_expr for item in node.items]
        caught = [one for call in asked if isinstance(call, ast.Call) for one in call.args]
    return any(isinstance(one, ast.Name) and one.id in _LACK for kind in caught for one in ast.walk(kind))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def tree_digest(tree: ast.AST) -> str:
    """The digest of a syntax tree without docstrings; comments and places are none of it anyway."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first: Any = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return digest_bytes(ast.dump(tree).encode("utf-8", "surrogatepass"))
