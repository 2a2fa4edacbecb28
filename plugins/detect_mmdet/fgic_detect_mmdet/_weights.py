"""First weights of a detector, from a local file of tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fgic_core import Context, PluginError, check_weight_names, regular_file


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name. Of a .pth file tensors and plain values alone are read; no code is run.

    Raises:
        PluginError: the file is broken, or holds more than that.
    """
    try:
        regular_file(path)
        document = load_file(path) if path.suffix.lower() == ".safetensors" else _read_pth(path)
    except (OSError, SafetensorError) as error:
        raise PluginError(f"these weights cannot be read: {error}", where=str(path)) from error
    except Exception as error:  # torch.load raises nearly anything on a broken file
        # torch's own message is left out: it advises to let the file run code.
        code = re.search(r"GLOBAL (\S+)", str(error))
        why = f"they refer to {code[1]}" if code else "the file is none of torch.save, or damaged"
        raise PluginError(
            f"these weights cannot be read as tensors alone: {why}",
            where=str(path),
            hint="Save the tensors alone where they come from: safetensors.torch.save_file(model.state_dict(), …).",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(document.get(key), Mapping):
            document = document[key]
    state = {str(name).removeprefix("module."): value for name, value in document.items() if torch.is_tensor(value)}
    if not state:
        raise PluginError("this file holds no tensors by name", where=str(path))
    return state


class _Ignored:
    """Stands for what a checkpoint holds beside its tensors, and does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


#: What MMEngine's Runner saves with the tensors: the log of the training.
_LOG = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(f"{module}.getattr" for module in ("builtins", "__builtin__")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
)


def _read_pth(path: Path) -> Any:
    """A checkpoint's tensors and plain values; of the log beside them nothing is made, anything else is refused."""
    ignored: Any = [(_Ignored, name) for name in _LOG]
    with torch.serialization.safe_globals(ignored):
        return torch.load(path, map_location="cpu", weights_only=True)


def new_heads(model: nn.Module, state: Mapping[str, torch.Tensor], free: Collection[str]) -> list[str]:
    """The tensors of the model that weights for other classes leave new; empty where they fit.

    Args:
        model: the detector.
        state: the weights.
        free: the tensors whose shapes depend on the classes.
    """
    own = model.state_dict()
    return sorted(name for name in own if name in free and name in state and state[name].shape != own[name].shape)


def load_weights(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: Path, free: Collection[str], ctx: Context
) -> None:
    """Give the model the weights of a detector, or its backbone those of a classifier.

    What depends on the number of classes is left new where the weights are for others, and said so.

    Args:
        model: the detector.
        state: the weights.
        path: the file they are from.
        free: the tensors whose shapes depend on the classes.
        ctx: is told what starts new.

    Raises:
        PluginError: the tensors are those of another architecture.
    """
    own = model.state_dict()
    if not any(name in own for name in state):
        state = {f"backbone.{name}": value for name, value in state.items() if f"backbone.{name}" in own}
    names = {name for name in own if name.startswith("backbone.")}
    only_backbone = bool(state) and all(name.startswith("backbone.") for name in state)
    check_weight_names(path, state, own, set(own) - names if only_backbone else (), "this config")
    heads = new_heads(model, state, free)
    for name, value in state.items():
        if name in own and value.shape != own[name].shape and name not in heads:
            raise PluginError(
                f"{name} has the shape {tuple(value.shape)}, in the model it is {tuple(own[name].shape)}",
                where=str(path),
                hint="Are config and overrides those of the weights?",
            )
    if heads:
        ctx.warn(f"the weights {path.name} tell other classes apart: {', '.join(heads)} start new")
    kept = {name: value for name, value in state.items() if name in own and name not in heads}
    model.load_state_dict({**own, **kept})
    if only_backbone:
        ctx.warn(f"the weights {path.name} are those of a backbone: the rest of the detector starts new")
