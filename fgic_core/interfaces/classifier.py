"""Classifier: a picture to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fgic_core.data.artifact import ArtifactType
from fgic_core.data.geometry import Size
from fgic_core.interfaces.component import Component
from fgic_core.interfaces.ports import Input

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.data.images import Interpolation, Placement
    from fgic_core.interfaces.context import Context


class Classifier(Component, ABC):
    """Tells the classes apart.

    Contract: `network` maps float RGB in **[0, 1]**, shape (n, 3, height, width), to logits (n, classes), with the
    normalisation inside it; `prepare` makes such an input from a picture and is deterministic. That is all that the
    core, explainers and attackers use. The core computes accuracy; a classifier reports its own loss as progress.
    """

    kind: ClassVar[str] = "classifier"
    inputs: ClassVar[Mapping[str, Input]] = {"dataset": Input("dataset")}
    gives: ClassVar[ArtifactType] = "model"

    val_fraction: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="Share of each class's train samples that is held out to choose the model, where the data set has "
        "no validation part.",
    )
    test_curve: bool = Field(
        True, description="Measure the test part at every epoch for the report's curve. It is never used to choose."
    )

    @abstractmethod
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> None:
        """Train on ``train``, choose by what ``ctx.evaluate(self, epoch)`` returns.

        Args:
            train: samples to learn from; no validation or test sample among them.
            val: held out from train by the core, stratified by class.
            ctx: see `Context`.
        """

    def untrained(self, classes: int) -> Classifier | None:
        """A copy whose `network` is as `fit` would build it for so many classes, from random weights.

        What works on networks (an explainer) is tried on it before the training. None, as by default, where it cannot
        be had without data: then nothing is tried.
        """
        return None

    @abstractmethod
    def network(self) -> nn.Module:
        """The network, with its normalisation inside: float RGB in [0, 1], (n, 3, h, w), to logits (n, classes).

        Raises:
            PluginError: there is none yet: neither `fit` nor `load` was called.
        """

    @abstractmethod
    def input_size(self) -> Size:
        """Width and height that `prepare` gives."""

    def interpolation(self) -> Interpolation:
        """How `prepare` resizes."""
        return "bicubic"

    def placement(self, image: Size) -> Placement:
        """Where a picture of that size lands in the input: letterboxed, unless a classifier wants otherwise."""
        from fgic_core.data.images import letterbox

        return letterbox(image, self.input_size())

    def prepare(self, image: Image) -> torch.Tensor:
        """The network's input for one picture (8-bit RGB): float (3, height, width) in [0, 1]."""
        from fgic_core.data.images import to_tensor

        return to_tensor(self.placement(Size(*image.size)).apply(image, self.interpolation()))

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing folder: safetensors and JSON."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> None:
        """Take back what `save` wrote. Nothing there is unpickled."""
