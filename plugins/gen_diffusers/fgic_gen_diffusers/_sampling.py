"""From noise to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fgic_core import FittedGenerator, PluginError
from fgic_gen_diffusers._network import Network
from fgic_gen_diffusers._weights import WHERE

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator


class Denoiser(FittedGenerator):
    """Makes pictures of noise with a network.

    Attributes:
        network: the average of the trained weights.
    """

    def __init__(self, options: DiffusionGenerator, network: Network) -> None:
        self._options = options
        self.network: Network = network

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> np.ndarray[Any, Any]:
        return sample(self._options, self.network, labels, seeds)


def sample(
    options: DiffusionGenerator, network: Network, labels: Sequence[int], seeds: Sequence[int]
) -> np.ndarray[Any, Any]:
    """Pictures of classes; see `Generator.sample`.

    As many at once as are trained on at once, so that they fit the same memory.
    """
    _check(network, labels)
    side = network.shape.resolution
    made = [np.empty((0, 3, side, side), dtype=np.float32)]
    for start in range(0, len(labels), options.batch_size):
        some = slice(start, start + options.batch_size)
        made.append(_denoise(options, network, labels[some], seeds[some]))
    return np.concatenate(made)


def _check(network: Network, labels: Sequence[int]) -> None:
    unknown = next((label for label in labels if label not in network.learned), None)
    if unknown is None:
        return
    classes = network.shape.classes
    if 0 <= unknown < classes:
        what = f"no picture of the class {unknown} was learned from"
    else:
        what = f"there is no class {unknown}: the classes are 0 to {classes - 1}"
    raise PluginError(what, where=WHERE)


@torch.inference_mode()
def _denoise(
    options: DiffusionGenerator, network: Network, labels: Sequence[int], seeds: Sequence[int]
) -> np.ndarray[Any, Any]:
    device = next(network.parameters()).device
    classes = torch.tensor([int(label) for label in labels], device=device)
    noisy = torch.stack([_first_noise(int(seed), network.shape.resolution) for seed in seeds]).to(device)
    solver = network.noise.solver(options.sampler, options.sampling_steps)
    for t in solver.timesteps:
        predicted = guided(network, noisy, t, classes, options.guidance_scale)
        noisy = solver.step(network.noise.picture(predicted, noisy, t), t, noisy, return_dict=False)[0]
    pictures: np.ndarray[Any, Any] = noisy.add(1).div(2).clamp(0, 1).float().cpu().numpy()
    return pictures


def _first_noise(seed: int, side: int) -> torch.Tensor:
    """The noise that a picture begins as: its seed's alone, on the CPU, so that every device begins with the same."""
    return torch.randn(3, side, side, generator=torch.Generator().manual_seed(seed))


def guided(network: Network, noisy: torch.Tensor, t: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
    """The prediction for a class, moved away from that for the null class (Ho and Salimans 2022).

    Args:
        network: predicts noise or v, which are guided alike: they differ by a multiple of ``noisy``.
        noisy: (n, 3, resolution, resolution).
        t: the step.
        labels: (n,).
        scale: ``1 + w`` of the paper; 1 is the class's own prediction.
    """
    if scale == 1:
        own: torch.Tensor = network(noisy, t, labels)
        return own
    both = torch.cat([labels, torch.full_like(labels, network.null)])
    of_class, of_none = network(torch.cat([noisy, noisy]), t, both).chunk(2)
    moved: torch.Tensor = of_none + scale * (of_class - of_none)
    return moved
