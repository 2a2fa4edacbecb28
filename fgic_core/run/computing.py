"""What becomes of one node: from the lock of its key to its artifact in the store."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.plan.graph import Branch, Devices, Node, Task
from fgic_core.plan.planned import PlannedStep
from fgic_core.run.documents import Resources, devices_needed, job_of
from fgic_core.run.executor import Executor
from fgic_core.run.interrupts import Interrupts, held
from fgic_core.run.observers import NodeListener
from fgic_core.store.record import StepRecord


class Computing:
    """Begins nodes and brings what comes out into the store.

    Args:
        branches: the runs; executor: computes; interrupts: whether the user wants to stop.
        devices: those that jobs have one each; resources: what each job computes with beside its device.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        executor: Executor,
        interrupts: Interrupts,
        devices: Sequence[str],
        resources: Resources,
    ) -> None:
        self._branches, self._executor, self._interrupts, self._resources = branches, executor, interrupts, resources
        self._store, self._devices = branches[0].plan.store, Devices(devices)

    def _of(self, node: Node) -> tuple[Branch, PlannedStep, StepRecord]:
        branch = self._branches[node.place.branch]
        return branch, branch.plan.step(node.step), branch.record.step(node.step)

    def listener(self, node: Node) -> NodeListener:
        """Tells the observers of a node's run."""
        branch, _, step = self._of(node)
        return NodeListener(branch.observers, step, node.name, self._interrupts)

    def rehearse(self, task: Task) -> None:
        """Have an explainer tried."""
        assert task.rehearsal is not None
        listener = self.listener(task.node)
        listener.progress(task.rehearsal.words, 0, 1, "pictures")
        with held():
            task.future = self._executor.submit(task.rehearsal, listener)

    def begin(self, task: Task) -> ArtifactRecord | None:
        """Begin a node; where it has to wait for a device, or for another run, the task is `Task.held`.

        Returns:
            the artifact's record, where it needs no computing.

        Raises:
            StoreError: the store cannot be written; or another run has replaced what the node is given.
        """
        node, (branch, planned, step) = task.node, self._of(task.node)
        task.held = True
        if (device := self._devices.take(devices_needed(planned, self._resources.devices))) is None:
            return None
        task.device, task.lock = device, self._store.take(node.key)
        if task.lock is None:
            self.let_go(task)
            if not task.told:
                task.told = True
                self.listener(node).warning("another run is computing this step; waiting for it")
            return None
        task.held = False
        fresh = (branch.plan.fresh or planned.volatile) and not branch.plan.has_made(node.key)
        there = None if fresh else self._store.record(node.key)
        if there is not None and (not there.doubt or branch.plan.has_made(node.key)):
            self.let_go(task)
            return there
        if fresh:
            self._store.forget_checkpoints(node.key)
        if step.status != "running":
            step.status = "running"
            branch.record.write(branch.folder)
            branch.observers.notify("step_started", step=step)
        branch.observers.notify("node_started", step=step, node=node.name)
        task.folder = self._store.begin(node.key)
        branch.plan.check_given(planned.name, node.lesson)
        job = job_of(branch.plan, node, task.folder, self._resources._replace(device=device))
        jobs = branch.folder / "jobs"
        jobs.mkdir(exist_ok=True)
        name = node.name.replace(" ", "-")
        (jobs / f"{name}.json").write_text(job.model_dump_json(indent=1) + "\n", encoding="utf-8")
        with held():
            task.future = self._executor.submit(job, self.listener(node))
        task.began = time.monotonic()
        return None

    def commit(self, task: Task) -> ArtifactRecord:
        """Move what was computed into the store; the artifact's record.

        Raises:
            StoreError: what the node was given was replaced by another run while it was computed.
            BaseException: why it was not computed.
        """
        assert task.future is not None
        assert task.folder is not None
        task.future.result()
        node, (branch, planned, _) = task.node, self._of(task.node)
        artifact = ArtifactRecord.read(task.folder)
        branch.plan.check_given(planned.name, node.lesson)
        if doubt := branch.plan.why_doubted(planned.name, node.lesson):
            artifact = artifact.model_copy(update={"doubt": doubt}).sealed()
            artifact.write(task.folder)
            self.listener(node).warning(f"What this step gave {doubt}. Later runs compute it again.")
        with held():
            self._store.commit(node.key, task.folder)
            task.folder = None
        for one in self._branches:
            one.plan.made(node.key)
        self.let_go(task)
        return artifact

    def let_go(self, task: Task) -> None:
        """Give back what a task holds, and remove what is half made."""
        task.future = None
        if task.device:
            _, planned, _ = self._of(task.node)
            self._devices.give_back(task.device, devices_needed(planned, self._resources.devices))
            task.device = ""
        if task.folder is not None:
            self._store.discard(task.node.key, task.folder)
            task.folder = None
        if task.lock is not None:
            task.lock.release()
            task.lock = None
