"""How detector/torchvision trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from fgic_detect_torchvision import TorchvisionDetector
from fgic_detect_torchvision._detection import Finder, detect
from fgic_detect_torchvision._network import Network, build
from fgic_detect_torchvision._training import Detection

from fgic_core import BestEpoch, Box, Dataset, ObjectBox, PluginError, Sample
from fgic_core.kit import learn, rate_factor
from fgic_core.steps.context import StepContext

Make = Callable[..., TorchvisionDetector]
MakeContext = Callable[..., StepContext]
Rectangles = Callable[..., Dataset]
MODELS = ("faster-rcnn", "retinanet")


def rate(options: TorchvisionDetector, epoch: int, step: int, steps: int = 10**6) -> float:
    return options.lr * rate_factor(options, epoch, step, steps)


def train_network(options: TorchvisionDetector, network: Network, train: Dataset, ctx: StepContext) -> None:
    learn(options, Detection(options, network, train, ctx), ctx)


def weights_of(fitted: Finder) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in fitted.network.state_dict().items()}


def curve(ctx: StepContext, name: str, part: str = "train") -> list[float]:
    return [point.value for point in ctx.curves if point.name == name and point.split == part]


def ruled(ctx: StepContext, scores: list[float]) -> StepContext:
    """The context, with these mAP on validation epoch by epoch."""
    ctx.measure_by(lambda fitted, epoch: {"val": {"mAP": scores[epoch - 1]}})
    return ctx


@pytest.mark.parametrize(
    "options",
    [
        {"proposals": 16, "image_size": 32, "batch_size": 4, "lr": 0.02},
        {"proposals": 16, "image_size": 32, "batch_size": 4, "lr": 0.02, "per_class": True},
        {"model": "retinanet", "image_size": 48, "batch_size": 2, "lr": 0.01, "per_class": True},
    ],
    ids=["faster-rcnn", "faster-rcnn per class", "retinanet per class"],
)
def test_it_learns_to_find_objects_and_where_asked_to_tell_their_classes(
    rectangles: Rectangles, context: MakeContext, average_precision: Callable[..., float], options: dict[str, Any]
) -> None:
    train, test, ctx = rectangles(16), rectangles(12, seed=1), context()
    pictures = [test.picture(row) for row in range(len(test))]
    detector = TorchvisionDetector.model_validate(
        {"backbone": "resnet18", "epochs": 6, "warmup": 0.0, "schedule": "cosine", **options}
    )
    before = average_precision(detect(build(detector, "ab", ctx), pictures), test)
    found = detector.fit(train, train, ctx).detect(pictures)
    after = average_precision(found, test)
    assert before < 0.3
    assert after > 0.5
    if detector.per_class:
        assert average_precision(found, test, per_class=True) > 0.9 * after
    else:
        assert {label for one in found for label in one.labels.tolist()} == {0}
    losses = curve(ctx, "loss")
    assert len(losses) == 6
    assert losses[-1] < 0.85 * losses[0]
    parts = {point.name for point in ctx.curves if point.name.startswith("loss_")}
    assert sum(curve(ctx, name)[-1] for name in parts) == pytest.approx(losses[-1], rel=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_empty_pictures_are_trained_on_and_those_that_nobody_annotated_are_not(
    model: str, tiny: Make, write: Callable[..., Dataset], context: MakeContext
) -> None:
    """One picture a step, so that there are steps without a single object."""
    box = ObjectBox(Box(8, 8, 30, 30), 0)

    def trained(name: str, **about: Any) -> tuple[dict[str, bytes], StepContext]:
        samples = [Sample(id="0", path="0.png", label=0, split="train", boxes=(box,))]
        samples += [Sample(id=f"{n}", path=f"{n}.png", label=1, split="train", **about) for n in (1, 2)]
        detector, ctx = tiny(model=model, batch_size=1), context(name)
        train = write(samples, name)
        fitted = detector.fit(train, train.take([]), ctx)
        assert all(math.isfinite(loss) for loss in curve(ctx, "loss"))
        return weights_of(fitted), ctx

    empty, ctx = trained("empty", empty=True)
    assert ctx.warnings == []
    unknown, ctx = trained("unknown")
    assert ctx.warnings == ["train pictures without a box of a single object were left out: 2"]
    assert empty != unknown


class _Stopped(Exception):
    pass


class _Stopping(StepContext):
    """A context in which the machine goes down right after the checkpoint of the second epoch."""

    def checkpoint(self, epoch: int, state: Any) -> None:
        super().checkpoint(epoch, state)
        if epoch == 2:
            raise _Stopped


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupted_training_ends_with_the_same_bits_as_one_that_was_not(
    tiny: Make, rectangles: Rectangles, context: MakeContext, model: str
) -> None:
    data, scores = rectangles(5), [0.1, 0.4, 0.3]
    options: dict[str, Any] = {"model": model, "epochs": 3, "batch_size": 2, "warmup": 0.5, "keep": "last"}
    whole_ctx = ruled(context("whole"), scores)
    whole = tiny(**options).fit(data, data, whole_ctx)

    with pytest.raises(_Stopped):
        tiny(**options).fit(data, data, ruled(context("stopped", _Stopping, keep=True), scores))
    torch.rand(7)  # whatever else the process did in between
    resumed_ctx = ruled(context("stopped", keep=True), scores)
    resumed = tiny(**options).fit(data, data, resumed_ctx)

    assert resumed_ctx.resumed == 2
    assert weights_of(resumed) == weights_of(whole)
    assert resumed_ctx.curves == whole_ctx.curves


def test_the_best_epoch_outlives_an_interruption(tiny: Make, rectangles: Rectangles, context: MakeContext) -> None:
    data, scores = rectangles(2), [0.1, 0.4, 0.4]
    seen: dict[int, dict[str, bytes]] = {}

    def ruler(fitted: Any, epoch: int) -> Mapping[str, Mapping[str, float]]:
        seen[epoch] = weights_of(fitted)
        return {"val": {"mAP": scores[epoch - 1]}, "test": {"mAP": epoch / 10}}

    stopped = context("stopped", _Stopping, keep=True)
    stopped.measure_by(ruler)
    with pytest.raises(_Stopped):
        tiny(epochs=3).fit(data, data, stopped)
    resumed_ctx = context("stopped", keep=True)
    resumed_ctx.measure_by(ruler)
    resumed = tiny(epochs=3).fit(data, data, resumed_ctx)
    assert weights_of(resumed) == seen[2]
    assert seen[2] != seen[3]


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(
    tiny: Make, rectangles: Rectangles, context: MakeContext
) -> None:
    data, found = rectangles(2), []
    for seed in (0, 0, 1):
        torch.rand(3)
        found.append(weights_of(tiny().fit(data, data, context(seed=seed))))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_early_stopping_counts_epochs_without_a_better_one(
    tiny: Make, rectangles: Rectangles, context: MakeContext
) -> None:
    data, ctx = rectangles(2), ruled(context(), [0.1, 0.5, 0.5, 0.4, 0.9])
    tiny(epochs=5, early_stopping=2).fit(data, data, ctx)
    assert curve(ctx, "mAP", "val") == [0.1, 0.5, 0.5, 0.4]


def test_without_a_score_the_last_epoch_is_kept() -> None:
    network = torch.nn.Linear(1, 1)
    best = BestEpoch(network, "mAP")
    best.see(1, {})
    with torch.no_grad():
        network.bias.fill_(5)
    best.restore()
    assert network.bias.item() == 5
    assert best.epoch == 0


def test_the_step_schedule_falls_after_8_and_11_twelfths(tiny: Make) -> None:
    rates = [rate(tiny(epochs=12, lr=0.02), epoch, 10**6) for epoch in range(1, 13)]
    assert rates == pytest.approx([0.02] * 8 + [0.002] * 3 + [0.0002])
    assert [rate(tiny(epochs=1, lr=0.02), 1, 10**6)] == [0.02]


def test_the_cosine_schedule_falls_from_epoch_to_epoch_and_none_does_not(tiny: Make) -> None:
    cosine = [rate(tiny(epochs=4, lr=1.0, schedule="cosine"), epoch, 9) for epoch in range(1, 5)]
    assert cosine == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-5)
    assert {rate(tiny(epochs=4, lr=1.0, schedule="none"), epoch, 9) for epoch in range(1, 5)} == {1.0}


def test_warm_up_rises_step_by_step_and_the_rate_is_logged(
    tiny: Make, rectangles: Rectangles, context: MakeContext
) -> None:
    options = tiny(lr=1.0, schedule="none", warmup=0.5)
    assert [rate(options, 1, step, 8) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    ctx = context()
    data = rectangles(4)
    tiny(lr=1e-3, epochs=2, schedule="none", batch_size=2, warmup=0.5).fit(data, data, ctx)
    assert curve(ctx, "lr") == pytest.approx([2e-3 / 3, 1e-3]), "of four steps two are warm-up"


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_loss_that_is_not_finite_stops_with_the_epoch_and_advice(
    tiny: Make, rectangles: Rectangles, context: MakeContext, clip_norm: float | None
) -> None:
    data = rectangles(4)
    with pytest.raises(PluginError, match=r"loss of epoch \d is not finite") as caught:
        tiny(epochs=4, lr=1e30, batch_size=1, clip_norm=clip_norm).fit(data, data, context())
    assert "lower lr" in (caught.value.hint or "")


def test_a_small_norm_shortens_the_steps(tiny: Make, rectangles: Rectangles, context: MakeContext) -> None:
    data, moved = rectangles(2), []
    for clip_norm in (None, 1e-6):
        ctx = context()
        detector = tiny(clip_norm=clip_norm, weight_decay=0.0)
        network = build(detector, "ab", ctx)
        before = network.model.backbone.body["0"][0].weight.detach().clone()
        train_network(detector, network, data, ctx)
        moved.append((network.model.backbone.body["0"][0].weight - before).abs().max().item())
    assert moved[1] < 1e-6 < moved[0]


def test_frozen_layers_keep_their_weights_and_batchnorm_statistics(
    tiny: Make,
    rectangles: Rectangles,
    context: MakeContext,
    save_classifier: Callable[..., object],
    tmp_path: Path,
) -> None:
    path = tmp_path / "backbone.safetensors"
    save_classifier(path)
    detector, ctx = tiny(norm="BN", weights=path, trainable_layers=2), context()
    network = build(detector, "ab", ctx)
    before = {name: value.clone() for name, value in network.model.backbone.body.state_dict().items()}
    train_network(detector, network, rectangles(4), ctx)
    after = network.model.backbone.body.state_dict()
    changed = {int(name.split(".")[0]) for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == set(range(13, 17))


def test_batchnorm_over_few_pictures_is_warned_of_and_over_one_refused(
    tiny: Make, rectangles: Rectangles, context: MakeContext
) -> None:
    with pytest.raises(ValueError, match="norm: BN should have a batch_size of 2 or more"):
        tiny(norm="BN", batch_size=1)
    with pytest.raises(PluginError, match="cannot learn from a single picture"):
        tiny(norm="BN").fit(rectangles(1), rectangles(1), context())
    ctx = context()
    tiny(norm="BN", batch_size=2).fit(rectangles(3), rectangles(3), ctx)
    assert ctx.warnings == ["BatchNorm learns its statistics from 2 pictures at a time, which are few"]


def test_a_tenth_of_the_steps_are_warm_up_where_nothing_else_is_said(tiny: Any) -> None:
    options = tiny(epochs=4, lr=1.0, schedule="none", warmup=TorchvisionDetector().warmup)
    assert [rate(options, 1, step, 100) < 1 for step in (0, 9, 10, 50)] == [True, True, False, False]
