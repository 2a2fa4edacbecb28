"""The attacker's driver: what it counts, verifies and flags."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from fgic_core import Attacker, PluginError
from fgic_core.kinds.attacker import driver as attacker
from fgic_core.kinds.attacker import gradient_masking as masking
from fgic_core.kinds.attacker import reference_attacks as reference
from fgic_core.kinds.attacker.adversarial_examples import magnified
from fgic_core.steps.context import StepContext

SIDE = 4


class Brightness(nn.Module):
    """Class 1 where the mean pixel is above one half."""

    def __init__(self, sharpness: float = 4.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.sharpness = nn.Parameter(torch.tensor(sharpness))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logit = self.sharpness * (self.drop(self.norm(images)).mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-logit, logit], dim=1)


class Honest(Attacker):
    """Moves every pixel by eps against the label, which is optimal for `Brightness`."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        sign = 1.0 - 2.0 * labels.float()
        length = eps if self.norm == "Linf" else eps / images[0].numel() ** 0.5
        return (images + length * sign[:, None, None, None]).clamp(0, 1)


class Idle(Attacker):
    """Does nothing."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return images


class Noise(Attacker):
    """Random signs."""

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        drawn = torch.stack([torch.rand(images.shape[1:], generator=generator) for _ in images])
        return (images + eps * (drawn - 0.5).sign()).clamp(0, 1)


def greys(*levels: int) -> list[np.ndarray[Any, Any]]:
    return [np.full((SIDE, SIDE, 3), level, dtype=np.uint8) for level in levels]


@pytest.fixture
def ctx(tmp_path: Path) -> StepContext:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return StepContext(folder, uses="attacker/toy", seed=1)


@pytest.fixture
def toy(wrap, picture_set) -> dict[str, Any]:
    """Six pictures: five right, at distances of about 2, 12, 40, 2 and 100 grey levels, and one wrong."""
    pictures = greys(130, 140, 168, 125, 27, 200)
    return {"model": wrap(Brightness(), SIDE), "dataset": picture_set(pictures, [1, 1, 1, 0, 0, 0])}


def verdicts(ctx: StepContext) -> dict[str, str]:
    return {metric.name: metric.verdict for metric in ctx.metrics if metric.name.startswith("check_")}


def metrics(ctx: StepContext, name: str) -> dict[str, Any]:
    """By eps; the clean accuracy has none."""
    assert {metric.split for metric in ctx.metrics} == {"test"}
    return {metric.at.get("eps"): metric for metric in ctx.metrics if metric.name == name}


def test_the_denominator_is_every_attacked_image(toy, ctx) -> None:
    attacker.run(Honest(eps=("4/255", "16/255", "64/255", 0.5)), toy, ctx)
    assert metrics(ctx, "clean_accuracy")[None].value == pytest.approx(5 / 6)
    robust = metrics(ctx, "robust_accuracy")
    assert {eps: round(m.value * 6) for eps, m in robust.items()} == {
        0: 5,
        4 / 255: 3,
        16 / 255: 2,
        64 / 255: 1,
        0.5: 0,
    }
    assert {m.n for m in robust.values()} == {6}
    assert all(m.low <= m.value <= m.high for m in robust.values())
    assert "out of all attacked images" in robust[0.5].note
    success = metrics(ctx, "attack_success")
    assert {eps: (round(m.value * m.n), m.n) for eps, m in success.items()} == {
        4 / 255: (2, 5),
        16 / 255: (3, 5),
        64 / 255: (4, 5),
        0.5: (5, 5),
    }


def test_an_image_that_was_wrong_is_never_robust(wrap, picture_set, ctx) -> None:
    """Moved against its label's direction or not, a wrong image that an attack happens to set right does not count."""

    class Helpful(Attacker):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
            return (images + eps * (2 * labels.float() - 1)[:, None, None, None]).clamp(0, 1)

    inputs = {"model": wrap(Brightness(), SIDE), "dataset": picture_set(greys(120, 130), [1, 1])}
    attacker.run(Helpful(eps=(0.1,)), inputs, ctx)
    rows = pq.read_table(ctx.folder / "robustness.parquet").to_pylist()
    assert [(r["eps"], r["clean"], r["adversarial"]) for r in rows] == [(0, 0, 0), (0, 1, 1), (0.1, 0, 1), (0.1, 1, 1)]
    assert metrics(ctx, "robust_accuracy")[0.1].value == 0.5


