"""``fgic store``: what lies in the store, whether it is whole, and what nothing needs any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgic_core.cli.output import console, note, printable, table
from fgic_core.data.files import in_bytes
from fgic_core.errors import StoreError, nearest
from fgic_core.pipeline import RUNS
from fgic_core.run.upkeep import Stored, contents, needless, remove, verify
from fgic_core.store.store import Store


def print_contents(root: Path, as_json: bool) -> int:
    """Print everything in a store; returns 0.

    Raises:
        StoreError: there is no store.
    """
    found = list(contents(_store(root)))
    if as_json:
        print(json.dumps([_row(one) for one in found], indent=1, ensure_ascii=False))
        return 0
    _print_table(found)
    console().print(f"\n{_total(found)} in {printable(str(root))}.")
    return 0


def print_damages(root: Path, as_json: bool) -> int:
    """Read the whole store and print what is damaged; returns 1 where something is, else 0.

    Raises:
        StoreError: there is no store.
    """
    from rich.progress import Progress

    store = _store(root)
    with Progress(console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task("reading artifacts")
        damaged = verify(store, lambda done, total: bars.update(bar, completed=done, total=total))
    if as_json:
        print(json.dumps([_row(one) for one in damaged], indent=1, ensure_ascii=False))
        return 1 if damaged else 0
    for one in damaged:
        users = f" (of {', '.join(one.used_by)})" if one.used_by else ""
        print(printable(f"{one.key}{users}: {one.wrong}"))
    count = len(store.stored())
    if damaged:
        note(f"{len(damaged)} of {count} artifacts are damaged. The next run that needs one computes it again.")
        return 1
    print(f"All {count} artifacts are whole.")
    return 0


def collect(root: Path, runs: Sequence[Path] | None, *, delete: bool) -> int:
    """Print, or remove, what nothing needs any more; returns 1 where something could not be removed, else 0.

    Args:
        root: of the store.
        runs: run directories whose artifacts are needed, or folders of such; None for the usual one, where there is.
        delete: remove it.

    Raises:
        StoreError: there is no store, or none of these folders, or the record of a run cannot be read; then nothing is
            removed.
    """
    store = _store(root)
    for folder in runs or ():
        if not folder.is_dir():
            hint = "Name the folder where runs lie: what a run needs is kept only where it is found."
            raise StoreError("there is no such folder of runs", where=str(folder), hint=hint)
    found = needless(store, runs or [RUNS])
    if not found:
        print("Nothing to remove. Everything in the store is needed.")
        return 0
    if not delete:
        _print_table(found)
        console().print(f"\nNothing needs {_total(found)}. --delete removes them.")
        return 0
    kept = [one for one in found if not remove(store, one)]
    gone = [one for one in found if one not in kept]
    print(f"Removed {_total(gone)}.")
    for one in kept:
        note(f"{one.key} is left: a run is at it, or it cannot be removed.")
    return 1 if kept else 0


def forget_specs(root: Path, names: Sequence[str]) -> int:
    """Have the last runs of specs keep nothing any more; returns 0.

    Args:
        root: of the store.
        names: of specs, as "used by" has them before the stroke.

    Raises:
        StoreError: there is no store, or it knows no spec of such a name; then none is forgotten.
    """
    store = _store(root)
    known = store.specs()
    for name in names:
        if name not in known:
            close = nearest(name, known)
            listed = f"Did you mean {' or '.join(close)}?" if close else f"It knows {', '.join(known) or 'none'}."
            raise StoreError(f"the store knows no spec named {name!r}", where=str(store.root), hint=listed)
    for name in dict.fromkeys(names):
        store.forget_spec(name)
        print(printable(f"Forgot {name}. fgic store gc shows what nothing needs any more."))
    return 0


def _store(root: Path) -> Store:
    if not root.is_dir():
        raise StoreError("there is no store", where=str(root), hint="Name its folder with --store, or run a spec.")
    return Store(root)


def _print_table(found: Sequence[Stored]) -> None:
    rows = table("key", "uses", "type", "size", "made", "used by")
    rows.columns[3].justify = "right"
    for one in found:
        record = one.record
        kind = (record.type if record is not None else "damaged") if one.finished else "unfinished"
        made = record.created[:16].replace("T", " ") if record is not None else ""
        uses = record.uses if record is not None else ""
        rows.add_row(one.key[:12], uses, kind, in_bytes(one.size), made, "\n".join(one.used_by))
    console().print(rows)


def _total(found: Sequence[Stored]) -> str:
    count = len(found)
    return f"{count:,} artifact{'s' * (count != 1)} ({in_bytes(sum(one.size for one in found))})"


def _row(one: Stored) -> dict[str, Any]:
    record = one.record
    return {
        "key": one.key,
        "folder": str(one.folder),
        "size": one.size,
        "finished": one.finished,
        "uses": record.uses if record is not None else None,
        "type": record.type if record is not None else None,
        "created": record.created if record is not None else None,
        "used_by": list(one.used_by),
        "wrong": one.wrong,
    }
