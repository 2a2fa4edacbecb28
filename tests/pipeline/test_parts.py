"""Which pictures a run learns from, chooses by, and is measured on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from fgic_core import (
    Attacker,
    BestEpoch,
    Classifier,
    Context,
    Dataset,
    Explainer,
    FittedClassifier,
    InputSpec,
    Maps,
    Run,
    Size,
    read_weights,
)

Measure = Callable[..., Run]


class Bright(nn.Module):
    """Class 1 where the mean pixel is above one half."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logit = 4 * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-logit, logit], dim=1)


class Still(Attacker):
    """Does nothing."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return images


class Grey(Explainer):
    """The picture itself."""

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
        maps = images.mean(dim=1, keepdim=True) * next(iter(network.parameters()), torch.ones(()))
        return Maps(maps, ("grey",))


def pictures(*parts: str) -> list[tuple[int, int, str]]:
    return [(label, level, part) for part in parts for label, level in ((0, 60), (1, 190), (0, 80), (1, 170))]


@pytest.mark.parametrize(
    ("parts", "used"),
    [
        (("train", "val", "test"), "test"),
        (("train", "test"), "test"),
        (("train", "val"), "val"),
        (("train",), "train"),
    ],
)
def test_attacks_and_explanations_are_of_test_then_of_val_then_of_train_with_a_warning(
    measure: Measure, parts: tuple[str, ...], used: str
) -> None:
    run = measure(pictures(*parts), Bright, attack=Still(eps=(0.1,)), explain=Grey(), learn=False)
    for step, file in (("attack", "robustness.parquet"), ("map", "explanations.parquet")):
        ids = pq.read_table(run.record.step(step).folder / file).column("id").to_pylist()
        assert {name.partition("-")[0] for name in ids} == {used}, step
        warned = [warning for warning in run.artifact(step).warnings if "There is no test sample" in warning]
        assert [f" {used} samples, which the model may have learned from" in warning for warning in warned] == [
            True
        ] * (used != "test")
    assert run.metric("attack", "clean_accuracy", used).n == 4
    assert run.metric("map", "zero_maps", used).n == 4


def test_few_pictures_are_chosen_evenly_over_the_classes(measure: Measure) -> None:
    test = [*[(0, 60, "test")] * 40, *[(1, 190, "test")] * 6, *[(0, 80, "test")] * 4]
    run = measure(test, Bright, attack=Still(eps=(0.1,), samples=8), explain=Grey(samples=6))
    for step, file, n in (("attack", "robustness.parquet", 8), ("map", "explanations.parquet", 6)):
        rows = pq.read_table(run.record.step(step).folder / file).to_pylist()
        labels = {row["id"]: row["label"] for row in rows}
        assert sorted(labels.values()) == [0] * (n // 2) + [1] * (n // 2), step


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"count": 3}, "the data set's 3 classes are not the model's 2"),
        ({"first": 1}, "class 0 is 'class 1' in the data set and 'class 0' in the model"),
    ],
)
def test_pictures_of_other_classes_are_neither_attacked_nor_explained(
    measure: Measure, other: dict[str, Any], said: str
) -> None:
    """Also where there are as many of them: labels in another order are other labels."""
    guests = {"attack": Still(eps=(0.1,)), "explain": Grey()}
    run = measure(pictures("test"), Bright, **guests, other=other, fails=True)
    for step in ("attack", "map"):
        assert run.record.step(step).status == "failed"
        assert said in run.record.step(step).error
        assert "Give both steps the same data set" in run.record.step(step).error


class Threshold(nn.Module):
    """Class 1 where the mean pixel is above a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logit = images.mean(dim=(1, 2, 3)) - self.threshold
        return torch.stack([-logit, logit], dim=1)


def levels(part: Dataset) -> list[int]:
    """The grey of each picture."""
    return [part.crop(row).getpixel((0, 0))[0] for row in range(len(part))]


