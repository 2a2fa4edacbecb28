"""A study's folder with true records and artifacts, made from numbers: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.geometry import Size
from fgic_core.data.sample import Sample
from fgic_core.store.artifacts import LEARNED
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.store import Store
from fgic_core.store.study import ArmRecord, MeasureRecord, StudyRecord, StudyRunRecord

CLASSES = ("<b>wren</b>", "<b>owl</b>", "<b>gull</b>", "<b>tern</b>")


class FakeStudy:
    """A study in the making.

    Args:
        root: becomes the folder of its store and runs.
        ablate: its steps; with ``every`` each combination of them is an arm.
        about: further fields of the record.
    """

    def __init__(self, root: Path, ablate: Sequence[str], *, every: bool = False, **about: Any) -> None:
        self.root, self.folder, self.store = root, root / "study", Store(root / "store")
        arms = [ArmRecord(name="full", left_out=[], levels={})]
        sizes = range(1, len(ablate) + 1) if every else (1,) if ablate else ()
        for size in sizes:
            for out in combinations(ablate, size):
                arms.append(ArmRecord(name=f"without-{'-'.join(out)}", left_out=list(out), levels={}))
        fields = {
            "name": "planted",
            "seed": 0,
            "started": "2026-11-28T08:00:00Z",
            "status": "finished",
            "seeds": list(range(7)),
            "margin": 1.0,
            "vary": ["init", "order", "split"],
            "measure": [MeasureRecord(step="classifier", quantity="accuracy")],
            "baseline": "full",
            "ablate": list(ablate),
            "every": every,
            "cross": False,
            "axes": {},
            "arms": arms,
            "runs": [],
            **about,
        }
        self.record = StudyRecord(**fields)
        self.copies: list[tuple[int, int]] = []
        self.classes = CLASSES
        self.labels = len(CLASSES)

    def write(self, right: np.ndarray[Any, Any], *, failed: Sequence[tuple[int, int]] = ()) -> Path:
        """Write everything.

        Args:
            right: (arms, seeds, pictures) whether each run has each test picture right.
            failed: arms and seeds of runs that failed.
        """
        data = self._data(right.shape[2])
        for a, arm in enumerate(self.record.arms):
            for s, seed in enumerate(self.record.seeds):
                broken = (a, s) in failed
                name = f"runs/{arm.name}/seed-{seed}"
                status: Any = "failed" if broken else "finished"
                error = "step classifier: it broke" if broken else ""
                entry = StudyRunRecord(arm=arm.name, seed=seed, folder=name, status=status, error=error)
                self.record.runs.append(entry)
                (self.folder / name).mkdir(parents=True)
                steps = [StepRecord(name="birds", uses="dataset/fake", key=data, inputs={}, status="reused")]
                steps += self._between(arm.name, seed, data)
                key = "" if broken else self._classifier(right[a, s], f"{arm.name} {seed}", a + s)
                steps.append(
                    StepRecord(
                        name="classifier",
                        uses="classifier/fake",
                        key=key or _key("none"),
                        inputs={"dataset": steps[-1].name},
                        status="failed" if broken else "computed",
                        error="it broke" if broken else "",
                    )
                )
                RunRecord(
                    name="planted",
                    seed=seed,
                    arm=arm.name,
                    started="2026-11-28T08:00:00Z",
                    status=status,
                    store=self.store.root,
                    roots={"fake": self.root / "pictures"},
                    steps=steps,
                ).write(self.folder / name)
        self.record.write(self.folder)
        return self.folder

    def _between(self, arm: str, seed: int, data: str) -> list[StepRecord]:
        """The steps between the reader, whose data set has this key, and the classifier of a run."""
        return []

    def _artifact(self, name: str, kind: str, **about: Any) -> tuple[str, Path]:
        folder = self.store.folder(_key(name))
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"uses": "classifier/fake", "package": "fgic-fake", "version": "1", "options": {}, "seed": 0} | about
        ArtifactRecord(type=kind, key=_key(name), inputs={}, **fields).write(folder)
        return _key(name), folder

    def _data(self, count: int) -> str:
        key, folder = self._artifact("birds", "dataset", uses="dataset/fake")
        (self.root / "pictures").mkdir()
        samples = []
        for number in range(count):
            path = self.root / "pictures" / f"{number}.png"
            Image.new("RGB", (12, 12), (number % 256, 80, number // 256)).save(path)
            samples.append(
                Sample(
                    id=f"picture {number}",
                    path=path.name,
                    size=Size(12, 12),
                    label=number % self.labels,
                    split="test",
                )
            )
        with DatasetWriter(folder, Header(self.classes, {"fake": self.root / "pictures"})) as writer:
            writer.write_samples(samples, "fake")
        if self.copies:
            columns = {"a": [f"picture {a}" for a, _ in self.copies], "b": [f"picture {b}" for _, b in self.copies]}
            pq.write_table(pa.table(columns), folder / "duplicates.parquet")
        return key

    def _classifier(self, right: np.ndarray[Any, Any], name: str, number: int) -> str:
        rng = np.random.default_rng(number)
        rising = [0.5 + 0.1 * epoch + 0.05 * rng.random() for epoch in range(3)]
        curves = [Point(epoch=n, split="val", name="accuracy", value=value) for n, value in enumerate(rising, 1)]
        learned, _ = self._artifact(f"{name}, learned", "fitted", seconds=2.0 + number, curves=curves)
        key, folder = self._artifact(
            name,
            "model",
            seconds=0.5,
            sources={LEARNED: {"": learned}},
            metrics=[Metric(name="accuracy", split="test", value=float(right.mean()), n=len(right))],
        )
        labels = np.arange(len(right)) % len(CLASSES)
        predicted = np.where(right, labels, (labels + 1) % len(CLASSES))
        table = pa.table(
            {
                "id": [f"picture {row}" for row in range(len(right))],
                "split": ["test"] * len(right),
                "label": labels.astype(np.int32),
                "predicted": predicted.astype(np.int32),
                "confidence": np.random.default_rng(1000 + number).uniform(0.3, 1, len(right)).astype(np.float32),
                "loss": rng.random(len(right)).astype(np.float32),
                "top": pa.array([[int(one)] for one in predicted], pa.list_(pa.int32())),
            }
        )
        order = rng.permutation(len(right)) if number % 2 else np.arange(len(right))  # not all list them alike
        pq.write_table(table.take(order), folder / "predictions.parquet")
        return key


def _key(name: str) -> str:
    return blake2b(name.encode(), digest_size=16).hexdigest()


def answers(effects: Sequence[float], *, seeds: int = 7, pictures: int = 200, seed: int = 0) -> np.ndarray[Any, Any]:
    """(1 + effects, seeds, pictures) whether runs are right: the full pipeline on about 80 % of pictures."""
    rng = np.random.default_rng(seed)
    hard = rng.random(pictures)
    noise = rng.normal(0, 0.02, (seeds, pictures))
    return np.stack([hard + noise < 0.8 - effect for effect in (0.0, *effects)])


@pytest.fixture(scope="session")
def make() -> tuple[type[FakeStudy], Any]:
    """What makes a study, and what makes its answers."""
    return FakeStudy, answers
