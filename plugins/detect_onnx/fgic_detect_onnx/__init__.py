"""The detector `detector/onnx`: boxes from a ready detector in an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from fgic_core import Detector, InputFile

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedDetector
    from fgic_detect_onnx._model import OnnxModel


class OnnxDetector(Detector):
    """A ready detector in an ONNX file, run by ONNX Runtime: boxes for new pictures without training.

    Reads models that were exported from YOLOX, from YOLOv8 and its successors with the same output, and from
    torchvision. `classes: [dog]` keeps the boxes of dogs; what is kept is an object and nothing more (label 0).
    """

    weights: InputFile = Field(description="The detector: an .onnx file that holds all of its weights.")
    format: Literal["auto", "yolox", "yolov8", "boxes"] = Field(
        "auto",
        description="What input and output mean: as YOLOX, as YOLOv8, or as torchvision (`boxes`) exports them. Told "
        "from the shapes by default.",
    )
    label_names: InputFile | None = Field(
        None,
        description="A text file with the names of the model's classes, one a line. By default the names in the model "
        "(Ultralytics writes them), or COCO's 80 where the model has 80 classes.",
    )
    classes: list[str] | None = Field(
        None, min_length=1, description="Names of the classes whose boxes are kept, such as `[dog]`; all by default."
    )
    score_threshold: float = Field(
        0.05, ge=0.0, le=1.0, description="Least score of a box that is given to the core, which applies `min_score`."
    )
    nms_iou: float = Field(
        0.45,
        ge=0.0,
        le=1.0,
        description="Overlap from which the weaker of two kept boxes is dropped, whatever their classes.",
    )
    max_boxes: int = Field(
        100, ge=1, le=100, description="Most boxes of a picture, the most confident ones; the core takes no more."
    )
    image_size: int | None = Field(
        None,
        ge=32,
        le=4096,
        multiple_of=32,
        description="Width and height of the input in pixels, for a model that leaves them open: 640 by default, or "
        "the picture's own size with `boxes`.",
    )

    @field_validator("weights")
    @classmethod
    def _onnx(cls, path: Path) -> Path:
        # A link is followed to its file, and download caches name files by digests without a suffix.
        if path.suffix.lower() not in (".onnx", ""):
            raise ValueError(f"should be an .onnx file; {path.name} is none. Export the detector to ONNX")
        return path

    @field_validator("per_class")
    @classmethod
    def _class_agnostic(cls, per_class: bool) -> bool:
        if per_class:
            raise ValueError(
                "should be false; a ready detector knows the classes it was trained on and not those of the data set"
            )
        return per_class

    def learns(self) -> bool:
        return False

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> OnnxModel:
        """Open the file for ``ctx.device``; neither data set is looked at.

        Raises:
            PluginError: the file is no model that can be read, or the options do not go with it.
        """
        from fgic_detect_onnx._model import open_model

        if not ctx.device.startswith(("cpu", "cuda")):
            ctx.warn(f"the detector ran on the CPU: this plugin does not use ONNX Runtime on {ctx.device}")
        return open_model(self, ctx.device)

    def save(self, fitted: FittedDetector, folder: Path) -> None:
        """Write ``model.onnx``, the bytes of `weights`, and ``detector.json``: how it is read, and the names."""
        from fgic_detect_onnx._model import OnnxModel

        assert isinstance(fitted, OnnxModel)
        fitted.save(folder)

    def load(self, folder: Path, device: str) -> OnnxModel:
        """Open what `save` wrote; the files of `weights` and `label_names` are not needed any more."""
        from fgic_detect_onnx._model import load_model

        return load_model(self, folder, device)


__all__ = ["OnnxDetector"]
