from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fgic_core import Box, DataError, Dataset, ObjectBox, Part, PluginError, Sample, Size
from fgic_core.data.checks import check_classes
from fgic_core.data.dataset import BATCH, SCHEMA, DatasetWriter, Header, to_batch, to_sample
from fgic_core.data.digest import digest_file

numbers = st.floats(-1e4, 1e4, width=32)
text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
boxes = st.builds(Box, numbers, numbers, numbers, numbers)
object_boxes = st.builds(
    ObjectBox,
    boxes,
    st.none() | st.integers(0, 9),
    st.none() | st.floats(0, 1, width=32),
    st.booleans(),
    st.sampled_from(["annotated", "predicted:detector/x"]),
)
samples = st.builds(
    Sample,
    id=text,
    path=text,
    label=st.integers(0, 9),
    split=st.sampled_from(["train", "val", "test"]),
    size=st.none() | st.builds(Size, st.integers(1, 9999), st.integers(1, 9999)),
    boxes=st.lists(object_boxes, max_size=3).map(tuple),
    empty=st.booleans(),
    parts=st.lists(st.builds(Part, text, numbers, numbers, st.booleans()), max_size=2).map(tuple),
    part_mask=st.none() | text,
    region=st.none() | boxes,
    region_origin=st.none() | text,
    masked=st.booleans(),
    origin=text,
    parents=st.lists(text, max_size=2).map(tuple),
)


@given(st.lists(samples, max_size=4))
def test_a_sample_becomes_a_row_and_the_same_sample_again(given_samples: list[Sample]) -> None:
    assert [to_sample(row) for row in to_batch(given_samples, "r").to_pylist()] == given_samples


def sample(number: int, **about: object) -> Sample:
    values = {
        "id": f"s{number}",
        "path": f"{number}.png",
        "label": number % 2,
        "split": "test" if number % 3 else "train",
    }
    return Sample(**{**values, **about})  # type: ignore[arg-type]


def written(folder: Path, rows: list[Sample], root: Path | None = None, **header: object) -> Dataset:
    given_header = Header(**{"classes": ("a", "b"), "roots": {"r": root or folder}, **header})  # type: ignore[arg-type]
    with DatasetWriter(folder, given_header) as writer:
        writer.write_samples(rows, "r")
    return Dataset.open(folder)


@pytest.mark.parametrize("wrong", [{"label": "dog"}, {"label": 2**40}, {"path": 5}, {"path": b"a"}, {"label": True}])
def test_a_value_of_the_wrong_type_names_the_sample(wrong: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=r"sample s1.*wrong type"):
        to_batch([sample(0), sample(1, **wrong), sample(2)], "r")


def test_a_name_that_is_not_utf_8_is_told_by_name() -> None:
    rows = [Sample(id=name, path=f"{name}.png", label=0, split="train") for name in ("a", "b\udcff")]
    with pytest.raises(DataError, match=r"'b\\udcff.*' is not UTF-8"):
        to_batch(rows, "root")


def test_a_class_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(DataError, match="is not UTF-8"):
        check_classes(["a", "b\udcff"])


def test_writing_and_opening_again_changes_nothing(tmp_path: Path) -> None:
    notes = {"part_names": ("beak",), "notes": ("squashed",), "skipped": (("x.png", "missing"),)}
    first = written(tmp_path / "one", [sample(n, boxes=(ObjectBox(Box(0, 0, 1, 2)),)) for n in range(9)], **notes)
    (tmp_path / "two").mkdir()
    first.write(tmp_path / "two")
    second = Dataset.open(tmp_path / "two")
    assert second.header == first.header
    assert second.table.equals(first.table)
    assert list(second) == list(first)


def test_views_hold_the_rows_they_say(tmp_path: Path) -> None:
    dataset = written(tmp_path, [sample(n) for n in range(10)])
    assert dataset.splits == ["train", "test"]
    assert dataset.split("train").ids == ["s0", "s3", "s6", "s9"]
    assert len(dataset.split("val")) == 0
    assert dataset.where(np.arange(10) > 7).ids == ["s8", "s9"]
    assert dataset.take([5, 2, 2]).ids == ["s5", "s2", "s2"]
    assert dataset.take([5, 2]).labels.tolist() == [1, 0]
    assert [s.id for s in dataset.take(np.array([5, 2]))] == ["s5", "s2"]


