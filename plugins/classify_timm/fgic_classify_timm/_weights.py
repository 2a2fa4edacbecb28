"""First weights of a timm model: from a local safetensors file or from timm's hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import timm
import torch
from torch import nn

from fgic_core import Context, PluginError
from fgic_core.kit import Weights, check_weights, class_order, read_weights

WHERE = "classifier/timm"


def head_names(model: nn.Module) -> list[str]:
    """Names of the layers that give the logits, as timm's configuration of the model has them."""
    names = model.pretrained_cfg.get("classifier")  # type: ignore[union-attr, operator]
    return [names] if isinstance(names, str) else list(names or ())


def start_head_anew(model: nn.Module) -> None:
    """Set the layers that give the logits to zero, as Kolesnikov et al. (Big Transfer, 2020) do for fine-tuning.

    What timm draws suits a training from scratch: on features that are good already, its random logits can be so
    large that the first epochs are spent on unlearning them.
    """
    for name in head_names(model):
        for parameter in model.get_submodule(name).parameters():
            nn.init.zeros_(parameter)


def load_hub_weights(name: str, create: Callable[..., nn.Module]) -> nn.Module:
    """The model with the weights of timm's hub, which downloads them once.

    Raises:
        PluginError: the hub has no such weights or cannot be reached.
    """
    base, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{base}.*")]
    if tag not in tags and not (tags and not tag):
        known = ", ".join(f"{base}.{tag}" for tag in tags)
        hint = f"There are {known}." if known else "Set pretrained: false, or give weights."
        raise PluginError(f"timm has no weights {name}", where=WHERE, hint=hint)
    try:
        model = create()
    except Exception as error:  # each layer below (DNS, TLS, proxy, hub, disk) has errors of its own
        raise PluginError(
            f"the weights of {name} could not be downloaded: {type(error).__name__}: {error}",
            where=WHERE,
            hint="Without a network give a local file (weights: x.safetensors) or start without (pretrained: false).",
        ) from error
    if model.num_classes != model.pretrained_cfg.get("num_classes"):  # type: ignore[union-attr, operator]
        start_head_anew(model)
    return model


def load_local_weights(
    model: nn.Module, path: Path, create: Callable[..., nn.Module], classes: Sequence[str], ctx: Context
) -> None:
    """Give a model the weights of a file.

    A head's rows go to the classes of their names; a head for other classes is left new, and said so.

    Args:
        model: from scratch, for the data's classes.
        path: a .safetensors file with timm's names.
        create: makes the same model anew with weights, given more arguments for ``timm.create_model``.
        classes: the data's.
        ctx: is told about the head.

    Raises:
        PluginError: the file is no safetensors file, or its tensors, a head's too, are not those of the model.
    """
    weights, own = read_weights(path, pickles=False), model.state_dict()
    head = {key for key in own if any(key.startswith(f"{name}.") for name in head_names(model))}
    check_weights(weights, own, head, "this timm model", shapes=False)
    rows = _head_for(weights, {key: own[key] for key in sorted(head)}, classes, ctx)
    state = {key: value for key, value in weights.tensors.items() if key not in head} | rows
    if head and not rows:
        start_head_anew(model)
        own = model.state_dict()
    if any(value.shape != own[key].shape for key, value in state.items()):
        state = _resized(path, state, own, create)
    model.load_state_dict({**own, **state})


def _head_for(
    weights: Weights, head: Mapping[str, torch.Tensor], classes: Sequence[str], ctx: Context
) -> dict[str, torch.Tensor]:
    """The head's tensors with their rows in the order of these classes; nothing where the head must start new."""
    found = {key: weights.tensors[key] for key in head if key in weights.tensors}
    if len(found) < len(head):
        ctx.warn(f"the weights {weights.path.name} have no{' whole' if found else ''} head: it starts new")
        return {}
    if not head:
        return {}
    rows = [key for key, value in head.items() if value.dim() and len(value) == len(classes)]  # one for each class
    count = len(found[rows[0]])
    if other := [key for key in rows if len(found[key]) != count]:
        raise PluginError(
            f"the head of these weights does not fit together: {rows[0]} has the shape "
            f"{tuple(found[rows[0]].shape)}, {other[0]} has {tuple(found[other[0]].shape)}",
            where=str(weights.path),
            hint="Each has one row for each class. Is the file damaged?",
        )
    order = class_order(weights, count, classes, ctx, trained=True)
    if order is None:
        return {}
    return {key: value[order] if key in rows else value for key, value in found.items()}


def _resized(
    path: Path, state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], create: Callable[..., nn.Module]
) -> dict[str, torch.Tensor]:
    """The weights for another input size, by timm's own loader: it resamples position embeddings."""
    wrong = next(key for key in state if state[key].shape != own[key].shape)
    try:
        # A class count that is not the model's makes the loader leave the head alone; its own is put back here.
        fitted = create(pretrained_cfg_overlay={"state_dict": dict(state), "num_classes": -1}).state_dict()
    except RuntimeError as error:
        raise PluginError(
            f"{wrong} has the shape {tuple(state[wrong].shape)}, in the model it is {tuple(own[wrong].shape)}",
            where=str(path),
            hint="Are model, image_size and model_options those of the weights?",
        ) from error
    return {key: fitted[key] if state[key].shape != own[key].shape else state[key] for key in state}
