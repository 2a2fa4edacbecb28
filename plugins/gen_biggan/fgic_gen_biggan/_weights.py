"""Weights to start from: of an earlier run of this generator, or of Hugging Face's biggan-deep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fgic_core import Context, PluginError, check_weight_names, read_weights, regular_file
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
        classes: the names of those it was trained on; None where nothing says.
        known: which of them had train pictures.
    """

    arguments: dict[str, Any]
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None = None
    known: list[bool] = field(default_factory=list)


def read_start(options: BigganGenerator, classes: Sequence[str], ctx: Context) -> Start:
    """The weights that the options name, with class embeddings for these classes.

    Raises:
        PluginError: they are no such weights, or of another resolution.
    """
    path = options.weights
    assert path is not None
    state = read_weights(path)
    layout = layout_of(state, path)
    if layout is None:
        start = _own(path, state, options)
    else:
        _check_resolution(path, layout.resolution, options)
        start = Start(generator_options(layout), convert(state, path=path))
    _check_options(path, start.arguments, options)
    return _for_classes(start, classes, options, ctx, published=layout is not None)


def _own(path: Path, state: dict[str, Tensor], options: BigganGenerator) -> Start:
    """The generator of an earlier run: as the file beside its weights says, or else the options."""
    from fgic_gen_biggan._network import arguments_of, build_generator

    beside = path.with_name(ABOUT)
    start = Start(arguments_of(options, len(state[EMBEDDING]) if EMBEDDING in state else 2), state)
    if beside.exists():
        try:
            about = json.loads(regular_file(beside).read_text(encoding="utf-8"))
            start = Start(dict(about["arguments"]), state, tuple(about["classes"]), list(about["known"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PluginError(f"what is beside these weights cannot be read: {error}", where=str(beside)) from None
    blocks = len({name.split(".")[1] for name in state if name.startswith("conv_blocks.")})
    if blocks in _BLOCKS:
        _check_resolution(path, _BLOCKS[blocks], options)
    with torch.random.fork_rng(devices=[]):
        own = list(build_generator(start.arguments).state_dict())
    check_weight_names(path, list(state), own, of="BigGANDeepGenerator, or of Hugging Face's biggan-deep")
    return start


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
    start: Start, classes: Sequence[str], options: BigganGenerator, ctx: Context, *, published: bool
) -> Start:
    """The same for these classes: embeddings stay where the weights are of the very same, and are made anew else."""
    old = start.state[EMBEDDING]
    if not published and start.classes == tuple(classes):
        return start
    if not published and start.classes is None and len(old) == len(classes):
        ctx.warn(
            f"Nothing beside {options.weights} says of which classes it is: they are taken for the data set's own."
        )
        return replace(start, known=[True] * len(old))
    if not options.epochs:
        raise PluginError(
            f"these weights are of {len(old)} classes that are not the {len(classes)} of the data set in their order: "
            "they need training",
            where=str(options.weights),
            hint="Set epochs to at least 1.",
        )
    fresh = new_embedding(old, len(classes), ctx.generator("embedding"))
    return Start({**start.arguments, "num_classes": len(classes)}, {**start.state, EMBEDDING: fresh})
