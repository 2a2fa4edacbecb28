"""What decides a step's output, and the digest of it that names the artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fgic_core.data.digest import digest_bytes, digest_of, json_of
from fgic_core.description import Described, Recipe
from fgic_core.description.manifest import Identity
from fgic_core.kinds.table import KINDS
from fgic_core.plan.fingerprints import Fingerprints
from fgic_core.plan.identities import Identities
from fgic_core.plan.packages import normalised, versions_of_modules
from fgic_core.plan.rows import check_row
from fgic_core.plan.sources import Reached, Sources
from fgic_core.store.memory import Memory, default_memory

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
        key: the digest of the content.
    """

    content: Mapping[str, Any]
    untraced: tuple[str, ...]
    unread: frozenset[Path]
    key: str

    @property
    def settled(self) -> bool:
        """Whether the key is one of content: everything that it stands on is known.

        Options have no say in it, whatever they hold: a text may look like the mark of something that is not known.
        """
        return not self.unread and not _is_provisional(list(self.content["inputs"].values()))


@dataclass(frozen=True, slots=True)
class _About:
    """What a key document has of a component, which is kept so that its identity stays its own."""

    described: Described
    content: Mapping[str, Any]
    draws: bool
    untraced: tuple[str, ...]
    unread: frozenset[Path]
    texts: tuple[str, str, str, str]

    def key(self, content: Mapping[str, Any]) -> str:
        """What `key_of` gives of the whole document, of which most is the same in many runs and is written once."""
        streams = f',"streams":{json_of(content["streams"])}' if "streams" in content else ""
        inputs, seed = json_of(content["inputs"]), json_of(content["seed"])
        first, second, third, last = self.texts
        return digest_bytes(f"{first}{inputs}{second}{seed}{third}{streams}{last}".encode())


