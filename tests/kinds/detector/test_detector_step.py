"""The core drives a detector: what it may see, what is written, what is measured, and what it must not do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field
from torch import nn

from fgic_core import (
    Box,
    Column,
    Context,
    DataError,
    Dataset,
    Detections,
    Detector,
    FittedDetector,
    ObjectBox,
    Part,
    PluginError,
    Sample,
    Size,
)
from fgic_core.data.boxes import read_compared
from fgic_core.data.dataset import SCHEMA, DatasetWriter, Header
from fgic_core.description import describe, manifest_of
from fgic_core.kinds.cropper import driver as cropper
from fgic_core.kinds.detector import driver as detector
from fgic_core.plan.keys import Keys
from fgic_core.registry import Entry
from fgic_core.steps.context import StepContext
from fgic_core.store.memory import Memory

SIDE = 16
CROWD = ObjectBox(Box(0, 0, SIDE, SIDE), crowd=True)


class Finds(FittedDetector):
    """Finds what is not grey, if as many train pictures as the recipe's ``need`` were seen.

    Its score falls with the number of pictures it was trained on, so that folds can be told from the whole; in training
    its network knows how many epochs there were, and ``early`` says from which one on anything is found.
    """

    def __init__(self, recipe: Colour, seen: dict[str, list[str]], scores: Sequence[Any] = ()) -> None:
        self.recipe, self.seen, self.scores = recipe, seen, list(scores)
        self.network = nn.ParameterDict({"epoch": nn.Parameter(torch.tensor(float(recipe.epochs)))})

    def detect(self, images: Sequence[Any]) -> list[Detections]:
        return [self._one(np.asarray(image).astype(int)) for image in images]

    def _one(self, pixels: np.ndarray[Any, Any]) -> Detections:
        ys, xs = np.nonzero(np.ptp(pixels, axis=2) > 60)
        late = self.network["epoch"].item() < self.recipe.early
        if not len(xs) or late or len(self.seen.get("train", ())) < self.recipe.need:
            return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
        right = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        score = 1 / (1 + len(self.seen.get("train", ())))
        answers: dict[str, Any] = {
            "right": ([right], [score], [0]),
            "weak too": ([right, [0, 0, 2, 2]], [0.9, 0.01], [0, 0]),
            "beyond": ([[-5, -5, SIDE + 5, SIDE + 5], [SIDE, 0, SIDE + 9, 9]], [0.5, 0.9], [0, 0]),
            "shape": ([right], [score, score], [0]),
            "score": ([right], [1.5], [0]),
            "label": ([right], [score], [1]),
            "nan": ([[np.nan, 0, 1, 1]], [score], [0]),
            "class": ([right], [score], [int(pixels[ys[0], xs[0]].argmax())]),
        }
        boxes, scores, labels = answers[self.recipe.answer]
        return Detections(np.array(boxes, float), np.array(scores, float), np.array(labels, int))


class Colour(Detector):
    """Finds what is not grey; writes down all that it is shown."""

    epochs: int = Field(2, description="Passes over the train pictures.")
    need: int = Field(0, description="Fewer train pictures than that, and it finds nothing.")
    early: int = Field(0, description="The epoch before which it finds nothing.")
    answer: str = Field("right", description="What detect gives.")

    def learns(self) -> bool:
        return self.epochs > 0

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Finds:
        fitted = Finds(self, {"train": train.ids, "val": val.ids})
        with (LOG / "fits.jsonl").open("a") as file:
            file.write(json.dumps({**fitted.seen, "seed": ctx.seed}) + "\n")
        for epoch in ctx.epochs(self.epochs):
            ctx.log(epoch, loss=1 / epoch)
            with torch.no_grad():
                fitted.network["epoch"].fill_(epoch)
            fitted.scores.append(dict(ctx.evaluate(fitted, epoch)))
            ctx.checkpoint(epoch, {"epoch": epoch})
        return fitted

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "colour.json").write_text(json.dumps([fitted.seen, fitted.scores]))

    def load(self, folder: Path, device: str) -> Finds:
        return Finds(self, *json.loads((folder / "colour.json").read_text()))


class Ready(Colour):
    """Finds what is not grey, and has nothing to learn."""

    epochs: int = Field(0, description="None.")


LOG = Path()


@pytest.fixture(autouse=True)
def log(tmp_path: Path) -> Path:
    global LOG  # noqa: PLW0603
    LOG = tmp_path
    return tmp_path


def fits(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "fits.jsonl").read_text().splitlines()]


@pytest.fixture
def data(tmp_path: Path, made_up_digests: None) -> Callable[..., Dataset]:
    """``data(train=6, test=4, change=…)`` is a data set of two classes, a coloured rectangle in each picture."""

    def make(
        train: int = 6, test: int = 4, change: Callable[[Sample], Sample] = lambda s: s, name: str = "in", same: int = 0
    ) -> Dataset:
        root = tmp_path / name / "pictures"
        root.mkdir(parents=True)
        rng = np.random.default_rng(0)
        samples = []
        for split, count in (("train", train), ("test", test)):
            for label in (0, 1):
                for number in range(count):
                    pixels = rng.integers(100, 130, (SIDE, SIDE, 3)).astype(np.uint8)
                    pixels[:, :, 1:] = pixels[:, :, :1]
                    x, y = (int(v) for v in rng.integers(1, SIDE // 2 - 1, 2))
                    pixels[y : y + 6, x : x + 8] = [(230, 20, 20), (20, 230, 20)][label]
                    file = f"{split}-{label}-{number}"
                    Image.fromarray(pixels).save(root / f"{file}.png")
                    about = {"id": file, "path": f"{file}.png", "label": label, "split": split}
                    box = ObjectBox(Box(x, y, x + 8, y + 6))
                    samples.append(change(Sample(**about, size=Size(SIDE, SIDE), boxes=(box,))))  # type: ignore[arg-type]
        folder = tmp_path / name / "data"
        with DatasetWriter(folder, Header(("red", "green"), {"r": root}, notes=("noted",))) as writer:
            writer.write_samples(samples, "r")
        made = Dataset.open(folder)
        digests = [f"{row:032x}" for row in range(len(made))]
        for row in range(same):  # the last test pictures are the first train pictures, byte for byte
            digests[-1 - row] = digests[row]
        import pyarrow as pa

        column = SCHEMA.get_field_index("digest")
        return Dataset(made.header, made.table.set_column(column, SCHEMA.field("digest"), pa.array(digests)))

    return make


def run(component: Detector, dataset: Dataset, folder: Path, name: str = "out") -> tuple[Dataset, StepContext]:
    place = folder / "steps" / name
    place.mkdir(parents=True)
    ctx = StepContext(place, uses="detector/colour", scratch=folder / "scratch" / name)
    detector.run(component, {"dataset": dataset}, ctx)
    return Dataset.open(ctx.folder), ctx


def scores(ctx: StepContext) -> list[dict[str, float]]:
    """What `Context.evaluate` gave the detector, epoch by epoch."""
    found: list[dict[str, float]] = json.loads((ctx.folder / "component" / "colour.json").read_text())[1]
    return found


def metrics(ctx: StepContext, split: str, **at: str) -> dict[str, Any]:
    """Those of the split that were measured at just that."""
    return {metric.name: metric.value for metric in ctx.metrics if (metric.split, metric.at) == (split, at)}


def test_found_boxes_are_written_beside_the_annotated_ones_and_measured(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, ctx = run(Colour(), data(), tmp_path)
    for sample in dataset:
        truth, predicted = sample.boxes
        assert (truth.origin, predicted.origin) == ("annotated", "predicted:detector/colour")
        assert predicted.box == truth.box
        assert predicted.label is None, "a class-agnostic box says nothing of the class"
    assert metrics(ctx, "test") == pytest.approx(
        {
            "mAP": 1,
            "mAP50": 1,
            "mAP75": 1,
            "box_recall50": 1,
            "mean_iou": 1,
            "recall50": 1,
            "no_detection": 0,
            "box_recall50_whole": 0,  # 48 of 256 pixels
        }
    )
    assert {metric.n for metric in ctx.metrics if metric.split == "test"} == {8}
    assert all(m.low is not None and m.low <= m.value <= m.high + 1e-9 for m in ctx.metrics if m.name == "mAP")  # type: ignore[operator]
    assert ctx.warnings == ["noted"]


def test_the_table_beside_the_rows_has_what_a_diagnosis_needs(data: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset, ctx = run(Colour(answer="beyond"), data(), tmp_path)
    table = read_compared(ctx.folder)
    assert table is not None
    assert table.column("id").to_pylist() == dataset.ids
    first = table.slice(0, 1).to_pylist()[0]
    assert first["predicted"] == {"x1": 0, "y1": 0, "x2": SIDE, "y2": SIDE}, "clipped to the picture"
    assert (first["objects"], first["detections"], first["found"]) == (1, 1, 0), "a box outside of it is none"
    assert first["iou"] == pytest.approx(48 / SIDE**2)


def test_fit_sees_train_pictures_with_boxes_and_no_other(data: Callable[..., Dataset], tmp_path: Path) -> None:
    import dataclasses

    def change(sample: Sample) -> Sample:
        boxes = {"train-0-0": (), "train-1-0": (CROWD,)}.get(sample.id, sample.boxes)
        return dataclasses.replace(sample, boxes=boxes)

    dataset = data(change=change)
    _, ctx = run(Colour(), dataset, tmp_path)
    (seen,) = fits(tmp_path)
    assert set(seen["train"]).isdisjoint(seen["val"])
    expected = {name for name in dataset.split("train").ids if name not in ("train-0-0", "train-1-0")}
    assert {*seen["train"], *seen["val"]} == expected
    assert "1 of 12 train pictures are not annotated: nothing is learned from them." in ctx.warnings
    assert "1 of 12 train pictures have crowds alone: no box is learned from them." in ctx.warnings


def without_object(*names: str) -> Callable[[Sample], Sample]:
    """Makes samples whose ids start so empty. The coloured rectangle stays: to a detector it is a trap."""
    import dataclasses

    return lambda one: dataclasses.replace(one, boxes=(), empty=True) if one.id.startswith(names) else one


def by_pycocotools(dataset: Dataset) -> list[float]:
    """mAP, mAP50 and mAP75 of the predicted boxes over all annotated test pictures."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    known = [one for one in dataset.split("test") if one.is_annotated]
    rows = [(image, one) for image, sample in enumerate(known, 1) for one in sample.boxes]

    def entry(image: int, one: ObjectBox) -> dict[str, Any]:
        about = {"image_id": image, "category_id": 1, "bbox": list(one.box.xywh), "area": one.box.area}
        return {**about, "iscrowd": int(one.crowd), "score": one.score}

    annotated = [entry(*row) for row in rows if row[1].is_annotated]
    found = [entry(*row) for row in rows if not row[1].is_annotated]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(1, len(known) + 1)],
            "categories": [{"id": 1}],
            "annotations": [{**one, "id": number} for number, one in enumerate(annotated, 1)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:3])


