"""Published BigGAN-deep weights for MMagic's generator.

Brock, Donahue and Simonyan (ICLR 2019) published generators of 128, 256 and 512 pixels. Hugging Face's
``pytorch-pretrained-BigGAN`` has them for PyTorch as ``biggan-deep-128``, ``-256`` and ``-512``; the names and shapes
below are its. MMagic's ``BigGANDeepGenerator`` is the same network block by block, apart from two things:

- BatchNorm there has statistics for 51 truncations from 0 to 1, and here for one: they are interpolated.
- The last convolution W there has as many outputs as inputs, of which three are used, and is divided by the spectral
  norm s of all of them; here it has three, divided by their own. W[:3] / s(W) is c W[:3] / s(W[:3]) with
  c = s(W[:3]) / s(W) > 0, and relu(c x) = c relu(x), so that c goes into the BatchNorm before.

Spectral norm is PyTorch's in both, with its vectors u and v as they were published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fgic_core import PluginError, check_weight_names

#: Channels before and after each doubling of the resolution, which starts at 4 pixels; times the channel width.
_LEVELS = {128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1), 512: (16, 16, 8, 8, 4, 2, 1, 1)}
#: Where attention is among the layers, in both networks: after four doublings, of 64 pixels.
_ATTENTION = 8
#: Of BatchNorm and of spectral norm.
_EPS = 1e-4
_KIND = "Hugging Face's biggan-deep"

#: Parts of names there and here, replaced in this order.
_NAMES = (
    ("embeddings.", "shared_embedding."),
    ("generator.gen_z.", "noise2feat."),
    ("generator.layers.", "conv_blocks."),
    ("generator.conv_to_rgb.", "output_layer.conv."),
    ("generator.bn.", "output_layer.bn."),
    *((f".conv_{index}.", f".conv{index + 1}.conv.") for index in range(4)),
    *((f".bn_{index}.running", f".bn{index + 1}.bn.running") for index in range(4)),
    *((f".bn_{index}.", f".bn{index + 1}.") for index in range(4)),
    (".scale.", ".gain."),
    (".offset.", ".bias."),
    *((f".snconv1x1_{name}.", f".{name}.conv.") for name in ("theta", "phi", "g")),
    (".snconv1x1_o_conv.", ".o.conv."),
    (".running_means", ".running_mean"),
    (".running_vars", ".running_var"),
)


@dataclass(frozen=True)
class Layout:
    """What published weights are of.

    Attributes:
        resolution: width and height of the pictures.
        channels: channel width: channels after the last layer.
        classes: number of the classes.
        noise_size: length of the noise.
        shared_dim: length of a class's embedding.
    """

    resolution: int
    channels: int
    classes: int
    noise_size: int
    shared_dim: int


def layout_of(state: Mapping[str, Tensor], path: Path = Path("weights")) -> Layout | None:
    """What these weights are of, or None where no name is one of Hugging Face's generator.

    Args:
        state: the tensors by name.
        path: the file they are from, for messages.

    Raises:
        PluginError: they look like such weights, but are not complete, or of no size that was published.
    """
    layers = {name.split(".")[2] for name in state if name.startswith("generator.layers.")}
    if not layers:
        return None
    sizes = {2 * len(widths) - 1: resolution for resolution, widths in _LEVELS.items()}
    if len(layers) not in sizes:
        raise PluginError(
            f"these weights have {len(layers)} layers, and {_KIND} has {', '.join(map(str, sizes))}",
            where=str(path),
            hint="Give weights of biggan-deep-128, biggan-deep-256 or biggan-deep-512.",
        )
    resolution = sizes[len(layers)]
    check_weight_names(path, list(state), list(_shapes(Layout(resolution, 1, 1, 1, 1), 1)), of=_name(resolution))
    size, classes = (_side(state, "embeddings.weight", side) for side in (0, 1))
    # Noise and embedding have one length there.
    layout = Layout(resolution, _side(state, "generator.bn.weight", 0), classes, noise_size=size, shared_dim=size)
    _check_shapes(state, layout, path)
    return layout


def generator_options(layout: Layout) -> dict[str, Any]:
    """Arguments of MMagic's ``BigGANDeepGenerator`` with which it takes what ``convert`` gives, and is that network.

    Its own plan of channels, doublings and attention for a resolution is the published one.
    """
    return {
        "output_scale": layout.resolution,
        "noise_size": layout.noise_size,
        "num_classes": layout.classes,
        "base_channels": layout.channels,
        "block_depth": 2,
        "shared_dim": layout.shared_dim,
        "sn_eps": _EPS,
        "sn_style": "torch",
        "init_type": "N02",  # replaced by the weights; quicker than its default
        "blocks_cfg": {"type": "BigGANDeepGenResBlock", "bn_eps": _EPS},
        "out_norm_cfg": {"type": "BN", "eps": _EPS},
    }


def convert(state: Mapping[str, Tensor], truncation: float = 1.0, path: Path = Path("weights")) -> dict[str, Tensor]:
    """The state of MMagic's generator, built with ``generator_options``; classes are the published ones.

    Args:
        state: the tensors of Hugging Face's, by name.
        truncation: for which truncation BatchNorm's statistics are. It is that of the paper's samples there: noise is
            normal within [-2, 2], times this; 1 is nearest to noise that is not truncated. Between two rows this
            interpolates linearly. (Hugging Face's code swaps the two weights of the rows; on rows and midway between
            two there is no difference.)
        path: the file they are from, for messages.

    Raises:
        PluginError: they are no such weights, or there are no statistics for this truncation.
    """
    layout = layout_of(state, path)
    if layout is None:
        raise PluginError(f"these weights are not of {_KIND}", where=str(path))
    if not 0 < truncation <= 1:
        raise PluginError(
            f"these weights have statistics for truncations from 0 to 1, and not for {truncation}", where=str(path)
        )
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        new = _renamed(name)
        made[new] = _value(name, value, truncation)
        if new.endswith(".running_mean"):
            made[new.replace("running_mean", "num_batches_tracked")] = torch.tensor(0)
    return {**made, **_output(state, path)}


def new_embedding(old: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Embeddings (classes, d) of new classes, in the place of the old (n, d).

    Each is the mean of the old rows plus normal noise with their standard deviation in each dimension. The layers that
    read embeddings were trained on rows of that distribution, so that a new class starts as a plausible one in whose
    place the layers make a picture; the noise tells the classes apart from the first step.
    """
    noise = torch.randn(classes, old.shape[1], generator=generator).to(old)
    return old.mean(0) + noise * old.std(0, correction=0)


