"""Test pictures in groups by what is annotated: how large the object is, and how many there are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.boxes import choose_box, objects_of
from fgic_core.data.geometry import Size
from fgic_core.data.groups import Grouping


def groups(folder: Path, split: str) -> list[Grouping]:
    """By the share of the picture that its largest annotated object takes, and by how many objects are annotated.

    Size is in quarters of the split's own pictures, whose bounds stand in their names: bounds in pixels as COCO has
    them (32², 96²) depend on the resolution, and fixed shares would put the close-ups of one data set into a single
    group. Crowds are no objects. Of a picture that is not annotated nothing is known; it is in no group.

    Args:
        folder: of the artifact; split: whose pictures.
    """
    columns = ["id", "split", "width", "height", "boxes", "empty"]
    table = pq.read_table(folder / "samples.parquet", columns=columns)
    rows = table.filter(pc.equal(table.column("split").cast("string"), split)).drop_columns(["split"]).to_pylist()
    ids, shares, counts = [], [], []
    for row in rows:
        ids.append(row["id"])
        known = row["width"] is not None
        size = (
            Size(row["width"], row["height"]) if known else Size(1 << 30, 1 << 30)
        )  # boxes are inside, as was checked
        objects = len(objects_of(row["boxes"], size))
        counts.append(objects if objects or row["empty"] else None)
        box = choose_box(row["boxes"], "annotated", size).box
        shares.append(box.area / size.box.area if box is not None and known else np.nan)
    found = [Grouping.binned("annotated objects in the picture", ids, counts, [1, 2], ["none", "one", "several"])]
    return [*_by_size(ids, np.array(shares)), *found]


def _by_size(ids: list[str], shares: np.ndarray[Any, Any]) -> list[Grouping]:
    known = shares[~np.isnan(shares)]
    if not len(known):
        return []
    quarters = np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf")
    bounds = sorted({float(f"{100 * edge:.3g}") for edge in quarters})  # percent as it is said; equal ones are one
    spans = [f"{low:g} to {high:g} %" for low, high in pairwise(bounds)]
    names = [f"below {bounds[0]:g} %", *spans, f"{bounds[-1]:g} % or more"]
    title = "share of the picture that the object takes, in quarters of the pictures"
    return [Grouping.binned(title, ids, shares, [bound / 100 for bound in bounds], names)]
