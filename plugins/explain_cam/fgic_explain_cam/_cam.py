"""One forward and one backward pass from the layer on, and the weighting of its channels."""

from __future__ import annotations

import torch
from torch import nn

from fgic_core import PluginError, evaluation
from fgic_explain_cam._layers import TargetLayer


def activation_and_gradient(
    network: nn.Module, layer: TargetLayer, images: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's output and the gradient of the targets' logits with respect to it, both (n, channels, h, w).

    Raises:
        PluginError: the logits do not depend on the layer's output.
    """
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        # A fresh leaf: the backward pass ends here, whether parameters are frozen or not. Its clone goes on, because
        # what follows may work in place.
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()

    handle = layer.module.register_forward_hook(keep)
    try:
        with evaluation(network), torch.inference_mode(False), torch.enable_grad():
            logits = network(images.detach().clone())
            chosen = logits.gather(1, targets.to(logits.device).clone()[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, kept[-1], allow_unused=True) if kept else (None,)
    finally:
        handle.remove()
    if gradient is None:
        raise PluginError(
            "the logits do not depend on the output of this layer",
            where=f"explainer/cam, target_layer {layer.name}",
            hint="Name a layer that lies between the picture and the logits.",
        )
    evidence = layer.to_map(gradient.detach(), images)
    if gradient.any() and not evidence.any():
        raise PluginError(
            "the logits depend on no place of this layer's output, only on the tokens before the patches",
            where=f"explainer/cam, target_layer {layer.name}",
            hint="Name a layer before the last attention, such as the norm1 of the last block.",
        )
    return layer.to_map(kept[-1].detach(), images), evidence


def weigh(method: str, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Maps (n, h, w) >= 0 from activations and gradients (n, channels, h, w)."""
    if method == "layercam":  # Jiang et al. 2021, equation 5
        return (gradient.relu() * activation).sum(dim=1).relu()
    plus_plus = method == "gradcam++"
    # Without: Selvaraju et al. 2017, equation 1.
    weights = _plus_plus(activation, gradient) if plus_plus else gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activation).sum(dim=1).relu()


def _plus_plus(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Channel weights (n, channels, 1, 1) of Grad-CAM++ (Chattopadhay et al. 2018, equation 19)."""
    squared = gradient.square()
    below = 2 * squared + activation.sum(dim=(2, 3), keepdim=True) * squared * gradient + 1e-6
    # The formula assumes activations after a ReLU; a layer with negative ones can bring the denominator to zero.
    alpha = torch.where(below.abs() > 1e-12, squared / below, torch.zeros_like(below))
    return (gradient.relu() * alpha).sum(dim=(2, 3), keepdim=True)
