"""Whether a config file tells all that is in it, found by reading: a config in Python is a program."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgic_core import regular_file
from fgic_detect_mmdet._bases import BASE_VALUE, ENVIRONMENT, bases, is_installed, is_read_base
from fgic_detect_mmdet._foreign import KNOWN

#: What computes from what it is given alone.
_PLAIN = {
    *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int", "isinstance"),
    *("len", "list", "map", "max", "min", "object", "pow", "print", "property", "range", "repr", "reversed", "round"),
    *("set", "slice", "sorted", "staticmethod", "str", "sum", "super", "tuple", "type", "zip"),
}
_PURE = {"__future__", "collections", "copy", "functools", "itertools", "math", "operator", "typing"}
#: Of these, what leads to whatever its text says.
_BY_TEXT = {"attrgetter", "methodcaller", "get_type_hints", "ForwardRef"}
_ITS_OWN = {"abc", "copy"}  # named like modules


def untraced(config: Path) -> list[str]:
    """Why what is in a config, or in one that it is based on, is not known before it is run; empty where it is.

    Known is what literals, names, operators, loops, functions of its own and plain builtins make of the files that
    `bases` finds. Not known is what a config imports, takes from the environment, or opens. Files of an installed
    package count by its version, and what cannot be read is left to who reads it.
    """
    found = []
    for file in [config, *bases(config)]:
        if file.is_dir():
            found.append(f"what {config.name} is based on is not known before it runs")
        elif not is_installed(file):
            found += [f"{what} ({file.name}:{line})" for line, what in sorted(_doubts(file))]
    return found


def _doubts(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = regular_file(file).read_text(encoding="utf-8")
        for match in ENVIRONMENT.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, f"it depends on ${match[1]} of the environment"
        if file.suffix == ".py":
            yield from _Program(ast.parse(ENVIRONMENT.sub("None", BASE_VALUE.sub("None", text)))).doubts()
    except (OSError, ValueError, SyntaxError, RecursionError):
        return


class _Program:
    """A config's syntax tree.

    No name is taken for what the config makes of it where it is a builtin that could open or run something: a name
    means one thing here and another there, and which one is not worked out.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._nodes = [*_outside_of_bases(tree)]
        self._above = {child: node for node in self._nodes for child in ast.iter_child_nodes(node)}
        self._known: set[str] = set()
        self._pure: set[str] = set()

    def doubts(self) -> Iterator[tuple[int, str]]:
        """Lines, and what makes them doubtful."""
        for node in self._nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from ((node.lineno, f"it imports {name}") for name in self._imported(node))
        for node in self._nodes:
            if isinstance(node, (ast.With, ast.AsyncWith)):
                yield node.lineno, f"it opens {ast.unparse(node.items[0].context_expr)}"
            elif isinstance(node, ast.Attribute) and node.attr.startswith("__"):
                yield node.lineno, f"it uses {node.attr}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield from ((node.lineno, doubt) for doubt in self._named(node))

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """The modules of an import that are not known; the names of those that are known are kept."""
        for one in node.names:
            module = one.name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
            top, name = module.partition(".")[0], one.asname or one.name.partition(".")[0]
            if top not in KNOWN | _PURE or one.name == "*":
                yield module if one.name != "*" else f"all of {module}"
            elif top in KNOWN:
                self._known.add(name)
            elif isinstance(node, ast.Import):
                self._pure.add(name)
            elif not _is_pure(one.name):
                yield f"{module}.{one.name}"

    def _named(self, node: ast.Name) -> Iterator[str]:
        """What makes a name doubtful that is used."""
        whole: ast.AST = node
        while isinstance(self._above.get(whole), ast.Attribute):
            whole = self._above[whole]
        if node.id in self._known and not self._is_type(whole):
            parent = self._above.get(whole)
            called = isinstance(parent, ast.Call) and parent.func is whole
            yield f"it calls {ast.unparse(whole)}" if called else f"it uses {ast.unparse(whole)}"
        elif node.id in self._pure:
            parent = self._above.get(node)
            if not isinstance(parent, ast.Attribute) or not _is_pure(parent.attr):
                yield f"it uses {ast.unparse(whole)}"
        elif _is_doubtful(node.id):
            yield f"it uses {node.id}"

    def _is_type(self, node: ast.AST) -> bool:
        """Whether it is a class that a config names to be built: ``type=RetinaNet``."""
        if not isinstance(node, (ast.Name, ast.Attribute)):
            return False
        parent: Any = self._above.get(node)
        name = node.id if isinstance(node, ast.Name) else node.attr
        if not name[:1].isupper():  # a function would be called, such as one that loads a file
            return False
        if isinstance(parent, ast.Dict):
            at: Any = next((key for key, one in zip(parent.keys, parent.values, strict=True) if one is node), None)
            return isinstance(at, ast.Constant) and at.value == "type"
        return isinstance(parent, ast.keyword) and parent.arg == "type"


def _is_pure(name: str) -> bool:
    """Whether what a pure module has by a name is no module, and leads to none."""
    hidden = name.startswith("_") or name.endswith("_re") or name in _BY_TEXT
    return not hidden and (name in _ITS_OWN or name not in sys.stdlib_module_names)


def _is_doubtful(name: str) -> bool:
    if name in _PLAIN:
        return False
    return name.startswith("__") or (callable(getattr(builtins, name, None)) and not _is_error(name))


def _is_error(name: str) -> bool:
    found = getattr(builtins, name)
    return isinstance(found, type) and issubclass(found, BaseException)


def _outside_of_bases(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree but for blocks of `read_base`, which `bases` follows."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.With) and any(is_read_base(item.context_expr) for item in node.items)):
            yield node
            yield from _outside_of_bases(node)
