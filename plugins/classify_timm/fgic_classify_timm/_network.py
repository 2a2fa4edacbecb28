"""The network: a timm model with its normalisation, and its first weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from fgic_classify_timm._weights import head_names, load_hub_weights, load_local_weights
from fgic_core import Context, FittedClassifier, InputSpec, PluginError, Size, nearest
from fgic_core.kit import FrozenBackbone, seeded

if TYPE_CHECKING:
    from fgic_classify_timm import TimmClassifier
    from fgic_core.data.images import Interpolation

WHERE = "classifier/timm"


class Network(FrozenBackbone):
    """A timm model behind its normalisation: float RGB in [0, 1], (n, 3, h, w), to logits (n, classes).

    Its state is the timm model's, by timm's own names: the normalisation is known from the options.

    Attributes:
        model: the timm model.
        mean, std: of the three channels, for values in [0, 1].
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model((images - self.mean) / self.std)
        return logits

    def state_dict(self, *args: Any, **more: Any) -> Any:
        """The timm model's."""
        return self.model.state_dict(*args, **more)

    def load_state_dict(self, state: Mapping[str, Any], *args: Any, **more: Any) -> Any:
        """Give the timm model its state."""
        return self.model.load_state_dict(state, *args, **more)

    def heads(self) -> list[tuple[str, nn.Module]]:
        """The layers that give the logits, with their names in the timm model."""
        return [(name, self.model.get_submodule(name)) for name in head_names(self.model)]

    def head_layer(self) -> nn.Module | None:
        heads = self.heads()
        return heads[0][1] if len(heads) == 1 else None


def wrap(
    model: nn.Module, config: Mapping[str, Any], classes: Sequence[str], options: TimmClassifier
) -> FittedClassifier:
    """A timm model with its normalisation inside and its input beside it, as timm's configuration says."""
    _, height, width = config["input_size"]
    spec = InputSpec(Size(int(width), int(height)), _interpolation(config["interpolation"]))
    network = Network(model, config["mean"], config["std"])
    network.frozen, network.dropout = options.trainable == "head", options.dropout
    network.recipe = repr((options.model, sorted(options.model_options.items()), width, height))
    return FittedClassifier(network, spec, tuple(classes))


def _interpolation(name: str) -> Interpolation:
    """timm's word where it is one of fgic's, else bicubic (timm's own default)."""
    known: dict[str, Interpolation] = {"nearest": "nearest", "bilinear": "bilinear", "lanczos": "lanczos"}
    return known.get(name, "bicubic")


def build(options: TimmClassifier, classes: Sequence[str], ctx: Context) -> FittedClassifier:
    """The network to train: built for the classes (their names), with its first weights, on the CPU.

    What is initialised at random depends on the step's seed alone.

    Raises:
        PluginError: timm has no such model, or no such weights; the file does not fit; the size is not legal.
    """
    with seeded(ctx):
        model, config = from_scratch(options, len(classes))
        _check_size(model, config["input_size"], options.model)
        again = partial(create, options, len(classes), pretrained=True)
        if options.weights is not None:
            load_local_weights(model, options.weights, again, classes, ctx)
        elif options.pretrained:
            model = load_hub_weights(options.model, again)
    fitted = wrap(model, config, classes, options)
    freeze(fitted.network, options.trainable)
    return fitted


def freeze(network: nn.Module, trainable: str) -> None:
    """Mark what is to be trained. A graph is built from there on only, so a frozen backbone costs its forward pass."""
    assert isinstance(network, Network)
    for parameter in network.parameters():
        parameter.requires_grad_(trainable == "all")
    for _, head in network.heads():
        for parameter in head.parameters():
            parameter.requires_grad_(True)


def training_mode(network: nn.Module, trainable: str) -> None:
    """Training mode of what is to be trained; a frozen backbone stays in evaluation mode, lest BatchNorm drifts."""
    assert isinstance(network, Network)
    if trainable == "all":
        network.train()
        return
    network.eval()
    for _, head in network.heads():
        head.train()
    # The dropout before the head belongs to it: a module of its own in some models, the root's flag in others.
    network.model.training = True
    for name, module in network.model.named_modules():
        if name.startswith("head") and isinstance(module, nn.Dropout):
            module.training = True
        if name == "head":
            module.training = True


def from_scratch(options: TimmClassifier, classes: int) -> tuple[nn.Module, dict[str, Any]]:
    """The timm model with weights from torch's global generator, and the configuration of its input.

    Whether it takes that size is not looked at: a picture through it takes as long as all else that opens what was
    trained.

    Raises:
        PluginError: timm has no such model, or it cannot be built.
    """
    model = create(options, classes)
    config = dict(resolve_model_data_config(model))
    if options.image_size is not None:
        config["input_size"] = (3, options.image_size, options.image_size)
    return model, config


def create(options: TimmClassifier, classes: int, **more: Any) -> nn.Module:
    """The timm model, from scratch unless ``more`` says otherwise.

    Args:
        options: model, model_options, dropout and image_size count.
        classes: number of classes.
        more: further arguments of ``timm.create_model``; with any, its errors are passed on as they are.

    Raises:
        PluginError: timm does not know the model, or the model does not take one of its options.
    """
    name = options.model.partition(".")[0]
    if not timm.is_model(name):
        close = nearest(name, timm.list_models())
        hint = f"Did you mean {' or '.join(close)}?" if close else "timm.list_models() lists them."
        raise PluginError(f"timm {timm.__version__} has no model {name!r}", where=WHERE, hint=hint)
    arguments: dict[str, Any] = {"num_classes": classes, "pretrained": False, **options.model_options, **more}
    if options.dropout:
        arguments["drop_rate"] = options.dropout
    try:
        if options.image_size is not None and _fixed_size(options.model):
            arguments["img_size"] = options.image_size
        return timm.create_model(options.model, **arguments)
    except Exception as error:  # whatever a constructor makes of options and sizes that it was not written for
        if more:
            raise
        raise PluginError(
            f"{options.model} cannot be built: {type(error).__name__}: {error}",
            where=WHERE,
            hint="Check model, model_options, dropout and image_size.",
        ) from error


def _fixed_size(name: str) -> bool:
    config = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.fixed_input_size)


def _check_size(model: nn.Module, size: tuple[int, int, int], name: str) -> None:
    """Raises PluginError where the model does not take pictures of that size, naming sizes that it takes."""
    side = size[1]
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    patch = max(patch) if isinstance(patch, (tuple, list)) else patch
    if patch and side % patch:
        lower, upper = side // patch * patch, (side // patch + 1) * patch
        legal = " or ".join(str(s) for s in (lower, upper) if s)
        raise PluginError(
            f"image_size {side} is not a multiple of the {patch}-pixel patches of {name}",
            where=WHERE,
            hint=f"Legal sizes are multiples of {patch}; the nearest are {legal}.",
        )
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, *size))
    except Exception as error:  # each model has its own way to refuse a size
        own = model.pretrained_cfg["input_size"][1]  # type: ignore[index]
        raise PluginError(
            f"{name} does not take pictures of {side} pixels: {error}", where=WHERE, hint=f"Its own size is {own}."
        ) from error
