"""Generator: class labels to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fgic_core.data.artifact import ArtifactType
from fgic_core.interfaces.component import Component

if TYPE_CHECKING:
    import numpy as np

    from fgic_core.data.dataset import Dataset
    from fgic_core.interfaces.context import Context


class Generator(Component, ABC):
    """Makes pictures of a class.

    Contract: `sample` gives one picture for each label; the same labels and seed give the same pictures, and a picture
    does not depend on the others in the batch. The core writes the files with their origin, puts them into the train
    split and no other, and measures them.
    """

    kind: ClassVar[str] = "generator"
    takes: ClassVar[tuple[ArtifactType, ...]] = ("dataset",)
    gives: ClassVar[ArtifactType] = "dataset"

    per_class: int = Field(50, ge=1, description="How many pictures to make of each class.")
    keep: Literal["both", "synthetic", "real"] = Field(
        "both",
        description="Train samples that go on: real and synthetic, synthetic alone, or real alone (as a control).",
    )

    @abstractmethod
    def fit(self, train: Dataset, ctx: Context) -> None:
        """Train on the (cropped) train split.

        Args:
            train: pictures to learn from; no validation or test sample among them.
            ctx: see `Context`.
        """

    @abstractmethod
    def sample(self, labels: Sequence[int], seed: int) -> np.ndarray[Any, Any]:
        """Pictures of the given classes.

        Args:
            labels: class indices, one a picture.
            seed: decides the pictures.

        Returns:
            (n, 3, height, width) float32, RGB in [0, 1].
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing folder: safetensors and JSON."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> None:
        """Take back what `save` wrote. Nothing there is unpickled."""
