"""Small data sets and contexts for the suites."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core.data.dataset import Dataset, DatasetWriter, Header
from fgic_core.data.geometry import Box, Size
from fgic_core.data.sample import ObjectBox, Sample, Split
from fgic_core.steps.context import StepContext

COLOURS = ((230, 60, 60), (60, 200, 60), (60, 60, 230), (230, 230, 60))


def tiny_context(
    folder: Path, *, seed: int = 0, name: str = "out", inputs: Mapping[str, Any] | None = None
) -> StepContext:
    """A context whose artifact goes to ``folder/name`` and whose checkpoints go beside it.

    Args:
        inputs: what the component is given, by port (`Context.inputs`).
    """
    (folder / name).mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{name}-scratch"
    return StepContext(folder / name, scratch=scratch, seed=seed, uses="test/component", inputs=inputs)


def tiny_dataset(
    folder: Path, *, classes: int = 3, per_class: int = 6, side: int = 32, seed: int = 0, empty: int = 0
) -> Dataset:
    """Coloured rectangles on noise: the colour is the class, the rectangle is the annotated box.

    Where the same was written into the folder before, and nothing was done to it since, it is opened.

    Args:
        folder: pictures and rows are written here.
        classes: at most 4.
        per_class: pictures of a class in train, and as many in test.
        side: width and height in pixels.
        empty: how many pictures of noise alone there are in train besides: there is no object in them.
    """
    about = (folder.resolve(), classes, per_class, side, seed, empty)
    if about in _written and _written[about] == _files(folder):
        return Dataset.open(folder)
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: tuple[Split, ...] = ("train", "test")
    samples = [
        _sample(folder, f"{split}-{label}-{number}", label, split, side, rng)
        for split in splits
        for label in range(classes)
        for number in range(per_class)
    ]
    samples += [_sample(folder, f"train-empty-{number}", None, "train", side, rng) for number in range(empty)]
    header = Header(tuple(f"colour {label}" for label in range(classes)), {"tiny": folder.resolve()})
    with DatasetWriter(folder, header) as writer:
        writer.write_samples(samples, "tiny")
    _written[about] = _files(folder)
    return Dataset.open(folder)


#: What `tiny_dataset` wrote in this process: the tests of a suite ask for the same several times each.
_written: dict[tuple[Any, ...], dict[str, tuple[int, int]]] = {}


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file in a folder; nothing where there is none."""
    if not folder.is_dir():
        return {}
    stats = {entry.name: entry.stat() for entry in os.scandir(folder)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def _sample(folder: Path, name: str, label: int | None, split: Split, side: int, rng: np.random.Generator) -> Sample:
    """A sample and its picture; without a label there is no object in it."""
    from PIL import Image

    pixels = rng.integers(90, 160, (side, side, 3)).astype(np.uint8)
    width, height = (int(v) for v in rng.integers(side // 3, side // 2, 2))
    x, y = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
    if label is not None:
        pixels[y : y + height, x : x + width] = COLOURS[label]
    Image.fromarray(pixels).save(folder / f"{name}.png")
    boxes = (ObjectBox(Box(x, y, x + width, y + height), label),) if label is not None else ()
    about = {"boxes": boxes, "empty": not boxes, "size": Size(side, side)}
    return Sample(id=name, path=f"{name}.png", label=label or 0, split=split, **about)  # type: ignore[arg-type]
