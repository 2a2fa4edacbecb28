"""Walks a graph: takes from the store what is there, has an executor compute the rest, and keeps the runs' records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, Interrupted, StoreError
from fgic_core.kinds.ports import all_steps
from fgic_core.plan.forecast import Forecast
from fgic_core.plan.graph import Branch, Node, Place, Standing, State, Task
from fgic_core.plan.planned import PlannedStep
from fgic_core.registry import Registry
from fgic_core.run.computing import Computing
from fgic_core.run.documents import Resources, roots_of
from fgic_core.run.executor import Executor
from fgic_core.run.failures import Failures, how_to_go_on
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.observers import NodeListener
from fgic_core.run.rehearsals import refusal, rehearsals_of
from fgic_core.store.record import StepRecord

#: The share of its time, at most, that a look at how long it takes may take: one in so many.
_SHARE = 20
#: Seconds between two looks at what cannot be begun yet, because another run is at it.
_TICK = 0.1


class Watch(Protocol):
    """Who is told of whole branches, by their numbers."""

    def begun(self, number: int) -> None:
        """The first step of a branch is looked at: its directory is wanted."""

    def ended(self, number: int) -> None:
        """Every step of a branch is over."""


class Scheduler:
    """Computes the nodes of a graph, as many at once as the executor has slots, in the order of the specs.

    A node that several steps or branches need is computed once. What fails stops what needs it and nothing else. All of
    it happens in the thread that calls `run`, observers' hooks too.

    Args:
        branches: the runs that make up the graph. Their plans have one store.
        registry: where components come from.
        executor: computes.
        interrupts: whether the user wants to stop.
        devices: the devices that jobs have one each, as `Executor.devices` gives them.
        resources: what each job computes with; its device is one of these.
        watch: is told when a branch begins, and when its last step is over.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        registry: Registry,
        executor: Executor,
        interrupts: Interrupts,
        *,
        devices: Sequence[str] = ("cpu",),
        resources: Resources | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.branches, self.executor, self.interrupts = branches, executor, interrupts
        self._computing = Computing(branches, executor, interrupts, devices, resources or Resources())
        self._failures = Failures(registry)
        self._forecast = Forecast(branches)
        places = [Place(b, s) for b, branch in enumerate(branches) for s, _ in enumerate(branch.plan.steps)]
        self._state = State({place: Standing() for place in places})
        self._watch, self._begun, self._ending = watch, set[int](), False
        self._remembered: set[tuple[str, str]] = set()
        self._left = [len(branch.plan.steps) for branch in branches]
        self._look = 0.0, 0.0  # when it was last said how long it takes, and what that took

    def end(self) -> None:
        """Begin nothing more, and end what is computed, as where the user stops it; `run` returns then."""
        self._ending = True

    def run(self) -> None:
        """Run it to its end.

        Raises:
            Interrupted: the user stopped it. The records say so; what is finished is in the store.
        """
        try:
            self._walk()
        except KeyboardInterrupt:
            self._stop()
            raise Interrupted("stopped", hint=self._how_to_go_on()) from None
        except BaseException:  # the run directory cannot be written, say
            self.executor.stop()
            for task in self._state.running:
                self._computing.let_go(task)
            raise

    def _walk(self) -> None:
        while True:
            self._advance_all()
            if self._ending:
                self._stop()
                return
            if self._begin_all():
                continue  # something was there already, or failed: others may go on
            if not self._state.tasks:
                return
            self._tell_what_is_left()
            if self._state.running:
                self.executor.watch(_TICK)
            else:
                time.sleep(_TICK)
            self.interrupts.check()
            self._collect()

    def _tell_what_is_left(self) -> None:
        """Say how long it may still take, when something was begun or is over."""
        now = len(self._state.standing), frozenset(task.node.key for task in self._state.running)
        if now == self._state.told:
            return
        began = time.monotonic()
        said, took = self._look
        if len(self.branches) > 1 and began - said < _SHARE * took:  # a look at thousands of runs takes its time
            return
        self._state.told = now
        seconds = self._forecast.left(self._state, self.executor.slots, began)
        for number, branch in enumerate(self.branches):
            if self._watch is None or (number in self._begun and self._left[number]):
                branch.observers.notify("time_left", seconds=seconds)
        self._look = time.monotonic(), time.monotonic() - began

    # The graph: what a step needs next.

    def _of(self, place: Place) -> tuple[Branch, PlannedStep, StepRecord]:
        branch = self.branches[place.branch]
        planned = branch.plan.steps[place.step]
        return branch, planned, branch.record.step(planned.name)

    def _place(self, place: Place, name: str) -> Place:
        """Another step of the same branch."""
        names = [step.name for step in self.branches[place.branch].plan.steps]
        return Place(place.branch, names.index(name))

    def _advance_all(self) -> None:
        """Look at each step that waits for nothing, until there is work enough for every slot."""
        for place, standing in list(self._state.standing.items()):
            if self._ending:
                return
            ready = [task for task in self._state.waiting if not task.held]
            if len(self._state.running) + len(ready) >= self.executor.slots:
                return
            if place in self._state.standing and not standing.waits_for:
                self._guarded(place)

    def _guarded(self, place: Place) -> None:
        """Advance a step; whatever is wrong with it is its own failure."""
        branch, planned, step = self._of(place)
        try:
            self._advance(place, branch, planned, step)
        except KeyboardInterrupt as error:
            if not self.interrupts.nobody_asked:
                if place in self._state.standing:
                    self._interrupted(place)
                raise
            self._fail(place, error)
        except BaseException as error:  # a component that calls sys.exit() does not end the run
            self._fail(place, error)

    def _advance(self, place: Place, branch: Branch, planned: PlannedStep, step: StepRecord) -> None:
        """Have a step's next nodes computed; where there are none, it is over."""
        state, standing = self._state, self._state.standing[place]
        self._begin(place)
        if planned.name not in branch.chosen:
            if planned.reused:
                branch.record.roots |= roots_of(branch.plan, planned)
            self._skip(place, "was not asked for", artifact=planned.reused)
            return
        sources = {name: self._place(place, name) for name in all_steps(planned.inputs)}
        if any(source not in state.over for source in sources.values()):
            return
        if lacking := [name for name, source in sources.items() if not state.over[source]]:
            self._skip(place, f"needs step {' and '.join(lacking)}, which has no artifact")
            return
        self.interrupts.check()
        planned = self._settle(place, branch, planned, step)
        if planned.reused and not standing.anew:
            self._end(place, branch, planned, step)
            return
        if standing.refused is None:
            standing.refused = []
            if self._rehearse(place, branch, planned):
                return
        if standing.refused:
            self._skip(place, f"step {' and '.join(standing.refused)} could not explain what it trains")
            return
        nodes = self._next(place, branch, planned)
        for node in nodes:
            self._need(node)
        if not nodes:
            self._end(place, branch, planned, step)

    def _next(self, place: Place, branch: Branch, planned: PlannedStep) -> list[Node]:
        """What is to be computed next of a step: all that it has to learn, then what it does with that, then nothing.

        Raises:
            StoreError: what it learned is gone; it would be sought and found without end.
        """
        standing = self._state.standing[place]
        lessons = [lesson for lesson in planned.lessons or () if not lesson.reused]
        nodes = [Node(place, planned.name, lesson.key, lesson) for lesson in lessons]
        if any(node.key in standing.given for node in nodes):
            raise StoreError(
                "what this step learned was taken out of the store before it could be used",
                where=f"step {planned.name}",
                hint="Run the spec again, and let nothing else tidy up the store meanwhile.",
            )
        for node in nodes:  # before it is begun: what an interrupted training leaves is needed too
            assert node.lesson is not None
            branch.plan.store.remember(branch.plan.spec.name, node.name, node.lesson.document)
        if not nodes and not planned.reused and not standing.used:
            return [Node(place, planned.name, planned.key)]
        return nodes

    def _settle(self, place: Place, branch: Branch, planned: PlannedStep, step: StepRecord) -> PlannedStep:
        """The step as it is planned now that its inputs, or what it learns, exist."""
        listener = NodeListener(branch.observers, step, step.name, self.interrupts)
        standing = self._state.standing[place]

        def progress(done: int, total: int) -> None:
            listener.progress("reading pictures", done, total, "pictures")
            if self._state.running and done % 100 == 0:
                self.executor.watch(0)  # what others tell is not kept waiting

        settled = branch.plan.settle(planned.name, progress)
        step.key, step.folder = settled.key, settled.folder
        first, standing.begun = not standing.begun, True
        if (settled.reused and not standing.anew) or (first and not planned.settled):
            step.reason = settled.reason
        return settled

    def _rehearse(self, place: Place, branch: Branch, planned: PlannedStep) -> bool:
        """Have the explainers tried that are to explain what the step is about to train; whether there are any."""
        wanted = [
            step.name for i, step in enumerate(branch.plan.steps) if Place(place.branch, i) in self._state.standing
        ]
        for name, rehearsal in rehearsals_of(branch.plan, planned, [one for one in wanted if one in branch.chosen]):
            key = f"rehearsal of {name}, {place.branch}"
            self._state.tasks[key] = Task([Node(place, planned.name, key)], rehearsal, name)
            self._state.standing[place].waits_for.add(key)
        return bool(self._state.standing[place].waits_for)

    def _need(self, node: Node) -> None:
        """Have a node computed that a step waits for, once for all that do; after one that failed it is over."""
        if node.place not in self._state.standing:
            return
        if (failed := self._state.failed.get(node.key)) is not None:
            what = "give" if failed.lesson is None else "learn"
            why = f"needs what step {failed.step} was to {what}, which failed"
            if failed.place.branch == node.place.branch:
                self._skip(node.place, why)
            else:  # a run that lacks something has failed, whoever was to compute it
                *_, theirs = self._of(failed.place)
                error = FgicError(f"{why} in another run: {theirs.error}", where=f"step {node.step}")
                self._fail(node.place, error, error)
            return
        task = self._state.tasks.setdefault(node.key, Task([]))
        task.nodes.append(node)
        self._state.standing[node.place].waits_for.add(node.key)

    def _begin(self, place: Place) -> None:
        """A branch begins with the first step of it that is looked at."""
        if self._watch is not None and place.branch not in self._begun:
            self._begun.add(place.branch)
            self._watch.begun(place.branch)

    # The end of a step.

    def _is_over(self, place: Place) -> None:
        """Take note that a step is over, and everybody was told."""
        self._left[place.branch] -= 1
        if self._watch is not None and not self._left[place.branch]:
            self._watch.ended(place.branch)

    def _end(self, place: Place, branch: Branch, planned: PlannedStep, step: StepRecord) -> None:
        """A step has its artifact."""
        standing = self._state.standing[place]
        if not standing.anew:
            if not planned.reused:
                here = branch.plan.has_made(planned.key)
                step.reason = f"was computed {'for another step' if here else 'by another run in the meantime'}"
            step.status = "reused"
        else:
            step.status, step.seconds = "computed", round(standing.seconds, 3)
        # Of thousands of runs each finds most in the store: once is enough to remember, the end early enough to write.
        if standing.anew or self._watch is None or (branch.plan.spec.name, planned.name) not in self._remembered:
            self._remembered.add((branch.plan.spec.name, planned.name))
            branch.plan.store.remember(branch.plan.spec.name, planned.name, planned.document)
        branch.record.roots |= roots_of(branch.plan, planned)
        self._state.end(place, artifact=True)
        if standing.anew or self._watch is None:
            branch.record.write(branch.folder)
        if standing.anew:
            branch.observers.notify("step_finished", step=step, folder=planned.folder)
        else:
            branch.observers.notify("step_reused", step=step)
        self._is_over(place)

    def _skip(self, place: Place, reason: str, *, artifact: bool = False) -> None:
        branch, _, step = self._of(place)
        step.status, step.reason = "skipped", reason
        self._state.end(place, artifact)
        branch.record.write(branch.folder)
        self._is_over(place)

    def _fail(self, place: Place, error: BaseException, told: FgicError | None = None) -> None:
        """A step failed: its error is explained, unless what is told of it is given, and kept in full."""
        branch, planned, step = self._of(place)
        self._failures.tell(branch, planned, step, error, told)
        self._state.end(place, artifact=False)
        branch.record.write(branch.folder)
        self._is_over(place)

    def _interrupted(self, place: Place) -> None:
        branch, _, step = self._of(place)
        self._failures.stopped(branch, step)
        self._state.stopped.append(place)
        self._state.end(place, artifact=False)
        branch.record.write(branch.folder)
        self._is_over(place)

    # Nodes that are computed.

    def _begin_all(self) -> bool:
        """Begin what there are slots, devices and locks for; whether anything needed no computing."""
        found = False
        for task in self._state.waiting:
            if len(self._state.running) >= self.executor.slots:
                break
            if task.node.key not in self._state.tasks:  # the step that needed it has failed by now
                continue
            try:
                if task.rehearsal is not None:
                    self._computing.rehearse(task)
                elif (there := self._computing.begin(task)) is not None:
                    self._given(task, there, computed=False)
                    found = True
            except BaseException as error:
                self._lost(task, error)
                found = True
        return found

    def _collect(self) -> None:
        """Take what is done."""
        for task in self._state.running:
            if task.future is not None and task.future.done():
                self._take(task)

    def _take(self, task: Task) -> None:
        if task.rehearsal is not None:
            self._rehearsed(task)
            return
        branch, _, step = self._of(task.node.place)
        try:
            record = self._computing.commit(task)
        except BaseException as error:
            self._lost(task, error)
        else:
            self._given(task, record, computed=True)
            self._forecast.learn(branch.plan.step(task.node.step), task.node.name, record.seconds)
            branch.observers.notify("node_finished", step=step, node=task.node.name, seconds=record.seconds)

    def _given(self, task: Task, record: ArtifactRecord, *, computed: bool) -> None:
        """A node is in the store: the steps that waited for it go on."""
        self._state.tasks.pop(task.node.key)
        for node in task.nodes:
            if (standing := self._state.standing.get(node.place)) is None:
                continue
            plan = self.branches[node.place.branch].plan
            if node.lesson is not None:
                plan.learned(node.step, node.lesson.name, record.content)
            else:
                plan.computed(node.step, record.content)
                standing.used = True
            standing.waits_for.discard(node.key)
            standing.given.add(node.key)
            if computed and node is task.node:
                standing.anew = True
                standing.seconds += record.seconds

    def _lost(self, task: Task, error: BaseException) -> None:
        """A node failed: the step that had it computed has, and the others that need it are skipped.

        Raises:
            KeyboardInterrupt: it was the user.
        """
        self._computing.let_go(task)
        if isinstance(error, KeyboardInterrupt) and not self.interrupts.nobody_asked:
            if task.node.place in self._state.standing:
                self._interrupted(task.node.place)
            raise error
        node = task.node
        branch, _, step = self._of(node.place)
        self._state.tasks.pop(node.key, None)
        self._state.failed[node.key] = node
        branch.observers.notify("node_finished", step=step, node=node.name, seconds=None)
        for other in task.nodes:
            if other.place not in self._state.standing:
                continue
            if other is node:
                self._fail(node.place, error)
            else:
                self._need(other)  # which says why not

    def _rehearsed(self, task: Task) -> None:
        """An explainer was tried; one that cannot work on the classifier has failed."""
        assert task.rehearsal is not None
        assert task.future is not None
        error = task.future.result() if task.future.exception() is None else None  # left to the explainer's own step
        self._state.tasks.pop(task.node.key)
        self._computing.listener(task.node).progress(task.rehearsal.words, 1, 1, "pictures")
        if (standing := self._state.standing.get(task.node.place)) is None:
            return
        standing.waits_for.discard(task.node.key)
        explainer = self._place(task.node.place, task.explainer)
        if error is not None and standing.refused is not None and explainer in self._state.standing:
            standing.refused.append(task.explainer)
            self._fail(explainer, error, refusal(error, task.node.step, task.explainer))

    # The user stops it.

    def _stop(self) -> None:
        """End what is computed; what is finished all the same is kept."""
        running = self._state.running
        with suppress(KeyboardInterrupt):  # a second one: nobody waits any more
            self.executor.stop()
        for task in running:
            assert task.future is not None
            if task.rehearsal is None and task.future.done() and task.future.exception() is None:
                self._take(task)
            else:
                self._computing.let_go(task)
        for place, standing in list(self._state.standing.items()):
            if standing.used:
                self._end(place, *self._of(place))
            elif any(task.node.place == place for task in running):
                self._interrupted(place)

    def _how_to_go_on(self) -> str:
        stopped = [self._of(place) for place in sorted(self._state.stopped)]
        return how_to_go_on([(branch.plan, planned.name) for branch, planned, _ in stopped])
