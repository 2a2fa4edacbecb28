"""Small data sets, contexts and generators for the tests of generator/diffusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fgic_gen_diffusers import DiffusionGenerator
from fgic_gen_diffusers._network import Network, Shape
from PIL import Image

from fgic_core import Dataset, Sample
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.steps.context import StepContext

#: Red and blue tell RGB from BGR.
COLOURS = ((220, 50, 50), (50, 200, 60), (50, 60, 220), (225, 225, 70))

#: The network that is made and trained in the least time.
TINY = {
    "resolution": 16,
    "base_channels": 8,
    "multipliers": [1, 2],
    "layers": 1,
    "epochs": 1,
    "batch_size": 8,
    "sampling_steps": 4,
    "dropout": 0.0,
}


@pytest.fixture
def rgb() -> np.ndarray:
    """(classes, 3): the colours in [0, 1]."""
    return np.array(COLOURS) / 255


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., StepContext]:
    """Makes contexts of steps, each with a folder and checkpoints of its own; seeded as the core does."""

    def make(name: str = "step", seed: int = 0, workers: int = 0) -> StepContext:
        folder = tmp_path / name / "out"
        folder.mkdir(parents=True)
        made = StepContext(
            folder, uses="generator/diffusion", scratch=tmp_path / name / "scratch", seed=seed, workers=workers
        )
        made.seed_everything("step")
        return made

    return make


@pytest.fixture
def tiny() -> Callable[..., DiffusionGenerator]:
    """Makes generators with a small network."""
    return lambda **options: DiffusionGenerator.model_validate({**TINY, **options})


@pytest.fixture
def network(tiny: Callable[..., DiffusionGenerator]) -> Callable[..., Network]:
    """Makes small networks that were not trained, of three classes unless it says otherwise."""

    def make(classes: int = 3, **options: object) -> Network:
        torch.manual_seed(3)
        made = Network(Shape.of(tiny(**options), classes), frozenset(range(classes)))
        return made.eval().requires_grad_(False)

    return make


@pytest.fixture
def colours(tmp_path: Path) -> Callable[..., Dataset]:
    """Writes pictures of one colour with a little noise each, the colour being the class, and opens them."""

    def make(per_class: Sequence[int] = (4, 4, 4), side: int = 16, name: str = "data") -> Dataset:
        rng = np.random.default_rng(0)
        folder = tmp_path / name
        folder.mkdir()
        samples = []
        for label, count in enumerate(per_class):
            for number in range(count):
                pixels = rng.normal(COLOURS[label], 8, (side, side, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{label}-{number}.png")
                about = {"id": f"{label}-{number}", "path": f"{label}-{number}.png", "label": label}
                samples.append(Sample(**about, split="train"))
        names = tuple(f"colour {label}" for label in range(len(per_class)))
        with DatasetWriter(folder, Header(names, {"here": folder.resolve()})) as writer:
            writer.write_samples(samples, "here")
        return Dataset.open(folder)

    return make
