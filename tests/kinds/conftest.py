"""A model around any network, and a data set from arrays of pixels, for the drivers that look at models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgic_core import Box, Dataset, FittedClassifier, InputSpec, Model, ObjectBox, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.images import decode


@pytest.fixture
def made_up_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are decoded whatever digest their rows name: tests that plant copies name digests of no file."""
    monkeypatch.setattr(Dataset, "_decoded", lambda self, index: decode(self.file(index)))


@pytest.fixture
def wrap() -> Callable[..., Model]:
    """``wrap(network, side, classes)`` is a model."""

    def make(network: Any, side: int, classes: int = 2) -> Model:
        spec, names = InputSpec(Size(side, side), "nearest"), tuple(f"class {n}" for n in range(classes))
        return Model(FittedClassifier(network, spec, names))

    return make


@pytest.fixture
def picture_set(tmp_path: Path) -> Callable[..., Dataset]:
    """``picture_set(pixels, labels, boxes=…, regions=…, masked=…, split=…, classes=…, empty=…)`` is a data set on disk.

    Boxes are annotated ones, or whatever object boxes are given; ``empty`` names rows without an object.
    """

    def make(
        pixels: Sequence[np.ndarray[Any, Any]],
        labels: Sequence[int],
        boxes: Sequence[Sequence[Box | ObjectBox]] | None = None,
        regions: Sequence[Box] | None = None,
        masked: bool = False,
        split: str = "test",
        classes: int = 2,
        empty: Sequence[int] = (),
    ) -> Dataset:
        root = tmp_path / "pictures"
        root.mkdir()
        samples = []
        for row, (values, label) in enumerate(zip(pixels, labels, strict=True)):
            Image.fromarray(values).save(root / f"{row}.png")
            samples.append(
                Sample(
                    id=str(row),
                    path=f"{row}.png",
                    label=int(label),
                    split=split,
                    boxes=tuple(ObjectBox(b) if isinstance(b, Box) else b for b in boxes[row]) if boxes else (),
                    empty=row in empty,
                    region=regions[row] if regions else None,
                    masked=masked,
                )
            )
        folder = tmp_path / "dataset"
        with DatasetWriter(folder, Header(tuple(f"class {n}" for n in range(classes)), {"toy": root})) as writer:
            writer.write_samples(samples, "toy")
        return Dataset.open(folder)

    return make
