"""Croppers: the box itself, and the nearest square inside the picture."""

from fgic_crop_box.croppers import BoxCropper, SquareCropper

__all__ = ["BoxCropper", "SquareCropper"]
