"""From the names of a `study` block to its arms: what is other in each is put into the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fgic_core.spec.ablation import oracle_changes, wrong_to_leave_out
from fgic_core.spec.axes import Put, aimed, overlap
from fgic_core.spec.block import Block
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Problem, did_you_mean
from fgic_core.spec.model import SpecStep
from fgic_core.spec.named import NamedArm, Word, oracle_in_a_family
from fgic_core.spec.overrides import put
from fgic_core.spec.study import Arm, PathStep, WorthAsked

#: So many arms are listed where a name is none of them.
_LISTED = 12


class NamedPipelines:
    """The arms that one block names.

    Args:
        block: well formed.
        root: the document.
        axes: of the matrix.
        problems: what is wrong is put here.

    Attributes:
        arms: in the order of the block.
        other_names: of arms that were made and have a given name now, that by the one that they would have had.
    """

    def __init__(self, block: Block, root: Node, axes: Sequence[Put], problems: list[Problem]) -> None:
        self.block, self.arms, self.problems = block, tuple(block.arms), problems
        self.other_names: dict[str, str] = {}
        self._puts: dict[str, list[Put]] = {arm.name: [] for arm in self.arms}
        for arm in self.arms:
            for axis in arm.levels:
                found, problem = aimed(root, axis, arm.under, "nothing that an arm can have a level of")
                if found is not None:
                    beside = [one for one in axes if one.axis.path != axis.path]  # by its own path it has another level
                    problem = overlap(found, [*beside, *self._puts[arm.name]])
                    self._puts[arm.name] += [found] if problem is None else []
                self.problems += [problem] if problem is not None else []

    def check(self, base: Sequence[SpecStep]) -> None:
        """See that what is left out can be, in the baseline's pipeline."""
        steps = {step.name: step for step in base}
        can = [step.name for step in base if not wrong_to_leave_out(step)]
        for arm in self.arms:
            for name, place in arm.without:
                if name in steps and (why := wrong_to_leave_out(steps[name])):
                    hint = f"Those that can are {', '.join(can)}." if can else "No step of this spec can be."
                    self.problems.append(Problem(f"step {name} cannot be left out: {why}", place, hint))

    def document(self, arm: NamedArm, base: Node) -> Node:
        """The baseline's document with what is other in an arm."""
        for one in self._puts[arm.name]:
            changed, problem = put(base, one.path, one.axis.levels[0])
            self.problems += [problem] if problem is not None else []
            base = changed or base
        return base

    def told(self, problem: Problem, arm: NamedArm) -> Problem:
        """A problem of an arm's pipeline, at the place of the level that makes it."""
        if not arm.levels:
            return replace(problem, message=f"in arm {arm.name}, {problem.message}", place=arm.key)
        level = arm.levels[-1].levels[0]
        if problem.source.kind == "axis" or any(_within(problem, axis.levels[0]) for axis in arm.levels):
            return problem  # it stands at a value, or a word of a path, that is written here
        line = f" (line {problem.line})" if problem.line and problem.source.name == level.place.source.name else ""
        hint = problem.hint
        if "has no option" in problem.message and any(axis.path.endswith(".uses") for axis in arm.levels):
            hint = f"{hint} Put options that only one of them has under defaults: {{kind/name: {{option: value}}}}."
        return Problem(f"in arm {arm.name}, {problem.message}{line}", level.place, hint.strip())

    def levels(self, arm: NamedArm) -> dict[str, Any]:
        """What an arm puts where, by path."""
        return {one.axis.path: one.levels[0] for one in self._puts[arm.name]}

    def swapped(self) -> set[str]:
        """The steps that some arm gives another component."""
        return {one.step for puts in self._puts.values() for one in puts if one.path[2][0] == "uses"}

    def unfair(self, arm: NamedArm, steps: Sequence[SpecStep], base: Sequence[SpecStep]) -> bool:
        """Whether an arm of the family knows what in the baseline only an oracle would; that is said.

        Args:
            arm: as it is written; steps: its own.
            base: those of the baseline.
        """
        if arm.under == "beside":
            return False
        own = {step.name: step.described.options for step in steps}
        for step in base:
            known = oracle_changes(step, base)
            if known and step.name in own and all(own[step.name].get(name) == known[name] for name in known):
                paths = [("steps", step.name, "with", name) for name in known]
                sets = [
                    one for one in self._puts[arm.name] if any(path[: len(one.words)] == one.words for path in paths)
                ]
                self.problems.append(oracle_in_a_family(sets[0].axis.key if sets else arm.key))
                return True
        return False

    def placed(self, arm: NamedArm, made: Arm | None, base: Arm | None, names: set[str]) -> bool:
        """Whether an arm can have its name; else why not is said.

        Args:
            arm: as it is written; made: one that came out the same; base: the baseline.
            names: that arms have, in lower case.
        """
        problem = None
        if made is not None and made is base:
            hint = f"Say what is other in it; {made.name} names the baseline wherever an arm is named."
            problem = Problem(f"arm {arm.name} is the same pipeline as the baseline", arm.key, hint)
        elif made is not None and made.under:
            hint = "Name it once; both names would mean the same runs."
            problem = Problem(f"arm {arm.name} is the same pipeline as arm {made.name}", arm.key, hint)
        elif arm.name.lower() in names and (made is None or made.name.lower() != arm.name.lower()):
            hint = "Arms that the block makes itself are called so; choose another name."
            problem = Problem(f"arm {arm.name} has the name of another arm of this study", arm.key, hint)
        elif made is not None:
            self.other_names[made.name] = arm.name
        self.problems += [problem] if problem is not None else []
        return problem is None

    def written(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What the block says of each arm, by the word that it stands under."""
        found: dict[str, dict[str, dict[str, Any]]] = {"arms": {}, "beside": {}}
        for arm in self.arms:
            without = {"without": [name for name, _ in arm.without]} if arm.without else {}
            oracle = {"oracle": True} if arm.oracle is not None else {}
            found[arm.under][arm.name] = {**self.levels(arm), **without, **oracle}
        return found

    # What names arms.

    def way(self, arms: Sequence[Arm]) -> tuple[PathStep, ...]:
        """The arms of the way through them."""
        found: dict[str, PathStep] = {}
        for (part, _), word in self.block.decompose:
            name = self._found(word, arms)
            if name in found:
                hint = f"{word[0]} is another name of {name}."
                self.problems.append(Problem(f"arm {name} is on the way twice", word[1], hint))
            elif name:
                found[name] = PathStep(name, name if part == word[0] else part)
        return tuple(found.values())

    def worth(self, arms: Sequence[Arm]) -> WorthAsked | None:
        """The arms whose pictures' worth is asked."""
        asked = self.block.worth
        if not asked:
            return None
        found: dict[str, str] = {}
        for key, words in asked.items():
            for word in words:
                if (name := self._found(word, arms)) in found:
                    hint = f"{word[0]} is another name of {name}."
                    self.problems.append(Problem(f"arm {name} is named twice", word[1], hint))
                found |= {name: key} if name else {}
        named = {key: tuple(name for name, under in found.items() if under == key) for key in asked}
        return WorthAsked(named["arms"], named["curve"])

    def _found(self, word: Word, arms: Iterable[Arm]) -> str:
        """The name of the arm that a word means; empty where there is none, which is said."""
        name, place = word
        names = [arm.name for arm in arms]
        if name in names:
            return name
        if name in self.other_names:
            return self.other_names[name]
        known = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
        hint = did_you_mean(name, names, f"Arms are {known}.")
        if name == "oracle":
            hint = "Write oracle: true, and there is one."
        self.problems.append(Problem(f"there is no arm {name}", place, hint))
        return ""


def _within(problem: Problem, node: Node) -> bool:
    """Whether a problem stands inside of a value that is written in an arm."""
    if problem.place == node.place:
        return True
    if isinstance(node.value, Mapping):
        return any(problem.place == one.key or _within(problem, one.node) for one in node.value.values())
    return isinstance(node.value, list) and any(_within(problem, one) for one in node.value)
