"""The noise is that of the papers and of diffusers, and a perfect network gives back what it knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from fgic_gen_diffusers import DiffusionGenerator
from fgic_gen_diffusers._network import Network
from fgic_gen_diffusers._noise import Noise
from fgic_gen_diffusers._sampling import sample

SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
KINDS = {"epsilon": "epsilon", "v": "v_prediction"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noised_pictures_and_targets_are_those_of_diffusers(schedule: str) -> None:
    theirs = DDPMScheduler(beta_schedule=SCHEDULES[schedule])
    x0, eps = torch.rand(5, 3, 4, 4) * 2 - 1, torch.randn(5, 3, 4, 4)
    t = torch.tensor([0, 10, 500, 990, 999])
    noise = Noise(schedule, "v")
    torch.testing.assert_close(noise.add(x0, eps, t), theirs.add_noise(x0, eps, t))
    torch.testing.assert_close(noise.target(x0, eps, t), theirs.get_velocity(x0, eps, t))
    assert Noise(schedule, "epsilon").target(x0, eps, t) is eps


def test_the_cosine_schedule_is_that_of_the_paper() -> None:
    x0 = torch.ones(1, 1, 1, 1)
    for t in (0, 250, 500, 900):
        at = (((t + 1) / 1000) + 0.008) / 1.008, 0.008 / 1.008
        expected = math.cos(at[0] * math.pi / 2) / math.cos(at[1] * math.pi / 2)
        assert Noise("cosine", "v").add(x0, x0 * 0, torch.tensor([t])).item() == pytest.approx(expected, abs=1e-3)


def test_noise_keeps_the_variance() -> None:
    one = torch.ones(1000, 1, 1, 1)
    noise, t = Noise("linear", "v"), torch.arange(1000)
    torch.testing.assert_close(noise.add(one, 0 * one, t) ** 2 + noise.add(0 * one, one, t) ** 2, one)


@pytest.mark.parametrize("prediction", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_picture_behind_a_right_prediction_is_the_picture(schedule: str, prediction: str) -> None:
    noise = Noise(schedule, prediction)
    x0, eps, t = torch.rand(4, 3, 2, 2) * 2 - 1, torch.randn(4, 3, 2, 2), torch.tensor([0, 300, 700, 990])
    found = noise.picture(noise.target(x0, eps, t), noise.add(x0, eps, t), t)
    torch.testing.assert_close(found, x0, atol=1e-3, rtol=0)
    assert noise.picture(-50 * eps, x0, t).abs().max() <= 1


def _perfect(network: Network, x0: torch.Tensor) -> None:
    """Make a network predict what is right where the only picture is x0."""

    def forward(noisy: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        t = t.expand(len(noisy))
        alone = network.noise.add(x0.expand_as(noisy), torch.zeros_like(noisy), t)
        sigma = network.noise.add(torch.zeros_like(noisy), torch.ones_like(noisy), t)
        return network.noise.target(x0.expand_as(noisy), (noisy - alone) / sigma, t)

    network.forward = forward  # type: ignore[method-assign]


@pytest.mark.parametrize("steps", [1, 7, 25, 60])
@pytest.mark.parametrize("prediction", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_a_perfect_network_of_one_picture_gives_that_picture(
    sampler: str,
    schedule: str,
    prediction: str,
    steps: int,
    network: Callable[..., Network],
    tiny: Callable[..., DiffusionGenerator],
) -> None:
    options = tiny(sampler=sampler, noise=schedule, prediction=prediction, sampling_steps=steps)
    perfect = network(noise=schedule, prediction=prediction)
    x0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    _perfect(perfect, x0)
    found = torch.from_numpy(sample(options, perfect, [0, 1], [5, 6]))
    torch.testing.assert_close(found, ((x0 + 1) / 2).expand(2, -1, -1, -1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("prediction", KINDS)
def test_ddim_makes_what_the_scheduler_of_diffusers_makes(
    prediction: str, network: Callable[..., Network], tiny: Callable[..., DiffusionGenerator]
) -> None:
    """Where the steps divide 1000; elsewhere that of diffusers steps beside its own grid."""
    untrained = network(noise="linear", prediction=prediction)
    options = tiny(sampler="ddim", noise="linear", prediction=prediction, sampling_steps=20, guidance_scale=1)
    theirs = DDIMScheduler(
        beta_schedule="linear",
        prediction_type=KINDS[prediction],
        timestep_spacing="trailing",
        clip_sample=True,
    )
    theirs.set_timesteps(20)
    noisy = torch.stack([torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (4, 9)])
    with torch.no_grad():
        for t in theirs.timesteps:
            predicted = untrained(noisy, t, torch.tensor([0, 2]))
            noisy = theirs.step(predicted, t, noisy, use_clipped_model_output=True).prev_sample
    expected = ((noisy + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(
        torch.from_numpy(sample(options, untrained, [0, 2], [4, 9])), expected, atol=2e-3, rtol=0
    )
