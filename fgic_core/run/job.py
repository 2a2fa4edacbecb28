"""A job: one step as a JSON document that runs in this process, in another interpreter or on another machine.

``python -m fgic_core.run.standalone job.json`` runs one in a process of its own.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import PluginError
from fgic_core.kinds.component import Component
from fgic_core.kinds.table import KINDS, named
from fgic_core.registry import Registry
from fgic_core.run.threads import limited
from fgic_core.steps.context import Listener, StepContext
from fgic_core.steps.lesson import MAIN
from fgic_core.store.artifacts import open_artifact
from fgic_core.store.contents import content_of, files_of, forget_places


class Job(BaseModel):
    """Everything a step needs to run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 2
    node: Literal["fit", "use"] = Field("use", description="Learn, or do with what was learned; without `learns`, all.")
    uses: str
    options: dict[str, Any] = Field(description="Every option; paths are absolute.")
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="Defaults by option, of those that nobody gave, as they were planned."
    )
    named: list[str] = Field(default_factory=list, description="The components that options name, near and far.")
    inputs: dict[str, Path | list[Path]] = Field(description="Artifact folders by port; a list where it takes many.")
    roots: dict[str, Path] = Field(default_factory=dict, description="Where pictures lie, by root name.")
    output: Path = Field(description="An empty folder that becomes the artifact.")
    scratch: Path | None = Field(None, description="A folder for checkpoints that outlives a crash.")
    base: Path | None = Field(None, description="The spec's folder: the artifact's record has paths relative to it.")
    lesson: str = Field("", description="Of a fit: which of the step's trainings, such as a fold.")
    learned: dict[str, Path] = Field(default_factory=dict, description="Of a use: folders of what was learned.")
    sources: dict[str, Any] = Field(default_factory=dict, description="Keys of the artifacts that it is given.")
    seed: int = 0
    streams: dict[str, int] = Field(default_factory=dict, description="Seeds of streams whose seed is another one.")
    device: str = "cpu"
    devices: int = 1
    workers: int = 0
    threads: int | None = Field(None, description="Of torch; None leaves it to torch. They bear on the last bits.")
    key: str = ""
    document: dict[str, Any] = Field(default_factory=dict, description="What the key is the digest of.")


def run_job(job: Job, registry: Registry, listener: Listener | None = None, rank: int = 0) -> ArtifactRecord:
    """Run a step in this process and write its artifact into ``job.output``.

    Args:
        job: the step.
        registry: where the component comes from.
        listener: where events go.
        rank: which of the processes that run this job together; see `Context`.

    Raises:
        FgicError: a mistake in the input, or a broken contract.
        Exception: whatever the component raises.
    """
    started = time.monotonic()
    entry = registry.entry(job.uses)
    _check_defaults(registry.get(job.uses), job)
    component = registry.create(job.uses, base=job.output, **job.options)
    needed = [
        name for name, port in component.inputs.items() if port.required and (job.node == "use" or port.at == "fit")
    ]
    missing = [name for name in needed if name not in job.inputs]
    if missing:
        raise PluginError(f"the job gives no {' and no '.join(missing)}", where=job.uses)
    context = StepContext(
        job.output,
        uses=job.uses,
        scratch=job.scratch,
        key=job.key,
        seed=job.seed,
        streams=job.streams,
        device=job.device,
        devices=job.devices if component.several_devices else 1,
        rank=rank,
        workers=job.workers,
        listener=listener,
        lesson=job.lesson,
    )

    def opened(name: str, folder: Path) -> Any:
        if job.node == "fit" and name == "dataset":  # rows alone, and no artifact
            from fgic_core.data.dataset import Dataset

            return Dataset.open(folder, job.roots)
        return open_artifact(folder, registry, job.roots, job.device)

    context.inputs = {
        name: [opened(name, one) for one in given] if isinstance(given, list) else opened(name, given)
        for name, given in job.inputs.items()
    }
    if KINDS[component.kind].tensors:
        import_module("torch")
    context.seed_everything("step")
    with limited(job.threads):
        _drive(component, context, job)
    gives = "fitted" if job.node == "fit" else component.gives
    if not rank:
        _check_written(component, gives, job.output)
    if gives == "dataset":
        forget_places(job.output)
    files = files_of(job.output)
    record = ArtifactRecord(
        type=gives,
        key=job.key,
        content=content_of(job.output, gives, files),
        uses=job.uses,
        package=entry.package,
        version=entry.version,
        options=component.model_dump(mode="json", context={"relative_to": job.base}),
        seed=job.seed,
        inputs=job.document.get("inputs", {}),
        sources=job.sources,
        why=job.document,
        metrics=context.metrics,
        curves=context.curves,
        warnings=context.warnings,
        seconds=round(time.monotonic() - started, 3),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        files=files,
    ).sealed()
    record.write(job.output)
    return record


