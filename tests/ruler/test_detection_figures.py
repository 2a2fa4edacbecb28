"""Average precision, recall and their intervals are what can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from fgic_core import Box, Detections, Detector, FittedDetector, ObjectBox, Run, Sample

Bench = Callable[..., Run]
GREY = 120


def picture(number: int, objects: Sequence[Box], side: int = 24, split: str = "test", label: int = 0) -> Any:
    """A grey picture that says its own number, and its annotated objects."""
    name = f"{split}-{number}"
    pixels = np.full((side, side, 3), GREY, dtype=np.uint8)
    pixels[0, 0] = (number // 256, number % 256, 0)
    boxes = tuple(ObjectBox(box) for box in objects)
    return Sample(id=name, path=f"{name}.png", label=label, split=split, boxes=boxes), pixels  # type: ignore[arg-type]


def finder(answers: dict[int, Sequence[tuple[Box, float]]]) -> type[Detector]:
    """A ready detector that gives these boxes and scores for the picture of each number."""

    class Answers(FittedDetector):
        def detect(self, images: Sequence[Any]) -> list[Detections]:
            found = []
            for image in images:
                high, low, _ = image.getpixel((0, 0))
                rows = answers.get(high * 256 + low, ())
                boxes = np.array([box.xyxy for box, _ in rows], dtype=float).reshape(-1, 4)
                found.append(Detections(boxes, np.array([score for _, score in rows]), np.zeros(len(rows), int)))
            return found

    class Told(Detector):
        """Finds what it was told."""

        def learns(self) -> bool:
            return False

        def fit(self, train: Any, val: Any, ctx: Any) -> Answers:
            return Answers()

        def save(self, fitted: Any, folder: Any) -> None: ...

        def load(self, folder: Any, device: str) -> Answers:
            return Answers()

    return Told


STEPS = {"boxes": {"uses": "detector/told"}}
OBJECT = Box(4, 4, 14, 14)


def overlapping(iou: float) -> Box:
    """A box of the object's height inside of it, whose overlap with it is that."""
    return Box(4, 4, 4 + 10 * iou, 14)


def test_an_annotated_picture_without_a_detection_lowers_map_to_a_known_number(bench: Bench) -> None:
    """Three of four objects are found: precision 1 up to recall 0.75, which are 76 of COCO's 101 recalls."""
    told = finder({number: [(OBJECT, 0.9 - number / 10)] for number in range(3)})
    run = bench([picture(number, [OBJECT]) for number in range(4)], STEPS, told=told)
    for name in ("mAP", "mAP50", "mAP75"):
        found = run.metric("boxes", name, "test")
        assert found.value == pytest.approx(76 / 101)
        assert found.n == 4
    assert run.metric("boxes", "recall50", "test").value == 0.75
    assert run.metric("boxes", "box_recall50", "test").value == 0.75
    assert run.metric("boxes", "mean_iou", "test").value == pytest.approx(0.75)
    assert run.metric("boxes", "no_detection", "test").value == 1


def test_a_hundred_boxes_of_a_picture_count_and_no_more(bench: Bench) -> None:
    """Of 110 objects that are all found 100 count: recall 0.909, which are 91 of COCO's 101 recalls."""
    objects = [Box(5 * x, 5 * y, 5 * x + 4, 5 * y + 4) for x in range(11) for y in range(10)]
    told = finder({0: [(box, 0.9 - row / 1000) for row, box in enumerate(objects)]})
    run = bench([picture(0, objects, side=60)], STEPS, told=told)
    assert run.metric("boxes", "mAP", "test").value == pytest.approx(91 / 101)
    assert run.metric("boxes", "mAP50", "test").value == pytest.approx(91 / 101)


def test_the_hundred_that_are_kept_are_the_most_confident(bench: Bench) -> None:
    """The object's box is the surest of 105 and comes last, the five that are least sure come in the middle."""
    others = [(Box(20, 20 + row / 50, 23, 24), 0.5 - row / 1000) for row in range(104)]
    run = bench([picture(0, [OBJECT])], STEPS, told=finder({0: [*others[50:], *others[:50], (OBJECT, 0.9)]}))
    for name in ("mAP", "mAP50", "recall50", "box_recall50"):
        assert run.metric("boxes", name, "test").value == pytest.approx(1), name
    (sample,) = run.dataset("boxes")
    scores = [box.score for box in sample.boxes if box.score is not None]
    assert scores == pytest.approx([0.9, *(score for _, score in others[:99])])


