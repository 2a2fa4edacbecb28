"""A trained classifier together with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from fgic_core.interfaces.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Model:
    """What a classifier step gives and explainers, attackers and `fgic predict` take.

    Attributes:
        classifier: trained and loaded.
        classes: class names; column c of the probabilities belongs to ``classes[c]``.
        device: torch's name of the device the network is on.
        folder: the artifact it came from, None for one that was never saved.
    """

    classifier: Classifier
    classes: tuple[str, ...]
    device: str = "cpu"
    folder: Path | None = None

    def predict(self, images: Sequence[Image], batch_size: int = 16) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Class probabilities, (n, classes) float32, of 8-bit RGB pictures of any sizes."""
        import torch

        network = self.classifier.network().eval()
        rows = []
        with torch.inference_mode():
            for start in range(0, len(images), batch_size):
                batch = torch.stack([self.classifier.prepare(image) for image in images[start : start + batch_size]])
                rows.append(network(batch.to(self.device)).float().softmax(dim=1).cpu())
        return torch.cat(rows).numpy() if rows else torch.empty(0, len(self.classes)).numpy()
