"""Reads the `study` block of a document: that it is well formed, and where each of its words stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgic_core.data.quantities import QUANTITIES
from fgic_core.data.streams import STREAMS, Stream
from fgic_core.description.words import in_words
from fgic_core.spec.document import Entry, Node
from fgic_core.spec.errors import Place, Problem, Source, did_you_mean, misspelt
from fgic_core.spec.study import KEYS, OF_RUNS, SEEDS, VARY, Measure

if TYPE_CHECKING:
    from fgic_core.spec.named import NamedArm, Word

_FRACTION = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*/\s*([0-9]+(?:\.[0-9]*)?)\s*")


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the matrix as it is written.

    Attributes:
        path: such as ``classifier.uses``; key: where it stands.
        levels: its values.
        base: which of them is the baseline's.
    """

    path: str
    key: Place
    levels: tuple[Node, ...]
    base: int = 0


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An entry of ``exclude``: where it stands, the levels that it names, the steps that it names as left out."""

    place: Place
    levels: Mapping[str, Any]
    left_out: frozenset[str]


@dataclass
class Block:
    """The block as it is written, read and found to be well formed.

    Attributes:
        place: where it stands.
        ablate: the steps that it names, and where; None for all that can be left out. every: in every combination.
        oracle: where it is asked for; None where it is not.
        arms: those with names, also from ``beside``.
        decompose: the arms of the way, with what leads to each; worth: the arms that ``arms`` and ``curve`` name.
        Others as in `Study`.
    """

    place: Place
    seeds: tuple[int, ...] = SEEDS
    ablate: list[tuple[str, Place]] | None = field(default_factory=list)
    every: bool = False
    cross: bool = False
    axes: list[Axis] = field(default_factory=list)
    exclude: list[Exclusion] = field(default_factory=list)
    measure: tuple[Measure, ...] = ()
    margin: float = 1.0
    oracle: Place | None = None
    vary: tuple[Stream, ...] = VARY
    arms: list[NamedArm] = field(default_factory=list)
    decompose: list[tuple[Word, Word]] = field(default_factory=list)
    worth: dict[str, list[Word]] = field(default_factory=dict)


class Reader:
    """Reads one block; `problems` are those that it found.

    Args:
        node: the value of ``study``; key: where the word stands.
        steps: the names of the spec's steps, in its order, with what they give as far as that is known.
    """

    def __init__(self, node: Node, key: Place, steps: Mapping[str, str | None]) -> None:
        self.node, self.block = node, Block(key)
        self.names = list(steps)
        self.models = [name for name, gives in steps.items() if gives == "model"]
        self.problems: list[Problem] = []

    def _add(self, message: str, place: Place, hint: str = "") -> None:
        self.problems.append(Problem(message, place, hint))

    def read(self) -> Block:
        """The block, as far as it is well formed."""
        block, node = self.block, self.node
        if not isinstance(node.value, dict):
            said = in_words(node.plain())
            self._add(f"study should be a mapping, not {said}", node.place, "Write study:, and below it seeds: [0, 1].")
            return block
        for key, entry in node.value.items():
            if key not in KEYS:
                known = f"Known are {', '.join(KEYS)}."
                self._add(f"study has no {key}", entry.key, did_you_mean(key, KEYS, known))
        given = {key: entry for key, entry in node.value.items() if key in KEYS and entry.node.value is not None}
        self._axes(given.get("matrix"))
        if "seeds" in given:
            self._seeds(given["seeds"].node)
        if "ablate" in given:
            self._ablate(given["ablate"].node)
        block.cross = self._flag(given, "cross", block.every)
        crossed = "cross" in given and isinstance(given["cross"].node.value, bool)
        if crossed and not (block.axes and (block.ablate is None or block.ablate)):
            hint = "It says that ablations are made at every level of the matrix: without both it says nothing."
            self._add("cross needs ablate and matrix", given["cross"].key, hint)
        if "exclude" in given:
            self._exclude(given["exclude"].node)
        if "baseline" in given:
            self._baseline(given["baseline"].node)
        block.oracle = given["oracle"].key if self._flag(given, "oracle", False) else None
        if "vary" in given:
            self._vary(given["vary"].node)
        if "margin" in given:
            self._margin(given["margin"].node)
        block.measure = tuple(self._measures(given.get("measure")))
        return block

    def _flag(self, given: Mapping[str, Entry], key: str, default: bool) -> bool:
        if key not in given:
            return default
        node = given[key].node
        if not isinstance(node.value, bool):
            self._add(f"{key} should be true or false, not {in_words(node.plain())}", node.place)
            return default
        return node.value

    def _list(self, node: Node, what: str, hint: str) -> Sequence[Node]:
        """The items of a list that is not empty; where it is none that is said."""
        if not isinstance(node.value, list):
            self._add(f"{what} should be a list, not {in_words(node.plain())}", node.place, hint)
            return ()
        if not node.value:
            self._add(f"{what} should not be empty", node.place, hint)
        return node.value

    def _seeds(self, node: Node) -> None:
        count = node.value if isinstance(node.value, int) and not isinstance(node.value, bool) else 3
        example = list(range(count)) if 0 < count <= 12 else [0, 1, 2]
        seeds: list[int] = []
        for one in self._list(node, "seeds", f"Write seeds: {example}."):
            if isinstance(one.value, bool) or not isinstance(one.value, int) or not 0 <= one.value < 2**63:
                self._add(f"a seed should be a whole number, 0 or more, not {in_words(one.plain())}", one.place)
            elif one.value in seeds:
                self._add(f"the seed {one.value} is here twice", one.place, "A run is the same with the same seed.")
            else:
                seeds.append(one.value)
        self.block.seeds = tuple(seeds) or SEEDS

    def _ablate(self, node: Node) -> None:
        hint = "Write ablate: [step, …], ablate: all, or ablate: {combinations: [step, …]}."
        if node.value == "all":
            self.block.ablate, self.block.every = None, True
            return
        if isinstance(node.value, dict):
            self.block.every = True
            if list(node.value) != ["combinations"]:
                wrong = next((key for key in node.value if key != "combinations"), "nothing")
                self._add(f"ablate should name steps or combinations, not {wrong}", node.place, hint)
                return
            node = node.value["combinations"].node
        found: list[tuple[str, Place]] = []
        for one in self._list(node, "ablate", hint):
            name = one.value
            if not isinstance(name, str):
                self._add(f"ablate should name steps, not {in_words(one.plain())}", one.place, hint)
            elif name not in self.names:
                known = f"Steps are {', '.join(self.names)}."
                self._add(f"there is no step {name} to leave out", one.place, did_you_mean(name, self.names, known))
            elif name in (other for other, _ in found):
                self._add(f"step {name} is named twice", one.place, "Name each step once.")
            else:
                found.append((name, one.place))
        self.block.ablate = sorted(found, key=lambda one: self.names.index(one[0]))

    def _axes(self, entry: Entry | None) -> None:
        if entry is None:
            return
        example = "Write matrix:, and below it a line for each, such as classifier.with.epochs: [5, 10]."
        if not isinstance(entry.node.value, dict) or not entry.node.value:
            said = "nothing" if entry.node.value == {} else in_words(entry.node.plain())
            self._add(f"matrix should be a mapping from paths to lists of values, not {said}", entry.key, example)
            return
        for path, one in entry.node.value.items():
            levels = self._list(one.node, path, f"Write {path}: [value, value, …].")
            seen: list[Any] = []
            for level in levels:
                if level.plain() in seen and not _bool_apart(level.plain(), seen):
                    self._add(f"{in_words(level.plain())} is here twice", level.place, "Name each value once.")
                seen.append(level.plain())
            self.block.axes.append(Axis(path, one.key, tuple(levels)))

    def _level(self, path: str, entry: Entry, whose: str) -> int | None:
        """The place in its axis of a level that is named; None where there is none, which is said."""
        axis = next((axis for axis in self.block.axes if axis.path == path), None)
        if axis is None:
            paths = [axis.path for axis in self.block.axes]
            known = f"Those of the matrix are {', '.join(paths)}." if paths else "There is no matrix."
            self._add(
                f"{whose} names {path}, which is no path of the matrix", entry.key, did_you_mean(path, paths, known)
            )
            return None
        value = entry.node.plain()
        for index, level in enumerate(axis.levels):
            if level.plain() == value and isinstance(level.value, bool) == isinstance(value, bool):
                return index
        known = ", ".join(in_words(level.plain()) for level in axis.levels)
        self._add(f"{in_words(value)} is no level of {path}", entry.node.place, f"Its levels are {known}.")
        return None

    def _exclude(self, node: Node) -> None:
        hint = "Write exclude: [{path: level, …}], such as [{classifier.uses: classifier/timm, ablate: crops}]."
        for one in self._list(node, "exclude", hint):
            if not isinstance(one.value, dict) or not one.value:
                said = "not be empty" if one.value == {} else f"be a mapping, not {in_words(one.plain())}"
                self._add(f"what is excluded should {said}", one.place, hint)
                continue
            levels: dict[str, Any] = {}
            left_out: set[str] = set()
            for path, entry in one.value.items():
                if path == "ablate":
                    left_out |= set(self._left_out(entry.node, hint))
                elif (level := self._level(path, entry, "exclude")) is not None:
                    levels[path] = level
            self.block.exclude.append(Exclusion(one.place, levels, frozenset(left_out)))

    def _left_out(self, node: Node, hint: str) -> Iterator[str]:
        known = self.names if self.block.ablate is None else [name for name, _ in self.block.ablate]
        for one in [node] if isinstance(node.value, str) else self._list(node, "ablate", hint):
            if one.value in known:
                yield str(one.value)
            else:
                listed = f"Left out are {', '.join(known)}." if known else "No step is: there is no ablate."
                if self.block.ablate is None:  # all that can be, which is not known here
                    listed = f"Steps are {', '.join(known)}; those that take a data set and give one are left out."
                said = in_words(one.plain())
                self._add(f"exclude names {said}, which is no step that is left out", one.place, listed)

    def _baseline(self, node: Node) -> None:
        if not isinstance(node.value, dict):
            hint = "Write baseline: {path: level, …}, with paths of the matrix."
            self._add(f"baseline should be a mapping, not {in_words(node.plain())}", node.place, hint)
            return
        for path, entry in node.value.items():
            level = self._level(path, entry, "baseline")
            self.block.axes = [
                Axis(axis.path, axis.key, axis.levels, level) if axis.path == path and level is not None else axis
                for axis in self.block.axes
            ]

    def _vary(self, node: Node) -> None:
        known = f"Known are {', '.join(STREAMS)}."
        found: list[Stream] = []
        for one in self._list(node, "vary", known):
            if not isinstance(one.value, str):
                self._add(f"vary should name what a seed draws, not {in_words(one.plain())}", one.place, known)
            elif one.value not in STREAMS:
                close = did_you_mean(one.value, STREAMS, known)
                self._add(f"a seed draws no {in_words(one.plain())}", one.place, close)
            elif one.value in found:
                self._add(f"{one.value} is named twice", one.place, "Name each once.")
            else:
                found.append(one.value)
        self.block.vary = tuple(sorted(found, key=STREAMS.index)) or VARY

    def _margin(self, node: Node) -> None:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
            hint = "It is in percentage points, such as margin: 1: a smaller difference counts as none."
            self._add(
                f"margin should be a number above 0 and at most 100, not {in_words(node.plain())}", node.place, hint
            )
        else:
            self.block.margin = float(value)

    def _measures(self, entry: Entry | None) -> Iterator[Measure]:
        if entry is None:
            if self.models:
                yield Measure(self.models[-1], "accuracy")
            else:
                hint = "Write measure: [{step: …, quantity: …}]; without one it is the last classifier's accuracy."
                self._add("no step gives a model, and the study does not say what it measures", self.block.place, hint)
            return
        found: list[Measure] = []
        hint = "Write measure: [{step: classifier, quantity: accuracy}], or a quantity of the whole run: fit_seconds."
        for one in self._list(entry.node, "measure", hint):
            made = self._of_run(one, hint) if isinstance(one.value, str) else self._measure(one, hint)
            if made is not None and made in found:
                self._add(f"{made.quantity} is measured twice", one.place, "Name each measure once.")
            elif made is not None:
                found.append(made)
        yield from found

    def _of_run(self, node: Node, hint: str) -> Measure | None:
        if node.value in OF_RUNS:
            return Measure("", str(node.value))
        if node.value in QUANTITIES:
            step = self.models[-1] if self.models else "step"
            hint = f"Name the step that it is measured at: {{step: {step}, quantity: {node.value}}}."
        known = ", ".join(OF_RUNS)
        self._add(f"{node.value} is no quantity of a whole run: those are {known}", node.place, hint)
        return None

    def _measure(self, node: Node, hint: str) -> Measure | None:
        if not isinstance(node.value, dict):
            self._add(f"what is measured should be a mapping, not {in_words(node.plain())}", node.place, hint)
            return None
        keys, before = ("step", "quantity", "at", "split"), len(self.problems)
        for key, entry in node.value.items():
            if key not in keys:
                self._add(f"what is measured has no {key}", entry.key, did_you_mean(key, keys, hint))
        for key in ("step", "quantity"):
            if key not in node.value and not misspelt(key, node.value, keys):
                self._add(f"what is measured does not say its {key}", node.place, hint)
        step, quantity, split = (node.child(key) for key in ("step", "quantity", "split"))
        if step is not None and not isinstance(step.value, str):
            self._add(f"step should name a step, not {in_words(step.plain())}", step.place, hint)
        elif step is not None and step.value not in self.names:
            known = f"Steps are {', '.join(self.names)}."
            close = did_you_mean(step.value, self.names, known)
            self._add(f"there is no step {in_words(step.plain())} to measure at", step.place, close)
        if quantity is not None and not isinstance(quantity.value, str):
            self._add(f"quantity should be the name of one, not {in_words(quantity.plain())}", quantity.place, hint)
        elif quantity is not None and quantity.value not in QUANTITIES:
            close = did_you_mean(quantity.value, list(QUANTITIES), "docs/quantities.md lists them.")
            self._add(f"{in_words(quantity.plain())} is no quantity that is known", quantity.place, close)
        if split is not None and split.value not in ("train", "val", "test", ""):
            self._add(f"split should be train, val or test, not {in_words(split.plain())}", split.place)
        at = self._at(node.child("at"))
        if len(self.problems) > before or step is None or quantity is None:
            return None
        return Measure(str(step.value), str(quantity.value), at, split.value if split is not None else None)

    def _at(self, node: Node | None) -> dict[str, Any]:
        if node is None or node.value is None:
            return {}
        if not isinstance(node.value, dict):
            hint = "Write at: {eps: 4/255}."
            self._add(f"at should be a mapping from names to values, not {in_words(node.plain())}", node.place, hint)
            return {}
        found: dict[str, Any] = {}
        for name, entry in node.value.items():
            value = entry.node.value
            fraction = _FRACTION.fullmatch(value) if isinstance(value, str) else None
            if fraction is not None and float(fraction[2]):
                found[name] = float(fraction[1]) / float(fraction[2])
            elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
                found[name] = value
            else:
                said = in_words(entry.node.plain())
                self._add(f"at {name} should be a number or a word, not {said}", entry.node.place)
        return found


def _bool_apart(value: Any, seen: Sequence[Any]) -> bool:
    """Whether a value equals others only as Python has it, where true is 1."""
    return not any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in seen)


def set_in_vain(block: Block, overrides: Sequence[str]) -> Iterator[Problem]:
    """What ``--set`` puts where a level of the matrix takes its place."""
    for order, assignment in enumerate(overrides, 1):
        path = assignment.partition("=")[0].removeprefix("steps.")
        for axis in block.axes:
            level = axis.path.removeprefix("steps.")
            if f"{level}.".startswith(f"{path}.") or f"{path}.".startswith(f"{level}."):
                place = Place(Source(assignment, "set", (assignment,), order), 1, 1, max(1, len(path)))
                hint = "Set study.matrix, or leave this out."
                yield Problem(f"levels of the study's {axis.path} take the place of what is set here", place, hint)
