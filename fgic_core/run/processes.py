"""Jobs on several devices: the same job in one process for each, started by torchrun.

The first process, rank 0, makes the artifact, keeps the checkpoints and tells what happens; the others compute their
share of the training and throw the rest away. Each tells of its events on a named pipe of its own. All of them end when
the process that started them does. What they do themselves stands in `fgic_core.run.standalone`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import PluginError
from fgic_core.registry import Registry
from fgic_core.run.events import Event, ProcessFailed, ProcessOutput, pass_on, rebuild
from fgic_core.run.job import Job, run_job
from fgic_core.run.threads import available, environment
from fgic_core.run.watching import LOOK, Channel, Watched, wait
from fgic_core.steps.context import Listener

#: Seconds that torchrun is given to end its processes before it is killed.
GRACE = 20


def run_on_devices(job: Job, registry: Registry, listener: Listener | None = None) -> ArtifactRecord:
    """Run a step here, or in a process for each device where there are several and its component can use them.

    Raises:
        FgicError: see `run_job`; or the component is known to this process alone.
        ProcessFailed: the component raised in another process.
        Exception: whatever the component raises in this one.
    """
    if job.devices > 1 and registry.get(job.uses).several_devices:
        return run_in_processes(job, listener or Listener())
    return run_job(job, registry, listener)


def run_in_processes(job: Job, listener: Listener) -> ArtifactRecord:
    """Run a job in ``job.devices`` processes on this machine; the events of rank 0 go to ``listener``.

    Whatever ends this call (an interrupt too) ends the processes.

    Raises:
        FgicError: what a process raised; or the component is known to this process alone.
        ProcessFailed: a process raised another exception, or was killed.
    """
    known = Registry().names()
    for uses in [job.uses, *job.named]:
        if uses in known:
            continue
        raise PluginError(
            f"{uses} is known to this process alone, and {job.devices} devices need {job.devices} processes",
            hint="Install a package that declares it, or use one device.",
        )
    # Beside the output and named like one: what is left of it after a crash goes when the step is begun again.
    with TemporaryDirectory(prefix="out-processes-", dir=job.output.parent) as name:
        folder = Path(name)
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        errors: dict[int, Event] = {}
        with contextlib.ExitStack() as stack, (folder / "printed.txt").open("wb") as printed:
            channels = [_channel(folder, rank) for rank in range(job.devices)]
            for channel in channels:
                stack.callback(channel.close)
            code = _follow(_start(job, folder, printed), channels, listener, errors)
        if code:
            raise _failure(job, folder, code, errors)
    return ArtifactRecord.read(job.output)


def _channel(folder: Path, rank: int) -> Channel:
    """The reading end of one process's channel: a named pipe, as torchrun passes no open files on."""
    pipe = place(folder, rank)
    os.mkfifo(pipe, 0o600)
    return Channel(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # (both ways: there are no writers yet)


def place(folder: Path, rank: int) -> Path:
    """Where the channel of one process lies."""
    return folder / f"events-{rank}"


def _start(job: Job, folder: Path, printed: Any) -> subprocess.Popen[bytes]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(job.devices)]
    threads = max(1, (job.threads or available()) // job.devices)
    return subprocess.Popen(  # noqa: S603 - every part is ours
        [sys.executable, *torchrun, "-m", "fgic_core.run.standalone", str(folder / "job.json"), "--attached"],
        # Held open and never written to: the processes end when it closes, also where this one is killed.
        stdin=subprocess.PIPE,
        stdout=printed,
        stderr=subprocess.STDOUT,
        env=environment(threads) if job.threads else {"OMP_NUM_THREADS": str(threads), **os.environ},
        # Ctrl-C in a terminal comes to this process alone, which then ends the others in good order.
        start_new_session=True,
    )


def _follow(
    process: subprocess.Popen[bytes], channels: list[Channel], listener: Listener, errors: dict[int, Event]
) -> int:
    """Pass the events on until the processes end, and keep their errors; returns the exit status."""
    assert process.stdin is not None
    watched = Watched(process, channels)
    try:
        while not watched.ended:
            wait([watched], LOOK)
            for rank, event in watched.events():
                if event["event"] == "error":
                    errors[rank] = event
                elif rank == 0:
                    pass_on(event, listener)
            for rank, said in watched.alarms():
                listener.warning(f"process {rank} of {len(channels)}: {said}")
        return process.wait()
    finally:
        process.stdin.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _failure(job: Job, folder: Path, code: int, errors: Mapping[int, Event]) -> BaseException:
    """The exception that says why the processes failed: the first one's, as the others fail for the lack of it."""
    said = (folder / "printed.txt").read_text(encoding="utf-8", errors="replace")
    killed = re.search(r"rank\s*:\s*(\d+) [^\n]*\n\s*exitcode\s*:\s*-(?!15\b)(\d+)", said)
    error: BaseException
    if killed:
        name = signal.Signals(int(killed[2])).name
        advice = "; is there memory enough for all of them?" if name == "SIGKILL" else ""
        error = ProcessFailed(f"process {killed[1]} of {job.devices} was ended by {name}{advice}")
    elif errors:
        error = rebuild(min(errors.values(), key=lambda event: int(event["time"])))
    else:
        error = ProcessFailed(f"the {job.devices} processes ended with status {code} and left no message")
    error.__cause__ = ProcessOutput("\n".join([event["traceback"] for event in errors.values()] + [said]))
    return error