def test_the_list_of_eps_is_sorted_made_unique_and_starts_clean(toy, ctx) -> None:
    attacker.run(Honest(eps=("16/255", "4/255", "4/255")), toy, ctx)
    rows = pq.read_table(ctx.folder / "robustness.parquet").to_pylist()
    assert [row["eps"] for row in rows] == [0.0] * 6 + [4 / 255] * 6 + [16 / 255] * 6
    clean = rows[:6]
    assert all(row["clean"] == row["adversarial"] and row["distance"] == 0 for row in clean)
    assert [row["distance"] for row in rows[6:]] == pytest.approx([4 / 255] * 6 + [16 / 255] * 6, abs=1e-6)
    assert [row["id"] for row in rows] == list("012345") * 3


def test_eps_0_alone_measures_the_clean_accuracy(toy, ctx) -> None:
    attacker.run(Honest(eps=(0,)), toy, ctx)
    assert metrics(ctx, "robust_accuracy").keys() == {0}
    assert json.loads((ctx.folder / "examples" / "examples.json").read_text()) == []


def test_another_eps_in_the_list_leaves_the_other_rows_as_they_were(toy, tmp_path) -> None:
    found = []
    for eps in ((0.2,), (0.1, 0.2, 0.3)):
        folder = tmp_path / str(len(eps))
        folder.mkdir()
        attacker.run(Noise(eps=eps), toy, StepContext(folder, uses="attacker/toy", seed=1))
        found.append([r for r in pq.read_table(folder / "robustness.parquet").to_pylist() if r["eps"] == 0.2])
    assert found[0] == found[1]


def test_batches_do_not_matter(toy, tmp_path, monkeypatch) -> None:
    found = []
    for size in (1, 4, 32):
        monkeypatch.setattr(attacker, "BATCH_SIZE", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        attacker.run(Noise(eps=(0.1, 0.2)), toy, StepContext(folder, uses="attacker/toy", seed=1))
        found.append(pq.read_table(folder / "robustness.parquet").to_pylist())
    for other in found[1:]:
        assert [(r["id"], r["adversarial"]) for r in other] == [(r["id"], r["adversarial"]) for r in found[0]]
        assert [r["confidence"] for r in other] == pytest.approx([r["confidence"] for r in found[0]], abs=1e-6)


def test_examples_are_the_images_fooled_at_the_smallest_eps(toy, ctx) -> None:
    attacker.run(Honest(eps=("4/255", "16/255", "64/255")), toy, ctx)
    examples = json.loads((ctx.folder / "examples" / "examples.json").read_text())
    assert [(e["row"], e["id"], round(e["eps"] * 255)) for e in examples] == [
        (0, "0", 4),
        (3, "3", 4),
        (1, "1", 16),
        (2, "2", 64),
    ]
    assert (examples[0]["label"], examples[0]["clean"], examples[0]["adversarial"]) == (1, 1, 0)
    pixels = {
        kind: np.asarray(Image.open(ctx.folder / "examples" / f"0_{kind}.png"))
        for kind in ("clean", "adversarial", "perturbation")
    }
    assert np.unique(pixels["clean"]).tolist() == [130]
    assert np.unique(pixels["adversarial"]).tolist() == [126]
    assert np.unique(pixels["perturbation"]).tolist() == [0]


def test_few_examples_are_kept_and_those_over_many_classes(wrap, picture_set, ctx) -> None:
    inputs = {
        "model": wrap(Brightness(), SIDE),
        "dataset": picture_set(greys(*[130] * 30, *[120] * 5), [1] * 30 + [0] * 5),
    }
    attacker.run(Honest(eps=(0.2,)), inputs, ctx)
    labels = [e["label"] for e in json.loads((ctx.folder / "examples" / "examples.json").read_text())]
    assert len(labels) == 12
    assert labels.count(0) == 5


def test_a_perturbation_is_magnified_around_grey() -> None:
    perturbation = torch.tensor([[[0.01, -0.02, 0.0]]]).expand(3, 1, 3)
    assert magnified(perturbation)[0, 0].tolist() == pytest.approx([0.75, 0.0, 0.5])
    assert torch.equal(magnified(torch.zeros(3, 2, 2)), torch.full((3, 2, 2), 0.5))


def test_a_network_left_in_train_mode_is_attacked_in_evaluation_mode_and_restored(wrap, picture_set, ctx) -> None:
    network = Brightness().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dataset = picture_set(greys(130, 140, 120, 110), [1, 1, 0, 0])
    attacker.run(Honest(eps=(0.001,)), {"model": wrap(network, SIDE), "dataset": dataset}, ctx)
    assert network.training
    assert network.drop.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert metrics(ctx, "clean_accuracy")[None].value == 1.0


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (
            lambda images, eps: images + 2 * eps * (0.5 - images).sign(),
            r"left the Linf ball with 6 of 6 images, .* 0\.2",
        ),
        (lambda images, eps: images + eps, r"pixels in \[.*, 1\.08"),
        (lambda images, eps: images - 200, "pixels in"),
        (lambda images, eps: images * float("nan"), "not finite in 6 of 6"),
        (lambda images, eps: images[:, :, 1:], r"\(6, 3, 3, 4\) torch.float32 for \(6, 3, 4, 4\)"),
        (lambda images, eps: images.double(), r"torch.float64 for"),
        (lambda images, eps: images.numpy(), "perturb gave ndarray"),
    ],
)
def test_images_that_break_the_contract_are_refused(cheat, message, wrap, picture_set, ctx) -> None:
    class Cheater(Attacker):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
            return cheat(images, eps)

    inputs = {"model": wrap(Brightness(), SIDE), "dataset": picture_set(greys(130, 140, 168, 125, 27, 250), [1] * 6)}
    with pytest.raises(PluginError, match=message) as caught:
        attacker.run(Cheater(eps=(0.1,)), inputs, ctx)
    assert str(caught.value).startswith("attacker/toy, eps 0.1: ")


