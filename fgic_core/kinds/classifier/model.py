"""A trained classifier together with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fgic_core.data.pictures import AnyPicture
    from fgic_core.kinds.classifier.contract import FittedClassifier


@dataclass(frozen=True, slots=True)
class Model:
    """What a classifier step gives and explainers, attackers and `fgic predict` take.

    Attributes:
        fitted: the network and its input.
        device: torch's name of the device the network is on.
        folder: the artifact it came from, None for one that was never saved.
    """

    fitted: FittedClassifier
    device: str = "cpu"
    folder: Path | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; column c of the probabilities belongs to ``classes[c]``."""
        return self.fitted.classes

    def predict(
        self, images: AnyPicture | Sequence[AnyPicture], batch_size: int = 16
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Class probabilities, (n, classes) float32, of whole pictures.

        Args:
            images: paths; Pillow's pictures, of any mode; arrays (height, width, 3), RGB, or (height, width), grey, of
                uint8 or of floats in [0, 1]. One that stands alone counts as a list of one.
            batch_size: how many are in memory at once.

        Raises:
            DataError: one of them cannot be read.
        """
        import torch

        from fgic_core.data.pictures import as_list, examine_any
        from fgic_core.kit.inference import infer

        network, spec, pictures = self.fitted.network, self.fitted.input, as_list(images)
        batches = infer(
            network,
            spec,
            lambda row: examine_any(pictures[row], f"picture {row}")[0],
            len(pictures),
            device=self.device,
            batch_size=batch_size,
        )
        rows = [batch.logits.softmax(dim=1).cpu() for batch in batches]
        return torch.cat(rows).numpy() if rows else torch.empty(0, len(self.classes)).numpy()
