"""Finding the layer to map, and reading its output as a map: by what a forward pass shows, not by what models say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from fgic_core import PluginError, evaluation

WHERE = "explainer/cam"
#: Class, distillation and register tokens before the patches, at most, where no sequence of the patches alone was seen:
#: a ViT with both and eight registers has ten.
_MOST_PREFIXES = 10

Grid = tuple[int, int]
#: Rows and columns of the maps that were seen, and how many tokens may come before the patches of each.
Grids = Mapping[Grid, int]


class _Seen(NamedTuple):
    """What a module gave for one picture: its dotted name, itself and the shape of its output."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TargetLayer:
    """A module of the network and how its output becomes (n, channels, h, w).

    Attributes:
        name: dotted name in the network.
        module: the module itself.
        grids: of the maps that the network makes of a picture, for telling patch tokens.
    """

    name: str
    module: nn.Module
    grids: Grids = field(default_factory=dict)

    def to_map(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The output (or its gradient) as (n, channels, h, w).

        Raises:
            PluginError: it has no places: its shape is neither a feature map's nor that of patch tokens.
        """
        size = (int(images.shape[-2]), int(images.shape[-1]))
        if output.ndim == 4 and len(output) == len(images):
            last = _fits(output.shape[1:3], size) and not _fits(output.shape[2:], size)
            return output.permute(0, 3, 1, 2) if last else output
        if output.ndim == 3 and len(output) == len(images):
            grid = _grid(output.shape[1], size, self.grids)
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
        image: (1, 3, h, w), passed through once.
        name: dotted name, None to find it.

    Raises:
        PluginError: there is no such layer, or no layer suits.
    """
    modules = dict(network.named_modules())
    size = (int(image.shape[-2]), int(image.shape[-1]))
    inner = {name for name, module in modules.items() if _is_attention(module)}
    seen, matrices = _without_matrices(_outputs(network, image), inner)
    grids = _grids(seen, size)
    if name is not None:
        if name not in modules or not name:
            raise PluginError(
                f"the network has no module {name!r}", where=WHERE, hint=_advice(seen, size, grids, inner, name)
            )
        if name in matrices:
            raise PluginError(
                f"its output has the shape {matrices[name]}, which is a part of attention and no map",
                where=f"{WHERE}, target_layer {name}",
                hint=_advice(seen, size, grids, inner, None),
            )
        return TargetLayer(name, modules[name], grids)
    found = next((one for one in _candidates(seen, size, grids, modules) if not _within(one.name, inner)), None)
    if found is None:
        raise PluginError(
            "no layer of this network suits by itself: none gives a map or patch tokens that the logits are made from",
            where=WHERE,
            hint=_advice(seen, size, grids, inner, None),
        )
    return TargetLayer(found.name, found.module, grids)


def _candidates(seen: list[_Seen], size: Grid, grids: Grids, modules: dict[str, nn.Module]) -> Iterator[_Seen]:
    """The outputs that suit, best first.

    In a transformer that is the first norm of the last block: what comes after the last attention says nothing of the
    patches where the class is read from a token of its own. Elsewhere it is the last output with places; a map that
    tokens follow is not the last, nor are patches that other tokens follow.
    """
    for name, module in modules.items():
        blocks = getattr(module, "blocks", None)
        if hasattr(module, "patch_embed") and isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks):
            norm = f"{name}.blocks.{len(blocks) - 1}.norm1".removeprefix(".")
            yield from (one for one in seen if one.name == norm and _grid_of(one, size, grids) is not None)
    tokens_follow = others_follow = False
    for one in reversed(seen):
        sequence, grid = len(one.shape) == 3 and one.shape[1] > 1, _grid_of(one, size, grids)
        patches_alone = sequence and grid is not None and one.shape[1] == grid[0] * grid[1]
        if patches_alone:  # a Linear gives parts of attention, or logits
            suits = not others_follow and not isinstance(one.module, nn.Linear)
        elif sequence:  # the logits may be made of the other tokens alone: what attention is given suits
            suits = one.name.rpartition(".")[2].startswith("norm1")
        else:
            suits = not tokens_follow
        if grid is not None and suits:
            yield one
        tokens_follow |= sequence
        others_follow |= sequence and not patches_alone
    if not any(len(one.shape) == 3 for one in seen):  # a CNN whose maps lose more on one side than on the other
        yield from (one for one in reversed(seen) if len(one.shape) == 4 and one.shape[2] * one.shape[3] > 1)


def _is_attention(module: nn.Module) -> bool:
    """Whether what lies inside may be a matrix of tokens by tokens, which looks like a map."""
    kind = type(module).__name__.lower()
    return "block" not in kind and any(word in kind for word in ("attention", "attn", "xca"))


def _within(name: str, modules: set[str]) -> bool:
    """Whether a module of that name lies in one of these."""
    return any(name.startswith(f"{outer}.") for outer in modules)


