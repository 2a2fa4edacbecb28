"""Small data sets and contexts for the tests of classifier/timm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fgic_classify_timm import TimmClassifier
from PIL import Image

from fgic_core import Dataset, Sample
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.steps.context import StepContext

COLOURS = ((220, 60, 60), (60, 220, 60), (60, 60, 220))

#: A real timm architecture that trains in milliseconds.
TINY = {"model": "test_efficientnet", "pretrained": False, "image_size": 32, "batch_size": 8, "lr": 0.05}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def colours(tmp_path: Path) -> Dataset:
    """Three classes told apart by colour: 8 train and 4 test pictures each, 40x32 pixels, brighter on the right."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "colours"
    folder.mkdir()
    samples = []
    for split, count in (("train", 8), ("test", 4)):
        for label, colour in enumerate(COLOURS):
            for number in range(count):
                pixels = rng.normal(0, 25, (32, 40, 3)) + colour + np.linspace(-30, 30, 40)[None, :, None]
                name = f"{split}-{label}-{number}"
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
                samples.append(Sample(id=name, path=f"{name}.png", label=label, split=split))
    with DatasetWriter(folder, Header(("red", "green", "blue"), {"here": folder})) as writer:
        writer.write_samples(samples, "here")
    return Dataset.open(folder)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., StepContext]:
    """Makes contexts of steps; those of one name share their checkpoints."""

    def make(name: str = "step", kind: type[StepContext] = StepContext, seed: int = 0) -> StepContext:
        folder = tmp_path / name / f"out-{len(list((tmp_path / name).glob('out-*')))}"
        folder.mkdir(parents=True)
        return kind(folder, uses="classifier/timm", scratch=tmp_path / name / "scratch", seed=seed)

    return make


@pytest.fixture
def tiny() -> Callable[..., TimmClassifier]:
    """Makes classifiers with a tiny network from scratch."""

    def make(**options: object) -> TimmClassifier:
        return TimmClassifier.model_validate({**TINY, **options})

    return make