def _name(resolution: int) -> str:
    return f"biggan-deep-{resolution}"


def _side(state: Mapping[str, Tensor], name: str, side: int) -> int:
    """The length of a side of a tensor; 0 where it has no such side, which no shape is then."""
    shape = state[name].shape
    return shape[side] if side < len(shape) else 0


def _check_shapes(state: Mapping[str, Tensor], layout: Layout, path: Path) -> None:
    rows = _side(state, "generator.bn.running_means", 0)
    for name, shape in _shapes(layout, rows).items():
        if tuple(state[name].shape) != shape or 0 in shape:
            raise PluginError(
                f"in these weights {name} has the shape {tuple(state[name].shape)}, and {shape} would go with the rest",
                where=str(path),
                hint=f"Are all of them of one {_name(layout.resolution)}?",
            )


def _shapes(layout: Layout, rows: int) -> dict[str, tuple[int, ...]]:
    """The names of Hugging Face's tensors and their shapes, with that many rows of BatchNorm statistics."""
    width, condition = layout.channels, layout.noise_size + layout.shared_dim
    shapes: dict[str, tuple[int, ...]] = {"embeddings.weight": (layout.shared_dim, layout.classes)}
    shapes |= _normed("generator.gen_z", (4 * 4 * 16 * width, condition), bias=True)
    levels = [width * times for times in _LEVELS[layout.resolution]]
    blocks = [pair for before, after in pairwise(levels) for pair in ((before, before), (before, after))]
    for index, (before, after) in enumerate(blocks):
        place = f"generator.layers.{index + (index >= _ATTENTION)}"
        shapes |= _block_shapes(place, before, after, condition, rows)
    shapes |= _attention_shapes(f"generator.layers.{_ATTENTION}", blocks[_ATTENTION][0])
    shapes |= {f"generator.bn.{name}": (width,) for name in ("weight", "bias")}
    shapes |= {f"generator.bn.{name}": (rows, width) for name in ("running_means", "running_vars")}
    return shapes | _normed("generator.conv_to_rgb", (width, width, 3, 3), bias=True)


