"""Where steps are computed: in this process, or in one beside it that this one watches and that may die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any, Literal, Protocol

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, PluginError
from fgic_core.kinds.classifier.contract import Classifier
from fgic_core.kinds.explainer.contract import Explainer
from fgic_core.registry import Registry
from fgic_core.run.device import check_device, choose_device
from fgic_core.run.events import Channel, Event, ProcessFailed, Said, pass_on, rebuild, watch
from fgic_core.run.interrupts import Interrupts, held
from fgic_core.run.job import Job
from fgic_core.run.processes import run_on_devices
from fgic_core.steps.context import Listener

Isolation = Literal["none", "run", "step"]
#: Seconds that a step is given to end in good order after Ctrl-C, before its process is killed.
GRACE = 10.0
#: Seconds that a process without work is given to end.
_CLOSING = 5.0
#: How many bytes of what a process printed are kept for the message of its death.
_TAIL = 1 << 16
# Not `-m`: that puts the working directory before every package, and a file `json.py` there would be imported.
_START = "import sys; sys.path[:] = sys.argv[3:]; from fgic_core.run.worker import main; main(*map(int, sys.argv[1:3]))"


class Engine(Protocol):
    """Computes what needs plugins, and torch with them."""

    def device(self, asked: str, devices: int) -> str:
        """See `fgic_core.run.device.choose_device`."""

    def rehearse(
        self, classifier: tuple[str, Classifier], explainer: tuple[str, Explainer], classes: int
    ) -> PluginError | None:
        """See `fgic_core.kinds.explainer.rehearsal.rehearse`; components come with their names."""

    def compute(self, job: Job, listener: Listener) -> ArtifactRecord:
        """See `fgic_core.run.processes.run_on_devices`."""

    def close(self) -> None:
        """End what was started; it may be called again."""


class Here:
    """Computes in this process: what ends the process ends the run."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def device(self, asked: str, devices: int) -> str:
        return choose_device(asked, devices)

    def rehearse(
        self, classifier: tuple[str, Classifier], explainer: tuple[str, Explainer], classes: int
    ) -> PluginError | None:
        from fgic_core.kinds.explainer.rehearsal import rehearse

        return rehearse(classifier[1], explainer[1], classes, explainer[0])

    def compute(self, job: Job, listener: Listener) -> ArtifactRecord:
        return run_on_devices(job, self._registry, listener)

    def close(self) -> None:
        """Nothing was started."""


