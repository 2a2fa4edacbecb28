"""``fgic plugins``: what is installed, and what a component's options are."""

from __future__ import annotations

import ast
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, fail, printable, table
from fgic_core.errors import PluginError
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Entry, Registry

if TYPE_CHECKING:
    from fgic_core.description import Option


def print_plugins(load: bool, as_json: bool, registry: Registry | None = None) -> int:
    """List every component. Imports none, or with ``load`` each; returns 1 where one fails to load, else 0."""
    registry = registry or Registry()
    entries = registry.entries()
    problems = _problems(entries, registry, load)
    of_kinds = [error for error in _of_kinds(load) if str(error) not in map(str, problems.values())]
    if as_json:
        print(json.dumps([_row(entry, problems.get(entry.uses)) for entry in entries], indent=1, ensure_ascii=False))
    elif not entries:
        console().print("No components are installed. Start with: pip install fgic-data-birds fgic-classify-timm")
    else:
        listing = table("component", "package", "version", *(["loads"] if load else []), "summary")
        for entry in entries:
            state = ["no" if entry.uses in problems else "yes"] if load else []
            about = entry.uses, entry.package, entry.version, *state, summary_of(entry)
            listing.add_row(*map(printable, about))
        console().print(listing)
    if not as_json:
        for problem in [*problems.values(), *of_kinds]:
            fail(problem)
    return 1 if load and (problems or of_kinds) else 0


def summary_of(entry: Entry) -> str:
    """What the package says of itself in one line; where it says nothing, the first line of the component's help."""
    if entry.summary.strip():
        return entry.summary
    from fgic_core.plan.modules import locate

    module, _, name = entry.target.partition(":")
    place = locate(module, True)
    try:
        tree = ast.parse(place.read_bytes() if place is not None else b"")
    except (OSError, SyntaxError, ValueError):  # whoever imports it says what is wrong
        return ""
    helps = [ast.get_docstring(node) for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return next((text.strip().partition("\n")[0] for text in helps if text), "")


def _of_kinds(load: bool) -> list[PluginError]:
    """What is wrong with kinds from elsewhere; those with a component that does not load say so there as well."""
    found = KINDS.problems(load=load)
    if load:
        from fgic_core.plan.rows import check_row

        for name in KINDS:
            try:
                check_row(KINDS[name])
            except PluginError as error:
                found.append(error)
    return list({str(error): error for error in found}.values())


def _problems(entries: list[Entry], registry: Registry, load: bool) -> dict[str, PluginError]:
    if load:
        return dict(registry.load_all())
    found = {}
    for uses, count in Counter(entry.uses for entry in entries).items():
        if count > 1:
            try:
                registry.entry(uses)
            except PluginError as error:
                found[uses] = error
    return found


def _row(entry: Entry, problem: PluginError | None) -> dict[str, Any]:
    return {
        "uses": entry.uses,
        "kind": entry.kind,
        "name": entry.name,
        "package": entry.package,
        "version": entry.version,
        "summary": summary_of(entry),
        "target": entry.target,
        "problem": str(problem) if problem else None,
    }


def print_component(uses: str, as_json: bool, registry: Registry | None = None) -> None:
    """Print what a component says of itself, and its options.

    Raises:
        PluginError: there is none of that name, or it fails to load.
    """
    from fgic_core.plan.descriptions import Remembered

    manifest = Remembered(registry or Registry()).manifests([uses])[uses]
    if isinstance(manifest, PluginError):
        raise manifest
    entry, options = manifest.entry, manifest.options
    if as_json:
        row = {**_row(entry, None), "doc": manifest.doc, "options": [_option(option) for option in options]}
        print(json.dumps(row, indent=1, ensure_ascii=False))
        return
    out = console()
    out.print(f"{uses}  ({entry.package} {entry.version}, {entry.target})", style="bold")
    takes = ", ".join(
        port.words if name == port.type else f"{name}: {port.words}" for name, port in manifest.ports.items()
    )
    takes = takes or "nothing"
    out.print(f"takes {takes}, gives {manifest.gives}\n\n{manifest.doc}\n")
    out.print(_options_table(options) if options else "It has no options.")
    if any(option.core for option in options):
        out.print("\n* an option that every component of this kind has")


def _option(option: Option) -> dict[str, Any]:
    about = {name: getattr(option, name) for name in ("name", "type", "required", "default", "description", "core")}
    return about | {"default": _rounded(option.default)}


def _rounded(value: Any) -> Any:
    """Floats at six significant digits: 1/255 is nothing to read in seventeen."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def _options_table(options: list[Option]) -> Any:
    listing = table("option", "type", "default", "description")
    for option in options:
        default = "required" if option.required else _as_written(_rounded(option.default), "n/255" in option.type)
        listing.add_row(f"{option.name}{' *' * option.core}", option.type, default, option.description)
    listing.columns[0].no_wrap = True
    return listing


def _as_written(value: Any, is_eps: bool) -> str:
    """A value as one would write it in a spec."""
    if isinstance(value, list):
        return f"[{', '.join(_as_written(item, is_eps) for item in value)}]"
    if is_eps and isinstance(value, float):
        steps = value * 255
        return f"{round(steps)}/255" if steps > 0.5 and abs(steps - round(steps)) < 1e-3 else f"{value:g}"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
