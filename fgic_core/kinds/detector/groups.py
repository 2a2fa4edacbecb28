"""Test pictures in groups by what the detector found in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.boxes import IOU
from fgic_core.data.groups import Grouping

_EDGES = (0.0, 0.25, 0.5, 0.75, 0.9)
_NAMES = ("no box found", "below 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 to 0.9", "0.9 or more")


def groups(folder: Path, split: str) -> list[Grouping]:
    """By the overlap of the most confident box with the largest annotated one, and by how many objects were found.

    A picture that is not annotated, or has no object, is in no group.

    Args:
        folder: of the artifact; split: whose pictures.
    """
    table = pq.read_table(folder / "boxes.parquet")
    table = table.filter(pc.equal(table.column("split"), split))
    ids = table.column("id").to_pylist()
    overlap = table.column("iou").to_numpy().astype(np.float64).round(6)  # 0.9 in 32 bits is less
    nothing = table.column("predicted").is_null().to_numpy()
    overlap = np.where(nothing & ~np.isnan(overlap), -1.0, overlap)
    objects, found = (table.column(name).to_numpy().astype(np.int64) for name in ("objects", "found"))
    number = np.select([objects == 0, found == 0, found < objects], [-1, 0, 1], default=2)
    title = f"annotated objects that some box overlaps (IoU {IOU:g} or more), however unsure"
    return [
        Grouping.binned("overlap (IoU) of the found box with the annotated one", ids, overlap, _EDGES, _NAMES),
        Grouping(title, ("none", "some of several", "all"), tuple(ids), number),
    ]
