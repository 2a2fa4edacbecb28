"""The explainer and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fgic_core import Explainer, Maps

if TYPE_CHECKING:
    import torch
    from torch import nn


class CamExplainer(Explainer):
    """Class activation maps from one layer: Grad-CAM and its relatives.

    The gradient of the target's logit is taken with respect to the layer's output and to nothing else, so that frozen
    networks work and no parameter's ``.grad`` is touched.
    """

    method: Literal["gradcam", "gradcam++", "layercam"] = Field(
        "gradcam",
        description="How channels are weighted: `gradcam` by their mean gradient, `gradcam++` by higher-order terms at "
        "each place, `layercam` by the positive gradient at each place.",
    )
    target_layer: str | None = Field(
        None,
        description="Dotted name of the module in the network whose output is mapped; by default the last one before "
        "the global pooling of a CNN, or the first norm of the last block of a ViT.",
    )

    def explain(
        self, network: nn.Module, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Maps:
        """One map of each picture, 0 or more, at the layer's resolution; uses no randomness. See `Explainer.explain`.

        Raises:
            PluginError: the named layer does not exist, its output is no map, or none was found by itself.
        """
        from fgic_explain_cam._cam import activation_and_gradient, weigh
        from fgic_explain_cam._layers import find_layer

        layer = find_layer(network, images[:1], self.target_layer)
        activation, gradient = activation_and_gradient(network, layer, images, targets)
        return Maps(weigh(self.method, activation, gradient)[:, None], (layer.name,))
