"""What it saves to compute the features of a frozen backbone once.

    python benchmarks/frozen_head.py [--runs 2] [--epochs 10] [--threads 1]

Trains the head of a MobileNetV2 on the embedded birds, as a step does it, with validation after each epoch and the test
curve at the end: once with the kit's cache, and once where the network says that it has no head of its own, so that
nothing is kept. Both take turns in one process. The accuracies of both are printed: they have to agree.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
from side_by_side import compare

from fgic_core import Dataset, Registry, StepContext
from fgic_core.kinds.classifier import driver as classifier
from fgic_core.kinds.dataset import driver as reader

CLASSES, PER_CLASS, SIZE = 4, 60, 96


def main() -> None:
    """Read the arguments, train both ways, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    registry, place = Registry(), Path(tempfile.mkdtemp())
    birds = registry.create(
        "dataset/synthetic-birds", num_classes=CLASSES, train_per_class=PER_CLASS, test_per_class=20, size=SIZE
    )
    (place / "birds").mkdir()
    reader.run(birds, {}, StepContext(place / "birds", uses="dataset/synthetic-birds"))
    data = Dataset.open(place / "birds")
    recipe = registry.create(
        "classifier/timm",
        model="mobilenetv2_100",
        pretrained=False,
        image_size=SIZE,
        trainable="head",
        epochs=asked.epochs,
        flip=0.5,
        grayscale=0.0,
    )
    accuracies: dict[str, list[float]] = {}

    def train(name: str) -> None:
        folder = Path(tempfile.mkdtemp(dir=place))
        (folder / "out").mkdir()
        ctx = StepContext(folder / "out", uses="classifier/timm", scratch=folder / "scratch")
        classifier.run(recipe, {"dataset": data}, ctx)
        accuracies[name] = [point.value for point in ctx.curves if point.name == "accuracy" and point.split != "train"]

    def without() -> None:
        from fgic_classify_timm._network import Network

        with patch.object(Network, "head_layer", lambda self: None):
            train("anew")

    compare("head", asked.epochs * len(data), {"anew": without, "once": lambda: train("once")}, asked.runs)
    differ = max(abs(one - other) for one, other in zip(accuracies["anew"], accuracies["once"], strict=True))
    print(f"largest difference of an accuracy on val or test at any epoch: {differ:.4f}")


if __name__ == "__main__":
    main()
