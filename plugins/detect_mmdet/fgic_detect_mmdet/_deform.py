"""Deformable convolution (Dai et al. 2017; Zhu et al. 2019) behind the names of mmcv's extension, by torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.ops import deform_conv2d


def deform_conv_forward(
    features: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, output: torch.Tensor, *_: Any, **shape: int
) -> None:
    """Deformable convolution without modulation and bias, into ``output``."""
    output.copy_(_conv(features, offset, weight, None, None, *_v1(shape)))


def deform_conv_backward_input(
    features: torch.Tensor,
    offset: torch.Tensor,
    grad_output: torch.Tensor,
    grad_input: torch.Tensor,
    grad_offset: torch.Tensor,
    weight: torch.Tensor,
    *_: Any,
    **shape: int,
) -> None:
    """Its gradient by features and offsets, into ``grad_input`` and ``grad_offset``."""
    grads = _gradients([features, offset, weight, None, None], (0, 1), grad_output, *_v1(shape))
    for target, grad in zip((grad_input, grad_offset), grads, strict=True):
        target.copy_(grad)


def deform_conv_backward_parameters(
    features: torch.Tensor,
    offset: torch.Tensor,
    grad_output: torch.Tensor,
    grad_weight: torch.Tensor,
    *_: Any,
    scale: float = 1.0,
    **shape: int,
) -> None:
    """Its gradient by the weight (whose values do not matter to it), added to ``grad_weight`` times ``scale``."""
    weight = torch.zeros_like(grad_weight)
    (grad,) = _gradients([features, offset, weight, None, None], (2,), grad_output, *_v1(shape))
    grad_weight.add_(grad, alpha=scale)


def modulated_deform_conv_forward(
    features: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    ones: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    output: torch.Tensor,
    columns: torch.Tensor,
    *,
    with_bias: bool,
    **shape: int,
) -> None:
    """Modulated deformable convolution, into ``output``."""
    output.copy_(_conv(features, offset, weight, mask, bias if with_bias else None, *_v2(shape)))


def modulated_deform_conv_backward(
    features: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    ones: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    columns: torch.Tensor,
    grad_input: torch.Tensor,
    grad_weight: torch.Tensor,
    grad_bias: torch.Tensor,
    grad_offset: torch.Tensor,
    grad_mask: torch.Tensor,
    grad_output: torch.Tensor,
    *,
    with_bias: bool,
    **shape: int,
) -> None:
    """Its gradients, into the five tensors for them."""
    inputs = [features, offset, weight, mask, bias if with_bias else None]
    targets = [grad_input, grad_offset, grad_weight, grad_mask, *([grad_bias] if with_bias else [])]
    for target, grad in zip(targets, _gradients(inputs, range(len(targets)), grad_output, *_v2(shape)), strict=True):
        target.copy_(grad)


#: Stride, padding and dilation, each by height and width. (The numbers of groups torchvision reads off the shapes.)
_Shape = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def _v1(shape: dict[str, int]) -> _Shape:
    return (
        (shape["dH"], shape["dW"]),
        (shape["padH"], shape["padW"]),
        (shape["dilationH"], shape["dilationW"]),
    )


def _v2(shape: dict[str, int]) -> _Shape:
    return (
        (shape["stride_h"], shape["stride_w"]),
        (shape["pad_h"], shape["pad_w"]),
        (shape["dilation_h"], shape["dilation_w"]),
    )


def _conv(
    features: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> torch.Tensor:
    return deform_conv2d(features, offset, weight, bias, stride, padding, dilation, mask)


def _gradients(
    inputs: Sequence[torch.Tensor | None], by: Sequence[int], grad_output: torch.Tensor, *shape: tuple[int, int]
) -> tuple[torch.Tensor, ...]:
    """The gradients by some of the inputs of `_conv`."""
    leaves = [None if one is None else one.detach().requires_grad_(place in by) for place, one in enumerate(inputs)]
    with torch.enable_grad():
        output = _conv(*leaves, *shape)  # type: ignore[arg-type]
    return torch.autograd.grad(output, [leaves[place] for place in by], grad_output)  # type: ignore[misc]


OPERATORS = {
    function.__name__: function
    for function in (
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
    )
}
