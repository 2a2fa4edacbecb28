"""First weights of a detector: from a local file with torchvision's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fgic_core import Context, PluginError, check_weight_names, regular_file

if TYPE_CHECKING:
    from fgic_detect_torchvision._network import Shape

WHERE = "detector/torchvision"

#: The layers whose size is the number of classes, by model.
_HEADS = {"faster-rcnn": "roi_heads.box_predictor.", "retinanet": "head.classification_head.cls_logits."}
#: Anchors at each place of RetinaNet's maps, three sizes by three ratios; each has a logit for each class.
RETINA_ANCHORS = 9

#: Layers of a classification network that a backbone has not: those after the features.
_AFTER_FEATURES = ("fc.", "classifier.")
_STATISTICS = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, by torchvision's present names.

    A .pth file is read by torch's loader for weights alone, which refuses whatever would run code.

    Raises:
        PluginError: the file is not of its format, or holds more than tensors.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            return _renamed(load_file(regular_file(path)))
        except (OSError, SafetensorError) as error:
            raise PluginError(f"these weights are not a safetensors file: {error}", where=str(path)) from error
    hint = "Where it comes from, save the tensors alone: torch.save(model.state_dict(), path)."
    try:
        found: Any = torch.load(regular_file(path), map_location="cpu", weights_only=True)
    except Exception as error:  # what is no file of tensors fails in as many ways as there are files
        # torch's own message is left out: it advises to let the file run code.
        code = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"they refer to {code[1]}" if code else "the file is none of torch.save, or damaged"
        what = f"these weights cannot be read as tensors alone: {reason}"
        raise PluginError(what, where=str(path), hint=hint) from error
    for name in ("model", "state_dict"):  # as torchvision's and Lightning's training scripts wrap them
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise PluginError("this file does not hold tensors by name", where=str(path), hint=hint)
    return _renamed({str(name): value for name, value in found.items()})


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names that torchvision gives since 0.13; its published files keep the older ones."""
    return {_new_name(name): value for name, value in state.items()}


def _new_name(name: str) -> str:
    name = re.sub(r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1", name)
    name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2", name)
    tower = re.fullmatch(r"(head\.(?:classification|regression)_head\.conv)\.([0246])\.(weight|bias)", name)
    return f"{tower[1]}.{int(tower[2]) // 2}.0.{tower[3]}" if tower else name


def head_classes(model: str, state: Mapping[str, torch.Tensor]) -> int | None:
    """How many classes, background not counted, the head of these weights tells apart; None where there is no head."""
    if model == "retinanet":
        logits = state.get(_HEADS[model] + "bias")
        return None if logits is None else len(logits) // RETINA_ANCHORS - 1
    logits = state.get(_HEADS[model] + "cls_score.bias")
    return None if logits is None else len(logits) - 1


def load_weights(model: nn.Module, shape: Shape, state: dict[str, torch.Tensor], path: Path, ctx: Context) -> None:
    """Give a detector, or its backbone alone, the weights of a file.

    A head for another number of classes is left new, and said so.

    Args:
        model: the torchvision detector, from scratch.
        shape: what it was built from.
        state: what `read` gave.
        path: where it lies, for the errors.
        ctx: is told about the head.

    Raises:
        PluginError: the tensors are not those of the model.
    """
    if any(name.startswith("backbone.") for name in state):
        prefix, part = "", f"{shape.model} on {shape.backbone}"
    else:
        prefix, part = "backbone.body.", shape.backbone
        features = {name.removeprefix("features."): value for name, value in state.items()}
        state = {prefix + name: value for name, value in features.items() if not name.startswith(_AFTER_FEATURES)}
    own = {name: value for name, value in model.state_dict().items() if name.startswith(prefix)}
    head = {name for name in own if name.startswith(_HEADS[shape.model])}
    _check_names(path, part, state, own, head)
    if any(name not in state or state[name].shape != own[name].shape for name in head):
        known = head_classes(shape.model, state)
        had = "have no head" if known is None else f"have a head for {known} classes"
        ctx.warn(f"the weights {path.name} {had}, the detector tells {shape.classes} apart: the head starts new")
        state = {name: value for name, value in state.items() if name not in head}
    _check_shapes(path, part, state, own)
    model.load_state_dict({**model.state_dict(), **{name: value for name, value in state.items() if name in own}})


def _check_names(path: Path, part: str, state: Mapping[str, object], own: Mapping[str, object], head: set[str]) -> None:
    """Raises PluginError where the names are others than the model's, with the norm they need if that is all."""
    differing = {name for name in state.keys() ^ own.keys() if name not in head and not name.endswith(_COUNT)}
    if differing and all(name.endswith(_STATISTICS) for name in differing):
        lacking = differing <= own.keys()
        norm = "GN, whose weights bring no statistics" if lacking else "FrozenBN or BN, whose weights bring statistics"
        raise PluginError(
            f"these weights {'lack' if lacking else 'have'} BatchNorm's statistics, such as {min(differing)}, and the "
            f"model {'needs' if lacking else 'has no place for'} them",
            where=str(path),
            hint=f"Set norm to {norm}.",
        )
    check_weight_names(path, state, own, head, f"torchvision's {part}")


def _check_shapes(path: Path, part: str, state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    wrong = [name for name in state if name in own and state[name].shape != own[name].shape]
    if wrong:
        name = wrong[0]
        raise PluginError(
            f"{len(wrong)} tensors of these weights have another shape than the model's: {name} has "
            f"{tuple(state[name].shape)}, in the model it is {tuple(own[name].shape)}",
            where=str(path),
            hint=f"Are they of torchvision's {part}?",
        )
