"""How the core drives and measures a classifier."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import Field, PrivateAttr
from torch import nn

import fgic_core
from fgic_core import (
    Classifier,
    Context,
    DataError,
    Dataset,
    FittedClassifier,
    InputSpec,
    PluginError,
    Sample,
    Size,
)
from fgic_core.data.artifact import Metric
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.kinds.classifier.driver import run, use
from fgic_core.kinds.classifier.fit import classify, fit, learned_from, training_parts
from fgic_core.steps.context import StepContext

COLOURS = ((220, 40, 40), (40, 220, 40), (40, 40, 220))
#: As in the data sets below: how many pictures each class has.
TRAIN, TEST = 10, 4

Make = Callable[..., Dataset]


class Plain(Classifier):
    """Softmax regression on the mean colour."""

    epochs: int = Field(3, ge=1, description="Passes.")
    _seen: dict[str, Any] = PrivateAttr(default_factory=dict)

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        self._seen.update({"train": train, "val": val, "scores": [], "random": []})
        fitted = self.build(train.classes)
        images = torch.stack([fitted.input.prepare(train.crop(row)) for row in range(len(train))])
        labels = torch.from_numpy(train.labels)
        optimizer = torch.optim.Adam(fitted.network.parameters(), lr=0.1)
        for epoch in ctx.epochs(self.epochs):
            fitted.network.train()
            loss = nn.functional.cross_entropy(fitted.network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self._seen["scores"].append(ctx.evaluate(fitted, epoch))
            self._seen["random"].append(torch.rand(1).item())
        return fitted

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return FittedClassifier(self._make(len(classes)), InputSpec(Size(8, 8)), tuple(classes))

    def _make(self, classes: int) -> nn.Module:
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))
        nn.init.zeros_(network[2].weight)
        nn.init.zeros_(network[2].bias)
        return network


@pytest.fixture
def make(tmp_path: Path, made_up_digests: None) -> Make:
    """Makes data sets of coloured pictures; ``change`` may replace or drop (None) samples."""

    def dataset(
        classes: int = 3,
        change: Callable[[Sample], Sample | None] = lambda sample: sample,
        digest: Callable[[str], str | None] = lambda name: name,
        notes: tuple[str, ...] = (),
    ) -> Dataset:
        folder = tmp_path / f"data-{len(list(tmp_path.glob('data-*')))}"
        folder.mkdir()
        samples = []
        for split, count in (("train", TRAIN), ("test", TEST)):
            for label in range(classes):
                for number in range(count):
                    rng = np.random.default_rng([label, number, len(split)])
                    pixels = rng.normal(0, 20, (32, 32, 3)) + COLOURS[label % 3]
                    name = f"{split}-{label}-{number}"
                    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
                    sample = change(Sample(id=name, path=f"{name}.png", label=label, split=split))
                    if sample is not None:
                        samples.append(sample)
        header = Header(tuple(f"class {label}" for label in range(classes)), {"here": folder}, notes=notes)
        with DatasetWriter(folder, header) as writer:
            writer.write_samples(samples, "here")
        opened = Dataset.open(folder)
        digests = pa.array([digest(name) for name in opened.ids], pa.string())
        place = opened.table.column_names.index("digest")
        return Dataset(opened.header, opened.table.set_column(place, opened.table.field(place), digests))

    return dataset


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., StepContext]:
    def make_context(seed: int = 0) -> StepContext:
        folder = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        folder.mkdir()
        return StepContext(folder, uses="classifier/plain", scratch=tmp_path / f"scratch-{folder.name}", seed=seed)

    return make_context


def metrics(ctx: StepContext) -> Mapping[tuple[str, str], Metric]:
    return {(metric.name, metric.split): metric for metric in ctx.metrics}


def test_the_artifact_holds_the_component_its_options_and_classes_and_predictions(
    make: Make, context: Callable[..., StepContext]
) -> None:
    ctx = context()
    run(Plain(epochs=20), {"dataset": make()}, ctx)
    assert (ctx.folder / "component" / "model.safetensors").exists()
    about = json.loads((ctx.folder / "component.json").read_text())
    assert about == {"uses": "classifier/plain", "classes": ["class 0", "class 1", "class 2"]}
    table = pq.read_table(ctx.folder / "predictions.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "split": "string",
        "label": "int32",
        "predicted": "int32",
        "confidence": "float",
        "loss": "float",
        "top": "list<element: int32>",
    }
    rows = table.to_pylist()
    assert [row["split"] for row in rows] == ["val"] * 3 + ["test"] * 12
    for row in rows:
        assert row["label"] == int(row["id"].split("-")[1])
        assert row["top"][0] == row["predicted"]
        assert sorted(row["top"]) == [0, 1, 2]
        assert 1 / 3 <= row["confidence"] <= 1
        if row["label"] == row["predicted"]:
            assert row["loss"] == pytest.approx(-np.log(row["confidence"]), abs=1e-5)


def test_metrics_agree_with_the_predictions_and_carry_count_and_interval(
    make: Make, context: Callable[..., StepContext]
) -> None:
    # Two labels are wrong on purpose, so that the classes' accuracies differ.
    wrong = {"test-0-0", "test-0-1"}
    ctx = context()
    run(Plain(epochs=20), {"dataset": make(change=lambda s: replace(s, label=1) if s.id in wrong else s)}, ctx)
    found = metrics(ctx)
    accuracy = found["accuracy", "test"]
    assert (accuracy.value, accuracy.n) == (10 / 12, 12)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert accuracy.low < 10 / 12 < accuracy.high
    assert found["mean_class_accuracy", "test"].value == pytest.approx((1 + 4 / 6 + 1) / 3)
    rows = pq.read_table(ctx.folder / "predictions.parquet").to_pylist()
    loss = np.mean([row["loss"] for row in rows if row["split"] == "test"])
    assert found["loss", "test"].value == pytest.approx(loss)
    assert found["accuracy", "val"].n == 3
    assert ("top5_accuracy", "test") not in found


def test_more_than_five_classes_have_a_top5_accuracy(make: Make, context: Callable[..., StepContext]) -> None:
    ctx = context()
    run(Plain(), {"dataset": make(classes=7)}, ctx)
    rows = [row for row in pq.read_table(ctx.folder / "predictions.parquet").to_pylist() if row["split"] == "test"]
    assert all(len(row["top"]) == 5 for row in rows)
    share = np.mean([row["label"] in row["top"] for row in rows])
    assert metrics(ctx)["top5_accuracy", "test"].value == pytest.approx(share)


def test_what_there_is_to_beat_counts_the_classes_that_occur(make: Make, context: Callable[..., StepContext]) -> None:
    """Of seven classes three have pictures, of which one has no test picture and one has most of them."""

    def change(sample: Sample) -> Sample | None:
        few = sample.split == "test" and (sample.label == 2 or (sample.label == 1 and not sample.id.endswith("-0")))
        return None if sample.label > 2 or few else sample

    ctx = context()
    run(Plain(), {"dataset": make(classes=7, change=change)}, ctx)
    found = metrics(ctx)
    assert (found["classes", "test"].value, found["classes", "val"].value) == (2, 3)
    assert found["classes", "test"].note == "of 7; the others do not occur here"
    assert (found["majority_accuracy", "test"].value, found["majority_accuracy", "test"].n) == (4 / 5, 5)
    assert found["majority_accuracy", "test"].note == "of one that always says class 0"
    assert found["mean_class_accuracy", "test"].note == "mean over the 2 of 7 that occur"
    assert ("top5_accuracy", "test") not in found, "five of three classes are all of them"


def test_poisoned_test_labels_leave_what_was_learnt_bit_identical(
    make: Make, context: Callable[..., StepContext]
) -> None:
    from fgic_classify_timm import TimmClassifier

    def poison(sample: Sample) -> Sample:
        return replace(sample, label=(sample.label + 1) % 3) if sample.split == "test" else sample

    found, accuracies = [], []
    torch.set_num_threads(1)
    for data in (make(), make(change=poison)):
        ctx = context()
        options = {"model": "test_efficientnet", "pretrained": False, "image_size": 32, "batch_size": 8, "epochs": 6}
        component = TimmClassifier.model_validate({**options, "val_fraction": 0.3, "early_stopping": 3, "dropout": 0.2})
        run(component, {"dataset": data}, ctx)
        found.append((ctx.folder / "component" / "model.safetensors").read_bytes())
        accuracies.append(metrics(ctx)["accuracy", "test"].value)
    assert found[0] == found[1]
    assert accuracies[0] != accuracies[1]


def test_what_fit_receives_holds_no_test_sample_and_evaluation_returns_no_test_number(
    make: Make, context: Callable[..., StepContext]
) -> None:
    component, ctx = Plain(), context()
    run(component, {"dataset": make()}, ctx)
    seen = component._seen
    assert all(name.startswith("train") for part in ("train", "val") for name in seen[part].ids)
    assert not set(seen["train"].ids) & set(seen["val"].ids)
    curves = {(point.split, point.name): point.value for point in ctx.curves if point.epoch == 3}
    assert set(curves) == {(part, name) for part in ("val", "test") for name in ("loss", "accuracy")}
    assert seen["scores"][-1] == {"loss": curves["val", "loss"], "accuracy": curves["val", "accuracy"]}


def test_the_test_curve_can_be_left_out_without_changing_the_training(
    make: Make, context: Callable[..., StepContext]
) -> None:
    data, random = make(), []
    for test_curve in (True, False):
        component, ctx = Plain(test_curve=test_curve), context()
        run(component, {"dataset": data}, ctx)
        random.append(component._seen["random"])
        assert any(point.split == "test" for point in ctx.curves) == test_curve
        assert ("accuracy", "test") in metrics(ctx)
    assert random[0] == random[1]


def test_validation_is_cut_from_train_stratified_and_depends_on_the_seed(
    make: Make, context: Callable[..., StepContext]
) -> None:
    data = make()
    train, val = training_parts(data, 0.3, context())
    assert sorted([*train.ids, *val.ids]) == sorted(data.split("train").ids)
    assert np.bincount(val.labels).tolist() == [3, 3, 3]
    assert training_parts(data, 0.3, context())[1].ids == val.ids
    assert training_parts(data, 0.3, context(seed=1))[1].ids != val.ids


def test_a_validation_split_of_the_data_set_is_used_as_it_is(make: Make, context: Callable[..., StepContext]) -> None:
    data = make(change=lambda s: replace(s, split="val") if s.id.startswith("train") and s.id.endswith("-7") else s)
    train, val = training_parts(data, 0.3, context())
    assert val.ids == ["train-0-7", "train-1-7", "train-2-7"]
    assert len(train) == 27


def test_synthetic_samples_are_learnt_from_but_never_chosen_by(make: Make, context: Callable[..., StepContext]) -> None:
    synthetic = {f"train-{label}-{number}" for label in range(3) for number in range(5)}
    data = make(change=lambda s: replace(s, origin="synthetic:generator/x") if s.id in synthetic else s)
    train, val = training_parts(data, 0.5, context())
    assert not synthetic & set(val.ids)
    assert synthetic < set(train.ids)
    assert len(val) == 6


def test_copies_of_one_picture_are_never_on_both_sides(make: Make, context: Callable[..., StepContext]) -> None:
    def digest(name: str) -> str | None:
        _, label, number = name.split("-")
        return f"{label}-{int(number) // 2}"

    for seed in range(5):
        train, val = training_parts(make(digest=digest), 0.3, context(seed))
        assert not {digest(name) for name in train.ids} & {digest(name) for name in val.ids}
        assert set(train.labels) == set(val.labels) == {0, 1, 2}


def test_pictures_without_a_digest_are_not_taken_for_copies(make: Make, context: Callable[..., StepContext]) -> None:
    _, val = training_parts(make(digest=lambda name: None), 0.3, context())
    assert np.bincount(val.labels).tolist() == [3, 3, 3]


def test_what_was_made_from_a_held_out_sample_is_left_out_and_said(
    make: Make, context: Callable[..., StepContext]
) -> None:
    def change(sample: Sample) -> Sample:
        kind, label, number = sample.id.split("-")
        if kind == "train" and int(number) >= 5:
            parent = f"train-{label}-{int(number) - 5}"
            return replace(sample, origin="synthetic:generator/x", parents=(parent,))
        return sample

    ctx = context()
    train, val = training_parts(make(change=change), 0.4, ctx)
    parents = {parent for sample in train for parent in sample.parents}
    assert len(val) == 6
    assert not parents & set(val.ids)
    assert len(train) == 30 - 6 - 6
    assert any("6 train samples made from held-out" in warning for warning in ctx.warnings)


def test_no_train_sample_and_a_single_class_are_refused(make: Make, context: Callable[..., StepContext]) -> None:
    with pytest.raises(DataError, match="no train sample"):
        run(Plain(), {"dataset": make(change=lambda s: s if s.split == "test" else None)}, context())
    with pytest.raises(DataError, match=r"one class \(class 1\)"):
        run(Plain(), {"dataset": make(change=lambda s: replace(s, label=1))}, context())


def test_scarce_classes_missing_parts_and_the_datas_notes_are_said(
    make: Make, context: Callable[..., StepContext]
) -> None:
    def change(sample: Sample) -> Sample | None:
        return (
            None if sample.split == "test" or (sample.id.startswith("train-2") and sample.id != "train-2-0") else sample
        )

    ctx = context()
    run(Plain(), {"dataset": make(change=change, notes=("these pictures were squashed",))}, ctx)
    assert "these pictures were squashed" in ctx.warnings
    assert any("1 of 3 classes have fewer than two train samples: class 2" in warning for warning in ctx.warnings)
    assert any("no test sample" in warning for warning in ctx.warnings)
    assert not any(metric.split == "test" for metric in ctx.metrics)


def test_classes_of_one_sample_each_leave_nothing_to_choose_by(make: Make, context: Callable[..., StepContext]) -> None:
    def change(sample: Sample) -> Sample | None:
        return None if sample.id.startswith("train") and not sample.id.endswith("-0") else sample

    component, ctx = Plain(), context()
    run(component, {"dataset": make(change=change)}, ctx)
    assert any("no validation sample" in warning for warning in ctx.warnings)
    assert component._seen["scores"] == [{}, {}, {}]


class _WrongShape(Plain):
    def _make(self, classes: int) -> nn.Module:
        return super()._make(classes + 1)


class _NotFinite(Plain):
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        fitted = super().fit(train, val, ctx)
        with torch.no_grad():
            fitted.network[2].bias.fill_(float("nan"))
        return fitted


class _Own(InputSpec):
    def prepare(self, image: Any) -> torch.Tensor:
        return super().prepare(image) * 4 - 2


class _OwnInput(Plain):
    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return replace(super().build(classes), input=_Own(Size(8, 8)))


class _OtherNames(Plain):
    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return super().build(sorted(classes, reverse=True))


class _Lazy(Plain):
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> None:
        pass


class _Empty(Plain):
    def _make(self, classes: int) -> None:
        return None

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        return self.build(train.classes)


class _Itself(Plain):
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> None:
        ctx.evaluate(self, 1)


class _Forgetful(Plain):
    def load(self, folder: Path, device: str) -> FittedClassifier:
        fitted = super().load(folder, device)
        with torch.no_grad():
            fitted.network[2].bias.add_(torch.arange(3.0))
        return fitted


class _Curious(Plain):
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        ctx.log(1, curve=self.test_curve)
        return super().fit(train, val, ctx)


class _Peeking(Plain):
    seen: ClassVar[list[object]] = []

    def load(self, folder: Path, device: str) -> FittedClassifier:
        try:
            self.seen.append(self.test_curve)
        except PluginError:
            self.seen.append("refused")
        return super().load(folder, device)


class _Restless(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inner = Plain()._make(classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.inner.train()
        return self.inner(images)


class _Wakes(Plain):
    def _make(self, classes: int) -> nn.Module:
        return _Restless(classes)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (_WrongShape, r"network gave \(3, 4\) for a batch"),
        (_NotFinite, "not finite"),
        (_OwnInput, "evaluate was given a _Own as input, not an InputSpec"),
        (_OtherNames, "3 names of classes that are not those of the data set"),
        (_Lazy, "fit gave a NoneType, not a FittedClassifier"),
        (_Empty, "fit gave a NoneType as network"),
        (_Itself, "evaluate was given a _Itself, not a FittedClassifier"),
        (_Forgetful, "other logits after save and load"),
        (_Wakes, "training mode"),
    ],
)
def test_a_classifier_that_breaks_its_contract_is_named_with_what_it_did(
    make: Make, context: Callable[..., StepContext], kind: type[Plain], message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        run(kind(), {"dataset": make()}, context())
    assert caught.value.where == "classifier/plain"


def test_fit_cannot_read_an_option_that_plays_no_part_in_it(make: Make, context: Callable[..., StepContext]) -> None:
    with pytest.raises(PluginError, match="test_curve is declared use-only; fit, build and load must not read it"):
        run(_Curious(), {"dataset": make()}, context())


def test_opening_a_classifier_cannot_read_an_option_that_is_for_use_alone(
    make: Make, context: Callable[..., StepContext]
) -> None:
    """What takes the model opens it without a key of such options."""
    run(_Peeking(), {"dataset": make()}, context())
    assert _Peeking.seen == ["refused"] * len(_Peeking.seen) != []


def test_measuring_in_the_middle_of_training_puts_the_modes_back(
    make: Make, context: Callable[..., StepContext]
) -> None:
    modes = []

    class Watching(Plain):
        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
            fitted = self.build(train.classes)
            fitted.network.train()
            fitted.network[1].eval()
            ctx.evaluate(fitted, 1)
            modes.extend(module.training for module in fitted.network)
            return fitted

    run(Watching(), {"dataset": make()}, context())
    assert modes == [True, False, True]


def test_the_curve_from_snapshots_is_what_measuring_at_every_epoch_gives(
    make: Make, context: Callable[..., StepContext]
) -> None:
    """To the bit; and fit, which sees no test row, has measured none of it."""
    data, ctx, measured = make(), context(), {}

    class Measured(Plain):
        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
            own, inner = ctx.evaluate, classify

            def evaluate(fitted: FittedClassifier, epoch: int) -> Any:
                measured[epoch] = inner(fitted, data.split("test"), context(), "test").scores
                return own(fitted, epoch)

            ctx.evaluate = evaluate  # type: ignore[method-assign]
            return super().fit(train, val, ctx)

    component = Measured(epochs=4)
    learned = learned_from(component, data)
    assert learned.splits == ["train"]
    fitted = fit(component, learned, ctx)
    assert not [point for point in ctx.curves if point.split == "test"]
    assert ctx.metrics == []
    assert fitted.classes == data.classes
    use(component, {"dataset": data}, ctx, {"": ctx.folder})
    found: dict[int, dict[str, float]] = {}
    for point in ctx.curves:
        if point.split == "test":
            found.setdefault(point.epoch, {})[point.name] = point.value
    assert found == measured
    assert sorted(found) == [1, 2, 3, 4]
    assert len({scores["loss"] for scores in found.values()}) == 4
    assert ctx.warnings == []


def test_without_snapshots_the_curve_is_absent_with_the_reason(make: Make, context: Callable[..., StepContext]) -> None:
    class Silent(Plain):
        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
            return self.build(train.classes)

    for curve, said in ((True, ["There is no test curve: the training kept no weights of its epochs."]), (False, [])):
        ctx = context()
        run(Silent(test_curve=curve), {"dataset": make()}, ctx)
        assert ctx.warnings == said


def test_a_snapshot_that_is_lost_is_said(make: Make, context: Callable[..., StepContext]) -> None:
    class Careless(Plain):
        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
            fitted = self.build(train.classes)
            for epoch in (1, 2):
                ctx.evaluate(fitted, epoch)
            next(ctx.folder.parent.rglob("000001.safetensors")).write_bytes(b"")
            return fitted

    ctx = context()
    run(Careless(), {"dataset": make()}, ctx)
    assert ctx.warnings == ["The snapshot of epoch 1 was damaged before the training ended, and is left out."]
    assert {point.epoch for point in ctx.curves if point.split == "test"} == {2}


def test_epochs_whose_weights_are_not_known_are_left_out_of_the_curve(
    make: Make, context: Callable[..., StepContext]
) -> None:
    class Thawing(Plain):
        """Trains the bias from the second epoch on alone."""

        def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
            fitted = self.build(train.classes)
            for epoch in ctx.epochs(3):
                fitted.network[2].bias.requires_grad_(epoch > 1)
                with torch.no_grad():
                    fitted.network[2].bias.add_(epoch - 1.0)
                ctx.evaluate(fitted, epoch)
            return fitted

    ctx = context()
    run(Thawing(), {"dataset": make()}, ctx)
    assert sorted({point.epoch for point in ctx.curves if point.split == "test"}) == [2, 3]
    said = "The test curve lacks 1 of 3 epochs: the snapshot of epoch 1 lacks weights that were trained later."
    assert ctx.warnings == [said]


def test_a_recipe_without_build_writes_save_and_load(tmp_path: Path) -> None:
    class Ready(Plain):
        def build(self, classes: Sequence[str]) -> None:
            return None

    fitted = Plain().build(["a", "b"])
    Plain().save(fitted, tmp_path)
    with pytest.raises(PluginError, match="Ready gives no network to load weights into"):
        Ready().load(tmp_path, "cpu")


def test_what_the_core_saves_is_loaded_with_its_input_and_classes_and_draws_nothing(tmp_path: Path) -> None:
    spec = InputSpec(Size(8, 6), "nearest", "center_crop", 0.5, (1, 2, 3))
    fitted = replace(Plain().build(["b", "a"]), input=spec)
    Plain().save(fitted, tmp_path)
    before = torch.get_rng_state()
    again = Plain().load(tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.input, again.classes) == (spec, ("b", "a"))
    assert not again.network.training
    fgic_core.save_weights(fitted.network, tmp_path / "model.safetensors", classes=["b", "a"])
    with pytest.raises(PluginError, match="what these weights say of themselves is incomplete: 'input'"):
        Plain().load(tmp_path, "cpu")


def test_what_is_used_has_the_weights_that_fit_gave(make: Make, context: Callable[..., StepContext]) -> None:
    data, ctx, component = make(), context(), Plain()
    fitted = fit(component, learned_from(component, data), ctx)
    with torch.no_grad():
        fitted.network[2].bias.add_(torch.arange(len(data.classes)) * 50.0)  # of an epoch without a snapshot
    (ctx.folder / "component" / "model.safetensors").unlink()
    component.save(fitted, ctx.folder / "component")
    use(component, {"dataset": data}, ctx, {"": ctx.folder})
    predicted = pq.read_table(ctx.folder / "predictions.parquet").column("predicted").to_pylist()
    assert set(predicted) == {len(data.classes) - 1}
