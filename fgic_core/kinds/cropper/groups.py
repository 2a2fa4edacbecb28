"""Test pictures in groups by how much of the object their crop kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.groups import Grouping

_EDGES = (0.5, 0.75, 0.9, 0.99, 2.0)
_NAMES = ("less than 50 %", "50 to 75 %", "75 to 90 %", "90 to 99 %", "99 % or more", "not cropped")


def groups(folder: Path, split: str) -> list[Grouping]:
    """By the share of the largest annotated object that lies in the crop; pictures that were used whole apart.

    A picture that is not annotated, or has no object, is in no group.

    Args:
        folder: of the artifact; split: whose pictures.
    """
    table = pq.read_table(folder / "boxes.parquet")
    table = table.filter(pc.equal(table.column("split"), split))
    whole = table.column("region").is_null().to_numpy() & table.column("annotated").is_valid().to_numpy()
    kept = table.column("kept").to_numpy().astype(np.float64).round(6)  # 0.9 in 32 bits is less
    ids = table.column("id").to_pylist()
    shares = np.where(whole, np.inf, kept)
    return [Grouping.binned("share of the object that the crop kept", ids, shares, _EDGES, _NAMES)]
