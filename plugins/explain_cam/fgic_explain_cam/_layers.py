"""Finding the layer to map, and reading its output as a map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

import torch
from torch import nn

from fgic_core import PluginError

WHERE = "explainer/cam"


@dataclass(frozen=True)
class TargetLayer:
    """A module of the network and how its output becomes (n, channels, h, w).

    Attributes:
        name: dotted name in the network.
        module: the module itself.
        transformer: the ViT it belongs to, None in a CNN.
    """

    name: str
    module: nn.Module
    transformer: nn.Module | None = None

    def to_map(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The output (or its gradient) as (n, channels, h, w).

        Raises:
            PluginError: it has no places: its shape is neither a feature map's nor that of patch tokens.
        """
        size = (int(images.shape[-2]), int(images.shape[-1]))
        if output.ndim == 4:
            return output.permute(0, 3, 1, 2) if _is_nhwc(output.shape, size) else output
        if output.ndim == 3 and self.transformer is not None:
            grid = _grid(self.transformer, size, output.shape[1])
            if grid is not None:
                patches = output[:, output.shape[1] - grid[0] * grid[1] :]
                return patches.transpose(1, 2).reshape(len(output), -1, *grid)
        raise PluginError(
            f"its output has the shape {tuple(output.shape)}, which is no map",
            where=f"{WHERE}, target_layer {self.name}",
            hint="Name a layer that gives (n, channels, height, width), or the patch tokens of a ViT.",
        )


def find_layer(network: nn.Module, image: torch.Tensor, name: str | None) -> TargetLayer:
    """The layer of that name, or the one that suits the network.

    Args:
        network: float RGB in [0, 1] to logits.
        image: (1, 3, h, w), passed through once if the layer has to be found.
        name: dotted name, None to find it.

    Raises:
        PluginError: there is no such layer, or no layer suits.
    """
    modules = dict(network.named_modules())
    transformer = _transformer(modules)
    if name is not None:
        if name not in modules or not name:
            raise PluginError(f"the network has no module {name!r}", where=WHERE, hint=_advice(network, image, name))
        return TargetLayer(name, modules[name], transformer[1] if transformer else None)
    if transformer is not None:
        prefix, vit = transformer
        last = f"{prefix}blocks.{len(vit.blocks) - 1}.norm1"
        if last in modules:
            return TargetLayer(last, modules[last], vit)
    found = _last_map(network, image)
    if found is None:
        raise PluginError(
            "no layer of this network suits by itself: the last outputs before the logits are not feature maps",
            where=WHERE,
            hint=_advice(network, image, None),
        )
    return TargetLayer(found, modules[found])


def _transformer(modules: dict[str, nn.Module]) -> tuple[str, nn.Module] | None:
    """The module that is a ViT in timm's terms (blocks, prefix tokens, patch embedding), and its name's prefix."""
    for name, module in modules.items():
        if all(hasattr(module, word) for word in ("blocks", "num_prefix_tokens", "patch_embed")):
            return (f"{name}." if name else ""), module
    return None


def _grid(vit: nn.Module, size: tuple[int, int], tokens: int) -> tuple[int, int] | None:
    """Rows and columns of the patch tokens, None if that many tokens do not make a grid."""
    patches = tokens - int(vit.num_prefix_tokens)  # type: ignore[arg-type]
    embed = vit.patch_embed
    if hasattr(embed, "dynamic_feat_size"):
        rows, columns = embed.dynamic_feat_size(size)
        if rows * columns == patches:
            return int(rows), int(columns)
    side = isqrt(max(patches, 0))
    return (side, side) if side * side == patches and side > 1 else None


def _outputs(network: nn.Module, image: torch.Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape of every module below the top, in the order in which they finish."""
    from fgic_explain_cam._cam import evaluation

    seen: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                seen.append((name, tuple(output.shape)))

        return note

    handles = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        with evaluation(network), torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _last_map(network: nn.Module, image: torch.Tensor) -> str | None:
    """The last module to give a map of more than one place, unless token sequences follow it."""
    for name, shape in reversed(_outputs(network, image)):
        if len(shape) == 3 and shape[1] > 1:
            return None
        if len(shape) == 4:
            places = shape[1:3] if _is_nhwc(shape, (int(image.shape[-2]), int(image.shape[-1]))) else shape[2:]
            if places[0] * places[1] > 1:
                return name
    return None


def _is_nhwc(shape: tuple[int, ...] | torch.Size, image: tuple[int, int]) -> bool:
    """Whether channels come last (as in Swin): the other two sides have the picture's ratio, the last two have not."""

    def fits(rows: int, columns: int) -> bool:
        return rows <= image[0] and columns <= image[1] and abs(rows * image[1] - columns * image[0]) <= max(image)

    return fits(shape[1], shape[2]) and not fits(shape[2], shape[3])


def _advice(network: nn.Module, image: torch.Tensor, name: str | None) -> str:
    from difflib import get_close_matches

    seen = _outputs(network, image)
    shapes = dict(seen)
    wanted = get_close_matches(name, list(shapes), n=3, cutoff=0.6) if name else []
    if not wanted:
        maps = [known for known, shape in seen if len(shape) == 4 and shape[2] * shape[3] > 1]
        wanted = list(dict.fromkeys(maps))[-5:]
    listed = ", ".join(f"{known} {shapes[known]}" for known in wanted)
    return f"Set target_layer to a module that gives a map, such as {listed}." if listed else "It has no map anywhere."
