"""MMEngine's optimizer wrapper with clipping and precision as fgic's options say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from fgic_core.kit import TrainingOptions, check_precision, in_precision

_NUMBERS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class MixedPrecision(OptimWrapper):  # type: ignore[misc]
    """Computes losses in 16 bits where that is asked for, on any device; MMEngine's own one wants a GPU.

    Args:
        precision: as Lightning Fabric names it.
        device: torch's name of it.
        only: the part of the model that does; all of it where it is None.
        arguments: of `OptimWrapper`.
    """

    def __init__(self, precision: str, device: str, only: nn.Module | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._only = only
        self._kind, self._numbers = device.partition(":")[0], _NUMBERS.get(precision)
        # Gradients of float16 vanish unless the loss is scaled.
        self._scaler = torch.amp.GradScaler(self._kind, enabled=self._numbers is torch.float16)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model):
            if self._numbers is None:
                yield
                return
            with in_precision(self._only, self._autocast) if self._only is not None else self._autocast():
                yield

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._kind, self._numbers)

    def backward(self, loss: torch.Tensor, **more: Any) -> None:
        super().backward(self._scaler.scale(loss), **more)

    def step(self, **more: Any) -> None:
        if self.clip_grad_kwargs:
            self._scaler.unscale_(self.optimizer)
            self._clip_grad()
        self._scaler.step(self.optimizer, **more)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        own = dict(state_dict)
        self._scaler.load_state_dict(own.pop("scaler"))
        super().load_state_dict(own)


def wrapped(
    optimizer: torch.optim.Optimizer,
    options: TrainingOptions,
    device: str,
    only: nn.Module | None = None,
    **more: Any,
) -> MixedPrecision:
    """The optimizer as MMEngine's loop takes it.

    Args:
        optimizer: over what is trained.
        options: clip_norm and precision count.
        device: torch's name of the one that is trained on.
        only: the part of the model that computes in that precision, where others need 32 bits.
        more: arguments of MMEngine's `OptimWrapper`, such as ``accumulative_counts``.

    Raises:
        PluginError: the device has not that precision.
    """
    check_precision(options.precision, device)
    if options.clip_norm is not None:
        more["clip_grad"] = {"max_norm": options.clip_norm, "norm_type": 2}
    return MixedPrecision(options.precision, device, only, optimizer=optimizer, **more)
