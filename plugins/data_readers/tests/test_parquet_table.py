from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fgic_data_readers import Coco, Cub200, ImageFolder, ParquetTable, StanfordDogs, _arrow

from fgic_core import SCHEMA, Box, DataError, Dataset, ObjectBox, Part, Size
from fgic_core.kinds.dataset.driver import run
from fgic_core.registry import Registry

MINIMAL = {"id": ["a", "b", "c"], "path": ["a.jpg", "x/b.jpg", "c.jpg"], "label": ["owl", "crow", "owl"]}
MINIMAL["split"] = ["train", "train", "test"]


@pytest.fixture
def table(tmp_path: Path):
    """Writes a table and opens it; keywords add columns or replace them, None takes one away."""

    def make(options: dict[str, Any] | None = None, **columns: Any) -> ParquetTable:
        content = {name: values for name, values in {**MINIMAL, **columns}.items() if values is not None}
        pq.write_table(pa.table(content), tmp_path / "rows.parquet")
        return ParquetTable(table=tmp_path / "rows.parquet", root=tmp_path, **(options or {}))

    return make


def test_four_columns_are_enough(table, read):
    reader = table()
    assert reader.classes() == ["crow", "owl"]
    samples = read(reader)
    assert [(s.id, s.path, s.label, s.split, s.origin) for s in samples] == [
        ("a", "a.jpg", 1, "train", "real"),
        ("b", "x/b.jpg", 0, "train", "real"),
        ("c", "c.jpg", 1, "test", "real"),
    ]
    assert (samples[0].boxes, samples[0].size, samples[0].region) == ((), None, None)


def test_labels_may_be_numbers_with_class_names(table, read):
    reader = table({"class_names": ["owl", "crow"]}, label=[0.0, 1.0, 0.0])
    assert reader.classes() == ["owl", "crow"]
    assert [s.label for s in read(reader)] == [0, 1, 0]


def test_class_names_give_the_order_of_labels_that_are_names(table, read):
    reader = table({"class_names": ["owl", "wren", "crow"]})
    assert [s.label for s in read(reader)] == [0, 2, 0]


def test_batches_have_the_schema_of_the_core_whatever_types_the_file_has(table, ctx):
    columns = {name: pa.array(values).dictionary_encode() for name, values in MINIMAL.items()}
    for batch in table(**columns, width=pa.array([8, 8, None], pa.float64())).batches(ctx):
        assert batch.schema.equals(SCHEMA)
        batch.validate(full=True)


def test_boxes_parts_and_region_are_read_and_what_they_lack_is_filled_in(table, read):
    corners = {"x1": 1.0, "y1": 2, "x2": 3, "y2": 4}
    reader = table(
        boxes=[[corners, corners], None, []],
        parts=[[{"name": "beak", "x": 1, "y": 2}], [], None],
        region=[None, corners, None],
        masked=[0, 1, 0],
        width=[8, 8, 8],
        height=[6, 6, 6],
        parents=[["b"], None, []],
    )
    first, second, third = read(reader)
    assert first.boxes == (ObjectBox(Box(1, 2, 3, 4)),) * 2
    assert first.parts == (Part("beak", 1, 2, True),)
    assert first.size == Size(8, 6)
    assert first.parents == ("b",)
    assert (first.region, second.region, third.region) == (None, Box(1, 2, 3, 4), None)
    assert (second.boxes, third.boxes) == ((), ())
    assert [one.masked for one in (first, second, third)] == [False, True, False]
    assert not any(one.masked for one in read(table()))


def test_an_empty_list_of_boxes_is_an_empty_picture_and_null_is_one_that_nobody_annotated(table, read):
    corners = {"x1": 1.0, "y1": 2, "x2": 3, "y2": 4}
    samples = read(table(boxes=[[corners], None, []]))
    assert [(s.empty, s.is_annotated) for s in samples] == [(False, True), (False, False), (True, True)]
    assert [s.is_annotated for s in read(table())] == [False] * 3, "without boxes there is nothing to be empty"
    own = {**corners, "origin": "predicted:detector/x", "score": 0.5}
    samples = read(table(boxes=[[own], [], []], empty=[True, False, True]))
    assert [s.empty for s in samples] == [True, False, True], "the column decides"


