from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

from fgic_core import Box, Cropper, DataError, Dataset, ObjectBox, PluginError, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.rows import only_columns
from fgic_core.kinds.classifier import fit as classifier
from fgic_core.kinds.cropper import driver as cropper
from fgic_core.kinds.generator import fit as generator
from fgic_core.steps.context import StepContext

ANNOTATED, WIDER = ObjectBox(Box(2, 2, 6, 6)), ObjectBox(Box(1, 1, 9, 7))
PREDICTED = ObjectBox(Box(10, 3, 14, 9), score=0.6, origin="predicted:detector/x")
SURER = ObjectBox(Box(11, 4, 13, 6), score=0.9, origin="predicted:detector/x")
SIZE = Size(20, 10)


class Grow(Cropper):
    """The box with a border."""

    pixels: float = Field(0.0, description="Added on every side.")

    def region(self, box: Box, image: Size) -> Box:
        return box.expand(self.pixels)


class Fixed(Cropper):
    """Always the same answer, right or wrong."""

    answer: tuple[float, ...] | None = Field(None, description="The region; None raises.")

    def region(self, box: Box, image: Size) -> Box:
        if self.answer is None:
            raise KeyError("no answer")
        return Box(*self.answer) if len(self.answer) == 4 else self.answer  # type: ignore[return-value]


def sample(name: str, split: str = "train", *boxes: ObjectBox, **about: object) -> Sample:
    values = {"id": name, "path": "p.png", "label": 0, "split": split, "size": SIZE, "boxes": boxes, **about}
    return Sample(**values)  # type: ignore[arg-type]


def crop(component: Cropper, samples: list[Sample], tmp_path: Path) -> tuple[Dataset, StepContext]:
    with DatasetWriter(tmp_path / "in", Header(("a",), {"r": tmp_path}, notes=("noted",))) as writer:
        writer.write_samples(samples, "r")
    ctx = StepContext(tmp_path / "out")
    cropper.run(component, {"dataset": Dataset.open(tmp_path / "in")}, ctx)
    return Dataset.open(ctx.folder), ctx


def measured(ctx: StepContext, name: str) -> dict[str, float | None]:
    return {metric.split: metric.value for metric in ctx.metrics if metric.name == name}


def test_the_largest_annotated_box_decides_and_is_recorded(tmp_path: Path) -> None:
    dataset, ctx = crop(Grow(), [sample("a", "train", ANNOTATED, WIDER), sample("b", "test", ANNOTATED)], tmp_path)
    assert [s.region for s in dataset] == [WIDER.box, ANNOTATED.box]
    assert [s.region_origin for s in dataset] == ["annotated", "annotated"]
    assert dataset[0].boxes == (ANNOTATED, WIDER)
    assert dataset.header.notes == ("noted",)
    assert measured(ctx, "several_boxes") == {"train": 1, "test": 0}
    assert measured(ctx, "cropped") == {"train": 1.0, "test": 1.0}
    assert measured(ctx, "kept_area") == {"train": pytest.approx(48 / 200), "test": pytest.approx(16 / 200)}
    assert ctx.warnings == []


def test_test_pictures_use_the_detectors_boxes_where_there_are_any(tmp_path: Path) -> None:
    rows = [sample(part, part, ANNOTATED, PREDICTED, SURER) for part in ("train", "val", "test")]
    dataset, _ = crop(Grow(), rows, tmp_path)
    assert [s.region for s in dataset] == [ANNOTATED.box, ANNOTATED.box, SURER.box]
    assert dataset[2].region_origin == "predicted:detector/x"


def test_options_choose_the_boxes_of_each_part(tmp_path: Path) -> None:
    rows = [sample(part, part, ANNOTATED, PREDICTED) for part in ("train", "test")]
    dataset, _ = crop(Grow(train_boxes="predicted", test_boxes="annotated"), rows, tmp_path)
    assert [s.region for s in dataset] == [PREDICTED.box, ANNOTATED.box]


def test_pictures_of_a_part_can_be_used_whole_though_they_have_boxes(tmp_path: Path) -> None:
    rows = [sample(part, part, ANNOTATED, PREDICTED) for part in ("train", "val", "test")]
    dataset, ctx = crop(Grow(test_boxes="whole"), rows, tmp_path)
    assert [s.region for s in dataset] == [ANNOTATED.box, ANNOTATED.box, None]
    assert dataset[2].region_origin == "full image: as asked"
    assert measured(ctx, "full_image") == {"train": 0, "val": 0, "test": 1}
    assert ctx.warnings == []
    other, _ = crop(Grow(train_boxes="whole", test_boxes="predicted"), rows, tmp_path / "other")
    assert [s.region for s in other] == [None, None, PREDICTED.box]


