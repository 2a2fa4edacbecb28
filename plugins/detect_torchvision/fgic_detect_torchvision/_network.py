"""The network: a torchvision detector, what shapes it, its first weights, and its files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

from fgic_core import Context, PluginError
from fgic_core.kit import Weights, load_weights, save_weights, seeded
from fgic_detect_torchvision._shape import RETINA_ANCHORS, Shape
from fgic_detect_torchvision._weights import head_classes, load_into, read

if TYPE_CHECKING:
    from fgic_detect_torchvision import TorchvisionDetector

FORMAT = 1
#: Boxes below this confidence are dropped, or below `min_score` where that is less; torchvision's own value.
MIN_SCORE = 0.05
#: Of two boxes of a class that overlap by more than this IoU, the less confident one is dropped.
NMS_IOU = 0.5
#: Boxes of a picture at most, as COCO counts them.
MOST_BOXES = 100


class Network(nn.Module):
    """A torchvision detector.

    In training mode it takes pictures, a list of float (3, h, w) in [0, 1], and their targets, and returns losses by
    name. In evaluation mode it takes pictures alone and returns boxes, scores, and labels from 1 for each.

    Attributes:
        shape: what it was built from.
        model: the torchvision detector.
        classes: names of what it tells apart, where they are known.
    """

    def __init__(self, shape: Shape, trainable_layers: int | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.classes: Sequence[str] | None = None
        self.model = _detector(shape, _backbone(shape, trainable_layers))

    def forward(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None) -> Any:
        return self.model(images, targets)

    def let_in(self, score: float) -> None:
        """Give boxes of that confidence too, where it is less than what torchvision drops."""
        head = self.model if self.shape.model == "retinanet" else self.model.roi_heads
        head.score_thresh = min(MIN_SCORE, score)  # type: ignore[assignment]


def _backbone(shape: Shape, trainable_layers: int | None) -> BackboneWithFPN:
    """The backbone under its pyramid; all of it is trained where ``trainable_layers`` is None.

    RetinaNet takes the strides 8 to 128 (Lin et al. 2017), Faster R-CNN all that there are.
    """
    retina = shape.model == "retinanet"
    common: dict[str, Any] = {
        "backbone_name": shape.backbone,
        "weights": None,
        "norm_layer": {"GN": _group_norm, "BN": nn.BatchNorm2d, "FrozenBN": FrozenBatchNorm2d}[shape.norm],
        "extra_blocks": LastLevelP6P7(256, 256) if retina else None,
    }
    if shape.backbone.startswith("mobilenet"):
        layers = 6 if trainable_layers is None else trainable_layers
        return mobilenet_backbone(
            **common, fpn=True, trainable_layers=layers, returned_layers=[2, 3, 5] if retina else None
        )
    layers = 5 if trainable_layers is None else trainable_layers
    return resnet_fpn_backbone(**common, trainable_layers=layers, returned_layers=[2, 3, 4] if retina else None)


def _group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with 32 groups (Wu and He 2018), or fewer where these do not divide the channels into two or more."""
    groups = math.gcd(32, channels)
    while groups > 1 and channels // groups < 2:
        groups //= 2
    return nn.GroupNorm(groups, channels)


def _detector(shape: Shape, backbone: BackboneWithFPN) -> nn.Module:
    # Both models of torchvision count the background as class 0. RetinaNet has a logit for it that is never a target.
    size = {"num_classes": shape.classes + 1, "min_size": shape.image_size, "max_size": shape.max_size}
    if shape.model == "retinanet":
        # From scratch the heads need a norm too (He et al. 2019); torchvision's retinanet_resnet50_fpn_v2 has the same.
        norm = _group_norm if shape.norm == "GN" else None
        head = RetinaNetHead(backbone.out_channels, RETINA_ANCHORS, shape.classes + 1, norm_layer=norm)
        retina: nn.Module = RetinaNet(
            backbone, **size, head=head, score_thresh=MIN_SCORE, nms_thresh=NMS_IOU, detections_per_img=MOST_BOXES
        )
        return retina
    more: dict[str, Any] = {}
    if shape.backbone.startswith("mobilenet"):  # as in torchvision's fasterrcnn_mobilenet_v3_large_fpn
        more["rpn_anchor_generator"] = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    if shape.proposals is not None:
        counts = [f"rpn_{when}_nms_top_n_{mode}" for when in ("pre", "post") for mode in ("train", "test")]
        more.update(dict.fromkeys(counts, shape.proposals), box_batch_size_per_image=min(shape.proposals, 512))
    faster: nn.Module = FasterRCNN(
        backbone,
        **size,
        box_score_thresh=MIN_SCORE,
        box_nms_thresh=NMS_IOU,
        box_detections_per_img=MOST_BOXES,
        **more,
    )
    return faster


