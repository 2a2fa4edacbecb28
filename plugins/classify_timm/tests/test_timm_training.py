"""How classifier/timm trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from fgic_classify_timm import TimmClassifier
from fgic_classify_timm._network import Network, build, freeze, training_mode
from PIL import Image
from safetensors.torch import save_file

from fgic_core import BestEpoch, Dataset, FittedClassifier, PluginError
from fgic_core.data.digest import digest_bytes
from fgic_core.kit.augment import draw, random_area
from fgic_core.kit.batches import in_batches, loader, shuffled
from fgic_core.kit.classification import AugmentedPictures, keeps_features, train_classifier
from fgic_core.kit.features import FeatureStore, SameAgain
from fgic_core.kit.pictures import KeptPictures
from fgic_core.kit.schedule import rate_factor
from fgic_core.kit.shared import SHARED, SharedFeatures, pictures_of
from fgic_core.steps.context import StepContext

Make = Callable[..., TimmClassifier]
MakeContext = Callable[..., StepContext]


def weights_of(fitted: FittedClassifier) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in fitted.network.state_dict().items()}


def rates(options: TimmClassifier, steps: int = 1) -> list[float]:
    """The rate at each step, so many an epoch."""
    places = [(epoch, step) for epoch in range(1, options.epochs + 1) for step in range(steps)]
    whole = len(places)
    return [options.lr * rate_factor(options, epoch, done, whole) for done, (epoch, _) in enumerate(places)]


def curve(ctx: StepContext, name: str, part: str = "train") -> list[float]:
    return [point.value for point in ctx.curves if point.name == name and point.split == part]


def test_the_step_schedule_divides_the_rate_by_ten_every_seven_epochs(tiny: Make) -> None:
    found = rates(tiny(epochs=25, lr=1e-2, schedule="step", step_size=7, gamma=0.1))
    assert [found[epoch] for epoch in (0, 6, 7, 13, 14, 20, 21)] == pytest.approx(
        [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )


def test_the_rate_that_training_uses_and_logs_is_stepped_by_epoch_and_not_by_batch(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    ctx = context()
    tiny(epochs=3, lr=1e-2, step_size=1, batch_size=4).fit(colours.split("train"), colours.split("val"), ctx)
    assert curve(ctx, "lr") == pytest.approx([1e-2, 1e-3, 1e-4])


def test_the_cosine_schedule_falls_after_a_linear_warm_up(tiny: Make) -> None:
    found = rates(tiny(epochs=10, lr=1.0, schedule="cosine", warmup=0.3))
    falling = rates(tiny(epochs=10, lr=1.0, schedule="cosine"))
    assert [one / other for one, other in zip(found[:4], falling, strict=False)] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert all(later < earlier for earlier, later in pairwise(found[3:]))
    assert found[3:] == falling[3:]
    assert 0 < found[-1] < 0.1


def test_no_schedule_keeps_the_rate(tiny: Make) -> None:
    assert rates(tiny(epochs=3, lr=0.5, schedule="none")) == [0.5, 0.5, 0.5]
    assert rates(tiny(epochs=3, lr=0.5, schedule="none", warmup=0.34)) == [0.25, 0.5, 0.5]


def test_warm_up_must_end_before_training_does(tiny: Make) -> None:
    with pytest.raises(ValueError, match="less than 1"):
        tiny(epochs=3, warmup=1.0)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("adamw", 0.005)])
def test_it_learns_classes_that_can_be_told_apart(
    tiny: Make, colours: Dataset, context: MakeContext, optimizer: str, lr: float
) -> None:
    ctx = context()
    classifier = tiny(epochs=16, optimizer=optimizer, lr=lr, grayscale=0.0, schedule="cosine")
    fitted = classifier.fit(colours.split("train"), colours.split("val"), ctx)
    test = colours.split("test")
    images = torch.stack([fitted.input.prepare(test.crop(row)) for row in range(len(test))])
    with torch.no_grad():
        assert (fitted.network(images).argmax(1).numpy() == test.labels).mean() > 0.9
    losses = curve(ctx, "loss")
    assert len(losses) == 16
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_second_step_goes_on_in_the_direction_of_the_first_by_the_momentum(
    tiny: Make, colours: Dataset, context: MakeContext, momentum: float
) -> None:
    """All pictures are one batch: with and without momentum the gradients are the same, the first steps too."""
    train, val = colours.split("train"), colours.split("val")

    def trained(**options: Any) -> dict[str, torch.Tensor]:
        own = {"batch_size": len(train), "schedule": "none", "keep": "last", "lr": 0.01, **options}
        classifier = tiny(**own)
        fitted = classifier.fit(train, val, context("-".join(map(str, own.values()))))
        return {name: value.detach().clone() for name, value in fitted.network.named_parameters()}

    start, first = trained(epochs=1, lr=1e-30, momentum=momentum), trained(epochs=1, momentum=momentum)
    plain, moved = trained(epochs=2, momentum=0.0), trained(epochs=2, momentum=momentum)
    for name in start:
        expected = plain[name] + momentum * (first[name] - start[name])
        assert torch.allclose(moved[name], expected, rtol=0, atol=1e-6), name
    assert max(float((moved[name] - plain[name]).abs().max()) for name in start) > 1e-3


def test_label_smoothing_keeps_the_loss_above_its_floor(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    ctx = context()
    tiny(epochs=6, label_smoothing=0.3).fit(colours.split("train"), colours.split("val"), ctx)
    # The cross-entropy of a target (0.8, 0.1, 0.1) with itself.
    assert min(curve(ctx, "loss")) > 0.63


class _Stopped(Exception):
    pass


class _Stopping(StepContext):
    """A context in which the machine goes down right after the checkpoint of the second epoch."""

    def checkpoint(self, epoch: int, state: Any) -> None:
        super().checkpoint(epoch, state)
        if epoch == 2:
            raise _Stopped


def by_validation(ctx: StepContext, val: Dataset) -> None:
    """Measure what is fitted by its accuracy on ``val``."""

    def ruler(fitted: Any, epoch: int) -> Mapping[str, Mapping[str, float]]:
        images = torch.stack([fitted.input.prepare(val.crop(row)) for row in range(len(val))])
        with torch.no_grad():
            logits = fitted.network(images)
        return {"val": {"accuracy": float((logits.argmax(1).numpy() == val.labels).mean())}}

    ctx.measure_by(ruler)


#: A head on kept features: which variants an epoch lacks depends on whether the training was interrupted before it.
_HEAD = {"trainable": "head", "model": "test_resnet", "image_size": None, "grayscale": 0.3, "crop_scale": 1.0}


@pytest.mark.parametrize(
    "how", [{"optimizer": "sgd"}, {"optimizer": "adamw"}, {"optimizer": "adamw", **_HEAD}], ids=["sgd", "adamw", "head"]
)
def test_an_interrupted_training_ends_with_the_same_bits_as_one_that_was_not(
    tiny: Make, colours: Dataset, context: MakeContext, how: dict[str, Any]
) -> None:
    train, val = colours.split("train"), colours.split("test")
    options: dict[str, Any] = {"epochs": 4, "lr": 0.002, "dropout": 0.3, "crop_scale": 0.5, **how}
    whole_ctx = context("whole")
    by_validation(whole_ctx, val)
    whole = tiny(**options).fit(train, val, whole_ctx)

    stopped_ctx = context("stopped", _Stopping)
    by_validation(stopped_ctx, val)
    with pytest.raises(_Stopped):
        tiny(**options).fit(train, val, stopped_ctx)
    torch.rand(7)  # whatever else the process did in between
    resumed_ctx = context("stopped")
    by_validation(resumed_ctx, val)
    resumed = tiny(**options).fit(train, val, resumed_ctx)

    assert resumed_ctx.resumed == 2
    assert weights_of(resumed) == weights_of(whole)
    assert resumed_ctx.curves == whole_ctx.curves


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        classifier = tiny(epochs=1)
        torch.rand(3)
        fitted = classifier.fit(colours.split("train"), colours.split("val"), context(name, seed=seed))
        found.append(weights_of(fitted))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_building_the_network_leaves_the_global_generator_alone(tiny: Make, context: MakeContext) -> None:
    before = torch.get_rng_state()
    build(tiny(), "abc", context())
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_depends_on_the_picture_and_epoch_and_not_on_the_batch_size(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    train = colours.split("train")

    def seen(epoch: int, batch_size: int) -> torch.Tensor:
        options, ctx = tiny(batch_size=batch_size, crop_scale=0.4, grayscale=0.5), context()
        spec = build(options, "abc", ctx).input
        pictures = KeptPictures(lambda row: np.asarray(train.crop(row)), len(train))
        items = AugmentedPictures(options, pictures, train.labels, spec, ctx, epoch)
        batches = shuffled(len(items), batch_size, ctx, epoch)
        return torch.cat([images for images, _ in loader(items, batches, ctx, epoch)])

    assert torch.equal(seen(1, 4), seen(1, 9))
    assert not torch.equal(seen(1, 4), seen(2, 4))


def test_a_single_picture_left_over_joins_the_batch_before_it() -> None:
    assert in_batches(range(9), 4) == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    assert [len(batch) for batch in in_batches(range(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in in_batches(range(3), 1)] == [1, 1, 1]
    assert in_batches([7], 4) == [[7]]


def test_a_frozen_backbone_stays_as_it_was_with_its_batchnorm_statistics(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    ctx = context()
    classifier = tiny(trainable="head", epochs=2, dropout=0.2)
    fitted = build(classifier, "abc", ctx)
    network = fitted.network
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    assert any("running_mean" in name for name in before)
    train_classifier(classifier, fitted, colours.split("train"), ctx)
    changed = {name for name, value in network.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_training_everything_moves_the_batchnorm_statistics(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    ctx = context()
    classifier = tiny(epochs=1)
    fitted = build(classifier, "abc", ctx)
    network = fitted.network
    before = network.model.bn1.running_mean.clone()
    train_classifier(classifier, fitted, colours.split("train"), ctx)
    assert not torch.equal(network.model.bn1.running_mean, before)


@pytest.mark.parametrize("model", ["test_efficientnet", "test_vit", "test_convnext", "test_resnet"])
def test_a_frozen_backbone_has_no_graph_and_dropout_still_drops(tiny: Make, context: MakeContext, model: str) -> None:
    options = tiny(model=model, trainable="head", dropout=0.5, image_size=None)
    fitted = build(options, "abc", context())
    network = fitted.network
    for _, head in network.heads():
        torch.nn.init.normal_(head.weight)
    freeze(network, "head")
    training_mode(network, "head")
    images = torch.rand(2, 3, fitted.input.size.height, fitted.input.size.width)
    features = network.model.forward_features(images)
    assert not features.requires_grad
    first, second = network(images), network(images)
    assert first.requires_grad
    assert not torch.equal(first, second)


def test_fit_leaves_an_evaluating_network_whose_parameters_can_be_differentiated(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    classifier = tiny(trainable="head", epochs=1)
    network = classifier.fit(colours.split("train"), colours.split("val"), context()).network
    assert not any(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_the_best_epoch_is_kept_and_of_equals_the_first(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    accuracies = {1: 0.2, 2: 0.7, 3: 0.7, 4: 0.1}
    seen: dict[int, dict[str, bytes]] = {}

    def ruler(fitted: Any, epoch: int) -> Mapping[str, Mapping[str, float]]:
        seen[epoch] = weights_of(fitted)
        return {"val": {"accuracy": accuracies[epoch]}, "test": {"accuracy": epoch / 10}}

    found = {}
    for keep in ("best", "last"):
        ctx = context(keep)
        ctx.measure_by(ruler)
        found[keep] = weights_of(tiny(epochs=4, keep=keep).fit(colours.split("train"), colours.split("val"), ctx))
    assert found == {"best": seen[2], "last": seen[4]}
    assert seen[2] != seen[3]


def test_early_stopping_counts_epochs_without_a_better_one(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    accuracies = [0.1, 0.5, 0.5, 0.4, 0.9, 0.9]
    ctx = context()
    ctx.measure_by(lambda component, epoch: {"val": {"accuracy": accuracies[epoch - 1]}})
    fitted = tiny(epochs=6, early_stopping=2).fit(colours.split("train"), colours.split("val"), ctx)
    assert curve(ctx, "accuracy", "val") == [0.1, 0.5, 0.5, 0.4]
    # Going on from the last checkpoint finds that it is over already.
    again = context()
    again.measure_by(lambda component, epoch: pytest.fail("was trained further"))
    resumed = tiny(epochs=6, early_stopping=2).fit(colours.split("train"), colours.split("val"), again)
    assert weights_of(resumed) == weights_of(fitted)


def test_without_a_ruler_the_last_epoch_is_kept(tiny: Make, context: MakeContext) -> None:
    network = build(tiny(), "abc", context()).network
    best = BestEpoch(network, "accuracy")
    best.see(1, {})
    before = network.model.classifier.bias.clone()
    with torch.no_grad():
        network.model.classifier.bias += 1
    best.restore()
    assert torch.equal(network.model.classifier.bias, before + 1)


def test_a_loss_that_is_not_finite_stops_with_the_epoch_and_advice(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    with pytest.raises(PluginError, match=r"loss of epoch \d is not finite") as caught:
        tiny(epochs=3, lr=1e30).fit(colours.split("train"), colours.split("val"), context())
    assert "lower lr" in (caught.value.hint or "")


def test_several_devices_and_half_precision_on_a_cpu_are_refused(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    ctx = context()
    ctx.devices = 2
    with pytest.raises(PluginError, match="2 devices"):
        tiny(epochs=1).fit(colours.split("train"), colours.split("val"), ctx)
    with pytest.raises(PluginError, match="16-mixed needs a GPU"):
        tiny(epochs=1, precision="16-mixed").fit(colours.split("train"), colours.split("val"), context())


def test_bfloat16_training_gives_float32_weights_that_differ_from_full_precision(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        classifier = tiny(epochs=1, precision=precision)
        fitted = classifier.fit(colours.split("train"), colours.split("val"), context(precision))
        assert all(parameter.dtype == torch.float32 for parameter in fitted.network.parameters())
        found[precision] = weights_of(fitted)
    assert found["32-true"] != found["bf16-mixed"]


def test_flips_and_grey_happen_as_often_as_asked(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    def augment(image: Image.Image, options: TimmClassifier, rng: np.random.Generator) -> Image.Image:
        return draw(options, image.size, rng).apply(image)

    image, ctx = colours.crop(0), context()
    plain = np.asarray(image)
    never = augment(image, tiny(flip=0, grayscale=0), ctx.rng("a"))
    assert np.array_equal(np.asarray(never), plain)
    always = np.asarray(augment(image, tiny(flip=1, grayscale=0), ctx.rng("a")))
    assert np.array_equal(always[:, ::-1], plain)
    grey = np.asarray(augment(image, tiny(flip=0, grayscale=1), ctx.rng("a")))
    assert (grey == grey[..., :1]).all()
    assert grey.shape == plain.shape
    some = [augment(image, tiny(flip=0.5, grayscale=0), ctx.rng("b", n)) for n in range(400)]
    assert 150 < sum(not np.array_equal(np.asarray(picture), plain) for picture in some) < 250


def test_random_crops_keep_at_least_the_share_asked_for() -> None:
    for number in range(200):
        left, upper, right, lower = random_area((60, 40), 0.4, np.random.default_rng(number))
        assert 0 <= left < right <= 60
        assert 0 <= upper < lower <= 40
        assert (right - left) * (lower - upper) >= 0.4 * 60 * 40 * 0.95


@pytest.mark.parametrize("model", ["test_efficientnet", "test_vit", "test_convnext", "test_resnet"])
def test_a_head_learns_the_same_from_kept_features_as_from_pictures(
    tiny: Make, colours: Dataset, context: MakeContext, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Whichever way it is augmented, with dropout, and however often a picture comes in another variant."""
    train = colours.split("train")
    options = tiny(model=model, image_size=None, trainable="head", epochs=5, dropout=0.2, grayscale=0.3, keep="last")
    looked_at: list[int] = []

    def fitted(name: str) -> torch.Tensor:
        looked_at.append(0)
        forward = Network.forward

        def counted(self: Network, images: torch.Tensor) -> torch.Tensor:
            looked_at[-1] += len(images)
            return forward(self, images)

        monkeypatch.setattr(Network, "forward", counted)
        ctx = context(name)
        network = options.fit(train, train.take([]), ctx).network
        monkeypatch.setattr(Network, "forward", forward)
        assert len(curve(ctx, "loss")) == len(curve(ctx, "accuracy")) == 5
        return network.heads()[0][1].weight.detach()

    kept = fitted("kept")
    monkeypatch.setattr("fgic_core.kit.classification.MOST", 0)
    plain = fitted("plain")
    assert torch.allclose(kept, plain, atol=1e-5)
    assert kept.abs().max() > 1e-3
    # Of 24 pictures there are four variants; eight more look whether features are enough.
    assert looked_at[1] >= 5 * 24 > looked_at[0] - 8 > 24


