"""MMagic's generator, and what it is built with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgic_openmmlab import scope

from fgic_gen_biggan._mmagic import import_mmagic

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator


def build_generator(arguments: dict[str, Any]) -> Any:
    """MMagic's generator, its weights drawn from torch's global generator."""
    with scope("mmagic"):
        return import_mmagic().Generator(**arguments)


def arguments_of(options: BigganGenerator, classes: int) -> dict[str, Any]:
    """What MMagic's generator is built with from scratch.

    MMagic's own spectral norm (``ajbrock``) has no gradient through the norm, as its source has; PyTorch's has.
    """
    return {
        "output_scale": options.resolution,
        "num_classes": classes,
        "base_channels": options.base_channels or 64,
        "noise_size": options.noise_size or 128,
        "shared_dim": options.shared_dim or 128,
        "sn_style": "torch",
    }
