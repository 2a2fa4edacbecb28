"""The network: diffusers' UNet with a class embedding, what shapes it, its first weights, and its files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import nn

from fgic_core import Context, Dataset, PluginError
from fgic_core.kit import load_weights, save_weights, seeded
from fgic_gen_diffusers._noise import Noise
from fgic_gen_diffusers._shape import Shape
from fgic_gen_diffusers._weights import WHERE, load_into

if TYPE_CHECKING:
    from fgic_gen_diffusers import DiffusionGenerator

FORMAT = 1


class Network(nn.Module):
    """The UNet, with the noise that it removes.

    Attributes:
        shape: what it was built from.
        learned: the classes that it saw pictures of.
        unet: diffusers' `UNet2DModel`.
        noise: the process that it was trained on.
        classes: names of the data's, where they are known.
    """

    def __init__(self, shape: Shape, learned: frozenset[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.learned = shape, learned
        self.classes: Sequence[str] | None = None
        self.unet = UNet2DModel(**unet_options(shape), dropout=dropout)
        self.noise = Noise(shape.noise, shape.prediction)

    @property
    def null(self) -> int:
        """The label of no class."""
        return self.shape.classes

    def forward(self, noisy: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The prediction for noisy pictures.

        Args:
            noisy: (n, 3, resolution, resolution).
            t: steps, (n,) or a single one.
            labels: (n,), up to ``null``.
        """
        predicted: torch.Tensor = self.unet(noisy, t, class_labels=labels, return_dict=False)[0]
        return predicted


def unet_options(shape: Shape) -> dict[str, Any]:
    """The arguments of `UNet2DModel`."""
    attention = [shape.resolution >> level <= shape.attention for level in range(len(shape.multipliers))]
    groups = math.gcd(32, shape.base_channels // 4)  # of four channels or more each
    return {
        "sample_size": shape.resolution,
        "block_out_channels": tuple(shape.base_channels * factor for factor in shape.multipliers),
        "layers_per_block": shape.layers,
        "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        "attention_head_dim": math.gcd(64, shape.base_channels),
        "norm_num_groups": groups,
        "attn_norm_num_groups": groups,
        # Step and class scale the features and do not only shift them (Dhariwal and Nichol 2021).
        "resnet_time_scale_shift": "scale_shift",
        "num_class_embeds": shape.classes + 1,
    }


def build(options: DiffusionGenerator, train: Dataset, ctx: Context) -> tuple[Network, Network]:
    """The network to train and the one that holds the average of its weights, on the context's device.

    What is initialised at random depends on the step's seed alone.

    Raises:
        PluginError: there is no picture to learn from; the weights cannot be read or belong to another shape.
    """
    if not len(train):
        raise PluginError("there is no train picture to learn from", where=WHERE)
    shape = Shape.of(options, len(train.classes))
    learned = frozenset(int(label) for label in train.labels)
    with seeded(ctx):
        trained = Network(shape, learned, options.dropout)
        averaged = Network(shape, learned)
    _start_at_zero(trained.unet)
    averaged.classes = train.classes
    if options.weights is not None:
        load_into(trained.unet, shape, options.weights, train.classes, ctx)
    averaged.load_state_dict(trained.state_dict())
    return trained.to(ctx.device), averaged.to(ctx.device).eval().requires_grad_(False)


def _start_at_zero(unet: UNet2DModel) -> None:
    """Set the last convolution of each residual block, and of the network, to zero, as Ho et al. (2020) do.

    Blocks change nothing at first, and the first prediction is 0. In equal time that trains further.
    """
    for name, parameter in unet.named_parameters():
        if ".conv2." in name or name.startswith("conv_out."):
            nn.init.zeros_(parameter)


def save(network: Network, folder: Path) -> None:
    """Write ``model.safetensors``, with diffusers' own names, and ``model.json``.

    ``UNet2DModel(**unet)`` of what stands in the latter takes the tensors of the former.
    """
    shape = asdict(network.shape)
    about: dict[str, Any] = {name: shape[name] for name in ("noise", "prediction")}
    if network.classes is not None:
        about["classes"] = list(network.classes)
    save_weights(network.unet, folder / "model.safetensors", **about)
    document = {
        "format": FORMAT,
        "shape": shape,
        "learned": sorted(network.learned),
        "unet": unet_options(network.shape),
        "diffusers": diffusers.__version__,
    }
    (folder / "model.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(options: DiffusionGenerator, folder: Path) -> Network:
    """The network that `save` wrote; the file of first weights is not needed any more.

    Raises:
        PluginError: a file is missing or damaged, or belongs to another shape than the options say.
    """
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not format {FORMAT}")
        shape = Shape(**document["shape"])
        for name, value in asdict(Shape.of(options, shape.classes)).items():
            if document["shape"][name] != value:
                raise ValueError(f"its {name} is {document['shape'][name]}, but the options say {value}")
        network = Network(shape, frozenset(document["learned"]))
        network.classes = load_weights(network.unet, folder / "model.safetensors").classes
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PluginError(f"this model cannot be read: {error}", where=str(folder), hint="Train it again.") from error
    return network.eval().requires_grad_(False)