def test_a_table_that_fgic_wrote_reads_as_it_was(real_data, ctx, tmp_path, read):
    root = real_data("coco8")
    files = (root / "annotations" / f"instances_{name}.json" for name in ("train", "val"))
    coco = Coco(images=root / "images", train=next(files), test=next(files), verify="none")
    run(coco, {}, ctx)
    reader = ParquetTable(table=ctx.folder / "samples.parquet", root=root / "images", class_names=list(coco.classes()))
    assert read(reader) == list(Dataset.open(ctx.folder))


def test_columns_that_are_passed_over_are_reported_with_the_nearest_name(table, ctx):
    list(table(widht=[1, 2, 3], photographer=["", "", ""]).batches(ctx))
    assert ctx.warnings == ["columns of rows.parquet that were passed over: widht (is it width?), photographer"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": None, "paths": ["a", "b", "c"]}, "the table has no column path\n  Is it paths?"),
        ({"label": [0, 1, 0]}, "the labels are numbers"),
        ({"id": ["a", None, "c"]}, "row 1 (from 0): id is null"),
        ({"split": ["train", "test", "dev"]}, "row 2 (from 0): split is 'dev'"),
        ({"split": ["train", "train", "val"]}, "no row is in the test split"),
        ({"path": ["a", "../../etc/passwd", "c"]}, "row 1 (from 0): path '../../etc/passwd' leaves"),
        ({"path": ["a", "b", "/etc/passwd"]}, "row 2 (from 0): path '/etc/passwd' leaves"),
        ({"path": ["a", "", "c"]}, "row 1 (from 0): path is empty"),
        ({"part_mask": [None, "..\\m.png", None]}, "row 1 (from 0): part_mask"),
        ({"width": ["wide", "8", "8"]}, "column width has type string"),
        ({"boxes": [[{"x1": 1, "y1": 1}], [], []]}, "column boxes has no field x2; it has x1, y1"),
        ({"boxes": [[{"x1": None, "y1": 1, "x2": 3, "y2": 3}], [], []]}, "column boxes.x1 has a null"),
        ({"empty": [True, None, False]}, "row 1 (from 0): empty is null"),
        ({"boxes": [1, 2, 3]}, "column boxes has type int64"),
        ({"root": ["a", "b", "b"]}, "the rows belong to several roots"),
    ],
)
def test_a_wrong_table_names_the_column_or_the_row(table, read, columns, message):
    with pytest.raises(DataError) as caught:
        read(table(**columns))
    assert message in str(caught.value)
    assert "rows.parquet" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2, 0], "row 1 (from 0): label 2 is no index into the 2 classes"),
        ([0, -1, 0], "label -1 is no index"),
        (["owl", "ow", "owl"], "row 1 (from 0): label 'ow' is not in class_names"),
        ([0.5, 1, 0], "column label has type double"),
    ],
)
def test_a_label_outside_the_classes_names_its_row(table, read, labels, message):
    with pytest.raises(DataError) as caught:
        read(table({"class_names": ["owl", "crow"]}, label=labels))
    assert message in str(caught.value)


def test_a_file_that_is_no_parquet_is_named(tmp_path, read):
    (tmp_path / "rows.parquet").write_text("id,path")
    with pytest.raises(DataError, match="this is no Parquet file"):
        read(ParquetTable(table=tmp_path / "rows.parquet", root=tmp_path))


