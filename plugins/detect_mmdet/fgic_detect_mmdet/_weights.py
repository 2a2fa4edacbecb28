"""First weights of a detector, from a local file of tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from fgic_core import Context, PluginError
from fgic_core.kit import Weights, check_weights


def new_heads(model: nn.Module, state: Mapping[str, torch.Tensor], free: Collection[str]) -> list[str]:
    """The tensors of the model that weights for other classes leave new; empty where they fit.

    Args:
        model: the detector.
        state: the weights.
        free: the tensors whose shapes depend on the classes.
    """
    own = model.state_dict()
    return sorted(name for name in own if name in free and name in state and state[name].shape != own[name].shape)


def load_into(model: nn.Module, weights: Weights, heads: Sequence[str], ctx: Context, *, trained: bool) -> None:
    """Give the model the weights of a detector, or its backbone those of a classifier.

    Args:
        model: the detector.
        weights: what was read.
        heads: the tensors that are left new, because the weights are for other classes.
        ctx: is told what starts new.
        trained: whether the detector is trained before it is used.

    Raises:
        PluginError: the tensors are those of another architecture, or of a backbone alone that nothing trains.
    """
    own, state = model.state_dict(), weights.tensors
    if not any(name in own for name in state):
        state = {f"backbone.{name}": value for name, value in state.items() if f"backbone.{name}" in own}
    only_backbone = bool(state) and all(name.startswith("backbone.") for name in state)
    rest = {name for name in own if not name.startswith("backbone.")} if only_backbone else set()
    check_weights(replace(weights, tensors=state), own, {*rest, *heads}, "this config")
    if only_backbone and not trained:
        raise PluginError(
            "these weights are those of a backbone, so that with epochs: 0 nothing is detected",
            where=str(weights.path),
            hint="Give the weights of a whole detector, or train.",
        )
    kept = {name: value for name, value in state.items() if name in own and name not in heads}
    model.load_state_dict({**own, **kept})
    if only_backbone:
        ctx.warn(f"the weights {weights.path.name} are those of a backbone: the rest of the detector starts new")
