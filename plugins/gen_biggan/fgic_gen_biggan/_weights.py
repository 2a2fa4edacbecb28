"""Weights to start from: of an earlier run of this generator, or of Hugging Face's biggan-deep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fgic_core import Context, PluginError
from fgic_core.kit import Weights, check_weights, class_order, read_weights
from fgic_gen_biggan._convert import convert, generator_options, layout_of, new_embedding
from fgic_gen_biggan._generator import arguments_of, build_generator

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator

#: The files of a saved generator: the latter is for people and repeats what the former says of itself.
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
        known: which of the classes had train pictures.
    """

    arguments: dict[str, Any]
    state: dict[str, Tensor]
    known: list[bool] = field(default_factory=list)


def read_start(options: BigganGenerator, classes: Sequence[str], ctx: Context) -> Start:
    """The weights that the options name, with class embeddings for these classes.

    Raises:
        PluginError: they are no such weights, or of another resolution.
    """
    path = options.weights
    assert path is not None
    weights = read_weights(path)
    check_weights(weights, dict.fromkeys(weights.tensors, torch.zeros(())), shapes=False)  # all are floats, and finite
    layout = layout_of(weights.tensors, path)
    if layout is None:
        start = _own(weights, options)
    else:
        _check_resolution(path, layout.resolution, options)
        start = Start(generator_options(layout), convert(weights.tensors, path=path))
    _check_options(path, start.arguments, options)
    return _for_classes(start, weights, classes, options, ctx, published=layout is not None)


def _own(weights: Weights, options: BigganGenerator) -> Start:
    """The generator of an earlier run: as its file says, or else the options."""
    state, about = weights.tensors, weights.about
    rows = (*state[EMBEDDING].shape, 0)[0] if EMBEDDING in state else 0
    known, arguments = about.get("known", [True] * rows), about.get("arguments", arguments_of(options, max(rows, 2)))
    blocks = len({name.split(".")[1] for name in state if name.startswith("conv_blocks.")})
    if blocks in _BLOCKS:
        _check_resolution(weights.path, _BLOCKS[blocks], options)
    with torch.random.fork_rng(devices=[]):
        try:
            own = build_generator(arguments).state_dict()
        except Exception as error:  # whatever MMagic makes of arguments that are none
            raise PluginError(
                f"what these weights say of themselves is damaged: {type(error).__name__}: {error}",
                where=str(weights.path),
            ) from error
    embedding = {EMBEDDING} & state.keys()  # for any number of classes
    check_weights(weights, own, embedding, "BigGANDeepGenerator, or of Hugging Face's biggan-deep")
    if not isinstance(known, list) or len(known) != rows:
        raise PluginError(
            f"what these weights say of themselves is damaged: known should have {rows} entries, one for each class",
            where=str(weights.path),
        )
    return Start(dict(arguments), state, [bool(one) for one in known])


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


def _for_classes(
    start: Start, weights: Weights, classes: Sequence[str], options: BigganGenerator, ctx: Context, *, published: bool
) -> Start:
    """The same for these classes: embeddings go to the classes of their names, and are made anew for others."""
    old, trained = start.state[EMBEDDING], options.epochs > 0
    if published and not trained:
        raise PluginError(
            f"these weights are of the {len(old)} classes of ImageNet: they need training",
            where=str(options.weights),
            hint="Set epochs to at least 1.",
        )
    if not published:
        order = class_order(weights, len(old), classes, ctx, trained=trained, part="their embedding")
        if order is not None:
            state = {**start.state, EMBEDDING: old[order]}
            return replace(start, state=state, known=[start.known[place] for place in order])
    fresh = new_embedding(old, len(classes), ctx.generator("embedding"))
    return Start({**start.arguments, "num_classes": len(classes)}, {**start.state, EMBEDDING: fresh})
