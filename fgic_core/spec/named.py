"""Reads what a `study` block gives names to: arms, the way through them, and those whose pictures' worth is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fgic_core.description.words import in_words
from fgic_core.spec.block import Axis, Block
from fgic_core.spec.document import Entry, Node
from fgic_core.spec.errors import Place, Problem, did_you_mean, misspelt

#: Names that the arms of every study have.
TAKEN = ("full", "oracle")
#: A name of an arm: it is one of a folder.
NAME = r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,98}[A-Za-z0-9_+-])?"

#: A word of the block and where it stands.
Word = tuple[str, Place]
_WAY = "Write decompose: [arm, {name of the part: arm}, …]."
_WORTH = "Write worth: {arms: [arm, …], curve: [arm, arm, …]}."


@dataclass(frozen=True, slots=True)
class NamedArm:
    """An arm with a name, as it is written.

    Attributes:
        name: of the arm; key: where it stands; under: below which word of the block.
        levels: what it puts where, each an axis with one level.
        without: the steps that it leaves out.
        oracle: where it asks for annotated boxes of test pictures; None where it does not.
    """

    name: str
    key: Place
    under: Literal["arms", "beside"]
    levels: tuple[Axis, ...]
    without: tuple[Word, ...]
    oracle: Place | None


class NamedReader:
    """Reads these words of one block into it; `problems` are those that it found.

    Args:
        block: what the words go into.
        steps: the names of the spec's steps, in its order.
    """

    def __init__(self, block: Block, steps: Sequence[str]) -> None:
        self.block, self.names = block, list(steps)
        self.problems: list[Problem] = []

    def _add(self, message: str, place: Place, hint: str = "") -> None:
        self.problems.append(Problem(message, place, hint))

    def read(self, node: Node) -> list[Problem]:
        """What is wrong with these words of the block.

        Args:
            node: the value of ``study``.
        """
        words: Mapping[str, Entry] = node.value if isinstance(node.value, dict) else {}
        given = {key: entry for key, entry in words.items() if entry.node.value is not None}
        for under in ("arms", "beside"):
            if under in given:
                self._arms(given[under], under)
        if "decompose" in given:
            self._decompose(given["decompose"].node)
        if "worth" in given:
            self._worth(given["worth"].node)
        return self.problems

    # Arms.

    def _arms(self, entry: Entry, under: Literal["arms", "beside"]) -> None:
        example = f"Write {under}: {{name: {{step.with.option: value, without: [step]}}}}."
        if not isinstance(entry.node.value, dict) or not entry.node.value:
            said = "nothing" if entry.node.value == {} else in_words(entry.node.plain())
            self._add(f"{under} should be a mapping from names to what is other there, not {said}", entry.key, example)
            return
        for name, one in entry.node.value.items():
            if self._is_name(name, one.key):
                self._arm(name, one, under)

    def _is_name(self, name: str, place: Place) -> bool:
        """Whether an arm may be called so; else that is said."""
        other = next((arm for arm in self.block.arms if arm.name.lower() == name.lower()), None)
        if name.lower() in TAKEN:
            self._add(f"an arm should not be called {name}: one of the study's own is", place, "Choose another name.")
        elif re.fullmatch(NAME, name) is None:
            hint = "It names a folder: letters, digits, '.', '_', '+' and '-', and a letter or digit first."
            self._add(f"{in_words(name)} should not name an arm", place, hint)
        elif other is not None:
            where = f"under {other.under}" if other.name == name else f"as {other.name}"
            self._add(f"an arm {name} is there already, {where}", place, "Every arm needs a name of its own.")
        else:
            return True
        return False

    def _arm(self, name: str, entry: Entry, under: Literal["arms", "beside"]) -> None:
        node, hint = entry.node, "Write {step.with.option: value}, {without: [step]}, or both."
        if not isinstance(node.value, dict) or not node.value:
            said = "does not say what is other in it" if not node.value else f"is {in_words(node.plain())}"
            self._add(f"arm {name} {said}, and should be a mapping", entry.key, hint)
            return
        levels: list[Axis] = []
        without: list[Word] = []
        oracle: Place | None = None
        for path, one in node.value.items():
            if path == "without":
                without = list(self._without(one.node, hint))
            elif path == "oracle":
                oracle = self._oracle(one, under)
            elif "." not in path:
                close = did_you_mean(path, ("without", "oracle"), hint)
                self._add(f"{path} is nothing that an arm can say", one.key, close)
            else:
                levels.append(Axis(path, one.key, (one.node,)))
        for axis in levels:
            step = axis.path.removeprefix("steps.").partition(".")[0]
            if step in (left_out for left_out, _ in without):
                self._add(f"step {step} is left out of arm {name}, and has no level there", axis.key, "Remove one.")
        self.block.arms.append(NamedArm(name, entry.key, under, tuple(levels), tuple(without), oracle))

    def _without(self, node: Node, hint: str) -> Iterator[Word]:
        seen: list[str] = []
        one_alone = isinstance(node.value, str)
        if not one_alone and (not isinstance(node.value, list) or not node.value):
            said = "should not be empty" if node.value == [] else f"should be a list, not {in_words(node.plain())}"
            self._add(f"without {said}", node.place, hint)
            return
        for one in [node] if one_alone else node.value:
            if not isinstance(one.value, str):
                self._add(f"without should name steps, not {in_words(one.plain())}", one.place, hint)
            elif one.value not in self.names:
                known = f"Steps are {', '.join(self.names)}."
                close = did_you_mean(one.value, self.names, known)
                self._add(f"there is no step {in_words(one.plain())} to leave out", one.place, close)
            elif one.value in seen:
                self._add(f"step {one.value} is named twice", one.place, "Name each step once.")
            else:
                seen.append(one.value)
                yield one.value, one.place

    def _oracle(self, entry: Entry, under: str) -> Place | None:
        value = entry.node.value
        if not isinstance(value, bool):
            self._add(f"oracle should be true or false, not {in_words(entry.node.plain())}", entry.node.place)
        elif value and under != "beside":
            self.problems.append(oracle_in_a_family(entry.key))
        return entry.key if value is True else None

    # What names arms.

    def _decompose(self, node: Node) -> None:
        if not isinstance(node.value, list):
            self._add(f"decompose should be a list of arms, not {in_words(node.plain())}", node.place, _WAY)
            return
        found: list[tuple[Word, Word]] = []
        for number, one in enumerate(node.value):
            pair = self._part(one, first=number == 0)
            if pair is None:
                continue
            (part, place), (arm, at) = pair
            if arm in (other for _, (other, _) in found):
                self._add(f"arm {arm} is on the way twice", at, "A way goes through an arm once.")
            elif part in (other for (other, _), _ in found):
                self._add(f"two parts are called {part}", place, "Give each part a name of its own.")
            else:
                found.append(pair)
        if len(node.value) < 2:
            self._add("a way needs two arms or more, from one to another", node.place, _WAY)
        self.block.decompose = found

    def _part(self, node: Node, *, first: bool) -> tuple[Word, Word] | None:
        """What a part of the way is called, and the arm that it leads to."""
        if isinstance(node.value, str):
            return (node.value, node.place), (node.value, node.place)
        if not isinstance(node.value, dict) or len(node.value) != 1:
            self._add(f"a step of the way should name an arm, not {in_words(node.plain())}", node.place, _WAY)
            return None
        ((part, entry),) = node.value.items()
        if not isinstance(entry.node.value, str):
            said = in_words(entry.node.plain())
            self._add(f"part {part} should lead to an arm, not {said}", entry.node.place, _WAY)
        elif first:
            hint = f"Write {entry.node.value} alone."
            self._add("the first arm of a way has no part that leads to it", entry.key, hint)
        elif not part.strip():
            self._add("a part of the way needs a name", entry.key, _WAY)
        else:
            return (part, entry.key), (entry.node.value, entry.node.place)
        return None

    def _worth(self, node: Node) -> None:
        if not isinstance(node.value, dict):
            self._add(f"worth should be a mapping, not {in_words(node.plain())}", node.place, _WORTH)
            return
        least = {"arms": 1, "curve": 2}
        for key, entry in node.value.items():
            if key not in least:
                self._add(f"worth has no {key}", entry.key, did_you_mean(key, tuple(least), _WORTH))
        seen: list[str] = []
        for key, count in least.items():
            one = node.child(key)
            if one is None:
                if not misspelt(key, node.value, tuple(least)):
                    self._add(f"worth does not say its {key}", node.place, _WORTH)
            elif not isinstance(one.value, list):
                self._add(f"{key} of worth should be a list of arms, not {in_words(one.plain())}", one.place, _WORTH)
            else:
                if len(one.value) < count:
                    self._add(f"{key} of worth should name {_numbers(count)}", one.place, _WORTH)
                self.block.worth[key] = list(self._listed(one, seen))

    def _listed(self, node: Node, seen: list[str]) -> Iterator[Word]:
        """The arms of a list; none stands in two of them."""
        for one in node.value:
            if not isinstance(one.value, str):
                self._add(f"worth should name arms, not {in_words(one.plain())}", one.place, _WORTH)
            elif one.value in seen:
                hint = "The curve is of real pictures alone; arms are those with made ones too. Name each once."
                self._add(f"arm {one.value} is named twice", one.place, hint)
            else:
                seen.append(one.value)
                yield one.value, one.place


def oracle_in_a_family(place: Place) -> Problem:
    """That an arm which knows what nobody knows is to be judged."""
    hint = "Nobody has such boxes in practice: name the arm under beside."
    return Problem("an arm with annotated boxes of test pictures is in no family of tests", place, hint)


def _numbers(count: int) -> str:
    return "one arm or more" if count == 1 else "two arms or more"
