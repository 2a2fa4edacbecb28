"""The epoch to keep, and evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn


class BestEpoch:
    """The weights to keep: those of the epoch with the best score on validation, the earliest of equals.

    Args:
        network: whose weights are copied when an epoch is the best so far.
        score: which of the numbers that ``ctx.evaluate`` returns, such as ``accuracy`` or ``mAP``.
        keep: ``best``; with ``last`` nothing is copied, and the epochs are only told apart for early stopping.
        best: which score is: the largest, or (of ``FID``) the smallest.

    Attributes:
        epoch: the best epoch so far; 0 before the first that was measured.
    """

    def __init__(
        self,
        network: nn.Module,
        score: str,
        keep: Literal["best", "last"] = "best",
        best: Literal["max", "min"] = "max",
    ) -> None:
        self.epoch = 0
        self._best = -math.inf
        self._network, self._score, self._copies = network, score, keep == "best"
        self._sign = 1 if best == "max" else -1
        self._waited = 0
        self._weights: dict[str, torch.Tensor] | None = None

    def see(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Take note of an epoch. One without a score (there is no validation sample) is as good as none."""
        score = scores.get(self._score)
        if score is None or not self._sign * score > self._best:
            self._waited += score is not None
            return
        self.epoch, self._best, self._waited = epoch, self._sign * score, 0
        if self._copies:
            self._weights = self._copy()

    @property
    def waited(self) -> int:
        """How many epochs since the best were measured and no better; 0 where none was ever measured."""
        return self._waited if self.epoch else 0

    def waited_for(self, early_stopping: int | None) -> bool:
        """Whether so many epochs in a row were measured and no better; never where it is None."""
        return early_stopping is not None and self.waited >= early_stopping

    def restore(self) -> None:
        """Put the best epoch's weights into the network."""
        if self._weights is not None:
            self._network.load_state_dict(self._weights)

    def state_dict(self, epoch: int) -> dict[str, Any]:
        """The state after an epoch, for a checkpoint; its weights are left out where they are the network's own."""
        weights = self._weights if self.epoch != epoch else None
        score = self._best if self.epoch else None
        return {"epoch": self.epoch, "score": score, "waited": self._waited, "weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the state; the network has its own back already."""
        self.epoch, self._waited = state["epoch"], state["waited"]
        self._best = -math.inf if state["score"] is None else state["score"]
        self._weights = state["weights"]
        if self._copies and self.epoch and self._weights is None:
            self._weights = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self._network.state_dict().items()}


@contextmanager
def evaluation(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation mode; each module's own mode is restored afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes:
            module.training = training
