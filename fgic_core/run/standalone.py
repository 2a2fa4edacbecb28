"""A job in a process of its own: ``python -m fgic_core.run.standalone job.json``.

It runs in a process for each of its devices, and tells its events on standard output (see `fgic_core.run.events`); what
plugins print goes to standard error. `fgic_core.run.processes` starts it under torchrun.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from fgic_core.errors import FgicError
from fgic_core.registry import Registry
from fgic_core.run.events import EventWriter, text_of
from fgic_core.run.job import Job, run_job
from fgic_core.run.processes import place, run_on_devices
from fgic_core.steps.context import Listener


def main(arguments: list[str]) -> int:
    """Run the job in the file named; 0 when its artifact is whole, 2 on a mistake in the input, 1 on any other failure.

    ``--attached`` says that another process of fgic started this one: it ends when its standard input does, and tells
    its events on a named pipe beside the file.
    """
    attached = arguments[1:] == ["--attached"]
    if len(arguments) != 1 + attached:
        print("usage: python -m fgic_core.run.standalone JOB.json [--attached]", file=sys.stderr)
        return 2
    file = Path(arguments[0])
    # What is printed from here on goes to standard error, so that it does not lie between the events.
    writer = EventWriter(os.open(os.devnull, os.O_WRONLY) if attached else os.dup(1))
    os.dup2(2, 1)
    try:
        writer.started()
        if not attached:
            writer.beat()
        job = Job.model_validate_json(file.read_bytes())
        if started_by_torchrun():
            run_as_one_of_several(job, Registry(), writer, file.parent if attached else None)
        else:
            run_on_devices(job, Registry(), writer)
    except BaseException as error:  # sys.exit() in a plugin is no success
        writer.error(error)
        if not isinstance(error, (FgicError, OSError, ValueError)):
            traceback.print_exc()
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        print(f"error: {text_of(error)}", file=sys.stderr)
        return 2
    writer.finished()
    return 0


def _main_of_several(arguments: list[str]) -> None:
    """`main` for a process that torchrun started, which then ends without tearing anything down.

    torch's gloo backend can deadlock when its process group is destroyed: the destructor holds the interpreter's lock
    while it joins a thread that waits for that lock (seen with torch 2.13).
    """
    status = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def started_by_torchrun() -> bool:
    """Whether this process is one of several that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_as_one_of_several(job: Job, registry: Registry, listener: Listener, attached: Path | None = None) -> None:
    """Run this process's part of a job that torchrun started in ``job.devices`` processes.

    Args:
        job: the whole step.
        registry: where the component comes from.
        listener: told by rank 0 alone.
        attached: where `run_in_processes` started this process, the folder of its channels; it is told there instead.

    Raises:
        FgicError: there are not as many processes as devices; or see `run_job`.
        Exception: whatever the component raises.
    """
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    writer = None
    if attached is not None:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        writer = EventWriter(os.open(place(attached, rank), os.O_WRONLY))
        writer.started()
        writer.beat()
    try:
        if count != job.devices:
            raise FgicError(f"the job is for {job.devices} devices, but torchrun started {count} processes")
        threads = max(1, job.threads // count) if job.threads else None
        device = _own_device(job.device, int(os.environ["LOCAL_RANK"]))
        job = job.model_copy(update={"device": device, "threads": threads})
        if rank == 0:
            run_job(job, registry, writer or listener)
        else:
            with TemporaryDirectory(prefix=f"rank-{rank}-", dir=attached) as folder:
                run_job(job.model_copy(update={"output": Path(folder)}), registry, rank=rank)
    except BaseException as error:
        if writer is not None:
            writer.error(error)
        raise
    if writer is not None:
        writer.finished()


def _own_device(device: str, local_rank: int) -> str:
    """The device of one process: the devices are numbered from the one that was asked for."""
    kind, _, first = device.partition(":")
    return f"cuda:{int(first or 0) + local_rank}" if kind == "cuda" else device


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    # Not sys.exit: the other threads may be in the middle of waiting for a process that is gone.
    os._exit(1)


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _main_of_several(sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