def test_what_is_found_in_empty_pictures_counts_as_pycocotools_counts_it(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    """With half of the pictures empty, and a box found in each: every second box is wrong."""
    dataset, ctx = run(Colour(), data(change=without_object("test-0")), tmp_path)
    found = {metric.name: metric for metric in ctx.metrics if metric.split == "test"}
    # The four wrong boxes are as sure as the four right ones and come first: precision rises from 0 to 1/2.
    assert [found[name].value for name in ("mAP", "mAP50", "mAP75")] == pytest.approx([0.5] * 3)
    assert [found[name].value for name in ("mAP", "mAP50", "mAP75")] == pytest.approx(by_pycocotools(dataset))
    assert found["mAP"].n == 8
    assert "4 of the pictures are empty" in found["mAP"].note
    assert found["mAP"].low < 0.5 < found["mAP"].high
    assert (found["false_alarms"].value, found["false_alarms"].n) == (1, 4)
    assert (found["box_recall50"].value, found["box_recall50"].n) == (1, 4), "of pictures with an object"
    last = [point.value for point in ctx.curves if (point.split, point.name) == ("test", "mAP50")]
    assert last == pytest.approx([0.5, 0.5]), "the curve counts the same pictures"


def test_an_empty_picture_in_which_nothing_is_found_costs_nothing(data: Callable[..., Dataset], tmp_path: Path) -> None:
    _, ctx = run(Colour(min_score=0.99), data(change=without_object("test-0")), tmp_path)
    found = {metric.name: metric for metric in ctx.metrics if metric.split == "test"}
    assert (found["false_alarms"].value, found["false_alarms"].n) == (0, 4)
    assert (found["no_detection"].value, found["no_detection"].n) == (4, 4), "nothing is right in an empty picture"
    assert "In 4 of 4 test pictures the detector gave no box that reaches min_score (0.99)." in ctx.warnings


def test_pictures_that_nobody_annotated_are_left_out_and_said(data: Callable[..., Dataset], tmp_path: Path) -> None:
    import dataclasses

    def bare(one: Sample) -> Sample:
        return dataclasses.replace(one, boxes=()) if one.id.startswith("test-0") else one

    dataset, ctx = run(Colour(), data(change=bare), tmp_path)
    found = {metric.name: metric for metric in ctx.metrics if metric.split == "test"}
    assert (found["mAP"].value, found["mAP"].n) == (pytest.approx(1), 4)
    assert by_pycocotools(dataset)[0] == pytest.approx(1)
    assert "4 pictures that are not annotated are left out" in found["mAP"].note
    assert "false_alarms" not in found
    assert "4 of 8 test pictures are not annotated and left out of average precision." in ctx.warnings


def test_crowds_alone_leave_their_picture_in_average_precision(data: Callable[..., Dataset], tmp_path: Path) -> None:
    """What is found inside a crowd counts neither for nor against, what is found beside it is wrong."""
    import dataclasses

    def crowded(one: Sample) -> Sample:
        corner = ObjectBox(Box(0, 0, 1, 1), crowd=True)
        return dataclasses.replace(one, boxes=(corner,)) if one.id.startswith("test-0") else one

    dataset, ctx = run(Colour(), data(change=crowded), tmp_path)
    found = {metric.name: metric for metric in ctx.metrics if metric.split == "test"}
    assert found["mAP50"].n == 8
    assert found["mAP50"].value == pytest.approx(by_pycocotools(dataset)[1])
    assert found["mAP50"].value < 0.99
    assert "false_alarms" not in found, "it is not empty"


def test_without_a_single_object_average_precision_is_absent_with_the_reason(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    _, ctx = run(Colour(), data(change=without_object("test")), tmp_path)
    found = {metric.name: metric for metric in ctx.metrics if metric.split == "test"}
    assert (found["mAP"].value, found["mAP"].note) == (None, "no picture has an annotated box, and 8 are empty")
    assert found["false_alarms"].value == 1
    assert {point.split for point in ctx.curves if point.name == "mAP"} == {"val"}


def test_one_picture_has_no_interval(data: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = data()
    one = dataset.where(np.array([name.startswith("train") or name == "test-0-0" for name in dataset.ids]))
    _, ctx = run(Colour(), one, tmp_path)
    (found,) = [metric for metric in ctx.metrics if (metric.name, metric.split) == ("mAP", "test")]
    assert (found.n, found.low, found.high) == (1, None, None)
    assert "one picture gives no interval" in found.note


class Learns(Colour):
    """Says that it learns from empty pictures."""

    negatives = True


@pytest.mark.parametrize("component", [Colour, Learns])
def test_empty_train_pictures_go_to_a_detector_that_learns_from_them_and_to_no_other(
    component: type[Colour], data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = data(change=without_object("train-0-0", "train-0-1", "train-0-2"))
    _, ctx = run(component(crossfit=2), dataset, tmp_path)
    empty = {"train-0-0", "train-0-1", "train-0-2"}
    for seen in fits(tmp_path):
        assert bool(empty & set(seen["train"])) == component.negatives
        assert set(seen["train"]) - empty
    (whole, *_) = fits(tmp_path)
    assert len(empty & set(whole["val"])) == 1, "an epoch is chosen by both kinds"
    assert metrics(ctx, "train").get("negatives") == (2 if component.negatives else None)
    words = (
        "3 of 12 train pictures are empty and left out: detector/colour does not learn from pictures without an object."
    )
    assert (words in ctx.warnings) != component.negatives


def test_empty_pictures_of_the_validation_split_count_when_the_epoch_is_chosen(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = with_val(data(change=without_object("train-0-0")), 2)
    _, ctx = run(Colour(), dataset, tmp_path)
    (seen,) = fits(tmp_path)
    assert seen["val"] == ["train-0-0", "train-0-1"]
    assert [one["mAP50"] for one in scores(ctx)] == pytest.approx([0.5, 0.5])


def test_a_validation_split_without_an_object_chooses_nothing(data: Callable[..., Dataset], tmp_path: Path) -> None:
    _, ctx = run(Colour(), with_val(data(change=without_object("train-0-0", "train-0-1")), 2), tmp_path)
    assert any("no validation picture has a box to choose the epoch by" in warning for warning in ctx.warnings)
    assert "mAP" in scores(ctx)[0]


def test_the_test_split_reaches_neither_the_fit_nor_the_choice(data: Callable[..., Dataset], tmp_path: Path) -> None:
    """Poisoned test boxes leave all that the detector was given as it was; the test curve is drawn all the same."""
    import dataclasses

    def poison(sample: Sample) -> Sample:
        wrong = (ObjectBox(Box(0, 0, 1, 1)),)
        return dataclasses.replace(sample, boxes=wrong) if sample.split == "test" else sample

    _, first = run(Colour(), data(), tmp_path, "clean")
    _, second = run(Colour(), data(change=poison, name="poisoned"), tmp_path, "poisoned")
    one, other = fits(tmp_path)
    assert one == other
    assert scores(first) == scores(second)
    assert set(scores(first)[0]) == {"mAP", "mAP50", "mAP75"}
    curves = [{(p.epoch, p.split, p.name): p.value for p in ctx.curves} for ctx in (first, second)]
    assert curves[0][1, "test", "mAP"] == pytest.approx(1)
    assert curves[1][1, "test", "mAP"] == 0
    assert curves[0][1, "val", "mAP"] == curves[1][1, "val", "mAP"]


def test_without_a_test_curve_the_test_split_is_measured_at_the_end_alone(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    _, ctx = run(Colour(test_curve=False), data(), tmp_path)
    assert {point.split for point in ctx.curves} == {"train", "val"}
    assert metrics(ctx, "test")["mAP"] == pytest.approx(1)


def test_train_pictures_that_are_test_pictures_are_left_out(data: Callable[..., Dataset], tmp_path: Path) -> None:
    _, ctx = run(Colour(), data(same=2), tmp_path)
    (seen,) = fits(tmp_path)
    assert not {"train-0-0", "train-0-1"} & {*seen["train"], *seen["val"]}
    assert "2 train pictures are test pictures too; the detector does not get to see them." in ctx.warnings


def test_weak_boxes_count_for_precision_and_stay_out_of_the_data_set(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, _ = run(Colour(answer="weak too"), data(), tmp_path, "strict")
    assert [len(sample.boxes) for sample in dataset] == [2] * len(dataset)
    dataset, _ = run(Colour(answer="weak too", min_score=0.0), data(name="again"), tmp_path, "all")
    assert [len(sample.boxes) for sample in dataset] == [3] * len(dataset)
    dataset, ctx = run(Colour(min_score=0.99), data(name="none"), tmp_path, "none")
    assert metrics(ctx, "test")["no_detection"] == 8
    assert metrics(ctx, "test")["mAP50"] == pytest.approx(1), "precision does not know of min_score"
    assert metrics(ctx, "test")["box_recall50"] == 0
    assert "In 8 of 8 test pictures the detector gave no box that reaches min_score (0.99)." in ctx.warnings


def test_with_per_class_the_labels_count(data: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset, ctx = run(Colour(answer="class", per_class=True), data(), tmp_path)
    assert metrics(ctx, "test")["mAP"] == pytest.approx(1)
    assert [sample.boxes[-1].label for sample in dataset] == dataset.labels.tolist()
    _, ctx = run(Colour(per_class=True), data(name="wrong"), tmp_path, "wrong")
    assert metrics(ctx, "test")["mAP50"] <= 0.5, "half of the boxes have the wrong label"


def test_cross_fitted_boxes_come_from_a_detector_that_did_not_see_the_picture(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, ctx = run(Colour(crossfit=3), data(), tmp_path)
    whole, *folds = fits(tmp_path)
    assert len(folds) == 3
    assert len({fold["seed"] for fold in (whole, *folds)}) == 4
    sizes = []
    for sample in dataset.split("train"):
        (crossfit,) = [box for box in sample.boxes if box.origin == "crossfit:detector/colour"]
        unseen = [fold for fold in folds if sample.id not in {*fold["train"], *fold["val"]}]
        assert len(unseen) == 1
        assert crossfit.score == pytest.approx(1 / (1 + len(unseen[0]["train"])), abs=1e-6)
        sizes.append(sample.id)
    assert not any(box.origin.startswith("crossfit") for sample in dataset.split("test") for box in sample.boxes)
    assert metrics(ctx, "train", boxes="cross-fitted")["box_recall50"] == 1
    assert {point.split for point in ctx.curves} == {"train", "val", "test"}
    assert len(ctx.curves) == 2 * (1 + 3 + 3), "the folds' curves are their own"
    assert not [place for place in ctx.folder.iterdir() if place.name.startswith(".")]


def test_a_picture_in_which_a_fold_finds_nothing_counts_as_missed(data: Callable[..., Dataset], tmp_path: Path) -> None:
    """The folds see fewer pictures than they need to find anything, the whole training does not."""
    dataset, ctx = run(Colour(crossfit=3, need=9), data(), tmp_path)
    assert not any(box.origin.startswith("crossfit") for sample in dataset for box in sample.boxes)
    (missed,) = [m for m in ctx.metrics if m.name == "box_recall50" and m.is_at(boxes="cross-fitted")]
    assert missed.split == "train"
    assert (missed.value, missed.n) == (0, 12)
    assert metrics(ctx, "train")["box_recall50"] == 1


def test_families_hold_copies_parents_and_children_of_several(data: Callable[..., Dataset], tmp_path: Path) -> None:
    import pyarrow as pa

    from fgic_core.steps.validation import cut_val, families, folds

    train = data(train=5).split("train")
    parents: list[list[str]] = [[] for _ in range(len(train))]
    parents[0] = [train.ids[1]]  # a child of a child, listed before its parent
    parents[1] = [train.ids[2], train.ids[3]]
    digests = [f"{row}" for row in range(len(train))]
    digests[4] = digests[3]
    table = train.table
    for name, values in (("parents", parents), ("digest", digests)):
        kind = SCHEMA.field(name)
        table = table.set_column(SCHEMA.get_field_index(name), kind, pa.array(values, kind.type))
    linked = Dataset(train.header, table)
    family = families(linked)
    assert len(set(family[:5])) == 1
    assert len(set(family)) == len(train) - 4
    assert len(set(folds(linked, 3, np.random.default_rng(0))[:5])) == 1
    for seed in range(8):
        kept, held = cut_val(linked, 0.3, StepContext(tmp_path, seed=seed))
        if linked.ids[2] in held.ids:
            assert not {linked.ids[0], linked.ids[1]} & set(kept.ids)


def with_val(dataset: Dataset, count: int) -> Dataset:
    """The first train pictures become the validation split."""
    import pyarrow as pa

    splits = dataset.table.column("split").to_pylist()
    splits[:count] = ["val"] * count
    kind = SCHEMA.field("split").type
    column = pa.array(splits).cast(kind)
    return Dataset(dataset.header, dataset.table.set_column(SCHEMA.get_field_index("split"), "split", column))


def test_the_epoch_is_chosen_neither_by_test_pictures_nor_by_those_of_the_fold(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    _, ctx = run(Colour(), with_val(data(same=2), 3), tmp_path)
    assert fits(tmp_path)[-1]["val"] == ["train-0-2"], "the first two are test pictures too"
    assert "2 validation pictures are test pictures too; the detector does not get to see them." in ctx.warnings
    import pyarrow as pa

    dataset = with_val(data(name="twins"), 2)
    digests = dataset.table.column("digest").to_pylist()
    digests[2] = digests[0]  # a train picture is a validation picture
    column = SCHEMA.get_field_index("digest")
    twins = Dataset(dataset.header, dataset.table.set_column(column, SCHEMA.field("digest"), pa.array(digests)))
    run(Colour(crossfit=2), twins, tmp_path, "twins")
    _, *folds = fits(tmp_path)[-3:]
    for fold in folds:
        assert "train-0-2" in fold["train"] or "train-0-0" not in fold["val"]


def test_a_validation_split_without_boxes_is_replaced_by_one_cut_from_train(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    import dataclasses

    def bare(sample: Sample) -> Sample:
        return dataclasses.replace(sample, boxes=()) if sample.id in ("train-0-0", "train-0-1") else sample

    _, ctx = run(Colour(), with_val(data(change=bare), 2), tmp_path)
    (seen,) = fits(tmp_path)
    assert seen["val"]
    assert not {"train-0-0", "train-0-1"} & set(seen["val"])
    assert "mAP" in scores(ctx)[0]
    assert any("no validation picture has a box to choose the epoch by" in warning for warning in ctx.warnings)


def test_weights_of_unknown_origin_are_said_so(data: Callable[..., Dataset], tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    _, ctx = run(Ready(weights=tmp_path / "model.json"), data(), tmp_path)
    assert "Nothing is known of the pictures that model.json was trained on." in ctx.warnings


def test_folds_spread_the_classes_and_keep_copies_together(data: Callable[..., Dataset], tmp_path: Path) -> None:
    from fgic_core.steps.validation import folds

    train = data(train=9).split("train")
    fold = folds(train, 3, np.random.default_rng(0))
    for label in (0, 1):
        assert np.bincount(fold[train.labels == label]).tolist() == [3, 3, 3]
    import pyarrow as pa

    digests = ["a", "a", "a", *(f"{row}" for row in range(len(train) - 3))]
    twins = Dataset(train.header, train.table.set_column(SCHEMA.get_field_index("digest"), "digest", pa.array(digests)))
    assert len(set(folds(twins, 3, np.random.default_rng(0))[:3])) == 1


def test_a_ready_detector_is_given_no_picture_and_all_its_boxes_are_cross_fitted(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset, _ = run(Ready(crossfit=5), data(), tmp_path)
    assert fits(tmp_path) == [{"train": [], "val": [], "seed": 0}]
    origins = {box.origin for sample in dataset.split("train") for box in sample.boxes}
    assert origins == {"annotated", "predicted:detector/colour", "crossfit:detector/colour"}


def test_columns_that_another_kind_added_stay(data: Callable[..., Dataset], tmp_path: Path) -> None:
    given = data()
    more = given.with_column(Column("sharpness", "number"), [row / 4 for row in range(len(given))])
    found, _ = run(Ready(), more, tmp_path)
    assert [sample.extra for sample in found] == [sample.extra for sample in more]
    assert found[1].extra == {"sharpness": 0.25}


def test_croppers_choose_annotated_predicted_or_cross_fitted_boxes(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    from fgic_crop_box import BoxCropper

    dataset, _ = run(Colour(crossfit=3), data(), tmp_path)
    for source in ("annotated", "predicted", "crossfit"):
        ctx = StepContext(tmp_path / f"crop-{source}")
        cropper.run(BoxCropper(train_boxes=source), {"dataset": dataset}, ctx)  # type: ignore[arg-type]
        crops = Dataset.open(ctx.folder)
        starts = {(sample.split, (sample.region_origin or "").partition(":")[0]) for sample in crops}
        assert starts == {("train", source), ("test", "predicted")}
        table = read_compared(ctx.folder)
        assert table is not None
        assert table.column("kept").to_pylist() == pytest.approx([1] * len(crops))
    plain = data(name="plain")
    ctx = StepContext(tmp_path / "no")
    with pytest.raises(DataError, match="train pictures are to be cropped to cross-fitted boxes") as caught:
        cropper.run(BoxCropper(train_boxes="crossfit"), {"dataset": plain}, ctx)
    assert "crossfit: 5" in str(caught.value)


def test_where_nothing_is_found_at_all_pictures_are_used_whole(data: Callable[..., Dataset], tmp_path: Path) -> None:
    from fgic_crop_box import BoxCropper

    dataset, _ = run(Colour(min_score=1.0), data(), tmp_path)
    ctx = StepContext(tmp_path / "crop")
    cropper.run(BoxCropper(train_boxes="predicted"), {"dataset": dataset}, ctx)
    crops = Dataset.open(ctx.folder)
    assert {(sample.region, sample.region_origin) for sample in crops} == {(None, "full image: no box")}
    assert "8 of 8 test samples have no box and are used whole." in ctx.warnings


def test_weights_that_have_seen_test_pictures_are_an_error(data: Callable[..., Dataset], tmp_path: Path) -> None:
    """A detector trained on another split of the same pictures gives itself away by the digests it was saved with."""
    dataset = data()
    _, ctx = run(Colour(), dataset, tmp_path)
    weights = ctx.folder / "component" / "colour.json"
    again = Ready(weights=weights)
    run(again, dataset, tmp_path, "again")
    swapped = ["test" if split == "train" else "train" for split in dataset.table.column("split").to_pylist()]
    import pyarrow as pa

    kind = SCHEMA.field("split").type
    other = Dataset(
        dataset.header, dataset.table.set_column(SCHEMA.get_field_index("split"), "split", pa.array(swapped).cast(kind))
    )
    with pytest.raises(DataError, match="weights were trained on 12 of the test pictures"):
        run(Ready(weights=weights), other, tmp_path, "other")
    with pytest.raises(DataError, match="trained on 12 of the train pictures"):
        run(Ready(weights=weights, crossfit=3), dataset, tmp_path, "folds")
    # And what was seen is handed on: weights of weights are no way around it.
    with pytest.raises(DataError, match="weights were trained on 12 of the test pictures"):
        run(Ready(weights=tmp_path / "steps" / "again" / "component" / "colour.json"), other, tmp_path, "third")


def test_what_weights_have_seen_counts_into_the_key_of_a_step(tmp_path: Path) -> None:
    """Else a run that was refused would be served from the store, where a copy without that record was let through."""
    weights = tmp_path / "model.json"
    weights.write_text("{}")
    component, keys = Ready(weights=weights), []
    for content in (None, b"one", b"other"):
        if content is not None:
            (tmp_path / "seen.parquet").write_bytes(content)
        entry = Entry("detector", "ready", "this process", "0", "", f"{Ready.__module__}:Ready")
        keys.append(Keys(Memory()).document(describe(component, manifest_of(entry, Ready)), 0, {}).key)
    assert len(set(keys)) == 3


def test_too_few_pictures_for_the_folds_are_an_error_before_anything_is_trained(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="too few for 5 folds"):
        run(Colour(crossfit=5), data(train=2), tmp_path)
    assert not (tmp_path / "fits.jsonl").exists()


def test_crowds_alone_are_no_boxes_to_crop_to(data: Callable[..., Dataset], tmp_path: Path) -> None:
    import dataclasses

    from fgic_crop_box import BoxCropper

    crowded = data(change=lambda sample: dataclasses.replace(sample, boxes=(CROWD,)))
    ctx = StepContext(tmp_path / "crop")
    with pytest.raises(DataError, match="no sample of this data set has a box to crop to"):
        cropper.run(BoxCropper(), {"dataset": crowded}, ctx)


def test_a_second_detector_replaces_the_boxes_of_the_first(data: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset, _ = run(Colour(), data(), tmp_path)
    again, ctx = run(Ready(answer="beyond"), dataset, tmp_path, "again")
    assert [len(sample.boxes) for sample in again] == [2] * len(again)
    assert any("earlier detector (predicted:detector/colour) are replaced" in warning for warning in ctx.warnings)


def test_without_annotated_boxes_a_ready_detector_finds_and_nothing_is_measured(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    import dataclasses

    bare = data(change=lambda sample: dataclasses.replace(sample, boxes=()))
    dataset, ctx = run(Ready(), bare, tmp_path)
    assert [len(sample.boxes) for sample in dataset] == [1] * len(dataset)
    (missing,) = [m for m in ctx.metrics if m.name == "mAP" and m.split == "test"]
    assert (missing.value, missing.note) == (None, "no picture has an annotated box")
    with pytest.raises(DataError, match="no train picture has an annotated box to learn from"):
        run(Colour(), bare, tmp_path, "learns")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("shape", r"detect gave boxes of shape \(1, 4\), 2 scores and 1 labels"),
        ("score", "not finite or a score outside"),
        ("nan", "not finite or a score outside"),
        ("label", r"a label outside 0\.\.0"),
    ],
)
def test_a_broken_contract_is_named(answer: str, message: str, data: Callable[..., Dataset], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message):
        run(Ready(answer=answer), data(), tmp_path)


@pytest.mark.parametrize("need", [0, 1])
def test_a_detector_that_forgets_what_it_learned_is_caught(
    need: int, data: Callable[..., Dataset], tmp_path: Path
) -> None:
    """Whether it finds nothing any more, or the same boxes with other scores."""

    class Forgets(Colour):
        """Loads nothing."""

        def load(self, folder: Path, device: str) -> Finds:
            return Finds(self, {})

    with pytest.raises(PluginError, match="finds other boxes after save and load"):
        run(Forgets(need=need), data(), tmp_path)


def test_an_interrupted_cross_fitting_goes_on_where_it_was(data: Callable[..., Dataset], tmp_path: Path) -> None:
    """Folds that were trained are not trained again: their checkpoints outlive the interruption."""
    dataset = data()
    (tmp_path / "cut").mkdir()

    class Stops(Colour):
        """Is interrupted in the second fold."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Finds:
            if len(fits(LOG)) == 2 if (LOG / "fits.jsonl").exists() else False:
                raise KeyboardInterrupt
            return super().fit(train, val, ctx)

    ctx = StepContext(tmp_path / "cut", uses="detector/colour", scratch=tmp_path / "scratch")
    with pytest.raises(KeyboardInterrupt):
        detector.run(Stops(crossfit=3), {"dataset": dataset}, ctx)
    (tmp_path / "cut2").mkdir()
    ctx = StepContext(tmp_path / "cut2", uses="detector/colour", scratch=tmp_path / "scratch")
    detector.run(Colour(crossfit=3), {"dataset": dataset}, ctx)
    assert scores(ctx) == [], "its epochs were done"
    whole, _ = run(Colour(crossfit=3), dataset, tmp_path, "whole")
    assert Dataset.open(ctx.folder).table.equals(whole.table)


# Learning and use are two.


def test_what_is_learned_from_is_train_and_validation_and_of_them_what_is_read(
    data: Callable[..., Dataset],
) -> None:
    """Nothing about test rows is in it, no box that another detector found, nothing of crops."""
    import dataclasses

    found = ObjectBox(Box(0, 0, 3, 3), score=0.5, origin="predicted:detector/other")

    def changed(sample: Sample) -> Sample:
        if sample.split == "test":
            return dataclasses.replace(sample, label=1 - sample.label, boxes=())
        cropped = {"region": Box(1, 1, 9, 9), "region_origin": "predicted", "parts": (Part("eye", 1, 1),)}
        return dataclasses.replace(sample, boxes=(*sample.boxes, found), **cropped)  # type: ignore[arg-type]

    plain, other = (
        with_val(data(change=change, name=name), 2) for change, name in ((lambda s: s, "a"), (changed, "b"))
    )
    one, two = (detector.learned_from(Colour(), dataset) for dataset in (plain, other))
    assert one.ids == [name for name in plain.ids if not name.startswith("test")]
    assert one.splits == ["train", "val"]
    assert one.table.equals(two.table)
    assert (one.header.notes, one.header.searched) == ((), ())
    assert len(detector.learned_from(Ready(), plain)) == 0


def test_fit_needs_no_test_row_and_use_no_fit(data: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = data()
    learned = detector.learned_from(Colour(), dataset)
    contexts = []
    for name in ("fit", "use"):
        (tmp_path / name).mkdir()
        contexts.append(StepContext(tmp_path / name, uses="detector/colour"))
    detector.fit(Colour(), learned, contexts[0])
    assert {place.name for place in contexts[0].folder.iterdir()} == {"component", "snapshots"}
    assert {point.split for point in contexts[0].curves} == {"train", "val"}
    component = Colour(min_score=0.99)
    detector.use(component, {"dataset": dataset}, contexts[1], {"": tmp_path / "fit"})
    whole, ctx = run(Colour(min_score=0.99), dataset, tmp_path, "whole")
    assert Dataset.open(tmp_path / "use").table.equals(whole.table)
    assert contexts[0].curves + contexts[1].curves == ctx.curves


def test_a_use_only_option_cannot_be_read_in_fit(data: Callable[..., Dataset], tmp_path: Path) -> None:
    class Peeks(Colour):
        """Trains for what will be asked of it."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Finds:
            ctx.log(1, bound=self.min_score)
            return super().fit(train, val, ctx)

    with pytest.raises(PluginError, match="min_score is declared use-only; fit must not read it"):
        run(Peeks(), data(), tmp_path)


def test_what_is_no_fitted_detector_is_told(data: Callable[..., Dataset], tmp_path: Path) -> None:
    class Old(Colour):
        """Keeps what it learns to itself."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Any:
            return None

    class Itself(Colour):
        """Has itself measured."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Any:
            ctx.evaluate(self, 1)

    for component, said in ((Old(), "fit gave a NoneType"), (Itself(), "evaluate was given a Itself")):
        with pytest.raises(PluginError, match=f"{said}, not a FittedDetector"):
            run(component, data(name=said), tmp_path, said)


def test_the_test_curve_is_that_of_each_epochs_weights_and_the_last_are_used(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    class Chosen(Colour):
        """Ends with other weights than those of its last epoch."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Finds:
            return chosen(super().fit(train, val, ctx))

        def load(self, folder: Path, device: str) -> Finds:
            return chosen(super().load(folder, device))

    def chosen(fitted: Finds) -> Finds:
        with torch.no_grad():
            fitted.network["epoch"].fill_(9)
        return fitted

    _, ctx = run(Chosen(epochs=3, early=2), data(), tmp_path)
    curve = {part: [p.value for p in ctx.curves if (p.split, p.name) == (part, "mAP")] for part in ("val", "test")}
    assert curve == {"val": pytest.approx([0, 1, 1]), "test": pytest.approx([0, 1, 1])}
    _, ctx = run(Chosen(epochs=3, early=4), data(name="late"), tmp_path, "late")
    assert [p.value for p in ctx.curves if (p.split, p.name) == ("test", "mAP")] == [0, 0, 0]
    assert metrics(ctx, "test")["mAP"] == pytest.approx(1)


def test_without_a_network_there_is_no_test_curve_and_that_is_said(
    data: Callable[..., Dataset], tmp_path: Path
) -> None:
    class Unkept(FittedDetector):
        """Finds what another one finds."""

        def __init__(self, inner: Finds) -> None:
            self.inner, self.seen, self.scores = inner, inner.seen, inner.scores

        def detect(self, images: Sequence[Any]) -> list[Detections]:
            return self.inner.detect(images)

    class Bare(Colour):
        """Has no network."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Any:
            fitted = Unkept(Finds(self, {"train": train.ids, "val": val.ids}))
            ctx.evaluate(fitted, 1)
            return fitted

    _, ctx = run(Bare(), data(), tmp_path)
    assert {point.split for point in ctx.curves} == {"val"}
    assert ctx.warnings == ["noted", "There is no test curve: the training kept no weights of its epochs."]
    _, ctx = run(Bare(test_curve=False), data(name="none"), tmp_path, "none")
    assert ctx.warnings == ["noted"]


def test_boxes_are_found_and_measured_with_one_look_at_each_picture(
    data: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    dataset = data(change=lambda sample: dataclasses.replace(sample, size=None))
    looked: list[int] = []
    picture = Dataset.picture
    monkeypatch.setattr(Dataset, "picture", lambda self, row: (looked.append(row), picture(self, row))[1])
    run(Ready(), dataset, tmp_path)
    assert len(looked) == len(dataset)
