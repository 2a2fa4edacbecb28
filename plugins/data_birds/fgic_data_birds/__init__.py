"""Synthetic birds: a procedural fine-grained data set whose every factor is known."""

from fgic_data_birds.reader import SyntheticBirds

__all__ = ["SyntheticBirds"]
