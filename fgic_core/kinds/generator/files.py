"""The files of made pictures: PNGs that say themselves where they are from, and grids of pictures over the training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core.data.images import ORIGIN
from fgic_core.kinds.generator.reference import Pixels

#: How many epochs have a grid at most, how large a picture in it is, how many classes and pictures of each it shows.
GRIDS, CELL, CLASSES, COLUMNS = 16, 128, 8, 4


def write_png(file: Path, pixels: Pixels, origin: Mapping[str, Any]) -> bytes:
    """Write an 8-bit (h, w, 3) picture, whole or not at all, with its origin inside; the bytes that were written.

    Args:
        origin: what made it (``uses``), from which ``seed``, of which ``class`` and which ``parents``.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text(ORIGIN, json.dumps(origin))
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=about)
    content = buffer.getvalue()
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(file)
    return content


class Grids:
    """Grids of the same labels and seeds at epoch after epoch: a row a class, `COLUMNS` pictures of each.

    They are kept where a crash does not reach them, evenly over the epochs, and copied into the artifact at the end.

    Args:
        folder: where ``grids/`` lies until then.
        labels: the classes that are shown.
        every: there is one after so many epochs.
    """

    def __init__(self, folder: Path, labels: Sequence[int], every: int = 1) -> None:
        self.folder = folder / "grids"
        self.labels = list(labels)
        self._every = every

    @property
    def slots(self) -> list[int]:
        """The label of each picture of a grid, row by row."""
        return [label for label in self.labels for _ in range(COLUMNS)]

    @property
    def epochs(self) -> list[int]:
        """Those that have a grid, in order."""
        return sorted(int(file.stem) for file in self.folder.glob("*.png"))

    def add(self, epoch: int, pictures: Pixels) -> None:
        """Keep the grid of an epoch; those before it are thinned to every second, fourth, … one."""
        from PIL import Image

        cells = [np.asarray(_small(Image.fromarray(picture))) for picture in pictures]
        rows = [np.concatenate(cells[i : i + COLUMNS], axis=1) for i in range(0, len(cells), COLUMNS)]
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / "grid.new"
        Image.fromarray(np.concatenate(rows)).save(beside, "PNG")
        beside.replace(self.folder / f"{epoch:06d}.png")
        stride = 1
        while epoch / self._every / stride > GRIDS:
            stride *= 2
        for other in self.epochs:
            if other % (stride * self._every) and other != epoch:
                (self.folder / f"{other:06d}.png").unlink()

    def keep(self, folder: Path) -> None:
        """Copy what there is into the artifact's folder, with the classes of its rows."""
        if not self.epochs:
            return
        shutil.copytree(self.folder, folder / "grids", ignore=shutil.ignore_patterns("*.new"))
        about = {"labels": self.labels, "columns": COLUMNS, "epochs": self.epochs}
        (folder / "grids" / "grids.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def _small(picture: Any) -> Any:
    from PIL import Image

    if picture.width <= CELL:
        return picture
    return picture.resize((CELL, round(picture.height * CELL / picture.width)), Image.Resampling.LANCZOS)
