"""How long all of a graph may still take, by what its nodes took the last time; nothing where that is not known."""

from __future__ import annotations

from collections.abc import Sequence

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import StoreError
from fgic_core.kinds.ports import all_steps
from fgic_core.plan.graph import Branch, Node, Place, State
from fgic_core.plan.keys import key_of
from fgic_core.plan.planned import PlannedStep
from fgic_core.plan.reasons import is_document
from fgic_core.store.store import Store


class Forecast:
    """Knows what each node took when a spec of this name last computed it with the same options.

    Made before the run begins: what a node took is found by the document that the run puts another in place of.

    Args:
        branches: the runs.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = branches
        self._took: dict[tuple[int, str], float | None] = {}
        self._learned: dict[tuple[str, int], list[float]] = {}
        known: dict[tuple[str, int, str], float | None] = {}  # the runs of a study share what they plan
        for number, branch in enumerate(branches):
            for planned in branch.plan.steps:
                if planned.name in branch.chosen and not planned.reused:
                    for name in _names(planned):
                        place = (branch.plan.spec.name, id(planned), name)
                        if place not in known:
                            record = took(branch.plan.store, branch.plan.spec.name, planned, name)
                            known[place] = record.seconds if record is not None else None
                        self._took[number, name] = known[place]

    def learn(self, planned: PlannedStep, name: str, seconds: float) -> None:
        """A node was computed: others of the same step and options, of another seed or arm, will take about as long."""
        self._learned.setdefault((name, id(planned.described)), []).append(seconds)

    def _take(self, branch: int, planned: PlannedStep, name: str) -> float | None:
        """What a node will take, about; None where none like it is known."""
        if learned := self._learned.get((name, id(planned.described))):
            return sum(learned) / len(learned)
        return self._took.get((branch, name))

    def left(self, state: State, slots: int, now: float) -> float | None:
        """Seconds from now on, about; None where one of the nodes that are left was never computed so.

        Args:
            state: how far it is; slots: how many nodes are computed at once.
            now: a monotonic clock's time.
        """
        began = {task.node.key: task.began for task in state.running}
        seen: set[str] = set()
        work, ends = 0.0, dict[Place, float]()
        for place in sorted(state.standing):
            branch = self._branches[place.branch]
            planned = branch.plan.steps[place.step]
            own = 0.0
            for name, key in _left(planned) if planned.name in branch.chosen else ():
                if (took := self._take(place.branch, planned, name)) is None:
                    return None
                if key not in seen:
                    own += max(0.0, took - (now - began[key] if key in began else 0.0))
                seen |= {key} if key else set()
            names = [step.name for step in branch.plan.steps]
            above = [Place(place.branch, names.index(name)) for name in all_steps(planned.inputs)]
            ends[place] = own + max((ends.get(one, 0.0) for one in above), default=0.0)
            work += own
        return max(work / slots, *ends.values()) if ends else 0.0


def _left(planned: PlannedStep) -> list[tuple[str, str]]:
    """The names of a step's nodes that are to be computed, with their keys; empty for one that is not known yet."""
    names = _names(planned)
    if planned.lessons is None:
        found = [(name, "") for name in names[:-1]]
    else:
        found = [(name, one.key) for name, one in zip(names, planned.lessons, strict=False) if not one.reused]
    return found if planned.reused else [*found, (names[-1], planned.key if planned.settled else "")]


def _names(planned: PlannedStep) -> list[str]:
    """The names of a step's nodes; where its trainings are not known before its inputs exist there is usually one."""
    if planned.lessons is None:
        return [f"{planned.name}.fit", planned.name]
    nodes = [Node(Place(0, 0), planned.name, lesson.key, lesson) for lesson in planned.lessons]
    return [*(node.name for node in nodes), planned.name]


def took(store: Store, spec: str, planned: PlannedStep, name: str) -> ArtifactRecord | None:
    """The record of a node when a spec of that name last computed it with the same options; None where it did not.

    Args:
        store: where it may lie.
        spec: its name.
        planned: the step; name: of its node.
    """
    last, options = store.last(spec, name), planned.document["options"]
    if not is_document(last) or last is None or last["uses"] != planned.uses:
        return None
    if any(options.get(option) != value for option, value in last["options"].items()):
        return None
    if planned.lessons is None and name != planned.name and store.parts(spec, planned.name) != ["fit"]:
        return None  # it had several trainings, and may have another number of them now
    try:
        return ArtifactRecord.read(store.folder(key_of(last)))
    except StoreError:
        return None
