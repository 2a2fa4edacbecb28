"""Whether a config file tells all that is in it, found by reading: a config in Python is a program."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

from fgic_core import regular_file
from fgic_detect_mmdet._bases import BASE_VALUE, ENVIRONMENT, bases, is_read_base

#: What computes from what it is given alone.
_PLAIN = {
    *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int", "isinstance"),
    *("len", "list", "map", "max", "min", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str"),
    *("sum", "tuple", "zip"),
}
_PURE = {"__future__", "collections", "copy", "functools", "itertools", "math", "operator", "typing"}
#: Packages whose versions are in the key: configs name their classes, and may not call them.
_KNOWN = {"mmcv", "mmdet", "mmengine", "torch", "torchvision"}


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
        elif not any(part in ("site-packages", "dist-packages") for part in file.parts):
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
    """A config's syntax tree."""

    def __init__(self, tree: ast.Module) -> None:
        self._nodes = [*_outside_of_bases(tree)]
        self._known: set[str] = set()
        stored = {node.id for node in self._nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        defined = {node.name for node in self._nodes if isinstance(node, ast.FunctionDef)}
        given = {node.arg for node in self._nodes if isinstance(node, ast.arg)}
        self._own = stored | defined | given

    def doubts(self) -> Iterator[tuple[int, str]]:
        """Lines, and what makes them doubtful."""
        for node in self._nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from ((node.lineno, f"it imports {name}") for name in self._imported(node))
        for node in self._nodes:
            if isinstance(node, (ast.With, ast.AsyncWith)):
                yield node.lineno, f"it opens {ast.unparse(node.items[0].context_expr)}"
            elif isinstance(node, ast.Call) and self._root(node.func) in self._known:
                yield node.lineno, f"it calls {ast.unparse(node.func)}"
            elif isinstance(node, ast.Attribute) and node.attr.startswith("__"):
                yield node.lineno, f"it uses {node.attr}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and self._is_doubtful(node.id):
                yield node.lineno, f"it uses {node.id}"

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """The modules of an import that are not known; the names of those that are known are kept."""
        for one in node.names:
            module = one.name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
            top = module.partition(".")[0]
            if top in _KNOWN:
                self._known.add(one.asname or one.name.partition(".")[0])
            elif top not in _PURE:
                yield module

    def _root(self, node: ast.expr) -> str:
        while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        return node.id if isinstance(node, ast.Name) else ""

    def _is_doubtful(self, name: str) -> bool:
        if name in self._own or name in _PLAIN:
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