def test_a_data_set_without_a_box_can_be_used_whole(tmp_path: Path) -> None:
    rows = [sample(part, part) for part in ("train", "test")]
    dataset, _ = crop(Grow(train_boxes="whole", test_boxes="whole"), rows, tmp_path)
    assert [s.region for s in dataset] == [None, None]
    with pytest.raises(DataError, match="no sample of this data set has a box to crop to"):
        crop(Grow(test_boxes="whole"), rows, tmp_path / "other")


def test_a_sample_without_a_box_of_that_kind_is_used_whole_and_counted(tmp_path: Path) -> None:
    crowd = ObjectBox(Box(0, 0, 5, 5), crowd=True)
    outside = ObjectBox(Box(30, 0, 40, 5))
    rows = [
        sample("a", "train", ANNOTATED),
        sample("none"),
        sample("crowd", "train", crowd),
        sample("outside", "train", outside),
        sample("missed", "test", ANNOTATED),
        sample("seen", "test", PREDICTED),
    ]
    dataset, ctx = crop(Grow(), rows, tmp_path)
    whole = [s.id for s in dataset if s.region is None]
    assert whole == ["none", "crowd", "outside", "missed"]
    assert {s.region_origin for s in dataset if s.region is None} == {"full image: no box"}
    assert measured(ctx, "full_image") == {"train": 3, "test": 1}
    assert measured(ctx, "cropped") == {"train": 0.25, "test": 0.5}
    assert ctx.warnings == [
        "3 of 4 train samples have no box and are used whole.",
        "1 of 2 test samples have no box and are used whole.",
    ]


def test_an_empty_picture_is_used_whole_and_said_in_words_of_its_own(tmp_path: Path) -> None:
    """Nothing is missing there, unlike where an object has no box. What a detector found in it is cropped to."""
    rows = [
        sample("a", "train", ANNOTATED),
        sample("empty", "train", empty=True),
        sample("none"),
        sample("crowd", "train", ObjectBox(Box(0, 0, 5, 5), crowd=True)),
        sample("alarm", "test", PREDICTED, empty=True),
        sample("quiet", "test", empty=True),
    ]
    dataset, ctx = crop(Grow(), rows, tmp_path)
    assert {s.id: s.region_origin for s in dataset} == {
        "a": "annotated",
        "empty": "full image: no object",
        "none": "full image: no box",
        "crowd": "full image: no box",
        "alarm": "predicted:detector/x",
        "quiet": "full image: no object",
    }
    assert dataset[1].empty
    assert measured(ctx, "full_image") == {"train": 3, "test": 1}
    assert ctx.warnings == [
        "2 of 4 train samples have no box and are used whole.",
        "1 of 4 train samples are pictures without an object and are used whole.",
        "1 of 2 test samples are pictures without an object and are used whole.",
    ]


def test_a_region_beyond_the_picture_is_clipped_to_it(tmp_path: Path) -> None:
    dataset, _ = crop(Grow(pixels=5), [sample("a", "train", ANNOTATED)], tmp_path)
    assert dataset[0].region == Box(0, 0, 11, 10)


def test_cropping_twice_stays_in_the_pixels_of_the_whole_picture(tmp_path: Path) -> None:
    row = sample("a", "train", ANNOTATED, region=Box(1, 1, 8, 8), region_origin="annotated")
    dataset, _ = crop(Grow(pixels=1), [row], tmp_path)
    assert dataset[0].region == Box(1, 1, 7, 7)


def test_what_is_cut_is_the_coloured_rectangle_of_the_box(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (0, 0, 255))
    picture.paste((255, 0, 0), (2, 2, 6, 6))
    picture.save(tmp_path / "p.png")
    before = (tmp_path / "p.png").read_bytes()
    dataset, ctx = crop(Grow(), [sample("a", "train", ANNOTATED)], tmp_path)
    assert np.asarray(dataset.crop(0)).tolist() == [[[255, 0, 0]] * 4] * 4
    assert (tmp_path / "p.png").read_bytes() == before
    assert sorted(file.name for file in ctx.folder.iterdir()) == ["boxes.parquet", "dataset.json", "samples.parquet"]


