"""From pictures to boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torchvision.ops import nms

from fgic_core import Detections, FittedDetector, to_tensor
from fgic_core.kit import evaluation
from fgic_detect_torchvision._data import widened
from fgic_detect_torchvision._network import NMS_IOU, Network

if TYPE_CHECKING:
    from PIL.Image import Image


class Finder(FittedDetector):
    """Finds objects with a network.

    Attributes:
        network: with the weights to detect with.
        labels: of the network (from 1), whose boxes count; all where it is None.
    """

    def __init__(self, network: Network, labels: Sequence[int] | None) -> None:
        self.network: Network = network
        self.labels = labels

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        return detect(self.network, images, self.labels)


def detect(network: Network, images: Sequence[Image], labels: Sequence[int] | None = None) -> list[Detections]:
    """What the network sees in each picture.

    Pictures go through one by one: in a batch each would be padded to the largest, which changes its features.

    Args:
        network: stays in its mode.
        images: 8-bit RGB, of any sizes.
        labels: of the network (from 1), whose boxes count; all where it is None.
    """
    device = next(network.parameters()).device
    with torch.no_grad(), evaluation(network):
        return [_one(network, to_tensor(image).to(device), labels) for image in images]


def _one(network: Network, image: torch.Tensor, labels: Sequence[int] | None) -> Detections:
    (found,) = network([widened(image, network.shape.max_size)])
    counts = found["labels"] > 0  # the background's logit of RetinaNet is no object
    if labels is not None:
        counts &= torch.isin(found["labels"], torch.tensor(labels, device=counts.device))
    boxes, scores, indices = (found[name][counts] for name in ("boxes", "scores", "labels"))
    if network.shape.per_class:
        indices = indices - 1
    else:
        # Suppression was by class: what the network took for a dog and for a cat is one object twice.
        kept = nms(boxes, scores, NMS_IOU)
        boxes, scores, indices = boxes[kept], scores[kept], torch.zeros_like(indices[kept])
    return Detections(boxes.cpu().numpy(), scores.cpu().numpy(), indices.cpu().numpy())
