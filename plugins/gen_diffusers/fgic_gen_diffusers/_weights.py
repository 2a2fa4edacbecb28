"""First weights of a network: those of an earlier generator, from a safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fgic_core import Context, PluginError, check_weight_names, regular_file

if TYPE_CHECKING:
    from fgic_gen_diffusers._network import Shape

WHERE = "generator/diffusion"

#: (classes + 1, d): the last row is the null class's.
_EMBEDDING = "class_embedding.weight"


def load_weights(unet: nn.Module, shape: Shape, path: Path, ctx: Context) -> None:
    """Give a UNet the weights of a file.

    The embeddings of another number of classes are left new, but for the null class's, and said so.

    Args:
        unet: from scratch, on the CPU.
        shape: what it was built from.
        path: a .safetensors file with diffusers' names, such as `save` writes.
        ctx: is told about the embeddings.

    Raises:
        PluginError: the file cannot be read, or is of a network of another shape, noise or prediction.
    """
    state, about = _read(path)
    for name in ("noise", "prediction"):
        own = getattr(shape, name)
        if about.get(name, own) != own:
            raise PluginError(
                f"these weights were trained with {name}: {about[name]}, the options say {own}",
                where=str(path),
                hint=f"Set {name}: {about[name]}.",
            )
    own = unet.state_dict()
    check_weight_names(path, state, own, {_EMBEDDING}, "a diffusion generator with the same layers and multipliers")
    found = state.get(_EMBEDDING)
    if found is None or len(found) != shape.classes + 1:
        known = "no classes" if found is None else f"{len(found) - 1} classes"
        ctx.warn(f"the weights {path.name} know {known}, the data have {shape.classes}: their embeddings start new")
        state[_EMBEDDING] = own[_EMBEDDING].clone()
        if found is not None and found.shape[1:] == own[_EMBEDDING].shape[1:]:
            state[_EMBEDDING][-1] = found[-1]
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    if wrong:
        first = wrong[0]
        raise PluginError(
            f"{len(wrong)} tensors of these weights have another shape than the network's: {first} has "
            f"{tuple(state[first].shape)}, in the network it is {tuple(own[first].shape)}",
            where=str(path),
            hint="Are base_channels and multipliers those of the weights?",
        )
    unet.load_state_dict(state)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a file, and what it says of itself."""
    try:
        with safe_open(regular_file(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PluginError(
            f"these weights are not a safetensors file: {error}",
            where=str(path),
            hint="Pickled weights are not read: they can run any code. Convert them with safetensors.torch.save_file.",
        ) from error
