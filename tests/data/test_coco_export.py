"""Data sets as COCO files: exact, whole, and the same when they are read back."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fgic_data_readers import Coco, Cub200, StanfordDogs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fgic_core import Box, DataError, Dataset, ObjectBox, PluginError, Sample, Size, write_coco
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.errors import FgicError
from fgic_core.steps.context import StepContext

sahi_coco = pytest.importorskip("sahi.utils.coco", reason="COCO files are written with sahi: pip install 'fgic[coco]'")

CLASSES = ("owl", "crow", "b\u00fclb\u00fcl")
REAL = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def dataset(
    folder: Path, *samples: Sample, classes: tuple[str, ...] = CLASSES, pictures: Path | None = None, **header: Any
) -> Dataset:
    roots = {"here": pictures or folder / "pictures"}
    with DatasetWriter(folder / "dataset", Header(classes, roots, **header)) as writer:
        writer.write_samples(samples, "here")
    return Dataset.open(folder / "dataset")


def sample(name: str, *boxes: ObjectBox, split: str = "train", label: int = 0, **more: Any) -> Sample:
    more = {"size": Size(64, 48), "path": f"{name}.png", **more}
    return Sample(id=name, label=label, split=split, boxes=boxes, **more)


def box(*edges: float, label: int | None = 0, **more: Any) -> ObjectBox:
    return ObjectBox(Box(*(float(np.float32(edge)) for edge in edges)), label, **more)


def draw(data: Dataset) -> Dataset:
    """Makes the pictures; the data set as it was."""
    for index, one in enumerate(data):
        path = data.file(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (one.size.width, one.size.height) if one.size else (64, 48)).save(path, "PNG")
    return data


def document(folder: Path, split: str = "train") -> dict[str, Any]:
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_text())


def read_back(folder: Path, pictures: Path, **options: Any) -> tuple[Coco, list[Sample]]:
    files = {split: folder / "annotations" / f"instances_{split}.json" for split in ("train", "val", "test")}
    reader = Coco(images=pictures, **{split: file for split, file in files.items() if file.exists()}, **options)
    with tempfile.TemporaryDirectory() as place:
        return reader, list(reader.samples(StepContext(Path(place))))


def as_stored(samples: Any) -> list[Sample]:
    """In the order of the splits, edges as float32: what a data set's rows hold."""

    def stored(one: ObjectBox) -> ObjectBox:
        return replace(one, box=Box(*(float(np.float32(edge)) for edge in one.box.xyxy)))

    made = [replace(one, boxes=tuple(map(stored, one.boxes))) for one in samples]
    return sorted(made, key=lambda one: ("train", "val", "test").index(one.split))


def assert_identity(data: Dataset, folder: Path, pictures: Path) -> None:
    reader, found = read_back(folder, pictures)
    assert as_stored(found) == as_stored(data)
    assert tuple(reader.classes()) == data.classes
    assert tuple(reader.notes()) == data.header.notes


# Out and in.

names = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))


@st.composite
def boxes(draw_: Any, size: Size) -> tuple[ObjectBox, ...]:
    def side(limit: int) -> tuple[float, float]:
        pair = st.tuples(st.floats(0, limit, width=32), st.floats(0, limit, width=32))
        return tuple(sorted(draw_(pair.filter(lambda two: two[0] != two[1]))))

    def one() -> ObjectBox:
        (x1, x2), (y1, y2) = side(size.width), side(size.height)
        return box(x1, y1, x2, y2, label=draw_(st.none() | st.integers(0, 2)), crowd=draw_(st.booleans()))

    return tuple(one() for _ in range(draw_(st.integers(0, 4))))


@st.composite
def samples(draw_: Any) -> list[Sample]:
    made = []
    for number, name in enumerate(draw_(st.lists(names, min_size=2, max_size=5))):
        size = Size(draw_(st.integers(1, 5000)), draw_(st.integers(1, 5000)))
        around = draw_(boxes(size))
        made.append(
            sample(
                f"{number}{name}",
                *around,
                empty=not around and draw_(st.booleans()),
                label=draw_(st.integers(0, 2)),
                split=("train", "test")[number] if number < 2 else draw_(st.sampled_from(["train", "val", "test"])),
                path=f"{number}/{name}",
                size=size,
                origin=draw_(st.sampled_from(["real", "synthetic:generator/x"])),
                parents=tuple(draw_(st.lists(names, max_size=2))),
            )
        )
    return made


# What is tried first: small enough to be read where it fails.
PLAIN = [
    sample("a", box(1, 2, 3, 5, label=1), label=1),
    sample("b", box(1, 2, 3, 5, label=None), label=2),
    sample("c", split="test", origin="synthetic:generator/x", parents=("a",)),
]


