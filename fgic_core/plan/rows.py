"""Whether what the row of a kind names is there: found by reading its modules, before a run needs it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.table import Kind
from fgic_core.plan.modules import is_missing, locate


class _Named(NamedTuple):
    """A function or class that a row names: what it is to it, its module, its name, and how it is called."""

    what: str
    module: str
    name: str
    call: str = ""


def check_row(row: Kind) -> None:
    """Check that modules and functions of a kind from elsewhere are there. Imports none of them.

    Raises:
        PluginError: one is not; says which, and in which package.
    """
    if row.package == "fgic":
        return
    for one in _named(row):
        place = locate(one.module, True)
        if place is None and is_missing(one.module):
            raise PluginError(
                f"{one.what} of the kind {row.name} is to be in {one.module}, and there is no such module",
                where=row.package,
                hint="Correct it in the row of the kind.",
            )
        there = _names_in(place) if place is not None and place.is_file() else None
        if there is not None and one.name not in there:
            close = nearest(one.name, sorted(there), 1)
            said = f"It is called as {one.name}{one.call}." if one.call else "Correct it in the row of the kind."
            raise PluginError(
                f"{one.what} of the kind {row.name}, {one.module}, has no {one.name}",
                where=row.package,
                hint=f"Did you mean {close[0]}? {said}" if close else said,
            )


def _named(row: Kind) -> list[_Named]:
    if row.fit:
        found = [
            _Named("the driver", row.driver, "use", "(component, inputs, ctx, learned)"),
            _Named("what learns", row.fit, "lessons", "(component, dataset, ctx)"),
            _Named("what learns", row.fit, "fit", "(component, dataset, ctx)"),
        ]
    else:
        found = [_Named("the driver", row.driver, "run", "(component, inputs, ctx)")]
    found += [_Named("the section", row.section, "section", "(steps, report)")] if row.section else []
    found += [_Named("the groups of pictures", row.groups, "groups", "(folder, split)")] if row.groups else []
    opened = [(f"what opens {one.name}", one.open) for one in row.artifacts if one.open]
    for what, target in [*opened, *([("the suite", row.suite)] if row.suite else [])]:
        module, _, name = target.partition(":")
        found.append(_Named(what, module, name))
    return found


def _names_in(file: Path) -> set[str] | None:
    """The names that a module has when it is imported; None where reading does not tell."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # whoever imports it says what is wrong
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {one.asname or one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return None if found & {"*", "__getattr__"} else found
