"""What lies in a store, whether it is whole, and what of it nothing needs any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.digest import digest_file
from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError
from fgic_core.plan.keys import key_of
from fgic_core.store.store import Store


@dataclass(frozen=True, slots=True)
class Stored:
    """Something that lies in a store.

    Attributes:
        key: its name.
        folder: where it lies.
        size: of its files, in bytes.
        record: what it says of itself; None where it is none that can be read, or is not finished.
        wrong: what is wrong with it, as far as was looked; empty for what is whole.
        used_by: the steps whose last run has it, as ``spec/step``.
        finished: whether it is an artifact, and not what an interrupted step left.
    """

    key: str
    folder: Path
    size: int
    record: ArtifactRecord | None
    wrong: str
    used_by: tuple[str, ...]
    finished: bool = True


def contents(store: Store) -> Iterator[Stored]:
    """Everything in a store, artifacts first; their files are not read."""
    used = _used_by(store)
    for key in store.stored():
        folder = store.folder(key)
        record, wrong = _record(folder)
        yield Stored(key, folder, _size(folder), record, wrong, tuple(used.get(key, ())))
    for folder in sorted((store.root / "unfinished").glob("*")):
        yield Stored(folder.name, folder, _size(folder), None, "", tuple(used.get(folder.name, ())), finished=False)


def verify(store: Store, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Stored]:
    """Read every file of every artifact and hold it against its digest; those that are damaged.

    Args:
        store: the store; what is remembered of its files is not believed.
        progress: told how many artifacts are read of how many.
    """
    trusting_nothing = Store(store.root, digest_file)
    used, keys, damaged = _used_by(store), store.stored(), []
    for done, key in enumerate(keys):
        progress(done, len(keys))
        record, wrong = trusting_nothing.look(key)
        if record is None:
            folder = store.folder(key)
            damaged.append(Stored(key, folder, _size(folder), None, wrong or "is empty", tuple(used.get(key, ()))))
    progress(len(keys), len(keys))
    return damaged


def needless(store: Store, runs: Iterable[Path]) -> list[Stored]:
    """What neither the last run of a spec nor one of these runs needs: artifacts, and what interrupted steps left.

    What an artifact that is needed was made from is needed too.

    Args:
        store: the store.
        runs: run directories, or folders of such.

    Raises:
        StoreError: what a run needs is not known, for its record cannot be read.
    """
    everything = list(contents(store))
    records = {one.key: one.record for one in everything if one.record is not None}
    waiting = [*_used_by(store), *_keys_of_runs(runs)]
    needed: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in needed:
            needed.add(key)
            waiting += _keys(records[key].sources) if key in records else []
    return [one for one in everything if one.key not in needed]


def remove(store: Store, one: Stored) -> bool:
    """Take something out of the store, unless a run is at it; whether it is gone."""
    try:
        with store.hold(one.key):
            # Out of the way first: half of an artifact is none, whatever happens in between.
            grave = store.root / "unfinished" / f"{one.key}.gone"
            shutil.rmtree(grave, ignore_errors=True)
            grave.parent.mkdir(parents=True, exist_ok=True)
            one.folder.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)
    except (StoreError, OSError):
        return False
    return True


def _record(folder: Path) -> tuple[ArtifactRecord | None, str]:
    try:
        return ArtifactRecord.read(folder), ""
    except StoreError as error:
        return None, error.what


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def _used_by(store: Store) -> dict[str, list[str]]:
    """The steps whose last run has an artifact, by its key."""
    used: dict[str, list[str]] = {}
    for file in sorted((store.root / "last").glob("*/*.json")):
        try:
            key = key_of(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            continue
        used.setdefault(key, []).append(f"{file.parent.name}/{file.stem}")
    return used


def _keys_of_runs(runs: Iterable[Path]) -> Iterator[str]:
    for folder in runs:
        # The folder's own, those of one spec, those of several; each may be a study with runs of its own below it.
        patterns = [f"{above}{below}run.json" for above in ("", "*/", "*/*/") for below in ("", "runs/*/*/")]
        for file in [file for pattern in patterns for file in sorted(folder.glob(pattern))]:
            if file.parent == folder and not file.exists():
                continue
            try:
                keys = [str(step["key"]) for step in json.loads(regular_file(file).read_bytes())["steps"]]
            except (OSError, ValueError, KeyError, TypeError) as error:
                why = getattr(error, "strerror", None) or "fgic did not write it so"
                raise StoreError(
                    f"what this run needs is not known, for its record cannot be read: {why}",
                    where=str(file),
                    hint="Remove the run directory if it is not wanted any more, or put its run.json back.",
                ) from None
            yield from keys


def _keys(sources: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for given in sources.values():
        found += _keys(given) if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return found
