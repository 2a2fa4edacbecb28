"""Names in a config whose code is in no key: MMEngine imports what a dotted `type` names, whoever wrote it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgic_core import regular_file
from fgic_detect_mmdet._bases import bases, is_installed, substituted

#: Packages whose versions are in the key.
KNOWN = {"mmcv", "mmdet", "mmengine", "torch", "torchvision"}
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
#: Of what is put together, a part that is not written there.
_ANY = "\0"
_PARTIAL = re.compile(rf"[\w.{_ANY}]*\.[\w.{_ANY}]*")
_FILES = {"bmp", "csv", "jpeg", "jpg", "json", "odgt", "pkl", "png", "pth", "py", "tsv", "txt", "yaml", "yml"}
_SCOPE = "_scope_"


def foreign_in_file(config: Path) -> list[str]:
    """Names in a config, or in one that it is based on, of code that neither mmdet nor what it stands on brings.

    Each with its place: ``ownnet.Net (own.yaml:3)``. Those of an installed package's files count by its version; what
    cannot be read is left to who reads it.
    """
    found = []
    for file in [config, *bases(config)]:
        if file.is_dir() or is_installed(file):
            found += [f"{file.name} of a package"] if is_installed(file) and not KNOWN & {*file.parts} else []
            continue
        try:
            text = regular_file(file).read_text(encoding="utf-8")
            found += [f"{name} ({file.name}:{line})" for name, line in _in_text(text, file)]
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
    return found


def foreign(value: Any, key: str = "") -> Iterator[str]:
    """Such names in nested mappings and lists.

    Args:
        value: what stands at the key.
        key: of a dotted one the last part decides: what is a `type` is imported.
    """
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from foreign(one, str(name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from foreign(one, key)
    elif isinstance(value, str) and is_foreign(value, key.rpartition(".")[2].lstrip("+")):
        yield value


def is_foreign(text: str, key: str = "") -> bool:
    """Whether a text names such code; elsewhere than at `type` and `_scope_` only where there is such a module."""
    top = text.partition(".")[0]
    if key == _SCOPE:
        return top not in KNOWN
    if not _DOTTED.fullmatch(text) or top in KNOWN:
        return False
    return key == "type" or (text.rpartition(".")[2].lower() not in _FILES and _is_there(top))


def _is_there(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError, AttributeError):
        return True


def _in_text(text: str, file: Path) -> Iterator[tuple[str, int]]:
    if file.suffix == ".py":
        yield from _in_program(ast.parse(substituted(text, file)))
        return
    document = _document(substituted(text, file), file.suffix)
    without = {key: value for key, value in document.items() if key != "_base_"} if isinstance(document, dict) else {}
    for name in foreign(without):
        at = text.find(name)
        yield name, text.count("\n", 0, at) + 1 if at >= 0 else 1


def _document(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix in (".yaml", ".yml"):
        from fgic_detect_mmdet._yaml import read_yaml

        return read_yaml(text)
    return {}


def _in_program(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Texts that are such names, or may become one: ``'own' + '.Net'``."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.JoinedStr, ast.Call)):
            if not isinstance(above[node], (ast.BinOp, ast.JoinedStr)) and _may_be_foreign(_pattern(node)):
                yield ast.unparse(node), node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            key, is_part = _key(node, above), isinstance(above[node], (ast.BinOp, ast.JoinedStr))
            if key == "_base_" or is_part:
                continue
            if is_foreign(node.value, key) or _may_be_foreign(_open(node.value)):
                yield node.value, node.lineno


def _key(node: ast.AST, above: Mapping[ast.AST, ast.AST]) -> str:
    """What a value is given to: ``dict(type=…)``, ``{'type': …}``, ``x['type'] = …``, ``_base_ = …``."""
    while isinstance(above.get(node), (ast.List, ast.Tuple, ast.IfExp, ast.BinOp)):
        node = above[node]
    parent: Any = above.get(node)
    if isinstance(parent, ast.keyword):
        return parent.arg or ""
    if isinstance(parent, ast.Dict):
        at: Any = next((key for key, one in zip(parent.keys, parent.values, strict=True) if one is node), None)
        return at.value if isinstance(at, ast.Constant) and isinstance(at.value, str) else ""
    if isinstance(parent, ast.Assign):
        target: Any = parent.targets[0]
        if isinstance(target, ast.Name):
            return target.id
        if isinstance(target, ast.Attribute):
            return target.attr
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            return str(target.slice.value)
    return ""


def _pattern(node: ast.AST) -> str:
    """The text that an expression makes, as far as it is written there."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else _ANY
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _pattern(node.left) + _pattern(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return re.sub(r"%[-#0 +]*\d*(\.\d+)?[a-z]|%\(\w+\)[a-z]", _ANY, _pattern(node.left))
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_pattern, node.values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "format":
            return re.sub(r"\{[^{}]*\}", _ANY, _pattern(node.func.value))
        if node.func.attr == "join":
            return f"{_ANY}{_pattern(node.func.value)}{_ANY}"
        if node.func.attr == "replace":
            return _ANY + ".".join(_pattern(one) for one in node.args) + _ANY
    return _ANY


def _open(text: str) -> str:
    """A text that begins or ends with a dot as a part of another; any other as nothing."""
    start, end = (_ANY if text.startswith(".") else ""), (_ANY if text.endswith(".") else "")
    return start + text + end if text.strip(".") and start + end else ""


def _may_be_foreign(pattern: str) -> bool:
    if not _PARTIAL.fullmatch(pattern) or pattern.rpartition(".")[2].lower() in _FILES:
        return False
    top = pattern.partition(".")[0]
    return _ANY in top or (bool(top) and top not in KNOWN and _is_there(top))
