"""The run directory: where it is, what is written into it beside the record, and that the record is never left open."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, Interrupted
from fgic_core.run.events import words_of
from fgic_core.spec import Spec
from fgic_core.store.record import RunRecord, now


def new_folder(parent: Path) -> Path:
    """Make a run directory, named by the time.

    Raises:
        FgicError: none can be made there.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise FgicError(
                f"no run directory can be made: {error.strerror}",
                where=str(parent),
                hint="Choose another folder with --runs.",
            ) from None
        return folder.resolve()
    raise FgicError("too many runs in one second", where=str(parent))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says of an OSError that the run directory could not be written; those of steps never come so far."""
    try:
        yield
    except OSError as error:
        raise FgicError(
            f"the run directory cannot be written: {error.strerror or error}",
            where=str(folder),
            hint="What the finished steps gave is in the store. Choose another folder with --runs and run again.",
        ) from error


@contextmanager
def whole(record: RunRecord, folder: Path) -> Iterator[None]:
    """Whatever ends the run, its record says that it ended.

    Raises:
        RuntimeError: something ended the program that had no right to, such as sys.exit() in a plugin.
    """
    try:
        yield
    except BaseException as error:
        if not record.finished:
            record.finished = now()
            record.status = "interrupted" if isinstance(error, (KeyboardInterrupt, Interrupted)) else "failed"
            for step in record.steps:
                if step.status == "running":
                    step.status, step.error = "failed", words_of(error)
            skip_the_rest(record)
            with suppress(Exception):
                record.write(folder)
        if isinstance(error, (Exception, KeyboardInterrupt)):
            raise
        raise RuntimeError(f"the run was ended in the middle by {words_of(error)}") from error


def skip_the_rest(record: RunRecord) -> None:
    """Say of the steps that were not begun or not finished that they were not."""
    for step in record.steps:
        if step.status in ("waiting", "running"):
            step.status, step.reason = "skipped", "the run was stopped before it"


def require_text(spec: Spec, store: Path, runs: Path) -> None:
    """Raises FgicError where a path that a record would hold cannot be written in UTF-8, as every record is."""
    places: list[tuple[str, Any]] = [("the store", store), ("the run directory", runs)]
    if spec.path is not None:
        places.append(("the spec", spec.path))
    for step in spec.steps:
        places += [(f"option {name} of step {step.name}", value) for name, value in step.described.options.items()]
    for what, value in places:
        for text in _texts(value):
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise FgicError(
                    f"the path of {what} has bytes that are no UTF-8",
                    where=text.encode("utf-8", "backslashreplace").decode(),
                    hint="Rename the folder; records are JSON, which has no such text.",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Path):
        yield str(value.resolve())  # (a link may lead to such a place)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts(item)


def point_latest(folder: Path) -> None:
    """Make ``latest`` beside a run directory lead to it."""
    beside = folder.parent / f".latest-{os.getpid()}"
    try:
        beside.symlink_to(folder.name, target_is_directory=True)
        beside.replace(folder.parent / "latest")
    except OSError:  # a file system without links: `latest` is a convenience
        beside.unlink(missing_ok=True)


def write_metrics(folder: Path, record: RunRecord) -> None:
    """Write the numbers of every step into ``metrics.json``."""
    found = {}
    for step in record.steps:
        if step.status in ("reused", "computed"):
            artifact = ArtifactRecord.read(step.folder)
            found[step.name] = [metric.model_dump(exclude_defaults=True) for metric in artifact.metrics]
    (folder / "metrics.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
