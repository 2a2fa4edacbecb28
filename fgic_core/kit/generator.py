"""A generator that is trained in epochs and chosen by FID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from fgic_core.kinds.generator.contract import Generator
from fgic_core.kit.options import TrainingOptions

if TYPE_CHECKING:
    import numpy as np

    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.context import Context
    from fgic_core.kit.pictures import KeptPictures


class TrainedGenerator(TrainingOptions, Generator):
    """Base of generators that train: their best epoch is the one of the least FID on the curve."""

    @model_validator(mode="after")
    def _stops_by_something(self) -> TrainedGenerator:
        if self.early_stopping and ((self.fid_weights is None and not self.fid_pretrained) or self.curve_samples < 2):
            raise ValueError(
                "early_stopping should come with fid_weights or fid_pretrained: it goes by FID on the curve"
            )
        return self

    def pictures(self, train: Dataset, ctx: Context) -> KeptPictures:
        """The train pictures as they are learned from, by row: uint8 (3, resolution, resolution), RGB.

        They are read once, with the context's workers, as far as they fit into memory (`fgic_core.kit.pictures.MOST`).
        """
        from fgic_core.kit.pictures import KeptPictures

        def read(row: int) -> np.ndarray[Any, Any]:
            # From 8 bits and back to them: nothing is lost.
            pixels: np.ndarray[Any, Any] = self.prepare(train.crop(row)).mul(255).round().byte().numpy()
            return pixels

        kept = KeptPictures(read, len(train))
        kept.fill(ctx)
        return kept