def _block_shapes(place: str, before: int, after: int, condition: int, rows: int) -> dict[str, tuple[int, ...]]:
    """Those of a residual block: four times BatchNorm (scale and offset by noise and class) and a convolution."""
    inner = before // 4
    kernels = ((inner, before, 1, 1), (inner, inner, 3, 3), (inner, inner, 3, 3), (after, inner, 1, 1))
    shapes: dict[str, tuple[int, ...]] = {}
    for index, kernel in enumerate(kernels):
        for name in ("scale", "offset"):
            shapes |= _normed(f"{place}.bn_{index}.{name}", (kernel[1], condition), bias=False)
        for name in ("running_means", "running_vars"):
            shapes[f"{place}.bn_{index}.{name}"] = (rows, kernel[1])
        shapes |= _normed(f"{place}.conv_{index}", kernel, bias=True)
    return shapes


def _attention_shapes(place: str, width: int) -> dict[str, tuple[int, ...]]:
    eighth, half = (width // 8, width, 1, 1), (width // 2, width, 1, 1)
    kernels = {"theta": eighth, "phi": eighth, "g": half, "o_conv": (width, width // 2, 1, 1)}
    shapes: dict[str, tuple[int, ...]] = {f"{place}.gamma": (1,)}
    for name, kernel in kernels.items():
        shapes |= _normed(f"{place}.snconv1x1_{name}", kernel, bias=False)
    return shapes


def _normed(name: str, shape: tuple[int, ...], *, bias: bool) -> dict[str, tuple[int, ...]]:
    """Those of a layer with spectral norm: its weight, and u and v of the weight as a matrix."""
    sides = {"weight_orig": shape, "weight_u": shape[:1], "weight_v": (math.prod(shape[1:]),)}
    return {f"{name}.{part}": sides[part] for part in sides} | ({f"{name}.bias": shape[:1]} if bias else {})


def _renamed(name: str) -> str:
    for old, new in _NAMES:
        name = name.replace(old, new)
    return name


def _value(name: str, value: Tensor, truncation: float) -> Tensor:
    value = value.detach().float()
    if name == "embeddings.weight":
        return value.t().contiguous()
    if name.endswith(("running_means", "running_vars")):
        return _statistics(value, truncation)
    return value.reshape(()) if name.endswith(".gamma") else value


def _statistics(rows: Tensor, truncation: float) -> Tensor:
    """Of rows (n, c) for truncations evenly from 0 to 1, that for this one, (c,)."""
    if len(rows) == 1:
        return rows[0]
    position = truncation * (len(rows) - 1)
    below = min(int(position), len(rows) - 2)
    return torch.lerp(rows[below], rows[below + 1], position - below)


def _output(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The last BatchNorm's scale and offset and the convolution to three channels: see the top of this file.

    Its u and v are the first singular vectors of the three rows, so that spectral norm is exact at once.
    """
    conv, norm = (
        {name: state[f"generator.{layer}.{name}"].detach().float() for name in names}
        for layer, names in (
            ("conv_to_rgb", ("weight_orig", "weight_u", "weight_v", "bias")),
            ("bn", ("weight", "bias")),
        )
    )
    matrix, u, v = (conv[name].double() for name in ("weight_orig", "weight_u", "weight_v"))
    matrix = matrix.flatten(1)
    whole = u @ matrix @ v
    left, values, right = torch.linalg.svd(matrix[:3], full_matrices=False)
    if not (whole > 0 and values[0] > 0):
        raise PluginError(
            "in these weights generator.conv_to_rgb has no positive spectral norm",
            where=str(path),
            hint="Its weight_u and weight_v should be singular vectors of its weight_orig.",
        )
    factor = float(values[0] / whole)
    return {
        "output_layer.bn.weight": norm["weight"] * factor,
        "output_layer.bn.bias": norm["bias"] * factor,
        "output_layer.conv.weight_orig": conv["weight_orig"][:3].clone(),
        "output_layer.conv.weight_u": left[:, 0].float(),
        "output_layer.conv.weight_v": right[0].float(),
        "output_layer.conv.bias": conv["bias"][:3].clone(),
    }
