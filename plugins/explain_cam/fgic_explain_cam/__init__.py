"""Class activation maps as an fgic explainer."""

from fgic_explain_cam.explainer import CamExplainer

__all__ = ["CamExplainer"]
