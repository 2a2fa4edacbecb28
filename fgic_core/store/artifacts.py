"""Opening artifacts by their type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import StoreError
from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.kinds.classifier.model import Model
from fgic_core.kinds.component import Component
from fgic_core.kinds.table import KINDS, named
from fgic_core.nested import one_line
from fgic_core.registry import Registry
from fgic_core.steps.lesson import MAIN
from fgic_core.store.contents import damages
from fgic_core.store.memory import default_memory

#: Beside the ports, the name of what was learned among an artifact's sources: keys by training.
LEARNED = "(learned)"


def open_artifact(folder: Path, registry: Registry, roots: Mapping[str, Path], device: str) -> Any:
    """A `Dataset`, a `Model`, or what the artifact's type says (`ArtifactType.open`), by what the folder holds.

    Args:
        roots: where pictures lie now, by root name.
        device: torch's name of the device to load a model on.

    Raises:
        StoreError: there is no artifact, or one that no step takes as input.
    """
    record = ArtifactRecord.read(folder)
    if record.type == "dataset":
        from fgic_core.data.dataset import Dataset

        return Dataset.open(folder, roots)
    if record.type in ("model", "fitted"):
        return open_model(folder, registry, device)
    type_ = KINDS.type(record.type)
    if type_ is None or not type_.open:
        raise StoreError(f"an artifact of type {record.type} is no step's input", where=str(folder))
    return named(type_.open, f"what opens artifacts of type {record.type}")(folder)


def open_model(folder: Path, registry: Registry, device: str = "cpu", project: Path | None = None) -> Model:
    """The trained classifier of a model artifact. It needs its weights alone, not the data it was trained on."""
    fitted = open_fitted(folder, registry, device, project)
    if not isinstance(fitted, FittedClassifier):
        raise StoreError("what was learned there is no classifier", where=str(folder))
    return Model(fitted, device, folder)


def open_component(folder: Path, registry: Registry, project: Path | None = None) -> Component:
    """The component of an artifact's step, with its options.

    Args:
        folder: the artifact.
        registry: where the component comes from.
        project: the spec's folder, at which paths of options start, where it is known (`RunRecord.project`).

    Raises:
        StoreError: there is no artifact, or one whose options what is installed now does not take.
    """
    record = ArtifactRecord.read(folder)
    # Options were validated when the step ran; the files they name (`weights:`) need no longer exist.
    context = {"base": project or folder, "trusted": True, "registry": registry}
    try:
        return registry.get(record.uses).model_validate(dict(record.options), context=context)
    except ValidationError as error:
        raise StoreError(
            f"the options that {record.uses} was used with are not legal any more: {one_line(error)}",
            where=str(folder),
            hint="Install the packages that made it, or run the spec again.",
        ) from None


def open_fitted(folder: Path, registry: Registry, device: str = "cpu", project: Path | None = None) -> Any:
    """What a step learned, opened for use: a `FittedClassifier`, a `FittedDetector`, a `FittedGenerator`.

    Args:
        folder: the artifact of the step, or of what it learned.
        registry: where the component comes from.
        device: torch's name of the device to open it on.
        project: see `open_component`.

    Raises:
        StoreError: there is no such artifact, or what was learned is no longer in the store.
    """
    record, component = ArtifactRecord.read(folder), open_component(folder, registry, project)
    place = folder if record.type == "fitted" else learned_folder(folder, record)
    if place is None or not (place / "component").is_dir():
        raise StoreError(
            "what this step learned is no longer in the store" if place is not None else "this step learned nothing",
            where=str(folder),
            hint="Run the spec again: what the store lacks is computed anew.",
        )
    _check_whole(place)
    if isinstance(component, Classifier):
        component = component.for_fit()  # which a use-only option has no part in: what takes the model has no key of it
    return component.load(place / "component", device)  # type: ignore[attr-defined]


def _check_whole(place: Path) -> None:
    """Raises StoreError where the files of what was learned are not those that were saved."""
    memory = default_memory()
    files = {name: file for name, file in ArtifactRecord.read(place).files.items() if name.startswith("component/")}
    wrong = damages(place, files, memory.digest)
    memory.flush()
    if wrong:
        raise StoreError(
            f"what this step learned is damaged in the store: {wrong[0]}",
            where=str(place),
            hint="Run the spec again: it is computed anew.",
        )


def learned_folder(folder: Path, record: ArtifactRecord) -> Path | None:
    """Where what a step learned lies, beside its artifact in the store; None where it learned nothing."""
    if (key := record.sources.get(LEARNED, {}).get(MAIN)) is not None:
        return folder.parents[1] / str(key)[:2] / str(key)
    return folder if (folder / "component").is_dir() else None
