"""A run folder with true artifacts, made from seeded numbers: no model is trained and no plugin takes part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from fgic_core.data.artifact import ArtifactRecord, Metric, OnSplit, Point
from fgic_core.data.boxes import ComparedWriter
from fgic_core.data.dataset import SCHEMA, Dataset, DatasetWriter, Header
from fgic_core.data.geometry import Box, Size
from fgic_core.data.sample import ObjectBox, Part, Sample
from fgic_core.metrics.statistics import proportion
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.store import Store

NAMES = (
    "tufted wren",
    "grey-cheeked wren",
    "<script>alert('x')</script>",
    "tawny & sons' owl",
    "$x^2$ gull",
    "bluethroat",
)
WIDTH, HEIGHT = 96, 72


@dataclass
class FakeRun:
    """A run folder in the making."""

    root: Path
    classes: tuple[str, ...] = NAMES
    per_class: int = 8
    seed: int = 7
    steps: list[StepRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.folder = self.root / "run"
        self.folder.mkdir(parents=True)

    def add(self, name: str, uses: str, inputs: dict[str, str], kind: str, metrics: list[Metric], **about: Any) -> Path:
        """A computed step with its ``artifact.json``; its folder."""
        folder = self.root / "store" / name
        folder.mkdir(parents=True, exist_ok=True)
        ArtifactRecord(
            type=kind,
            key=f"{name}-key",
            uses=uses,
            package="fgic-fake",
            version="0.1.0",
            options=about.get("options", {}),
            seed=0,
            inputs={key: f"{source}-key" for key, source in inputs.items()},
            metrics=metrics,
            curves=about.get("curves", []),
            warnings=about.get("warnings", []),
            seconds=about.get("seconds", 3.2),
            created="2026-01-31T14:07:00+00:00",
        ).write(folder)
        self.record(name, uses, inputs, status=about.get("status", "computed"), seconds=about.get("seconds", 3.2))
        return folder

    def record(self, name: str, uses: str, inputs: dict[str, str], **about: Any) -> None:
        """A step in ``run.json`` alone; the store knows its folder by the key, these tests by the name."""
        place = Store(self.root / "store").folder(f"{name}-key")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.root / "store" / name)
        self.steps.append(StepRecord(name=name, uses=uses, key=f"{name}-key", inputs=inputs, **about))

    def write(self, status: str = "finished") -> Path:
        """Write ``run.json`` and give the run folder."""
        RunRecord(
            name="birds",
            seed=0,
            started="2026-01-31T14:05:09+00:00",
            finished="2026-01-31T14:08:11+00:00",
            status=status,
            command="fgic pipeline birds.yaml --set classifier.with.epochs=8",
            device="cpu",
            python="3.11.9",
            platform="Linux x86_64",
            versions={"fgic": "0.1.0", "torch": "2.13.0", "numpy": "1.26.4"},
            store=self.root / "store",
            steps=self.steps,
        ).write(self.folder)
        (self.folder / "resolved.yaml").write_text("version: 1\nname: birds\nseed: 0\n", encoding="utf-8")
        return self.folder

    # One method for each kind of step.

    def bird(self, label: int, path: Path) -> tuple[ObjectBox, tuple[Part, ...]]:
        """Draw a picture with a bird-like blob; its box and parts."""
        background = self.rng.integers(90, 190, 3)
        noise = self.rng.integers(-18, 18, (HEIGHT, WIDTH, 3))
        image = Image.fromarray((background + noise).clip(0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        x, y = int(self.rng.integers(16, 40)), int(self.rng.integers(14, 28))
        colour = tuple(int(c) for c in np.random.default_rng(label).integers(30, 230, 3))
        pen.ellipse((x, y + 8, x + 34, y + 32), fill=colour)
        pen.ellipse((x + 24, y, x + 42, y + 17), fill=colour)
        pen.polygon([(x + 41, y + 6), (x + 50, y + 9), (x + 41, y + 12)], fill=(240, 180, 20))
        image.save(path)
        box = ObjectBox(Box(x, y, x + 50, y + 32))
        return box, (
            Part("beak", x + 46, y + 9),
            Part("tail", x + 3, y + 20),
            Part("eye", x + 35, y + 7, visible=False),
        )

    def dataset(self, name: str = "birds", **about: Any) -> Path:
        """A reader's data set; each class has pictures in train, val and test."""
        samples, pictures = [], self.root / "pictures"
        pictures.mkdir(exist_ok=True)
        for label in range(len(self.classes)):
            for number in range(self.per_class):
                path = f"{label:03d}_{number:02d}.png"
                box, parts = self.bird(label, pictures / path)
                split = ("train", "train", "test", "val")[number % 4]
                samples.append(
                    Sample(
                        id=path[:-4],
                        path=path,
                        label=label,
                        split=split,
                        size=Size(WIDTH, HEIGHT),
                        boxes=(box,),
                        parts=parts,
                    )
                )
        metrics = [
            Metric(name="samples", value=sum(s.split == split for s in samples), split=split)
            for split in ("train", "val", "test")
        ]
        metrics += [Metric(name="classes", value=len(self.classes)), Metric(name="skipped", value=1)]
        warnings = ["1 exact duplicate lies in train and in test.", "1 picture was skipped."]
        folder = self.add(
            name, "dataset/fake-birds", {}, "dataset", metrics, warnings=warnings, options={"root": "pictures"}, **about
        )
        header = Header(
            self.classes,
            {"pictures": pictures},
            part_names=("beak", "tail", "eye"),
            notes=("The pretrained weights have seen these pictures.",),
            skipped=(("broken.jpg", "cut short"),),
        )
        with DatasetWriter(folder, header) as writer:
            writer.write_samples(samples, "pictures")
        if len(samples) >= 4:
            a, b, c = samples[0].id, samples[2].id, samples[1].id
            rows = {"a": [a, a], "b": [c, b], "a_split": ["train"] * 2, "b_split": ["train", "test"]}
            pq.write_table(
                pa.table({**rows, "kind": ["perceptual", "exact"], "distance": [3, 0]}), folder / "duplicates.parquet"
            )
        return folder

    def detector(self, name: str = "boxes", source: str = "birds") -> Path:
        """Predicted boxes beside the annotated ones."""
        before = Dataset.open(self.root / "store" / source)
        samples = []
        for sample in before:
            found = sample.boxes[0].box.shift(3, -2).clip(Size(WIDTH, HEIGHT))
            boxes = (*sample.boxes, ObjectBox(found, None, 0.91, origin="predicted:detector/fake"))
            samples.append(_replace(sample, boxes=boxes))
        metrics = [Metric(name="mAP50", value=0.874, split="test", n=12)]
        curves = [Point(epoch=epoch, split="val", name="mAP50", value=0.5 + 0.1 * epoch) for epoch in range(1, 4)]
        folder = self.add(
            name, "detector/fake", {"dataset": source}, "dataset", metrics, curves=curves, options={"epochs": 3}
        )
        with DatasetWriter(folder, before.header) as writer:
            writer.write_samples(samples, "pictures")
        return folder

    def measured_detector(self, name: str = "boxes", source: str = "birds") -> Path:
        """A detector whose step was run by the core: one test picture without a box, one whose box is far off."""
        folder = self.detector(name, source)
        table = Dataset.open(folder).table
        rows, missed = table.to_pylist(), 0
        for row in rows:
            if row["split"] == "test" and missed < 2:
                found = row["boxes"].pop()
                if missed:
                    row["boxes"].append({**found, "x1": 0.0, "y1": 0.0, "x2": 2.0, "y2": 2.0, "score": 0.12})
                missed += 1
        with (
            DatasetWriter(folder, Dataset.open(folder).header) as writer,
            ComparedWriter(folder, ("predicted:detector/fake",)) as compared,
        ):
            for row in rows:
                compared.add(row, Size(WIDTH, HEIGHT))
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        return folder

    def cropper(self, name: str = "crops", source: str = "boxes", *, masked: bool = False) -> Path:
        """Regions around the boxes, one of them the whole picture."""
        before = Dataset.open(self.root / "store" / source)
        samples = [
            _replace(
                sample,
                region=sample.boxes[-1].box.expand(2).clip(Size(WIDTH, HEIGHT)) if number else None,
                masked=masked and number > 0,
                region_origin=sample.boxes[-1].origin if number else "full image: no box",
            )
            for number, sample in enumerate(before)
        ]
        metrics = [Metric(name="full_image", value=1, n=len(samples), note="no box")]
        folder = self.add(
            name, "cropper/square", {"dataset": source}, "dataset", metrics, options={"margin": 0.1}, status="reused"
        )
        with DatasetWriter(folder, before.header) as writer:
            writer.write_samples(samples, "pictures")
        return folder

    def model(self, name: str = "classifier", source: str = "crops", *, right: float = 0.7, epochs: int = 8) -> Path:
        """A classifier's predictions, curves and metrics."""
        data = Dataset.open(self.root / "store" / source)
        rows: list[dict[str, Any]] = []
        for sample in data:
            if sample.split == "train":
                continue
            shift = 0 if self.rng.random() < right else int(self.rng.integers(1, max(len(self.classes), 2)))
            predicted = (sample.label + shift) % len(self.classes)
            confidence = float(self.rng.uniform(0.35, 1))
            best = [predicted, *(c for c in range(len(self.classes)) if c != predicted)][:5]
            rows.append(
                {"id": sample.id, "split": sample.split, "label": sample.label, "predicted": predicted,
                 "confidence": confidence, "loss": -float(np.log(confidence)), "top": best}
            )  # fmt: skip
        metrics = []
        for part in ("val", "test"):
            of = [row for row in rows if row["split"] == part]
            share = proportion(sum(row["label"] == row["predicted"] for row in of), len(of))
            value = share.value if of else None
            about: dict[str, Any] = {"split": part, "n": len(of), "note": "" if of else "no pictures"}
            metrics.append(
                Metric(
                    name="accuracy",
                    value=value,
                    low=share.low if of else None,
                    high=share.high if of else None,
                    **about,
                )
            )
            metrics.append(Metric(name="loss", value=0.83 if of else None, split=part, n=len(of)))
            if of:
                labels = np.bincount([row["label"] for row in of])
                metrics.append(Metric(name="classes", value=float(np.count_nonzero(labels)), split=part))
                most = float(labels.max()) / len(of)
                metrics.append(Metric(name="majority_accuracy", value=most, split=part, n=len(of)))
        curves = [
            Point(epoch=epoch, split=part, name=quantity, value=value + 0.02 * float(self.rng.random()))
            for epoch in range(1, epochs + 1)
            for part, gap in (("train", 0.0), ("val", 0.08), ("test", 0.1))
            for quantity, value in (("accuracy", 0.95 - gap - 0.7 / epoch), ("loss", 0.3 + gap + 1.5 / epoch))
        ]
        options = {"model": "resnet18.a1_in1k", "epochs": epochs, "betas": [0.9, 0.999], "weights": None}
        folder = self.add(
            name,
            "classifier/fake",
            {"dataset": source},
            "model",
            metrics,
            curves=curves,
            options=options,
            seconds=127.0,
        )
        schema = pa.schema(
            [("id", pa.string()), ("split", pa.string()), ("label", pa.int32()), ("predicted", pa.int32()),
             ("confidence", pa.float32()), ("loss", pa.float32()), ("top", pa.list_(pa.int32()))]
        )  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "predictions.parquet")
        document = {"uses": "classifier/fake", "options": options, "classes": list(self.classes)}
        (folder / "component.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    def explanations(
        self, name: str = "cam", model: str = "classifier", source: str = "crops", count: int = 12
    ) -> Path:
        """Maps over test pictures."""
        data = Dataset.open(self.root / "store" / source).split("test")
        about: dict[str, Any] = {"split": "test", "n": count}
        metrics = [
            Metric(name="pointing_game", value=0.75, low=0.468, high=0.911, **about),
            Metric(name="pointing_game_center", value=0.667, low=0.391, high=0.862, **about),
            Metric(name="pointing_game_random", value=0.312, **about),
            Metric(name="energy_in_box", value=0.51, **about),
        ]
        inputs = {"model": model, "dataset": source}
        folder = self.add(name, "explainer/fake", inputs, "explanations", metrics, options={"method": "gradcam"})
        (folder / "overlays").mkdir()
        (folder / "inputs").mkdir()
        rows = []
        for row in range(min(count, len(data))):
            image = data.crop(row).resize((96, 96))
            image.save(folder / "inputs" / f"{row:04d}.png")
            heat = Image.new("RGB", image.size, (200, 30, 30))
            Image.blend(image, heat, 0.4).save(folder / "overlays" / f"{row:04d}.png")
            label = int(data.labels[row])
            predicted = label if row % 3 else (label + 1) % len(self.classes)
            hit = None if row == 1 else bool(row % 4)
            rows.append({"id": data.ids[row], "label": label, "predicted": predicted, "target": predicted, "hit": hit})
        pq.write_table(pa.Table.from_pylist(rows), folder / "explanations.parquet")
        return folder

    def robustness(
        self, name: str = "pgd", scale: float = 1.0, flags: tuple[str, ...] = (), verdict: str = "pass"
    ) -> Path:
        """A sweep over eps with examples."""
        model, source = "classifier", "crops"
        data = Dataset.open(self.root / "store" / source).split("test")
        n = 40
        metrics = [_share("clean_accuracy", 29, n, "test")]
        for steps, right in ((0, 29), (1, round(17 * scale)), (2, round(8 * scale)), (4, 1)):
            metrics.append(_share("robust_accuracy", right, n, "test", {"eps": steps / 255, "norm": "Linf"}))
            if steps:
                about: dict[str, Any] = {"split": "test", "at": {"eps": steps / 255, "norm": "Linf"}, "n": n}
                metrics.append(Metric(name="distance", value=steps / 255, note="mean Linf distance", **about))
        for check, right in (("check_zero_gradient", 0), ("check_fgsm", 4), ("check_unbounded", 0)):
            judged = verdict if check == "check_fgsm" else "pass"
            metrics.append(_share(check, right, 10, "test").model_copy(update={"verdict": judged}))
        inputs = {"model": model, "dataset": source}
        folder = self.add(
            name,
            "attacker/fake",
            inputs,
            "robustness",
            metrics,
            options={"norm": "Linf", "steps": 20},
            seconds=41.0,
            warnings=list(flags),
        )
        (folder / "examples").mkdir()
        examples = []
        for row in range(min(4, len(data))):
            clean = np.asarray(data.crop(row).resize((64, 64)), dtype=float)
            change = self.rng.choice([-4.0, 4.0], clean.shape)
            for kind, pixels in (
                ("clean", clean),
                ("adversarial", clean + change),
                ("perturbation", 128 + change * 25),
            ):
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "examples" / f"{row}_{kind}.png")
            label = int(data.labels[row])
            other = (label + 1) % len(self.classes)
            about = {"label": label, "clean": label, "adversarial": other, "confidence": 0.87}
            examples.append({"row": row, "id": data.ids[row], "eps": 4 / 255, **about})
        (folder / "examples" / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
        return folder

    def all_steps(self) -> Path:
        """The whole pipeline, finished."""
        self.dataset()
        self.detector()
        self.cropper()
        self.model()
        self.explanations()
        self.robustness()
        return self.write()


def _share(name: str, right: int, n: int, split: OnSplit, at: dict[str, float | str] | None = None) -> Metric:
    share = proportion(right, n)
    return Metric(name=name, value=share.value, low=share.low, high=share.high, n=n, split=split, at=at or {})


def _replace(sample: Sample, **changes: Any) -> Sample:
    from dataclasses import replace

    return replace(sample, **changes)


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., FakeRun]:
    """Makes a `FakeRun` below the test's folder."""

    def make(name: str = "fake", **about: Any) -> FakeRun:
        root = tmp_path / name
        root.mkdir()
        return FakeRun(root, **about)

    return make
