"""The process that computes jobs for one that watches it: ``python -m fgic_core.run.worker CHANNEL DEATHS BEAT``.

It takes requests from its standard input, one JSON document a line, and tells events on the file descriptor CHANNEL:
for each request those of the job and then ``finished`` or ``error``, and a heartbeat every BEAT milliseconds; where
Python dies it leaves a traceback in the file descriptor DEATHS. When its standard input ends, so does it, in the middle
of a job too, and with it the processes that it started.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from fgic_core.registry import Registry
from fgic_core.run.copies import Copies
from fgic_core.run.events import EventWriter
from fgic_core.run.interrupts import SIGNALS, Interrupts


def main(channel: int, deaths: int, beat: int) -> None:
    """Serve requests until standard input ends."""
    for descriptor in (channel, deaths):
        os.set_inheritable(descriptor, False)
    faulthandler.enable(deaths)
    requests = _requests()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    # Whatever the watching process ignores: these come from it alone, for this process has a session of its own.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    registry, copies = Registry(), Copies()
    with Interrupts() as interrupts:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # who started this process blocked them, see `Workers`
        except KeyboardInterrupt:  # while it started: nothing was begun
            os._exit(130)
        writer = EventWriter(channel, interrupts.check, copies.leave)
        writer.started()
        writer.beat(beat / 1000)
        while True:
            try:
                request = requests.get()
            except KeyboardInterrupt:  # who watches closes standard input, or kills
                continue
            interrupts.forget()  # what the step before sent itself is no wish of the user's
            try:
                with copies.caught():
                    answer = _answer(request, registry, writer)
            except BaseException as error:  # sys.exit() in a plugin ends the step, not this process
                writer.error(error)
            else:
                writer.finished(answer)


def _answer(request: dict[str, Any], registry: Registry, writer: EventWriter) -> Any:
    if request["ask"] == "devices":
        from fgic_core.run.device import choose_device, devices_from

        return devices_from(choose_device(request["asked"], request["several"]), request["several"])
    if request["ask"] == "rehearsal":
        from fgic_core.run.events import describe
        from fgic_core.run.executor import Named, Rehearsal

        classifier, explainer = (Named(*request[kind]) for kind in ("classifier", "explainer"))
        refused = Rehearsal(classifier, explainer, request["classes"]).run(registry)
        return None if refused is None else describe(refused)
    from fgic_core.run.job import Job
    from fgic_core.run.processes import run_on_devices

    run_on_devices(Job.model_validate(request["job"]), registry, writer)
    return None


def _requests() -> queue.SimpleQueue[dict[str, Any]]:
    """The requests, by a thread that sees the end of standard input whatever a plugin is doing.

    A plugin that reads from standard input finds nothing there.
    """
    own = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        with open(own, "rb") as lines:
            for line in lines:
                found.put(json.loads(line))
        end_group()

    threading.Thread(target=read, daemon=True).start()
    return found


def end_group() -> NoReturn:
    """End this process and, where it leads a group, those in it; what has a session of its own sees its pipe close."""
    if os.getpgrp() == os.getpid():
        with suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)
    # Not sys.exit: the other threads may be in the middle of waiting for a process that is gone.
    os._exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
