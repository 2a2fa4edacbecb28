"""From YAML to a `Spec`: keys, names, components, options and wiring are all checked before anything is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fgic_core.data.files import regular_file
from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.component import Component
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Registry, published
from fgic_core.spec.document import Node, from_data, read
from fgic_core.spec.errors import Place, Problem, Source, SpecError, did_you_mean
from fgic_core.spec.model import VERSION, Spec, SpecStep, dump_yaml
from fgic_core.spec.options import make
from fgic_core.spec.overrides import STEP, TOP, assign, completed
from fgic_core.spec.problems import Places, described, filled
from fgic_core.spec.wiring import Found, Wired, wire

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
#: How many bytes a spec may have.
_LARGEST = 16 << 20
_STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_EXAMPLE = "A spec has version, name, seed and steps, such as\nversion: 1\nsteps:\n  birds: {uses: kind/name}"


def load_spec(path: Path | str, registry: Registry, overrides: Sequence[str] = ()) -> Spec:
    """Read and check a spec file.

    Args:
        path: the file; relative paths in it start at its folder.
        registry: where components come from.
        overrides: assignments such as ``classifier.with.epochs=1``; relative paths in them start at the working
            directory.

    Raises:
        SpecError: with every problem at once.
    """
    path = Path(path)
    text = _text(path)
    return parse_spec(text, registry, path=path, overrides=overrides)


def parse_spec(
    text: str, registry: Registry, *, path: Path | None = None, base: Path | None = None, overrides: Sequence[str] = ()
) -> Spec:
    """Check a spec's text; see `load_spec`.

    Args:
        text: YAML.
        registry: where components come from.
        path: the file that the text is from, for messages and the default name.
        base: folder that relative paths start at; the file's folder, or else the working directory.
        overrides: see `load_spec`.
    """
    lines = text.replace("\r\n", "\n").removeprefix("\ufeff")
    source = Source(str(path) if path is not None else "spec", "file", tuple(lines.split("\n")))
    root, problems = read(lines, source)
    if root is None:
        raise SpecError(problems or [Problem("is empty", Place(source), _EXAMPLE)])
    folder = base if base is not None else path.parent if path is not None else Path.cwd()
    return _Check(registry, folder.absolute(), problems).spec(root, overrides, path, text)


def from_dict(
    document: Mapping[str, Any], registry: Registry, base: Path | None = None, overrides: Sequence[str] = ()
) -> Spec:
    """Check a spec given as Python data, as a notebook does; see `load_spec`. Problems name keys instead of lines.

    Args:
        document: what the YAML would hold.
        registry: where components come from.
        base: folder that relative paths start at; the working directory by default.
        overrides: see `load_spec`.
    """
    try:
        root = from_data(document)
    except RecursionError:
        raise SpecError([Problem("is nested too deeply", Place(Source("spec", "data")))]) from None
    spec = _Check(registry, (base or Path.cwd()).absolute(), []).spec(root, overrides, None, "")
    return replace(spec, path=None, text=dump_yaml(dict(document)))


def _text(path: Path) -> str:
    """The file's text. Raises SpecError where it cannot be read or is no text."""
    place = Place(Source(str(path)))
    try:
        content = regular_file(path, _LARGEST).read_bytes()
    except IsADirectoryError:
        raise SpecError([Problem("is a folder, not a spec", place, _specs_in(path))]) from None
    except FileNotFoundError:
        folder = path.parent
        known = [p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml")] if folder.is_dir() else []
        raise SpecError([Problem("there is no such file", place, did_you_mean(path.name, known))]) from None
    except OSError as error:
        raise SpecError([Problem(f"cannot be read: {error.strerror}", place)]) from None
    try:
        if b"\0" in content:
            raise SpecError([Problem("is not a text file, and a spec is YAML", place)])
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        at = Place(place.source, line, column)
        message = f"is not UTF-8: the byte 0x{content[error.start]:02x} stands for no character"
        raise SpecError([Problem(message, at, "Save the file as UTF-8.")]) from None


def _specs_in(folder: Path) -> str:
    found = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))[:5]
    return f"In it are {', '.join(found)}." if found else ""


