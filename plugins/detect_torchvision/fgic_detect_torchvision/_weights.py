"""First weights of a detector: from a local file with torchvision's names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from fgic_core import Context, PluginError
from fgic_core.kit import Weights, check_weights, class_order, read_weights
from fgic_detect_torchvision._shape import RETINA_ANCHORS, Shape

WHERE = "detector/torchvision"

#: The layers whose size is the number of classes, by model.
_HEADS = {"faster-rcnn": "roi_heads.box_predictor.", "retinanet": "head.classification_head.cls_logits."}
#: How many rows their tensors have for each class; the first one is looked at for how many classes there are.
_ROWS = {
    "faster-rcnn": {"cls_score.bias": 1, "cls_score.weight": 1, "bbox_pred.bias": 4, "bbox_pred.weight": 4},
    "retinanet": {"bias": RETINA_ANCHORS, "weight": RETINA_ANCHORS},
}

#: Layers of a classification network that a backbone has not: those after the features.
_AFTER_FEATURES = ("fc.", "classifier.")
_STATISTICS = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"


def read(path: Path) -> Weights:
    """The tensors of a file, by the names that torchvision gives since 0.13; its published files keep the older ones.

    Raises:
        PluginError: the file is not of its format, or holds more than tensors.
    """
    weights = read_weights(path)
    return replace(weights, tensors={_new_name(name): value for name, value in weights.tensors.items()})


def _new_name(name: str) -> str:
    name = re.sub(r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1", name)
    name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2", name)
    tower = re.fullmatch(r"(head\.(?:classification|regression)_head\.conv)\.([0246])\.(weight|bias)", name)
    return f"{tower[1]}.{int(tower[2]) // 2}.0.{tower[3]}" if tower else name


def head_classes(model: str, weights: Weights) -> int | None:
    """How many classes, background not counted, the head of these weights tells apart; None where there is no head.

    Raises:
        PluginError: its tensors are not those of a head of this model, or are for different numbers of classes.
    """
    prefix, tensors = _HEADS[model], weights.tensors
    rows = _ROWS[model]
    if f"{prefix}{next(iter(rows))}" not in tensors:
        return None
    counts: dict[str, float] = {}
    for name, each in rows.items():
        if (value := tensors.get(prefix + name)) is not None:
            counts[prefix + name] = len(value) / each if value.dim() else 0
    first = next(iter(counts))
    wrong = [name for name, count in counts.items() if count != int(count) or count < 2 or count != counts[first]]
    if wrong:
        each = rows[wrong[0].removeprefix(prefix)]
        raise PluginError(
            f"the head of these weights is none of {model}: {wrong[0]} has the shape {tuple(tensors[wrong[0]].shape)}, "
            f"where each class and the background have {each} row{'s' * (each > 1)}"
            + (f", {first} has the shape {tuple(tensors[first].shape)}" if wrong[0] != first else ""),
            where=str(weights.path),
            hint="Is the file damaged, or of a model with other anchors?",
        )
    return int(counts[first]) - 1


def load_into(
    model: nn.Module, shape: Shape, weights: Weights, classes: Sequence[str], ctx: Context, *, trained: bool
) -> None:
    """Give a detector, or its backbone alone, the weights of a file.

    A head's rows go to the classes of their names. One for other classes is left new, and said so.

    Args:
        model: the torchvision detector, from scratch.
        shape: what it was built from.
        weights: what `read` gave.
        classes: the data's, which a detector that is `per_class` tells apart.
        ctx: is told about the head.
        trained: whether the detector is trained before it is used.

    Raises:
        PluginError: the tensors are not those of the model; or its head is of other classes, and nothing trains it.
    """
    state = weights.tensors
    if any(name.startswith("backbone.") for name in state):
        prefix, part = "", f"{shape.model} on {shape.backbone}"
    else:
        prefix, part = "backbone.body.", shape.backbone
        features = {name.removeprefix("features."): value for name, value in state.items()}
        state = {prefix + name: value for name, value in features.items() if not name.startswith(_AFTER_FEATURES)}
    own = {name: value for name, value in model.state_dict().items() if name.startswith(prefix)}
    head = {name for name in own if name.startswith(_HEADS[shape.model])}
    _check_norm(weights.path, state, own, head)
    check_weights(replace(weights, tensors=state), own, head, f"torchvision's {part}")
    if head:
        rows = _head_for(weights, shape, head, classes, ctx, trained)
        state = {name: value for name, value in state.items() if name not in head} | rows
        check_weights(replace(weights, tensors=state), own, () if rows else head, f"torchvision's {part}")
    model.load_state_dict({**model.state_dict(), **{name: value for name, value in state.items() if name in own}})


def _head_for(
    weights: Weights, shape: Shape, head: set[str], classes: Sequence[str], ctx: Context, trained: bool
) -> dict[str, torch.Tensor]:
    """The tensors of the head, its classes in the order of the data; nothing where it must start new."""
    known = head_classes(shape.model, weights)
    if known is None or any(name not in weights.tensors for name in head):
        ctx.warn(f"the weights {weights.path.name} have no head: it starts new")
        return {}
    state = {name: weights.tensors[name] for name in sorted(head)}
    if not shape.per_class:  # what the weights tell apart are objects alike
        if known == shape.classes:
            return state
        ctx.warn(
            f"the weights {weights.path.name} have a head for {known} classes, the detector tells {shape.classes} "
            "apart: the head starts new"
        )
        return {}
    order = class_order(weights, known, classes, ctx, trained=trained)
    if order is None:
        return {}
    rows = [0, *(1 + place for place in order)]  # the background is the first
    anchors = RETINA_ANCHORS if shape.model == "retinanet" else 1
    return {name: value.unflatten(0, (anchors, known + 1, -1))[:, rows].flatten(0, 2) for name, value in state.items()}


def _check_norm(path: Path, state: Mapping[str, object], own: Mapping[str, object], head: set[str]) -> None:
    """Raises PluginError where BatchNorm's statistics alone are missing or too many, with the norm that is needed."""
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
