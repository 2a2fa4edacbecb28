"""The recipe: counts of updates, accumulation, averages, labels, colours, collapse, and what weights may start it."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fgic_gen_biggan import BigganGenerator
from fgic_gen_biggan._collapse import Watch, variety
from fgic_gen_biggan._data import Pictures, steps_per_epoch
from fgic_gen_biggan._gan import Gan, WarmAverage
from fgic_gen_biggan._mmagic import import_mmagic
from fgic_gen_biggan._network import build, build_generator
from fgic_gen_biggan._training import make_gan, make_optimizers
from fgic_gen_biggan._weights import read_start
from PIL import Image
from safetensors.torch import load_file, save_file

from fgic_core import Dataset, PluginError, Sample, Size, StepContext, read_weights
from fgic_core.data.dataset import DatasetWriter, Header

COLOURS = np.array([[200, 40, 40], [40, 190, 40], [40, 60, 210]])
TINY = {"resolution": 32, "base_channels": 4, "noise_size": 8, "shared_dim": 8, "batch_size": 6}


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., Dataset]:
    """``plain(counts)``: pictures in the colour of their class."""

    def make(counts: tuple[int, ...] = (6, 6, 6)) -> Dataset:
        folder = tmp_path / "plain"
        folder.mkdir(exist_ok=True)
        samples = []
        for label, count in enumerate(counts):
            for number in range(count):
                rng = np.random.default_rng((label, number))
                pixels = np.clip(COLOURS[label] + rng.normal(0, 15, (40, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{label}-{number}.png")
                samples.append(
                    Sample(
                        id=f"{label}-{number}",
                        path=f"{label}-{number}.png",
                        label=label,
                        split="train",
                        size=Size(32, 40),
                    )
                )
        with DatasetWriter(folder, Header(("red", "green", "blue"), {"here": folder})) as writer:
            writer.write_samples(samples, "here")
        return Dataset.open(folder)

    return make


def context(folder: Path, name: str = "out", ruler: Any = None) -> StepContext:
    (folder / name).mkdir()
    ctx = StepContext(folder / name, scratch=folder / f"{name}-scratch", uses="generator/biggan")
    if ruler is not None:
        ctx.measure_by(ruler)
    ctx.seed_everything("step")
    return ctx


def prepared(options: BigganGenerator, data: Dataset, ctx: StepContext) -> tuple[Gan, Any]:
    gan = make_gan(options, build(options, data, ctx), data)
    return gan, make_optimizers(options, gan)


# What is learned from.


def test_what_the_discriminator_sees_is_rgb_from_minus_one_to_one(
    plain: Callable[..., Dataset], tmp_path: Path
) -> None:
    options, data = BigganGenerator(**TINY, augment=[], flip=0.0), plain()
    ctx = context(tmp_path)
    pictures, (gan, _) = Pictures(options, data, ctx), prepared(options, data, ctx)
    batch = [pictures[(row, 0)]["data_samples"] for row in (0, 6, 12)]
    seen = gan.data_preprocessor({"inputs": {}, "data_samples": batch}, True)["data_samples"]
    means = (seen.gt_img.mean(dim=(2, 3)) + 1) / 2 * 255
    np.testing.assert_allclose(means, COLOURS, atol=6)
    assert seen.gt_img.shape == (3, 3, 32, 32)
    assert gan.data_sample_to_label(seen).tolist() == [0, 1, 2]


def test_half_of_the_pictures_are_flipped_in_one_epoch_and_others_in_the_next(
    plain: Callable[..., Dataset], tmp_path: Path
) -> None:
    options, data = BigganGenerator(**TINY), plain()
    pictures = Pictures(options, data, context(tmp_path))

    def flipped(epoch: int) -> list[bool]:
        pictures.epoch = epoch
        mirrored = torch.from_numpy(pictures._kept[0].copy()).flip(2)
        return [torch.equal(pictures[(0, place)]["data_samples"].gt_img, mirrored) for place in range(200)]

    first = flipped(1)
    assert 70 < sum(first) < 130
    assert first == flipped(1)
    assert first != flipped(2)


def test_made_labels_are_as_frequent_as_real_ones(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    options, data = BigganGenerator(**TINY), plain((6, 0, 2))
    gan, _ = prepared(options, data, context(tmp_path))
    torch.manual_seed(0)
    drawn = np.bincount(gan.label_fn(num_batches=4000), minlength=3) / 4000
    np.testing.assert_allclose(drawn, [0.75, 0, 0.25], atol=0.03)


def test_a_class_without_pictures_is_never_made(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    component = BigganGenerator(**TINY, epochs=1)
    network = component.fit(plain((6, 0, 6)), context(tmp_path))
    assert network.sample([0, 2], [1, 2]).shape == (2, 3, 32, 32)
    with pytest.raises(PluginError, match="label 1 is none of the classes that were learned"):
        network.sample([1], [1])


# How often, and with which gradients.


@pytest.mark.parametrize(
    ("d_steps", "accumulate", "batch_size"), [(1, 1, 6), (2, 1, 6), (1, 3, 4), (2, 2, 4), (1, 1, 64)]
)
def test_updates_are_as_many_as_the_options_say(
    d_steps: int, accumulate: int, batch_size: int, plain: Callable[..., Dataset], tmp_path: Path, monkeypatch: Any
) -> None:
    updates = {"generator": 0, "discriminator": 0}
    options = BigganGenerator(
        **{**TINY, "batch_size": batch_size}, d_steps=d_steps, accumulate=accumulate, epochs=2, keep="last"
    )

    def counted(options: BigganGenerator, gan: Gan, device: str) -> Any:
        wrappers = make_optimizers(options, gan, device)
        for name in updates:
            step = wrappers[name].optimizer.step

            def counting(*a: Any, name: str = name, step: Any = step, **k: Any) -> Any:
                updates[name] += 1
                return step(*a, **k)

            wrappers[name].optimizer.step = counting
        return wrappers

    monkeypatch.setattr("fgic_gen_biggan._training.make_optimizers", counted)
    options.fit(plain(), context(tmp_path))
    steps = 2 * steps_per_epoch(options, 18)
    assert steps >= 2 * d_steps * accumulate
    assert updates["discriminator"] == steps / accumulate
    assert updates["generator"] == steps / accumulate / d_steps


def test_gradients_that_add_up_are_those_of_the_whole_batch(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    """Of the discriminator, which has no BatchNorm, on the same made pictures."""
    grads = []
    for accumulate in (1, 2):
        options = BigganGenerator(**TINY, accumulate=accumulate, augment=[])
        gan, wrappers = prepared(options, plain(), context(tmp_path, f"out-{accumulate}"))
        gan.discriminator.eval()  # spectral norms stand still
        wrapper = wrappers["discriminator"]
        wrapper.initialize_count_status(gan.discriminator, 0, 100)
        seen: dict[str, torch.Tensor] = {}
        wrapper.optimizer.step = lambda gan=gan, seen=seen: seen.update(
            {name: p.grad.clone() for name, p in gan.discriminator.named_parameters() if p.grad is not None}
        )
        numbers = torch.Generator().manual_seed(0)
        real, made = (torch.rand(8, 3, 32, 32, generator=numbers) * 2 - 1 for _ in range(2))
        labels = torch.arange(8) % 3
        for part in torch.arange(8).chunk(accumulate):
            loss, _ = gan.disc_loss(
                gan.discriminator(made[part], label=labels[part]), gan.discriminator(real[part], label=labels[part])
            )
            wrapper.update_params(loss)
        grads.append(seen)
    for name, whole in grads[0].items():
        torch.testing.assert_close(grads[1][name], whole, rtol=1e-3, atol=1e-4)
    assert sum(g.abs().sum() for g in grads[0].values()) > 0


def test_the_average_starts_at_the_weights_and_slows_down() -> None:
    source = torch.nn.Linear(1, 1, bias=False)
    average = WarmAverage(source, momentum=1 - 0.99)
    values, expected = [0.0, 1.0, 5.0, 2.0], None
    for step, value in enumerate(values):
        source.weight.data.fill_(value)
        average.update_parameters(source)
        decay = min(0.99, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)


def test_what_is_sampled_from_is_the_average(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    component = BigganGenerator(**TINY, epochs=2, keep="last")
    ctx = context(tmp_path)
    generator = component.fit(plain(), ctx).generator
    state = ctx.resume()
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(value, state["model"][f"generator_ema.module.{name}"], rtol=0, atol=0)
    assert any(
        not torch.equal(state["model"][f"generator.{name}"], state["model"][f"generator_ema.module.{name}"])
        for name, _ in generator.named_parameters()
    )


def test_the_best_epoch_is_kept_or_the_last(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    data, kept = plain(), {}
    for keep in ("best", "last"):
        weights: list[torch.Tensor] = []

        def ruler(fitted: Any, epoch: int, weights: list[torch.Tensor] = weights) -> Mapping[str, Mapping[str, float]]:
            weights.append(fitted.network.noise2feat.weight_orig.clone())
            return {"": {"FID": [90.0, 50.0, 20.0, 40.0][epoch]}}

        component = BigganGenerator(**TINY, epochs=3, keep=keep)
        kept[keep] = component.fit(data, context(tmp_path, keep, ruler)).generator.noise2feat.weight_orig
        assert torch.equal(kept[keep], weights[2 if keep == "best" else 3])


def test_training_stops_early(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    seen: list[int] = []

    def ruler(_: Any, epoch: int) -> Mapping[str, Mapping[str, float]]:
        seen.append(epoch)
        return {"": {"FID": 10.0 + epoch}}

    BigganGenerator(**TINY, epochs=9, early_stopping=2, fid_pretrained=True).fit(
        plain(), context(tmp_path, ruler=ruler)
    )
    assert seen == [0, 1, 2, 3]


def test_the_process_is_left_as_it_was(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    component = BigganGenerator(**TINY, epochs=1)
    data, ctx = plain(), context(tmp_path)
    threads = torch.get_num_threads()
    network = component.fit(data, ctx)
    assert torch.get_num_threads() == threads
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    network.sample([0, 1], [1, 2])
    component.save(network, ctx.folder)
    BigganGenerator(**TINY).load(ctx.folder, "cpu")
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


class ByColour(torch.nn.Module):
    """A discriminator that learns the mean colour of each label's real pictures, and looks at nothing else.

    What a generator learns from it is a regression, which comes out on every processor where a short contest may not.
    """

    def __init__(self, policy: Any, num_classes: int, **arguments: Any) -> None:
        super().__init__()
        self.colours = torch.nn.Parameter(torch.zeros(num_classes, 3))

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return -10 * (x.mean(dim=(2, 3)) - self.colours[label]).square().sum(1, keepdim=True)


def test_labels_are_those_of_the_classes_that_were_learned(
    plain: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fgic_gen_biggan._training.Discriminator", ByColour)
    component = BigganGenerator(
        **{**TINY, "batch_size": 12}, epochs=4, lr_g=1e-2, lr_d=0.1, ema_decay=0.9, augment=[], keep="last"
    )
    ctx = context(tmp_path)
    network = component.fit(plain((48, 48, 48)), ctx)
    labels = [0, 1, 2] * 6
    means = network.sample(labels, list(range(18))).mean(axis=(2, 3)) * 255
    far = np.linalg.norm(means[:, None] - COLOURS[None], axis=2)
    assert far.argmin(axis=1).tolist() == labels
    assert not ctx.warnings


def test_the_discriminator_learns_which_class_a_picture_is_of(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    options, data = BigganGenerator(**TINY, augment=[], flip=0.0, lr_d=2e-3), plain()
    ctx = context(tmp_path)
    pictures, (gan, wrappers) = Pictures(options, data, ctx), prepared(options, data, ctx)
    batch = [pictures[(row, 0)]["data_samples"] for row in range(0, 18, 2)]
    seen = gan.data_preprocessor({"inputs": {}, "data_samples": batch}, True)["data_samples"]
    labels = gan.data_sample_to_label(seen)
    wrappers["discriminator"].initialize_count_status(gan.discriminator, 0, 100)

    def ahead() -> torch.Tensor:
        own = gan.discriminator(seen.gt_img, label=labels)
        others = [gan.discriminator(seen.gt_img, label=(labels + step) % 3) for step in (1, 2)]
        return own - torch.maximum(*others)

    assert ahead().min() < 0
    for step in range(20):
        wrong = (labels + 1 + step % 2) % 3
        real, made = (gan.discriminator(seen.gt_img, label=one) for one in (labels, wrong))
        wrappers["discriminator"].update_params(gan.disc_loss(made, real)[0])
    assert ahead().min() > 0


# Collapse.


def watched(losses: float, found: list[float], fids: list[float | None]) -> list[str]:
    class Ctx:
        warnings: list[str] = []

        def warn(self, message: str) -> None:
            self.warnings = [*self.warnings, message]

    ctx: Any = Ctx()
    watch = Watch(ctx, 0.4)
    for epoch, (one, fid) in enumerate(zip(found, fids, strict=True), 1):
        again = Watch(ctx, 0.4)
        again.load_state_dict(watch.state_dict())  # it goes through a checkpoint at any time
        watch = again
        scores = {} if fid is None else {"FID": fid}
        watch.see(epoch, {"loss_disc_real": losses / 2, "loss_disc_fake": losses / 2}, one, scores)
    return list(ctx.warnings)


def test_a_healthy_training_is_not_warned_of() -> None:
    assert watched(1.5, [0.02, 0.1, 0.2, 0.3, 0.25, 0.3], [90, 60, 40, 45, 38, 50]) == []
    assert watched(1.5, [0.02, 0.1, 0.2, 0.3, 0.25, 0.3], [None] * 6) == []
    assert watched(1.5, [1.5, 1.4, 0.4, 0.4, 0.4, 0.4], [None] * 6) == [], "noise is more varied than pictures"


def test_signs_of_collapse_are_told_once_with_their_numbers() -> None:
    (said,) = watched(0.02, [0.1, 0.2, 0.3, 0.3, 0.3], [None] * 5)
    assert "tells all pictures apart since epoch 1 (its losses are 0.020 together" in said
    (said,) = watched(1.5, [0.1, 0.3, 0.05, 0.04, 0.2, 0.04, 0.04], [None] * 7)
    assert "fell from 75% to 10% of that of real pictures (epoch 4)" in said
    (said,) = watched(1.5, [0.3] * 5, [50, 40, 90, 100, 120])
    assert "FID rose from 40 (epoch 2) to 100 (epoch 4)" in said
    assert watched(1.5, [0.3] * 5, [50, 40, 90, 60, 120]) == [], "one epoch alone may be chance"


def test_variety_is_the_mean_distance_of_two_pictures() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.random((2, 5, 3, 4, 4))
    pairs = [
        np.sqrt(np.mean([((p[i] - p[j]) ** 2).mean() for i in range(5) for j in range(5) if i != j])) for p in pictures
    ]
    assert variety(pictures) == pytest.approx(np.mean(pairs))
    assert variety(np.repeat(pictures[:, :1], 5, axis=1)) == pytest.approx(0, abs=1e-7)


def test_a_loss_that_is_not_finite_ends_the_training(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    component = BigganGenerator(**TINY, epochs=3, lr_g=1e30, lr_d=1e30)
    with pytest.raises(PluginError, match="is not finite") as caught:
        component.fit(plain(), context(tmp_path))
    assert "lr_g is 1e+30" in str(caught.value)


# Weights.


def saved(component: BigganGenerator, data: Dataset, folder: Path, name: str = "first") -> Path:
    (folder / f"{name}-saved").mkdir()
    component.save(component.fit(data, context(folder, name)), folder / f"{name}-saved")
    return folder / f"{name}-saved" / "generator.safetensors"


def test_an_earlier_run_serves_as_it_is_or_goes_on(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    component, data = BigganGenerator(**TINY, epochs=1), plain()
    file = saved(component, data, tmp_path)
    first = component.load(file.parent, "cpu")
    ready = BigganGenerator(resolution=32, weights=file, epochs=0).fit(data, context(tmp_path, "ready"))
    np.testing.assert_array_equal(ready.sample([0, 2], [3, 4]), first.sample([0, 2], [3, 4]))
    copied = file.rename(tmp_path / "copied.safetensors")
    turned = Dataset(Header(("blue", "red", "green"), data.header.roots), data.table)
    ctx = context(tmp_path, "turned")
    other = BigganGenerator(resolution=32, weights=copied, epochs=0).fit(turned, ctx)
    np.testing.assert_allclose(other.sample([0, 1], [3, 3]), first.sample([2, 0], [3, 3]), atol=1e-5)
    assert ctx.warnings == []
    file = copied
    alone = tmp_path / "alone.safetensors"  # without what it says of itself the options must say how wide it is
    save_file(load_file(file), alone)
    ctx = context(tmp_path, "again")
    again = BigganGenerator(**TINY, weights=alone, epochs=1).fit(data, ctx)
    assert "nothing in the weights alone.safetensors says which 3 classes they tell apart" in ctx.warnings[0]
    assert not np.array_equal(again.sample([0], [3]), first.sample([0], [3]))


def test_weights_of_other_classes_get_new_embeddings_and_need_training(
    plain: Callable[..., Dataset], tmp_path: Path
) -> None:
    data = plain()
    file = saved(BigganGenerator(**TINY, epochs=1), data, tmp_path)
    other = Dataset(Header(("a", "b", "c", "d"), data.header.roots), data.table)
    with pytest.raises(PluginError, match=r"tell 3 classes apart .*, the data set has 4 .*\n  They need training"):
        BigganGenerator(resolution=32, weights=file, epochs=0).fit(other, context(tmp_path, "none"))
    network = BigganGenerator(resolution=32, weights=file, epochs=1).fit(other, context(tmp_path, "some"))
    assert network.generator.shared_embedding.weight.shape == (4, 8)


def test_what_does_not_fit_the_generator_is_refused_with_both_shapes(
    plain: Callable[..., Dataset], tmp_path: Path
) -> None:
    data = plain()
    file = saved(BigganGenerator(**TINY, epochs=1), data, tmp_path)
    weights, odd, name = read_weights(file), tmp_path / "odd.safetensors", "shared_embedding.weight"
    ctx = context(tmp_path, "odd")
    for shape in ((3, 5), (8,), (), (0, 8)):
        for about in ({"fgic": json.dumps(weights.about)}, None):
            save_file({**weights.tensors, name: torch.zeros(shape)}, odd, about)
            with pytest.raises(PluginError, match=re.escape(f"{name} has the shape {shape}, in the model it is (")):
                read_start(BigganGenerator(**TINY, weights=odd), data.classes, ctx)
    save_file(weights.tensors, odd, {"fgic": json.dumps({**weights.about, "known": [True]})})
    with pytest.raises(PluginError, match="damaged: known should have 3 entries, one for each class"):
        read_start(BigganGenerator(**TINY, weights=odd), data.classes, ctx)


def test_weights_of_another_resolution_say_which(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    data = plain()
    file = saved(BigganGenerator(**TINY, epochs=1), data, tmp_path)
    with pytest.raises(PluginError, match="these weights are of 32 pixels, and resolution is 64"):
        BigganGenerator(resolution=64, weights=file).fit(data, context(tmp_path, "other"))


def test_weights_of_something_else_are_told(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    save_file({"layer.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(PluginError, match=r"lack \d+ of \d+ tensors"):
        BigganGenerator(**TINY, weights=tmp_path / "other.safetensors").fit(plain(), context(tmp_path))


def test_a_pickle_that_would_do_harm_is_not_run(plain: Callable[..., Dataset], tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harmed",))

    (tmp_path / "bad.bin").write_bytes(pickle.dumps({"weight": Harm()}))
    with pytest.raises(PluginError, match="cannot be read"):
        BigganGenerator(**TINY, weights=tmp_path / "bad.bin").fit(plain(), context(tmp_path))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resolution": 48}, "32, 64, 128, 256 or 512"),
        ({"epochs": 0}, "epochs should be at least 1 where there are no weights"),
        ({"early_stopping": 3}, "early_stopping should come with fid_weights or fid_pretrained"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"betas": (0.0, 1.0)}, "less than 1"),
        ({"augment": ["blur"]}, "'color', 'translation' or 'cutout'"),
        ({"weights": __file__}, "should be a .safetensors, .bin, .pth or .pt file; .py is none"),
    ],
)
def test_options_out_of_range_say_what_is_legal(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BigganGenerator(**wrong)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_every_resolution_takes_a_step(resolution: int, plain: Callable[..., Dataset], tmp_path: Path) -> None:
    options = BigganGenerator(**{**TINY, "resolution": resolution, "batch_size": 2})
    data, ctx = plain((1, 1, 1)), context(tmp_path)
    gan, wrappers = prepared(options, data, ctx)
    from mmengine.logging import MessageHub

    MessageHub.get_current_instance().update_info("iter", 0)
    pictures = Pictures(options, data, ctx)
    before = gan.generator.noise2feat.weight_orig.clone()
    gan.train_step({"inputs": {}, "data_samples": [pictures[(row, 0)]["data_samples"] for row in (0, 1)]}, wrappers)
    assert not torch.equal(before, gan.generator.noise2feat.weight_orig)
    made = gan.generator_ema(torch.zeros(1, 8), label=torch.tensor([1]))
    assert made.shape == (1, 3, resolution, resolution)


def test_the_networks_are_mmagics_own() -> None:
    parts = import_mmagic()
    generator = build_generator({"output_scale": 32, "num_classes": 2, "base_channels": 4, "sn_style": "torch"})
    assert type(generator) is parts.Generator
    assert issubclass(Gan, parts.BigGAN)
    assert Gan.train_step is parts.BigGAN.train_step
    assert Gan.train_generator is parts.BigGAN.train_generator