def test_rows_are_counted_like_a_list(tmp_path: Path) -> None:
    dataset = written(tmp_path, [sample(n) for n in range(4)])
    assert dataset[0].id == "s0"
    assert dataset[-1].id == "s3"
    assert dataset[np.int64(2)].id == "s2"
    assert dataset.file(-1) == tmp_path / "3.png"
    for index in (4, -5):
        with pytest.raises(IndexError, match="4 samples"):
            dataset[index]
        with pytest.raises(IndexError, match="4 samples"):
            dataset.file(index)


def test_rows_are_the_same_across_row_groups(tmp_path: Path) -> None:
    dataset = written(tmp_path, [sample(n) for n in range(BATCH + 5)])
    assert dataset.table.column("id").num_chunks > 1
    assert [dataset[n].id for n in (0, BATCH - 1, BATCH, BATCH + 4)] == [
        "s0",
        f"s{BATCH - 1}",
        f"s{BATCH}",
        f"s{BATCH + 4}",
    ]
    assert [s.id for s in dataset] == dataset.ids == [f"s{n}" for n in range(BATCH + 5)]


def test_small_batches_are_gathered_into_one_row_group(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, Header(("a", "b"), {"r": tmp_path})) as writer:
        for n in range(50):
            writer.write(to_batch([sample(n)], "r"))
    assert writer.rows == 50
    assert pq.ParquetFile(tmp_path / "samples.parquet").num_row_groups == 1
    assert Dataset.open(tmp_path).ids == [f"s{n}" for n in range(50)]