class Choosing(Classifier):
    """Tries a threshold in each epoch, keeps the best one, and notes what it was given."""

    keep: Literal["best", "last"] = "best"

    def build(self, classes: Any) -> FittedClassifier:
        return FittedClassifier(Threshold(), InputSpec(Size(4, 4)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        fitted = self.build(train.classes)
        best, scores = BestEpoch(fitted.network, "accuracy", self.keep), []
        for epoch in ctx.epochs(4):
            with torch.no_grad():
                fitted.network.threshold.fill_((0.2, 0.5, 0.5, 0.8)[epoch - 1])
            scores.append(dict(ctx.evaluate(fitted, epoch)))
            best.see(epoch, scores[-1])
        best.restore()
        seen = {name: [levels(part), part.ids] for name, part in (("train", train), ("val", val))}
        (ctx.folder / "seen.json").write_text(json.dumps({**seen, "scores": scores, "epoch": best.epoch}))
        return fitted


def seen(run: Run) -> dict[str, Any]:
    """What the classifier noted."""
    found: dict[str, Any] = json.loads((run.learned("classifier") / "seen.json").read_text())
    return found


def kept(run: Run) -> float:
    return read_weights(run.learned("classifier") / "component" / "model.safetensors").tensors["threshold"].item()


VAL = [(0, 80, "val"), (0, 90, "val"), (1, 170, "val"), (1, 180, "val")]


def test_poisoned_test_labels_change_the_test_numbers_and_nothing_that_is_kept(measure: Measure) -> None:
    """On the poisoned labels the last epoch would be best, on the true ones as on val the second."""
    found = []
    for labels in ((0, 0, 1, 1), (0, 0, 0, 0)):
        test = [(label, level, "test") for label, level in zip(labels, (80, 90, 170, 180), strict=True)]
        found.append(measure([*VAL, *test], kind=Choosing))
    files = []
    for run in found:
        folder = run.learned("classifier")
        files.append({name: (folder / name).read_bytes() for name in ("seen.json", "component/model.safetensors")})
    assert files[0] == files[1]
    assert [kept(run) for run in found] == [0.5, 0.5]
    assert seen(found[0])["epoch"] == 2, "of equals the first"
    assert [run.metric("classifier", "accuracy", "test").value for run in found] == [1.0, 0.5]
    assert [run.metric("classifier", "accuracy", "val").value for run in found] == [1.0, 1.0]


def test_a_classifier_sees_no_test_picture_and_is_told_no_test_number(measure: Measure) -> None:
    """Test has other accuracies in every epoch than val."""
    test = [(1, 60, "test"), (1, 70, "test"), (1, 80, "test"), (1, 180, "test"), (0, 30, "test")]
    run = measure([*VAL, *test], kind=Choosing)
    told = seen(run)
    for part in ("train", "val"):
        assert {name.partition("-")[0] for name in told[part][1]} == {part}
    assert [scores["accuracy"] for scores in told["scores"]] == [0.5, 1.0, 1.0, 0.5]
    curves = {(p.split, p.epoch): p.value for p in run.artifact("classifier").curves if p.name == "accuracy"}
    assert [curves["val", epoch] for epoch in range(1, 5)] == [0.5, 1.0, 1.0, 0.5]
    assert [curves["test", epoch] for epoch in range(1, 5)] == [1.0, 0.4, 0.4, 0.2]


def test_without_the_test_curve_test_is_measured_at_the_end_alone(measure: Measure) -> None:
    run = measure([*VAL, (1, 180, "test")], kind=Choosing, test_curve=False)
    assert {point.split for point in run.artifact("classifier").curves} == {"val"}
    assert run.metric("classifier", "accuracy", "test").value == 1.0


def test_validation_is_cut_from_train_with_its_share_of_every_class(measure: Measure) -> None:
    lessons = [*[(0, 20 + row, "train") for row in range(30)], *[(1, 140 + row, "train") for row in range(10)]]
    run = measure([*lessons, *pictures("test")], kind=Choosing, learn=False, val_fraction=0.2)
    (train, learned), (val, chosen_by) = (seen(run)[part] for part in ("train", "val"))
    assert len(train) == 32
    assert sorted(level > 127 for level in val) == [False] * 6 + [True] * 2
    assert not set(learned) & set(chosen_by)


def test_copies_of_a_picture_are_never_on_both_sides_of_the_cut(measure: Measure) -> None:
    """Ten files of each class, each there twice."""
    lessons = [
        (label, level, "train") for label in (0, 1) for row in range(10) for level in [20 + 120 * label + row] * 2
    ]
    run = measure([*lessons, *pictures("test")], kind=Choosing, learn=False, copies=True, val_fraction=0.3)
    train, val = (seen(run)[part][0] for part in ("train", "val"))
    assert val
    assert not set(train) & set(val)
    assert len(train) + len(val) == 40
