"""The detector `detector/torchvision`: Faster R-CNN and RetinaNet, trained on the data set's boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from fgic_core import Detector, InputFile
from fgic_core.kit import Flipped, Trainable, ends_in, option

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedDetector
    from fgic_detect_torchvision._detection import Finder


class TorchvisionDetector(Trainable, Flipped, Detector):
    """Faster R-CNN or RetinaNet of torchvision, on a feature pyramid, trained on the data set's annotated boxes.

    `weights` reads .safetensors and .pth files with torchvision's names: a whole detector, or a classification network
    for the backbone alone. Nothing is downloaded and no code in a file is run. The model kept is the epoch with the
    best mAP on validation.
    """

    negatives: ClassVar[bool] = True

    model: Literal["faster-rcnn", "retinanet"] = Field(
        "faster-rcnn", description="Two stages (Faster R-CNN), or one with the focal loss (RetinaNet)."
    )
    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v3_large"] = Field(
        "resnet50", description="The network under the feature pyramid."
    )
    norm: Literal["GN", "BN", "FrozenBN"] | None = Field(
        None,
        description="Normalisation in the backbone: GroupNorm, BatchNorm, or BatchNorm with fixed statistics. By "
        "default FrozenBN for weights that bring statistics, GN otherwise.",
    )
    weights: Annotated[InputFile, ends_in(".safetensors", ".pth", ".pt")] | None = Field(
        None,
        description="A local .safetensors or .pth file with torchvision's names to start from: a whole detector, or a "
        "classification network for the backbone alone.",
    )
    trainable_layers: int | None = Field(
        None,
        ge=0,
        le=6,
        description="With weights: how many of the backbone's stages to train, from the last. 5 are all of a ResNet, 6 "
        "of MobileNet. 3 by default; all without weights.",
    )
    image_size: int = Field(
        800, ge=32, le=4096, description="Pixels of the shorter side that a picture is resized to, its ratio kept."
    )
    max_size: int | None = Field(
        None,
        ge=32,
        description="Pixels that the longer side may have; the shorter one is less then. 1333/800 of image_size by "
        "default.",
    )
    proposals: int | None = Field(
        None,
        ge=8,
        description="Faster R-CNN: how many proposals there are, before and after suppression, in training and "
        "detection, and at most how many of them are trained on. By default torchvision's 2000, 1000 and 512. Fewer "
        "are faster.",
    )
    objects: list[int] | None = Field(
        None,
        min_length=1,
        description="With `epochs: 0`: the labels of the weights that count as an object, such as [18] for the dogs of "
        "torchvision's COCO weights. All by default.",
    )

    epochs: int = option(Trainable, "epochs", 12, "0 uses the weights as they are.", ge=0)
    batch_size: int = option(Trainable, "batch_size", 2)
    lr: float = option(Trainable, "lr", 0.005)
    schedule: Literal["step", "cosine", "none"] = option(Trainable, "schedule", "step")
    warmup: float = option(Trainable, "warmup", 0.1)
    clip_norm: float | None = option(Trainable, "clip_norm", 10.0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = option(
        Trainable, "precision", "32-true", "Here it is the backbone that does: the places of boxes need 32 bits."
    )

    @model_validator(mode="after")
    def _starts_somewhere(self) -> TorchvisionDetector:
        if self.weights is None:
            if not self.epochs:
                raise ValueError("epochs: 0 should have weights: without both there is nothing that detects")
            if self.trainable_layers is not None:
                raise ValueError("trainable_layers should have weights: layers from scratch must be trained")
            if self.norm == "FrozenBN":
                raise ValueError("norm: FrozenBN should have weights: from scratch it has no statistics; use GN or BN")
        return self

    @model_validator(mode="after")
    def _options_agree(self) -> TorchvisionDetector:
        stages = 6 if self.backbone.startswith("mobilenet") else 5
        if self.trainable_layers is not None and self.trainable_layers > stages:
            raise ValueError(f"trainable_layers should be at most {stages}: {self.backbone} has no more")
        if self.norm == "BN" and self.epochs and self.batch_size < 2:
            raise ValueError("norm: BN should have a batch_size of 2 or more: one picture has no statistics; use GN")
        if self.max_size is not None and self.max_size < self.image_size:
            raise ValueError(f"max_size should be at least image_size ({self.image_size})")
        if self.proposals is not None and self.model != "faster-rcnn":
            raise ValueError(f"proposals should not be set for {self.model}, which has none")
        if self.objects is not None and (self.epochs or self.per_class):
            raise ValueError("objects should go with epochs: 0 and without per_class: it picks labels of the weights")
        return self

    def learns(self) -> bool:
        return self.epochs > 0

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Finder:
        from fgic_core.kit import learn
        from fgic_detect_torchvision._detection import Finder
        from fgic_detect_torchvision._network import build
        from fgic_detect_torchvision._training import Detection

        network = build(self, train.classes, ctx)
        if self.epochs:
            learn(self, Detection(self, network, train, ctx), ctx)
        return Finder(network.to(ctx.device).eval(), self.objects)

    def save(self, fitted: FittedDetector, folder: Path) -> None:
        from fgic_detect_torchvision._detection import Finder
        from fgic_detect_torchvision._network import save

        assert isinstance(fitted, Finder)
        save(fitted.network, folder)

    def load(self, folder: Path, device: str) -> Finder:
        from fgic_detect_torchvision._detection import Finder
        from fgic_detect_torchvision._network import load

        network = load(self, folder).to(device)
        network.let_in(self.min_score)
        return Finder(network, self.objects)


__all__ = ["TorchvisionDetector"]
