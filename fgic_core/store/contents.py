"""What an artifact's folder holds: its files, and the digest of what steps are given of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fgic_core.data.artifact import RECORD, FileRecord
from fgic_core.data.digest import digest_file, digest_of


def files_of(folder: Path) -> dict[str, FileRecord]:
    """Every file below an artifact's folder but its record, by path."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name != RECORD and file.is_file():
            found[name] = FileRecord(size=file.stat().st_size, digest=digest_file(file))
    return found


def forget_places(folder: Path) -> None:
    """Take absolute paths out of a data set's header: an artifact may be moved, and so may the pictures it names.

    Where they lie is told by who opens it (``roots`` of `fgic_core.data.dataset.Dataset.open`).
    """
    file = folder / "dataset.json"
    header = json.loads(file.read_text(encoding="utf-8"))
    header["roots"] = {
        name: path if path is not None and not Path(path).is_absolute() else None
        for name, path in header["roots"].items()
    }
    file.write_text(json.dumps(header, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def content_of(folder: Path, kind: str, files: Mapping[str, FileRecord]) -> str:
    """The digest of what steps are given of an artifact.

    A data set counts by its rows and not by where their pictures lie; others by all of their files.
    """
    if kind == "dataset":
        header = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        return digest_of({name: value for name, value in header.items() if name not in ("format", "roots")})
    return digest_of({name: file.digest for name, file in files.items()})


def damages(folder: Path, files: Mapping[str, FileRecord], digest: Callable[[Path], str] = digest_file) -> list[str]:
    """The files of an artifact that are missing or are not what they were, each with what is wrong.

    Args:
        folder: the artifact.
        files: as its record has them.
        digest: how the content of a file is known; it may be remembered.
    """
    found = []
    for name, file in files.items():
        place = folder / name
        try:
            if os.stat(place).st_size != file.size:
                found.append(f"{name} has another size")
            elif digest(place) != file.digest:
                found.append(f"{name} has another content")
        except OSError:
            found.append(f"{name} is missing")
    return found
