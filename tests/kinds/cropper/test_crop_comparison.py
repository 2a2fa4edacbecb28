"""What differs between train and test crops is said, and honest data sets pass."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgic_core import Box, Cropper, Dataset, DatasetReader, ObjectBox, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.kinds.cropper import driver as cropper
from fgic_core.steps.context import StepContext

REAL = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data"))
SIZE = Size(100, 100)


class Exactly(Cropper):
    """The box itself."""

    def region(self, box: Box, image: Size) -> Box:
        return box


def crop(samples: Iterable[Sample], folder: Path, **options: Any) -> list[str]:
    """The warnings of a cropper's step."""
    samples = list(samples)
    classes = tuple(f"class {label}" for label in range(1 + max(one.label for one in samples)))
    with DatasetWriter(folder / "in", Header(classes, {"r": folder})) as writer:
        writer.write_samples(samples, "r")
    ctx = StepContext(folder / "out")
    cropper.run(Exactly(**options), {"dataset": Dataset.open(folder / "in")}, ctx)
    return ctx.warnings


def square(share: float, rng: np.random.Generator) -> Box:
    """A square of about that share of the picture, somewhere in it."""
    side = 100 * float(share) ** 0.5 * rng.uniform(0.9, 1.1)
    x, y = rng.uniform(0, 100 - min(side, 99.0), 2)
    return Box(float(x), float(y), float(x + side), float(y + side)).clip(SIZE)


def found(box: Box) -> ObjectBox:
    return ObjectBox(box, score=0.9, origin="predicted:detector/x")


def animals(
    count: int, split: str, annotated: float | None, detected: float | None, grow: float = 0.0, seed: int = 0
) -> list[Sample]:
    """Pictures whose annotated and detected squares cover these shares; ``grow`` makes detected ones of annotated."""
    rng = np.random.default_rng([seed, len(split)])
    made = []
    for number in range(count):
        boxes = []
        if annotated is not None:
            boxes.append(ObjectBox(square(annotated, rng)))
        if grow:
            boxes.append(found(boxes[0].box.expand(grow * rng.uniform(-1, 1)).clip(SIZE)))
        if detected is not None:
            boxes.append(found(square(detected, rng)))
        about = {"path": "p.png", "label": number % 2, "split": split, "size": SIZE}
        made.append(Sample(id=f"{split}-{number}", boxes=tuple(boxes), **about))  # type: ignore[arg-type]
    return made


def test_heads_annotated_in_train_and_whole_animals_found_in_test_are_said_with_numbers(tmp_path: Path) -> None:
    (said,) = crop([*animals(40, "train", 0.31, 0.72), *animals(20, "test", None, 0.72)], tmp_path)
    assert said.startswith(
        "Train and test crops do not show the same: train crops keep 31% of the picture, test crops 7"
    )
    assert "(n = 40 and 20)" in said
    assert "predicted boxes overlap annotated ones by IoU 0." in said
    assert "(train, n = 40)" in said
    assert "Train pictures are cropped to annotated boxes, test pictures to predicted ones" in said


def test_masks_are_told_as_masks(tmp_path: Path) -> None:
    rows = [*animals(40, "train", 0.31, 0.72), *animals(20, "test", None, 0.72)]
    (said,) = crop(rows, tmp_path, view="mask")
    assert said.startswith("Train and test masked pictures do not show the same: train masked pictures keep 31% of")
    assert "Train pictures are masked around annotated boxes, test pictures around predicted ones" in said


def test_the_part_in_which_found_boxes_are_others_is_the_one_that_is_told(tmp_path: Path) -> None:
    """In test whole animals are annotated and found: what is wrong shows in train alone."""
    train = animals(30, "train", 0.1, 0.7)
    (said,) = crop([*train, *animals(30, "test", 0.7, None, grow=2)], tmp_path, test_boxes="predicted")
    assert "(train, n = 30)" in said
    assert "(test, n = 30)" not in said


def test_eight_pictures_of_each_are_enough_to_see_it(tmp_path: Path) -> None:
    assert len(crop([*animals(8, "train", 0.31, None), *animals(8, "test", None, 0.72)], tmp_path)) == 1


def test_boxes_of_one_size_that_are_not_the_annotated_ones_are_said(tmp_path: Path) -> None:
    """As large, and elsewhere: the area does not tell, the overlap does. That of test pictures counts where it can."""
    (said,) = crop([*animals(30, "train", 0.1, None), *animals(30, "test", 0.1, 0.1)], tmp_path)
    assert "keep" not in said
    assert "(test, n = 30)" in said


