"""How a generator's pictures change over its training: the same classes and seeds at epoch after epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fgic_core.data.images import decode
from fgic_core.report.pictures import Picture
from fgic_core.report.section import ReportContext, name_of
from fgic_core.report.view import StepView

if TYPE_CHECKING:
    from PIL.Image import Image

#: How many epochs are shown, and from how few on each has two pictures of a class.
EPOCHS, FEW = 8, 4


@dataclass(frozen=True)
class Strip:
    """Pictures over the training.

    Attributes:
        epochs: that are shown, in order.
        kept: how many epochs have pictures.
        rows: a class's name, and for each epoch its pictures.
    """

    epochs: list[int]
    kept: int
    rows: list[tuple[str, list[list[Picture]]]]


@dataclass(frozen=True)
class _Grids:
    """What ``grids.json`` says: classes of the rows, pictures of each, epochs."""

    folder: Path
    labels: list[int]
    columns: int
    epochs: list[int]


def strip(step: StepView, classes: tuple[str, ...], report: ReportContext, notices: list[str]) -> Strip | None:
    """The pictures that a step kept over its training; None where it kept none.

    Args:
        notices: takes why they cannot be shown.
    """
    path = step.folder / "grids" / "grids.json"
    if not path.exists():
        return None
    try:
        grids = _read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        notices.append(f"The pictures over the training cannot be shown: {type(error).__name__}: {error}")
        return None
    if not grids.epochs or not grids.labels:
        return None
    epochs = [grids.epochs[index] for index in spread(len(grids.epochs), EPOCHS)]
    each = min(2 if len(epochs) <= FEW else 1, grids.columns)
    cells = _cells(grids)
    rows = []
    for row, label in enumerate(grids.labels):
        name = name_of(classes, label)
        pictures = [
            [report.album.add(cells(epoch, row, column), f"{name} at epoch {epoch}") for column in range(each)]
            for epoch in epochs
        ]
        rows.append((name, pictures))
    return Strip(epochs, len(grids.epochs), rows)


def spread(count: int, most: int) -> list[int]:
    """At most so many positions below ``count``, evenly from the first to the last."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _read(path: Path) -> _Grids:
    document = json.loads(path.read_text(encoding="utf-8"))
    labels, epochs = ([int(value) for value in document[name]] for name in ("labels", "epochs"))
    return _Grids(path.parent, labels, max(int(document["columns"]), 1), sorted(epochs))


def _cells(grids: _Grids) -> Callable[[int, int, int], Callable[[], Image]]:
    """What loads the picture of an epoch in a row and a column; each epoch's grid is decoded once."""

    @cache
    def grid(epoch: int) -> Image:
        name = f"{epoch:06d}.png"
        return decode(grids.folder / name, f"grids/{name}")

    def load(epoch: int, row: int, column: int) -> Image:
        whole = grid(epoch)
        width, height = whole.width // grids.columns, whole.height // len(grids.labels)
        return whole.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))

    return lambda epoch, row, column: lambda: load(epoch, row, column)