def test_a_data_set_that_failed_half_way_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), DatasetWriter(tmp_path, Header(("a",), {})) as writer:
        writer.write_samples((sample(1 // n) for n in (1, 0)), "r")
    with pytest.raises(DataError, match="no data set"):
        Dataset.open(tmp_path)


def test_concat_joins_rows_roots_and_notes(tmp_path: Path) -> None:
    one = written(tmp_path / "one", [sample(0)], notes=("n1",), part_names=("beak",))
    two = Dataset(
        Header(("a", "b"), {"q": tmp_path}, notes=("n2", "n1"), skipped=(("x", "why"),)),
        pa.Table.from_batches([to_batch([sample(1)], "q")]),
    )
    both = one.concat(two)
    assert both.ids == ["s0", "s1"]
    assert both.file(0) == tmp_path / "one" / "0.png"
    assert both.file(1) == tmp_path / "1.png"
    assert both.header.notes == ("n1", "n2")
    assert both.header.part_names == ("beak",)
    assert both.header.skipped == (("x", "why"),)


@pytest.mark.parametrize(
    ("other", "rows", "words"),
    [
        ({"classes": ("b", "a")}, [1], "different classes"),
        ({"part_names": ("tail",)}, [1], "different part names"),
        ({"roots": {"r": Path("/elsewhere")}}, [1], "root r"),
        ({}, [3, 0], "sample s0 is in both"),
    ],
)
def test_concat_refuses_what_does_not_fit(tmp_path: Path, other: dict, rows: list[int], words: str) -> None:
    one = written(tmp_path / "one", [sample(0)], part_names=("beak",))
    header = Header(**{"classes": ("a", "b"), "roots": dict(one.header.roots), **other})
    with pytest.raises(DataError, match=words):
        one.concat(Dataset(header, pa.Table.from_batches([to_batch([sample(n) for n in rows], "r")])))


def test_a_relative_root_starts_at_the_artifact_and_roots_can_be_moved(tmp_path: Path) -> None:
    dataset = written(tmp_path / "one", [sample(0)], root=Path("."))
    assert dataset.file(0) == tmp_path / "one" / "0.png"
    assert Dataset.open(tmp_path / "one", {"r": tmp_path / "moved"}).file(0) == tmp_path / "moved" / "0.png"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "a/../../secret.png",
        "/etc/secret.png",
        "..",
        "a\\..\\..\\s.png",
        "C:\\s.png",
        "C:/s.png",
        "a\0b",
        "",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    dataset = written(tmp_path, [sample(0, path=path, part_mask=path)])
    with pytest.raises(DataError, match="outside"):
        dataset.crop(0)
    with pytest.raises(DataError, match="outside"):
        dataset.file(0, "part_mask")


@pytest.mark.parametrize("path", ["a..b/..c.png", "a/b c.png", "...png", "ü/ß.png"])
def test_a_path_with_dots_in_its_names_is_not_refused(tmp_path: Path, path: str) -> None:
    assert written(tmp_path, [sample(0, path=path)]).file(0) == tmp_path / path


def test_a_row_without_mask_or_known_root_is_reported(tmp_path: Path) -> None:
    dataset = written(tmp_path, [sample(0)])
    with pytest.raises(DataError, match="s0 has no part mask"):
        dataset.file(0, "part_mask")
    with pytest.raises(DataError, match=r"'r'.*not known"):
        Dataset(Header(("a", "b")), dataset.table).file(0)


def test_an_image_is_the_picture_cut_to_its_region(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (0, 0, 255))
    picture.paste((255, 0, 0), (5, 2, 15, 8))
    picture.save(tmp_path / "0.png")
    dataset = written(tmp_path, [sample(0, region=Box(5, 2, 15, 8)), sample(1, path="0.png"), sample(2)])
    assert dataset.crop(0).getcolors() == [(60, (255, 0, 0))]
    assert dataset.crop(1).size == (20, 10)
    assert dataset.picture(0).size == (20, 10)
    with pytest.raises(DataError, match=r"2\.png.*missing"):
        dataset.crop(2)


def test_a_masked_image_shows_the_pixels_of_the_crop_where_they_are(tmp_path: Path) -> None:
    """Those that the region reaches in part too; without a region there is nothing to mask around."""
    pixels = np.random.default_rng(0).integers(0, 100, (10, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    region = Box(5.4, 2, 14.2, 7.9)
    masks = [sample(1, path="0.png", region=region, masked=True), sample(2, path="0.png", masked=True)]
    dataset = written(tmp_path, [sample(0, region=region), *masks])
    crop, mask = np.asarray(dataset.crop(0)), np.asarray(dataset.crop(1))
    assert np.array_equal(crop, pixels[2:8, 5:15])
    assert mask.shape == pixels.shape
    assert np.array_equal(mask[2:8, 5:15], crop)
    mask = mask.copy()
    mask[2:8, 5:15] = 128
    assert (mask == 128).all()
    for whole in (dataset.picture(1), dataset.crop(2)):
        assert np.array_equal(np.asarray(whole), pixels)


def test_rows_of_before_there_were_masks_are_not_masked(tmp_path: Path) -> None:
    dataset = written(tmp_path, [sample(0, region=Box(1, 1, 2, 2)), sample(1)])
    pq.write_table(dataset.table.drop_columns(["masked"]).combine_chunks(), tmp_path / "old.parquet")
    (tmp_path / "old.parquet").replace(tmp_path / "samples.parquet")
    old = Dataset.open(tmp_path)
    assert [one.masked for one in old] == [False, False]
    assert [one.region for one in old] == [Box(1, 1, 2, 2), None]
    old.write(tmp_path / "again")
    assert pq.read_table(tmp_path / "again" / "samples.parquet").column("masked").to_pylist() == [False, False]


def test_a_picture_that_was_replaced_since_its_row_was_written_is_refused(
    tmp_path: Path, pipe: Callable[[Path], Path]
) -> None:
    """Another one of the same size in bytes too; a row that knows no digest believes what lies there."""
    file = tmp_path / "0.bmp"
    Image.new("RGB", (4, 4), (255, 0, 0)).save(file)
    unknown = written(tmp_path, [sample(0, path="0.bmp")])
    column = pa.array([digest_file(file)])
    place = unknown.table.column_names.index("digest")
    known = Dataset(unknown.header, unknown.table.set_column(place, unknown.table.field(place), column))
    assert known.crop(0).getpixel((0, 0)) == (255, 0, 0)
    Image.new("RGB", (4, 4), (0, 0, 255)).save(file)
    for look in (known.crop, known.picture):
        with pytest.raises(DataError, match=r"0\.bmp: this picture is another one than when") as caught:
            look(0)
        assert "Run the spec again" in str(caught.value)
    assert unknown.crop(0).getpixel((0, 0)) == (0, 0, 255)
    pipe(file)
    with pytest.raises(DataError, match=r"0\.bmp: the picture cannot be read: .*pipe"):
        known.crop(0)


def test_a_region_outside_of_the_picture_names_the_file(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"0\.png.*no pixel"):
        written(tmp_path, [sample(0, region=Box(5, 5, 9, 9))]).crop(0)


DAMAGED = {
    "not JSON": "{",
    "a list": "[]",
    "null": "null",
    "no classes": '{"format": 3, "roots": {}, "part_names": [], "notes": [], "skipped": []}',
    "roots a list": '{"format": 3, "classes": [], "roots": [], "part_names": [], "notes": [], "skipped": []}',
    "skipped flat": '{"format": 3, "classes": [], "roots": {}, "part_names": [], "notes": [], "skipped": ["x"]}',
    "not UTF-8": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_header_is_a_data_error(tmp_path: Path, text: str | bytes) -> None:
    written(tmp_path, [sample(0)])
    (tmp_path / "dataset.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError) as caught:
        Dataset.open(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_another_format_says_so(tmp_path: Path) -> None:
    written(tmp_path, [sample(0)])
    document = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        Dataset.open(tmp_path)


def test_a_data_set_of_before_pictures_could_be_empty_is_refused_in_one_line(tmp_path: Path) -> None:
    table = written(tmp_path, [sample(0)]).table
    document = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**document, "format": 1}))
    pq.write_table(table.drop_columns(["empty"]), tmp_path / "samples.parquet")
    with pytest.raises(DataError, match="data set format 1 is not format 3\n  Make it again") as caught:
        Dataset.open(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def test_damaged_rows_are_a_data_error(tmp_path: Path) -> None:
    table = written(tmp_path, [sample(n) for n in range(3)]).table
    file = tmp_path / "samples.parquet"
    whole = file.read_bytes()
    tables = {
        "lack a column": table.drop_columns(["label"]),
        "cannot be read": table.set_column(3, "label", pa.array(["x", "y", "z"])),
        "column label has rows without": table.set_column(3, "label", pa.array([0, None, 1], pa.int32())),
        "column split has rows without": table.set_column(4, "split", pa.array(["train", None, "test"])),
        "labels reach": table.set_column(3, "label", pa.array([0, 2, 1], pa.int32())),
    }
    for words, damaged in tables.items():
        pq.write_table(damaged, file)
        with pytest.raises(DataError, match=words):
            Dataset.open(tmp_path)
    for content in (whole[:-20], whole[:50] + b"\0" * 200 + whole[250:], b"", b"PAR1"):
        file.write_bytes(content)
        with pytest.raises(DataError):
            list(Dataset.open(tmp_path))
    file.unlink()
    with pytest.raises(DataError):
        Dataset.open(tmp_path)


def test_the_schema_of_a_view_is_the_schema(tmp_path: Path) -> None:
    assert written(tmp_path, [sample(0)]).split("train").table.schema.equals(SCHEMA)


def test_a_copy_of_the_process_that_comes_to_its_end_does_not_end_the_file(tmp_path: Path) -> None:
    """Its footer behind the file's own would tell of the rows that there were when it was made."""
    waiting, ended = os.pipe()
    with DatasetWriter(tmp_path / "out", Header(("a", "b"), {"r": tmp_path})) as writer:
        writer.write_samples([sample(n) for n in range(BATCH)], "r")
        if not (copy := os.fork()):
            try:
                os.read(waiting, 1)
                writer.__exit__(SystemExit, SystemExit(), None)
            finally:
                os._exit(0)
        writer.write_samples([sample(n) for n in range(BATCH, 2 * BATCH)], "r")
    os.write(ended, b".")
    os.waitpid(copy, 0)
    assert len(Dataset.open(tmp_path / "out")) == 2 * BATCH
