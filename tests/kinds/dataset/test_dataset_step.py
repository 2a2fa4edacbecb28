from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo
from pydantic import PrivateAttr

from fgic_core import Box, Context, DataError, Dataset, DatasetReader, ObjectBox, Part, PluginError, Sample, Size
from fgic_core.data.dataset import SCHEMA, to_batch
from fgic_core.kinds.dataset import driver
from fgic_core.kinds.generator.files import write_png
from fgic_core.steps.context import StepContext

REAL = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data"))


class Listed(DatasetReader):
    """The samples it was given."""

    _samples: list[Sample] = PrivateAttr(default_factory=list)
    _root: Path | None = PrivateAttr(None)
    _names: Sequence[str] = PrivateAttr(("a", "b"))

    def classes(self) -> Sequence[str]:
        return self._names

    def source(self) -> Path | None:
        return self._root

    def notes(self) -> Sequence[str]:
        return ("seen before",)

    def samples(self, ctx: Context) -> Iterator[Sample]:
        yield from self._samples


class Tabled(Listed):
    """The batches it was given."""

    _batches: list[pa.RecordBatch] = PrivateAttr(default_factory=list)

    def batches(self, ctx: Context) -> Iterator[pa.RecordBatch]:
        return iter(self._batches)


class Painter(Listed):
    """Makes its pictures."""

    def samples(self, ctx: Context) -> Iterator[Sample]:
        (ctx.folder / "images").mkdir()
        for n in range(4):
            texture(n).save(ctx.folder / "images" / f"{n}.png")
            yield Sample(id=str(n), path=f"images/{n}.png", label=n % 2, split="train" if n < 2 else "test")


def texture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def sample(number: int, **about: object) -> Sample:
    values = {
        "id": f"s{number}",
        "path": f"{number}.png",
        "label": number % 2,
        "split": "test" if number >= 2 else "train",
    }
    return Sample(**{**values, **about})  # type: ignore[arg-type]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with four different pictures, 0.png to 3.png, 40 x 30 pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(4):
        texture(n).save(folder / f"{n}.png")
    return folder


def read(
    root: Path | None, samples: Sequence[Sample], out: Path, names: Sequence[str] = ("a", "b"), **options: object
) -> tuple[Dataset, StepContext]:
    component = Listed(**options)  # type: ignore[arg-type]
    component._samples, component._root, component._names = list(samples), root, names
    ctx = StepContext(out)
    out.mkdir()
    driver.run(component, {}, ctx)
    return Dataset.open(out), ctx


def measured(ctx: StepContext, name: str) -> dict[str, float | None]:
    """By split, or by what it was measured at."""
    return {
        metric.split or str(metric.at.get("kind", "")): metric.value for metric in ctx.metrics if metric.name == name
    }


FOUR = [sample(n) for n in range(4)]


def test_rows_get_size_digest_and_hash_and_the_numbers_are_recorded(pictures: Path, tmp_path: Path) -> None:
    dataset, ctx = read(pictures, FOUR, tmp_path / "out")
    assert dataset.ids == ["s0", "s1", "s2", "s3"]
    assert {s.size for s in dataset} == {Size(40, 30)}
    digests = dataset.table.column("digest").to_pylist()
    assert len(set(digests)) == 4
    assert all(len(digest) == 32 for digest in digests)
    assert dataset.table.column("phash").null_count == 0
    assert dataset.file(0) == pictures / "0.png"
    assert dataset.header.notes == ("seen before",)
    assert measured(ctx, "samples") == {"train": 2, "test": 2}
    assert measured(ctx, "classes") == {"": 2}
    assert measured(ctx, "skipped") == {"": 0}
    assert set(measured(ctx, "duplicates").values()) == {0}
    assert ctx.warnings == []
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "dataset.json",
        "duplicates.parquet",
        "samples.parquet",
    ]


