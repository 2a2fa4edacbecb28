"""MMagic's BigGAN with what it lacks: augmented discrimination, labels as in the data, an average that warms up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from fgic_gen_biggan._augment import augment
from fgic_gen_biggan._mmagic import import_mmagic

_MMAGIC = import_mmagic()
#: Power iterations after which the singular vectors of new weights are near enough.
_ITERATIONS = 20


class Discriminator(_MMAGIC.Discriminator):  # type: ignore[misc]
    """MMagic's BigGAN-deep discriminator, to which every picture comes augmented.

    Args:
        policy: see `augment`; empty leaves pictures as they are.
        arguments: of MMagic's class.
    """

    def __init__(self, policy: Sequence[str], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._policy = tuple(policy)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(augment(x, self._policy), label=label)


class WarmAverage(_MMAGIC.ExponentialMovingAverage):  # type: ignore[misc]
    """MMagic's moving average of weights, with a decay that rises to its own: (1 + t) / (10 + t).

    With a constant decay of 0.9999 the first thousands of averages are mostly untrained weights.
    """

    def update_parameters(self, model: nn.Module) -> None:
        step = int(self.steps)  # once for all weights: on a GPU it is waited for
        self._share = 1 - min(1 - self.momentum, (1 + step) / (10 + step))
        super().update_parameters(model)

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        averaged_param.lerp_(source_param, self._share)


class Gan(_MMAGIC.BigGAN):  # type: ignore[misc]
    """MMagic's BigGAN; made pictures have labels as often as the train pictures have them.

    Args:
        counts: (classes,) train pictures of each class; a class without any is never made.
        arguments: of MMagic's class.
    """

    def __init__(self, counts: np.ndarray[Any, Any], **arguments: Any) -> None:
        super().__init__(data_preprocessor=_MMAGIC.DataPreprocessor(), **arguments)
        self._counts = torch.from_numpy(np.asarray(counts, dtype=np.float64))

    def data_sample_to_label(self, data_sample: Any) -> Tensor:
        """(n,): MMagic stacks labels to (n, 1), which its discriminator's projection takes for (n, n) of them."""
        labels: Tensor = super().data_sample_to_label(data_sample)
        return labels.flatten()

    def label_fn(self, label: Any = None, num_batches: int = 1) -> Tensor:
        if label is None:
            label = torch.multinomial(self._counts, num_batches, replacement=True)
        return super().label_fn(label, num_batches)


def settle(network: nn.Module) -> None:
    """Find the singular vectors of new weights: spectral norm begins with random ones, and divides by too little."""
    with torch.no_grad():
        for module in network.modules():
            for hook in module._forward_pre_hooks.values():
                if isinstance(hook, SpectralNorm):
                    for _ in range(_ITERATIONS):
                        hook.compute_weight(module, do_power_iteration=True)


def stand(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Take BatchNorm's statistics anew, from what the network makes (standing statistics, Brock et al. 2019, app. B).

    Those of averaged weights are no average of the statistics over the training. Spectral norm's vectors come along.

    Args:
        network: a generator; it is left in evaluation mode.
        batches: noise and labels.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    network.train()
    with torch.no_grad():
        for noise, labels in batches:
            network(noise, label=labels)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