def _check_defaults(component: type[Component], job: Job) -> None:
    """Raises PluginError where an option that nobody gave has another default here than where it was planned."""
    from pydantic_core import to_jsonable_python

    for name, planned in job.defaults.items():
        default = component.model_fields[name].get_default(call_default_factory=True)
        here = to_jsonable_python(default, fallback=str)
        if " at 0x" not in str(here) and _without_order(here) != _without_order(planned):
            raise PluginError(
                f"its option {name} has the default {here!r} here, and had {planned!r} where the step was planned: it "
                "depends on the environment, the folder or the machine, or its package was edited meanwhile",
                where=job.uses,
                hint=f"Give {name} in the spec. The package should say Field(default_factory=...), which is asked each "
                "time.",
            )


def _without_order(value: Any) -> Any:
    """A value as JSON has it, in which lists are in one order: they may be sets."""
    if isinstance(value, dict):
        return {name: _without_order(one) for name, one in value.items()}
    return sorted(map(repr, map(_without_order, value))) if isinstance(value, (list, tuple)) else value


def _check_written(component: Component, gives: str, folder: Path) -> None:
    """Raises PluginError where a driver left out what every artifact of the type holds."""
    kind = KINDS[component.kind]
    lacking = {"dataset": "dataset.json", "fitted": "component"}.get(gives)
    if lacking is not None and not (folder / lacking).exists():
        raise PluginError(
            f"nothing that steps of the kind {kind.name} give was written: there is no {lacking} in ctx.folder",
            where=kind.fit if gives == "fitted" else kind.driver,
            hint="Dataset.write(ctx.folder) writes a data set; what is learned is saved in ctx.folder / 'component'.",
        )
    if kind.package == "fgic" or (row := KINDS.type(gives)) is None or not row.open:
        return
    try:
        named(row.open, f"what opens artifacts of type {gives}", kind.package)(folder)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(
            f"the driver of the kind {kind.name} wrote an artifact of type {gives} that cannot be opened: "
            f"{type(error).__name__}: {error}",
            where=kind.driver,
        ) from error


def _drive(component: Component, context: StepContext, job: Job) -> None:
    """Have the core's driver of the kind do what the job asks for."""
    kind = KINDS[component.kind]
    if job.node == "fit":
        named(f"{kind.fit}:fit", f"what has a {kind.name} learn", kind.package)(
            component, context.inputs["dataset"], context
        )
    elif kind.fit:
        if MAIN in job.learned:  # the step's record tells of both
            fitted = ArtifactRecord.read(job.learned[MAIN])
            context.metrics, context.curves = list(fitted.metrics), list(fitted.curves)
            context.warnings = list(fitted.warnings)
        use = named(f"{kind.driver}:use", f"the driver of the kind {kind.name}", kind.package)
        use(component, context.inputs, context, job.learned)
    else:
        named(f"{kind.driver}:run", f"the driver of the kind {kind.name}", kind.package)(
            component, context.inputs, context
        )
