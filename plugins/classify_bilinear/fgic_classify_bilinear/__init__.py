"""The classifier `classifier/bilinear`: which features occur together, and where they do."""

from typing import Annotated, Literal

from pydantic import Field

from fgic_core import FittedClassifier, InputFile, InputSpec, Size
from fgic_core.kit import NetworkClassifier, ends_in, put_weights, read_weights


class BilinearClassifier(NetworkClassifier):
    """Bilinear pooling of a ResNet's last feature maps (Lin, RoyChowdhury and Maji, ICCV 2015), trained end to end."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = Field("resnet18", description="torchvision's network.")
    weights: Annotated[InputFile, ends_in(".safetensors", ".pth")] | None = Field(
        None,
        description="First weights of the backbone, with torchvision's names; without them it starts from scratch.",
    )
    image_size: int = Field(448, ge=32, le=2048, description="Width and height of the input in pixels.")
    projection: int = Field(64, ge=1, le=2048, description="Channels that all the maps are multiplied with.")

    def build(self, classes):
        import torch
        from torch import nn
        from torchvision.models import get_model
        from torchvision.models._utils import IntermediateLayerGetter

        class Bilinear(nn.Module):
            def __init__(self, name: str, projection: int):
                super().__init__()
                whole = get_model(name, weights=None)
                channels = whole.fc.in_features
                self.body = IntermediateLayerGetter(whole, {"layer4": "maps"})
                self.project = nn.Conv2d(channels, projection, 1)
                self.head = nn.Linear(channels * projection, len(classes))
                for key, value in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
                    self.register_buffer(key, torch.tensor(value).view(3, 1, 1), persistent=False)

            def forward(self, images):
                maps = self.body((images - self.mean) / self.std)["maps"]
                pairs = torch.einsum("nchw,nphw->ncp", maps, self.project(maps)).flatten(1) / maps[0, 0].numel()
                rooted = pairs.sign() * (pairs.abs() + 1e-5).sqrt()
                return self.head(nn.functional.normalize(rooted))

        spec = InputSpec(Size(self.image_size, self.image_size), "bilinear")
        return FittedClassifier(Bilinear(self.backbone, self.projection), spec, tuple(classes))

    def start(self, classes, ctx):
        fitted = super().start(classes, ctx)
        if self.weights is not None:
            put_weights(fitted.network.body, read_weights(self.weights).without("fc."))
        return fitted


__all__ = ["BilinearClassifier"]
