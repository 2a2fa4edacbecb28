"""What is learned from what, in which order, at which rate, and which weights are kept."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fgic_gen_diffusers import DiffusionGenerator, _training
from fgic_gen_diffusers._network import Network, build
from fgic_gen_diffusers._sampling import Denoiser
from fgic_gen_diffusers._training import Denoising, decay
from safetensors.torch import load_file

from fgic_core import Dataset, PluginError, StepContext
from fgic_core.kit import rate_factor
from fgic_core.kit.batches import loader, shuffled

Make = Callable[..., DiffusionGenerator]


def _weights(fitted: Denoiser) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in fitted.network.unet.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def _epoch(
    options: DiffusionGenerator, network: Network, data: Dataset, ctx: StepContext, epoch: int = 1
) -> list[tuple[torch.Tensor, ...]]:
    """Pictures in [-1, 1], labels, steps and noise of each batch."""
    items = Denoising(options, network, network, data, ctx).items(epoch)
    read = loader(items, shuffled(len(items), options.batch_size, ctx, epoch), ctx, epoch)
    return [(pictures.float() / 127.5 - 1, *rest) for pictures, *rest in read]


def test_pictures_are_rgb_from_minus_one_to_one(
    tiny: Make,
    network: Callable[..., Network],
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
    rgb: np.ndarray,
) -> None:
    found = _epoch(tiny(batch_size=4, drop_labels=0, guidance_scale=1), network(), colours(), context())
    assert [len(x0) for x0, *_ in found] == [4, 4, 4]
    for x0, labels, t, eps in found:
        assert x0.dtype == torch.float32
        assert x0.shape == eps.shape == (4, 3, 16, 16)
        expected = torch.from_numpy(rgb[labels.numpy()] * 2 - 1).float()
        torch.testing.assert_close(x0.mean(dim=(2, 3)), expected, atol=0.05, rtol=0)
        assert ((t >= 0) & (t < 1000)).all()


def test_every_picture_is_learned_from_once_an_epoch_and_each_epoch_is_another(
    tiny: Make, network: Callable[..., Network], colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    options, data, ctx = tiny(batch_size=5, flip=0), colours(), context()
    one, again, other = (_epoch(options, network(), data, ctx, epoch) for epoch in (1, 1, 2))
    assert [len(x0) for x0, *_ in one] == [5, 5, 2]
    prepared = torch.stack([options.prepare(data.crop(row)) for row in range(len(data))]) * 2 - 1
    learned = torch.cat([x0 for x0, *_ in one])
    assert sorted(p.sum().item() for p in learned) == pytest.approx(sorted(p.sum().item() for p in prepared), abs=1e-2)
    assert all(torch.equal(a, b) for x, y in zip(one, again, strict=True) for a, b in zip(x, y, strict=True))
    assert not torch.equal(one[0][3], other[0][3])
    assert not torch.equal(torch.cat([x for x, *_ in one]), torch.cat([x for x, *_ in other]))


def test_hidden_labels_are_the_null_class_and_the_rest_are_right(
    tiny: Make, network: Callable[..., Network], colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    data, ctx = colours([40, 40, 40]), context()
    for share in (0.0, 0.3):
        options = tiny(drop_labels=share, guidance_scale=1, batch_size=120)
        ((_, labels, _, _),) = _epoch(options, network(), data, ctx)
        order = ctx.rng("shuffle", 1).permutation(len(data))
        hidden = labels.numpy() == 3
        assert hidden.mean() == pytest.approx(share, abs=0.15 if share else 0)
        np.testing.assert_array_equal(labels.numpy()[~hidden], data.labels[order][~hidden])


def test_flipped_pictures_are_mirrored_and_nothing_else(
    tiny: Make, network: Callable[..., Network], colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    data, ctx = colours([20, 20]), context()
    (plain,), (all_of_them,), (some,) = (
        _epoch(tiny(flip=flip, batch_size=40), network(), data, ctx) for flip in (0, 1, 0.5)
    )
    assert torch.equal(all_of_them[0], plain[0].flip(-1))
    mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(some[0], plain[0], strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(some[0], plain[0], strict=True)])
    assert (mirrored ^ same).all()
    assert 8 < mirrored.sum() < 32


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_that_do_not_fit_into_memory_give_the_same_weights(
    workers: int,
    tiny: Make,
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = colours()
    kept = tiny().fit(data, context("kept"))
    monkeypatch.setattr("fgic_core.kit.pictures.MOST", 0)
    read = tiny().fit(data, context("read", workers=workers))
    assert _same(_weights(kept), _weights(read))


def test_measuring_does_not_change_the_training(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    generator, data = tiny(epochs=2, dropout=0.2), colours()
    plain = generator.fit(data, context("plain"))
    ctx, seen = context("measured"), []

    def ruler(fitted: Any, epoch: int) -> dict[str, dict[str, float]]:
        seen.append(fitted.sample([0, 1], [1, 2]))
        return {}

    ctx.measure_by(ruler)
    measured = generator.fit(data, ctx)
    assert _same(_weights(plain), _weights(measured))
    assert np.abs(seen[0] - seen[2]).max() > 1e-4, "what is measured has learned"


@pytest.mark.parametrize(
    ("keep", "scores", "expected"),
    [("best", [3.0, 1.0, 1.0, 2.0], 2), ("last", [3.0, 1.0, 1.0, 2.0], 4), ("best", None, 4)],
)
def test_the_epoch_with_the_least_fid_is_used(
    keep: str,
    scores: list[float] | None,
    expected: int,
    tiny: Make,
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
) -> None:
    """The state before training, epoch 0, is none of them, however good its FID."""
    generator, ctx, weights = tiny(epochs=4, keep=keep), context(), []

    def ruler(fitted: Any, epoch: int) -> dict[str, dict[str, float]]:
        weights.append(_weights(fitted))
        return {"": {"FID": [0.5, *scores][epoch]}} if scores else {}

    ctx.measure_by(ruler)
    fitted = generator.fit(colours(), ctx)
    assert [_same(_weights(fitted), each) for each in weights].index(True) == expected


def test_what_samples_is_the_moving_average_of_the_weights(
    tiny: Make,
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    generator, data = tiny(epochs=3, lr=0.01, ema_decay=0.3), colours([4, 4, 4])
    first = {name: value.clone() for name, value in build(generator, data, context("first"))[0].named_parameters()}
    seen: list[dict[str, torch.Tensor]] = [first]
    average = _training.average

    def spy(averaged: Network, trained: Network, keep: float) -> None:
        seen.append({name: value.detach().clone() for name, value in trained.named_parameters()})
        average(averaged, trained, keep)

    monkeypatch.setattr(_training, "average", spy)
    generator.save(generator.fit(data, context()), tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    expected = first
    for step, weights in enumerate(seen[1:]):
        keep = decay(0.3, step)
        expected = {name: keep * value + (1 - keep) * weights[name] for name, value in expected.items()}
    assert {f"unet.{name}" for name in found} == set(expected), "parameters are all there is to average"
    for name, value in expected.items():
        torch.testing.assert_close(found[name.removeprefix("unet.")], value, atol=1e-6, rtol=1e-4)
    assert not torch.allclose(found["conv_in.weight"], seen[-1]["unet.conv_in.weight"], atol=1e-5)


def test_a_training_from_scratch_begins_with_predicting_nothing(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    trained, averaged = build(tiny(layers=2), colours(), context())
    x, t, labels = torch.randn(2, 3, 16, 16), torch.tensor([1, 900]), torch.tensor([0, 3])
    assert not trained(x, t, labels).any()
    zeros = [name for name, value in trained.named_parameters() if value.ndim == 4 and not value.any()]
    assert len(zeros) == 13, "one in each of 2 * 2 + 2 + 2 * 3 residual blocks, and the last"
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), averaged.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in averaged.parameters())


def test_the_average_forgets_fast_at_first() -> None:
    assert [decay(0.999, step) for step in (0, 10, 90)] == pytest.approx([0.1, 0.55, 0.91])
    assert decay(0.999, 10**6) == 0.999
    assert decay(0.0, 100) == 0.0


def test_the_rate_rises_for_a_tenth_and_falls_to_nothing(tiny: Make) -> None:
    cosine, flat = tiny(epochs=100), tiny(epochs=100, warmup=0.04, schedule="none")
    rates = [rate_factor(cosine, step + 1, step, 100) for step in range(100)]
    assert int(np.argmax(rates)) == 10
    assert 0 < rates[0] < 0.1
    assert rates[50] == pytest.approx(0.5)
    assert 0 < rates[99] < 1e-3
    assert [rate_factor(flat, 1, step, 100) for step in (0, 2, 4, 99)] == pytest.approx([0.2, 0.6, 1, 1])
    assert rate_factor(tiny(epochs=1), 1, 0, 1) == 1.0


def test_a_loss_that_is_not_finite_is_an_error_with_a_hint(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    with pytest.raises(PluginError, match=r"loss of epoch \d is not finite") as caught:
        tiny(lr=1e30, clip_norm=None, warmup=0.0, epochs=3).fit(colours(), context())
    assert "lower lr (it is 1e+30)" in str(caught.value)


def test_loss_and_rate_become_the_curve(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    ctx = context()
    tiny(epochs=3).fit(colours(), ctx)
    points = {(point.epoch, point.name): point.value for point in ctx.curves}
    assert {epoch for epoch, _ in points} == {1, 2, 3}
    assert all(math.isfinite(points[epoch, name]) for epoch in (1, 2, 3) for name in ("loss", "lr"))
    assert points[3, "lr"] < points[1, "lr"]


def test_the_gradient_is_clipped(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    """AdamW takes no notice of the gradient's length, but of how it changes: the weights are others."""
    data = colours()
    clipped = tiny(clip_norm=1e-3, epochs=2).fit(data, context("clipped"))
    free = tiny(clip_norm=None, epochs=2).fit(data, context("free"))
    assert not _same(_weights(clipped), _weights(free))


def test_training_in_sixteen_bits_keeps_weights_of_thirty_two(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    data = colours()
    half = tiny(precision="bf16-mixed").fit(data, context("half"))
    full = tiny().fit(data, context("full"))
    found, expected = _weights(half), _weights(full)
    assert all(value.dtype == torch.float32 for value in found.values())
    assert not _same(found, expected)
    assert all(torch.allclose(value, expected[name], atol=5e-3) for name, value in found.items())


def test_it_prints_nothing_and_needs_no_network(
    tiny: Make,
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no connection is made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tiny().fit(colours(), context()).sample([0], [0])
    assert capfd.readouterr() == ("", "")
