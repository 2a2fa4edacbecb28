"""Whatever a reader opens is a regular file, and not one that stands for more than memory holds."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fgic_data_readers import Coco, Cub200, ImageFolder, ParquetTable, StanfordDogs
from scipy.io import savemat

from fgic_core import DataError
from fgic_core.kinds.dataset.driver import run

TEXTS = {
    "images.txt": "1 a/a.jpg\n2 a/b.jpg\n",
    "classes.txt": "1 a\n",
    "image_class_labels.txt": "1 1\n2 1\n",
    "train_test_split.txt": "1 1\n2 0\n",
    "bounding_boxes.txt": "1 0 0 4 4\n2 0 0 4 4\n",
}
XML = "<a><object><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></a>"


def a_coco_file(path: Path, name: str) -> Path:
    images = [{"id": 1, "file_name": name, "width": 8, "height": 6, "category_id": 1}]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}]}))
    return path


def a_list(path: Path, name: str, **more: object) -> None:
    path.parent.mkdir(exist_ok=True)
    cells = {key: np.array([[text]], object) for key, text in (("file_list", f"{name}.jpg"), ("annotation_list", name))}
    savemat(path, {**cells, "labels": np.array([[1.0]]), **more}, do_compression=True)


@pytest.fixture
def folder(tmp_path: Path, picture) -> Path:
    """Two pictures, for each reader's files around them."""
    root = tmp_path / "data"
    for name in (
        "train/a/a.jpg",
        "test/a/b.jpg",
        "images/a/a.jpg",
        "images/a/b.jpg",
        "Images/a/a.jpg",
        "Images/a/b.jpg",
    ):
        picture(root / name)
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    for name in "ab":
        (root / "Annotation" / "a").mkdir(parents=True, exist_ok=True)
        (root / "Annotation" / "a" / name).write_text(XML)
    a_list(root / "lists" / "train_list.mat", "a/a")
    a_list(root / "lists" / "test_list.mat", "a/b")
    columns = {"id": ["a", "b"], "path": ["a/a.jpg", "a/b.jpg"], "label": ["a", "a"], "split": ["train", "test"]}
    pq.write_table(pa.table(columns), root / "table.parquet")
    a_coco_file(root / "train.json", "a/a.jpg")
    a_coco_file(root / "test.json", "a/b.jpg")
    return root


def coco(root: Path) -> Coco:
    return Coco(images=root / "images", train=root / "train.json", test=root / "test.json")


def cub(root: Path) -> Cub200:
    return Cub200(root=root)


def dogs(root: Path) -> StanfordDogs:
    return StanfordDogs(root=root)


def parquet(root: Path) -> ParquetTable:
    return ParquetTable(table=root / "table.parquet", root=root / "images")


def pictures(root: Path) -> ImageFolder:
    return ImageFolder(root=root)


CASES = [
    (pictures, "train/a/a.jpg"),
    (pictures, "test/a/c.png"),
    (coco, "images/a/a.jpg"),
    (coco, "train.json"),
    (cub, "images/a/a.jpg"),
    *((cub, name) for name in TEXTS if name != "images.txt"),
    (dogs, "Images/a/b.jpg"),
    (dogs, "Annotation/a/b"),
    (dogs, "lists/train_list.mat"),
    (parquet, "images/a/a.jpg"),
    (parquet, "table.parquet"),
]


@pytest.mark.parametrize(("make", "name"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_named_pipe_is_not_waited_for(folder, ctx, pipe, make, name) -> None:
    reader = make(folder)  # of what lies there now: an option that names a pipe is refused with the options
    pipe(folder / name)
    with pytest.raises(DataError) as caught:
        run(reader, {}, ctx)
    assert "it is a named pipe and not a file" in str(caught.value)
    assert Path(name).name in str(caught.value)


@pytest.mark.parametrize("name", ["images.txt", "parts/part_locs.txt"])
def test_a_pipe_does_not_pass_for_a_file_that_is_not_there(folder, ctx, pipe, name) -> None:
    pipe(folder / name)
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "parts.txt").write_text("1 beak\n")
    with pytest.raises(DataError, match="it is a named pipe and not a file"):
        run(cub(folder), {}, ctx)


LARGE = [(coco, "train.json"), (cub, "classes.txt"), (dogs, "Annotation/a/a"), (pictures, "train/a/a.jpg")]


@pytest.mark.parametrize(("make", "name"), LARGE)
def test_a_file_larger_than_memory_is_not_read(folder, ctx, make, name) -> None:
    reader = make(folder)
    with (folder / name).open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(DataError, match="it has 8 TiB, and such a file has"):
        run(reader, {}, ctx)


def test_a_list_of_more_entries_than_any_list_has_is_not_loaded(folder, ctx) -> None:
    a_list(folder / "lists" / "train_list.mat", "a/a", labels=np.ones((3_000_000, 1), np.uint8))
    assert (folder / "lists" / "train_list.mat").stat().st_size < 100_000
    with pytest.raises(DataError) as caught:
        run(dogs(folder), {}, ctx)
    assert "train_list.mat: this is no list of pictures: labels has 3,000,000 entries" in str(caught.value)
    assert "a list has 200,000 at most" in str(caught.value)


def test_a_list_that_expands_is_not_expanded(folder, ctx) -> None:
    inside = np.empty((1, 1), object)
    inside[0, 0] = np.ones(40 << 20, np.uint8)
    a_list(folder / "lists" / "train_list.mat", "a/a", file_list=inside)
    assert (folder / "lists" / "train_list.mat").stat().st_size < 100_000
    with pytest.raises(DataError, match=r"train_list\.mat: .*decompressed it has more than 32 MiB"):
        run(dogs(folder), {}, ctx)


def test_cells_in_cells_do_not_end_the_process(folder, ctx) -> None:
    """Read by scipy, this file ends the process with a segmentation fault."""
    parts, size = [], 0
    for depth in range(100_000):
        name = b"labels\0\0" if depth == 99_999 else b""
        flags = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1)
        body = flags + struct.pack("<II", 1, len(name.rstrip(b"\0"))) + name
        parts.append(struct.pack("<II", 14, len(body) + size) + body)
        size += 8 + len(body)
    content = b"MATLAB 5.0".ljust(124) + b"\0\1IM" + b"".join(reversed(parts))
    (folder / "lists" / "train_list.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"train_list\.mat: .*cells lie in cells, more than 8 deep"):
        run(dogs(folder), {}, ctx)


def test_other_variables_of_a_list_do_not_matter(folder, read) -> None:
    a_list(folder / "lists" / "train_list.mat", "a/a", more=np.ones((300_000, 1), np.uint8))
    assert [sample.id for sample in read(dogs(folder))] == ["a/a", "a/b"]


def test_a_number_of_thousands_of_digits_is_an_error_and_no_traceback(folder, ctx) -> None:
    reader = coco(folder)
    text = (folder / "train.json").read_text().replace('"width": 8', f'"width": {"9" * 5000}')
    (folder / "train.json").write_text(text)
    with pytest.raises(DataError, match=r"train\.json: this file cannot be read as JSON"):
        run(reader, {}, ctx)
    box = '{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, ' + "9" * 500 + "]}"
    a_coco_file(folder / "train.json", "a/a.jpg")
    text = (folder / "train.json").read_text().replace('"annotations": []', f'"annotations": [{box}]')
    (folder / "train.json").write_text(text)
    with pytest.raises(DataError, match=r"annotations\[0\]: bbox should be four numbers"):
        run(reader, {}, ctx)