def build(options: TorchvisionDetector, classes: Sequence[str], ctx: Context) -> Network:
    """The network to train, or to use as it is: with its first weights, on the CPU.

    What is initialised at random depends on the step's seed alone.

    Args:
        options: the detector.
        classes: names of the data's.
        ctx: is told where a head starts new.

    Raises:
        PluginError: the weights cannot be read, belong to another architecture, or cannot be used as they are.
    """
    weights = read(options.weights) if options.weights is not None else None
    statistics = weights is not None and any(name.endswith("running_mean") for name in weights.tensors)
    shape = Shape(
        model=options.model,
        backbone=options.backbone,
        norm=options.norm or ("FrozenBN" if statistics else "GN"),
        classes=_classes(options, len(classes), weights),
        per_class=options.per_class,
        image_size=options.image_size,
        max_size=options.max_size or round(options.image_size * 1333 / 800),
        proposals=options.proposals,
    )
    layers = options.trainable_layers
    with seeded(ctx):
        network = Network(shape, 3 if layers is None and weights is not None else layers)
    network.classes = classes if options.per_class else None
    if weights is not None:
        load_into(network.model, shape, weights, classes, ctx, trained=options.epochs > 0)
        if not options.epochs and not options.per_class:  # what they tell apart are objects alike
            network.classes = weights.classes
    return network


def _classes(options: TorchvisionDetector, classes: int, weights: Weights | None) -> int:
    """How many kinds of objects the network tells apart: what is trained, or what the weights know already."""
    if options.epochs or weights is None:
        return classes if options.per_class else 1
    known, where = head_classes(options.model, weights), str(options.weights)
    if known is None:
        raise PluginError(
            f"these weights have no head of {options.model}, so that with epochs: 0 nothing is detected",
            where=where,
            hint="Give the weights of a whole detector of that model, or train.",
        )
    if options.per_class and known != classes:
        raise PluginError(
            f"these weights tell {known} classes apart, the data have {classes}",
            where=where,
            hint="Train (epochs: 12), or leave out per_class to count all as objects.",
        )
    wrong = [label for label in options.objects or () if not 1 <= label <= known]
    if wrong:
        raise PluginError(
            f"these weights have no label {wrong[0]}", where=where, hint=f"Their labels are 1 to {known}; see objects."
        )
    return known


def save(network: Network, folder: Path) -> None:
    """Write ``model.safetensors``, with torchvision's own names and those of the classes, and ``model.json``."""
    about = {} if network.classes is None else {"classes": list(network.classes)}
    save_weights(network.model, folder / "model.safetensors", **about)
    document = {"format": FORMAT, **asdict(network.shape), "torchvision": torchvision.__version__}
    (folder / "model.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(options: TorchvisionDetector, folder: Path) -> Network:
    """The network that `save` wrote; the file of first weights is not needed any more.

    Raises:
        PluginError: a file is missing or damaged, or belongs to another model.
    """
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not format {FORMAT}")
        for name in ("model", "backbone", "per_class"):
            if document[name] != getattr(options, name):
                raise ValueError(f"its {name} is {document[name]}, but the options say {getattr(options, name)}")
        network = Network(Shape(**{name: document[name] for name in Shape.__dataclass_fields__}))
        network.classes = load_weights(network.model, folder / "model.safetensors").classes
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PluginError(f"this model cannot be read: {error}", where=str(folder), hint="Train it again.") from error
    return network.eval()
