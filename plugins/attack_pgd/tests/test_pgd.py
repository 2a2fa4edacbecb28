"""FGSM and PGD: optimal where the answer is known, inside the ball everywhere, and no traces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fgic_attack_pgd import FgsmAttacker, PgdAttacker
from fgic_attack_pgd._descent import margin, random_starts
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from fgic_core import Attacker, decode, to_tensor
from fgic_core.kinds.attacker import driver

SIDE = 8
LABELS = torch.tensor([0, 1, 1, 0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def middling(count: int = 4) -> torch.Tensor:
    """Images in [0.3, 0.7], where small balls do not touch the ends of [0, 1]."""
    return torch.rand(count, 3, SIDE, SIDE, generator=generator(1)) * 0.4 + 0.3


def linear() -> nn.Sequential:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(2, 3 * SIDE * SIDE, generator=generator(2)))
    return network.eval()


def optimum(network: nn.Sequential, images: torch.Tensor, eps: float, norm: str) -> torch.Tensor:
    """Where a linear two-class network is most wrong within the ball: a corner, or a point along the weights."""
    away = network[1].weight[1 - LABELS] - network[1].weight[LABELS]
    step = away.sign() if norm == "Linf" else away / away.norm(dim=1, keepdim=True)
    return (images + eps * step.reshape(images.shape)).detach()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_fgsm_is_optimal_on_a_linear_network(norm: str) -> None:
    network, images = linear(), middling()
    found = FgsmAttacker(norm=norm).perturb(network, images, LABELS, 0.1, generator())
    torch.testing.assert_close(found, optimum(network, images, 0.1, norm))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_reaches_the_same_optimum(norm: str, loss: str, random_start: bool) -> None:
    network, images = linear(), middling()
    with torch.no_grad():
        network[1].weight.div_(50)  # so that cross-entropy has a gradient in float32
    attacker = PgdAttacker(norm=norm, loss=loss, random_start=random_start, steps=40)
    found, best = attacker.perturb(network, images, LABELS, 0.1, generator()), optimum(network, images, 0.1, norm)
    if norm == "Linf" or not random_start:
        torch.testing.assert_close(found, best, atol=1e-5, rtol=0)
    # In L2 what the start had across the gradient shrinks at every step but never vanishes.
    gained = [margin(network(moved), LABELS) - margin(network(images), LABELS) for moved in (found, best)]
    assert (gained[0] > 0.95 * gained[1]).all()


def test_the_clamp_to_0_1_is_part_of_every_step() -> None:
    network = linear()
    images = (torch.rand(4, 3, SIDE, SIDE, generator=generator()) > 0.5).float()
    found = PgdAttacker(steps=5).perturb(network, images, LABELS, 0.3, generator())
    torch.testing.assert_close(found, optimum(network, images, 0.3, "Linf").clamp(0, 1))


def cnn(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)).eval()


ATTACKERS = [
    FgsmAttacker(),
    FgsmAttacker(norm="L2"),
    PgdAttacker(steps=3),
    PgdAttacker(steps=3, norm="L2"),
    PgdAttacker(steps=2, restarts=3, loss="margin"),
    PgdAttacker(steps=2, random_start=False, alpha=1.0),
]


@pytest.mark.parametrize("attacker", ATTACKERS, ids=str)
@settings(max_examples=15, deadline=None)
@given(eps=st.floats(1e-5, 1.0), seed=st.integers(0, 99))
def test_adversarial_images_stay_in_the_ball_and_in_0_1(attacker: Attacker, eps: float, seed: int) -> None:
    images = torch.rand(4, 3, SIDE, SIDE, generator=generator(seed))
    found = attacker.perturb(cnn(), images, LABELS, eps, generator(seed))
    driver.verify(found, images, eps, attacker.norm, "attacker")
    assert not found.requires_grad


@pytest.mark.parametrize("attacker", ATTACKERS, ids=str)
def test_batch_size_does_not_matter(attacker: Attacker) -> None:
    network, images, labels = cnn(), middling(6), torch.tensor([0, 1, 1, 0, 1, 0])
    found = []
    for size in (1, 4, 6):
        source = generator(3)
        parts = zip(images.split(size), labels.split(size), strict=True)
        found.append(torch.cat([attacker.perturb(network, x, y, 0.05, source) for x, y in parts]))
    torch.testing.assert_close(found[0], found[2], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], found[2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("attacker", ATTACKERS, ids=str)
def test_the_network_and_the_images_are_left_as_they_were_found(attacker: Attacker) -> None:
    network = cnn()
    network[0].weight.requires_grad_(False)
    network[6].weight.grad = torch.ones_like(network[6].weight)
    images, before = middling(), {name: value.clone() for name, value in network.state_dict().items()}
    kept, state = images.clone(), torch.get_rng_state()
    attacker.perturb(network, images, LABELS, 0.1, generator())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name for name, p in network.named_parameters() if p.grad is not None} == {"6.weight"}
    assert torch.equal(network[6].weight.grad, torch.ones_like(network[6].weight))
    assert not network[0].weight.requires_grad
    assert network[6].weight.requires_grad
    assert not any(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, kept)


def test_frozen_networks_and_inference_mode_make_no_difference() -> None:
    attacker, network = PgdAttacker(steps=2), cnn()
    expected = attacker.perturb(network, middling(), LABELS, 0.1, generator())
    with torch.inference_mode():
        inside = attacker.perturb(network, middling() * 1, LABELS * 1, 0.1, generator())
    assert torch.equal(inside, expected)
    assert torch.equal(attacker.perturb(cnn().requires_grad_(False), middling(), LABELS, 0.1, generator()), expected)


def test_the_generator_decides_the_random_start() -> None:
    network, attacker = cnn(), PgdAttacker(steps=1)
    found = [attacker.perturb(network, middling(), LABELS, 0.1, generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_random_starts_fill_the_ball(norm: Any) -> None:
    images = torch.full((200, 3, 2, 2), 0.5)
    (starts,) = random_starts(images, 1, 0.1, norm, generator())
    lengths = (starts - images).flatten(1)
    radii = lengths.abs().amax(dim=1) if norm == "Linf" else lengths.norm(dim=1)
    assert float(radii.max()) <= 0.1 + 1e-6
    # The share of a d-dimensional ball within radius r is r**d, in either norm.
    assert float((radii / 0.1).pow(12).mean()) == pytest.approx(0.5, abs=0.06)


def test_more_restarts_never_fool_less() -> None:
    network, images = cnn(4), middling(24)
    labels = network(images).argmax(dim=1)
    margins = []
    for restarts in (1, 8):
        found = PgdAttacker(steps=2, restarts=restarts).perturb(network, images, labels, 0.02, generator())
        margins.append(functional.cross_entropy(network(found), labels, reduction="none"))
    assert margins[1].mean() > margins[0].mean()


def test_more_restarts_keep_the_best_of_them() -> None:
    """Of one picture the first starts are the same however many there are, so that one more never does harm."""
    network = cnn(4)
    for seed in range(4):
        images = middling(4)[seed : seed + 1]
        labels, reached = network(images).argmax(dim=1), []
        for restarts in range(1, 7):
            attacker = PgdAttacker(steps=1, alpha=0.0, restarts=restarts)  # the starts themselves
            found = attacker.perturb(network, images, labels, 0.02, generator(seed))
            reached.append(margin(network(found), labels).item())
        assert reached == sorted(reached)
        assert reached[-1] > reached[0]


def test_every_step_takes_the_gradient_where_it_is() -> None:
    """The loss is largest within the ball, at 0.03 from the picture: PGD stays about there and goes no further."""

    class Hill(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            height = -(images - 0.53).square().flatten(1).sum(dim=1)
            return torch.stack([torch.zeros_like(height), height], dim=1)

    images = torch.full((2, 3, SIDE, SIDE), 0.5)
    attacker = PgdAttacker(steps=10, random_start=False)
    found = attacker.perturb(Hill(), images, torch.tensor([0, 0]), 0.1, generator())
    assert float((found - 0.53).abs().max()) < 0.025


def test_the_margin_loss_moves_where_cross_entropy_cannot() -> None:
    """Logits scaled as by defensive distillation: softmax is exactly one-hot in float32."""
    network, images = linear(), middling()
    labels = network(images).argmax(dim=1)
    with torch.no_grad():
        network[1].weight.mul_(1e3)
    stuck = PgdAttacker(random_start=False).perturb(network, images, labels, 0.2, generator())
    moved = PgdAttacker(random_start=False, loss="margin").perturb(network, images, labels, 0.2, generator())
    assert torch.equal(stuck, images)
    assert (network(moved).argmax(dim=1) != labels).all()


def test_an_unbounded_attack_on_a_trained_network_leaves_nothing_right() -> None:
    """Bright against dark squares, learned in a second; eps 1 must reach about 0 %."""
    rng = generator(7)
    images = torch.rand(128, 3, SIDE, SIDE, generator=rng)
    labels = torch.randint(0, 2, (128,), generator=rng)
    images[:, :, 2:6, 2:6] = images[:, :, 2:6, 2:6] * 0.3 + 0.7 * labels[:, None, None, None]
    network = cnn().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(30):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    network.eval()
    assert (network(images).argmax(dim=1) == labels).float().mean() > 0.95
    for attacker in (PgdAttacker(steps=10), PgdAttacker(steps=10, loss="margin")):
        found = attacker.perturb(network, images, labels, 1.0, generator())
        assert (network(found).argmax(dim=1) == labels).float().mean() < 0.02


@pytest.mark.parametrize("options", [{"eps": [8]}, {"steps": 0}, {"alpha": 2}, {"restarts": 0}, {"norm": "L1"}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PgdAttacker(**options)


def test_importing_the_components_does_not_import_torch() -> None:
    code = "import fgic_attack_pgd, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Real weights on real pictures.

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
DOGS = DATA / "stanford_dogs" / "Images"
WEIGHTS = DATA.parent / "weights" / "mobilenetv2_100.imagenet1k_dequantised.safetensors"


@pytest.mark.skipif(not (DOGS.is_dir() and WEIGHTS.is_file()), reason=f"no real data at {DATA} (set FGIC_REAL_DATA)")
def test_pgd_at_4_255_fools_a_real_network_on_real_pictures() -> None:
    timm = pytest.importorskip("timm", reason="timm builds the network of the real weights")
    from safetensors.torch import load_file
    from torchvision.transforms import Normalize

    network = timm.create_model("mobilenetv2_100", num_classes=1000)
    network.load_state_dict(load_file(WEIGHTS))
    network = nn.Sequential(Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), network).eval()
    files = [sorted(folder.iterdir())[0] for folder in sorted(DOGS.iterdir())[:3]]
    images = torch.stack([to_tensor(decode(file)) for file in files])
    # What the network says of the clean picture stands for the right label.
    labels = network(images).argmax(dim=1)
    found = PgdAttacker(steps=3).perturb(network, images, labels, 4 / 255, generator())
    driver.verify(found, images, 4 / 255, "Linf", "attacker/pgd")
    assert (network(found).argmax(dim=1) != labels).all()
