"""Small data sets, contexts and detectors for the tests of detector/torchvision."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from fgic_detect_torchvision import TorchvisionDetector
from PIL import Image
from safetensors.torch import save_file

from fgic_core import Box, Dataset, Detections, ObjectBox, Sample
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.steps.context import StepContext

COLOURS = ((230, 60, 60), (60, 60, 230))

#: The networks that are made and trained in the least time.
TINY = {"backbone": "mobilenet_v3_large", "image_size": 32, "epochs": 1, "batch_size": 4, "lr": 0.01, "warmup": 0.0}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path: Path) -> Iterator[None]:
    """Checkpoints of a detector are a hundred megabytes each, and pytest would keep them."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., StepContext]:
    """Makes contexts of steps; those of one name share their checkpoints, where they keep any."""

    def make(
        name: str = "step", kind: type[StepContext] = StepContext, seed: int = 0, keep: bool = False
    ) -> StepContext:
        folder = tmp_path / name / f"out-{len(list((tmp_path / name).glob('out-*')))}"
        folder.mkdir(parents=True)
        scratch = tmp_path / name / "scratch" if keep else None
        return kind(folder, uses="detector/torchvision", scratch=scratch, seed=seed)

    return make


@pytest.fixture
def tiny() -> Callable[..., TorchvisionDetector]:
    """Makes detectors with a small network from scratch; Faster R-CNN with few proposals unless it says otherwise."""

    def make(**options: object) -> TorchvisionDetector:
        few = {} if options.get("model") == "retinanet" else {"proposals": 16}
        return TorchvisionDetector.model_validate({**TINY, **few, **options})

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Dataset]:
    """Writes samples beside their pictures, grey with a rectangle for each object, and opens them as a data set."""

    def make(samples: Sequence[Sample], name: str = "data", size: tuple[int, int] = (48, 40)) -> Dataset:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for sample in samples:
            own = (sample.size.width, sample.size.height) if sample.size else size
            picture = Image.new("RGB", own, (110, 110, 110))
            for box in (box for box in sample.boxes if box.is_annotated and not box.crowd):
                colour = COLOURS[sample.label if box.label is None else box.label]
                picture.paste(colour, tuple(round(edge) for edge in box.box.xyxy))
            picture.save(folder / sample.path)
        with DatasetWriter(folder, Header(("red", "blue"), {"here": folder.resolve()})) as writer:
            writer.write_samples(samples, "here")
        return Dataset.open(folder)

    return make


@pytest.fixture
def rectangles(write: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Writes pictures of 48x40 pixels with one rectangle each, alternately red and blue."""

    def make(count: int = 4, seed: int = 0) -> Dataset:
        rng = np.random.default_rng(seed)
        samples = []
        for number in range(count):
            width, height = (int(side) for side in rng.integers(16, 28, 2))
            x, y = int(rng.integers(0, 48 - width)), int(rng.integers(0, 40 - height))
            box = ObjectBox(Box(x, y, x + width, y + height), number % 2)
            name = f"{seed}-{number}"
            samples.append(Sample(id=name, path=f"{name}.png", label=number % 2, split="train", boxes=(box,)))
        return write(samples, f"rectangles-{seed}")

    return make


@pytest.fixture
def picture() -> Image.Image:
    """Noise of 48x40 pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8))


@pytest.fixture
def save_classifier() -> Callable[..., dict[str, torch.Tensor]]:
    """Writes the weights of one of torchvision's classification networks and gives them."""

    def make(path: Path, name: str = "mobilenet_v3_large", **options: object) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        state = torchvision.models.get_model(name, weights=None, **options).state_dict()
        save_file(state, path)
        return state

    return make


@pytest.fixture
def average_precision() -> Callable[..., float]:
    """Measures detections in pictures with one annotated box each: see `_average_precision`."""
    return _average_precision


def _average_precision(found: Sequence[Detections], data: Dataset, per_class: bool = False) -> float:
    """AP at IoU 0.5 of pictures with one annotated box each: the area under the precision envelope."""
    ranked = []
    for sample, one in zip(data, found, strict=True):
        (truth,) = sample.boxes
        order = np.argsort(-one.scores)
        hits = [
            Box(*map(float, one.boxes[place])).iou(truth.box) >= 0.5
            and (not per_class or int(one.labels[place]) == truth.label)
            for place in order
        ]
        first = hits.index(True) if any(hits) else -1
        ranked += [(float(one.scores[place]), rank == first) for rank, place in enumerate(order)]
    right = np.cumsum([hit for _, hit in sorted(ranked, key=lambda pair: -pair[0])]) if ranked else np.zeros(0)
    precision = right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(sum(envelope[np.diff(right, prepend=0) > 0]) / len(data))