def test_features_are_computed_in_batches_that_do_not_depend_on_what_an_epoch_lacks(
    tiny: Make, colours: Dataset, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a feature may depend on its batch, and an interrupted training lacks other ones."""
    train, batches = colours.split("train"), []
    add = FeatureStore.add
    monkeypatch.setattr(
        FeatureStore, "add", lambda self, names, images: (batches.append(names), add(self, names, images))
    )
    tiny(trainable="head", epochs=4, grayscale=0.3).fit(train, train.take([]), context())
    assert 2 < len(batches) <= 4
    for names in batches:
        assert [row for row, _ in names] == list(range(len(train)))
        assert len({change for _, change in names}) == 1


def test_features_are_kept_where_they_are_all_that_the_head_needs_and_variants_can_be_counted(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    train = colours.split("train")

    def keeps(**options: Any) -> bool:
        ctx = context()
        ctx.devices = options.pop("devices", 1)
        classifier = tiny(**{"trainable": "head", "epochs": 4, **options})
        return keeps_features(classifier, build(classifier, "abc", ctx), train, ctx)

    assert keeps()
    assert not keeps(epochs=3), "there are four variants of each picture, of which three are ever looked at"
    assert not keeps(crop_scale=0.5)
    assert not keeps(trainable="all")
    assert not keeps(devices=2)
    assert not keeps(model="deit_tiny_distilled_patch16_224", image_size=None), "it has two heads"


def test_what_is_measured_again_takes_the_head_alone_and_gives_the_same(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    val = Watched(colours.split("test"))
    fitted = build(tiny(trainable="head"), "abc", context())
    network, again = fitted.network.eval(), SameAgain()

    def logits(known: SameAgain) -> torch.Tensor:
        return torch.cat(list(known.logits(network, fitted.input, val.crop, len(val))))

    first = logits(again)
    with torch.no_grad():
        network.model.classifier.weight.add_(0.1)
    asked = len(val.asked)
    second = logits(again)
    assert len(val.asked) == asked, "no picture is looked at twice"
    assert torch.allclose(second, logits(SameAgain()), atol=1e-5)
    assert not torch.allclose(first, second)
    network.model.conv_stem.weight.data.mul_(2)  # which no counter of torch's notices
    assert torch.allclose(logits(again), logits(SameAgain()), atol=1e-5)
    with torch.no_grad():
        network.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(PluginError, match="not finite"):
        logits(again)


def known(data: Dataset, **others: Any) -> Dataset:
    """The samples with their files' digests, and other values in all rows."""
    table = data.table
    digests = [digest_bytes(data.file(row).read_bytes()) for row in range(len(data))]
    for name, values in ({"digest": digests} | {name: [one] * len(data) for name, one in others.items()}).items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return Dataset(data.header, table)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many pictures each pass through a backbone was of; nothing is shared with other tests."""
    SHARED.clear()
    found, features = list[int](), Network.features
    monkeypatch.setattr(
        Network, "features", lambda self, images: (found.append(len(images)), features(self, images))[1]
    )
    yield found
    SHARED.clear()


def test_trainings_of_one_process_compute_the_features_of_a_frozen_backbone_once(
    tiny: Make, colours: Dataset, context: MakeContext, tmp_path: Path, passes: list[int]
) -> None:
    train = known(colours.split("train"))
    weights = tmp_path / "weights.safetensors"
    save_file(build(tiny(), "abc", context("drawn")).network.state_dict(), weights)
    options = {"trainable": "head", "epochs": 4, "flip": 0.0, "grayscale": 0.0, "weights": weights}

    done = list[int]()

    def head(seed: int, data: Dataset = train, **others: Any) -> torch.Tensor:
        passes.clear()
        fitted = tiny(**(options | others)).fit(data, data.take([]), context(f"{len(done)}", seed=seed))
        done.append(seed)
        return fitted.network.heads()[0][1].weight.detach()

    first = head(0)
    assert passes.count(1) == 24, "each picture by itself"
    second = head(1)
    assert passes.count(1) == 0, "of another seed: all of it is known"
    assert not torch.equal(first, second)
    SHARED.clear()
    assert torch.equal(head(1), second), "whoever computed it, to the bit"
    head(1, train.take(list(range(0, 24, 2))))
    assert passes.count(1) == 0, "of some of the rows"
    region = {"x1": 0.0, "y1": 0.0, "x2": 20.0, "y2": 32.0}
    for others in ({"region": region}, {"region": region, "masked": True}):
        head(1, known(train, **others))
        assert passes.count(1) == 24, f"with {others} it is another picture"
    for others in ({"image_size": 48}, {"flip": 1.0}):
        head(1, **others)
        assert passes.count(1) == 24, f"with {others} it is another input"
    save_file(build(tiny(), "abc", context("drawn again", seed=1)).network.state_dict(), weights)
    head(1)
    assert passes.count(1) == 24, "of other weights"
    head(1, colours.split("train"))
    assert passes.count(1) == 0, "nothing is known of files without digests"
    assert max(passes) == 24


def test_what_is_measured_uses_the_features_that_a_training_had(
    tiny: Make, colours: Dataset, context: MakeContext, passes: list[int]
) -> None:
    data = known(colours.split("test"))
    fitted = build(tiny(trainable="head"), "abc", context())
    network = fitted.network.eval()

    def logits(**how: Any) -> torch.Tensor:
        passes.clear()
        return torch.cat(list(SameAgain().logits(network, fitted.input, data.crop, len(data), **how)))

    plain = logits()
    assert passes == []
    first = logits(pictures=pictures_of(data))
    assert passes.count(1) == len(data) + 1, "one of them to see that features are enough"
    assert torch.allclose(first, plain, atol=1e-5)
    assert torch.equal(logits(pictures=pictures_of(data)), first)
    assert passes == [1]
    network.recipe = "another"
    logits(pictures=pictures_of(data))
    assert passes.count(1) == len(data) + 1
    network.recipe = ""
    logits(pictures=pictures_of(data))
    assert passes == [], "of networks that may be any"


def test_features_that_were_used_least_lately_go_first() -> None:
    kept = SharedFeatures(most=3 * 4 * 4)
    for name in "abc":
        kept.put(name, torch.full((4,), float(ord(name))))
    assert kept.get("a") is not None
    kept.put("d", torch.zeros(4))
    kept.put("d", torch.zeros(4))
    assert [name for name in "abcd" if kept.get(name) is not None] == ["a", "c", "d"]


class Watched:
    """Samples that note which of their pictures are asked for."""

    def __init__(self, data: Dataset) -> None:
        self._data, self.asked = data, list[int]()

    def __len__(self) -> int:
        return len(self._data)

    def crop(self, row: int) -> Image.Image:
        self.asked.append(row)
        return self._data.crop(row)
