"""What a config file is based on, found by reading as MMEngine would, and without importing it: a plan asks for it."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgic_core import regular_file
from fgic_detect_mmdet._shipped import config_of_package, folder_of

_BASE = "_base_"
#: What MMEngine puts values of the environment, and of bases, in the place of.
ENVIRONMENT = re.compile(r"\{\{['\"]?\s*\$(\w+)\s*:\s*(\S*?)\s*['\"]?\}\}")
BASE_VALUE = re.compile(r"\{\{\s*_base_\.[\w.]+\s*\}\}")


def bases(config: Path) -> list[Path]:
    """The files that a config is based on, near and far, in the order of their paths.

    They are those of ``_base_`` (Python, YAML and JSON) and of imports below ``with read_base()``. Where only running
    the config would tell, the folder that it lies in stands for them. What is no file is left out; what is not there is
    named, for it may come: whoever reads the config says what is wrong.
    """
    found: set[Path] = set()
    waiting = [config]
    while waiting:
        file = waiting.pop()
        try:
            near = [*_near(file)]
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        except _UnknownError:
            found.add(file.parent)
            continue
        for base in near:
            if base not in found and base != config and (base.is_file() or not base.exists()):
                found.add(base)
                waiting += [base] if base.is_file() else []
    return sorted(found)


class _UnknownError(Exception):
    """What a config is based on is the result of a computation."""


def _near(file: Path) -> Iterator[Path]:
    text = regular_file(file).read_text(encoding="utf-8")
    suffix = file.suffix
    if suffix == ".py" and not re.search(rf"^{_BASE}\b", text, re.MULTILINE):
        yield from _imported(ast.parse(text), file)
        return
    for name in _named(substituted(text, file), suffix):
        yield config_of_package(name)[0] if "::" in name else Path(os.path.normpath(file.parent / name))


def substituted(text: str, file: Path) -> str:
    """What MMEngine puts in the place of names in double braces before it reads a config."""
    for name, value in {
        "fileDirname": file.parent.as_posix(),
        "fileBasename": file.name,
        "fileBasenameNoExtension": file.stem,
        "fileExtname": file.suffix,
    }.items():
        text = re.sub(rf"\{{\{{\s*{name}\s*\}}\}}", lambda _, value=value: value, text)  # type: ignore[misc]
    text = ENVIRONMENT.sub(lambda match: os.environ.get(match[1], match[2]), text)
    return BASE_VALUE.sub('"of a base"', text)


def _named(text: str, suffix: str) -> list[str]:
    """The names that stand at ``_base_``."""
    if suffix == ".py":
        value = _assigned(ast.parse(text))
    elif suffix == ".json":
        value = _at_base(json.loads(text))
    elif suffix in (".yaml", ".yml"):
        from fgic_detect_mmdet._yaml import read_yaml  # only here: it takes as long as a plan

        value = _at_base(read_yaml(text))
    else:
        return []
    names = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{_BASE} holds names of files")
    return list(names)


def _at_base(document: Any) -> Any:
    return document.get(_BASE, []) if isinstance(document, dict) else []


def _assigned(tree: ast.Module) -> Any:
    """The value of the first ``_base_`` of a program."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == _BASE:
            return _value(node.value)
    return []


def _value(node: ast.expr) -> Any:
    """A literal, or a sum of literals."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        try:
            return _value(node.left) + _value(node.right)
        except TypeError as error:
            raise ValueError(str(error)) from None
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.Constant):
        return node.value
    raise _UnknownError


def _imported(tree: ast.Module, file: Path) -> Iterator[Path]:
    """The files of what is imported as a base: a module is a file beside the config, or of a package."""
    for block in tree.body:
        if not isinstance(block, ast.With) or not any(is_read_base(item.context_expr) for item in block.items):
            continue
        for node in block.body:
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            parts = node.module.split(".")
            if node.level:
                module = file.parent.joinpath(*[".."] * (node.level - 1), *parts).with_suffix(".py")
                yield Path(os.path.normpath(module))
            elif (package := folder_of(parts[0])) is not None:
                yield package.joinpath(*parts[1:]).with_suffix(".py")


def is_installed(file: Path) -> bool:
    """Whether a file lies where packages are installed, and counts by a version."""
    return any(part in ("site-packages", "dist-packages") for part in file.parts)


def is_read_base(node: ast.expr) -> bool:
    """Whether a block that begins so imports bases."""
    called = node.func if isinstance(node, ast.Call) else None
    return (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) == "read_base"
