"""Opening artifacts by their type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.model import Model
from fgic_core.errors import StoreError
from fgic_core.interfaces import Classifier
from fgic_core.registry import Registry


def open_artifact(folder: Path, registry: Registry, roots: Mapping[str, Path], device: str) -> Any:
    """A `Dataset` or a `Model`, by what the folder holds.

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
    if record.type == "model":
        return open_model(folder, registry, device)
    raise StoreError(f"an artifact of type {record.type} is no step's input", where=str(folder))


def open_model(folder: Path, registry: Registry, device: str = "cpu") -> Model:
    """The trained classifier of a model artifact. It needs its weights alone, not the data it was trained on."""
    record = ArtifactRecord.read(folder)
    kind = registry.get(record.uses)
    # Options were validated when the step ran; the files they name (`weights:`) need no longer exist.
    options = dict(record.options)
    classifier = kind.model_validate(options, context={"base": folder, "trusted": True})
    assert isinstance(classifier, Classifier)
    return Model(classifier.load(folder / "component", device), device, folder)
