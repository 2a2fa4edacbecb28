"""Columns that a data set declares beyond those that every data set has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from fgic_core import Column, DataError, Dataset, DatasetReader, PluginError, Sample, write_coco
from fgic_core.data.contents import table_digests
from fgic_core.kinds.dataset.driver import run
from fgic_core.testing import tiny_context, tiny_dataset

MASK = Column("mask", "file", "masks", "Where the object is.")
SHARP = Column("sharpness", "number")


@pytest.fixture
def with_masks(tmp_path: Path) -> Dataset:
    """A small data set with a mask for every other picture, in a folder of its own, and a number for each."""
    data, folder = tiny_dataset(tmp_path / "data"), tmp_path / "out"
    (folder / "m").mkdir(parents=True)
    paths: list[str | None] = []
    for row in range(len(data)):
        paths.append(f"m/{row}.png" if row % 2 == 0 else None)
        if row % 2 == 0:
            Image.new("L", (4, 4), row).save(folder / f"m/{row}.png")
    more = data.with_column(MASK, paths).with_column(SHARP, [row / 2 for row in range(len(data))])
    more.write(folder)
    return Dataset.open(folder)


def test_rows_have_them_through_every_view_and_on_disk(with_masks: Dataset, tmp_path: Path) -> None:
    assert with_masks.header.columns == (MASK, SHARP)
    view = with_masks.take([4, 3]).split(with_masks[4].split)
    assert view[0].extra == {"mask": "m/4.png", "sharpness": 2.0}
    assert view.file(0, "mask") == tmp_path / "out" / "m" / "4.png"
    assert view.content(0, "mask") == (tmp_path / "out" / "m" / "4.png").read_bytes()
    assert with_masks[3].extra == {"mask": None, "sharpness": 1.5}
    with pytest.raises(DataError, match="has no mask"):
        with_masks.file(3, "mask")


def test_a_file_counts_by_its_content_and_one_that_was_changed_is_refused(with_masks: Dataset, tmp_path: Path) -> None:
    file = with_masks.file(0, "mask")
    before = table_digests(with_masks.table)
    Image.new("L", (4, 4), 255).save(file)
    with pytest.raises(DataError, match="this mask is another one than when the data set was written"):
        with_masks.content(0, "mask")
    paths = [sample.extra["mask"] for sample in with_masks]
    with_masks.with_column(MASK, paths).write(tmp_path / "out")
    after = table_digests(Dataset.open(tmp_path / "out").table)
    split = with_masks[0].split
    assert before[split]["mask"] != after[split]["mask"]
    assert before[split]["sharpness"] == after[split]["sharpness"]


def test_data_sets_with_and_without_them_go_together(with_masks: Dataset) -> None:
    some, others = with_masks.take([0]), with_masks.take([1, 2])
    plain = Dataset(replace(others.header, columns=()), others.table.drop_columns(["mask", "sharpness"]))
    both = plain.concat(some)
    assert [sample.extra for sample in both] == [{"mask": None, "sharpness": None}] * 2 + [some[0].extra]
    other = some.with_column(Column("sharpness", "text"), ["very"])
    with pytest.raises(DataError, match="column sharpness of the two data sets means different things"):
        others.concat(other)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (Column("label", "integer"), [1], "every data set has a column label"),
        (Column("sharpness", "number"), [1.0, 2.0], "column sharpness has 2 values for 1 rows"),
        (Column("count", "integer"), [2.7], "column count of type integer has a value of another: 2.7 is no integer"),
        (MASK, [3], "column mask of type file has a value of another: 3 is no path"),
        (Column("count", "number"), ["two"], "column count of type number has a value of another"),
    ],
)
def test_a_column_that_cannot_be_is_refused(
    column: Column, values: Sequence[object], said: str, with_masks: Dataset
) -> None:
    with pytest.raises(DataError, match=said):
        with_masks.take([0]).with_column(column, values)


def test_coco_files_have_no_place_for_them_which_is_said(with_masks: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("sahi", reason="COCO files are written with sahi: pip install 'fgic[coco]'")
    count = len(with_masks)
    left_out = write_coco(with_masks, tmp_path / "coco").left_out
    assert f"values of the further column mask ({(count + 1) // 2})" in left_out
    assert f"values of the further column sharpness ({count})" in left_out


def test_a_file_outside_of_its_folder_or_missing_is_refused(with_masks: Dataset, tmp_path: Path) -> None:
    for path, said in (("../data/dataset.json", "outside of the data set's folder"), ("m/none.png", "is missing")):
        with pytest.raises(DataError, match=said):
            with_masks.take([0]).with_column(MASK, [path]).write(tmp_path / "out")


class Masked(DatasetReader):
    """One picture, with a mask beside it."""

    root: Path
    declared: ClassVar[Sequence[Column]] = (Column("mask", "file"), SHARP)

    def classes(self) -> Sequence[str]:
        return ["a", "b"]

    def columns(self) -> Sequence[Column]:
        return self.declared

    def source(self) -> Path:
        return self.root

    def samples(self, ctx: object) -> Iterator[Sample]:
        for number in (0, 1):
            extra = {"mask": f"{number}-mask.png", "sharpness": 0.5}
            yield Sample(id=f"{number}", path=f"{number}.png", label=number, split="train", extra=extra)


class OfPaths(Masked):
    """Gives paths as Python has them."""

    def samples(self, ctx: object) -> Iterator[Sample]:
        for sample in super().samples(ctx):
            yield replace(sample, path=Path(sample.path), extra={"mask": Path(sample.extra["mask"])})  # type: ignore[arg-type]


class NoPaths(Masked):
    """Gives a number in the place of a path."""

    def samples(self, ctx: object) -> Iterator[Sample]:
        for sample in super().samples(ctx):
            yield replace(sample, extra={"mask": 3})


class Undeclared(Masked):
    """Gives what it does not declare."""

    declared = ()


class Clashing(Masked):
    """Declares what every data set has."""

    declared = (Column("label", "text"),)


class Twice(Masked):
    """Declares one column twice."""

    declared = (SHARP, SHARP)


@pytest.mark.parametrize(
    ("reader", "said"), [(Clashing, "declares label, which every data set has"), (Twice, "declares sharpness, twice")]
)
def test_a_declaration_that_clashes_is_refused(reader: type[Masked], said: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=said):
        run(reader(root=tmp_path), {}, tiny_context(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("verify", ["full", "none"])
def test_a_reader_may_give_them(verify: str, tmp_path: Path) -> None:
    source, ctx = tmp_path / "pictures", tiny_context(tmp_path)
    source.mkdir()
    for number in (0, 1):
        Image.new("RGB", (40, 40), (number * 200, 9, 9)).save(source / f"{number}.png")
        Image.new("L", (40, 40), number).save(source / f"{number}-mask.png")
    run(Masked(root=source, verify=verify), {}, ctx)  # type: ignore[arg-type]
    data = Dataset.open(ctx.folder)
    assert data.content(1, "mask") == (source / "1-mask.png").read_bytes()
    assert data[1].extra == {"mask": "1-mask.png", "sharpness": 0.5}
    assert data.header.columns[0].root in data.header.roots
    other = tiny_context(tmp_path, name="paths")
    run(OfPaths(root=source, verify=verify), {}, other)  # type: ignore[arg-type]
    assert Dataset.open(other.folder)[1].extra == {"mask": "1-mask.png", "sharpness": None}
    with pytest.raises(PluginError, match=r"sample 0: a value is of the wrong type: 3 is no path"):
        run(NoPaths(root=source, verify="none"), {}, tiny_context(tmp_path, name="none"))
    with pytest.raises(PluginError, match="column mask is not declared"):
        run(Undeclared(root=source, verify="none"), {}, tiny_context(tmp_path, name="again"))


def test_a_declaration_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="a column's type is one of text, number, integer, flag, file, not 'mask'"):
        Column("mask", "mask")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lower-case letters"):
        Column("My mask", "file")