def test_map_is_over_ten_overlaps_from_half_on(bench: Bench) -> None:
    """Boxes that overlap by 0.62 count at 0.50, 0.55 and 0.60, and not at the seven others."""
    told = finder({0: [(overlapping(0.62), 0.9)], 1: [(overlapping(0.62), 0.9)]})
    run = bench([picture(number, [OBJECT]) for number in range(2)], STEPS, told=told)
    assert run.metric("boxes", "mAP", "test").value == pytest.approx(0.3)
    assert run.metric("boxes", "mAP50", "test").value == pytest.approx(1)
    assert run.metric("boxes", "mAP75", "test").value == 0
    assert run.metric("boxes", "mean_iou", "test").value == pytest.approx(0.62)


def test_a_box_that_overlaps_by_less_than_half_is_not_found(bench: Bench) -> None:
    overlaps = (0.35, 0.48, 0.52, 0.65)
    told = finder({number: [(overlapping(iou), 0.9)] for number, iou in enumerate(overlaps)})
    run = bench([picture(number, [OBJECT]) for number in range(4)], STEPS, told=told)
    for name in ("recall50", "box_recall50"):
        found = run.metric("boxes", name, "test")
        assert (found.value, found.n) == (0.5, 4), name


def test_a_whole_picture_as_the_box_counts_from_half_of_it_on(bench: Bench) -> None:
    """What no detector gives is measured by the same rule: objects of 42 % and of 56 % of their pictures."""
    objects = [Box(0, 0, 24, 10), Box(0, 0, 24, 13.5)]
    told = finder({number: [(box, 0.9)] for number, box in enumerate(objects)})
    run = bench([picture(number, [box]) for number, box in enumerate(objects)], STEPS, told=told)
    assert run.metric("boxes", "box_recall50_whole", "test").value == 0.5


def test_two_boxes_on_one_object_are_one_hit_and_one_mistake(bench: Bench) -> None:
    """The surer of two boxes on one object counts; the other is a false alarm before the next object is found."""
    twice = [(OBJECT, 0.9), (OBJECT, 0.8)]
    run = bench([picture(0, [OBJECT]), picture(1, [OBJECT])], STEPS, told=finder({0: twice, 1: [(OBJECT, 0.7)]}))
    # Precision is 1 up to recall 0.5 (51 recalls), then 2/3.
    assert run.metric("boxes", "mAP50", "test").value == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert run.metric("boxes", "recall50", "test").value == 1


def test_recall_counts_objects_and_not_pictures(bench: Bench) -> None:
    """Of four objects in one picture one is found, and the only one of another picture: two of five."""
    four = [Box(0, 0, 8, 8), Box(12, 0, 20, 8), Box(0, 12, 8, 20), Box(12, 12, 20, 20)]
    told = finder({0: [(four[0], 0.9)], 1: [(OBJECT, 0.8)]})
    run = bench([picture(0, four), picture(1, [OBJECT])], STEPS, told=told)
    found = run.metric("boxes", "recall50", "test")
    assert (found.value, found.n) == (0.4, 5)
    assert run.metric("boxes", "mAP50", "test").value == pytest.approx(41 / 101), "41 of COCO's 101 recalls"