def test_the_result_does_not_depend_on_where_the_pictures_lie(pictures: Path, tmp_path: Path) -> None:
    one, _ = read(pictures, FOUR, tmp_path / "one")
    shutil.copytree(pictures, tmp_path / "elsewhere")
    two, _ = read(tmp_path / "elsewhere", FOUR, tmp_path / "two")
    assert one.table.equals(two.table)
    assert one.header.roots.keys() == two.header.roots.keys()


def test_pictures_that_the_reader_makes_belong_to_the_artifact(tmp_path: Path) -> None:
    roots = []
    for seed in (0, 1):
        ctx = StepContext(tmp_path / f"out{seed}", seed=seed)
        ctx.folder.mkdir()
        driver.run(Painter(), {}, ctx)
        ctx.folder.rename(tmp_path / f"moved{seed}")
        dataset = Dataset.open(tmp_path / f"moved{seed}")
        assert dataset.crop(3).tobytes() == texture(3).tobytes()
        roots += list(dataset.header.roots)
    assert len(set(roots)) == 2


def test_verify_header_reads_sizes_alone(pictures: Path, tmp_path: Path) -> None:
    dataset, ctx = read(pictures, FOUR, tmp_path / "out", verify="header")
    assert {s.size for s in dataset} == {Size(40, 30)}
    assert dataset.table.column("digest").null_count == 4
    assert set(measured(ctx, "duplicates").values()) == {None}
    assert pq.read_table(tmp_path / "out" / "duplicates.parquet").num_rows == 0


def test_verify_none_opens_no_picture(tmp_path: Path) -> None:
    dataset, _ = read(tmp_path, FOUR, tmp_path / "out", verify="none")
    assert len(dataset) == 4
    assert {s.size for s in dataset} == {None}


