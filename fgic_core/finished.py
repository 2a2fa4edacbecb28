"""What a run gave: its numbers, its data, its models, and its trained pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import ArtifactRecord, Metric
from fgic_core.errors import StoreError
from fgic_core.kinds.table import KINDS
from fgic_core.registry import Registry
from fgic_core.store.record import RunRecord, StepRecord, which_run
from fgic_core.store.study import StudyRecord

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.data.geometry import Box
    from fgic_core.kinds.classifier.model import Model
    from fgic_core.predict import Predictor
    from fgic_core.study.results import Results


#: How a step ended that gave nothing.
_ENDED = {"failed": "failed", "interrupted": "was interrupted", "running": "was killed", "waiting": "never began"}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run directory.
        record: what happened, step by step.
        report: the HTML page; None if it could not be written.
        problems: what went wrong beside the steps: observers that failed, a report that could not be written.
    """

    folder: Path
    record: RunRecord
    report: Path | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path | str, store: Path | str | None = None) -> Run:
        """The run in a run directory.

        Args:
            folder: the run directory.
            store: where the artifacts lie, if not where `RunRecord.read` looks for them.
        """
        folder = Path(folder)
        report = folder / "report.html"
        record = RunRecord.read(folder, Path(store) if store is not None else None)
        return cls(folder, record, report if report.exists() else None)

    @property
    def ok(self) -> bool:
        """Whether every step that was asked for has its artifact."""
        return self.record.status == "finished"

    def artifact(self, step: str) -> ArtifactRecord:
        """What a step's artifact records of itself.

        Raises:
            StoreError: the step failed or was not run, or its artifact is no longer in the store.
        """
        found = self._step(step)
        if found.status in _ENDED:
            why = f": {found.error}" if found.status == "failed" else ""
            raise StoreError(f"step {step} {_ENDED[found.status]}{why}", where=str(self.folder))
        if not found.folder.is_dir():
            if found.status in ("reused", "computed"):
                hint = f"The store was expected at {self.record.store}. Run the spec again: it is computed anew."
                raise StoreError(f"what step {step} gave is no longer in the store", where=str(self.folder), hint=hint)
            why = f": {found.reason}" if found.status == "skipped" else ""
            raise StoreError(f"step {step} was not run{why}", where=str(self.folder))
        return ArtifactRecord.read(found.folder)

    def learned(self, step: str) -> Path:
        """The folder of what a step learned; ``component/`` has its weights.

        Raises:
            StoreError: it learned nothing, or what it learned is no longer in the store.
        """
        from fgic_core.store.artifacts import learned_folder

        folder = self._step(step).folder
        found = learned_folder(folder, ArtifactRecord.read(folder))
        if found is None or not found.is_dir():
            what = "learned nothing" if found is None else "has learned is no longer in the store"
            raise StoreError(f"what step {step} {what}" if found else f"step {step} {what}", where=str(folder))
        return found

    def metrics(self, step: str) -> list[Metric]:
        """The numbers the core measured at a step.

        Raises:
            StoreError: see `artifact`.
        """
        return self.artifact(step).metrics

    def metric(self, step: str, name: str, split: str = "", **at: float | str) -> Metric:
        """One of them, of exactly that split: a figure of train is never given for one of test.

        Args:
            step: the step.
            name: a quantity, such as ``accuracy``.
            split: ``train``, ``val``, ``test``, or empty for what is of no one split.
            at: at what it was measured, such as ``eps=4 / 255``; what tells no two apart may be left out. Numbers are
                the same up to rounding, unless there is one that is equal.

        Raises:
            KeyError: there is none, or there are several; says which there are.
            StoreError: see `artifact`.
        """
        named = [metric for metric in self.metrics(step) if metric.name == name]
        found = [metric for metric in named if metric.split == split and metric.is_at(**at)]
        exact = [metric for metric in found if all(metric.at[key] == value for key, value in at.items())]
        found = exact or found
        if len(found) == 1:
            return found[0]
        wanted, there = _which(split, at), [_which(metric.split, metric.at) for metric in found or named]
        which = f"; there are those of {'; '.join(there)}" if there else ""
        raise KeyError(f"step {step} has {'several metrics' if found else 'no metric'} {name!r} of {wanted}{which}")

    def dataset(self, step: str | None = None) -> Dataset:
        """The data set that a step gave; by default the last one."""
        from fgic_core.data.dataset import Dataset

        return Dataset.open(self._of_type("dataset", step).folder, self.record.roots)

    def opened(self, step: str, device: str = "cpu", registry: Registry | None = None) -> Any:
        """What a component is given of a step: a data set, a model, or what the `ArtifactType` of a kind opens.

        Raises:
            StoreError: see `artifact`; or no step takes artifacts of its type.
        """
        from fgic_core.run.device import choose_device
        from fgic_core.store.artifacts import open_artifact

        self.artifact(step)
        folder = self._step(step).folder
        return open_artifact(folder, registry or Registry(), self.record.roots, choose_device(device))

    def model(self, step: str | None = None, device: str = "cpu", registry: Registry | None = None) -> Model:
        """The model that a step gave; by default the last one."""
        from fgic_core.run.device import choose_device
        from fgic_core.store.artifacts import open_model

        folder = self._of_type("model", step).folder
        return open_model(folder, registry or Registry(), choose_device(device), self.record.project)

    def predictor(
        self,
        step: str | None = None,
        device: str = "cpu",
        box: Box | Sequence[float] | None = None,
        whole: bool = False,
        registry: Registry | None = None,
    ) -> Predictor:
        """The trained pipeline: it takes new pictures the way that the run took its test pictures.

        The run's detector finds the object, its cropper cuts it, its classifier names it. Where nothing is found, or
        the run crops nothing, whole pictures are taken.

        Args:
            step: the classifier's step; by default the last one.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
            box: ``x1, y1, x2, y2`` in pixels of the upright picture, in place of a detector's; for one picture.
            whole: take whole pictures, whatever the run did.
            registry: where components come from; by default what is installed.

        Raises:
            FgicError: the run cropped its test pictures to annotated boxes, and neither ``box`` nor ``whole`` is given;
                or this machine has no such device.
            StoreError: a part of it is no longer in the store.
        """
        from fgic_core.predict import Predictor
        from fgic_core.run.device import check_device
        from fgic_core.run.route import choose_regions, read_box, route_of, views_before

        registry = registry or Registry()
        check_device(device)
        route = route_of(self.record, self._of_type("model", step))
        given = read_box(box) if box is not None else None
        # What is refused is refused before torch is loaded.
        regions = choose_regions(self.record, route, registry, given, whole)
        model = self.model(route.classifier.name, device, registry)
        return Predictor(model, regions(model), views_before(route) if whole else "")

    def _step(self, name: str) -> StepRecord:
        for step in self.record.steps:
            if step.name == name:
                return step
        raise StoreError(
            f"the run has no step {name!r}", hint=f"Its steps are {', '.join(s.name for s in self.record.steps)}."
        )

    def _of_type(self, kind: str, name: str | None) -> StepRecord:
        steps = self.record.steps if name is None else [self._step(name)]
        gone = []
        for step in reversed(steps):
            undone = step.status not in ("reused", "computed", "skipped")
            if undone and name is None and _gives(step) == kind:
                raise StoreError(
                    f"step {step.name}, which gives the {kind} of this run, {_ENDED.get(step.status, 'has not ended')}",
                    where=str(self.folder),
                    hint=f"Run the spec again, or name another step that gives a {kind}.",
                )
            try:
                if ArtifactRecord.read(step.folder).type == kind:
                    return step
            except StoreError:
                gone += [step] if step.status in ("reused", "computed") else []
        if any(_gives(step) == kind for step in gone):
            raise StoreError(
                f"the {kind} of this run is no longer in the store",
                where=str(self.folder),
                hint=f"The store was expected at {self.record.store}. If it lies elsewhere, name it with --store or "
                "$FGIC_STORE; else run the spec again: what the store lacks is computed anew.",
            )
        raise StoreError(
            f"no {kind} is in this run" if name is None else f"step {name} gave no {kind}", where=str(self.folder)
        )


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A finished study.

    Attributes:
        folder: the study's folder.
        record: what was asked for, and how each run ended.
        report: the HTML page; None where there is none.
        problems: what went wrong beside the steps; see `Run`.
    """

    folder: Path
    record: StudyRecord
    report: Path | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path | str) -> StudyRun:
        """The study in a folder.

        Raises:
            StoreError: there is none.
        """
        folder = Path(folder)
        report = folder / "report.html"
        return cls(folder, StudyRecord.read(folder), report if report.exists() else None)

    def results(self, store: Path | str | None = None) -> Results:
        """What the study shows: effects, verdicts, every run's numbers.

        Args:
            store: where artifacts lie, if not where the runs' records say.
        """
        from fgic_core.study.results import Results

        return Results.of(self.folder, Path(store) if store is not None else None)

    @property
    def ok(self) -> bool:
        """Whether every run came to its end, with every artifact that was asked for."""
        return all(run.status == "finished" for run in self.record.runs)

    def run(self, arm: str, seed: int, store: Path | str | None = None) -> Run:
        """One run.

        Args:
            arm: its arm's name; seed: its seed.
            store: see `Run.open`.

        Raises:
            KeyError: the study has no such run.
            StoreError: it was never begun.
        """
        return Run.open(self.folder / self.record.run(arm, seed).folder, store)

    @property
    def runs(self) -> list[Run]:
        """The runs that were begun, in their order."""
        begun = [entry for entry in self.record.runs if entry.status != "waiting"]
        return [Run.open(self.folder / entry.folder) for entry in begun]


def _gives(step: StepRecord) -> str:
    """The type of artifact that a step of its kind gives; empty for an unknown kind."""
    kind = KINDS.interface(step.uses.partition("/")[0])
    return kind.gives if kind is not None else ""


def load_model(
    folder: Path | str,
    step: str | None = None,
    device: str = "cpu",
    registry: Registry | None = None,
    store: Path | str | None = None,
) -> Model:
    """The trained classifier of a run directory or of a model artifact's folder.

    Args:
        folder: ``runs/<name>/<time>``, ``runs/<name>/latest``, or an artifact.
        step: the classifier's step, where a run has several; the last one by default.
        store: where a run's artifacts lie, if not where `RunRecord.read` looks for them.

    Raises:
        StoreError: there is no model.
    """
    folder = Path(folder)
    if (folder / "run.json").exists():
        return Run.open(folder, store).model(step, device, registry)
    if (folder / "artifact.json").exists():
        from fgic_core.run.device import choose_device
        from fgic_core.store.artifacts import open_model

        return open_model(folder, registry or Registry(), choose_device(device))
    raise StoreError("this is neither a run directory nor a model", where=str(folder), hint=which_run(folder))


def _which(split: str, at: Mapping[str, float | str]) -> str:
    """Of which split a number is, and at what it was measured."""
    return ", ".join([repr(split) if split else "no one split", *(f"{key}={value!r}" for key, value in at.items())])
