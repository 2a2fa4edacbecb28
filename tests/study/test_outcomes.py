"""What each picture adds to a number, as the kinds have it: its mean is the number."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fgic_core.data.artifact import Metric
from fgic_core.kinds.attacker import outcomes as attacked
from fgic_core.kinds.classifier import outcomes as classified


def metric(name: str, split: str = "test", **at: float) -> Metric:
    return Metric(name=name, split=split, at=at, value=0.5, n=4)


def test_what_each_picture_adds_to_a_classifiers_numbers(tmp_path: Path) -> None:
    table = {
        "id": ["a", "b", "c", "d", "v"],
        "split": [*["test"] * 4, "val"],
        "label": pa.array([0, 1, 2, 3, 0], pa.int32()),
        "predicted": pa.array([0, 2, 2, 0, 0], pa.int32()),
        "loss": pa.array([0.5, 2.0, 0.25, 3.0, 1.0], pa.float32()),
        "top": pa.array([[0, 1], [2, 1], [2, 0], [0, 2], [0, 1]], pa.list_(pa.int32())),
    }
    pq.write_table(pa.table(table), tmp_path / "predictions.parquet")
    for name, values in (
        ("accuracy", [1.0, 0.0, 1.0, 0.0]),
        ("top5_accuracy", [1.0, 1.0, 1.0, 0.0]),
        ("loss", [0.5, 2.0, 0.25, 3.0]),
    ):
        found = classified.outcomes(tmp_path, metric(name))
        assert found is not None
        assert (found.ids, found.values.tolist()) == (("a", "b", "c", "d"), values)
    validation = classified.outcomes(tmp_path, metric("accuracy", "val"))
    assert validation is not None
    assert (validation.ids, validation.values.tolist()) == (("v",), [1.0])


@pytest.mark.parametrize("one", [metric("mean_class_accuracy"), metric("accuracy", train=1.0)])
def test_what_is_no_mean_over_pictures_has_none(tmp_path: Path, one: Metric) -> None:
    assert classified.outcomes(tmp_path, one) is None
    assert attacked.outcomes(tmp_path, one.model_copy(update={"name": "median_distance"})) is None


def test_what_each_picture_adds_to_an_attacks_numbers(tmp_path: Path) -> None:
    table = {
        "eps": [0.0] * 3 + [0.25] * 3,
        "id": ["a", "b", "c"] * 2,
        "label": pa.array([0, 1, 1] * 2, pa.int32()),
        "clean": pa.array([0, 1, 0] * 2, pa.int32()),
        "adversarial": pa.array([0, 1, 0, 1, 1, 1], pa.int32()),  # c is right by accident, once attacked
    }
    pq.write_table(pa.table(table), tmp_path / "robustness.parquet")
    for one, values in (
        (metric("clean_accuracy"), [1.0, 1.0, 0.0]),
        (metric("robust_accuracy", eps=0.25), [0.0, 1.0, 0.0]),
    ):
        found = attacked.outcomes(tmp_path, one)
        assert found is not None
        assert (found.ids, found.values.tolist()) == (("a", "b", "c"), values)
