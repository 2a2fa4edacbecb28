"""Where jobs are computed: what every executor does, and the one that computes in this process."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from fgic_core.errors import PluginError
from fgic_core.registry import Registry
from fgic_core.run.device import choose_device, devices_from
from fgic_core.run.events import ProcessFailed
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.job import Job
from fgic_core.run.processes import run_on_devices
from fgic_core.steps.context import Listener


class Named(NamedTuple):
    """A component by its name, such as ``explainer/cam``, with its options as JSON has them."""

    uses: str
    options: Mapping[str, Any]


class Rehearsal(NamedTuple):
    """Whether an explainer can work on a classifier, asked before hours of training.

    Attributes:
        classifier, explainer: the components.
        classes: how many classes there are.
    """

    classifier: Named
    explainer: Named
    classes: int

    @property
    def words(self) -> str:
        """What is said of it while it goes on."""
        return f"trying {self.explainer.uses} before the training"

    def run(self, registry: Registry) -> PluginError | None:
        """See `fgic_core.kinds.explainer.rehearsal.rehearse`."""
        from fgic_core.kinds.explainer.rehearsal import rehearse

        classifier, explainer = (registry.create(one.uses, **one.options) for one in (self.classifier, self.explainer))
        return rehearse(classifier, explainer, self.classes, self.explainer.uses)  # type: ignore[arg-type]


class Executor(Protocol):
    """Computes jobs, as many at once as it has slots.

    Everything happens in the thread that calls: listeners are told of events while it is in `watch`.

    Attributes:
        slots: how many jobs it computes at once.
    """

    slots: int

    def devices(self, asked: str, several: int) -> list[str]:
        """The devices to compute on, the first as `fgic_core.run.device.choose_device` chooses it.

        Args:
            asked: what the user asked for; several: how many a job may use.
        """

    def submit(self, work: Job | Rehearsal, listener: Listener) -> Future[Any]:
        """Have something computed. There is a free slot.

        Returns:
            of a job nothing, for what it gives is an artifact, of a rehearsal the explainer's error or None; or why it
            failed: a `FgicError`, a `ProcessFailed`, or in this process whatever a component raises.
        """

    def watch(self, seconds: float) -> None:
        """Pass events on until something is done, at most so long.

        Raises:
            KeyboardInterrupt: the user stops the run.
        """

    def stop(self) -> None:
        """End what is computed, in good order where it listens; every future is done then.

        Raises:
            KeyboardInterrupt: the user did not want to wait; it is ended all the same.
        """

    def close(self) -> None:
        """End what was started; it may be called again."""


class InProcess:
    """Computes in this process, one job at a time: what ends the process ends the run.

    Args:
        registry: where components come from.
        interrupts: whether it was the user who stopped a job.
    """

    slots = 1

    def __init__(self, registry: Registry, interrupts: Interrupts) -> None:
        self._registry, self._interrupts = registry, interrupts
        self._given: tuple[Job | Rehearsal, Listener, Future[Any]] | None = None

    def devices(self, asked: str, several: int) -> list[str]:
        return devices_from(choose_device(asked, several), several)

    def submit(self, work: Job | Rehearsal, listener: Listener) -> Future[Any]:
        future: Future[Any] = Future()
        self._given = work, listener, future
        return future

    def watch(self, seconds: float) -> None:
        if self._given is None:
            return
        work, listener, future = self._given
        try:
            answer = self._compute(work, listener)
        except KeyboardInterrupt as error:
            if not self._interrupts.nobody_asked:
                raise
            future.set_exception(uninvited(error))
        except BaseException as error:  # sys.exit() in a component ends its job
            future.set_exception(error)
        else:
            future.set_result(answer)
        self._given = None

    def _compute(self, work: Job | Rehearsal, listener: Listener) -> PluginError | None:
        if isinstance(work, Rehearsal):
            return work.run(self._registry)
        run_on_devices(work, self._registry, listener)
        return None

    def stop(self) -> None:
        if self._given is not None and not self._given[2].done():
            self._given[2].set_exception(KeyboardInterrupt())
        self._given = None

    def close(self) -> None:
        """Nothing was started."""


def uninvited(error: BaseException) -> BaseException:
    """The error of a job; where it is that of Ctrl-C the user had no part in it."""
    if not isinstance(error, KeyboardInterrupt):
        return error
    made = ProcessFailed("KeyboardInterrupt, although nobody stopped the run: it raised that, or signalled its process")
    made.__cause__ = error.__cause__ or error
    return made
