"""A job: one step as a JSON document that runs in this process, in another interpreter or on another machine.

``python -m fgic_core.run.job job.json`` runs one and prints its events as JSON lines.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.errors import FgicError, PluginError
from fgic_core.registry import Registry
from fgic_core.run.artifacts import open_artifact
from fgic_core.steps.context import Listener, StepContext

#: Kinds whose steps need no tensors: torch, and the seconds and memory of its import, are left out there.
_WITHOUT_TORCH = ("dataset", "cropper")


class Job(BaseModel):
    """Everything a step needs to run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    uses: str
    options: dict[str, Any] = Field(description="Every option; paths are absolute.")
    inputs: dict[str, Path] = Field(description="Artifact folders by input name.")
    roots: dict[str, Path] = Field(default_factory=dict, description="Where pictures lie, by root name.")
    output: Path = Field(description="An empty folder that becomes the artifact.")
    scratch: Path | None = Field(None, description="A folder for checkpoints that outlives a crash.")
    seed: int = 0
    device: str = "cpu"
    devices: int = 1
    workers: int = 0
    key: str = ""
    document: dict[str, Any] = Field(default_factory=dict, description="What the key is the digest of.")


def run_job(job: Job, registry: Registry, listener: Listener | None = None) -> ArtifactRecord:
    """Run a step and write its artifact into ``job.output``.

    Raises:
        FgicError: a mistake in the input, or a broken contract.
        Exception: whatever the component raises.
    """
    started = time.monotonic()
    entry = registry.entry(job.uses)
    component = registry.create(job.uses, base=job.output, **job.options)
    missing = [name for name in component.takes if name not in job.inputs]
    if missing:
        raise PluginError(f"the job gives no {' and no '.join(missing)}", where=job.uses)
    context = StepContext(
        job.output,
        uses=job.uses,
        scratch=job.scratch,
        seed=job.seed,
        device=job.device,
        devices=job.devices,
        workers=job.workers,
        listener=listener,
    )
    inputs = {name: open_artifact(folder, registry, job.roots, job.device) for name, folder in job.inputs.items()}
    if component.kind not in _WITHOUT_TORCH:
        import_module("torch")
    context.seed_everything("step")
    import_module(f"fgic_core.steps.{component.kind}").run(component, inputs, context)
    record = ArtifactRecord(
        type=component.gives,
        key=job.key,
        uses=job.uses,
        package=entry.package,
        version=entry.version,
        options=component.model_dump(mode="json"),
        seed=job.seed,
        inputs=job.document.get("inputs", {}),
        why=job.document,
        metrics=context.metrics,
        curves=context.curves,
        warnings=context.warnings,
        seconds=round(time.monotonic() - started, 3),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        files={file.name: file.stat().st_size for file in sorted(job.output.iterdir()) if file.is_file()},
    )
    record.write(job.output)
    return record


class _JsonLines(Listener):
    def _say(self, event: str, **about: Any) -> None:
        print(json.dumps({"event": event, **about}), flush=True)

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self._say("progress", description=description, done=done, total=total, unit=unit)

    def metric(self, metric: Metric) -> None:
        self._say("metric", **metric.model_dump())

    def point(self, point: Point) -> None:
        self._say("point", **point.model_dump())

    def warning(self, message: str) -> None:
        self._say("warning", message=message)


def main(arguments: list[str]) -> int:
    """Run the job in the file named; 0 when its artifact is whole, 2 on a mistake in the input."""
    if len(arguments) != 1:
        print("usage: python -m fgic_core.run.job JOB.json", file=sys.stderr)
        return 2
    try:
        run_job(Job.model_validate_json(Path(arguments[0]).read_bytes()), Registry(), _JsonLines())
    except (FgicError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
