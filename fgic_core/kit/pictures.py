"""Decoded pictures that are kept in memory, so that later epochs need not decode them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fgic_core.kinds.context import Context

#: Bytes that the pictures of one training take at most; what is beyond that is read anew at every epoch.
MOST = 2**30


class KeptPictures:
    """8-bit pictures by row, each read once as long as there is room for it: `MOST` bytes.

    What is read in a data loader's worker is gone with the worker, at the end of the epoch; with workers, `fill` reads
    before they start, and each of them has what is kept then.

    Args:
        read: gives the pixels (uint8, any shape) of a row.
        count: how many rows there are.
        most: bytes that are kept at most; `MOST` by default.
    """

    def __init__(self, read: Callable[[int], np.ndarray[Any, Any]], count: int, most: int | None = None) -> None:
        self._read, self._count = read, count
        self._room = MOST if most is None else most
        self._kept: dict[int, np.ndarray[Any, Any]] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> np.ndarray[Any, Any]:
        """The pixels of a row, which must not be changed."""
        found = self._kept.get(row)
        if found is None:
            found = self._read(row)
            self._keep(row, found)
        return found

    def fill(self, ctx: Context) -> None:
        """Read as many as there is room for, with a progress bar and the context's workers."""
        from torch.utils.data import DataLoader, Subset

        if not self._count:
            return
        rows = range(min(self._count, self._room // max(self[0].nbytes, 1)))
        loader: DataLoader[Any] = DataLoader(
            Subset(self, rows),  # type: ignore[arg-type]
            batch_size=None,
            num_workers=ctx.workers,
            generator=ctx.generator("loader"),
        )
        for row, pixels in enumerate(ctx.track(loader, "reading pictures", len(rows))):
            self._keep(row, pixels.numpy() if hasattr(pixels, "numpy") else pixels)

    def _keep(self, row: int, pixels: np.ndarray[Any, Any]) -> None:
        if row not in self._kept and pixels.nbytes <= self._room:
            self._kept[row] = pixels
            self._room -= pixels.nbytes