def test_two_kinds_of_annotations_are_said_too(tmp_path: Path) -> None:
    (said,) = crop([*animals(30, "train", 0.2, None), *animals(30, "test", 0.5, None)], tmp_path)
    assert "annotated boxes, test pictures to annotated ones" in said
    assert "IoU" not in said


def test_crops_in_training_alone_are_said_to_show_something_else(tmp_path: Path) -> None:
    rows = [*animals(30, "train", 0.3, None), *animals(30, "test", 0.3, 0.3)]
    (said,) = crop(rows, tmp_path, test_boxes="whole")
    assert "test crops 100% on average" in said
    assert "Train pictures are cropped to annotated boxes, test pictures are used whole, so that" in said
    assert "IoU" not in said


@pytest.mark.parametrize("seed", range(5))
def test_what_a_good_detector_moves_is_passed_over(seed: int, tmp_path: Path) -> None:
    """Boxes up to 10 pixels larger or smaller overlap the annotated ones by 0.7."""
    rows = [*animals(60, "train", 0.4, None, seed=seed), *animals(40, "test", 0.4, None, grow=10, seed=seed)]
    assert crop(rows, tmp_path) == []


def herds(count: int, split: str, seen: bool = False, heads: bool = False) -> list[Sample]:
    """Pictures of three animals as large as each other, of which each may be the most confident found one (``seen``).

    ``heads``: the upper left quarters of them are annotated.
    """
    rng = np.random.default_rng(len(split))
    made = []
    for number in range(count):
        sides = rng.uniform(28, 32, 3)
        animals = [
            Box(x, y, x + s, y + s) for (x, y), s in zip([(2, 2), (50, 2), (2, 50)], sides.tolist(), strict=True)
        ]
        annotated = [Box(b.x1, b.y1, b.x1 + b.width / 2, b.y1 + b.height / 2) if heads else b for b in animals]
        boxes = [ObjectBox(box) for box in annotated]
        if seen:
            boxes += [ObjectBox(b, score=float(rng.uniform(0.1, 1)), origin="predicted:detector/x") for b in animals]
        about = {"path": "p.png", "label": number % 2, "split": split, "size": SIZE}
        made.append(Sample(id=f"{split}-{number}", boxes=tuple(boxes), **about))  # type: ignore[arg-type]
    return made


def test_a_detector_that_finds_every_object_may_choose_any_of_them(tmp_path: Path) -> None:
    assert crop([*herds(20, "train"), *herds(20, "test", seen=True)], tmp_path) == []


def test_whole_animals_found_where_each_head_is_annotated_are_said(tmp_path: Path) -> None:
    (said,) = crop([*herds(20, "train", heads=True), *herds(20, "test", seen=True, heads=True)], tmp_path)
    assert "predicted boxes overlap annotated ones by IoU 0.25 on average (test, n = 20)" in said


def test_three_pictures_say_nothing(tmp_path: Path) -> None:
    assert crop([*animals(3, "train", 0.3, None), *animals(3, "test", None, 0.7)], tmp_path) == []


def test_the_same_boxes_in_both_parts_are_no_difference(tmp_path: Path) -> None:
    """Heads are annotated and whole animals found everywhere: crops to either are alike in train and test."""
    rows = [*animals(40, "train", 0.31, 0.72), *animals(20, "test", 0.31, 0.72)]
    for source in ("annotated", "predicted"):
        assert crop(rows, tmp_path / source, train_boxes=source, test_boxes=source) == []
    assert len(crop(rows, tmp_path / "mixed")) == 1


@pytest.mark.parametrize("name", ["dogs", "birds"])
def test_official_parts_pass(name: str, tmp_path: Path) -> None:
    from fgic_data_readers import Cub200, StanfordDogs

    folder = REAL / {"dogs": "stanford_dogs", "birds": "CUB_200_2011"}[name]
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set FGIC_REAL_DATA")
    reader: DatasetReader = StanfordDogs(root=folder) if name == "dogs" else Cub200(root=folder)
    (tmp_path / "reader").mkdir()
    samples = list(reader.samples(StepContext(tmp_path / "reader")))
    root = reader.source()
    with DatasetWriter(tmp_path / "in", Header(tuple(reader.classes()), {"r": root})) as writer:  # type: ignore[dict-item]
        writer.write_samples(samples, "r")
    ctx = StepContext(tmp_path / "out")
    cropper.run(Exactly(), {"dataset": Dataset.open(tmp_path / "in")}, ctx)
    assert ctx.warnings == []