@dataclass
class _Step:
    """A step half checked."""

    wired: Wired
    component: type[Component] | None
    options: Node | None
    places: Places
    seed: int


class _Check:
    """Checks one document and collects the problems."""

    def __init__(self, registry: Registry, base: Path, problems: list[Problem]) -> None:
        self.registry, self.base, self.problems = registry, base, problems
        self.defaults: dict[str, Node] = {}
        self.unreadable = {problem.place for problem in problems}

    def spec(self, root: Node, overrides: Sequence[str], path: Path | None, text: str) -> Spec:
        if not isinstance(root.value, dict):
            what = "a list" if isinstance(root.value, list) else "a single value"
            raise SpecError([*self.problems, Problem(f"a spec should be a mapping, not {what}", root.place, _EXAMPLE)])
        for order, assignment in enumerate(overrides, 1):
            root, problems = assign(root, assignment, order)
            self.problems += problems
        top = root.place if not root.value else next(iter(root.value.values())).key
        self._version(root, top)
        self._unknown(root, TOP, "a spec")
        name = self._name(root, path)
        seed = self._seed(root, 0)
        self.defaults = self._defaults(root)
        steps = self._steps(root, top, seed)
        self._unused_defaults({step.wired.uses for step in steps})
        inputs, problems = wire([step.wired for step in steps])
        self.problems += problems
        made = [self._made(step, found) for step, found in zip(steps, inputs, strict=True)]
        if self.problems:
            raise SpecError(_once(self.problems, self.unreadable))
        steps_made = tuple(step for step in made if step is not None)
        return Spec(VERSION, name, seed, steps_made, path, text, self.base.resolve())

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
        if node is None and _misspelt("version", root, TOP):
            return
        if node is None:
            self._add(
                "the version of the spec's format is missing", top, f"Write version: {VERSION} as its first line."
            )
        elif node.value != VERSION or isinstance(node.value, bool):
            said = described(node.plain())
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
            self._add(f"name should be text, not {described(node.plain())}", node.place, hint)
        elif not _NAME.fullmatch(node.value):
            hint = "It names a folder: letters, digits, '-', '_' and '.', and a letter or digit first."
            self._add(f"name should not be {described(node.value)}", node.place, hint)
        return str(node.value)

    def _seed(self, node: Node, default: int) -> int:
        """The value of ``seed``, of the spec or of a step."""
        found = node.child("seed")
        if found is None:
            return default
        value = found.value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            self._add(f"seed should be a whole number, 0 or more, not {described(found.plain())}", found.place)
            return default
        return value

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
                f"defaults should be a mapping from components to options, not {described(node.plain())}",
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
                self._add(f"{described(uses)} is no component", entry.key, close)
            elif uses not in self.registry.names() and uses not in published() and (near := self._near(uses)):
                self._add(f"no component {uses} is installed, and it looks like {near}", entry.key, f"Write {near}.")
            elif entry.node.value is not None and not isinstance(entry.node.value, dict):
                said = described(entry.node.plain())
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
            try:
                fields = list(self.registry.get(uses).model_fields)
            except PluginError:
                continue  # a component that fails to load and is not used is nobody's problem here
            for key, entry in node.value.items():
                if key not in fields:
                    hint = did_you_mean(key, fields, f"fgic plugins show {uses} lists its options.")
                    self._add(f"{uses} has no option {key}", entry.key, hint)

    def _steps(self, root: Node, top: Place, seed: int) -> list[_Step]:
        entry = root.value.get("steps")
        if entry is None and _misspelt("steps", root, TOP):
            return []
        example = "Write steps:, and below it a line for each, such as birds: {uses: kind/name}."
        if entry is None:
            self._add("a spec should have steps", top, example)
            return []
        node: Node = entry.node
        if not isinstance(node.value, dict):
            said = "nothing" if node.value is None else described(node.plain())
            self._add(f"steps should be a mapping from names to steps, not {said}", entry.key, example)
            return []
        if not node.value:
            self._add("there should be at least one step", entry.key, example)
        return [self._step(name, one.key, one.node, seed) for name, one in node.value.items()]

    def _step(self, name: str, key: Place, node: Node, seed: int) -> _Step:
        if not _STEP_NAME.fullmatch(name):
            self._add(
                f"{described(name)} should not name a step",
                key,
                "A name has letters, digits, '-' and '_', and a letter first.",
            )
        if not isinstance(node.value, dict):
            said = "nothing" if node.value is None else described(node.plain())
            written = node.value if isinstance(node.value, str) and "/" in node.value else "kind/name"
            self._add(f"step {name} should be a mapping, not {said}", key, f"Write {name}: {{uses: {written}}}.")
            return _Step(Wired(name, "", None, key, None), None, None, Places(key), seed)
        uses, component, place = self._uses(name, key, node)
        self._unknown(node, STEP, f"step {name}", self._stray(node, component))
        kind = KINDS.interface(uses.partition("/")[0])
        given = node.value.get("with")
        places = Places(place, given.key if given is not None else None)
        wired = Wired(name, uses, component or kind, place, node.child("from"))
        defaults, options = self.defaults.get(uses), node.child("with")
        if component is not None:
            options = completed(options, component, self.registry, self.defaults, defaults)
        options = filled(options, defaults)
        return _Step(wired, component, options, places, self._seed(node, seed))

    @staticmethod
    def _stray(node: Node, component: type[Component] | None) -> str:
        """A hint for keys of a step that are options of its component, written beside ``with``."""
        options = [key for key in node.value if component is not None and key in component.model_fields]
        return f"Options stand under with: write with: {{{options[0]}: ...}}." if options else ""

    def _uses(self, name: str, key: Place, node: Node) -> tuple[str, type[Component] | None, Place]:
        """The component's name, its class if it can be had, and where the name stands."""
        found = node.child("uses")
        if found is None and _misspelt("uses", node, STEP):
            return "", None, key
        if found is None:
            self._add(
                f"step {name} does not say what it uses",
                key,
                "Write uses: kind/name; fgic plugins lists what is installed.",
            )
            return "", None, key
        if not isinstance(found.value, str):
            self._add(f"uses should be kind/name, not {described(found.plain())}", found.place)
            return "", None, found.place
        uses = str(found.value)
        try:
            return uses, self.registry.get(uses), found.place
        except PluginError as error:
            text = f"{error.where}: {error.what}" if error.where else error.what
            self._add(" ".join(text.split()), found.place, error.hint or "")
            return uses, None, found.place

    def _made(self, step: _Step, inputs: Found) -> SpecStep | None:
        if step.component is None:
            return None
        made = make(step.component, step.wired.uses, step.options, self.base, step.places, self.registry, self.defaults)
        if isinstance(made, list):
            self.problems += made
            return None
        try:
            made.check_inputs(inputs)
        except ValueError as error:
            message, _, hint = str(error).partition("\n")
            self._add(message, step.wired.place, hint)
        given = _plain_text(step.options.plain()) if step.options is not None else None
        return SpecStep(step.wired.name, step.wired.uses, made, inputs, step.seed, given or {})


def _once(problems: list[Problem], unreadable: set[Place]) -> list[Problem]:
    """Of a value that could not be read, the first problem alone."""
    seen: set[Place] = set()
    kept = []
    for problem in problems:
        if problem.place not in seen:
            kept.append(problem)
        if problem.place in unreadable:
            seen.add(problem.place)
    return kept


def _misspelt(key: str, node: Node, known: Sequence[str]) -> bool:
    """Whether an unknown key of the mapping looks like this one, so that its absence need not be told as well."""
    return any(key in nearest(word, known, 1) for word in node.value if word not in known)


def _plain_text(value: Any) -> Any:
    """The value without the subclass of text that `--set` marks its values with."""
    if isinstance(value, Mapping):
        return {key: _plain_text(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_plain_text(one) for one in value]
    return str(value) if isinstance(value, str) else value
