"""``fgic plugins``: what is installed, and what a component's options are."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, fail, printable, table
from fgic_core.errors import PluginError
from fgic_core.registry import Entry, Registry

if TYPE_CHECKING:
    from fgic_core.description import Option


def print_plugins(load: bool, as_json: bool, registry: Registry | None = None) -> int:
    """List every component. Imports none, or with ``load`` each; returns 1 where one fails to load, else 0."""
    registry = registry or Registry()
    entries = registry.entries()
    problems = _problems(entries, registry, load)
    if as_json:
        print(json.dumps([_row(entry, problems.get(entry.uses)) for entry in entries], indent=1, ensure_ascii=False))
    elif not entries:
        console().print("No components are installed. Start with: pip install fgic-data-birds fgic-classify-timm")
    else:
        listing = table("component", "package", "version", *(["loads"] if load else []), "summary")
        for entry in entries:
            state = ["no" if entry.uses in problems else "yes"] if load else []
            listing.add_row(*map(printable, (entry.uses, entry.package, entry.version, *state, entry.summary)))
        console().print(listing)
    if not as_json:
        for problem in problems.values():
            fail(problem)
    return 1 if load and problems else 0


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
        "summary": entry.summary,
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
