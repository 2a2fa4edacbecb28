"""Weights to start from: of an earlier run of this generator, or of Hugging Face's biggan-deep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fgic_core import Context, PluginError, check_weight_names
from fgic_gen_biggan._convert import convert, generator_options, layout_of, new_embedding

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator

#: The files of a saved generator.
WEIGHTS, ABOUT = "generator.safetensors", "biggan.json"
EMBEDDING = "shared_embedding.weight"
#: How many parts ``conv_blocks`` has, by resolution (two blocks a level, and attention from 64 pixels on).
_BLOCKS = {6: 32, 9: 64, 11: 128, 13: 256, 15: 512}


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Attributes:
        arguments: what the generator is built with.
        state: its weights, for the classes of the data set.
    """

    arguments: dict[str, Any]
    state: dict[str, Tensor]


def read_start(options: BigganGenerator, classes: int, ctx: Context) -> Start:
    """The weights that the options name, with class embeddings for these classes.

    Raises:
        PluginError: they are no such weights, or of another resolution.
    """
    path = options.weights
    assert path is not None
    state = read_tensors(path)
    layout = layout_of(state, path)
    if layout is None:
        start = Start(_own_arguments(path, state, options), state)
    else:
        _check_resolution(path, layout.resolution, options)
        start = Start(generator_options(layout), convert(state, path=path))
    _check_options(path, start.arguments, options)
    return _for_classes(start, classes, options, ctx, published=layout is not None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .bin, .pth or .pt file; nothing but tensors is unpickled.

    Raises:
        PluginError: it is no such file.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can be broken in any way
        raise PluginError(
            f"these weights cannot be read: {str(error).partition('. ')[0]}",
            where=str(path),
            hint="They should be a .safetensors file, or a .bin or .pth file with nothing but tensors: others can run "
            "any code when they are read.",
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise PluginError("this file holds no weights by name", where=str(path))
    return dict(content)


def _own_arguments(path: Path, state: Mapping[str, Tensor], options: BigganGenerator) -> dict[str, Any]:
    """What the generator of an earlier run was built with: as the file beside its weights says, or the options."""
    from fgic_gen_biggan._network import arguments_of, build_generator

    beside = path.with_name(ABOUT)
    arguments = arguments_of(options, len(state[EMBEDDING]) if EMBEDDING in state else 2)
    if beside.is_file():
        try:
            arguments = dict(json.loads(beside.read_text(encoding="utf-8"))["arguments"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PluginError(f"what is beside these weights cannot be read: {error}", where=str(beside)) from None
    blocks = len({name.split(".")[1] for name in state if name.startswith("conv_blocks.")})
    if blocks in _BLOCKS:
        _check_resolution(path, _BLOCKS[blocks], options)
    with torch.random.fork_rng(devices=[]):
        own = list(build_generator(arguments).state_dict())
    check_weight_names(path, list(state), own, of="BigGANDeepGenerator, or of Hugging Face's biggan-deep")
    return arguments


def _check_resolution(path: Path, found: int, options: BigganGenerator) -> None:
    if found != options.resolution:
        raise PluginError(
            f"these weights are of {found} pixels, and resolution is {options.resolution}",
            where=str(path),
            hint=f"Set resolution: {found}, or give weights of {options.resolution} pixels.",
        )


def _check_options(path: Path, arguments: Mapping[str, Any], options: BigganGenerator) -> None:
    """That what the options say of the network is what the weights say."""
    for name in ("base_channels", "noise_size", "shared_dim"):
        asked = getattr(options, name)
        if asked is not None and asked != arguments[name]:
            raise PluginError(
                f"these weights have {name} {arguments[name]}, and {name} is {asked}",
                where=str(path),
                hint=f"Leave {name} out.",
            )


def _for_classes(start: Start, classes: int, options: BigganGenerator, ctx: Context, *, published: bool) -> Start:
    """The same for these classes: published embeddings are of other classes; an earlier run's may be of the same."""
    old = start.state[EMBEDDING]
    if not published and len(old) == classes:
        return start
    if not options.epochs:
        raise PluginError(
            f"these weights are of {len(old)} classes, and the data set has {classes} of its own: they need training",
            where=str(options.weights),
            hint="Set epochs to at least 1.",
        )
    fresh = new_embedding(old, classes, ctx.generator("embedding"))
    return Start({**start.arguments, "num_classes": classes}, {**start.state, EMBEDDING: fresh})
