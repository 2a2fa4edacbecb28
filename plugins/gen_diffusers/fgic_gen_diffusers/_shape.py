"""What shapes a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator


@dataclass(frozen=True)
class Shape:
    """What a network is built from, and what it predicts.

    Attributes:
        resolution, base_channels, multipliers, layers, attention, noise, prediction: as the options name them.
        classes: number of classes of the data. The embedding has one more: the null class, whose label is ``classes``.
    """

    resolution: int
    base_channels: int
    multipliers: list[int]
    layers: int
    attention: int
    noise: str
    prediction: str
    classes: int

    @classmethod
    def of(cls, options: DiffusionGenerator, classes: int) -> Shape:
        """The shape that the options give for so many classes."""
        names = [name for name in cls.__dataclass_fields__ if name != "classes"]
        return cls(**{name: getattr(options, name) for name in names}, classes=classes)
