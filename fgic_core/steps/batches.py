"""Batches of network inputs from a data set, for every ruler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from fgic_core.data.dataset import Dataset
    from fgic_core.interfaces.classifier import Classifier

BATCH_SIZE = 32


class _Inputs:
    """The prepared inputs of a data set, as torch's DataLoader wants them."""

    def __init__(self, dataset: Dataset, classifier: Classifier) -> None:
        self._dataset, self._classifier = dataset, classifier
        self._labels = dataset.labels

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._classifier.prepare(self._dataset.image(index)), int(self._labels[index])


def batches(
    dataset: Dataset, classifier: Classifier, device: str, batch_size: int = BATCH_SIZE, workers: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images (n, 3, h, w) in [0, 1] and labels (n,), in the data set's order, on the device."""
    import torch
    from torch.utils.data import DataLoader

    inputs: Any = _Inputs(dataset, classifier)
    # A generator of its own: else each pass would draw from the global one, and measuring would change the training.
    loader: DataLoader[Any] = DataLoader(
        inputs, batch_size=batch_size, num_workers=workers, generator=torch.Generator()
    )
    for images, labels in loader:
        yield images.to(device), labels.to(device)
