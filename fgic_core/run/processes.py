"""Jobs on several devices: the same job in one process for each, started by torchrun.

The first process, rank 0, makes the artifact, keeps the checkpoints and tells what happens; the others compute their
share of the training and throw the rest away. All of them end when the process that started them does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.errors import DataError, FgicError, PluginError, StoreError
from fgic_core.registry import Registry
from fgic_core.run.job import Job, run_job
from fgic_core.steps.context import Listener

#: Seconds that torchrun is given to end its processes before it is killed.
GRACE = 20
_ERRORS = {kind.__name__: kind for kind in (DataError, PluginError, StoreError)}


class ProcessFailed(Exception):
    """A component failed in one of several processes: its exception as text; the cause holds that process's own."""


class _Said(Exception):
    """What a process wrote of its end, so that it stands in the traceback here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


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
    if job.uses not in Registry().names():
        raise PluginError(
            f"{job.uses} is known to this process alone, and {job.devices} devices need {job.devices} processes",
            hint="Install a package that declares it, or use one device.",
        )
    # Beside the output and named like one: what is left of it after a crash goes when the step is begun again.
    with TemporaryDirectory(prefix="out-processes-", dir=job.output.parent) as name:
        folder = Path(name)
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        with (folder / "stderr.txt").open("wb") as stderr:
            code = _follow(_start(job, folder, stderr), listener)
        if code:
            raise _failure(job, folder, code)
    return ArtifactRecord.read(job.output)


def _start(job: Job, folder: Path, stderr: Any) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(job.devices)]
    threads = str(max(1, (os.cpu_count() or 1) // job.devices))
    return subprocess.Popen(  # noqa: S603 - every part is ours
        [sys.executable, *torchrun, "-m", "fgic_core.run.job", str(folder / "job.json"), "--attached"],
        # Held open and never written to: the processes end when it closes, also where this one is killed.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={"OMP_NUM_THREADS": threads, **os.environ},
        # Ctrl-C in a terminal comes to this process alone, which then ends the others in good order.
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[str], listener: Listener) -> int:
    """Pass the events on until the processes end; returns the exit status."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            _pass_on(line, listener)
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
        process.stdout.close()


def _pass_on(line: str, listener: Listener) -> None:
    try:
        about = json.loads(line)
        event = about.pop("event")
    except (ValueError, KeyError, AttributeError, TypeError):
        return  # printed by some library
    if event == "progress":
        listener.progress(**about)
    elif event == "metric":
        listener.metric(Metric(**about))
    elif event == "point":
        listener.point(Point(**about))
    elif event == "warning":
        listener.warning(**about)


def _failure(job: Job, folder: Path, code: int) -> Exception:
    """The exception that says why the processes failed: the first one's, as the others fail for the lack of it."""
    said = (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace")
    left = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("error-*.json")]
    killed = re.search(r"rank\s*:\s*(\d+) [^\n]*\n\s*exitcode\s*:\s*-(?!15\b)(\d+)", said)
    error: Exception
    if killed:
        name = signal.Signals(int(killed[2])).name
        advice = "; is there memory enough for all of them?" if name == "SIGKILL" else ""
        error = ProcessFailed(f"process {killed[1]} of {job.devices} was ended by {name}{advice}")
    elif left:
        error = _rebuild(min(left, key=lambda document: document["time"]))
    else:
        error = ProcessFailed(f"the {job.devices} processes ended with status {code} and left no message")
    error.__cause__ = _Said("\n".join([document["traceback"] for document in left] + [said]))
    return error


def _rebuild(document: Mapping[str, Any]) -> Exception:
    if document["errno"] is not None:
        return OSError(document["errno"], document["what"])
    if document["fgic"]:
        kind = _ERRORS.get(document["type"], FgicError)
        return kind(document["what"], where=document["where"], hint=document["hint"])
    return ProcessFailed(f"{document['type']}: {document['what']}")


# What the processes themselves do.


def started_by_torchrun() -> bool:
    """Whether this process is one of several that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_as_one_of_several(job: Job, registry: Registry, listener: Listener, attached: Path | None = None) -> None:
    """Run this process's part of a job that torchrun started in ``job.devices`` processes.

    Args:
        job: the whole step.
        registry: where the component comes from.
        listener: told by rank 0 alone.
        attached: where `run_in_processes` started this process, the folder to leave an error in.

    Raises:
        FgicError: there are not as many processes as devices; or see `run_job`.
        Exception: whatever the component raises.
    """
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if attached is not None:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        if count != job.devices:
            raise FgicError(f"the job is for {job.devices} devices, but torchrun started {count} processes")
        job = job.model_copy(update={"device": _own_device(job.device, int(os.environ["LOCAL_RANK"]))})
        if rank == 0:
            run_job(job, registry, listener)
            return
        with TemporaryDirectory(prefix=f"rank-{rank}-", dir=attached) as folder, contextlib.redirect_stdout(sys.stderr):
            run_job(job.model_copy(update={"output": Path(folder)}), registry, rank=rank)
    except Exception as error:
        if attached is not None:
            _leave(error, attached / f"error-{rank}.json")
        raise


def _own_device(device: str, local_rank: int) -> str:
    """The device of one process: the devices are numbered from the one that was asked for."""
    kind, _, first = device.partition(":")
    return f"cuda:{int(first or 0) + local_rank}" if kind == "cuda" else device


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    # Not sys.exit: the other threads may be in the middle of waiting for a process that is gone.
    os._exit(1)


def _leave(error: Exception, file: Path) -> None:
    document: dict[str, Any] = {
        "time": time.time_ns(),
        "type": type(error).__name__,
        "fgic": isinstance(error, FgicError),
        "what": str(error),
        "where": None,
        "hint": None,
        "errno": error.errno if isinstance(error, OSError) else None,
        "traceback": "".join(traceback.format_exception(error)),
    }
    if isinstance(error, FgicError):
        document |= {"what": error.what, "where": error.where, "hint": error.hint}
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(file)
