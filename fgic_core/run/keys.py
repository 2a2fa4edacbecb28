"""What decides a step's output, and the digest of it that names the artifact."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fgic_core.data.digest import digest_of
from fgic_core.kinds.component import Component, use_only
from fgic_core.kinds.table import KINDS
from fgic_core.nested import entry_of, nested
from fgic_core.registry import Entry
from fgic_core.run.fingerprints import Fingerprints
from fgic_core.run.memory import Memory, default_memory
from fgic_core.run.notebook import reached_by_class
from fgic_core.run.packages import declared, normalised, version_of, versions_of_modules
from fgic_core.run.sources import Reached, Sources, locate

#: What a key is of: learning, doing with what was learned (or all there is to do), or cutting what is learned from.
Node = Literal["fit", "use", "cut"]
#: Raised whenever the meaning of a key or of an artifact's files changes.
KEY_FORMAT = 4


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """Everything that decides what a step gives: no path, no time, nothing of this machine.

    Attributes:
        content: plain data; its digest is the key.
        untraced: why the output cannot be known to be the same another time, if it cannot.
        unread: folders whose pictures have to be read before the key is known.
    """

    content: Mapping[str, Any]
    untraced: tuple[str, ...] = ()
    unread: frozenset[Path] = frozenset()

    @property
    def key(self) -> str:
        return key_of(self.content)

    @property
    def settled(self) -> bool:
        """Whether the key is one of content: everything that it stands on is known.

        Options have no say in it, whatever they hold: a text may look like the mark of something that is not known.
        """
        return not self.unread and not _is_provisional(list(self.content["inputs"].values()))


class Keys:
    """Works out key documents. One object lives as long as one plan: every file is looked at once in it.

    Args:
        memory: where digests are remembered; the user's by default.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory if memory is not None else default_memory()
        self.fingerprints = Fingerprints(self.memory)
        self._sources = Sources(self.memory)

    def document(
        self, entry: Entry, component: Component, seed: int, inputs: Mapping[str, Any], node: Node = "use"
    ) -> KeyDocument:
        """The key document of a step, or of what it learns.

        Args:
            entry: the component's declaration.
            component: its options; what lies at paths counts by content.
            seed: the step's seed, which counts where the component draws.
            inputs: what each port is given: digests of content.
            node: `fit` for what is learned, on which use-only options have no part; `cut` for what is given to learn
                from.
        """
        left_out = use_only(type(component)) if node == "fit" else frozenset()
        parts = {where: one for where, one in nested(component).items() if option_of(where) not in left_out}
        options, doubts, unread = self._options(component, [component, *parts.values()], left_out)
        package, own, more = self._packages(entry, component, parts)
        kind = KINDS[component.kind]
        driver = self._sources.reached(kind.driver if node == "use" else kind.fit)
        packages = [entry.package, *(entry_of(one).package for one in parts.values())]
        stands_on = versions_of_modules({*driver.packages, *own}, self.memory)
        for name in packages:
            stands_on |= declared(name)
        named = {*map(normalised, packages), "fgic"}
        content = {
            "format": KEY_FORMAT,
            "node": node,
            "core": driver.digest,
            "uses": entry.uses,
            "package": package,
            "stands_on": {name: version for name, version in sorted(stands_on.items()) if name not in named},
            "options": options,
            "seed": seed if any(one.draws() for one in (component, *parts.values())) else None,
            "inputs": dict(inputs),
        }
        return KeyDocument(content, (*doubts, *more), unread)

    def _options(
        self, component: Component, reading: list[Component], left_out: frozenset[str]
    ) -> tuple[dict[str, Any], list[str], frozenset[Path]]:
        """The options, with fingerprints of what lies at paths; why they may not tell everything; what is not read yet.

        Args:
            component: whose options.
            reading: it, and what its options name: either may read more than options say.
            left_out: options that do not count.
        """
        asked: set[Path] = set()

        def fingerprint(path: Path) -> str:
            asked.add(path)
            return self.fingerprints(path)

        dumped = component.model_dump(mode="python", exclude=set(left_out), context={"fingerprint": fingerprint})
        doubts: list[str] = []
        options = {name: _plain(value, name, doubts) for name, value in dumped.items()}
        read = [fingerprint(path) for one in reading for path in one.reads()]
        doubts += [reason for one in reading for reason in one.untraced()]
        unread = frozenset(asked & self.fingerprints.unread)
        return (options | {"(reads)": read} if read else options), doubts, unread

    def _packages(
        self, entry: Entry, component: Component, parts: Mapping[str, Component]
    ) -> tuple[dict[str, Any], set[str], list[str]]:
        """As `_package`, with those of what options name ``within``; top-level names of what all of them import."""
        about, reached, doubts = self._package(entry, type(component))
        package, imported = dict[str, Any](about), set(reached.packages)
        for where, one in parts.items():
            told, found, more = self._package(entry_of(one), type(one))
            package.setdefault("within", {})[where] = told
            imported |= {*found.packages}
            doubts += [f"{entry_of(one).uses} in {where}: {doubt}" for doubt in more]
        return package, imported, doubts

    def _package(self, entry: Entry, component: type[Component]) -> tuple[dict[str, str], Reached, list[str]]:
        """The component's package with its version, and what its own sources reach where they may be edited."""
        version, module = version_of(entry.package), component.__module__
        reached = reached_by_class(component, self._sources)
        entered = entry.target.partition(":")[0]  # a class may be made elsewhere than where it is declared
        if entered != module and locate(entered, True) is not None:
            more = self._sources.reached(entered)
            packages = tuple(sorted({*reached.packages, *more.packages}))
            untraced, missing = reached.untraced + more.untraced, reached.missing + more.missing
            digest, files = digest_of([reached.digest, more.digest]), reached.unknown_files + more.unknown_files
            reached = Reached(digest, packages, untraced, missing, files)
        doubts = [f"what it imports is not known before it runs ({place})" for place in reached.untraced[:1]]
        doubts += [f"which files it opens is not known before it runs ({place})" for place in reached.unknown_files[:1]]
        doubts += [f"it imports {module}, which is not found" for module in reached.missing[:1]]
        return {"name": entry.package, "version": version or entry.version, "sources": reached.digest}, reached, doubts


def key_of(document: Mapping[str, Any]) -> str:
    """The BLAKE2b-128 digest of a key document, 32 hexadecimal digits."""
    return digest_of(document)


#: How an input begins whose content is not known yet: the key of what will make it follows.
PROVISIONAL = "provisional:"


def option_of(where: str) -> str:
    """The option that a place of `fgic_core.nested.nested` lies in."""
    return re.split(r"[.\[]", where, maxsplit=1)[0]


def _is_provisional(value: Any) -> bool:
    """Whether what is given to ports holds such an input. (They are digests and nothing that a user wrote.)"""
    if isinstance(value, (list, dict)):
        return any(map(_is_provisional, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and value.startswith(PROVISIONAL)


def _plain(value: Any, where: str, doubts: list[str]) -> Any:
    """An option's value as JSON has it; what it cannot hold is a doubt."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one, f"{where}.{name}", doubts) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, where, doubts) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(one, where, doubts) for one in value), key=repr)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        doubts.append(f"what lies at the option {where} is not looked at: its type is Path, not InputFile")
        return str(value)
    try:
        from pydantic_core import to_jsonable_python

        return to_jsonable_python(value)
    except Exception:
        doubts.append(f"the option {where} holds a {type(value).__name__}, which has no content that can be compared")
        return repr(type(value))
