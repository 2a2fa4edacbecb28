"""``run.json``: what a run did, step by step.

In the file no path is absolute that lies, like the run directory, below the spec's folder: it is relative to the run
directory, so that a project can be moved. In memory all are absolute, and start where the run's artifacts lie now.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError
from fgic_core.store.store import Store

Status = Literal["waiting", "running", "reused", "computed", "failed", "interrupted", "skipped"]
#: How a run, or a study, is or ended.
Ended = Literal["running", "finished", "failed", "interrupted", "killed"]


class StepRecord(BaseModel):
    """One step of a run."""

    model_config = ConfigDict(extra="forbid")

    name: str
    uses: str
    key: str = Field(description="Digest of everything that decides the step's output; its name in the store.")
    folder: Path = Field(Path(), exclude=True, description="Where the artifact lies, or will lie; not in the file.")
    inputs: dict[str, str | list[str]] = Field(description="Step names by port, as in `from`.")
    status: Status = "waiting"
    reason: str = Field("", description="Why it was reused, computed or skipped.")
    seconds: float = 0.0
    error: str = ""


class RunRecord(BaseModel):
    """A whole run."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    name: str
    seed: int
    arm: str = Field("", description="Of a run of a study: which of its pipelines this is.")
    started: str = Field(description="ISO 8601, UTC.")
    finished: str = ""
    status: Ended = Field(
        "running", description="Never `killed` in the file: that is what a reader finds, see `holding`."
    )
    command: str = Field("", description="The command line, as the user typed it.")
    device: str = ""
    jobs: int = Field(1, description="How many jobs were computed at once, at most.")
    threads: int | None = Field(
        None,
        description="Of each job; None for as many as torch takes by itself, where one job had all.",
    )
    python: str = ""
    platform: str = ""
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the packages that took part.")
    store: Path
    roots: dict[str, Path] = Field(default_factory=dict, description="Where the data sets' pictures lay, by root name.")
    project: Path | None = Field(
        None, description="The spec's folder, which can be moved with what is in it; paths of options start there."
    )
    steps: list[StepRecord]

    def step(self, name: str) -> StepRecord:
        return next(step for step in self.steps if step.name == name)

    def write(self, folder: Path) -> None:
        document = self.model_dump(mode="json")
        document["store"] = self._portable(self.store, folder)
        document["project"] = self._portable(self.project, folder) if self.project is not None else None
        document["roots"] = {name: self._portable(path, folder) for name, path in self.roots.items()}
        path = folder / "run.json"
        beside = folder / "run.json.new"
        beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)

    def _portable(self, path: Path, folder: Path) -> str:
        here, project = folder.resolve(), self.project
        if project is None or not (path.is_relative_to(project) and here.is_relative_to(project)):
            return str(path)
        return Path(os.path.relpath(path, here)).as_posix()

    @classmethod
    def read(cls, folder: Path, store: Path | None = None) -> RunRecord:
        """The record of a run directory, with the paths of today.

        Args:
            folder: the run directory.
            store: where the artifacts lie; by default the first place that has one of the run's among ``$FGIC_STORE``,
                the place that the record names, and ``.fgic/store`` in the folders above the run directory.

        Raises:
            StoreError: the folder is no run directory.
        """
        try:
            record = cls.model_validate_json(regular_file(folder / "run.json").read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            why = " ".join(str(part) for part in (*first["loc"], first["msg"]))
            raise StoreError(f"its run.json is not one that this fgic wrote: {why}", where=str(folder)) from None
        except OSError as error:
            raise StoreError(
                f"this is no run directory: its run.json cannot be read: {error.strerror}",
                where=str(folder),
                hint=which_run(folder),
            ) from None
        if record.status == "running" and not is_held(folder):
            record.status = "killed"
        record._find_itself(folder.resolve(), store)
        return record

    def _find_itself(self, folder: Path, store: Path | None) -> None:
        """Make the paths absolute, by where the run directory and its store are now."""
        recorded = _absolute(self.store, folder)
        self.store = store.resolve() if store is not None else self._find_store(recorded, folder)
        self.project = _absolute(self.project, folder) if self.project is not None else None
        for name, path in self.roots.items():
            root = _absolute(path, folder)
            inside = root.is_relative_to(recorded)  # pictures that a generator made
            self.roots[name] = self.store / root.relative_to(recorded) if inside else root
        for step in self.steps:
            step.folder = Store(self.store).folder(step.key)

    def _find_store(self, recorded: Path, folder: Path) -> Path:
        named = os.environ.get("FGIC_STORE")
        above = (parent / ".fgic" / "store" for parent in folder.parents)
        for place in (*([Path(named).resolve()] if named else []), recorded, *above):
            if any(Store(place).folder(step.key).is_dir() for step in self.steps):
                return place
        return recorded


def which_run(folder: Path) -> str:
    """Advice for who named a folder that is no run directory: the newest run beside it, or in it, where there is one.

    ``latest`` leads to the newest run that has ended; a first one that was killed has none.
    """
    if (folder / "study.json").is_file():
        return f"It is that of a study, whose runs lie below it: {folder / 'runs'}."
    for parent in (folder.parent, folder) if folder.name == "latest" else (folder,):
        found = sorted(file.parent for file in parent.glob("*/run.json") if not file.parent.is_symlink())
        if found:
            ended = "" if (parent / "latest").exists() else ", which did not come to its end"
            return f"The newest run there is {found[-1]}{ended}."
    return "Give a folder such as runs/<name>/latest."


def _absolute(path: Path, folder: Path) -> Path:
    return Path(os.path.normpath(folder / path))


#: The file in a run directory that is held while the run goes on.
_LOCK = "run.lock"


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the run directory while the run goes on.

    The operating system lets go of it if the process dies: a record that says "running" in a folder that nobody holds
    is that of a run that was killed.
    """
    from filelock import FileLock

    lock = FileLock(folder / _LOCK)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Whether the run of a run directory goes on, or the study of a study's folder; that of a study holds its runs'."""
    folder = folder.resolve()
    above = folder.parents[2] if len(folder.parents) > 2 else folder
    return _is_locked(folder) or ((above / "study.json").is_file() and _is_locked(above))


def _is_locked(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    if not (folder / _LOCK).exists():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):  # held, or in a place where nobody can tell
        return True
    lock.release()
    return False


def now() -> str:
    """The time as a record keeps it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions(packages: Mapping[str, str]) -> dict[str, str]:
    """Versions of the given packages (name to version) and of what they stand on, where installed."""
    from importlib import metadata

    found = dict(packages)
    for name in ("fgic", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow", "pyarrow", "scipy"):
        try:
            found.setdefault(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
