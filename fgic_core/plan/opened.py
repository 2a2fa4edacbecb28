"""Which files a source opens beside itself: paths that begin with ``__file__``, as far as they are written there."""

from __future__ import annotations

import ast
import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

#: Where a module lies while its paths are worked out: deep enough that none climbs out.
_HOME = PurePosixPath("/" + "/".join("abcdefghijklmnop"))
_SAME = {"Path", "PurePath", "PosixPath", "str", "fspath", "abspath", "realpath", "normpath", "expanduser"}
_READ = {"name", "stem", "suffix", "read_text", "read_bytes", "open", "stat", "exists"}
_SAME_METHODS = {"resolve", "absolute", "as_posix", "expanduser", "__str__", "__fspath__"}


def opened(tree: ast.AST, file: str) -> Iterator[tuple[str, int]]:
    """Paths relative to a module's folder that its source makes of ``__file__``, each with its line.

    Of ``HERE / name``, whose name only a run would tell, what is known is given: the folder, ``.``. A path that is
    kept under a name counts where that is used.

    Args:
        tree: its syntax tree.
        file: its file's name.
    """
    walk = _Paths(tree, file)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and (found := walk.path(node)) is not None and walk.is_whole(node):
            yield posixpath.relpath(walk.known(node, found), _HOME), node.lineno


class _Paths:
    """Works out expressions."""

    def __init__(self, tree: ast.AST, file: str) -> None:
        self._file = str(_HOME / file)
        self._above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._used = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        self._kept: dict[str, str | None] = {}
        for _ in range(4):  # names of names
            self._memory: dict[ast.AST, str | None] = {}
            self._kept = self._names(tree)
        self._memory = {}

    def _names(self, tree: ast.AST) -> dict[str, str | None]:
        """Paths by the names that they are kept under; None where a name has had several."""
        found: dict[str, str | None] = {}
        for node in ast.walk(tree):
            value = self.path(node.value) if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value else None
            for target in _targets(node):
                found[target.id] = value if target.id not in found or found[target.id] == value else None
        return {name: path for name, path in found.items() if path is not None}

    def path(self, node: ast.AST) -> str | None:
        """The path that an expression is; None where it is none, or not known."""
        if node not in self._memory:
            self._memory[node] = self._work_out(node)
        return self._memory[node]

    def is_whole(self, node: ast.AST) -> bool:
        """Whether no larger expression is known, and it is not merely kept under a name."""
        above = self._above.get(node)
        while above is not None and (isinstance(above, (ast.keyword, ast.FormattedValue)) or _is_same_method(above)):
            if self.path(above) is not None:
                return False
            above = self._above.get(above)
        if above is None or self.path(above) is not None:
            return False
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            return False
        kept = [target.id for target in _targets(above) if isinstance(above, (ast.Assign, ast.AnnAssign))]
        in_class = above is not None and isinstance(self._above.get(above), ast.ClassDef)  # used as ``self.HERE``
        return in_class or not kept or not all(name in self._kept and name in self._used for name in kept)

    def known(self, node: ast.AST, path: str) -> str:
        """What is known of where a path leads: the folder, where its name is changed into one that is not known."""
        above = self._above.get(node)
        attribute = above.attr if isinstance(above, ast.Attribute) else ""
        call = self._above.get(above) if above is not None else None
        renamed = attribute.startswith("with_") and isinstance(call, ast.Call)
        is_read = attribute in _READ or (isinstance(above, ast.Call) and _name(above.func) in ("open", "basename"))
        return posixpath.dirname(path) if renamed or (path == self._file and not is_read) else path

    def _work_out(self, node: Any) -> str | None:
        if isinstance(node, ast.Name):
            return self._file if node.id == "__file__" else self._kept.get(node.id)
        if isinstance(node, ast.Attribute):
            inner = self.path(node.value)
            return posixpath.dirname(inner) if inner is not None and node.attr == "parent" else None
        if isinstance(node, ast.Subscript):
            return self._parents(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Add)):
            left, right = self.path(node.left), _text(node.right)
            if left is None or right is None:
                return None
            return left + right if isinstance(node.op, ast.Add) else posixpath.normpath(posixpath.join(left, right))
        if isinstance(node, ast.JoinedStr):
            parts = [self._part(one) for one in node.values]
            is_path = any(isinstance(one, ast.FormattedValue) for one in node.values) and None not in parts
            return posixpath.normpath("".join(filter(None, parts))) if is_path else None
        return self._called(node) if isinstance(node, ast.Call) else None

    def _part(self, node: ast.expr) -> str | None:
        return self.path(node.value) if isinstance(node, ast.FormattedValue) else _text(node)

    def _parents(self, node: ast.Subscript) -> str | None:
        of = node.value
        if not (isinstance(of, ast.Attribute) and of.attr == "parents" and isinstance(node.slice, ast.Constant)):
            return None
        inner, level = self.path(of.value), node.slice.value
        if inner is None or not isinstance(level, int) or level < 0:
            return None
        for _ in range(level + 1):
            inner = posixpath.dirname(inner)
        return inner

    def _called(self, node: ast.Call) -> str | None:
        function, arguments = node.func, [*map(_text, node.args)]
        name = _name(function)
        inner = self.path(function.value) if isinstance(function, ast.Attribute) else None
        if inner is not None:
            if None in arguments or node.keywords:
                return inner if name in _SAME_METHODS else None
            texts = [one or "" for one in arguments]
            if name == "joinpath":
                return posixpath.normpath(posixpath.join(inner, *texts))
            if name in ("with_name", "with_suffix", "with_stem") and len(texts) == 1:
                return _renamed(inner, name, texts[0])
            return inner if name in _SAME_METHODS else None
        first = self.path(node.args[0]) if node.args else None
        if first is None or any(one is None for one in arguments[1:]):
            return None
        rest = [one or "" for one in arguments[1:]]
        if name == "dirname":
            return posixpath.dirname(first)
        if name == "join" or name in _SAME:
            return posixpath.normpath(posixpath.join(first, *rest))
        return None


def _renamed(path: str, how: str, text: str) -> str | None:
    try:
        return str(getattr(PurePosixPath(path), how)(text))
    except ValueError:
        return None


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace(os.sep, "/")
    if isinstance(node, ast.Attribute) and node.attr in ("pardir", "curdir", "sep"):
        return {"pardir": "..", "curdir": ".", "sep": "/"}[node.attr]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return left + right if left is not None and right is not None else None
    return None


def _is_same_method(node: ast.AST | None) -> bool:
    """``path.parents``, ``path.resolve``: no value of its own, but part of one."""
    return isinstance(node, ast.Attribute) and node.attr in {
        *("parents", "joinpath", "with_name", "with_suffix", "with_stem"),
        *_SAME_METHODS,
    }


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _targets(node: ast.AST | None) -> list[ast.Name]:
    """The names that a statement gives values to, itself alone."""
    places: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        places = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.For, ast.comprehension, ast.NamedExpr)):
        places = [node.target]
    names = [one for place in places for one in ast.walk(place)]
    return [one for one in names if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


def module_of(node: ast.expr | None, aliases: Mapping[str, str], own: str) -> str | None:
    """The module that an argument means, such as ``'shop.tables'``, ``__package__`` or ``shop.tables``; else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return own if node.id in ("__package__", "__name__") else aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        above = module_of(node.value, aliases, own)
        return f"{above}.{node.attr}" if above is not None else aliases.get(ast.unparse(node))
    return None
