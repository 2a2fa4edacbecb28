"""Files that lie beside sources and that these may read: what of them counts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from fgic_core.plan.walk import File

if TYPE_CHECKING:
    from fgic_core.plan.syntax import Parsed

#: What no code reads unless it names it.
_TOLD = re.compile(
    r"(^|/)((README|LICENSE|LICENCE|COPYING|NOTICE|CHANGELOG)(\.\w+)?$|py\.typed$|tests?/)", re.IGNORECASE
)


class Beside:
    """What sources open of what lies beside them.

    Attributes:
        files: single files, by a name for each.
        folders: folders of which every file counts, the sources that nobody imports among them, by a name for each.
        read: the sources that count as such.
        unknown: places where it cannot be known: ``file:line``.

    Args:
        locate: finds the file of a module, as `fgic_core.plan.modules.locate`.
    """

    def __init__(self, locate: Callable[[str, bool], Path | None]) -> None:
        self._locate = locate
        self.files: dict[str, Path] = {}
        self.folders: dict[str, Path] = {}
        self.read: set[Path] = set()
        self.unknown: list[str] = []

    def add(self, name: str, place: Path, parsed: Parsed, own_tops: set[str]) -> None:
        """Take a module into account: its full name, its file, what it says, and what counts wherever it lies."""
        self.read.add(place)
        package, top = _package_of(place)
        if package is not None and parsed.opened:  # it may read any of its files
            self.folders[f"{name.partition('.')[0]}:{top}/"] = package
        for text, line in parsed.opened:
            path = Path(os.path.normpath(place.parent / text))
            if path != place and path.is_file():
                self.files[f"{name}:{text}"] = path
            elif package is not None and path.is_relative_to(package):
                continue
            elif path.is_dir() and not place.is_relative_to(path):
                self.folders[f"{name}:{text}/"] = path
            elif path != place:
                self.unknown.append(f"{place.name}:{line}")
        for asked, line in parsed.resources:
            found = self._locate(asked, asked.partition(".")[0] in own_tops) if asked else None
            if not asked:
                self.unknown.append(f"{place.name}:{line}")
            elif found is not None and (found.is_dir() or _package_of(found)[0] is not None):
                self.folders[f"{asked}:/"] = found if found.is_dir() else found.parent
            elif found is not None:
                self.unknown.append(f"{place.name}:{line}")


def _package_of(place: Path) -> tuple[Path | None, str]:
    """The folder of the outermost package that a source lies in, and its name; none where it lies in none."""
    folder = None
    while (place.parent / "__init__.py").is_file():
        folder = place = place.parent
    return folder, folder.name if folder is not None else ""


def counts(file: File) -> bool:
    """Whether a file in a package is one that its code may read, and not of those that tell people about it."""
    return not file.name.endswith(".pyc") and _TOLD.search(file.name) is None


def is_of_report(file: Path, followed: AbstractSet[Path]) -> bool:
    """Whether a file is a template of a kind's section, which decides what a page shows and nothing that a step gives.

    It is one where a module beside it names it that takes part in the report alone: it imports `fgic_core.report`, and
    nothing that is computed reaches it. (What is computed may name the file all the same, or open what lies beside it:
    then it counts as what it names or opens.)

    Args:
        file: beside a source; followed: the sources that what is computed reaches.
    """
    if not file.name.endswith(".html.j2"):
        return False
    return any(_draws(source, file.name) for source in file.parent.glob("*.py") if source not in followed)


def _draws(source: Path, template: str) -> bool:
    try:
        text = source.read_bytes()
    except OSError:
        return False
    return template.encode() in text and re.search(rb"^\s*(from|import)\s+fgic_core\.report\b", text, re.M) is not None
