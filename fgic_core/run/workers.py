"""The executor that computes in processes beside this one, which this one watches and which may die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from tempfile import TemporaryFile
from typing import Any, Literal

from fgic_core.errors import FgicError, PluginError
from fgic_core.registry import Registry
from fgic_core.run.device import check_device
from fgic_core.run.events import BEAT, Event, ProcessFailed, ProcessOutput, pass_on, rebuild
from fgic_core.run.executor import Executor, InProcess, Rehearsal, uninvited
from fgic_core.run.interrupts import Interrupts, held
from fgic_core.run.job import Job
from fgic_core.run.threads import environment
from fgic_core.run.watching import LOOK, Channel, Watched, wait
from fgic_core.steps.context import Listener

Isolation = Literal["none", "run", "step"]
#: Seconds that a job is given to end in good order after Ctrl-C, before its process is killed.
GRACE = 10.0
#: Seconds that a process without work is given to end.
_CLOSING = 5.0
#: How many bytes of what a process printed are kept for the message of its death.
_TAIL = 1 << 16
# Not `-m`: that puts the working directory before every package, and a file `json.py` there would be imported.
_START = "import sys; sys.path[:] = sys.argv[4:]; from fgic_core.run.worker import main; main(*map(int, sys.argv[1:4]))"


class WorkerProcesses:
    """Computes in processes of their own, which are started when there is something to compute.

    Args:
        slots: how many of them there are at most.
        each: take a new process for each job.
        threads: how many each computes with; None leaves it to the libraries.
    """

    def __init__(self, slots: int = 1, each: bool = False, threads: int | None = None) -> None:
        self.slots, self._each, self._threads = slots, each, threads
        self._workers: list[_Worker] = []

    def devices(self, asked: str, several: int) -> list[str]:
        check_device(asked)
        if asked == "cpu":
            return [asked]
        future = self._request({"ask": "devices", "asked": asked, "several": several}, Listener())
        while not future.done():
            self.watch(LOOK)
        return list(future.result())

    def submit(self, work: Job | Rehearsal, listener: Listener) -> Future[Any]:
        if isinstance(work, Rehearsal):
            return self._request({"ask": "rehearsal", **work._asdict()}, listener)
        known = Registry().names()
        for uses in [work.uses, *work.named]:
            if uses in known:
                continue
            raise PluginError(
                f"{uses} is known to this process alone, and another is to compute it",
                hint='Install a package that declares it, or run with isolation="none".',
            )
        return self._request({"ask": "job", "job": work.model_dump(mode="json")}, listener)

    def _request(self, request: Event, listener: Listener) -> Future[Any]:
        worker = next((one for one in self._workers if one.future is None), None)
        if worker is None:
            with held():  # it begins with them blocked, and takes them once it can
                worker = _Worker(self._threads)
                self._workers.append(worker)
        return worker.ask(request, listener)

    def watch(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while busy := self._busy():
            wait([worker.watched for worker in busy], min(LOOK, limit - time.monotonic()))
            for worker in busy:
                worker.look()
            done = any(worker.future is None for worker in busy)
            self._drop(busy)
            if done or time.monotonic() >= limit:
                return

    def stop(self) -> None:
        busy = self._busy()
        try:
            for worker in busy:
                worker.interrupt()
            for seconds in (1.0, GRACE - 1.0):
                self._wait_for_the_end(busy, seconds)
                for worker in busy if seconds == 1.0 else ():
                    worker.warn(f"stopping; it is killed in {GRACE - 1:.0f} s, or with another Ctrl-C at once")
        finally:
            for worker in busy:
                worker.kill()
            self._drop(busy)

    def _wait_for_the_end(self, workers: Sequence[_Worker], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while (busy := [one for one in workers if one.future is not None]) and time.monotonic() < limit:
            wait([worker.watched for worker in busy], LOOK)
            for worker in busy:
                worker.look(ending=True)

    def close(self) -> None:
        self._drop(self._workers, all_of_them=True)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.future is not None]

    def _drop(self, workers: Sequence[_Worker], all_of_them: bool = False) -> None:
        """Close those of these processes that are gone, or are not to be used again."""
        used_up = {id(one) for one in workers if self._each and one.future is None and one.asked == "job"}
        gone = [one for one in workers if all_of_them or one.is_lost or id(one) in used_up]
        self._workers = [one for one in self._workers if one not in gone]
        for worker in gone:
            worker.send_off()
        for worker in gone:
            worker.close()


class _Worker:
    """One such process, seen from here.

    Attributes:
        future: of what it computes; None where it waits for work.
        asked: what it computes, or did last.
        is_lost: whether it can compute nothing more.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.future: Future[Any] | None = None
        self.is_lost = False
        self._listener = Listener()
        self.asked = ""
        self._tail = b""
        reading, writing = os.pipe()
        channel = Channel(reading)
        self._deaths = TemporaryFile()  # noqa: SIM115 - closed by `close`
        descriptors = [writing, self._deaths.fileno()]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - every part is ours
                [sys.executable, "-c", _START, *map(str, descriptors), str(round(BEAT * 1000)), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                env=environment(threads),
                # Ctrl-C in a terminal comes to this process alone, which then ends the other in good order.
                start_new_session=True,
            )
        except OSError as error:
            channel.close()
            self._deaths.close()
            raise FgicError(f"no process can be started: {error.strerror}") from None
        finally:
            os.close(writing)
        assert self._process.stdout is not None
        output = Channel(os.dup(self._process.stdout.fileno()))
        self._process.stdout.close()
        self.watched = Watched(self._process, [channel], output, self._printed)

    def ask(self, request: Event, listener: Listener) -> Future[Any]:
        """Give it work; `look` ends the future."""
        self._tail, self._listener, self.asked = b"", listener, request["ask"]
        self.future = future = Future[Any]()
        self.watched.begin()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead, which `look` finds
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        return future

    def look(self, ending: bool = False) -> None:
        """Pass on what it tells, and take its answer or its death.

        Args:
            ending: it was told to end: what it tells on the way is of no use.

        Raises:
            KeyboardInterrupt: the user stops the run.
        """
        try:
            for _, event in self.watched.events():
                if event["event"] == "finished":
                    self._answer(self._read(event["answer"]))
                elif event["event"] == "error":
                    error = rebuild(event)
                    self._fail(error if ending else uninvited(error))
                elif not ending and self.future is not None:
                    pass_on(event, self._listener)
            if not ending and self.future is not None:
                for _, said in self.watched.alarms():
                    self.warn(said)
        except Exception as error:  # a listener failed, and nobody waits for the answer
            self.is_lost = True
            self._fail(error)
        if self.watched.ended:
            self.is_lost = True
            self._fail(KeyboardInterrupt() if ending else self._death())

    def _read(self, answer: Any) -> Any:
        return rebuild(answer) if self.asked == "rehearsal" and answer is not None else answer

    def _answer(self, answer: Any) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(answer)
        self.future = None

    def _fail(self, error: BaseException) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
        self.future = None

    def warn(self, message: str) -> None:
        """Say something of what it computes, if it does."""
        if self.future is not None:
            self._listener.warning(message)

    def _printed(self, text: bytes) -> None:
        self._tail = (self._tail + text)[-_TAIL:]
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more, or not in these characters
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()

    def _death(self) -> ProcessFailed:
        error = ProcessFailed(_words_for(self._process.returncode))
        self._deaths.seek(0)
        error.__cause__ = ProcessOutput((self._tail + self._deaths.read()).decode("utf-8", "replace"))
        return error

    def interrupt(self) -> None:
        """Ask it to stop what it does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and what it started, at once."""
        self.is_lost = True
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._fail(KeyboardInterrupt())

    def send_off(self) -> None:
        """Let it end by itself: there is no more work."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self) -> None:
        """End it and what it started. It was sent off."""
        try:
            self._process.wait(_CLOSING)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
            assert self.watched.output is not None
            self._printed(self.watched.output.read())
            for channel in (*self.watched.channels, self.watched.output):
                channel.close()
            self._deaths.close()


def executor_of(
    isolation: Isolation, registry: Registry, interrupts: Interrupts, jobs: int = 1, threads: int | None = None
) -> Executor:
    """See ``isolation`` of `fgic_core.pipeline.Pipeline.run`."""
    if isolation == "none":
        return InProcess(registry, interrupts)
    return WorkerProcesses(jobs, each=isolation == "step", threads=threads)


def _words_for(status: int) -> str:
    """How the process that computed a job ended."""
    if status < 0:
        name = signal.Signals(-status).name
        advice = "; was there memory enough?" if name == "SIGKILL" else ""
        return f"the process that computed it was ended by {name}{advice}"
    return f"the process that computed it ended with status {status} in the middle of it, as os._exit({status}) does"
