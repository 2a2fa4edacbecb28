"""The runs of a study, and what they come to: the nodes that they share, and what computing them may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.streams import STREAMS, Stream
from fgic_core.errors import StoreError
from fgic_core.plan.forecast import took
from fgic_core.plan.keys import Keys
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep
from fgic_core.plan.shared import Shared
from fgic_core.registry import Registry
from fgic_core.spec import Spec, SpecStep
from fgic_core.spec.study import Arm, Study
from fgic_core.store.store import Store

#: Of how many nodes that are alike it is looked up what they took.
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study: an arm with a seed.

    Attributes:
        spec: what is run; it has no study.
    """

    arm: Arm
    seed: int
    spec: Spec


def runs_of(spec: Spec) -> Iterator[Run]:
    """The runs of a spec's study: every arm with the first seed, then with the next.

    The seed takes the place of the spec's in steps that learn, and in those that make what is learned from. Readers,
    and steps that only measure, keep the spec's, so that test rows never vary; a seed of a step's own stays.
    """
    study = spec.study
    assert study is not None
    seeded: dict[tuple[int, int], SpecStep] = {}
    for seed in study.seeds:
        for arm in study.arms:
            steps = []
            for step in arm.steps:
                if (id(step), seed) not in seeded:
                    seeded[id(step), seed] = with_seed(step, seed, study.vary)
                steps.append(seeded[id(step), seed])
            yield Run(arm, seed, replace(spec, seed=seed, steps=tuple(steps), study=None))


def with_seed(step: SpecStep, seed: int, vary: Sequence[Stream]) -> SpecStep:
    """A step in a run of that seed.

    Args:
        step: with the spec's seed.
        seed: of the run.
        vary: what it draws; of the other streams the spec's does.
    """
    if step.seeded or not takes_seed(step):
        return step
    of = {stream: seed if stream in vary else step.seed for stream in STREAMS}
    streams = {stream: of[stream] for stream in ("init", "split") if of[stream] != of["order"]}
    resampled = {"resample": seed} if "resample" in vary else {}
    return replace(step, seed=of["order"], streams={**streams, **resampled})


def takes_seed(step: SpecStep) -> bool:
    """Whether a study's seed is a step's: one that draws, and learns or makes of one data set another."""
    makes = step.described.manifest.gives == "dataset" and any(
        port.type == "dataset" for name, port in step.described.ports.items() if name in step.inputs
    )
    return step.described.any_draws and (step.described.learns or makes)


@dataclass(slots=True)
class Share:
    """The nodes of one name, such as ``classifier.fit``, in all runs together.

    Attributes:
        nodes: how many there are; computed: how many of them are to be computed, at most.
        runs: how many runs need one.
    """

    nodes: int = 0
    computed: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """What is to be computed may take so much, by what nodes like it took.

    Attributes:
        low, high: with the least and the most that one like it took; middle: with their mean.
        known: of how many nodes it is known; of: how many there are.
    """

    low: float
    middle: float
    high: float
    known: int
    of: int


@dataclass(slots=True)
class _Node:
    """A node that several runs may need."""

    name: str
    planned: PlannedStep
    reused: bool
    folder: Any
    key: str


