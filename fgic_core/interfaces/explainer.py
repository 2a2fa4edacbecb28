"""Explainer: where a classifier looked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fgic_core.data.artifact import ArtifactType
from fgic_core.interfaces.classifier import Classifier
from fgic_core.interfaces.component import Component
from fgic_core.interfaces.ports import Input

if TYPE_CHECKING:
    import torch


class Explainer(Component, ABC):
    """Maps how much each place of a picture speaks for a class.

    Contract: maps are finite and depend on the network's weights; a batch gives what its pictures give alone; the
    network (mode, gradients, hooks, `requires_grad`) is left as it was found. The core resizes the maps to the
    input, scales each to [0, 1] (an all-zero map stays zero), draws and scores them.
    """

    kind: ClassVar[str] = "explainer"
    inputs: ClassVar[Mapping[str, Input]] = {"model": Input("model"), "dataset": Input("dataset")}
    gives: ClassVar[ArtifactType] = "explanations"

    samples: int = Field(
        64, ge=1, description="How many test pictures to explain, chosen evenly over the classes by the seed."
    )
    target: Literal["predicted", "label"] = Field(
        "predicted", description="The class that is explained: the one predicted, or the right one."
    )

    @abstractmethod
    def explain(self, classifier: Classifier, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """A map for each picture.

        Args:
            classifier: its `network` takes ``images``.
            images: (n, 3, height, width) float RGB in [0, 1].
            targets: (n,) int64, the class each map speaks for.

        Returns:
            (n, h, w) float, at any resolution; larger speaks more for the class, negative values count as zero.

        Raises:
            PluginError: the network has no layer this method can work on; the message lists what it has. Where the
                classifier can be had untrained (`Classifier.untrained`) this is found out before its training.
        """
