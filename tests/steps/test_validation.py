"""Train rows that are drawn again, as a study asks for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from fgic_core import Dataset, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.kinds.classifier.fit import training_parts
from fgic_core.steps.context import StepContext
from fgic_core.steps.validation import resampled


def rows(folder: Path, made: int = 0) -> Dataset:
    """Twelve real train samples of two classes, each with so many that were made from it."""
    with DatasetWriter(folder / "data", Header(("a", "b"), {"r": folder})) as writer:
        for number in range(12):
            about = {"path": "p.png", "label": number % 2, "split": "train", "size": Size(4, 4)}
            samples = [Sample(id=f"{number}", **about)]  # type: ignore[arg-type]
            samples += [
                Sample(id=f"{number}-{one}", origin="synthetic:x", parents=(f"{number}",), **about)  # type: ignore[arg-type]
                for one in range(made)
            ]
            writer.write_samples(samples, "r")
    return Dataset.open(folder / "data")


def context(folder: Path, seed: int) -> StepContext:
    return StepContext(folder / "out", streams={"resample": seed})


def test_rows_are_drawn_again_class_by_class_and_the_seed_decides(tmp_path: Path) -> None:
    data = rows(tmp_path)
    assert resampled(data, StepContext(tmp_path / "out")) is data, "unless a study varies it"
    drawn = [resampled(data, context(tmp_path, seed)) for seed in (1, 2, 1)]
    assert drawn[0].ids == drawn[2].ids != drawn[1].ids
    for one in drawn:
        assert np.bincount(one.labels).tolist() == [6, 6]
        assert max(Counter(one.ids).values()) > 1
        assert set(one.ids) < set(data.ids)


def test_what_was_made_of_a_picture_is_drawn_with_it(tmp_path: Path) -> None:
    drawn = Counter(resampled(rows(tmp_path, made=2), context(tmp_path, 1)).ids)
    for number in range(12):
        assert drawn[f"{number}"] == drawn[f"{number}-0"] == drawn[f"{number}-1"]


def test_where_all_of_a_class_belongs_together_that_is_said(tmp_path: Path) -> None:
    data = rows(tmp_path)
    parents = [[] if row % 2 else [f"{(row + 2) % 12}"] for row in range(12)]
    import pyarrow as pa

    place = data.table.schema.get_field_index("parents")
    linked = Dataset(
        data.header,
        data.table.set_column(
            place, data.table.schema.field(place), pa.array(parents, data.table.schema.field(place).type)
        ),
    )
    ctx = context(tmp_path, 1)
    resampled(linked, ctx)
    assert ctx.warnings == [
        "in 1 of 2 classes all train samples were made from one another, or are copies: "
        "nothing of them can be drawn again"
    ]


def test_what_is_held_out_to_choose_by_is_cut_before_and_never_drawn(tmp_path: Path) -> None:
    data = rows(tmp_path)
    plain = training_parts(data, 0.3, StepContext(tmp_path / "out"))
    train, val = training_parts(data, 0.3, context(tmp_path, 1))
    assert val.ids == plain[1].ids
    assert not set(train.ids) & set(val.ids)
    assert set(train.ids) <= set(plain[0].ids)
    assert train.ids != plain[0].ids
