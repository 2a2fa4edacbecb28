"""The classifier `classifier/timm`: fine-tuning of any timm model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fgic_core import Classifier, InputFile, nearest

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedClassifier

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


class TimmClassifier(Classifier):
    """Fine-tuning of any timm model, from timm's weights, a local safetensors file, or from scratch.

    Pictures are letterboxed to the model's input; mean, standard deviation and interpolation are the model's own
    (``timm.data.resolve_model_data_config``). The model kept is the epoch with the best validation accuracy.
    """

    several_devices: ClassVar[bool] = True

    model: str = Field(
        "resnet50.a1_in1k",
        pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$",
        description="A timm model, with the tag of its weights: `resnet50.a1_in1k`, `vit_small_patch16_224.dino`.",
    )
    pretrained: bool = Field(
        True, description="Start from the weights of timm's hub (the only network access); `weights` goes before it."
    )
    weights: InputFile | None = Field(
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
    epochs: int = Field(25, ge=1, description="Passes over the train split.")
    batch_size: int = Field(32, ge=1, description="Pictures in one training step.")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="Optimizer.")
    lr: float = Field(0.01, gt=0, description="Learning rate at the start (after warm-up).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay; biases and norms have none.")
    schedule: Literal["step", "cosine", "none"] = Field(
        "step", description="How the learning rate falls from epoch to epoch: in steps, along a cosine to 0, or not."
    )
    step_size: int = Field(7, ge=1, description="Epochs between two steps of the schedule `step`.")
    gamma: float = Field(0.1, gt=0, le=1, description="Factor at each step of the schedule `step`.")
    warmup_epochs: int = Field(0, ge=0, description="First epochs in which the learning rate rises linearly.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")

    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip in training.")
    grayscale: float = Field(0.1, ge=0, le=1, description="Probability of a grey picture in training.")
    crop_scale: float = Field(
        1.0, gt=0, le=1, description="Smallest share of the area that a random crop keeps in training; 1 crops nothing."
    )

    keep: Literal["best", "last"] = Field(
        "best",
        description="Which epoch's weights to keep: the best validation accuracy (the first of equals), or the last.",
    )
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after that many epochs without a better validation accuracy."
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="Numbers that training computes with, as Lightning Fabric names them."
    )

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

    @field_validator("weights")
    @classmethod
    def _no_pickle(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != ".safetensors":
            raise ValueError(
                f"should be a .safetensors file; {path.suffix or 'such'} files are pickles, which can run any code "
                "when they are read. Convert it with safetensors.torch.save_file where it comes from"
            )
        return path

    @field_validator("model_options")
    @classmethod
    def _free(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, instead in _TAKEN.items():
            if name in options:
                raise ValueError(f"should not set {name}: {instead}")
        return options

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TimmClassifier:
        if self.warmup_epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs should be less than epochs ({self.epochs})")
        return self

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        from fgic_classify_timm._network import build
        from fgic_classify_timm._training import train_network

        fitted = build(self, train.classes, ctx)
        train_network(self, fitted, train, ctx)
        return fitted

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        from fgic_classify_timm._network import from_scratch, wrap

        return wrap(*from_scratch(self, len(classes)), classes)


__all__ = ["TimmClassifier"]