@dataclass
class StudyPlan:
    """The plans of a study's runs.

    Attributes:
        spec: with the study.
        runs: in the order in which they are begun; plans: one for each.
        shared: what they have in common.
    """

    spec: Spec
    runs: list[Run]
    plans: list[Plan]
    shared: Shared
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _shares: dict[str, Share] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed: dict[int, tuple[PlannedStep, int]] = {}
        for plan in self.plans:
            for step in plan.steps:
                needed[id(step)] = step, needed.get(id(step), (step, 0))[1] + 1
        for step, runs in needed.values():
            for node in _nodes_of(step):
                share = self._shares.setdefault(node.name, Share())
                share.runs += runs
                if node.key not in self._nodes:
                    self._nodes[node.key] = node
                    share.nodes += 1
                    share.computed += not node.reused

    @property
    def study(self) -> Study:
        """What is asked for."""
        assert self.spec.study is not None
        return self.spec.study

    @property
    def nodes(self) -> int:
        """How many nodes there are: what several runs need is one."""
        return len(self._nodes)

    @property
    def computed(self) -> int:
        """How many of them are to be computed, at most: two may turn out to be one."""
        return sum(not node.reused for node in self._nodes.values())

    def to_compute(self, chosen: Sequence[Sequence[str]]) -> int:
        """How many nodes are to be computed, at most, where of each run these steps are wanted."""
        wanted: dict[int, PlannedStep] = {}
        for plan, names in zip(self.plans, chosen, strict=True):
            wanted |= {id(step): step for step in plan.steps if step.name in names}
        return len({node.key for step in wanted.values() for node in _nodes_of(step) if not node.reused})

    @property
    def settled(self) -> bool:
        """Whether every node is known by the content of what it is given."""
        return all(node.planned.settled for node in self._nodes.values())

    def shares(self) -> Mapping[str, Share]:
        """By the name of a node, in the order of the steps."""
        order = {step.name: number for number, step in enumerate(self.spec.steps)}
        known = sorted(self._shares.items(), key=lambda one: order.get(one[0].partition(".")[0], len(order)))
        return dict(known)

    def seconds(self) -> Range | None:
        """What is to be computed may take, one node after the other; None where nothing like it was ever computed."""
        return self._range("seconds")

    def size(self) -> Range | None:
        """The bytes that it may take in the store; None where nothing like it is there."""
        return self._range("bytes")

    def _range(self, what: str) -> Range | None:
        waiting: dict[tuple[Any, ...], list[_Node]] = {}
        alike: dict[tuple[Any, ...], list[_Node]] = {}
        for node in self._nodes.values():
            place = (node.name, id(node.planned.described))
            (alike if node.reused else waiting).setdefault(place, []).append(node)
        low = middle = high = 0.0
        known = 0
        for place, nodes in waiting.items():
            found = [one for node in alike.get(place, ())[:_LOOKED_AT] if (one := _what(node, what)) is not None]
            if not found and (one := self._before(nodes[0], what)) is not None:
                found = [one]
            if found:
                count = len(nodes)
                known += count
                low, high = low + count * min(found), high + count * max(found)
                middle += count * sum(found) / len(found)
        return Range(low, middle, high, known, self.computed) if known else None

    def _before(self, node: _Node, what: str) -> float | None:
        """What such a node took when a spec of this name last computed it with the same options."""
        record = took(self.plans[0].store, self.spec.name, node.planned, node.name)
        return _measured(record, what) if record is not None else None


def plan_study(
    spec: Spec, registry: Registry, store: Store, fresh: bool = False, keys: Keys | None = None
) -> StudyPlan:
    """Plan every run of a study; what they share is planned once. Computes nothing.

    Args:
        fresh: compute everything anew, once for all the runs that need it.
        keys: see `fgic_core.plan.plan.make_plan`.
    """
    keys = keys if keys is not None else Keys()
    shared, runs = Shared(), list(runs_of(spec))
    plans = [Plan(run.spec, registry, store, keys, fresh, shared) for run in runs]
    keys.memory.flush()
    return StudyPlan(spec, runs, plans, shared)


def _nodes_of(step: PlannedStep) -> Iterator[_Node]:
    """What is to be computed of a step, or was."""
    if step.lessons is None:  # usually one
        yield _Node(f"{step.name}.fit", step, False, None, f"{step.key}.fit")
    for lesson in step.lessons or ():
        name = f"{step.name}.{lesson.name or 'fit'}"
        yield _Node(name, step, lesson.reused, lesson.folder, lesson.key)
    yield _Node(step.name, step, step.reused, step.folder, step.key)


def _what(node: _Node, what: str) -> float | None:
    try:
        return _measured(ArtifactRecord.read(node.folder), what)
    except StoreError:
        return None


def _measured(record: ArtifactRecord, what: str) -> float:
    return record.seconds if what == "seconds" else float(sum(file.size for file in record.files.values()))
