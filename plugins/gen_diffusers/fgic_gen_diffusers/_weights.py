"""First weights of a network: those of an earlier generator, from a safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from fgic_core import Context, PluginError
from fgic_core.kit import check_weights, class_order, read_weights
from fgic_gen_diffusers._shape import Shape

WHERE = "generator/diffusion"

#: (classes + 1, d): the last row is the null class's.
_EMBEDDING = "class_embedding.weight"


def load_into(unet: nn.Module, shape: Shape, path: Path, classes: Sequence[str], ctx: Context) -> None:
    """Give a UNet the weights of a file.

    Embeddings go to the classes of their names. Those of other classes are left new, and said so, but for the null
    class's, which stands for no class and so for these too.

    Args:
        unet: from scratch, on the CPU.
        shape: what it was built from.
        path: a .safetensors file with diffusers' names, such as `save` writes.
        classes: names of the data's.
        ctx: is told about the embeddings.

    Raises:
        PluginError: the file cannot be read, or is of a network of another shape, noise or prediction.
    """
    weights = read_weights(path, pickles=False)
    for name in ("noise", "prediction"):
        own = getattr(shape, name)
        if weights.about.get(name, own) != own:
            raise PluginError(
                f"these weights were trained with {name}: {weights.about[name]}, the options say {own}",
                where=str(path),
                hint=f"Set {name}: {weights.about[name]}.",
            )
    tensors, found = unet.state_dict(), weights.tensors.get(_EMBEDDING)
    of = "a diffusion generator with the same layers, base_channels and multipliers"
    check_weights(weights, tensors, {_EMBEDDING}, of)
    rows = tensors[_EMBEDDING].clone()
    if found is None:
        ctx.warn(f"the weights {path.name} know no classes: their embeddings start new")
    else:
        part = "their embedding (all but the null class's)"
        order = class_order(weights, len(found) - 1, classes, ctx, trained=True, part=part)
        rows[-1] = found[-1]
        if order is not None:
            rows[:-1] = found[order]
    unet.load_state_dict({**weights.tensors, _EMBEDDING: rows})
