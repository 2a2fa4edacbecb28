"""A network whose weights are noise, for the sanity check of Adebayo et al. (2018)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def randomised(network: nn.Module, images: torch.Tensor, generator: torch.Generator) -> nn.Module:
    """A copy of a network with random weights.

    Args:
        network: is not changed.
        images: (n, 3, h, w), to give BatchNorm statistics that fit the random weights.
        generator: decides the weights, on the CPU.
    """
    made = copy.deepcopy(network)
    randomise(made, images, generator)
    return made


def randomise(network: nn.Module, images: torch.Tensor, generator: torch.Generator) -> None:
    """Replace all weights by noise, in place, and set the network to evaluation mode.

    Weight matrices and kernels become normal noise of the same size (root mean square), biases and scales are
    shuffled. BatchNorm statistics are taken anew, because with the old ones deep random networks overflow.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(noise * parameter.square().mean().sqrt())
            else:
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
        norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over what follows
            norm.train()
        if norms:
            network(images if len(images) > 1 else torch.cat([images, images]))
        network.eval()
