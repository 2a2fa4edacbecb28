"""What shapes a network."""

from __future__ import annotations

from dataclasses import dataclass

#: Anchors at each place of RetinaNet's maps, three sizes by three ratios; each has a logit for each class.
RETINA_ANCHORS = 9


@dataclass(frozen=True)
class Shape:
    """What a network is built from, and what its labels mean.

    Attributes:
        model, backbone, norm: as the options name them.
        classes: kinds of objects the network tells apart, background not counted.
        per_class: whether these are the classes of the data set; otherwise each of them is just an object.
        image_size, max_size: pixels of the shorter side, and of the longer one at most.
        proposals: how many there are; None for torchvision's own numbers.
    """

    model: str
    backbone: str
    norm: str
    classes: int
    per_class: bool
    image_size: int
    max_size: int
    proposals: int | None
