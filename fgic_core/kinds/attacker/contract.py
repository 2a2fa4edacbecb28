"""Attacker: the smallest change that fools a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from fgic_core.kinds.component import Component, Epsilon
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    import torch
    from torch import nn


class Attacker(Component, ABC):
    """Perturbs pictures within a ball so that a network gets them wrong.

    Contract: what `perturb` gives lies within ``eps`` of the input in the norm `norm` and within [0, 1]; randomness
    comes from ``generator`` alone; the network (mode, gradients, hooks, `requires_grad`) is left as it was found. The
    core sweeps `eps`, checks the ball, and computes accuracies; `perturb` never sees which pictures are counted.
    """

    kind: ClassVar[str] = "attacker"
    inputs: ClassVar[Mapping[str, Input]] = {"model": Input("model"), "dataset": Input("dataset")}
    gives: ClassVar[str] = "robustness"
    #: The norms that it knows; `norm` is one of them.
    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")

    norm: Literal["Linf", "L2"] = Field(
        "Linf", description="The norm that measures the perturbation, over all pixels and channels in [0, 1]."
    )
    eps: tuple[Epsilon, ...] = Field(
        (0.0, 1 / 255, 2 / 255, 4 / 255), min_length=1, description="Perturbation sizes to try, for images in [0, 1]."
    )
    samples: int | None = Field(
        200,
        ge=1,
        description="How many test pictures to attack, chosen evenly over the classes by the seed; null for all.",
    )

    @model_validator(mode="after")
    def _knows_its_norm(self) -> Attacker:
        if self.norm not in self.norms:
            raise ValueError(f"norm should be {' or '.join(self.norms)}, which this attack knows; it is {self.norm}")
        return self

    @abstractmethod
    def perturb(
        self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Adversarial versions of the images.

        Args:
            network: float RGB in [0, 1], (n, 3, h, w), to logits (n, classes); in evaluation mode.
            images: (n, 3, h, w) float RGB in [0, 1].
            labels: (n,) int64, the right classes.
            eps: radius of the ball in `norm`, > 0.
            generator: the source of all randomness, on the CPU.

        Returns:
            As ``images``, detached.
        """