class Workers:
    """Computes in a process of its own, which is started when there is something to compute.

    Args:
        interrupts: told where the user stopped a step that was finished all the same.
        each: take a new process for each step.
    """

    def __init__(self, interrupts: Interrupts, each: bool = False) -> None:
        self._interrupts, self._each = interrupts, each
        self._worker: _Worker | None = None

    def device(self, asked: str, devices: int) -> str:
        check_device(asked)
        if asked == "cpu":
            return asked
        return str(self._ask({"ask": "device", "asked": asked, "devices": devices}, Listener()))

    def rehearse(
        self, classifier: tuple[str, Classifier], explainer: tuple[str, Explainer], classes: int
    ) -> PluginError | None:
        about = {
            kind: {"uses": uses, "options": component.model_dump(mode="json")}
            for kind, (uses, component) in (("classifier", classifier), ("explainer", explainer))
        }
        try:
            refused = self._ask({"ask": "rehearsal", **about, "classes": classes}, Listener())
        except ProcessFailed:  # of a network without training this need not mean anything
            return None
        error = rebuild(refused) if refused is not None else None
        return error if isinstance(error, PluginError) else None

    def compute(self, job: Job, listener: Listener) -> ArtifactRecord:
        known = Registry().names()
        for uses in [job.uses, *job.named]:
            if uses in known:
                continue
            raise PluginError(
                f"{uses} is known to this process alone, and another is to compute it",
                hint='Install a package that declares it, or run with isolation="none".',
            )
        try:
            self._ask({"ask": "job", "job": job.model_dump(mode="json")}, listener)
        finally:
            if self._each:
                self.close()
        return ArtifactRecord.read(job.output)

    def _ask(self, request: Event, listener: Listener) -> Any:
        if self._worker is None:
            with held():  # it begins with them blocked, and takes them once it can
                self._worker = _Worker(self._interrupts)
        try:
            answer = self._worker.ask(request, listener)
        except BaseException:
            if self._worker.is_lost:
                self._worker.close()
                self._worker = None
            raise
        return answer

    def close(self) -> None:
        """End the process, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class _Worker:
    """One such process, seen from here."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self.is_lost = False
        self._tail = b""
        reading, writing = os.pipe()
        self._channel = Channel(reading)
        self._deaths = TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(  # noqa: S603 - every part is ours
                [sys.executable, "-c", _START, str(writing), str(self._deaths.fileno()), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[writing, self._deaths.fileno()],
                # Ctrl-C in a terminal comes to this process alone, which then ends the other in good order.
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            self._deaths.close()
            raise FgicError(f"no process can be started: {error.strerror}") from None
        finally:
            os.close(writing)
        assert self._process.stdout is not None
        self._output = Channel(os.dup(self._process.stdout.fileno()))
        self._process.stdout.close()

    def ask(self, request: Event, listener: Listener) -> Any:
        """What the process answers; its events before that go to the listener.

        Raises:
            KeyboardInterrupt: the user stopped it.
            ProcessFailed: a component raised, or the process died.
            FgicError: see `run_job`.
        """
        self._tail = b""
        answered = False
        try:
            self._send(request)
            for event in self._events():
                answered = event["event"] in ("finished", "error")
                if event["event"] == "finished":
                    return event["answer"]
                if event["event"] == "error":
                    raise _uninvited(rebuild(event))
                pass_on(event, listener)
        except KeyboardInterrupt:
            self.is_lost = True
            finished = None if answered else self._stop(listener)
            if finished is None:
                raise
            self._interrupts.ask()
            return finished["answer"]
        except BaseException:
            self.is_lost = not answered  # a listener failed, and nobody waits for the answer
            raise
        self.is_lost = True
        raise self._death()

    def _send(self, request: Event) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead, which `_events` finds
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()

    def _events(self, seconds: float = float("inf")) -> Iterator[Event]:
        for _, event in watch(self._process, [self._channel], self._output, self._printed, seconds):
            yield event

    def _printed(self, text: bytes) -> None:
        self._tail = (self._tail + text)[-_TAIL:]
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more, or not in these characters
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()

    def _death(self) -> ProcessFailed:
        error = ProcessFailed(_words_for(self._process.returncode))
        self._deaths.seek(0)
        error.__cause__ = Said((self._tail + self._deaths.read()).decode("utf-8", "replace"))
        return error

    def _stop(self, listener: Listener) -> Event | None:
        """Ask the process to stop, and kill it if it does not, or if the user asks a second time.

        Returns:
            the event that says that it was finished all the same; None where it was not.
        """
        try:
            self._process.send_signal(signal.SIGINT)
            for seconds in (1.0, GRACE - 1.0):
                for event in self._events(seconds):
                    if event["event"] in ("finished", "error"):
                        return event if event["event"] == "finished" else None
                if self._process.poll() is not None:
                    return None
                if seconds == 1.0:
                    listener.warning(f"stopping; it is killed in {GRACE - 1:.0f} s, or with another Ctrl-C at once")
        finally:
            self._kill()
        return None

    def close(self) -> None:
        """End it and what it started."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSING)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()
            self._printed(self._output.read())
            for channel in (self._channel, self._output):
                channel.close()
            self._deaths.close()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def engine_of(isolation: Isolation, registry: Registry, interrupts: Interrupts) -> Engine:
    """See ``isolation`` of `fgic_core.pipeline.Pipeline.run`."""
    return Here(registry) if isolation == "none" else Workers(interrupts, each=isolation == "step")


def _uninvited(error: BaseException) -> BaseException:
    """The error of a step; where it is that of Ctrl-C the user had no part in it, for a signal to them comes here."""
    if not isinstance(error, KeyboardInterrupt):
        return error
    made = ProcessFailed("KeyboardInterrupt, although nobody stopped the run: it raised that, or signalled its process")
    made.__cause__ = error.__cause__
    return made


def _words_for(status: int) -> str:
    """How the process that computed a step ended."""
    if status < 0:
        name = signal.Signals(-status).name
        advice = "; was there memory enough?" if name == "SIGKILL" else ""
        return f"the process that computed it was ended by {name}{advice}"
    return f"the process that computed it ended with status {status} in the middle of it, as os._exit({status}) does"
