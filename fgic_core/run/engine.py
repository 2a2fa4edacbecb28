"""What one command computes with: processes, devices and threads, for a single run and for a study alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

from fgic_core.errors import Interrupted
from fgic_core.plan.choice import check_code
from fgic_core.plan.graph import Branch
from fgic_core.plan.plan import Plan
from fgic_core.plan.planned import PlannedStep
from fgic_core.registry import Registry
from fgic_core.run.device import check_device
from fgic_core.run.documents import Resources, needs_device
from fgic_core.run.executor import Executor
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.scheduler import Scheduler, Watch
from fgic_core.run.threads import share
from fgic_core.run.workers import Isolation, executor_of


class Asked(NamedTuple):
    """How a pipeline is run; see `fgic_core.pipeline.Pipeline.run`."""

    device: str
    devices: int
    isolation: Isolation
    jobs: int
    threads: int | None
    until: str | None
    only: str | None
    fail_fast: bool
    command: str


class Engine:
    """Walks graphs with an executor and its devices.

    Attributes:
        device: the one that is used, as records say it; several of a sort are named by their sort.
        threads: how many each job computes with; None is what torch takes by itself.
        interrupts: whether the user wants to stop.
    """

    def __init__(self, asked: Asked, registry: Registry, executor: Executor, interrupts: Interrupts, tensors: bool):
        self._asked, self._registry, self._executor = asked, registry, executor
        self.interrupts = interrupts
        self._names = executor.devices(asked.device, asked.devices) if tensors else [asked.device]
        self.device = self._names[0] if len(self._names) == 1 else self._names[0].partition(":")[0]
        self.threads = share(asked.threads, asked.jobs)

    def scheduler(self, branches: Sequence[Branch], watch: Watch | None = None) -> Scheduler:
        """What walks the graph of these branches; see `Scheduler`."""
        asked = self._asked
        workers = max(1, min(8, os.cpu_count() or 1) // asked.jobs) if self.device.startswith("cuda") else 0
        return Scheduler(
            *(branches, self._registry, self._executor, self.interrupts),
            devices=self._names,
            resources=Resources(self.device, asked.devices, workers, self.threads),
            watch=watch,
        )

    def run(self, scheduler: Scheduler) -> Interrupted | None:
        """Walk the graph to its end, and end the processes: their memory is free before reports are drawn.

        Returns:
            How the user stopped it; None where that did not happen.
        """
        stopped: Interrupted | None = None
        try:
            scheduler.run()
        except Interrupted as error:
            stopped = error
        except KeyboardInterrupt:  # once more, while it was being stopped
            stopped = Interrupted("stopped", hint="What is finished is kept. The same command goes on.")
        self._executor.close()
        return stopped


@contextmanager
def started(asked: Asked, registry: Registry, to_compute: Sequence[tuple[Plan, PlannedStep]]) -> Iterator[Engine]:
    """An engine for these steps, once it is sure that they can be computed with what is asked for.

    Args:
        asked: how.
        registry: where components come from.
        to_compute: steps that are, each with its plan; of those that differ by seeds alone one is enough.

    Raises:
        FgicError: there is no such device, or a process has other code than the files that it is from.
    """
    for plan, step in to_compute:
        check_code(plan, [step], here=asked.isolation == "none")
    check_device(asked.device)
    tensors = any(needs_device(step) for _, step in to_compute)
    with (
        Interrupts() as interrupts,
        closing(
            executor_of(asked.isolation, registry, interrupts, asked.jobs, share(asked.threads, asked.jobs))
        ) as executor,
    ):
        yield Engine(asked, registry, executor, interrupts, tensors=tensors)