def _texts(content: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """The JSON of a document, in the order of its keys, before and after ``inputs``, ``seed`` and ``streams``."""
    parts: list[str] = []
    whole = "{"
    for name in sorted([*content, "inputs", "seed", "streams"]):
        if name != "streams":
            whole += f'{"," if len(whole) > 1 or parts else ""}"{name}":'
        if name in content:
            whole += json_of(content[name])
        else:
            parts.append(whole)
            whole = ""
    first, second, third = parts
    return first, second, third, f"{whole}}}"


#: What every node is handed, and what is handed for artifacts of the core's types: no import of a driver shows it.
_CONTEXT = ("fgic_core.steps.context",)
_OPENED_BY = {"dataset": "fgic_core.data.dataset", "model": "fgic_core.kinds.classifier.model"}


class Keys:
    """Works out key documents. One object lives as long as one plan: every file is looked at once in it.

    Args:
        memory: where digests are remembered; the user's by default.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory if memory is not None else default_memory()
        self.fingerprints = Fingerprints(self.memory)
        self.sources = Sources(self.memory)
        self.identities = Identities(self.memory, self.sources)
        self._known: dict[tuple[int, Node], _About] = {}
        self._checked: set[str] = set()

    def document(
        self,
        described: Described,
        seed: int,
        inputs: Mapping[str, Any],
        node: Node = "use",
        streams: Mapping[str, int] | None = None,
    ) -> KeyDocument:
        """The key document of a step, or of what it learns.

        Args:
            described: the component with its options; what lies at paths counts by content.
            seed: the step's seed, which counts where the component draws.
            inputs: what each port is given: digests of content.
            node: `fit` for what is learned, on which use-only options have no part; `cut` for what is given to learn
                from.
            streams: see `fgic_core.spec.SpecStep`; they count like the seed, and only where there are any.
        """
        about = self._known.get((id(described), node))
        if about is None:
            about = self._about(described, node)
            if not about.unread:  # which is another one once these are read
                self._known[id(described), node] = about
        content = {
            **about.content,
            "seed": seed if about.draws else None,
            "inputs": dict(inputs),
        }
        if streams and content["seed"] is not None:
            content["streams"] = dict(sorted(streams.items()))
        return KeyDocument(content, about.untraced, about.unread, about.key(content))

    def _about(self, described: Described, node: Node) -> _About:
        """What a key document has of a component, whatever its seed and its inputs."""
        left_out = described.manifest.use_only if node == "fit" else frozenset()
        parts = {where: one for where, one in described.named.items() if option_of(where) not in left_out}
        options, doubts, unread = self._options(described, [described, *parts.values()], left_out)
        driver = self._driver(described, node)
        own = self.identities.of(described.manifest)
        within = {where: self.identities.of(one.manifest) for where, one in parts.items()}
        stands_on = versions_of_modules(driver.packages, self.memory)
        for one in (own, *within.values()):
            stands_on |= one.stands_on
        doubts += own.doubts
        for where, one in within.items():
            doubts += [f"{parts[where].manifest.entry.uses} in {where}: {doubt}" for doubt in one.doubts]
        named = {*(normalised(one.name) for one in (own, *within.values())), "fgic"}
        package = _package(own) | (
            {"within": {where: _package(one) for where, one in within.items()}} if within else {}
        )
        kind = KINDS[described.kind]
        content = {
            "format": KEY_FORMAT,
            "node": node,
            "core": driver.digest,
            "uses": described.uses,
            "package": package,
            "stands_on": {name: version for name, version in sorted(stands_on.items()) if name not in named},
            "options": options,
        }
        if kind.package != "fgic":  # what changed is to be told apart
            content["kind"] = {"package": kind.package, "fgic": driver.core}
        draws = any(one.draws for one in (described, *parts.values()))
        return _About(described, content, draws, tuple(doubts), unread, _texts(content))

    def _driver(self, described: Described, node: Node) -> Reached:
        """What the code stands on by which the core drives a component."""
        kind = KINDS[described.kind]
        if kind.name not in self._checked:
            check_row(kind)
            self._checked.add(kind.name)
        handed = [module for port in described.manifest.ports.values() for module in _opened_by(port.type)]
        return self.sources.reached(kind.driver if node == "use" else kind.fit, *_CONTEXT, *sorted({*handed}))

    def outdated(self, described: Described) -> list[str]:
        """The files that a step stands on of which this process has imported another source than they have now.

        What is computed in this process would not be what the key says. Another Python, which describes what lives
        there, imports what there is.
        """
        nodes: list[Node] = ["fit", "use"] if described.learns else ["use"]
        found = [file for node in nodes for file in self._driver(described, node).outdated]
        for one in described.recipes:
            if one.manifest.identity is None:
                found += self.identities.look(one.manifest).outdated
        return list(dict.fromkeys(found))

    def patched(self, described: Described) -> list[str]:
        """What a notebook has put into classes that a step stands on: no other process computes with it."""
        found = [one.manifest for one in described.recipes if one.manifest.identity is None]
        return [what for manifest in found for what in self.identities.look(manifest).patched]

    def _options(
        self, described: Described, reading: list[Recipe], left_out: frozenset[str]
    ) -> tuple[dict[str, Any], list[str], frozenset[Path]]:
        """The options, with fingerprints of what lies at paths; why they may not tell everything; what is not read yet.

        Args:
            described: whose options.
            reading: it, and what its options name: either may read more than options say.
            left_out: options that do not count.
        """
        asked: set[Path] = set()

        def fingerprint(path: Path) -> str:
            asked.add(path)
            return self.fingerprints(path)

        def filled(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {filled(name): filled(one) for name, one in value.items()}
            if isinstance(value, list):
                if value and value[0] == described.unordered:
                    return sorted((filled(one) for one in value[1:]), key=repr)
                return [filled(one) for one in value]
            path = described.files.get(value) if isinstance(value, str) else None
            return value if path is None else fingerprint(path)

        counted = {name: value for name, value in described.counted.items() if name not in left_out}
        options = {name: filled(value) for name, value in counted.items()}
        read = [fingerprint(path) for one in reading for path in one.reads]
        doubts = [doubt for name in counted for doubt in described.doubts.get(name, ())]
        doubts += [reason for one in reading for reason in one.untraced]
        unread = frozenset(asked & self.fingerprints.unread)
        return (options | {"(reads)": read} if read else options), doubts, unread


def _package(identity: Identity) -> dict[str, Any]:
    return {"name": identity.name, "version": identity.version, "sources": identity.sources}


def _opened_by(type_: str) -> list[str]:
    """The modules that make what a component is given of such an artifact."""
    if type_ in _OPENED_BY:
        return [_OPENED_BY[type_]]
    row = KINDS.type(type_)
    return [row.open.partition(":")[0]] if row is not None and row.open else []


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
