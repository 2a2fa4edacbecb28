"""What plugins that train a network share: the epoch to keep, evaluation mode, and whose weights a file holds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fgic_core.data.files import regular_file
from fgic_core.errors import PluginError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

_SHOWN = 3
#: Keys under which a checkpoint holds its weights.
_INSIDE = ("state_dict", "model")


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


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weight file by name, on the CPU; nothing but tensors is unpickled.

    Args:
        path: a .safetensors file, or a .pth, .pt or .bin file; in the latter what lies under ``state_dict`` or
            ``model`` is taken, where it is a checkpoint.

    Raises:
        PluginError: it is no such file.
    """
    import torch
    from safetensors.torch import load_file

    try:
        regular_file(path)
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can be broken in any way
        said = str(error).partition(". ")[0]
        raise PluginError(
            f"these weights cannot be read: {said if ' ' in said else f'{type(error).__name__} {said}'}",
            where=str(path),
            hint="They should be a .safetensors file, or a .pth or .bin file with nothing but tensors: others can run "
            "any code when they are read.",
        ) from error
    while isinstance(content, Mapping) and (inside := next((key for key in _INSIDE if key in content), None)):
        content = content[inside]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise PluginError("this file holds no weights by name", where=str(path))
    return dict(content)


def check_weight_names(
    path: Path, found: Collection[str], own: Collection[str], free: Collection[str] = (), of: str = "this model"
) -> None:
    """That the tensors of a file are those of a model, by name.

    Args:
        path: the file.
        found: names of its tensors.
        own: names of the model's.
        free: those of the model's that the file may lack, such as a head's.
        of: what the weights should be of, for the hint.

    Raises:
        PluginError: some are missing or unexpected; says how many, which, and what the nearest name is.
    """
    # How often BatchNorm was run does not matter: some files have no such count, some models take none.
    found, own = ([name for name in names if not name.endswith("num_batches_tracked")] for names in (found, own))
    known, there = set(own), set(found)
    missing = [name for name in own if name not in there and name not in free]
    unexpected = [name for name in found if name not in known]
    if not missing and not unexpected:
        return
    problems, hints = [], [f"Are they of {of}?"]
    if missing:
        problems.append(f"lack {len(missing)} of {len(own)} tensors ({_some(missing)})")
    if unexpected:
        problems.append(f"have {len(unexpected)} that the model has not ({_some(unexpected)})")
        close = nearest(unexpected[0], list(own), 1)
        hints += [f"The nearest name to {unexpected[0]} in the model is {close[0]}."] if close else []
    raise PluginError(f"these weights {' and '.join(problems)}", where=str(path), hint=" ".join(hints))


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