def test_a_mask_has_the_region_of_the_crop_and_the_picture_its_frame(tmp_path: Path) -> None:
    """A picture without a box is shown whole. The figures are those of the crops, and say what they are of."""
    pixels = np.random.default_rng(0).integers(0, 100, (10, 20, 3)).astype(np.uint8)
    (tmp_path / "mask").mkdir()
    for folder in (tmp_path, tmp_path / "mask"):
        Image.fromarray(pixels).save(folder / "p.png")
    rows = [sample("a", "train", WIDER), sample("b", "test", ANNOTATED), sample("none", "test")]
    cut, by_crop = crop(Grow(pixels=0.5), rows, tmp_path)
    masked, by_mask = crop(Grow(pixels=0.5, view="mask"), rows, tmp_path / "mask")
    assert [one.masked for one in cut] == [False] * 3
    assert [one.masked for one in masked] == [True, True, False]
    assert [replace(one, masked=False) for one in masked] == list(cut)
    assert np.array_equal(np.asarray(masked.crop(1))[1:7, 1:7], np.asarray(cut.crop(1)))
    assert np.array_equal(np.asarray(masked.crop(2)), pixels)
    for name in ("cropped", "kept_area", "kept_object"):
        assert measured(by_mask, name) == measured(by_crop, name)
    notes = {metric.name: metric.note for metric in by_mask.metrics}
    assert notes["cropped"] == "masked and not cut: what is outside of the region is grey"
    assert notes["kept_area"] == "mean share of the picture that is shown; the rest is grey"
    assert by_mask.warnings == by_crop.warnings


@pytest.mark.parametrize("reads", [classifier.READS, generator.READS], ids=["classifier", "generator"])
def test_what_learns_is_shown_what_is_masked(tmp_path: Path, reads: frozenset[str]) -> None:
    Image.new("RGB", (20, 10), (200, 0, 0)).save(tmp_path / "p.png")
    dataset, _ = crop(Grow(view="mask"), [sample("a", "train", ANNOTATED)], tmp_path)
    learned = Dataset(dataset.header, only_columns(dataset.table, reads))
    assert learned.crop(0).size == (20, 10)
    assert np.array_equal(np.asarray(learned.crop(0)), np.asarray(dataset.crop(0)))


def test_what_was_masked_and_is_cropped_again_is_cut(tmp_path: Path) -> None:
    row = sample("a", "train", ANNOTATED, region=Box(1, 1, 8, 8), masked=True)
    assert [one.masked for one in crop(Grow(), [row], tmp_path)[0]] == [False]
    whole, _ = crop(Grow(view="mask", train_boxes="whole", test_boxes="whole"), [row], tmp_path / "whole")
    assert [(one.region, one.masked) for one in whole] == [(None, False)]


def test_the_size_is_read_from_the_file_where_the_data_set_does_not_know_it(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "p.png")
    dataset, _ = crop(Grow(), [sample("a", "train", ANNOTATED, size=None)], tmp_path)
    assert dataset[0].region == Box(2, 2, 5, 4)


@pytest.mark.parametrize(
    ("component", "boxes", "words"),
    [
        (Grow(), (), "no sample of this data set has a box"),
        (Grow(train_boxes="predicted"), (ANNOTATED,), "predicted boxes, but the data set has none"),
        (Grow(test_boxes="predicted"), (ANNOTATED,), "test pictures.*predicted"),
        (Grow(), (PREDICTED,), "annotated boxes, but the data set has none"),
    ],
)
def test_boxes_that_the_data_set_does_not_have_are_an_error(
    tmp_path: Path, component: Cropper, boxes: tuple[ObjectBox, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        crop(component, [sample("a", "train", *boxes), sample("b", "test", *boxes)], tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((float("nan"), 0, 1, 1), "not finite"),
        ((0, 0, float("inf"), 1), "not finite"),
        ((5, 5, 5, 9), "no pixel"),
        ((9, 5, 2, 9), "no pixel"),
        ((20, 0, 30, 5), "no pixel"),
        ((1, 2, 3), "tuple.*not a Box"),
        (None, "raised KeyError"),
    ],
)
def test_a_cropper_that_breaks_its_contract_is_named_with_the_sample(
    tmp_path: Path, answer: tuple[float, ...] | None, words: str
) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        crop(Fixed(answer=answer), [sample("bird/7", "train", ANNOTATED)], tmp_path)
    assert "cropper/Fixed" in str(caught.value)
    assert "bird/7" in str(caught.value)
