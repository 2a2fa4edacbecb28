"""A run folder as the report sees it: the records, the artifacts that can be read, and why the others cannot."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.errors import FgicError, PluginError
from fgic_core.kinds.table import KINDS, Kind
from fgic_core.store.record import RunRecord, StepRecord

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset

#: What to say of a step without an artifact that gives no reason of its own.
_UNDONE = {
    "waiting": "The run ended before this step began.",
    "running": "The step was still running when the record of the run was last written.",
    "failed": "The step failed.",
    "interrupted": "The step was interrupted.",
    "skipped": "The step was not asked for.",
}


@dataclass(frozen=True)
class StepView:
    """One step and its artifact.

    Attributes:
        index: position in the run, from 1.
        record: what ``run.json`` says of it.
        folder: where the artifact lies.
        artifact: None where there is none to show.
        problem: why there is none; empty where there is one.
        type: the artifact's type, or the type that the step would have given; None for an unknown kind.
    """

    index: int
    record: StepRecord
    folder: Path
    artifact: ArtifactRecord | None
    problem: str
    type: str | None

    @classmethod
    def read(cls, index: int, record: StepRecord, run_folder: Path) -> StepView:
        """The step with what can be read of its artifact."""
        kind = KINDS.interface(record.uses.partition("/")[0])
        promised = kind.gives if kind else None
        folder = record.folder if record.folder.is_absolute() else run_folder / record.folder
        if record.status not in ("computed", "reused"):
            problem = record.error or record.reason or _UNDONE.get(record.status, f"The step is {record.status}.")
            return cls(index, record, folder, None, problem, promised)
        try:
            artifact = ArtifactRecord.read(folder)
        except FgicError as error:
            return cls(index, record, folder, None, f"Its artifact cannot be read any more: {error}", promised)
        return cls(index, record, folder, artifact, "", artifact.type)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def kind(self) -> str:
        """Its component's kind, whether that is installed or not."""
        return self.record.uses.partition("/")[0]

    @property
    def row(self) -> Kind | None:
        """The row of its kind; None where that is not installed, or cannot be used."""
        try:
            return KINDS.get(self.kind)
        except PluginError:
            return None

    @cached_property
    def head(self) -> Any:
        """What its kind says at the head of the page (`Kind.head`)."""
        try:
            return import_module(self.row.head) if self.row is not None and self.row.head else None
        except Exception:  # of a package that is broken the numbers are shown all the same
            return None

    @property
    def slug(self) -> str:
        """The step's position and name in letters that are safe in file names and anchors."""
        return f"{self.index:02d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', self.name)}"

    @property
    def metrics(self) -> list[Metric]:
        return self.artifact.metrics if self.artifact else []

    @property
    def curves(self) -> list[Point]:
        return self.artifact.curves if self.artifact else []

    def metric(self, name: str, *splits: str) -> Metric | None:
        """The metric of that name with a value, of the first of the splits that has it; of any if none is given."""
        found = [metric for metric in self.metrics if metric.name == name and metric.value is not None]
        if not splits:
            return found[0] if found else None
        return next((metric for split in splits for metric in found if metric.split == split), None)


class RunView:
    """A run folder.

    Raises:
        StoreError: the folder holds no ``run.json`` that can be read.
    """

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder = folder
        self.record = RunRecord.read(folder, store)
        self._datasets: dict[str, Dataset] = {}

    @cached_property
    def steps(self) -> list[StepView]:
        return [StepView.read(index, record, self.folder) for index, record in enumerate(self.record.steps, 1)]

    def of_type(self, *types: str) -> list[StepView]:
        """The steps that give artifacts of these types, in order."""
        return [step for step in self.steps if step.type in types]

    def source(self, step: StepView, name: str) -> StepView | None:
        """The step that gives the input ``name`` of a step."""
        wanted = step.record.inputs.get(name)
        return next((other for other in self.steps if other.name == wanted), None)

    def dataset(self, step: StepView | None) -> Dataset | None:
        """The data set of a step, opened once; None where there is none that can be read."""
        if step is None or step.artifact is None or step.type != "dataset":
            return None
        if step.name not in self._datasets:
            from fgic_core.data.dataset import Dataset

            try:
                self._datasets[step.name] = Dataset.open(step.folder, roots=self.record.roots)
            except (FgicError, KeyError, TypeError):
                return None
        return self._datasets[step.name]

    def classes(self, step: StepView) -> tuple[str, ...]:
        """The class names that a step's labels index, from its own files or those of its inputs; empty if unknown."""
        if (own := self.dataset(step)) is not None:
            return own.classes
        if step.type == "model":
            try:
                document = json.loads((step.folder / "component.json").read_text(encoding="utf-8"))
                return tuple(str(name) for name in document["classes"])
            except (OSError, ValueError, KeyError, TypeError):
                pass
        for name in ("model", "dataset"):
            source = self.source(step, name)
            if source is not None and (names := self.classes(source)):
                return names
        return ()
