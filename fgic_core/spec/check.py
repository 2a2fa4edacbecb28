"""Checks a spec's document: keys, names, components, options and wiring, before anything is said of any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fgic_core.data.streams import STREAMS
from fgic_core.description import Answer, Describer, Here, Manifest, Request
from fgic_core.description.words import in_words
from fgic_core.errors import PluginError
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Registry, published
from fgic_core.spec.arms import Expansion
from fgic_core.spec.block import Reader, set_in_vain
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Place, Problem, SpecError, did_you_mean, misspelt, once
from fgic_core.spec.model import VERSION, Spec, SpecStep
from fgic_core.spec.named import NamedReader
from fgic_core.spec.options import Options
from fgic_core.spec.overrides import STEP, TOP, assign, completed
from fgic_core.spec.problems import Places, filled
from fgic_core.spec.wiring import Found, Wired, wire

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
#: What a spec looks like.
EXAMPLE = "A spec has version, name, seed and steps, such as\nversion: 1\nsteps:\n  birds: {uses: kind/name}"


@dataclass
class _Step:
    """A step half checked."""

    wired: Wired
    options: Options | None
    seed: int
    seeded: bool = False
    streams: Mapping[str, int] = field(default_factory=dict)


class Check:
    """Checks one document and collects the problems."""

    def __init__(self, registry: Registry, describer: Describer | None, base: Path, problems: list[Problem]) -> None:
        self.registry, self.base, self.problems = registry, base, problems
        self.describer: Describer = describer if describer is not None else Here(registry)
        self.manifests: dict[str, Manifest | PluginError] = {}
        self.defaults: dict[str, Node] = {}
        self.unreadable = {problem.place for problem in problems}
        #: The steps that were looked at, by name and by the identity of their node, which is kept with them.
        self._looked: dict[tuple[str, int], tuple[_Step, list[Problem], Node]] = {}
        #: What came of them, by their identity and their inputs.
        self._known_steps: dict[tuple[int, str], tuple[SpecStep | None, list[Problem]]] = {}

    def spec(self, root: Node, overrides: Sequence[str], path: Path | None, text: str) -> Spec:
        if not isinstance(root.value, dict):
            what = "a list" if isinstance(root.value, list) else "a single value"
            raise SpecError([*self.problems, Problem(f"a spec should be a mapping, not {what}", root.place, EXAMPLE)])
        for order, assignment in enumerate(overrides, 1):
            root, problems = assign(root, assignment, order)
            self.problems += problems
        top = root.place if not root.value else next(iter(root.value.values())).key
        self._version(root, top)
        self._unknown(root, TOP, "a spec")
        name = self._name(root, path)
        seed = self._seed(root, 0)
        self.defaults = self._defaults(root)
        expansion = self._expansion(root, top, seed, overrides)
        base = expansion.document() if expansion is not None else root
        ((made, problems),) = self._pipelines([base], top, seed)
        self.problems += problems
        study = None
        if expansion is not None and not problems:
            if self.problems or expansion.problems:
                expansion.look(made)
            else:
                study = expansion.study(made)
        self.problems += expansion.problems if expansion is not None else []
        used = [step.uses for arm in study.arms for step in arm.steps] if study is not None else []
        self._unused_defaults({*_used(base), *used})
        if self.problems:
            raise SpecError(once(self.problems, self.unreadable))
        return Spec(VERSION, name, seed, tuple(made), path, text, self.base.resolve(), study)

    def _expansion(self, root: Node, top: Place, seed: int, overrides: Sequence[str]) -> Expansion | None:
        """What expands the study of a document; None where it has none. What is not well formed in it is left out."""
        if "study" not in root.value or root.value["study"].node.value is None:  # --set study=null
            return None
        entry, written = root.value["study"], root.child("steps")
        names = list(written.value) if written is not None and isinstance(written.value, dict) else []
        gives = dict.fromkeys(names, None) | {
            name: kind.gives if (kind := KINDS.interface(uses.partition("/")[0])) is not None else None
            for name, uses in _named(root)
        }
        reader = Reader(entry.node, entry.key, gives)
        block = reader.read()
        wrong = [*reader.problems, *NamedReader(block, names).read(entry.node)]
        self.problems += [*wrong, *set_in_vain(block, overrides)]
        if not names:
            return None
        return Expansion(
            block, root, lambda roots: self._pipelines(roots, top, seed), self.describer.describe, self.defaults
        )

    def _pipelines(self, roots: Sequence[Node], top: Place, seed: int) -> list[tuple[list[SpecStep], list[Problem]]]:
        """The steps of documents, and what is wrong with them. Each step is looked at once, and equal ones are one."""
        self._ask(dict.fromkeys(uses for root in roots for uses in _used(root)))
        wired = []
        for root in roots:
            with self._apart() as problems:
                steps = self._steps(root, top, seed)
                inputs, wrong = wire([step.wired for step in steps])
            wired.append((steps, inputs, [*problems, *wrong]))
        made = iter(self._made([pair for steps, inputs, _ in wired for pair in zip(steps, inputs, strict=True)]))
        found = []
        for steps, _, problems in wired:
            mine = [next(made) for _ in steps]
            wrong = [problem for _, told in mine for problem in told]
            found.append(([one for one, _ in mine if one is not None], [*problems, *wrong]))
        return found

    @contextmanager
    def _apart(self) -> Iterator[list[Problem]]:
        """What is found to be wrong meanwhile is not among the problems, but in a list of its own."""
        kept, self.problems = self.problems, []
        try:
            yield self.problems
        finally:
            self.problems = kept

    def _ask(self, uses: Iterable[str]) -> None:
        """Have the manifests of these components, all at once."""
        lacking = [one for one in uses if one not in self.manifests]
        self.manifests |= self.describer.manifests(lacking) if lacking else {}

    def _known(self, uses: str) -> Manifest | None:
        """A component's manifest; None where it cannot be had."""
        self._ask([uses])
        found = self.manifests[uses]
        return found if isinstance(found, Manifest) else None

    def _add(self, message: str, place: Place, hint: str = "") -> None:
        self.problems.append(Problem(message, place, hint))

    def _unknown(self, node: Node, known: Sequence[str], whose: str, hint: str = "") -> None:
        for key, entry in node.value.items():
            if key not in known:
                self._add(
                    f"{whose} has no {key}",
                    entry.key,
                    did_you_mean(key, known, hint or f"Known are {', '.join(known)}."),
                )

    def _version(self, root: Node, top: Place) -> None:
        node = root.child("version")
        if node is None and misspelt("version", root.value, TOP):
            return
        if node is None:
            self._add(
                "the version of the spec's format is missing", top, f"Write version: {VERSION} as its first line."
            )
        elif node.value != VERSION or isinstance(node.value, bool):
            said = in_words(node.plain())
            self._add(
                f"version should be {VERSION}, not {said}", node.place, f"This fgic reads version {VERSION} alone."
            )

    def _name(self, root: Node, path: Path | None) -> str:
        node = root.child("name")
        if node is None:
            stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem if path is not None else "").strip("-_")
            return stem[:100] or "spec"
        if not isinstance(node.value, str):
            hint = "Put it in quotes." if isinstance(node.value, (int, float)) else ""
            self._add(f"name should be text, not {in_words(node.plain())}", node.place, hint)
        elif not _NAME.fullmatch(node.value):
            hint = "It names a folder: letters, digits, '-', '_' and '.', and a letter or digit first."
            self._add(f"name should not be {in_words(node.value)}", node.place, hint)
        return str(node.value)

    def _seed(self, node: Node, default: int) -> int:
        """The value of ``seed``, of the spec or of a step."""
        found = node.child("seed")
        if found is None:
            return default
        value = found.value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            self._add(f"seed should be a whole number, 0 or more, not {in_words(found.plain())}", found.place)
            return default
        return value

    def _seeds(self, node: Node, default: int) -> tuple[int, dict[str, int]]:
        """The seed of a step, and of its streams those that are others: ``seed: {order: 1, split: 0}``."""
        found = node.child("seed")
        if found is None or not isinstance(found.value, dict):
            return self._seed(node, default), {}
        self._unknown(found, STREAMS, "a seed")
        given: dict[str, int] = {}
        for stream, entry in found.value.items():
            given[stream] = self._seed(Node({"seed": entry}, found.place), default)
        order = given.pop("order", default)
        least = {"init": default, "split": default} | given
        apart = {name for name, seed in least.items() if seed != order or name == "resample"}
        return order, {name: least[name] for name in STREAMS if name in apart}

    def _defaults(self, root: Node) -> dict[str, Node]:
        """Options of components by ``kind/name``: a step that uses one has them unless it says otherwise.

        Those of a component that no step uses are looked at for unknown names alone, and where it is installed.
        """
        node = root.child("defaults")
        if node is None or node.value is None:
            return {}
        if not isinstance(node.value, dict):
            example = "Write defaults:, and below it a line for each, such as kind/name: {option: value}."
            self._add(
                f"defaults should be a mapping from components to options, not {in_words(node.plain())}",
                node.place,
                example,
            )
            return {}
        found = {}
        for uses, entry in node.value.items():
            kind = uses.partition("/")[0]
            if kind not in KINDS or uses.count("/") != 1:
                known = f"A component is named kind/name; kinds are {', '.join(KINDS)}."
                close = known if kind in KINDS else did_you_mean(kind, list(KINDS), known)
                self._add(f"{in_words(uses)} is no component", entry.key, close)
            elif uses not in self.registry.names() and uses not in published() and (near := self._near(uses)):
                self._add(f"no component {uses} is installed, and it looks like {near}", entry.key, f"Write {near}.")
            elif entry.node.value is not None and not isinstance(entry.node.value, dict):
                said = in_words(entry.node.plain())
                self._add(f"the defaults of {uses} should be a mapping, not {said}", entry.key)
            elif entry.node.value:
                found[uses] = entry.node
        return found

    def _near(self, uses: str) -> str:
        """The installed component that a name is a slip of; empty where there is none."""
        found = get_close_matches(uses, self.registry.names(), n=1, cutoff=0.9)
        return found[0] if found else ""

    def _unused_defaults(self, used: set[str]) -> None:
        """Unknown options among the defaults that no step uses, as far as their components are installed."""
        for uses, node in self.defaults.items():
            if uses in used or uses not in self.registry.names():
                continue
            if (manifest := self._known(uses)) is None:
                continue  # a component that fails to load and is not used is nobody's problem here
            fields = [option.field for option in manifest.models[0]]
            for key, entry in node.value.items():
                if key not in fields:
                    hint = did_you_mean(key, fields, f"fgic plugins show {uses} lists its options.")
                    self._add(f"{uses} has no option {key}", entry.key, hint)

    def _steps(self, root: Node, top: Place, seed: int) -> list[_Step]:
        entry = root.value.get("steps")
        if entry is None and misspelt("steps", root.value, TOP):
            return []
        example = "Write steps:, and below it a line for each, such as birds: {uses: kind/name}."
        if entry is None:
            self._add("a spec should have steps", top, example)
            return []
        node: Node = entry.node
        if not isinstance(node.value, dict):
            said = "nothing" if node.value is None else in_words(node.plain())
            self._add(f"steps should be a mapping from names to steps, not {said}", entry.key, example)
            return []
        if not node.value:
            self._add("there should be at least one step", entry.key, example)
        return [self._step_once(name, one.key, one.node, seed) for name, one in node.value.items()]

    def _step_once(self, name: str, key: Place, node: Node, seed: int) -> _Step:
        if (name, id(node)) not in self._looked:
            with self._apart() as problems:
                step = self._step(name, key, node, seed)
            self._looked[name, id(node)] = step, problems, node
        step, problems, _ = self._looked[name, id(node)]
        self.problems += problems
        return step

    def _step(self, name: str, key: Place, node: Node, seed: int) -> _Step:
        if not _STEP_NAME.fullmatch(name):
            self._add(
                f"{in_words(name)} should not name a step",
                key,
                "A name has letters, digits, '-' and '_', and a letter first.",
            )
        if not isinstance(node.value, dict):
            said = "nothing" if node.value is None else in_words(node.plain())
            written = node.value if isinstance(node.value, str) and "/" in node.value else "kind/name"
            self._add(f"step {name} should be a mapping, not {said}", key, f"Write {name}: {{uses: {written}}}.")
            return _Step(Wired(name, "", None, key, None, {}), None, seed)
        uses, manifest, place = self._uses(name, key, node)
        self._unknown(node, STEP, f"step {name}", self._stray(node, manifest))
        kind = KINDS.interface(uses.partition("/")[0])
        gives = manifest.gives if manifest is not None else kind.gives if kind is not None else None
        ports = manifest.ports if manifest is not None else kind.inputs if kind is not None else {}
        wired = Wired(name, uses, gives, place, node.child("from"), ports)
        own_seed, streams = self._seeds(node, seed)
        if manifest is None:
            return _Step(wired, None, own_seed)
        defaults, given = self.defaults.get(uses), node.value.get("with")
        options = filled(completed(node.child("with"), manifest, self._known, self.defaults, defaults), defaults)
        places = Places(place, given.key if given is not None else None)
        own = Options(manifest, options, places, self.defaults)
        return _Step(wired, own, own_seed, seeded=node.child("seed") is not None, streams=streams)

    @staticmethod
    def _stray(node: Node, manifest: Manifest | None) -> str:
        """A hint for keys of a step that are options of its component, written beside ``with``."""
        known = [option.field for option in manifest.models[0]] if manifest is not None else []
        options = [key for key in node.value if key in known]
        return f"Options stand under with: write with: {{{options[0]}: ...}}." if options else ""

    def _uses(self, name: str, key: Place, node: Node) -> tuple[str, Manifest | None, Place]:
        """The component's name, its manifest if it can be had, and where the name stands."""
        found = node.child("uses")
        if found is None and misspelt("uses", node.value, STEP):
            return "", None, key
        if found is None:
            self._add(
                f"step {name} does not say what it uses",
                key,
                "Write uses: kind/name; fgic plugins lists what is installed.",
            )
            return "", None, key
        if not isinstance(found.value, str):
            self._add(f"uses should be kind/name, not {in_words(found.plain())}", found.place)
            return "", None, found.place
        uses = str(found.value)
        manifest = self.manifests[uses]
        if isinstance(manifest, Manifest):
            return uses, manifest, found.place
        text = f"{manifest.where}: {manifest.what}" if manifest.where else manifest.what
        self._add(" ".join(text.split()), found.place, manifest.hint or "")
        return uses, None, found.place

    def _made(self, asked: Sequence[tuple[_Step, Found]]) -> list[tuple[SpecStep | None, list[Problem]]]:
        """The steps whose options are legal, and what is wrong with others; each step with the same inputs once."""
        found = self._known_steps
        requests: dict[Any, tuple[_Step, Options, Found, Request]] = {}
        places = [(id(step), json.dumps(given)) for step, given in asked]
        for place, (step, given) in zip(places, asked, strict=True):
            if place in found or place in requests:
                continue
            request = step.options.request(self.base, list(given)) if step.options is not None else None
            if isinstance(request, Request) and step.options is not None:
                requests[place] = step, step.options, given, request
            else:
                found[place] = None, [request] if isinstance(request, Problem) else []
        answers: list[Answer] = self.describer.describe([request for *_, request in requests.values()])
        for (place, (step, options, given, request)), answer in zip(requests.items(), answers, strict=True):
            made, name, uses = None, step.wired.name, step.wired.uses
            if answer.described is not None:
                about = (options.written, request, step.seeded, step.streams)
                made = SpecStep(name, uses, answer.described, given, step.seed, *about)
            found[place] = made, list(options.problems(answer))
        return [found[place] for place in places]


def _named(root: Node) -> list[tuple[str, str]]:
    """The steps that name a component, and which."""
    steps = root.child("steps")
    below = steps.value.items() if steps is not None and isinstance(steps.value, dict) else ()
    named = [(name, entry.node.child("uses")) for name, entry in below]
    return [(name, node.value) for name, node in named if node is not None and isinstance(node.value, str)]


def _used(root: Node) -> list[str]:
    """The components that steps name, as far as they do."""
    return list(dict.fromkeys(uses for _, uses in _named(root)))
