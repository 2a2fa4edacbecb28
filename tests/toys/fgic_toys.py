"""One tiny but working component of each kind, for tests of the core. Installed by the fixture `toys`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from fgic_core import (
    Attacker,
    Box,
    Classifier,
    Context,
    Cropper,
    DatasetReader,
    Detections,
    Detector,
    Explainer,
    FittedClassifier,
    FittedDetector,
    FittedGenerator,
    Generator,
    InputFolder,
    InputSpec,
    Maps,
    ObjectBox,
    PluginError,
    Sample,
    Size,
)

COLOURS = ((230, 60, 60), (60, 230, 60), (60, 60, 230), (230, 230, 60))


class Dots(DatasetReader):
    """Coloured rectangles on grey; the colour is the class, the rectangle is the box."""

    count: int = Field(2, ge=2, le=4, description="How many classes.")
    per_class: int = Field(6, ge=2, description="Pictures of each class in train, and in test.")
    side: int = Field(24, ge=16, description="Width and height in pixels.")

    def classes(self) -> Sequence[str]:
        return [f"colour {number}" for number in range(self.count)]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        from PIL import Image

        (ctx.folder / "images").mkdir()
        for split in ("train", "test"):
            for label in range(self.count):
                for number in range(self.per_class):
                    rng = ctx.rng("dots", split, label, number)
                    pixels = rng.integers(90, 150, (self.side, self.side, 3)).astype(np.uint8)
                    x, y = (int(v) for v in rng.integers(1, self.side // 2 - 1, 2))
                    half = self.side // 2
                    pixels[y : y + half, x : x + half] = COLOURS[label]
                    name = f"{split}-{label}-{number}"
                    Image.fromarray(pixels).save(ctx.folder / "images" / f"{name}.png")
                    box = ObjectBox(Box(x, y, x + half, y + half), label)
                    yield Sample(id=name, path=f"images/{name}.png", label=label, split=split, boxes=(box,))


class Shelf(DatasetReader):
    """Pictures ``<class>-<number>.png`` in a folder; number 1 is train, the box is the upper left quarter."""

    root: InputFolder = Field(description="The folder.")

    def classes(self) -> Sequence[str]:
        return sorted({file.name.partition("-")[0] for file in self.root.glob("*.png")})

    def source(self) -> Path:
        return self.root

    def samples(self, ctx: Context) -> Iterator[Sample]:
        for file in sorted(self.root.glob("*.png")):
            name, _, number = file.stem.partition("-")
            split = "train" if number == "1" else "test"
            box = ObjectBox(Box(0, 0, 4, 4))
            yield Sample(id=file.stem, path=file.name, label=self.classes().index(name), split=split, boxes=(box,))


class Threshold(FittedDetector):
    """What `Bright` learns: the spread of the channels that counts as colour."""

    def __init__(self, threshold: float, trained_on: list[str]) -> None:
        from torch import nn, tensor

        self.network = nn.ParameterDict({"threshold": nn.Parameter(tensor(threshold))})
        self.trained_on = trained_on

    def detect(self, images: Sequence[Any]) -> list[Detections]:
        found = []
        threshold = self.network["threshold"].item()
        for image in images:
            pixels = np.asarray(image).astype(int)
            ys, xs = np.nonzero(np.ptp(pixels, axis=2) > threshold)
            boxes = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else np.zeros((0, 4))
            found.append(Detections(np.array(boxes, dtype=float), np.full(len(boxes), 0.9), np.zeros(len(boxes), int)))
        return found


class Bright(Detector):
    """Finds the most colourful rectangle; learns nothing but the threshold."""

    threshold: float = Field(60.0, description="Spread of the channels that counts as colour.")

    def fit(self, train: Any, val: Any, ctx: Context) -> Threshold:
        fitted = Threshold(self.threshold, [*train.ids, *val.ids])
        assert all(name.startswith("train") for name in fitted.trained_on)
        for epoch in ctx.epochs(2):
            ctx.log(epoch, loss=1 / epoch)
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {})
        return fitted

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "bright.json").write_text(json.dumps({"trained_on": fitted.trained_on}))

    def load(self, folder: Path, device: str) -> Threshold:
        return Threshold(self.threshold, json.loads((folder / "bright.json").read_text())["trained_on"])


class Exact(Cropper):
    """The box itself."""

    margin: float = Field(0.0, ge=0.0, description="Added on every side, in pixels.")

    def region(self, box: Box, image: Size) -> Box:
        return box.expand(self.margin)


class Means(FittedGenerator):
    """What `Tint` learns: the mean colour of each class."""

    def __init__(self, means: list[list[float]], resolution: int) -> None:
        self.means, self.resolution = means, resolution

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> np.ndarray[Any, Any]:
        if not set(labels) <= set(range(len(self.means))):
            raise PluginError("a label is none of the classes")
        pictures = []
        for label, seed in zip(labels, seeds, strict=True):
            noise = np.random.default_rng(seed).normal(0, 12, (3, self.resolution, self.resolution))
            pictures.append(np.clip(np.array(self.means[label])[:, None, None] + noise, 0, 255) / 255)
        return np.array(pictures, dtype=np.float32)


class Tint(Generator):
    """Noise around the mean colour of the class."""

    resolution: int = Field(16, ge=4, description="Width and height in pixels.")
    epochs: int = Field(0, ge=0, description="How often it is measured; it learns all at once.")

    def fit(self, train: Any, ctx: Context) -> Means:
        means = []
        for label in range(len(train.classes)):
            rows = np.flatnonzero(train.labels == label)
            colours = [np.asarray(train.crop(int(i))).mean((0, 1)) for i in rows] or [np.zeros(3)]
            means.append([float(v) for v in np.mean(colours, axis=0)])
        fitted = self.made(means)
        if self.epochs and ctx.resume() is None:
            ctx.warn("a toy was trained")
            ctx.evaluate(fitted, 0)
        for epoch in ctx.epochs(self.epochs):
            ctx.log(epoch, loss=1 / epoch)
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {})
        return fitted

    def made(self, means: list[list[float]]) -> Means:
        return Means(means, self.resolution)

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "tint.json").write_text(json.dumps(fitted.means))

    def load(self, folder: Path, device: str) -> Means:
        return self.made(json.loads((folder / "tint.json").read_text()))


class Linear(Classifier):
    """Softmax regression on a shrunken picture, trained by gradient descent."""

    epochs: int = Field(3, ge=1, description="Passes over the train split.")
    lr: float = Field(0.5, gt=0, description="Learning rate.")
    pause: float = Field(0.0, ge=0, description="Seconds to sleep in each epoch, so that a test can interrupt.")
    hold: int = Field(0, ge=0, description="The epoch in which it waits as long as a test's file `hold` is there.")

    def _build(self, classes: int) -> Any:
        from torch import nn

        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(48, classes))

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return FittedClassifier(self._build(len(classes)), InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        network = fitted.network
        optimizer = torch.optim.SGD(network.parameters(), lr=self.lr, momentum=0.9)
        if state := ctx.resume():
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
        images = torch.stack([fitted.input.prepare(train.crop(i)) for i in range(len(train))])
        labels = torch.from_numpy(train.labels)
        for epoch in ctx.epochs(self.epochs):
            network.train()
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ctx.log(epoch, loss=loss.item())
            self._wait(epoch)
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {"network": network.state_dict(), "optimizer": optimizer.state_dict()})
            time.sleep(self.pause)
        return fitted

    def _wait(self, epoch: int) -> None:
        if epoch != self.hold:
            return
        place = Path(os.environ["FGIC_TOYS"])
        (place / "held").touch()
        while (place / "hold").exists():
            time.sleep(0.02)


class Saliency(Explainer):
    """The gradient of the class's logit times the input (Shrikumar et al. 2016)."""

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
        import torch

        with torch.enable_grad():
            inputs = images.clone().requires_grad_(True)
            logits = network(inputs)
            (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), inputs)
        return Maps((gradient * images).sum(1, keepdim=True).detach(), ("pixels",))


class Sign(Attacker):
    """One step along the gradient's sign."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
        import torch

        with torch.enable_grad():
            inputs = images.clone().requires_grad_(True)
            loss = torch.nn.functional.cross_entropy(network(inputs), labels)
            (gradient,) = torch.autograd.grad(loss, inputs)
        return (images + eps * gradient.sign()).clamp(0, 1).detach()
