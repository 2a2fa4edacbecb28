"""Pictures and steps whose effects are known, for studies; the entry points stand with those of ``fgic_toys``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from fgic_core import (
    Box,
    Classifier,
    Context,
    DatasetReader,
    FittedClassifier,
    FittedGenerator,
    Generator,
    InputSpec,
    ObjectBox,
    Sample,
    Size,
)

#: Colours that are alike: the classes are told apart by the object's, where it can be seen.
COLOURS = np.array([[150, 110, 120], [118, 146, 120], [122, 112, 150]])


class Specks(DatasetReader):
    """An object of its class's colour among clutter of every class's colours; the box is about the object."""

    side: int = Field(24, ge=16, description="Width and height of the pictures in pixels.")
    object_scale: float = Field(
        0.33, gt=0, le=1, description="Side of the object over that of the picture. At 1 there is nothing to crop away."
    )
    train_per_class: int = Field(14, ge=2, description="Train pictures of each class.")
    test_per_class: int = Field(40, ge=1, description="Test pictures of each class.")

    def classes(self) -> Sequence[str]:
        return [f"speck {number}" for number in range(len(COLOURS))]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        from PIL import Image

        (ctx.folder / "images").mkdir()
        half = max(8, round(self.side * self.object_scale))
        for split, count in (("train", self.train_per_class), ("test", self.test_per_class)):
            for label in range(len(COLOURS)):
                for number in range(count):
                    rng = ctx.rng("specks", split, label, number)
                    clutter = COLOURS[rng.integers(0, len(COLOURS), (self.side // 4, self.side // 4))]
                    pixels = clutter.repeat(4, axis=0).repeat(4, axis=1).astype(float)
                    x, y = (int(v) for v in rng.integers(0, self.side - half + 1, 2))
                    pixels[y : y + half, x : x + half] = COLOURS[label]
                    pixels += rng.normal(0, 12, (1, 1, 3)) + rng.normal(0, 12, pixels.shape)
                    name = f"{split}-{label}-{number}"
                    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                    picture.save(ctx.folder / "images" / f"{name}.png", compress_level=1)
                    box = Box(x, y, x + half, y + half)
                    # Of what fills the picture a crop takes a little less, so that it is another picture all the same.
                    box = box.expand(-1) if half == self.side else box
                    yield Sample(
                        id=name, path=f"images/{name}.png", label=label, split=split, boxes=(ObjectBox(box, label),)
                    )


class Copied(FittedGenerator):
    """Real pictures as they were, under a label that is ``shift`` classes away."""

    def __init__(self, pictures: list[Any], shift: int) -> None:
        self.pictures, self.shift = pictures, shift

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> np.ndarray[Any, Any]:
        made = []
        for label, seed in zip(labels, seeds, strict=True):
            mine = self.pictures[(label + self.shift) % len(self.pictures)]
            made.append(mine[np.random.default_rng(seed).integers(len(mine))])
        return np.stack(made).astype(np.float32) / 255


class Copies(Generator):
    """Repeats real pictures: nothing new is learned from them. With another class's pictures it does harm."""

    resolution: int = Field(16, ge=4, description="Width and height in pixels.")
    shift: int = Field(0, ge=0, description="Pictures of the class so many further; 0 repeats those of the class.")

    def fit(self, train: Any, ctx: Context) -> Copied:
        from PIL import Image

        size = (self.resolution, self.resolution)
        pictures: list[Any] = []
        for label in range(len(train.classes)):
            mine = [
                Image.fromarray(np.asarray(train.crop(int(row)))).resize(size, Image.Resampling.BILINEAR)
                for row in np.flatnonzero(train.labels == label)
            ]
            pictures.append(np.stack([np.asarray(one).transpose(2, 0, 1) for one in mine]))
        return Copied(pictures, self.shift)

    def save(self, fitted: Any, folder: Path) -> None:
        text = json.dumps([one.tolist() for one in fitted.pictures])
        (folder / "copies.json").write_text(text, encoding="utf-8")

    def load(self, folder: Path, device: str) -> Copied:
        pictures = json.loads((folder / "copies.json").read_text(encoding="utf-8"))
        return Copied([np.array(one, dtype=np.uint8) for one in pictures], self.shift)


class Ridge(Classifier):
    """Ridge regression on random features of a shrunken picture: learned at once, and another one with each seed."""

    width: int = Field(32, ge=1, description="How many random features there are.")

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        from torch import nn

        network = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(48, self.width),
            nn.ReLU(),
            nn.Linear(self.width, len(classes)),
        )
        return FittedClassifier(network, InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        *before, last = fitted.network
        with torch.no_grad():
            found = torch.stack([fitted.input.prepare(train.crop(row)) for row in range(len(train))])
            for layer in before:
                found = layer(found)
            wanted = torch.nn.functional.one_hot(torch.from_numpy(train.labels).long(), len(train.classes)).float()
            middle = found.mean(0)
            centred = found - middle
            square = centred.T @ centred + 1e-2 * torch.eye(self.width)
            weights = torch.linalg.solve(square, centred.T @ (wanted - wanted.mean(0)))
            last.weight.copy_(weights.T)
            last.bias.copy_(wanted.mean(0) - middle @ weights)
        return fitted
