"""What of a report the artifacts alone decide: kept in the store, so that a run that computed nothing draws nothing."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from fgic_core.report.view import RunView

#: What takes part in drawing, beside the sources of fgic.
_PACKAGES = ("jinja2", "matplotlib", "numpy", "pillow", "pyarrow", "scipy")


@dataclass(frozen=True)
class Drawn:
    """A page without what is the run's own: its time, its command, the state of each step.

    Attributes:
        headline: one sentence, as text.
        summary: the key numbers and the warnings, as HTML.
        sections: HTML, with a mark for each step's state.
        titles: anchor and title of each section.
        figures: the text of each SVG file, by name.
        faults: what kinds failed to show, each with its step; where there are any, nothing is kept.
    """

    headline: str
    summary: str
    sections: str
    titles: tuple[tuple[str, str], ...]
    figures: dict[str, str]
    faults: tuple[str, ...] = ()


def key_of(run: RunView) -> str | None:
    """The digest of everything that decides what is drawn; None where it is not decided by artifacts alone."""
    whole = run.record.status == "finished" and all(step.artifact is not None for step in run.steps)
    if not whole:
        return None
    try:
        steps = [
            (step.name, step.record.uses, step.record.key, step.record.inputs, _content(step.folder))
            for step in run.steps
        ]
    except OSError:
        return None
    roots = {name: str(path) for name, path in run.record.roots.items()}
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return hashlib.blake2b(json.dumps([_sources(run), versions, roots, steps]).encode(), digest_size=16).hexdigest()


def _content(folder: Path) -> list[object]:
    """The digest of an artifact's record, and how each of its files was last written."""
    record = hashlib.blake2b((folder / "artifact.json").read_bytes(), digest_size=16).hexdigest()
    files = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            about = os.stat(os.path.join(place, name))
            files.append((os.path.relpath(os.path.join(place, name), folder), about.st_size, about.st_mtime_ns))
    return [record, files]


def _sources(run: RunView) -> str:
    """The digest of the sources of fgic, and of the packages that its steps' kinds are from."""
    digest = hashlib.blake2b(digest_size=16)
    for home in [Path(__file__).parents[1], *_homes(run)]:
        for file in sorted(file for file in home.rglob("*") if file.suffix in (".py", ".j2", ".css")):
            digest.update(f"{home.name}/{file.relative_to(home).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _homes(run: RunView) -> list[Path]:
    """The folders of the packages that kinds from elsewhere take their sections from."""
    rows = [step.row for step in run.steps]
    modules = {name for row in rows if row is not None for name in (row.section, row.head) if name}
    tops = sorted({name.partition(".")[0] for name in modules} - {"fgic_core"})
    found = [spec.origin for top in tops if (spec := find_spec(top)) is not None and spec.origin is not None]
    return [Path(origin).parent for origin in found]


def read(run: RunView, key: str) -> Drawn | None:
    """What was kept under the key; None where there is nothing, or not what was written."""
    try:
        head, _, text = _place(run).read_bytes().partition(b"\n")
        if head.decode() != f"{key} {hashlib.blake2b(text, digest_size=16).hexdigest()}":
            return None
        document = json.loads(text)
        return Drawn(**{**document, "titles": tuple(map(tuple, document["titles"]))})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(run: RunView, key: str, drawn: Drawn) -> None:
    """Keep it for the next run of the spec; a store that can only be read goes without."""
    text = json.dumps(asdict(drawn), ensure_ascii=False).encode("utf-8", "backslashreplace")
    place = _place(run)
    beside = place.with_name(f"{place.name}.{run.folder.name}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(f"{key} {hashlib.blake2b(text, digest_size=16).hexdigest()}\n".encode() + text)
        beside.replace(place)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _place(run: RunView) -> Path:
    """One file for all runs of a name: what a study of many variants leaves does not pile up."""
    return run.record.store / "reports" / f"{run.record.name}.page"
