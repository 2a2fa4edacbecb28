"""From a `study` block to its arms: levels are put into the document as ``--set`` does it, steps are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from math import prod
from typing import Any, NamedTuple

from fgic_core.data.digest import digest_bytes, digest_of
from fgic_core.description import Answer, Request
from fgic_core.description.words import in_words
from fgic_core.kinds.table import KINDS
from fgic_core.spec.ablation import changes, oracle_changes, without, wrong_to_leave_out
from fgic_core.spec.axes import Put, aimed, overlap
from fgic_core.spec.block import Axis, Block
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Problem
from fgic_core.spec.model import SpecStep
from fgic_core.spec.named import NamedArm
from fgic_core.spec.named_pipelines import NamedPipelines
from fgic_core.spec.overrides import put
from fgic_core.spec.study import Arm, Study

#: More runs than this no study has.
MOST_RUNS = 100_000
#: How many problems of combinations are told at once.
_MOST_TOLD = 20
_LONGEST = 100

#: The steps of a document, or what is wrong with it; of several at once.
Pipelines = Callable[[Sequence[Node]], list[tuple[list[SpecStep], list[Problem]]]]


class _Wanted(NamedTuple):
    """An arm that is asked for: the steps to leave out, the level of each axis by its number."""

    left_out: tuple[str, ...]
    combination: tuple[int, ...]
    oracle: bool = False
    named: NamedArm | None = None

    @property
    def pipeline(self) -> str | tuple[int, ...]:
        """Which whole pipeline it is made from."""
        return self.combination if self.named is None else self.named.name


class Expansion:
    """Expands one block.

    Args:
        block: well formed.
        root: the document.
        pipelines: checks documents; describe: describes components.
        defaults: the spec's own, by component.

    Attributes:
        problems: what is wrong.
    """

    def __init__(
        self,
        block: Block,
        root: Node,
        pipelines: Pipelines,
        describe: Callable[[Sequence[Request]], list[Answer]],
        defaults: Mapping[str, Node],
    ) -> None:
        self.block, self.root = block, root
        self._pipelines, self._describe, self._defaults = pipelines, describe, defaults
        self.problems: list[Problem] = []
        self._axes: list[Put] = []
        for axis in block.axes:
            self._axes += [one] if axis.levels and (one := self._aimed(axis)) is not None else []
        self._named = NamedPipelines(block, root, self._axes, self.problems)
        self._base = tuple(one.axis.base for one in self._axes)
        self._digests: dict[int, str] = {}
        self._other: dict[tuple[int, str], SpecStep] = {}
        self._alike: dict[tuple[Any, ...], SpecStep] = {}
        self._variants: dict[tuple[str, tuple[int, ...]], Node] = {}

    def _aimed(self, axis: Axis) -> Put | None:
        """Where the levels of an axis go; None where that is nowhere, or where others go, which is said."""
        found, problem = aimed(self.root, axis, "matrix", "no axis of a study")
        problem = problem or (overlap(found, self._axes) if found is not None else None)
        self.problems += [problem] if problem is not None else []
        return found if problem is None else None

    def document(self, combination: Sequence[int] | None = None) -> Node:
        """The document with these levels, or those of the baseline. Equal steps are one object."""
        root, combination = self.root, combination if combination is not None else self._base
        for step in dict.fromkeys(one.step for one in self._axes):
            at = tuple(number for number, one in enumerate(self._axes) if one.step == step)
            entry = root.value["steps"]
            node = self._variant(step, at, tuple(combination[number] for number in at))
            root = root.with_child("steps", entry.key, entry.node.with_child(step, entry.node.value[step].key, node))
        return root

    def _variant(self, step: str, at: tuple[int, ...], levels: tuple[int, ...]) -> Node:
        """A step of the document with the levels of its axes."""
        if (step, levels) not in self._variants:
            root = self.root
            for number, level in zip(at, levels, strict=True):
                one = self._axes[number]
                changed, problem = put(root, one.path, one.axis.levels[level])
                self.problems += [problem] if problem is not None and problem not in self.problems else []
                root = changed or root
            self._variants[step, levels] = root.value["steps"].node.value[step].node
        return self._variants[step, levels]

    def study(self, base: Sequence[SpecStep]) -> Study | None:
        """The study; None where something is wrong.

        Args:
            base: the steps of the baseline's document.
        """
        self._resampled(base)
        left_out = self._to_leave_out(base)
        every = self.block.every
        wanted = self._wanted(left_out)
        self._named.check(base)
        if wanted is None:
            return None
        if self.problems:
            self._look_at_each(base)
            return None
        pipelines = self._checked(dict.fromkeys(one.combination for one in wanted if one.named is None), base)
        if self.problems:
            return None
        arms = self._arms(wanted, pipelines)
        if self.problems:
            return None
        way, worth = self._named.way(arms), self._named.worth(arms)
        if self.problems:
            return None
        block, levels = self.block, {one.axis.path: one.levels for one in self._axes}
        given = self._given(base)
        return Study(
            seeds=block.seeds,
            ablate=left_out,
            every=every,
            cross=block.cross,
            matrix=levels,
            exclude=tuple(self._excluded()),
            measure=block.measure,
            margin=block.margin,
            baseline={one.axis.path: levels[one.axis.path][one.axis.base] for one in self._axes},
            oracle=block.oracle is not None,
            vary=block.vary,
            arms=arms,
            defaults=self._brought_in(base, arms, given),
            given=given,
            named=self._named.written(),
            decompose=way,
            worth=worth,
        )

    def look(self, base: Sequence[SpecStep]) -> None:
        """Say what is wrong with the levels and the arms of a block that is no study, as something else is wrong."""
        self._named.check(base)
        self._look_at_each(base)

    def _look_at_each(self, base: Sequence[SpecStep]) -> None:
        """Look at each level by itself, but for those that some entry of ``exclude`` names, and at each named arm."""
        named = {(path, level) for entry in self.block.exclude for path, level in entry.levels.items()}
        alone = [
            (*self._base[:number], level, *self._base[number + 1 :])
            for number, one in enumerate(self._axes)
            for level in range(len(one.levels))
            if (one.axis.path, level) not in named
        ]
        self._checked(dict.fromkeys(alone), base)

    def _resampled(self, base: Sequence[SpecStep]) -> None:
        """What learns by code of a kind from elsewhere is not known to draw its rows again."""
        for step in base:
            if "resample" in self.block.vary and step.described.learns and KINDS[step.described.kind].package != "fgic":
                message = f"step {step.name} ({step.uses}) learns, and its kind does not draw train rows again"
                hint = "Leave resample out of vary: the other steps' rows alone would be drawn again."
                self.problems.append(Problem(message, self.block.place, hint))

    # Which arms.

    def _to_leave_out(self, base: Sequence[SpecStep]) -> tuple[str, ...]:
        """The steps that are left out in some arm; one that cannot be is said."""
        if self.block.ablate is None:
            found = tuple(step.name for step in base if not wrong_to_leave_out(step))
            if not found:
                message = "no step can be left out: none takes a data set and gives one"
                self.problems.append(Problem(message, self.block.place, "Remove ablate."))
            return found
        can = [step.name for step in base if not wrong_to_leave_out(step)]
        steps = {step.name: step for step in base}
        for name, place in self.block.ablate:
            if why := wrong_to_leave_out(steps[name]):
                hint = f"Those that can are {', '.join(can)}." if can else "No step of this spec can be."
                self.problems.append(Problem(f"step {name} cannot be left out: {why}", place, hint))
        return tuple(name for name, _ in self.block.ablate)

    def _wanted(self, names: tuple[str, ...]) -> list[_Wanted] | None:
        """Every arm that is asked for, the baseline first; None where there are far too many."""
        block = self.block
        subsets = 2 ** len(names) if block.every else 1 + len(names)
        levels = prod(len(one.axis.levels) for one in self._axes)
        count = (levels * subsets if block.cross else levels + subsets - 1) + len(block.arms)
        count *= len(block.seeds)
        if count > MOST_RUNS:
            message = f"the study comes to {count:,} runs, and more than {MOST_RUNS:,} are never made"
            self.problems.append(Problem(message, block.place, "Name fewer levels, or fewer steps to leave out."))
            return None
        out = list(_subsets(names)) if block.every else [(), *((name,) for name in names)]
        every = list(product(*(range(len(one.axis.levels)) for one in self._axes)))
        found = [_Wanted((), self._base), *(_Wanted(one, self._base) for one in out)]
        found += [_Wanted(one, levels) for levels in every for one in (out if block.cross else [()])]
        found = self._left(list(dict.fromkeys(found)))
        found += [_Wanted((), self._base, oracle=True)] if block.oracle is not None else []
        order = list(self.root.value["steps"].node.value)
        for arm in self._named.arms:
            left_out = tuple(sorted((name for name, _ in arm.without), key=order.index))
            found.append(_Wanted(left_out, self._base, arm.oracle is not None, arm))
        return found

    def _left(self, wanted: list[_Wanted]) -> list[_Wanted]:
        """What ``exclude`` leaves; an entry that matches nothing, or the baseline, is a mistake."""
        numbers = {one.axis.path: number for number, one in enumerate(self._axes)}
        gone: set[_Wanted] = set()
        for entry in self.block.exclude:
            levels = [(numbers[path], level) for path, level in entry.levels.items() if path in numbers]
            matched = [
                one
                for one in wanted
                if entry.left_out <= {*one.left_out} and all(one.combination[at] == level for at, level in levels)
            ]
            if not matched:
                hint = "Ablations are made at the baseline alone, unless cross: true says otherwise."
                message = "this excludes nothing: no run of the study is like that"
                self.problems.append(Problem(message, entry.place, hint if entry.left_out and entry.levels else ""))
            elif wanted[0] in matched:
                hint = "Exclude something more special, or name another baseline."
                self.problems.append(Problem("this excludes the baseline", entry.place, hint))
            gone |= set(matched)
        return [one for one in wanted if one not in gone]

    def _excluded(self) -> Iterator[dict[str, Any]]:
        levels = {one.axis.path: one.levels for one in self._axes}
        for entry in self.block.exclude:
            named = {path: levels[path][level] for path, level in entry.levels.items()}
            yield named | ({"ablate": sorted(entry.left_out)} if entry.left_out else {})

    # What they are made of.

    def _checked(
        self, wanted: Iterable[tuple[int, ...]], base: Sequence[SpecStep]
    ) -> dict[str | tuple[int, ...], Sequence[SpecStep]]:
        """The whole pipelines by combination, and those of arms with names by these.

        What is wrong with a combination is told once, of the fewest levels that do it.
        """
        by_distance = sorted((one for one in wanted if one != self._base), key=lambda one: len(self._apart(one)))
        named = [self._named.document(arm, self.document()) for arm in self._named.arms]
        made = self._pipelines([*map(self.document, by_distance), *named])
        found: dict[str | tuple[int, ...], Sequence[SpecStep]] = {self._base: base}
        bad: list[set[tuple[int, int]]] = []
        for arm, (steps, problems) in zip(self._named.arms, made[len(by_distance) :], strict=True):
            found[arm.name] = steps
            self.problems += [self._named.told(problem, arm) for problem in problems]
        for combination, (steps, problems) in zip(by_distance, made, strict=False):
            found[combination] = steps
            if not problems or len(bad) >= _MOST_TOLD:
                continue
            apart = set(self._apart(combination))
            if not any(one <= apart for one in bad):
                bad.append(apart)
                self.problems += [self._told(problem, combination) for problem in problems]
        return found

    def _apart(self, combination: Sequence[int]) -> list[tuple[int, int]]:
        """The axes and levels in which a combination is not the baseline."""
        pairs = enumerate(zip(combination, self._base, strict=True))
        return [(number, level) for number, (level, base) in pairs if level != base]

    def _told(self, problem: Problem, combination: Sequence[int]) -> Problem:
        """A problem of a combination, at the place of the level that makes it."""
        apart = [self._axes[number].axis for number, _ in self._apart(combination)]
        levels = [self._axes[number].axis.levels[level] for number, level in self._apart(combination)]
        within = {level.place for level in levels}
        said = ", ".join(f"{axis.path}: {_short(level)}" for axis, level in zip(apart, levels, strict=True))
        if problem.place in within:
            words = f"{problem.message} (with {said})" if len(levels) > 1 else problem.message
            return replace(problem, message=words)
        line = f" (line {problem.line})" if problem.line and problem.source.name == levels[-1].place.source.name else ""
        hints = [problem.hint, f"Or leave it out: exclude: [{{{said}}}]."]
        if "has no option" in problem.message and any(axis.path.endswith(".uses") for axis in apart):
            hints.insert(1, "Put options that only one of them has under defaults: {kind/name: {option: value}}.")
        hint = " ".join(filter(None, hints))
        return Problem(f"with {said}, {problem.message}{line}", levels[-1].place, hint)

    def _arms(
        self, wanted: Sequence[_Wanted], pipelines: Mapping[str | tuple[int, ...], Sequence[SpecStep]]
    ) -> tuple[Arm, ...]:
        """The arms; those that come out the same are one, which has the name that is given where there is one."""
        found: dict[Any, Arm] = {}
        names: set[str] = set()
        asked = [self._altered(one, pipelines[one.pipeline]) for one in wanted]
        self._describe_others(asked)
        if self.problems:
            return ()
        for one, altered in zip(wanted, asked, strict=True):
            steps = [self._other[_place(step, changed)] if changed else step for step, changed in altered]
            whole = pipelines[one.pipeline]
            if one.oracle and not any(oracle_changes(step, whole) for step in whole if step.name not in one.left_out):
                hint = "It needs a detector before the cropper, and test_boxes that are not annotated already."
                message = "there is nothing for an oracle to know: no step crops test pictures to found boxes"
                asks = one.named.oracle if one.named is not None else self.block.oracle
                self.problems.append(Problem(message, asks or self.block.place, hint))
            steps = without(steps, one.left_out)
            same = tuple(map(self._identity, steps))
            if one.named is not None:
                made = found.get(same)
                if self._named.unfair(one.named, steps, pipelines[self._base]):
                    continue
                if self._named.placed(one.named, made, next(iter(found.values()), None), names):
                    names.add(one.named.name.lower())
                    kept = [self._alike.setdefault(place, step) for place, step in zip(same, steps, strict=True)]
                    arm = made or Arm("", one.left_out, self._levels(one), one.oracle, tuple(kept))
                    found[same] = replace(arm, name=one.named.name, under=one.named.under)
            elif same not in found:
                found[same] = Arm(self._name(one, names), one.left_out, self._levels(one), one.oracle, tuple(steps))
                self._alike |= {
                    place: step for place, step in zip(same, steps, strict=True) if place not in self._alike
                }
        return tuple(found.values())

    @staticmethod
    def _altered(one: _Wanted, steps: Sequence[SpecStep]) -> list[tuple[SpecStep, dict[str, Any]]]:
        """The steps of the whole pipeline, each with the options that are others in this arm."""
        found = []
        for step in steps:
            changed = changes(step, steps, one.left_out) if one.left_out else {}
            found.append((step, changed | (oracle_changes(step, steps) if one.oracle else {})))
        return found

    def _describe_others(self, asked: Sequence[list[tuple[SpecStep, dict[str, Any]]]]) -> None:
        """Describe every step whose options are others in some arm, each once."""
        lacking = {_place(step, changed): (step, changed) for one in asked for step, changed in one if changed}
        requests = [replace(s.request, options={**s.request.options, **changed}) for s, changed in lacking.values()]
        answers = self._describe(requests)
        for (place, (step, changed)), request, answer in zip(lacking.items(), requests, answers, strict=True):
            if answer.described is None or answer.described.misplaced:
                said = ", ".join(f"{name}: {value}" for name, value in changed.items())
                message = f"step {step.name} ({step.uses}) does not take {said}, which an arm of this study asks for"
                self.problems.append(Problem(message, self.block.place))
                continue
            given = {**step.given, **changed}
            self._other[place] = replace(step, described=answer.described, request=request, given=given)

    def _identity(self, step: SpecStep) -> tuple[Any, ...]:
        """What tells two steps apart."""
        digest = self._digests.get(id(step.described))
        if digest is None:
            digest = self._digests[id(step.described)] = digest_of([step.uses, step.described.options])
        wiring = tuple(
            (port, tuple(given) if isinstance(given, list) else given) for port, given in step.inputs.items()
        )
        return step.name, digest, wiring, step.seed, step.seeded, tuple(step.streams.items())

    # How they are called.

    def _levels(self, one: _Wanted) -> dict[str, Any]:
        pairs = zip(self._axes, one.combination, strict=True)
        found = {axis.axis.path: axis.levels[level] for axis, level in pairs if axis.step not in one.left_out}
        return found | (self._named.levels(one.named) if one.named is not None else {})

    def _name(self, one: _Wanted, names: set[str]) -> str:
        """A name for an arm that no other has."""
        parts = [f"without-{'-'.join(one.left_out)}"] if one.left_out else []
        for number, level in self._apart(one.combination):
            axis = self._axes[number]
            if axis.step not in one.left_out:
                parts.append(f"{_readable(axis.axis.path)}={_readable(_short(axis.axis.levels[level]))}")
        name = "oracle" if one.oracle else ",".join(parts) or "full"
        if len(name) > _LONGEST:
            name = f"{name[: _LONGEST - 9]}-{digest_bytes(name.encode())[:8]}"
        number = 1
        while (free := name if number == 1 else f"{name}-{number}").lower() in names:
            number += 1
        names.add(free.lower())
        return free

    # What `Study.resolved` needs.

    def _given(self, base: Sequence[SpecStep]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """The options and the ports that are written, of steps that the matrix or an arm gives other components."""
        steps, found = self.root.value["steps"].node, {}
        swapped = {one.step for one in self._axes if one.path[2][0] == "uses"} | self._named.swapped()
        for step in base:
            if step.name in swapped:
                written = [steps.child(step.name).child(part) for part in ("with", "from")]
                options, ports = (tuple(one.value) if one is not None and one.value else () for one in written)
                found[step.name] = options, ports
        return found

    def _brought_in(
        self, base: Sequence[SpecStep], arms: Sequence[Arm], given: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """The spec's defaults for components of such steps, with their paths made absolute."""
        found: dict[str, dict[str, Any]] = {}
        for arm in arms:
            for step in arm.steps:
                if step.name in given and step.uses in self._defaults and step.uses not in found:
                    options = step.described.options
                    found[step.uses] = {
                        name: options[name] for name in self._defaults[step.uses].value if name in options
                    }
        return found


def _place(step: SpecStep, changed: Mapping[str, Any]) -> tuple[int, str]:
    return id(step), json.dumps(changed, sort_keys=True)


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(len(names) + 1):
        yield from combinations(names, count)


def _short(level: Node) -> str:
    """A level in a few characters."""
    value = level.plain()
    if value is None or isinstance(value, bool):
        return in_words(value)
    return str(value) if isinstance(value, (str, int, float)) else json.dumps(value, default=str)


def _readable(text: str) -> str:
    """Text that can stand in the name of a folder: ``crops.margin`` for ``crops.with.margin``."""
    text = text.removeprefix("steps.").replace(".with.", ".")
    if re.fullmatch(r"[A-Za-z0-9._+-]+", text):  # -1 is not 1
        return text
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-") or "none"
