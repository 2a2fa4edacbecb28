"""Features of pictures that one process keeps for all of its trainings: most trainings of a study want the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fgic_core.data.dataset import Dataset

#: Bytes of features that a process keeps at most for trainings to come.
MOST_SHARED = 2**29


class SharedFeatures:
    """Features that this process computed, for whatever training needs them next; those least used lately go first.

    Each was computed by itself, and not in a batch, where its last bits would depend on what stood beside it: it is the
    same to the bit whoever asks, and in whatever order.

    Args:
        most: bytes that are kept at most.
    """

    def __init__(self, most: int = MOST_SHARED) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def get(self, name: Hashable) -> torch.Tensor | None:
        """What is kept of that name."""
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def put(self, name: Hashable, features: torch.Tensor) -> None:
        """Keep features of one picture."""
        if name not in self._kept:
            self._bytes += features.nbytes
        self._kept[name] = features
        while self._bytes > self._most:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._bytes = 0


#: Those of this process.
SHARED = SharedFeatures()


def pictures_of(data: Dataset) -> list[Hashable] | None:
    """What tells the pictures of a data set apart, in its rows' order: files' digests and what is shown of them.

    None where a file has no digest.
    """
    rows = data.table.select(["digest", "region", "masked"]).to_pylist()
    if any(row["digest"] is None for row in rows):
        return None
    return [(row["digest"], tuple((row["region"] or {}).values()), row["masked"]) for row in rows]
