"""Data that can be read and cannot be right: named with numbers, whatever reader they come from."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import PrivateAttr

from fgic_core import Box, Context, DataError, Dataset, DatasetReader, ObjectBox, Part, Sample, Size
from fgic_core.kinds.dataset import driver
from fgic_core.steps.context import StepContext

#: Objects of 200 x 150 pictures as people annotate them: x, y, width, height.
OBJECTS = [(60 + 3 * n, 30 + 2 * n, 90 - n, 80 + n) for n in range(12)]

Read = Callable[..., StepContext]


class Listed(DatasetReader):
    """The samples it was given."""

    _samples: list[Sample] = PrivateAttr(default_factory=list)
    _root: Path = PrivateAttr()

    def classes(self) -> Sequence[str]:
        return ("a", "b")

    def source(self) -> Path:
        return self._root

    def samples(self, ctx: Context) -> Iterator[Sample]:
        yield from self._samples


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads samples whose pictures lie in a folder, and gives the step's context."""

    def run(root: Path, samples: Sequence[Sample], **options: Any) -> StepContext:
        component = Listed(**options)
        component._samples, component._root = list(samples), root
        ctx = StepContext(tmp_path / f"out{len(list(tmp_path.iterdir()))}")
        ctx.folder.mkdir()
        driver.run(component, {}, ctx)
        return ctx

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 pictures of 200 x 150 pixels, train-0.png to test-11.png, all different."""
    root = tmp_path / "pictures"
    root.mkdir()
    for split in ("train", "test"):
        for number in range(12):
            seed = number + 100 * (split == "test")
            noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC).save(root / f"{split}-{number}.png")
    return root


def rows(boxes: Sequence[Sequence[float]], test: Sequence[Sequence[float]] = (), **about: Any) -> list[Sample]:
    """A sample with a box (x, y, width, height) each; those of test are good unless they are given."""
    return [
        Sample(
            id=f"{split}-{number}",
            path=f"{split}-{number}.png",
            label=number % 2,
            split=split,
            boxes=(ObjectBox(Box.from_xywh(*box)),),
            **about,
        )
        for split, given in (("train", boxes), ("test", test or OBJECTS))
        for number, box in enumerate(given)
    ]


def failure(read: Read, root: Path, samples: Sequence[Sample], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, samples, **options)
    return str(caught.value)


def center(x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    return (x + width / 2, y + height / 2, width, height)


@pytest.mark.parametrize("verify", ["full", "header", "none"])
@pytest.mark.parametrize("as_yolo", [True, False])
def test_boxes_in_fractions_of_the_picture_are_an_error(folder: Path, read: Read, verify: str, as_yolo: bool) -> None:
    fractions = [(x / 200, y / 150, w / 200, h / 150) for x, y, w, h in (center(*b) if as_yolo else b for b in OBJECTS)]
    text = failure(read, folder, rows(fractions), verify=verify)
    assert "all 12 boxes of train are no larger than 0.61 pixels" in text
    assert ("in pictures of up to 200 pixels" in text) == (verify != "none")
    assert "fractions of the picture (0 to 1)" in text
    assert "Multiply x and width by the width of the picture" in text


def test_one_split_in_fractions_is_enough(folder: Path, read: Read) -> None:
    fractions = [(x / 200, y / 150, w / 200, h / 150) for x, y, w, h in OBJECTS]
    assert "all 12 boxes of test are no larger" in failure(read, folder, rows(OBJECTS, fractions))


def test_regions_and_parts_in_fractions_are_errors_too(folder: Path, read: Read) -> None:
    text = failure(read, folder, rows(OBJECTS, region=Box(0.1, 0.2, 0.9, 0.8)))
    assert "all 12 regions of train are no larger than 0.8 pixels" in text
    text = failure(read, folder, rows(OBJECTS, parts=(Part("beak", 0.4, 0.7), Part("tail", 0.0, 0.0, visible=False))))
    assert "all 12 part locations of train lie within 0.7 pixels" in text


def test_good_boxes_are_not_remarked(folder: Path, read: Read) -> None:
    tiny = [(5, 5, 1, 1), (100, 100, 1.5, 1), (60, 30, 90, 80), *OBJECTS[:9]]
    assert read(folder, rows(OBJECTS, parts=(Part("beak", 60.0, 40.0),))).warnings == []
    assert read(folder, rows(tiny)).warnings == []  # a few tiny ones among large
    assert read(folder, rows([(0, 0, 200, 150), (-0.4, -0.4, 200.9, 150.9)])).warnings == [
        "1 box reached over the edge of its picture and was clipped to it."
    ]


def test_many_tiny_boxes_are_remarked_with_numbers(folder: Path, read: Read) -> None:
    mixed = [(20.1, 30.2, 0.5, 0.5)] * 9 + list(OBJECTS[:3])
    warnings = read(folder, rows(mixed)).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("9 of 12 boxes of train are smaller than 2 x 2 pixels")


def test_objects_of_one_pixel_are_no_fractions(folder: Path, read: Read) -> None:
    (said,) = read(folder, rows([(50 + 9 * n, 40, 1, 1) for n in range(12)])).warnings
    assert said.startswith("12 of 12 boxes of train are smaller than 2 x 2 pixels")


def test_one_box_in_fractions_among_pixels_is_remarked(folder: Path, read: Read) -> None:
    (said,) = read(folder, rows([(0.2, 0.3, 0.3, 0.4), *OBJECTS[:11]])).warnings
    assert said.startswith("1 of 12 boxes of train lie within 2 pixels of the upper left corner, at parts of a pixel")


def test_unknown_part_locations_are_remarked_and_no_error(folder: Path, read: Read) -> None:
    said = read(folder, rows(OBJECTS, parts=(Part("beak", 1.0, 1.0),))).warnings
    assert len(said) == 2  # one of train, one of test
    assert said[0].startswith("all 12 part locations of train lie within 1 pixels of the upper left corner")


def test_boxes_in_the_upper_left_quarter_are_remarked_with_numbers(folder: Path, read: Read) -> None:
    warnings = read(folder, rows([(x / 2.5, y / 2.5, w / 2.5, h / 2.5) for x, y, w, h in OBJECTS])).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "12 of 12 boxes of train lie in the upper left quarter of their pictures (up to 69 of 200 "
    )
    assert "annotated on smaller pictures, or in percent," in warnings[0]


def test_boxes_in_percent_are_remarked_with_numbers(tmp_path: Path, read: Read) -> None:
    root = tmp_path / "large"
    root.mkdir()
    for split in ("train", "test"):
        for number in range(12):
            Image.new("RGB", (400, 300), (number * 9, 0, 90 * (split == "test"))).save(root / f"{split}-{number}.png")
    percent = [(x / 2, y / 1.5, w / 2, h / 1.5) for x, y, w, h in OBJECTS]
    said = read(root, rows(percent, [(2 * x, 2 * y, 2 * w, 2 * h) for x, y, w, h in OBJECTS]), verify="header").warnings
    assert any("12 of 12 boxes of train lie in the upper left quarter" in warning for warning in said)
    assert any("are they in percent and not in pixels?" in warning for warning in said)


@pytest.mark.parametrize(
    ("convert", "reading"),
    [
        (lambda x, y, w, h: (2 * x, 2 * y, 2 * w, 2 * h), "They reach to 1.9 times the width or height"),
        (center, "Read as centre and size, as YOLO writes them, they would fit"),
        (lambda x, y, w, h: (x, y, x + w, y + h), "Read as the corners x1, y1, x2, y2 they would fit"),
    ],
    ids=["pictures of twice the size", "centres", "corners"],
)
def test_boxes_that_mostly_reach_over_the_edge_are_an_error_that_says_what_they_may_be(
    folder: Path, read: Read, convert: Any, reading: str
) -> None:
    wide = [(70 + n, 50 + n, 110 - n, 90 - n) for n in range(12)]
    text = failure(read, folder, rows([convert(*box) for box in wide]))
    assert "12 of 12 boxes of train reach over the edge of their pictures" in text
    assert reading in text


def test_some_boxes_over_the_edge_are_remarked_with_what_they_may_be(folder: Path, read: Read) -> None:
    corner = [(150, 110, 40, 30)] * 3 + [(20, 20, 40, 30)] * 9
    warnings = read(folder, rows([center(*box) for box in corner])).warnings
    assert any(
        "3 of 12 boxes of train reach over the edge of their pictures by more than 5% of their side. Read as centre"
        in said
        for said in warnings
    )


def test_boxes_outside_of_their_pictures_come_with_what_they_may_be(folder: Path, read: Read) -> None:
    double = [(2 * x, 2 * y, 2 * w, 2 * h) for x, y, w, h in [(120, 80, 60, 50)] * 3]
    text = failure(read, folder, rows(double + list(OBJECTS[:9])))
    assert "a box lies outside of the picture" in text
    assert "They reach to 1.8 times the width or height: were they annotated on pictures of another size" in text


def test_a_size_that_is_the_same_times_as_large_everywhere_is_said(folder: Path, read: Read) -> None:
    (said,) = [w for w in read(folder, rows(OBJECTS, size=Size(400, 300))).warnings if "size" in w]
    assert (
        "24 of the pictures, such as train-0.png (200x150, not 400x300). In all of them it is 2 times as large." in said
    )


def turned(path: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.resize(size).save(path, exif=exif)


@pytest.mark.parametrize("verify", ["full", "header"])
def test_annotations_of_the_frame_before_exif_turned_it_are_an_error(folder: Path, read: Read, verify: str) -> None:
    for number in (3, 7):
        turned(folder / f"train-{number}.png", 6, (200, 150))  # upright 150 x 200
    samples = rows([(10, 20, 80, 60)] * 12, size=Size(200, 150))
    text = failure(read, folder, samples, verify=verify)
    assert "2 pictures are turned by EXIF, and the annotations give the size from before" in text
    assert "train-3.png: the annotation says 200x150, upright it is 150x200" in text
    assert "exiftool" in text
    settled = [
        Sample(id=s.id, path=s.path, label=s.label, split=s.split, boxes=s.boxes, size=Size(150, 200))
        if s.path in ("train-3.png", "train-7.png")
        else s
        for s in samples
    ]
    assert read(folder, settled, verify=verify).warnings == []


@pytest.mark.parametrize(
    ("orientation", "size", "about"),
    [(6, (150, 150), {"size": Size(150, 150)}), (3, (200, 150), {"size": Size(200, 150)}), (8, (200, 150), {})],
    ids=["a square", "half a turn", "no size"],
)
@pytest.mark.parametrize("verify", ["full", "header"])
def test_a_frame_that_nothing_settles_is_said(
    folder: Path, read: Read, orientation: int, size: tuple[int, int], about: dict[str, Any], verify: str
) -> None:
    turned(folder / "train-3.png", orientation, size)
    samples = rows([(10, 20, 80, 60)] * 12)
    samples[3] = Sample(id="x", path="train-3.png", label=1, split="train", boxes=samples[3].boxes, **about)
    assert read(folder, samples, verify=verify).warnings == [
        "1 picture with annotations is turned by EXIF, and nothing says whether the annotations are of the upright "
        "picture: so they are taken, such as train-3.png."
    ]
    samples[3] = Sample(id="x", path="train-3.png", label=1, split="train", **about)
    assert read(folder, samples, verify=verify).warnings == []  # where nothing is annotated, nothing is off


def deep(root: Path, tops: Sequence[int], kind: str = "grey") -> list[Sample]:
    root.mkdir()
    samples = []
    for number, top in enumerate(tops):
        values = (np.random.default_rng(number).random((16, 16)) * top).astype(np.uint16)
        values[0, 0] = top
        name = f"{number}.{'ppm' if kind == 'ppm' else 'png'}"
        colour = np.stack([values] * 3, axis=-1)
        if kind == "grey":
            Image.fromarray(values).save(root / name)
        elif kind == "ppm":
            (root / name).write_bytes(b"P6 16 16 65535\n" + colour.astype(">u2").tobytes())
        else:
            rgb_16(root / name, colour)
        split = "train" if number % 2 else "test"
        samples.append(Sample(id=str(number), path=name, label=number // 2 % 2, split=split))
    return samples


def rgb_16(path: Path, values: np.ndarray) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("kind", ["grey", "colour", "ppm"])
def test_twelve_bits_in_sixteen_are_an_error_with_numbers(tmp_path: Path, read: Read, kind: str) -> None:
    samples = deep(tmp_path / "deep", [4095, 3600, 4000, 3900] * 2, kind)
    text = failure(read, tmp_path / "deep", samples)
    assert "the largest value in 8 of 8 pictures with more than 8 bits is 4,095 of 65,535" in text
    assert "as 12-bit cameras give: they come out nearly black" in text
    assert ("SMaxSampleValue" in text) == (kind == "grey")  # of colour the upper 8 bits are read, whatever it says


@pytest.mark.parametrize(("black", "bright"), [(7, 0), (8, 9)], ids=["few", "a minority"])
def test_nearly_black_pictures_do_not_stop_a_data_set_that_is_not_made_of_them(
    tmp_path: Path, read: Read, black: int, bright: int
) -> None:
    samples = deep(tmp_path / "deep", [200] * black + [65535] * bright)
    for number in range(black, black + bright):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "deep" / f"{number}.png")
    said = [text for text in read(tmp_path / "deep", samples).warnings if "bits" in text]
    assert said == [
        f"{black} of {black} pictures with more than 8 bits have no value above a sixteenth of white, as 12 bits have "
        f"in 16, and come out nearly black (the largest value of the {black} is 200 of 65,535; the data set has "
        f"{black + bright} pictures)."
    ]


def test_nearly_black_pictures_among_others_are_counted(tmp_path: Path, read: Read) -> None:
    said = read(tmp_path / "deep", deep(tmp_path / "deep", [4095, 65000, 4095, 60000])).warnings
    assert any(
        warning.startswith("2 of 4 pictures with more than 8 bits have no value above a sixteenth") for warning in said
    )


def test_fourteen_bits_in_sixteen_are_remarked(tmp_path: Path, read: Read) -> None:
    said = read(tmp_path / "deep", deep(tmp_path / "deep", [16383, 15000, 16000, 14000])).warnings
    expected = "The largest value in 4 of 4 pictures with more than 8 bits is 16,383 of 65,535, as 14-bit cameras give"
    assert any(warning.startswith(expected) for warning in said)


def test_sixteen_bits_are_not_remarked_and_black_pictures_say_nothing(tmp_path: Path, read: Read) -> None:
    said = read(tmp_path / "deep", deep(tmp_path / "deep", [65535, 30000, 0, 50000])).warnings
    assert [warning for warning in said if "bits" in warning] == []
    said = read(tmp_path / "black", deep(tmp_path / "black", [0, 0, 0, 0])).warnings
    assert [warning for warning in said if "bits" in warning] == []


def test_a_float_picture_just_over_its_range_is_not_black_in_silence(tmp_path: Path, read: Read) -> None:
    """From 0 to 1, but for one value of 1.02: taken for 0 to 255, it would be black."""
    root = tmp_path / "floats"
    root.mkdir()
    samples = deep(tmp_path / "deep", [65535] * 8)
    for number in range(8):
        values = np.random.default_rng(number).random((16, 16)).astype(np.float32)
        values[0, 0] = 1.02
        Image.fromarray(values).save(root / f"{number}.tif")
    samples = [Sample(id=s.id, path=f"{s.id}.tif", label=s.label, split=s.split) for s in samples]
    assert "the largest value in 8 of 8 pictures with more than 8 bits is 1.02 of 255: they come" in failure(
        read, root, samples
    )


def test_a_float_picture_of_nan_is_unreadable_with_the_reason(tmp_path: Path, read: Read) -> None:
    root = tmp_path / "deep"
    samples = deep(root, [65535, 65000, 65000, 65000])
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(root / "1.png", "TIFF")
    text = failure(read, root, samples)
    assert "1.png: the picture cannot be decoded: 64 of its 64 values are not finite (NaN or infinite)" in text
    assert len(Dataset.open(read(root, samples, unreadable="skip").folder)) == 3
