"""The store: artifacts by key, each whole or absent, shared by any number of runs.

::

    artifacts/<2 digits>/<key>/   finished artifacts, what was learned among them; a folder here is complete and never
                                  changes
    unfinished/<key>/             checkpoints of a step that is running or was interrupted
    locks/<key>.lock              held by the process that computes the key
    last/<spec>/<step>.json       what decided the step's output when it last ran, to say what changed since
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.digest import digest_file
from fgic_core.errors import StoreError
from fgic_core.store.contents import damages

if TYPE_CHECKING:
    from filelock import FileLock


class Store:
    """Artifacts under a folder.

    Args:
        root: made when it is first written to.
        digest: how the content of a file is known; with `fgic_core.store.memory.Memory.digest` it is remembered.
    """

    def __init__(self, root: Path, digest: Callable[[Path], str] = digest_file) -> None:
        self.root = root.resolve()
        self._digest = digest

    def folder(self, key: str) -> Path:
        """Where the artifact of that key lies, or would lie."""
        return self.root.joinpath("artifacts", key[:2], key)

    def record(self, key: str) -> ArtifactRecord | None:
        """What is known of the artifact; None where there is none, or it is damaged (see `damage`)."""
        return self.look(key)[0]

    def look(self, key: str) -> tuple[ArtifactRecord | None, str]:
        """The artifact's record if it is whole; else None, and what is wrong with it, empty where there is nothing.

        Every file is held against the digest that the record has of it, and the record against its own.
        """
        folder = self.folder(key)
        if not folder.exists():
            return None, ""
        try:
            record = ArtifactRecord.read(folder)
        except StoreError as error:
            return None, error.what
        if record.key != key:
            return None, "its record is of another artifact"
        wrong = damages(folder, record.files, self._digest)
        return (None, wrong[0] + (f", and {len(wrong) - 1} more" if wrong[1:] else "")) if wrong else (record, "")

    def stored(self) -> list[str]:
        """The keys of everything that lies in the store, whole or not."""
        return sorted(folder.name for folder in (self.root / "artifacts").glob("??/*") if folder.is_dir())

    def unfinished(self) -> frozenset[str]:
        """The keys of steps that are running or were interrupted."""
        try:
            return frozenset(os.listdir(self.root / "unfinished"))
        except OSError:
            return frozenset()

    def interrupted_after(self, key: str) -> int:
        """The last epoch that the checkpoint of an unfinished step holds; 0 where there is none."""
        try:
            return int(json.loads((self.scratch(key) / "checkpoint.json").read_text(encoding="utf-8"))["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def scratch(self, key: str) -> Path:
        """The folder for what outlives a crash of the step of that key."""
        return self.root.joinpath("unfinished", key)

    def take(self, key: str) -> FileLock | None:
        """The right to compute a key, until its ``release``; None where another process, or thread, has it.

        The operating system gives it back if the process dies.

        Raises:
            StoreError: the store cannot be written.
        """
        from filelock import FileLock, Timeout

        place = self.root / "locks" / f"{key}.lock"
        lock = FileLock(place)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(
                f"the store cannot be written: {error.strerror or error}",
                where=str(self.root),
                hint="Choose another folder with --store.",
            ) from None
        return lock

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """As `take`, for who does not want to wait.

        Raises:
            StoreError: another process holds it, or the store cannot be written.
        """
        lock = self.take(key)
        if lock is None:
            raise StoreError("another run is computing this", where=key)
        try:
            yield
        finally:
            lock.release()

    def begin(self, key: str) -> Path:
        """An empty folder to compute the artifact in. The caller holds the lock of the key."""
        scratch = self.scratch(key)
        scratch.mkdir(parents=True, exist_ok=True)
        for left in scratch.glob("out-*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = scratch / f"out-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        return folder

    def commit(self, key: str, folder: Path) -> Path:
        """Move a computed artifact into place, in one step, and drop the step's checkpoints."""
        place = self.folder(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            old = self.scratch(key) / f"out-old-{uuid.uuid4().hex[:8]}"
            place.rename(old)
        folder.rename(place)
        _sync(place.parent)
        shutil.rmtree(self.scratch(key), ignore_errors=True)
        return place

    def discard(self, key: str, folder: Path) -> None:
        """Remove a half-made artifact; checkpoints stay."""
        for left in folder.parent.glob(f"{folder.name}*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = self.scratch(key)
        if scratch.exists() and not any(scratch.iterdir()):
            scratch.rmdir()

    def forget_checkpoints(self, key: str) -> None:
        """Start the step of that key from nothing the next time."""
        shutil.rmtree(self.scratch(key), ignore_errors=True)

    def last(self, spec: str, step: str) -> dict[str, Any] | None:
        """The key document of the step when a spec of that name last ran it."""
        try:
            found: dict[str, Any] = json.loads((self.root / "last" / spec / f"{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found

    def parts(self, spec: str, step: str) -> list[str]:
        """The names of what the step learned in the last runs of a spec of that name, such as ``fit``."""
        names = (file.stem for file in (self.root / "last" / spec).glob("*.json"))
        return sorted(name.removeprefix(f"{step}.") for name in names if name.startswith(f"{step}."))

    def specs(self) -> list[str]:
        """The names of the specs whose last runs are remembered."""
        return sorted(folder.name for folder in (self.root / "last").glob("*") if folder.is_dir())

    def forget_spec(self, spec: str) -> None:
        """Forget the last run of a spec, one of `specs`: it needs no artifact any more.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            shutil.rmtree(self.root / "last" / spec)
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error.strerror}", where=str(self.root)) from None

    def remember(self, spec: str, step: str, document: Mapping[str, Any]) -> None:
        """Keep the key document for `last`; a store that can only be read goes without."""
        place = self.root / "last" / spec / f"{step}.json"
        beside = place.with_suffix(f".{uuid.uuid4().hex[:8]}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(document, indent=1), encoding="utf-8")
            beside.replace(place)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