@settings(max_examples=60)
@example(PLAIN, ["seen"])
@given(samples(), st.lists(st.text(), max_size=2, unique=True))
def test_out_and_in_is_the_identity(made: list[Sample], notes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = dataset(folder, *made, notes=tuple(notes))
        for one in made:  # the reader looks which folder the names start at
            path = folder / "pictures" / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        written = write_coco(data, folder / "coco")
        assert written.pictures == folder / "pictures"
        assert_identity(data, folder / "coco", written.pictures)


class TestRealData:
    def rows(self, reader: Any, folder: Path) -> Dataset:
        (folder / "artifact").mkdir()
        found = list(reader.samples(StepContext(folder / "artifact")))
        header = {"classes": tuple(reader.classes()), "notes": tuple(reader.notes())}
        return dataset(folder, *found, pictures=reader.source(), **header)

    def folder(self, name: str) -> Path:
        if not (REAL / name).is_dir():
            pytest.skip(f"the real data {name} are not here; FGIC_REAL_DATA names their folder")
        return REAL / name

    @pytest.mark.parametrize(("name", "reader"), [("stanford_dogs", StanfordDogs), ("CUB_200_2011", Cub200)])
    def test_a_benchmark_comes_back_as_it_was(self, name: str, reader: Any, tmp_path: Path) -> None:
        data = self.rows(reader(root=self.folder(name)), tmp_path)
        written = write_coco(data, tmp_path / "coco")
        assert sum(one.boxes for one in written.splits.values()) == sum(len(one.boxes) for one in data)
        again, found = read_back(tmp_path / "coco", written.pictures)
        assert (tuple(again.classes()), tuple(again.notes())) == (data.classes, data.header.notes)
        for before, after in zip(as_stored(data), as_stored(found), strict=True):
            # A size that is not known is read from the file; CUB's parts have no place in COCO.
            assert after == replace(before, size=before.size or after.size, parts=(), part_mask=None)

    def test_coco_comes_back_as_it_was(self, tmp_path: Path) -> None:
        root = self.folder("coco8")
        files = {"train": "instances_train.json", "test": "instances_val.json"}
        reader = Coco(images=root / "images", **{split: root / "annotations" / name for split, name in files.items()})
        data = self.rows(reader, tmp_path)
        written = write_coco(data, tmp_path / "coco", copy_pictures=True)
        assert_identity(data, tmp_path / "coco", written.pictures)


# What the files hold.


@pytest.fixture
def several(tmp_path: Path) -> Dataset:
    return draw(
        dataset(
            tmp_path,
            sample("a", box(1.25, 2, 20.5, 30), box(8, 8, 20.1, 21.7, label=2), box(0, 0, 64, 48, crowd=True)),
            sample("deep/b", label=1),
            sample("c", box(0.3, 0.7, 9.1, 9.9, label=None), label=2, size=None),
            sample("d", box(5, 5, 30, 40, label=1), split="test", label=1),
            notes=("seen by the weights",),
        )
    )


def test_ids_count_from_one_and_are_unique_in_each_file(several: Dataset, tmp_path: Path) -> None:
    written = write_coco(several, tmp_path / "coco")
    assert {split: (one.images, one.boxes) for split, one in written.splits.items()} == {
        "train": (3, 4),
        "test": (1, 1),
    }
    for split in ("train", "test"):
        found = document(tmp_path / "coco", split)
        for part in ("images", "annotations"):
            assert [entry["id"] for entry in found[part]] == list(range(1, len(found[part]) + 1))
    assert not (tmp_path / "coco" / "annotations" / "instances_val.json").exists()


def test_every_file_lists_every_class_in_order(several: Dataset, tmp_path: Path) -> None:
    write_coco(several, tmp_path / "coco")
    for split in ("train", "test"):
        categories = document(tmp_path / "coco", split)["categories"]
        assert [(one["id"], one["name"]) for one in categories] == list(enumerate(CLASSES, 1))


def test_boxes_and_areas_are_exact_and_crowds_stay_crowds(several: Dataset, tmp_path: Path) -> None:
    write_coco(several, tmp_path / "coco")
    found = document(tmp_path / "coco")["annotations"]
    assert [one["iscrowd"] for one in found] == [0, 0, 1, 0]
    assert [one["category_id"] for one in found] == [1, 3, 1, 3]
    for one, (image, box_) in zip(found, [(s, b) for s in several for b in s.boxes], strict=False):
        x, y, w, h = one["bbox"]
        assert one["area"] == w * h == pytest.approx(box_.box.area, rel=1e-12)
        assert [np.float32(v) for v in (x, y, x + w, y + h)] == [np.float32(v) for v in box_.box.xyxy], image.id
    assert found[0]["area"] == 19.25 * 28


def test_an_image_carries_its_id_its_label_and_its_size(several: Dataset, tmp_path: Path) -> None:
    write_coco(several, tmp_path / "coco")
    images = document(tmp_path / "coco")["images"]
    assert [(one["file_name"], one["sample_id"], one["category_id"]) for one in images] == [
        ("a.png", "a", 1),
        ("deep/b.png", "deep/b", 2),
        ("c.png", "c", 3),
    ]
    assert all((one["width"], one["height"]) == (64, 48) for one in images)
    _, found = read_back(tmp_path / "coco", tmp_path / "pictures")
    assert (found[1].label, found[1].boxes) == (1, ())
    assert found[2].boxes[0].label is None


def test_what_coco_has_no_place_for_is_counted(tmp_path: Path) -> None:
    data = dataset(
        tmp_path,
        sample("a", box(0, 0, 4, 4), box(0, 0, 9, 9, origin="predicted:detector/x", score=0.5)),
        sample("b", region=Box(0, 0, 4, 4)),
    )
    written = write_coco(data, tmp_path / "coco")
    assert len(document(tmp_path / "coco")["annotations"]) == 1
    assert written.left_out == (
        "predicted boxes (1)",
        "regions, as an entry is the whole picture (1)",
        "which pictures are not annotated, but for fgic's own reader (1)",
    )


# Other readers.


def quietly(work: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return work()


def test_pictures_without_an_object_and_pictures_that_nobody_annotated_stay_apart(tmp_path: Path) -> None:
    """To COCO an image without annotations is empty; what is not annotated bears a mark, and is said."""
    crowd = box(0, 0, 9, 9, crowd=True)
    given = [sample("boxed", box(0, 0, 4, 4)), sample("empty", empty=True), sample("unknown"), sample("crowd", crowd)]
    data = draw(dataset(tmp_path, *given, sample("test", box(0, 0, 4, 4), split="test")))
    written = write_coco(data, tmp_path / "coco")
    marks = {image["sample_id"]: image.get("not_annotated") for image in document(tmp_path / "coco")["images"]}
    assert marks == {"boxed": None, "empty": None, "unknown": True, "crowd": None}
    assert written.left_out == ("which pictures are not annotated, but for fgic's own reader (1)",)
    _, found = read_back(tmp_path / "coco", written.pictures)
    assert {one.id: (one.empty, one.is_annotated) for one in found[:4]} == {
        "boxed": (False, True),
        "empty": (True, True),
        "unknown": (False, False),
        "crowd": (False, True),
    }


def test_a_perfect_detector_scores_one(several: Dataset, tmp_path: Path) -> None:
    written = write_coco(several, tmp_path / "coco")
    truth = quietly(lambda: COCO(str(written.splits["train"].file)))
    perfect = [
        {**{key: one[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.9}
        for one in truth.dataset["annotations"]
        if not one["iscrowd"]
    ]
    score = quietly(lambda: COCOeval(truth, truth.loadRes(perfect), "bbox"))
    quietly(lambda: (score.evaluate(), score.accumulate(), score.summarize()))
    assert score.stats[0] == pytest.approx(1.0)
    assert score.stats[1] == pytest.approx(1.0)


def test_sahis_own_reader_sees_the_same_boxes(several: Dataset, tmp_path: Path) -> None:
    written = write_coco(several, tmp_path / "coco")
    path = str(written.splits["train"].file)
    found = quietly(lambda: sahi_coco.Coco.from_coco_dict_or_path(path))
    assert [category.name for category in found.categories] == list(CLASSES)
    train = list(several.split("train"))
    assert [image.file_name for image in found.images] == [one.path for one in train]
    for image, one in zip(found.images, train, strict=True):
        for annotation, mine in zip(image.annotations, one.boxes, strict=True):
            assert annotation.bbox == pytest.approx(list(mine.box.xywh), rel=1e-12)
            assert annotation.category_id == (one.label if mine.label is None else mine.label) + 1


# Whole, or not at all.


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("exists", [False, True])
def test_a_write_that_is_interrupted_leaves_nothing(
    several: Dataset, tmp_path: Path, error: type[BaseException], exists: bool
) -> None:
    out = tmp_path / "coco"
    if exists:
        out.mkdir()

    def stop(done: int, total: int) -> None:
        assert total == 4
        if done == 4:
            raise error

    with pytest.raises(error):
        write_coco(several, out, copy_pictures=True, progress=stop)
    assert list(out.iterdir()) == [] if exists else not out.exists()


def test_a_missing_picture_leaves_nothing(several: Dataset, tmp_path: Path) -> None:
    several.file(3).unlink()
    with pytest.raises(DataError, match=r"d.png: the picture is missing"):
        write_coco(several, tmp_path / "coco", copy_pictures=True)
    assert not (tmp_path / "coco").exists()
    several.file(2).unlink()
    with pytest.raises(DataError, match=r"c.png: the picture is missing"):
        write_coco(several, tmp_path / "coco")


def test_a_folder_with_something_in_it_is_left_alone(several: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "coco"
    (out / "annotations").mkdir(parents=True)
    with pytest.raises(FgicError, match="coco: the folder is not empty"):
        write_coco(several, out)
    assert [path.name for path in out.rglob("*")] == ["annotations"]
    (tmp_path / "file").touch()
    with pytest.raises(FgicError, match="file: this cannot be written to: Not a directory"):
        write_coco(several, tmp_path / "file")
    (tmp_path / "killed" / ".unfinished").mkdir(parents=True)
    with pytest.raises(FgicError, match=r"or one was killed: then remove .*unfinished"):
        write_coco(several, tmp_path / "killed")


def test_a_place_that_cannot_be_made_is_one_message(several: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FgicError, match="Not a directory"):
        write_coco(several, tmp_path / "file" / "coco")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device of this system plays a full disk")
def test_a_full_disk_is_one_message_and_leaves_nothing(
    several: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def full(path: Path, text: str, **more: Any) -> int:
        return write(Path("/dev/full") if path.name == "instances_test.json" else path, text, **more)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FgicError, match=r"coco: the COCO files cannot be written: No space left"):
        write_coco(several, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()


# Pictures.


def of_two_folders(tmp_path: Path) -> Dataset:
    roots = {"here": tmp_path / "real", "there": tmp_path / "made"}
    with DatasetWriter(tmp_path / "dataset", Header(CLASSES, roots)) as writer:
        writer.write_samples([sample("a", box(0, 0, 4, 4)), sample("t", split="test")], "here")
        writer.write_samples([sample("x", path="a.png", origin="synthetic:generator/x", parents=("a",))], "there")
    return draw(Dataset.open(tmp_path / "dataset"))


def test_pictures_of_several_folders_are_an_error_unless_they_are_copied(tmp_path: Path) -> None:
    data = of_two_folders(tmp_path)
    with pytest.raises(DataError, match=r"below 2 folders.*real.*made.*\n.*--copy-pictures"):
        write_coco(data, tmp_path / "coco")
    written = write_coco(data, tmp_path / "coco", copy_pictures=True)
    assert written.pictures == tmp_path / "coco" / "images"
    names = sorted(path.relative_to(written.pictures).as_posix() for path in written.pictures.rglob("*.png"))
    assert names == ["1/a.png", "1/t.png", "2/a.png"]
    _, found = read_back(tmp_path / "coco", written.pictures)
    assert [(one.id, one.path, one.origin, one.parents) for one in found] == [
        ("a", "1/a.png", "real", ()),
        ("x", "2/a.png", "synthetic:generator/x", ("a",)),
        ("t", "1/t.png", "real", ()),
    ]


def test_copies_are_the_same_bytes(several: Dataset, tmp_path: Path) -> None:
    written = write_coco(several, tmp_path / "coco", copy_pictures=True)
    for index, one in enumerate(several):
        assert (written.pictures / one.path).read_bytes() == several.file(index).read_bytes()


@pytest.mark.parametrize("path", ["../../up.png", "/etc/x.png", "a/../../b.png"])
@pytest.mark.parametrize("copy", [False, True])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str, copy: bool) -> None:
    data = dataset(tmp_path, sample("a", path=path))
    with pytest.raises(DataError, match="sample a has a path outside"):
        write_coco(data, tmp_path / "coco", copy_pictures=copy)
    assert not (tmp_path / "coco").exists()


# Mistakes.


def test_a_picture_of_two_samples_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, sample("a"), sample("b", path="a.png", split="test"))
    with pytest.raises(DataError, match=r"samples a and b show the same picture a.png"):
        write_coco(data, tmp_path / "coco")


@pytest.mark.parametrize("edges", [(4, 4, 4, 9), (4, 4, 2, 9), (0, 0, float("nan"), 4), (0, 0, float("inf"), 4)])
def test_an_empty_box_is_refused(tmp_path: Path, edges: tuple[float, ...]) -> None:
    data = dataset(tmp_path, sample("a", box(0, 0, 4, 4)), sample("b", box(*edges)))
    with pytest.raises(DataError, match="sample b: a box is empty or not finite"):
        write_coco(data, tmp_path / "coco")


def test_no_samples_are_refused(several: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data set has no samples"):
        write_coco(several.take([]), tmp_path / "coco")


def test_without_sahi_the_message_says_how_to_install_it(
    several: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sahi":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "sahi"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(PluginError, match=r"sahi, which is not installed\n.*pip install 'fgic\[coco\]'"):
        write_coco(several, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()
