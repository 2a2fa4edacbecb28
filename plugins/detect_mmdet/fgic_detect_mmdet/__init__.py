"""The detector `detector/mmdet`: any box detector of MMDetection, trained by MMEngine's Runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fgic_core import Detector, InputFile, nearest
from fgic_core.kit import Trainable, TrainingOptions, ends_in, option
from fgic_detect_mmdet._bases import bases
from fgic_detect_mmdet._shipped import shipped_configs

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedDetector
    from fgic_detect_mmdet._network import Network


class MmdetDetector(TrainingOptions, Detector):
    """Any box detector of MMDetection 3.3, by the name of a config that it ships or by a config file.

    It is trained by MMEngine's Runner, from scratch or from local `weights`: a detector's or a backbone's, as
    .safetensors or as .pth, whose tensors alone are read. The model kept is the epoch with the best validation mAP. No
    compiled mmcv is needed: operators are torchvision's, and mmcv's own go before where they are installed.
    """

    negatives: ClassVar[bool] = True

    weights: Annotated[InputFile, ends_in(".safetensors", ".pth", ".pt")] | None = option(Detector, "weights", None)
    config: str = Field(
        "faster-rcnn_r50_fpn_1x_coco",
        min_length=1,
        description="A config that mmdet ships, such as `faster-rcnn_r101_fpn_1x_coco`; `config_file` goes before it.",
    )
    config_file: InputFile | None = Field(
        None, description="A config file of your own. Configs ending in .py are programs: use those you trust."
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description="Values to change in the config, by dotted key, such as `{model.backbone.depth: 18}`. Keys must "
        "exist and values be of the type they replace; a + before the key adds a new one.",
    )
    image_scale: int | tuple[int, int] | None = Field(
        None,
        description="Pictures are resized to fit: one number for the longer side, or `[longer, shorter]`; the config's "
        "own by default.",
    )
    norm: Literal["GN", "BN"] | None = Field(
        None,
        description="Normalisation of the backbone, all of it trained. By default the config's, but GN where that is "
        "frozen BatchNorm and there are no weights to freeze (He et al. 2019).",
    )
    objects: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        description="With `epochs: 0` and weights that tell other classes apart than the data: the labels of theirs, "
        "from 0, that count as an object, such as `[16]` for COCO's dogs; all by default.",
    )
    epochs: int = option(TrainingOptions, "epochs", 12, "0 uses `weights` as they are.", ge=0)
    batch_size: int = option(TrainingOptions, "batch_size", 2)
    lr: float | None = option(Trainable, "lr", None, "Null is the config's, scaled to `batch_size`.")
    schedule: Literal["config", "step", "cosine", "none"] = option(
        TrainingOptions, "schedule", "config", "`config` is as in the config, its milestones scaled to `epochs`."
    )
    warmup: float = option(TrainingOptions, "warmup", 0.1)
    clip_norm: float | None = option(TrainingOptions, "clip_norm", None, "Here it is as in the config.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = option(
        TrainingOptions, "precision", "32-true", "Here it is the backbone that does: the places of boxes need 32 bits."
    )
    proposals: int | None = Field(
        None,
        ge=8,
        description="How many boxes a two-stage detector looks at again, in training and in detection; the config's "
        "by default. On a CPU they decide how long a step takes.",
    )

    @field_validator("config")
    @classmethod
    def _is_shipped(cls, name: str, info: ValidationInfo) -> str:
        name = name.removesuffix(".py")
        known = shipped_configs()
        if not known or name in known or (info.context or {}).get("trusted"):
            return name
        names = [one for one in known if "/" not in one]
        close = [one for one in names if one.startswith(name)][:3] or nearest(name, names)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"should be a config that mmdet ships, and {name} is none{hint}")

    @field_validator("image_scale")
    @classmethod
    def _large_enough(cls, scale: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        sides = (scale,) if isinstance(scale, int) else scale or ()
        if any(side < 32 for side in sides):
            raise ValueError("should be at least 32 pixels")
        return scale

    @model_validator(mode="after")
    def _something_to_use(self) -> MmdetDetector:
        if self.epochs == 0 and self.weights is None:
            raise ValueError("epochs should be at least 1 where there are no weights to use as they are")
        if self.objects is not None and (self.epochs or self.per_class):
            raise ValueError("objects should be left out where epochs is not 0 or per_class is true")
        return self

    def reads(self) -> Sequence[Path]:
        """Besides, what `config_file` is based on."""
        return [*super().reads(), *(bases(self.config_file) if self.config_file is not None else ())]

    def untraced(self) -> Sequence[str]:
        """What of `config_file` only running it would tell, and names of code that no key holds."""
        from fgic_detect_mmdet._foreign import foreign, foreign_in_file
        from fgic_detect_mmdet._programs import untraced

        named = [f"overrides name {one}, whose code is in no key" for one in foreign(self.overrides)]
        if self.config_file is None:
            return named
        named += [f"the config names code that is in no key: {one}" for one in foreign_in_file(self.config_file)]
        return [*(f"the config is a program: {doubt}" for doubt in untraced(self.config_file)), *named]

    def learns(self) -> bool:
        return self.epochs > 0

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> Network:
        from fgic_detect_mmdet._network import build

        network = build(self, train.classes, ctx)
        if self.learns():
            from fgic_detect_mmdet._training import train_network

            network.try_out(train.picture(0))
            train_network(self, network, train, ctx)
        return network

    def save(self, fitted: FittedDetector, folder: Path) -> None:
        from fgic_detect_mmdet._network import Network

        assert isinstance(fitted, Network)
        fitted.save(folder)

    def load(self, folder: Path, device: str) -> Network:
        from fgic_detect_mmdet._network import Network

        return Network.load(folder, self.min_score).to(device)


__all__ = ["MmdetDetector"]