def test_an_attacker_that_writes_into_its_images_does_not_move_the_centre_of_the_ball(toy, ctx) -> None:
    class InPlace(Attacker):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
            return images.add_(3 * eps).clamp_(0, 1)

    with pytest.raises(PluginError, match="left the Linf ball"):
        attacker.run(InPlace(eps=(0.1,)), toy, ctx)


def _grad(network: Any) -> None:
    network(torch.full((1, 3, SIDE, SIDE), 0.3)).square().sum().backward()


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (lambda network: network.train(), "the training mode"),
        (lambda network: network.requires_grad_(False), "requires_grad"),
        (_grad, r"\.grad"),
        (lambda network: network.register_forward_pre_hook(lambda *_: None), "hooks"),
        (lambda network: network.norm.running_var.mul_(2), "parameters or buffers"),
        (lambda network: network.sharpness.data.mul_(2), "parameters or buffers"),
        (lambda _: torch.rand(1), "global random generator"),
        (lambda _: np.random.rand(), "global random generator"),
        (lambda _: random.random(), "global random generator"),
    ],
)
def test_an_attacker_that_leaves_traces_is_refused(cheat, message, toy, ctx) -> None:
    class Cheater(Honest):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
            cheat(network)
            return super().perturb(network, images, labels, eps, generator)

    with pytest.raises(PluginError, match=message) as caught:
        attacker.run(Cheater(eps=(0.1,)), toy, ctx)
    assert str(caught.value).startswith("attacker/toy: perturb changed")


@given(eps=st.floats(1e-4, 1.0), norm=st.sampled_from(["Linf", "L2"]), seed=st.integers(0, 9))
def test_the_core_s_own_attacks_stay_in_the_ball(eps: float, norm: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, 3, 5, 5, generator=generator)
    labels = torch.tensor([0, 1, 1])
    network = Brightness().eval()
    tried = [
        reference.fgsm(network, images, labels, eps, norm),
        *reference.margin_pgd(network, images, labels, eps, norm, 3),
        *reference.noise(images, eps, norm, 2, generator),
    ]
    for moved in tried:
        attacker.verify(moved, images, eps, norm, "core")


def steep(wrap: Any, picture_set: Any, sharpness: float = 4.0) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    levels = [*rng.integers(135, 145, 16), *rng.integers(110, 120, 16)]
    model = wrap(Brightness(sharpness), SIDE)
    return {"model": model, "dataset": picture_set(greys(*levels), [1] * 16 + [0] * 16)}


def test_a_sound_attack_on_an_open_network_raises_no_flag(wrap, picture_set, ctx) -> None:
    # 37 grey levels from the boundary: eps 0.2 is 51 levels, but random signs move the mean by 7 at a time.
    inputs = {
        "model": wrap(Brightness(), SIDE),
        "dataset": picture_set(greys(*[165] * 16, *[90] * 16), [1] * 16 + [0] * 16),
    }
    attacker.run(Honest(eps=(0.01, 0.05, 0.2)), inputs, ctx)
    assert ctx.warnings == []
    checks = {m.name: m.value for m in ctx.metrics if m.name.startswith("check_")}
    assert checks == {
        "check_monotone": 0.0,
        "check_zero_gradient": 0.0,
        "check_fgsm": 0.0,
        "check_noise": 1.0,
        "check_margin_pgd": 0.0,
        "check_unbounded": 0.0,
    }
    assert set(verdicts(ctx).values()) == {"pass"}


def test_a_sound_attack_in_l2_raises_no_flag(wrap, picture_set, ctx) -> None:
    attacker.run(Honest(norm="L2", eps=(0.1, 0.9)), steep(wrap, picture_set), ctx)
    assert ctx.warnings == []
    assert metrics(ctx, "robust_accuracy")[0.9].value == 0.0


