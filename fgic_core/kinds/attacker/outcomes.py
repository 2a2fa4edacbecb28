"""Of an attack's numbers, those that are means over pictures: what each picture adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.artifact import Metric
from fgic_core.data.outcomes import Outcomes


def outcomes(folder: Path, metric: Metric) -> Outcomes | None:
    """What each picture adds to the clean or the robust accuracy; None for a number that is no mean over pictures.

    Args:
        folder: of the artifact.
        metric: one of its numbers.
    """
    if metric.name not in ("robust_accuracy", "clean_accuracy"):
        return None
    table = pq.read_table(folder / "robustness.parquet", columns=["eps", "id", "label", "clean", "adversarial"])
    eps = float(metric.at["eps"]) if metric.name == "robust_accuracy" else 0.0
    table = table.filter(pc.equal(table.column("eps"), eps))
    labels = table.column("label").to_numpy()
    right = table.column("clean").to_numpy() == labels
    if metric.name == "robust_accuracy":
        right &= table.column("adversarial").to_numpy() == labels
    return Outcomes(tuple(table.column("id").to_pylist()), right.astype(np.float64))
