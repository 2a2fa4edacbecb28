"""The operators of mmcv's compiled extension ``mmcv._ext``, by torchvision and torch.

MMDetection imports all of mmcv's operators, which need a compiler to install. What detectors of boxes call is here:
torchvision's own kernels, on the CPU and on CUDA. Each function takes the arguments that mmcv's Python code gives
(mmcv 2.1.0, ``mmcv/ops/*.py``). An operator that is not here raises when it is called, and says its name.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torchvision  # registers torch.ops.torchvision

from fgic_core import PluginError
from fgic_detect_mmdet import _deform

NAME = "mmcv._ext"


def install() -> bool:
    """Put the operators where mmcv looks for them; False where mmcv's own compiled ones are there, which go before."""
    if NAME in sys.modules:
        return isinstance(sys.modules[NAME], _Extension)
    if find_spec(NAME) is not None:
        return False
    import mmcv

    sys.modules[NAME] = mmcv._ext = _Extension(NAME)
    return True


class _Extension(ModuleType):
    """A module that has every operator by name; unknown ones raise when they are called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Without a loader, mmengine takes mmcv for the lite one that it is (`mmcv_full_available`).
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return OPERATORS.get(name) or _missing(name)


def _missing(name: str) -> Any:
    def raises(*_: Any, **__: Any) -> Any:
        raise PluginError(
            f"the operator {name} of mmcv is not there: this environment has mmcv-lite",
            where="detector/mmdet",
            hint="Choose a config that does without it, or install a compiled mmcv 2.1 for this torch.",
        )

    return raises


def nms(boxes: torch.Tensor, scores: torch.Tensor, *, iou_threshold: float, offset: int) -> torch.Tensor:
    """Indices of the boxes kept, best first.

    Args:
        boxes: (n, 4) edges x1, y1, x2, y2.
        scores: (n,).
        iou_threshold: overlap above which the weaker box goes.
        offset: 1 where a box of equal edges is one pixel wide, as in old mmdet; else 0.
    """
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def nms_match(dets: torch.Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of box indices: each starts with a box that is kept, then those it puts out. ``dets`` is (n, 5)."""
    boxes, scores = dets[:, :4], dets[:, 4]
    overlap = torchvision.ops.box_iou(boxes, boxes)
    left = scores.argsort(descending=True, stable=True).tolist()
    groups = []
    while left:
        best = left[0]
        group = [one for one in left if one == best or overlap[best, one] > iou_threshold]
        groups.append(group)
        left = [one for one in left if one not in set(group)]
    return groups


def roi_align_forward(
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al. 2017) into ``output`` (k, c, aligned_height, aligned_width); rois are (k, 5), image first."""
    _average_only(pool_mode)
    size = (aligned_height, aligned_width)
    output.copy_(torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: torch.Tensor,
    rois: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of RoIAlign by its features, into ``grad_input`` (n, c, h, w)."""
    _average_only(pool_mode)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _average_only(pool_mode: int) -> None:
    if pool_mode != 1:
        raise PluginError("RoIAlign with pool_mode max needs a compiled mmcv", where="detector/mmdet")


def roi_pool_forward(
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax: torch.Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoIPool (Girshick 2015) into ``output``, and where each maximum was into ``argmax``."""
    made, places = torch.ops.torchvision.roi_pool(features, rois, spatial_scale, pooled_height, pooled_width)
    output.copy_(made)
    argmax.copy_(places)


def roi_pool_backward(
    grad_output: torch.Tensor,
    rois: torch.Tensor,
    argmax: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """The gradient of RoIPool by its features, into ``grad_input``."""
    grad_input.copy_(
        torch.ops.torchvision._roi_pool_backward(
            grad_output, rois, argmax, spatial_scale, pooled_height, pooled_width, *grad_input.shape
        )
    )


def sigmoid_focal_loss_forward(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    output: torch.Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """Focal loss (Lin et al. 2017) of each logit into ``output`` (n, classes); the target ``classes`` is none."""
    output.copy_(_focal(logits, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """The gradient of each loss by its own logit, into ``grad_input``."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        (grad,) = torch.autograd.grad(_focal(leaf, target, weight, gamma, alpha).sum(), leaf)
    grad_input.copy_(grad)


def _focal(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, gamma: float, alpha: float
) -> torch.Tensor:
    if weight.numel():
        raise PluginError("class weights of mmcv's focal loss need a compiled mmcv", where="detector/mmdet")
    classes = logits.shape[1]
    hot = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    return torchvision.ops.sigmoid_focal_loss(logits, hot, alpha, gamma)


OPERATORS = _deform.OPERATORS | {
    function.__name__: function
    for function in (
        nms,
        nms_match,
        roi_align_forward,
        roi_align_backward,
        roi_pool_forward,
        roi_pool_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
    )
}