def test_an_attack_that_does_nothing_is_flagged(wrap, picture_set, ctx) -> None:
    attacker.run(Idle(eps=(0.2,)), steep(wrap, picture_set), ctx)
    said = " ".join(ctx.warnings)
    assert "one step of FGSM leaves 0 of 8 images right, this attack 8" in said
    assert "10 steps on the margin loss leaves 0 of 8" in said
    assert "With no bound on the perturbation 8 of 8 images are still right" in said
    assert verdicts(ctx) == {
        "check_zero_gradient": "pass",
        "check_fgsm": "flag",
        "check_noise": "pass",
        "check_margin_pgd": "flag",
        "check_unbounded": "flag",
    }


def test_a_one_step_attack_that_many_steps_beat_is_no_alarm(wrap, picture_set, ctx) -> None:
    """The gradient leads away from the boundary after one step, as where a loss is curved."""

    class OneStep(Attacker):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
            with torch.enable_grad():
                leaf = images.detach().clone().requires_grad_()
                (found,) = torch.autograd.grad(network(leaf).sum(), leaf)
            return images + 0.0 * found

    attacker.run(OneStep(eps=(0.2,)), steep(wrap, picture_set), ctx)
    found = verdicts(ctx)
    assert found["check_margin_pgd"] == found["check_unbounded"] == "expected"
    assert any("That is expected of a one-step attack" in warning for warning in ctx.warnings)
    assert not any("A simple attack beats this one: 10 steps" in warning for warning in ctx.warnings)


def test_checks_on_images_that_were_all_wrong_give_no_verdict(wrap, picture_set, ctx) -> None:
    inputs = steep(wrap, picture_set)
    inputs["model"].fitted.network.sharpness.data.neg_()
    attacker.run(Honest(eps=(0.2,)), inputs, ctx)
    found = verdicts(ctx)
    assert found.pop("check_zero_gradient") == "pass"
    assert set(found.values()) == {""}
    assert all("tells nothing" in m.note for m in ctx.metrics if m.name in found)


def test_a_network_without_gradients_is_flagged(wrap, picture_set, ctx) -> None:
    """Cross-entropy saturates in float32, as after defensive distillation; the margin does not."""
    attacker.run(Idle(eps=(0.2,)), steep(wrap, picture_set, sharpness=1e4), ctx)
    assert next(m.value for m in ctx.metrics if m.name == "check_zero_gradient") == 1.0
    assert next(m.value for m in ctx.metrics if m.name == "check_margin_pgd") == 0.0
    assert any("no gradient at all" in warning for warning in ctx.warnings)


def test_random_noise_that_beats_the_attack_is_flagged(wrap, picture_set, ctx) -> None:
    class Rounded(Brightness):
        """A staircase, whose gradient is zero everywhere, with risers that noise finds."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            mean = (images[:, 0, 0, 0] * 100).round() / 100 * self.sharpness
            return torch.stack([self.sharpness / 2 - mean, mean - self.sharpness / 2], dim=1)

    inputs = steep(wrap, picture_set)
    model = inputs["model"]
    inputs["model"] = replace(model, fitted=replace(model.fitted, network=Rounded()))
    attacker.run(Idle(eps=(0.2,)), inputs, ctx)
    assert any("the best of 10 random perturbations leaves" in warning for warning in ctx.warnings)


def test_more_survivors_in_a_larger_ball_are_flagged(wrap, picture_set, ctx) -> None:
    class Fading(Honest):
        def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
            return super().perturb(network, images, labels, eps if eps < 0.15 else 0.0, generator)

    attacker.run(Fading(eps=(0.1, 0.2)), steep(wrap, picture_set), ctx)
    assert any("More images survive at eps 0.2 than at 0.1" in warning for warning in ctx.warnings)
    assert verdicts(ctx)["check_monotone"] == "flag"


def test_a_difference_of_a_few_images_is_not_called_better() -> None:
    weaker = np.array([True] * 10)
    assert not masking.beats(np.array([False] * 4 + [True] * 6), weaker)
    assert masking.beats(np.array([False] * 5 + [True] * 5), weaker)
    assert not masking.beats(weaker, weaker)


@pytest.mark.parametrize(("attacked", "checked"), [(1, 1), (8, 8), (24, 8), (64, 16), (200, 32), (1000, 32)])
def test_the_checks_run_on_a_quarter_of_the_images_within_limits(attacked: int, checked: int) -> None:
    assert masking.how_many(attacked) == checked


def test_a_norm_that_an_attack_does_not_know_is_refused() -> None:
    class Pixels(Honest):
        norms = ("Linf",)

    assert Pixels(norm="Linf").norm == "Linf"
    with pytest.raises(ValueError, match="norm should be Linf, which this attack knows; it is L2"):
        Pixels(norm="L2")