def test_the_interval_of_map_holds_95_of_100_resamples(bench: Bench) -> None:
    """Half of 60 objects are found, and nothing else: average precision is about the share that a resample has."""
    count = 60
    told = finder({number: [(OBJECT, 0.9)] for number in range(0, count, 2)})
    run = bench([picture(number, [OBJECT]) for number in range(count)], STEPS, told=told)
    found = run.metric("boxes", "mAP50", "test")
    low, high = (binom.ppf(share, count, 0.5) / count for share in (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.035), "0.37; the lower quartile would be 0.45, that of 68 % 0.43"
    assert found.high == pytest.approx(high, abs=0.035)


def test_a_detector_after_a_cropper_sees_whole_pictures(bench: Bench) -> None:
    """Its boxes lie in the pixels of the whole picture, whatever was cropped before it."""
    pictures = []
    for number in range(4):
        x, y = 3 + 2 * number, 12 - 2 * number
        sample, pixels = picture(number, [Box(x, y, x + 8, y + 6)])
        pixels[y : y + 6, x : x + 8] = (230, 20, 20)
        pictures.append((sample, pixels))
    sizes = []

    class Reds(FittedDetector):
        def detect(self, images: Sequence[Any]) -> list[Detections]:
            found = []
            for image in images:
                sizes.append(image.size)
                ys, xs = np.nonzero(np.ptp(np.asarray(image).astype(int), axis=2) > 150)
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                found.append(Detections(np.array([box], float), np.ones(1), np.zeros(1, int)))
            return found

    class Red(finder({})):  # type: ignore[misc]
        """Finds what is red."""

        def fit(self, train: Any, val: Any, ctx: Any) -> Reds:
            return Reds()

        def load(self, folder: Any, device: str) -> Reds:
            return Reds()

    steps = {
        "crops": {"uses": "cropper/box", "with": {"margin": 0.1}},
        "boxes": {"uses": "detector/red"},
        "again": {"uses": "cropper/box", "with": {"test_boxes": "predicted"}},
    }
    run = bench(pictures, steps, red=Red)
    assert set(sizes) == {(24, 24)}
    assert run.metric("boxes", "mAP", "test").value == pytest.approx(1)
    for before, after in zip(run.dataset("data"), run.dataset("again"), strict=True):
        assert after.region == before.boxes[0].box
        assert after.region_origin == "predicted:detector/red"


def squares(
    sides: dict[str, int], found: int | None = None
) -> tuple[list[Any], dict[int, Sequence[tuple[Box, float]]]]:
    """Twelve train and twelve test pictures of 100 pixels with a square object of about that side in each.

    With ``found`` a detector finds in test pictures a box as large, so many pixels beside the object.
    """
    rows, answers = [], {}
    for part, (split, side) in enumerate(sides.items()):
        for number in range(12):
            place, width = 2 + number, side + number % 3 - 1
            box = Box(place, place, place + width, place + width)
            rows.append(picture(100 * part + number, [box], side=100, split=split, label=number % 2))
            if found is not None and split == "test":
                answers[100 * part + number] = [(Box(box.x1 + found, box.y1, box.x2 + found, box.y2), 0.9)]
    return rows, answers


def said_of_crops(run: Run) -> list[str]:
    return [said for said in run.artifact("crops").warnings if "crops do not show the same" in said]


@pytest.mark.parametrize(("side", "differ"), [(34, False), (40, True), (42, True)])
def test_crops_that_keep_1_4_times_as_much_of_the_picture_are_said_to_differ(
    bench: Bench, side: int, differ: bool
) -> None:
    """Sides of 30 in train: squares of 34 are 1.3 times as large, of 40 1.8 times, of 42 twice."""
    rows, _ = squares({"train": 30, "test": side})
    said = said_of_crops(bench(rows, {"crops": {"uses": "cropper/box"}}))
    assert len(said) == differ
    assert all(f"keep 9% of the picture, test crops {side**2 / 1e4:.0%}" in one for one in said)


@pytest.mark.parametrize(("beside", "iou", "differ"), [(8, 0.58, False), (13, 0.40, True), (18, 0.25, True)])
def test_boxes_found_beside_the_objects_are_said_to_differ_below_an_overlap_of_half(
    bench: Bench, beside: int, iou: float, differ: bool
) -> None:
    """Train pictures are cropped to the annotated boxes, test pictures to boxes of the same size beside them."""
    rows, answers = squares({"train": 30, "test": 30}, found=beside)
    steps = {**STEPS, "crops": {"uses": "cropper/box", "with": {"test_boxes": "predicted"}}}
    run = bench(rows, steps, told=finder(answers))
    assert run.metric("boxes", "mean_iou", "test").value == pytest.approx(iou, abs=0.005)
    said = said_of_crops(run)
    assert len(said) == differ
    assert all(f"IoU {iou:.2f}" in one and "n = 12" in one for one in said)
