"""How a picture becomes a network's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from fgic_core.data.geometry import Size
from fgic_core.data.images import BORDER, Interpolation, Placement, center_crop, letterbox, squash, to_tensor

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

#: Whole with its ratio, on a border; whole without its ratio; or the middle, as ImageNet evaluation takes it.
Fit = Literal["letterbox", "squash", "center_crop"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network takes: how a picture is fitted into its input.

    Attributes:
        size: width and height of the input in pixels.
        interpolation: how pictures are resized.
        fit: ``letterbox``, ``squash`` or ``center_crop``.
        fraction: of ``center_crop``: the share of the shorter side that is kept, in (0, 1].
        border: 8-bit RGB of what a letterboxed picture does not cover.

    Raises:
        ValueError: a value is none of these.
    """

    size: Size
    interpolation: Interpolation = "bicubic"
    fit: Fit = "letterbox"
    fraction: float = 0.875
    border: tuple[int, int, int] = BORDER

    def __post_init__(self) -> None:
        if not (self.size.width >= 1 and self.size.height >= 1):
            raise ValueError(f"an input of {self.size.width}x{self.size.height} pixels has none")
        for name, known in (("interpolation", get_args(Interpolation)), ("fit", get_args(Fit))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} should be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction should be above 0 and at most 1, not {self.fraction}")
        if len(self.border) != 3 or not all(0 <= value <= 255 for value in self.border):
            raise ValueError(f"border should be three numbers from 0 to 255, not {self.border}")

    def placement(self, image: Size) -> Placement:
        """Where a picture of that size lands in the input."""
        if self.fit == "squash":
            return squash(image, self.size)
        if self.fit == "center_crop":
            return center_crop(image, self.size, self.fraction)
        return letterbox(image, self.size)

    def prepare(self, image: Image) -> torch.Tensor:
        """The input for one picture (8-bit RGB): float RGB in [0, 1], (3, height, width). It is deterministic."""
        return to_tensor(self.placement(Size(*image.size)).apply(image, self.interpolation, self.border))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        size = [self.size.width, self.size.height]
        return {**asdict(self), "size": size, "border": list(self.border)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> InputSpec:
        """What `to_dict` gave.

        Raises:
            ValueError: it is none of these.
        """
        try:
            if unknown := document.keys() - {field.name for field in fields(cls)}:
                raise ValueError(f"{min(unknown)} is unknown")
            width, height = document["size"]
            border = tuple(document.get("border", BORDER))
            return cls(**{**document, "size": Size(int(width), int(height)), "border": border})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no InputSpec: {type(error).__name__}: {error}") from None