def test_unreadable_pictures_are_all_listed_with_their_reasons(pictures: Path, tmp_path: Path) -> None:
    (pictures / "1.png").unlink()
    (pictures / "2.png").write_text("not a picture")
    (pictures / "3.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read(pictures, FOUR, tmp_path / "out")
    text = str(caught.value)
    assert "3 pictures cannot be read" in text
    assert "1.png: the picture is missing" in text
    assert "2.png: this file is not a picture" in text
    assert "3.png: the file is empty" in text
    assert "unreadable: skip" in text


@pytest.mark.parametrize("verify", ["full", "header"])
def test_pictures_and_masks_that_are_pipes_are_not_waited_for(
    pictures: Path, tmp_path: Path, verify: str, pipe: Callable[[Path], Path]
) -> None:
    pipe(pictures / "1.png")
    pipe(pictures / "mask.png")
    rows = [sample(0, part_mask="mask.png"), *FOUR[1:]]
    with pytest.raises(DataError) as caught:
        read(pictures, rows, tmp_path / "out", verify=verify)
    assert "1.png: the picture cannot be read: it is a named pipe and not a file" in str(caught.value)
    assert "0.png: its part mask: the picture cannot be read: it is a named pipe" in str(caught.value)
    dataset, _ = read(pictures, rows, tmp_path / "skipped", verify=verify, unreadable="skip")
    assert dataset.ids == ["s2", "s3"]


def test_of_many_unreadable_pictures_twenty_are_shown_and_the_rest_counted(pictures: Path, tmp_path: Path) -> None:
    rows = [*FOUR, *(sample(n) for n in range(10, 45))]
    with pytest.raises(DataError) as caught:
        read(pictures, rows, tmp_path / "out")
    assert str(caught.value).count("the picture is missing") == 20
    assert "35 pictures" in str(caught.value)
    assert "and 15 more" in str(caught.value)


def test_unreadable_pictures_are_skipped_and_counted_on_request(pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "1.png").read_bytes()
    (pictures / "1.png").write_bytes(whole[: len(whole) // 2])
    rows = [*FOUR, sample(5, label=1, split="train", path="0.png")]
    dataset, ctx = read(pictures, rows, tmp_path / "out", unreadable="skip")
    assert dataset.ids == ["s0", "s2", "s3", "s5"]
    ((path, reason),) = dataset.header.skipped
    assert path == "1.png"
    assert "decoded" in reason
    assert measured(ctx, "skipped") == {"": 1}
    assert measured(ctx, "samples") == {"train": 2, "test": 2}
    assert any("1 picture could not be read" in warning and "1.png" in warning for warning in ctx.warnings)


@pytest.mark.parametrize("verify", ["full", "header"])
def test_made_pictures_say_so_wherever_their_files_are_copied(pictures: Path, tmp_path: Path, verify: str) -> None:
    about = {"uses": "generator/x", "seed": 1, "label": 0, "parents": ["s0"]}
    write_png(pictures / "1.png", np.asarray(texture(1)), about)
    dataset, ctx = read(pictures, FOUR, tmp_path / "out", verify=verify)
    assert [s.origin for s in dataset] == ["real", "synthetic:generator/x", "real", "real"]
    assert dataset[1].parents == ("s0",)
    assert any("1 train pictures say in their files that generator/x made them" in said for said in ctx.warnings)
    write_png(pictures / "2.png", np.asarray(texture(2)), about)
    with pytest.raises(DataError, match=r"(?s)1 picture outside of train say.*2\.png \(test, of generator/x\)"):
        read(pictures, FOUR, tmp_path / "more", verify=verify)


def test_an_origin_that_cannot_be_read_is_one_all_the_same(pictures: Path, tmp_path: Path) -> None:
    for number, text in enumerate(("no json", "[]", '{"uses": 1}')):
        info = PngInfo()
        info.add_text("fgic-origin", text)
        texture(number).save(pictures / f"{number}.png", pnginfo=info)
    with pytest.raises(DataError, match=r"(?s)1 picture outside of train say.*2\.png \(test, of unknown\)"):
        read(pictures, FOUR, tmp_path / "out")
    texture(2).save(pictures / "2.png")
    dataset, _ = read(pictures, FOUR, tmp_path / "more")
    assert [s.origin for s in dataset] == ["synthetic:unknown", "synthetic:unknown", "real", "real"]


@pytest.mark.parametrize("verify", ["full", "header"])
def test_an_origin_may_be_long(pictures: Path, tmp_path: Path, verify: str) -> None:
    parents = [f"a-train-sample-with-a-name-{number}" for number in range(5000)]
    write_png(pictures / "1.png", np.asarray(texture(1)), {"uses": "generator/x", "parents": parents})
    dataset, _ = read(pictures, FOUR, tmp_path / "out", verify=verify)
    assert dataset[1].origin == "synthetic:generator/x"
    assert len(dataset[1].parents) == 5000


def test_a_data_set_of_nothing_but_broken_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture"):
        read(tmp_path, FOUR, tmp_path / "out", unreadable="skip")


BOX = Box(1, 1, 5, 5)
WRONG: dict[str, tuple[Sample, str]] = {
    "the same id twice": (sample(9, id="s0"), "'s0' is given to 2 samples"),
    "an empty id": (sample(9, id=""), "9.png: the id is empty"),
    "a label too high": (sample(9, label=2), r"s9: the label is not in 0..1: 2"),
    "a label below 0": (sample(9, label=-1), "the label"),
    "an unknown split": (sample(9, split="dev"), "split is not legal: 'dev'"),
    "a path upwards": (sample(9, path="../9.png"), r"leaves the data set's folder: '../9.png'"),
    "an absolute path": (sample(9, path="/etc/9.png"), "leaves"),
    "a path that is junk": (sample(9, path="b/.git/9.png"), "s9: the path names what systems .*: 'b/.git/9.png'"),
    "a mask that is junk": (sample(9, part_mask="._9.png"), "s9: the part_mask names what systems"),
    "a mask upwards": (sample(9, part_mask="a/../../b.png"), "part_mask leaves"),
    "an empty box": (sample(9, boxes=(ObjectBox(Box(1, 1, 1, 5)),)), "sample s9: a box is empty"),
    "an inverted box": (sample(9, boxes=(ObjectBox(Box(5, 1, 1, 5)),)), "empty or inverted"),
    "a NaN box": (sample(9, boxes=(ObjectBox(Box(1, float("nan"), 5, 5)),)), "sample s9: a box is not finite"),
    "an infinite box": (sample(9, boxes=(ObjectBox(Box(1, 1, float("inf"), 5)),)), "not finite"),
    "a box outside": (sample(9, size=Size(9, 9), boxes=(ObjectBox(Box(9, 0, 12, 5)),)), "lies outside of the picture"),
    "a box left of it": (sample(9, boxes=(ObjectBox(Box(-9, 0, -2, 5)),)), "lies outside of the picture"),
    "a box's label": (sample(9, boxes=(ObjectBox(BOX, label=2),)), "a box's label"),
    "a box's score": (sample(9, boxes=(ObjectBox(BOX, score=1.5),)), "a box's score"),
    "a NaN score": (sample(9, boxes=(ObjectBox(BOX, score=float("nan")),)), "a box's score"),
    "a mask around nothing": (sample(9, masked=True), "masked and has no region"),
    "an empty region": (sample(9, region=Box(3, 3, 3, 3)), "the region"),
    "a NaN part": (sample(9, parts=(Part("beak", float("nan"), 1),)), "part's location"),
    "an empty picture with an object": (sample(9, empty=True, boxes=(ObjectBox(BOX),)), "s9: it is said to be empty"),
    "an empty picture with a crowd": (sample(9, empty=True, boxes=(ObjectBox(BOX, crowd=True),)), "said to be empty"),
    "no width": (sample(9, size=Size(0, 5)), "width is not positive"),
}


@pytest.mark.parametrize(("wrong", "words"), WRONG.values(), ids=WRONG)
def test_a_contradiction_is_an_error_that_names_the_sample(tmp_path: Path, wrong: Sample, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, [*FOUR, wrong], tmp_path / "out", verify="none")


def test_all_contradictions_are_told_at_once_before_a_picture_is_opened(tmp_path: Path) -> None:
    rows = [sample(n, label=7, boxes=(ObjectBox(Box(5, 1, 1, 5)),)) for n in range(30)]
    with pytest.raises(DataError) as caught:
        read(tmp_path, rows, tmp_path / "out")
    assert "and 40 more" in str(caught.value)
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [((), "no classes"), (("a", ""), "no class name"), (("a", "b", "a"), "both label 0 and label 2")],
)
def test_class_names_are_unique_and_not_empty(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, FOUR, tmp_path / "out", names, verify="none")


def test_a_data_set_without_samples_or_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples"):
        read(tmp_path, [], tmp_path / "one")
    with pytest.raises(DataError, match="folder of this data set is missing"):
        read(tmp_path / "nowhere", FOUR, tmp_path / "two")


def test_boxes_over_the_edge_are_clipped_and_counted(pictures: Path, tmp_path: Path) -> None:
    boxes = (ObjectBox(Box(-3, 5, 20, 99), label=1), ObjectBox(Box(0, 0, 40.001, 30)), ObjectBox(BOX, score=0.5))
    dataset, ctx = read(pictures, [FOUR[0], sample(1, boxes=boxes), *FOUR[2:]], tmp_path / "out")
    assert [b.box for b in dataset[1].boxes] == [Box(0, 5, 20, 30), Box(0, 0, 40, 30), BOX]
    assert [b.label for b in dataset[1].boxes] == [1, None, None]
    assert dataset[0].boxes == ()
    assert ctx.warnings == ["1 box reached over the edge of its picture and was clipped to it."]


def test_a_box_outside_of_the_file_is_an_error_when_the_annotation_gave_no_size(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample s1: a box lies outside"):
        read(pictures, [FOUR[0], sample(1, boxes=(ObjectBox(Box(40, 0, 50, 9)),)), *FOUR[2:]], tmp_path / "out")


def test_a_size_that_the_file_contradicts_is_reported_and_the_file_wins(pictures: Path, tmp_path: Path) -> None:
    dataset, ctx = read(pictures, [sample(0, size=Size(30, 40)), *FOUR[1:]], tmp_path / "out")
    assert dataset[0].size == Size(40, 30)
    assert "0.png (40x30, not 30x40)" in ctx.warnings[0]


def test_the_size_of_a_turned_picture_is_that_of_the_upright_one(pictures: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    texture(1).save(pictures / "1.png", exif=exif)
    for verify in ("full", "header"):
        dataset, _ = read(pictures, FOUR, tmp_path / verify, verify=verify)
        assert dataset[1].size == Size(30, 40)


def test_a_part_mask_of_another_size_or_none_makes_a_picture_unreadable(pictures: Path, tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(pictures / "good.png")
    Image.new("L", (30, 40)).save(pictures / "bad.png")
    rows = [sample(n, part_mask=f"{name}.png") for n, name in enumerate(("good", "bad", "gone"))]
    with pytest.raises(DataError) as caught:
        read(pictures, rows, tmp_path / "out")
    assert "2 pictures" in str(caught.value)
    assert "1.png: its part mask is 30x40 pixels large, the picture 40x30" in str(caught.value)
    assert "2.png: its part mask: the picture is missing" in str(caught.value)


def test_classes_without_train_samples_are_warned_of(pictures: Path, tmp_path: Path) -> None:
    _, ctx = read(pictures, FOUR, tmp_path / "out", ("a", "b", "c"))
    assert ctx.warnings == [
        "1 of 3 classes have no train sample: c.",
        "1 of 3 classes have no test sample: c.",
    ]


def test_duplicates_across_parts_are_found_listed_and_warned_of(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "0.png", pictures / "2.png")  # the same file, in train and test
    large = texture(9, (160, 120)).filter(ImageFilter.GaussianBlur(2))
    large.save(pictures / "1.png")
    large.resize((80, 60)).save(pictures / "3.jpg", quality=60)  # the same picture, saved again
    shutil.copy(pictures / "0.png", pictures / "4.png")  # the same file, within train
    rows = [*FOUR[:3], sample(3, path="3.jpg"), sample(4, split="train")]
    _, ctx = read(pictures, rows, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "duplicates.parquet").to_pylist()
    assert [(r["a"], r["b"], r["a_split"], r["b_split"], r["kind"]) for r in table] == [
        ("s0", "s2", "train", "test", "exact"),
        ("s0", "s4", "train", "train", "exact"),
        ("s1", "s3", "train", "test", "perceptual"),
    ]
    assert 0 <= table[2]["distance"] <= 4
    assert measured(ctx, "duplicates") == {"exact": 2, "perceptual": 1}
    assert measured(ctx, "leaks") == {"exact": 1, "perceptual": 1}
    assert "1 pair of pictures in different splits is the same file, such as s0 (train) and s2 (test)." in ctx.warnings
    assert "1 pair of pictures in different splits looks the same, such as s1 (train) and s3 (test)." in ctx.warnings


def test_duplicates_of_different_label_are_warned_of(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "0.png", pictures / "3.png")
    _, ctx = read(pictures, FOUR, tmp_path / "out")
    assert any("1 pair of duplicates carries different labels" in warning for warning in ctx.warnings)


def tabled(batches: list[pa.RecordBatch], root: Path, out: Path, **options: object) -> Dataset:
    component = Tabled(**options)  # type: ignore[arg-type]
    component._batches, component._root = batches, root
    out.mkdir()
    driver.run(component, {}, StepContext(out))
    return Dataset.open(out)


def test_batches_give_what_samples_give(pictures: Path, tmp_path: Path) -> None:
    rows = [sample(n, boxes=(ObjectBox(Box(-1, 0, 5, 5)),) * n, region=BOX if n else None) for n in range(4)]
    batch = to_batch(rows, "another name")
    one = tabled([batch.slice(0, 1), batch.slice(1)], pictures, tmp_path / "one")
    two, _ = read(pictures, rows, tmp_path / "two")
    assert one.table.drop_columns(["root"]).to_pylist() == two.table.drop_columns(["root"]).to_pylist()
    for made in (one, two):  # named by what the reader is, whatever it called it
        assert set(made.table.column("root").to_pylist()) == set(made.header.roots)
        assert "another name" not in made.header.roots
    assert one[3].boxes[0].box == Box(0, 0, 5, 5)


def test_empty_pictures_and_pictures_that_nobody_annotated_are_counted_apart(pictures: Path, tmp_path: Path) -> None:
    found = ObjectBox(BOX, score=0.5, origin="predicted:detector/x")
    rows = [sample(0, boxes=(ObjectBox(BOX),)), sample(1, empty=True), sample(2, boxes=(found,)), sample(3)]
    dataset, ctx = read(pictures, rows, tmp_path / "out")
    assert [(s.empty, s.is_annotated) for s in dataset] == [(False, True), (True, True), (False, False), (False, False)]
    assert measured(ctx, "empty") == {"train": 1}
    assert measured(ctx, "not_annotated") == {"test": 2}
    _, ctx = read(pictures, FOUR, tmp_path / "none")
    assert measured(ctx, "not_annotated") == {}, "a data set without boxes has none to miss"


def test_a_table_needs_four_columns_and_no_more(pictures: Path, tmp_path: Path) -> None:
    columns = {"id": ["x", "y"], "path": ["0.png", "1.png"], "label": [0, 1], "split": ["train", "test"]}
    dataset = tabled([pa.RecordBatch.from_pydict(columns)], pictures, tmp_path / "out")
    assert dataset.table.schema.equals(SCHEMA)
    assert [s.origin for s in dataset] == ["real", "real"]
    del columns["split"]
    with pytest.raises(PluginError, match="no column split"):
        tabled([pa.RecordBatch.from_pydict(columns)], pictures, tmp_path / "less")
    columns["split"] = [3, 4]  # type: ignore[list-item]
    with pytest.raises(PluginError, match="column split should be of type"):
        tabled([pa.RecordBatch.from_pydict(columns)], pictures, tmp_path / "odd")


@pytest.mark.parametrize(
    ("name", "value"), [("id", None), ("path", None), ("label", None), ("split", None), ("empty", None)]
)
def test_a_table_with_empty_cells_is_refused(tmp_path: Path, name: str, value: None) -> None:
    columns: dict[str, list] = {
        "id": ["x", "y"],
        "path": ["0.png", "1.png"],
        "label": [0, 1],
        "split": ["train", "test"],
        "empty": [False, True],
    }
    columns[name][1] = value
    with pytest.raises(DataError):
        tabled([pa.RecordBatch.from_pydict(columns)], tmp_path, tmp_path / "out", verify="none")


@pytest.mark.skipif(not (REAL / "CUB_200_2011").is_dir(), reason=f"no real data at {REAL} (set FGIC_REAL_DATA)")
def test_real_birds_have_one_photograph_twice_and_no_false_alarm(tmp_path: Path) -> None:
    folder = REAL / "CUB_200_2011" / "images"
    files = sorted((folder / "002.Laysan_Albatross").glob("*.jpg")) + sorted((folder / "030.Fish_Crow").glob("*.jpg"))
    rows = [
        Sample(
            id=f.stem,
            path=f.relative_to(folder).as_posix(),
            label=int("Crow" in f.name),
            split="test" if n % 2 else "train",
        )
        for n, f in enumerate(files)
    ]
    read(folder, rows, tmp_path / "out")
    pairs = pq.read_table(tmp_path / "out" / "duplicates.parquet").to_pylist()
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("Laysan_Albatross_0065_809", "Laysan_Albatross_0096_673")]
