"""Which sources decide what a module does: those that it imports, near and far, as far as they are not installed.

A module counts by its syntax tree without docstrings and comments. Installed packages count by their versions, which
is for `fgic_core.plan.keys` to look up. Everything is found by reading, nothing is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from fgic_core.data.digest import digest_of
from fgic_core.loaded import before, note
from fgic_core.plan.beside import Beside, counts, is_of_report
from fgic_core.plan.modules import compiled, forget, homes, is_missing, is_standard, locate, public_home
from fgic_core.plan.syntax import CORE, LAZY, Parsed, parse
from fgic_core.plan.walk import File, walk
from fgic_core.store.memory import Memory, Stat

#: A module, and the names that are taken from it.
_Import = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reached:
    """What a module stands on.

    Attributes:
        digest: of all own sources that it reaches, itself among them.
        packages: top-level names of the installed packages that these import.
        untraced: places where something is imported that cannot be known by reading: ``file:line``.
        missing: modules that have to be there and are not found, each with where it is imported: ``name (file:line)``.
        unknown_files: places where files are opened that cannot be known by reading: ``file:line``.
        texts: the digest of these sources as they are written, docstrings and comments among them, the core's left out.
        newest: when one of them, or of the files beside them, was last changed, in nanoseconds.
        outdated: files of which this process has imported another source than they have now.
        looks_around: whether one of these sources, the core's left out, looks at the environment when it is imported.
        core: the digest of those of the core among them.
        patched: of a class, what a notebook has put into it, which no other process has.
    """

    digest: str
    packages: tuple[str, ...]
    untraced: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unknown_files: tuple[str, ...] = ()
    texts: str = ""
    newest: int = 0
    outdated: tuple[str, ...] = ()
    looks_around: bool = False
    core: str = ""
    patched: tuple[str, ...] = ()


class Sources:
    """Follows imports. Files are parsed once for each stat that they have."""

    def __init__(self, memory: Memory) -> None:
        forget()  # a notebook may have got a module since
        note(everything=True)
        self._memory = memory
        self._parsed: dict[str, Parsed] = {}
        self._reached: dict[tuple[str, ...], Reached] = {}
        self._changed: dict[str, int] = {}
        self._looked: list[str] = []

    def reached(self, *modules: str) -> Reached:
        """What modules stand on, together."""
        found = self._reached.get(modules)
        if found is None:
            found = self._reached[modules] = self._follow(modules)
        return found

    def _follow(self, modules: Sequence[str]) -> Reached:
        waiting: list[_Import] = [(name, ()) for name in modules]
        own_tops = {name.partition(".")[0] for name in modules}  # wherever they lie
        seen: set[_Import] = set()
        digests: dict[str, str] = {}
        texts: dict[str, str] = {}
        packages: set[str] = set()
        untraced: list[str] = []
        needed: dict[str, str] = {}
        outdated: list[str] = []
        looks_around = False
        inits: list[tuple[str, Path]] = []
        beside = Beside(locate)
        self._looked = []
        while waiting:
            name, taken = asked = waiting.pop()
            if asked in seen:
                continue
            seen.add(asked)
            top = name.partition(".")[0]
            place = locate(name, top in own_tops)
            if place is None:
                packages |= set() if is_standard(top) else {top}
                digests |= self._compiled(top)
                continue
            if place.is_dir():  # a namespace package has no code of its own
                waiting += [(f"{name}.{one}", ()) for one in taken]
                continue
            parsed = self._parse(name, place)
            elsewhere, own = self._taken(name, place, taken, parsed, top in own_tops)
            waiting += elsewhere
            if name in digests or not own:
                continue
            digests[name] = parsed.digest
            outdated += [str(place)] if _is_outdated(name, place, parsed) else []
            waiting += [(module, tuple(names)) for module, names in parsed.imports]
            if name.partition(".")[0] != CORE:  # of the core a test sees that no driver imports by a name it works out
                untraced += [f"{place.name}:{line}" for line in parsed.untraced]
                needed |= {module: f"{place.name}:{line}" for module, line in parsed.needed.items()}
                texts[name] = self._content(place)
                looks_around |= parsed.looks_around
                digests |= self._named(name, place, parsed)
                inits += [(name, place)] if place.name == "__init__.py" else []
                beside.add(name, place, parsed, own_tops)
                parent = name.rpartition(".")[0]
                waiting += [(parent, ())] if parent and locate(parent, top in own_tops) is not None else []
        missing = tuple(f"{name} ({where})" for name, where in sorted(needed.items()) if name and is_missing(name))
        for name, place in inits:
            digests |= self._beside(name, place, beside.read)
        for label, file in beside.files.items():
            digests[label] = self._content(file)
        for label, folder in beside.folders.items():
            digests |= self._folder(label, folder, lambda file: counts(file) and Path(file.path) not in beside.read)
        doubts = (tuple(untraced), missing, tuple(beside.unknown))
        return Reached(
            digest_of(digests),
            tuple(sorted(packages)),
            *doubts,
            texts=digest_of(texts),
            newest=self._newest(),
            outdated=tuple(outdated),
            looks_around=looks_around,
            core=digest_of({name: one for name, one in digests.items() if name.partition(".")[0] == CORE}),
        )

    def _newest(self) -> int:
        """When what was looked at last was changed."""
        return max((self._changed.get(place, 0) for place in self._looked), default=0)

    def _look(self, place: str, *stats: Stat) -> None:
        """Take note that this file, or folder with files, has a say in what is followed."""
        self._changed[place] = max((max(stat.mtime_ns, stat.ctime_ns) for stat in stats), default=0)
        self._looked.append(place)

    @staticmethod
    def _taken(
        name: str, place: Path, taken: Sequence[str], parsed: Parsed, anywhere: bool
    ) -> tuple[list[_Import], bool]:
        """Where names that are taken from a module come from, and whether the module itself counts."""
        if place.name != "__init__.py":
            return [], True
        elsewhere: list[_Import] = []
        left = []
        for one in taken:
            if parsed.names.get(one, (name, one)) != (name, one):  # else a package takes a module of its own
                module, there = parsed.names[one]
                elsewhere.append((module, (there,)))
            elif locate(f"{name}.{one}", anywhere) is not None:
                elsewhere.append((f"{name}.{one}", ()))
            else:
                left.append(one)
        if name in LAZY and name != CORE and not taken:  # as a whole, to take names of it later
            return [(home, ()) for home in homes(name)], False
        if name in LAZY:
            return elsewhere + [(home, ()) for one in left if (home := public_home(one, name)) is not None], False
        # A package of the core whose names all come from elsewhere adds nothing of its own.
        return elsewhere, bool(left) or name.partition(".")[0] != CORE

    def _parse(self, name: str, file: Path) -> Parsed:
        place = str(file)
        if (parsed := self._parsed.get(place)) is not None:
            self._looked.append(place)
            return parsed
        try:
            stat = Stat.of(file)
            self._look(place, stat)
            told = self._memory.get("source 3", place, f"{stat} {name}")
            parsed = Parsed(**json.loads(told)) if told is not None else None
            if parsed is None:
                parsed = parse(file.read_bytes(), name, is_package=file.name == "__init__.py")
                if stat.is_settled():
                    self._memory.put("source 3", place, f"{stat} {name}", json.dumps(vars(parsed)))
        except (OSError, SyntaxError, ValueError):  # whoever imports it says what is wrong
            parsed = Parsed("unreadable", untraced=[0])
        self._parsed[place] = parsed
        return parsed

    def _named(self, name: str, place: Path, parsed: Parsed) -> dict[str, str]:
        """Files beside a module that its source names."""
        found = {}
        for text in parsed.files:
            file = place.parent / text
            try:
                if file.is_file() and file != place:
                    found[f"{name}:{text}"] = self._content(file)
            except OSError:
                found[f"{name}:{text}"] = "unreadable"
        return found

    def _beside(self, name: str, place: Path, followed: AbstractSet[Path]) -> dict[str, str]:
        """What lies beside a package's modules, behind links too, and is no Python: tables, templates, sources in C."""
        return self._folder(
            f"{name}/",
            place.parent,
            lambda file: counts(file) and not file.name.endswith(".py") and not is_of_report(Path(file.path), followed),
        )

    def _folder(self, label: str, folder: Path, which: Callable[[File], bool]) -> dict[str, str]:
        """Files below a folder by their content, under a name for all of them; nothing where there are none."""
        files = sorted(filter(which, walk(str(folder))))
        if not files:
            return {}
        self._look(f"{folder}/", *(file.stat for file in files if file.stat is not None))
        listing = digest_of([f"{file.name}\0{file.stat or file.leads}" for file in files])
        told = self._memory.get("beside", str(folder), listing)
        if told is None:
            told = digest_of({file.name: file.leads or self._content(Path(file.path)) for file in files})
            if all(file.stat is None or file.stat.is_settled() for file in files):
                self._memory.put("beside", str(folder), listing, told)
        return {label: told}

    def _compiled(self, top: str) -> dict[str, str]:
        """A module that is one file and no Python, where no version tells what is in it."""
        place = compiled(top)
        return {top: self._content(place)} if place is not None else {}

    def _content(self, file: Path) -> str:
        try:
            self._look(str(file), Stat.of(file))
            return self._memory.digest(file)
        except OSError:
            return "unreadable"


def _is_outdated(name: str, file: Path, parsed: Parsed) -> bool:
    """Whether this process has imported a module from a source that does something else than its file does now."""
    if (was := before(name, file)) is None:
        return False
    try:
        return parse(was, name, is_package=file.name == "__init__.py").digest != parsed.digest
    except (SyntaxError, ValueError):
        return True