def test_a_million_rows_are_read_in_seconds(tmp_path, ctx):
    count = 1_000_000
    index = pa.array(np.arange(count)).cast(pa.string())
    corners = pa.StructArray.from_arrays(
        [pa.array(np.full(count, edge, float)) for edge in range(4)], ["x1", "y1", "x2", "y2"]
    )
    content = {
        "id": index,
        "path": pa.compute.binary_join_element_wise(index, "jpg", "."),
        "label": pa.array(np.arange(count) % 200),
        "split": pa.array(np.where(np.arange(count) % 5, "train", "test")),
        "boxes": pa.ListArray.from_arrays(pa.array(np.arange(count + 1), pa.int32()), corners),
    }
    pq.write_table(pa.table(content), tmp_path / "rows.parquet", compression="zstd")
    reader = ParquetTable(table=tmp_path / "rows.parquet", root=tmp_path, class_names=[str(n) for n in range(200)])
    del content, corners, index
    base, peak, rows = pa.total_allocated_bytes(), 0, 0
    for batch in reader.batches(ctx):
        rows += batch.num_rows
        peak = max(peak, pa.total_allocated_bytes() - base)
    assert rows == count
    assert peak < 200e6


def test_the_readers_are_installed_under_their_names():
    expected = {
        "stanford-dogs": StanfordDogs,
        "cub-200-2011": Cub200,
        "image-folder": ImageFolder,
        "coco": Coco,
        "parquet": ParquetTable,
    }
    registry = Registry()
    assert {name: registry.get(f"dataset/{name}") for name in expected} == expected


def test_importing_the_readers_imports_nothing_heavy():
    code = "import sys, fgic_data_readers; print([m for m in ('torch', 'pyarrow', 'scipy', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "values", "said"), [(pa.int64(), [0, 2], "2"), (pa.int8(), [-1, 1], "-1"), (pa.float64(), [0.5, 1], "0.5")]
)
def test_a_flag_is_not_read_by_its_truth(table, read, kind, values, said):
    fields = {name: pa.array([1.0, 2.0]) for name in ("x1", "y1")} | {
        name: pa.array([3.0, 4.0]) for name in ("x2", "y2")
    }
    boxes = pa.StructArray.from_arrays([*fields.values(), pa.array(values, kind)], [*fields, "crowd"])
    rows = pa.ListArray.from_arrays(pa.array([0, 1, 2, 2], pa.int32()), boxes)
    with pytest.raises(DataError, match=f"column boxes.crowd should be 0, 1, false or true and has {said}"):
        read(table(boxes=rows))
    boxes = pa.StructArray.from_arrays([*fields.values(), pa.array([0, 1], kind)], [*fields, "crowd"])
    rows = pa.ListArray.from_arrays(pa.array([0, 1, 2, 2], pa.int32()), boxes)
    assert [[one.crowd for one in sample.boxes] for sample in read(table(boxes=rows))] == [[False], [True], []]


def test_a_table_that_unpacks_to_more_than_any_table_is_refused_by_its_footer(table, read, monkeypatch):
    reader = table(notes=["x" * 100_000] * 3)  # a column that is not read does not count
    monkeypatch.setattr(_arrow, "_LARGEST", 10_000)
    assert len(read(reader)) == 3
    with pytest.raises(DataError, match="the table has 3 rows, which unpack to"):
        read(table(id=["x" * 100_000, "b", "c"]))
    monkeypatch.setattr(_arrow, "_MOST_ROWS", 2)
    with pytest.raises(DataError, match="the table has 3 rows, which unpack to"):
        read(table())


@pytest.mark.parametrize(
    "columns", [{"id": ["x" * 10_000_000, "b", "c"]}, {"split": ["x" * 10_000_000, "train", "test"]}]
)
def test_a_huge_value_does_not_stand_whole_in_a_message(table, ctx, columns):
    label = {"boxes": [[{"x1": 5.0, "y1": 5.0, "x2": 1.0, "y2": 1.0}], None, None]}
    with pytest.raises(DataError) as caught:
        run(table(**label, **columns), {}, ctx)
    assert "xxx" in str(caught.value)
    assert len(str(caught.value)) < 5000