def _without_matrices(seen: list[_Seen], inner: set[str]) -> tuple[list[_Seen], dict[str, tuple[int, ...]]]:
    """The outputs that may be maps or tokens, and the shapes of the others by their names.

    Attention makes matrices of tokens by tokens: both sides are lengths of sequences, one of them of the last sequence
    before. What else has four dimensions inside attention is a map where there are such maps outside, too.
    """
    outside = {
        one.shape[at : at + 2] for one in seen if len(one.shape) == 4 for at in (1, 2) if not _within(one.name, inner)
    }
    places = {*outside, *_halved(outside)}
    lengths, last = set[int](), 0
    kept, matrices = list[_Seen](), dict[str, tuple[int, ...]]()
    for one in seen:
        sides = [one.shape[at : at + 2] for at in (1, 2)] if len(one.shape) == 4 else []
        by_tokens = any(last in pair and lengths.issuperset(pair) for pair in sides)
        if sides and (by_tokens or (_within(one.name, inner) and places.isdisjoint(sides))):
            matrices[one.name] = one.shape
            continue
        kept.append(one)
        if len(one.shape) == 3 and one.shape[0] == 1 and one.shape[1] > 1:
            last = one.shape[1]
            lengths.add(last)
    return kept, matrices


def _halved(grids: Iterable[tuple[int, ...]]) -> set[Grid]:
    """The grids that strides of two make of these, again and again."""
    made: set[Grid] = set()
    for rows, columns in grids:
        half = rows, columns
        while max(half) > 1:
            half = -(-half[0] // 2), -(-half[1] // 2)
            made.add(half)
    return made


def _grids(seen: list[_Seen], size: Grid) -> dict[Grid, int]:
    """The maps that were seen.

    Any number of tokens may be put before patches that were seen alone, but for so many that a grid twice as fine would
    be meant.
    """
    lengths = {one.shape[1] for one in seen if len(one.shape) == 3 and one.shape[0] == 1}
    found = dict.fromkeys(grid for one in seen if (grid := _map_grid(one, size)) is not None)
    return {grid: 3 * math.prod(grid) - 1 if math.prod(grid) in lengths else _MOST_PREFIXES for grid in found}


def _grid_of(one: _Seen, size: Grid, grids: Grids) -> Grid | None:
    """Rows and columns of an output with places."""
    if len(one.shape) == 3 and one.shape[0] == 1:
        return _grid(one.shape[1], size, grids)
    return _map_grid(one, size)


def _map_grid(one: _Seen, size: Grid) -> Grid | None:
    """Rows and columns of a map of more than one place, whose channels come first or last."""
    if len(one.shape) != 4 or one.shape[0] != 1:
        return None
    rows, columns = one.shape[2:] if _fits(one.shape[2:], size) else one.shape[1:3]
    return (rows, columns) if rows * columns > 1 and _fits((rows, columns), size) else None


def _grid(tokens: int, size: Grid, grids: Grids) -> Grid | None:
    """Rows and columns of the patches among so many tokens, None if they do not make a grid.

    The largest grid of a map that was seen (a patch embedding's convolution gives one), or else one that strides make
    of such a map, with a class token at most. Where no map but of single pixels was seen, a grid that has the picture's
    ratio. What is left are other tokens, which come first.
    """
    shown = [grid for grid in grids if grid != size]
    known = [grid for grid in shown if 0 <= tokens - grid[0] * grid[1] <= grids[grid]]
    known = known or [grid for grid in _halved(grids) if 0 <= tokens - grid[0] * grid[1] <= 1 < grid[0] * grid[1]]
    if known:
        return max(known, key=lambda grid: grid[0] * grid[1])
    if shown:  # a number of tokens that fits none of them is no reason to guess
        return None
    for patches in range(tokens, max(tokens - _MOST_PREFIXES, 2) - 1, -1):
        for rows in range(1, patches + 1):
            if patches % rows == 0 and min(rows, patches // rows) > 1 and _fits((rows, patches // rows), size):
                return rows, patches // rows
    return None


def _fits(grid: tuple[int, ...] | torch.Size, size: Grid) -> bool:
    """Whether rows and columns have the picture's ratio, but for the rounding of less than one of them."""
    rows, columns = grid
    return rows <= size[0] and columns <= size[1] and abs(rows * size[1] - columns * size[0]) <= max(size)


def _outputs(network: nn.Module, image: torch.Tensor) -> list[_Seen]:
    """What every module below the top gave, in the order in which they finished."""
    seen: list[_Seen] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                seen.append(_Seen(name, module, tuple(output.shape)))

        return note

    handles = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        with evaluation(network), torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _advice(seen: list[_Seen], size: Grid, grids: Grids, inner: set[str], name: str | None) -> str:
    """Which layers to name: those of nearly that name, or else what the last attentions are given, or the last maps."""
    from difflib import get_close_matches

    shapes = {one.name: one.shape for one in seen}
    wanted = get_close_matches(name, list(shapes), n=3, cutoff=0.6) if name else []
    if not wanted:
        mapped = [_grid_of(one, size, grids) is not None and not _within(one.name, inner) for one in seen]
        given = [fits and _within(after.name, inner) for fits, after in zip(mapped, seen[1:], strict=False)]
        maps = [fits and len(one.shape) == 4 for fits, one in zip(mapped, seen, strict=True)]
        which = next((flags for flags in (given, maps, mapped) if any(flags)), mapped)
        wanted = list(dict.fromkeys(one.name for one, fits in zip(seen, which, strict=False) if fits))[-5:]
    listed = ", ".join(f"{known} {shapes[known]}" for known in wanted)
    return (
        f"Set target_layer to a module that gives a map or patch tokens, such as {listed}."
        if listed
        else "It has no map anywhere."
    )
