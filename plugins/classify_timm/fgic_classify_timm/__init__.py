"""The classifier `classifier/timm`: fine-tuning of any timm model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from fgic_core import InputFile, nearest
from fgic_core.kit import Augmented, NetworkClassifier, Trainable, ends_in, option

if TYPE_CHECKING:
    from torch import nn

    from fgic_core import Context, FittedClassifier

#: Arguments of ``timm.create_model`` that have an option of their own here, or that would unpickle a file.
_TAKEN = {
    "num_classes": "it is the number of classes of the data",
    "in_chans": "pictures have three channels",
    "img_size": "use image_size",
    "drop_rate": "use dropout",
    "pretrained": "use the option pretrained",
    "pretrained_cfg": "name a tag in model, such as resnet50.a1_in1k",
    "pretrained_cfg_overlay": "name a tag in model, such as resnet50.a1_in1k",
    "checkpoint_path": "use weights with a .safetensors file",
    "cache_dir": "set the environment variable HF_HOME",
    "features_only": "a classifier needs its head",
}


class TimmClassifier(NetworkClassifier):
    """Fine-tuning of any timm model, from timm's weights, a local safetensors file, or from scratch.

    Pictures are letterboxed to the model's input; mean, standard deviation and interpolation are the model's own
    (``timm.data.resolve_model_data_config``). The model kept is the epoch with the best validation accuracy.
    """

    model: str = Field(
        "resnet50.a1_in1k",
        pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$",
        description="A timm model, with the tag of its weights: `resnet50.a1_in1k`, `vit_small_patch16_224.dino`.",
    )
    pretrained: bool = Field(
        True, description="Start from the weights of timm's hub (the only network access); `weights` goes before it."
    )
    weights: Annotated[InputFile, ends_in(".safetensors")] | None = Field(
        None, description="A local .safetensors file with timm's names to start from, in place of the hub's weights."
    )
    model_options: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="More arguments of the model's constructor, such as `{pad_type: same}` or `{drop_path_rate: 0.1}`.",
    )
    image_size: int | None = Field(
        None, ge=16, le=4096, description="Width and height of the input in pixels; the model's own by default."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head (timm's `drop_rate`).")

    trainable: Literal["all", "head"] = Field(
        "all", description="Train everything, or the head alone on a frozen backbone in evaluation mode."
    )
    schedule: Literal["step", "cosine", "none"] = option(Trainable, "schedule", "step")
    step_size: int | None = option(Trainable, "step_size", 7)
    grayscale: float = option(Augmented, "grayscale", 0.1)

    @field_validator("model")
    @classmethod
    def _is_timms(cls, name: str, info: ValidationInfo) -> str:
        from fgic_classify_timm._models import has_model, models

        plain = name.partition(".")[0]
        if (info.context or {}).get("trusted") or has_model(plain):
            return name
        close = nearest(plain, models())
        hint = f"; did you mean {' or '.join(close)}?" if close else "; timm.list_models() lists them"
        raise ValueError(f"should be a model of timm's, and {plain} is none{hint}")

    @field_validator("model_options")
    @classmethod
    def _free(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, instead in _TAKEN.items():
            if name in options:
                raise ValueError(f"should not set {name}: {instead}")
        return options

    def start(self, classes: Sequence[str], ctx: Context) -> FittedClassifier:
        from fgic_classify_timm._network import build

        return build(self, classes, ctx)

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        from fgic_classify_timm._network import from_scratch, wrap

        return wrap(*from_scratch(self, len(classes)), classes, self)

    def training_mode(self, network: nn.Module) -> None:
        from fgic_classify_timm._network import training_mode

        training_mode(network, self.trainable)


__all__ = ["TimmClassifier"]
