"""Explainer: where a classifier looked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fgic_core.kinds.component import Component
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What an explainer makes of some pictures.

    Attributes:
        maps: (n, k, h, w) float, at any resolution: k maps of each picture. Larger speaks more for the class; negative
            values, where the method has them, speak against it.
        names: of the k maps, such as layers or heads. The first is the one that is drawn and scored.
    """

    maps: torch.Tensor
    names: tuple[str, ...]


class Explainer(Component, ABC):
    """Maps how much each place of a picture speaks for a class.

    Contract: maps are finite and depend on the network's weights; a batch gives what its pictures give alone; the
    network (mode, gradients, hooks, `requires_grad`) is left as it was found. The core resizes the maps to the
    input, scales each to [0, 1] (an all-zero map stays zero, negative values count as zero), draws and scores the
    first of each picture.
    """

    kind: ClassVar[str] = "explainer"
    inputs: ClassVar[Mapping[str, Input]] = {"model": Input("model"), "dataset": Input("dataset")}
    gives: ClassVar[str] = "explanations"

    samples: int = Field(
        64, ge=1, description="How many test pictures to explain, chosen evenly over the classes by the seed."
    )
    target: Literal["predicted", "label"] = Field(
        "predicted", description="The class that is explained: the one predicted, or the right one."
    )

    @abstractmethod
    def explain(
        self, network: nn.Module, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Maps:
        """Maps of each picture.

        Args:
            network: float RGB in [0, 1], (n, 3, h, w), to logits (n, classes); in evaluation mode.
            images: (n, 3, height, width) float RGB in [0, 1].
            targets: (n,) int64, the class each map speaks for.
            generator: the source of all randomness, on the CPU.

        Raises:
            PluginError: the network has no layer this method can work on; the message lists what it has. Where the
                network can be had without training (`Classifier.build`) this is found out before its training.
        """
