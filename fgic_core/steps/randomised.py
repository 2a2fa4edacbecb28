"""A classifier whose weights are noise, for the sanity check of Adebayo et al. (2018)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from fgic_core.data.geometry import Size
from fgic_core.interfaces.classifier import Classifier

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.images import Interpolation, Placement


class RandomisedClassifier(Classifier):
    """The same inputs, another network."""

    _original: Classifier = PrivateAttr()
    _network: Any = PrivateAttr()

    @classmethod
    def of(cls, classifier: Classifier, images: torch.Tensor, generator: torch.Generator) -> RandomisedClassifier:
        """A copy of ``classifier`` with random weights.

        Args:
            classifier: is not changed.
            images: (n, 3, h, w), to give BatchNorm statistics that fit the random weights.
            generator: decides the weights, on the CPU.
        """
        made = cls()
        made._original = classifier
        made._network = copy.deepcopy(classifier.network())
        randomise(made._network, images, generator)
        return made

    def network(self) -> nn.Module:
        network: nn.Module = self._network
        return network

    def input_size(self) -> Size:
        return self._original.input_size()

    def interpolation(self) -> Interpolation:
        return self._original.interpolation()

    def placement(self, image: Size) -> Placement:
        return self._original.placement(image)

    def prepare(self, image: Image) -> torch.Tensor:
        return self._original.prepare(image)

    def fit(self, train: object, val: object, ctx: object) -> None:
        raise NotImplementedError("a randomised classifier is not trained")

    def save(self, folder: Path) -> None:
        raise NotImplementedError("a randomised classifier is not saved")

    def load(self, folder: Path, device: str) -> None:
        raise NotImplementedError("a randomised classifier is not loaded")


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
