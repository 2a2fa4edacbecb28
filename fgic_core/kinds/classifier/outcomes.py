"""What each picture adds to those of a classifier's numbers that are means over pictures; and its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.artifact import Metric
from fgic_core.data.outcomes import Answers, Outcomes


def outcomes(folder: Path, metric: Metric) -> Outcomes | None:
    """What each picture adds to accuracy, top-5 accuracy or loss; None for a number that is no mean over pictures.

    Args:
        folder: of the artifact.
        metric: one of its numbers.
    """
    if metric.name not in ("accuracy", "top5_accuracy", "loss") or metric.at:
        return None
    columns = {"accuracy": ["predicted"], "top5_accuracy": ["top"], "loss": ["loss"]}[metric.name]
    table = pq.read_table(folder / "predictions.parquet", columns=["id", "split", "label", *columns])
    table = table.filter(pc.equal(table.column("split"), metric.split))
    labels = table.column("label").to_numpy()
    if metric.name == "accuracy":
        values = table.column("predicted").to_numpy() == labels
    elif metric.name == "loss":
        values = table.column("loss").to_numpy()
    else:
        top = np.array(table.column("top").to_pylist(), dtype=np.int64).reshape(len(labels), -1)
        values = (top == labels[:, None]).any(axis=1)
    return Outcomes(tuple(table.column("id").to_pylist()), values.astype(np.float64))


def answers(folder: Path, split: str) -> Answers:
    """What the classifier said of each picture of a split.

    Args:
        folder: of the artifact; split: such as ``test``.
    """
    table = pq.read_table(folder / "predictions.parquet", columns=["id", "split", "predicted", "confidence"])
    table = table.filter(pc.equal(table.column("split"), split))
    predicted, confidence = (table.column(name).to_numpy() for name in ("predicted", "confidence"))
    return Answers(tuple(table.column("id").to_pylist()), predicted.astype(np.int64), confidence.astype(np.float64))
