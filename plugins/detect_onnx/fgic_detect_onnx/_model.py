"""A ready detector: its file, its session, and the way from a picture to boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from torchvision.ops import nms

from fgic_core import Box, Detections, FittedDetector, PluginError, Size, regular_file
from fgic_detect_onnx._formats import BORDER, FORMATS, SIDE, Format, recognise
from fgic_detect_onnx._names import find_classes, find_names
from fgic_detect_onnx._session import Outputs, Session

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_detect_onnx import OnnxDetector

VERSION = 1
MODEL, DOCUMENT = "model.onnx", "detector.json"

#: How far a score may lie outside [0, 1] by rounding.
_ROUNDING = 1e-3


class OnnxModel(FittedDetector):
    """A detector that is open.

    Attributes:
        format: how it is read.
        size: of its input; None for each picture's own.
        names: of its classes, where they are known.
    """

    def __init__(
        self,
        options: OnnxDetector,
        content: bytes,
        session: Session,
        where: str,
        form: Format,
        size: Size | None,
        names: Sequence[str] | None,
    ) -> None:
        """Raises PluginError where the option `classes` does not go with the names."""
        self._options, self._content, self._session, self._where = options, content, session, where
        self.format, self.size, self.names = form, size, names
        self._kept = find_classes(options.classes, names)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """The objects in each picture, in its own pixels, most confident first.

        Raises:
            PluginError: the model fails, or gives what its format does not allow.
        """
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> Detections:
        pixels, placement = self.format.input(image, self.size)
        outputs = self._session(pixels)
        size = Size(pixels.shape[2], pixels.shape[1])
        recognise(self.format.name, outputs, size, self._where)
        self._check_names(outputs)
        boxes, scores = self.format.boxes(outputs, size, self._kept)
        self._check_scores(scores)
        boxes, scores = self._strongest(boxes, scores.clip(0, 1))
        if not np.isfinite(boxes).all():
            raise PluginError(
                "the model gave a box without end",
                where=self._where,
                hint=f"Is it in the format {self.format.name}? In half precision a model can overflow.",
            )
        corners = [placement.to_image(Box(*map(float, box))).xyxy for box in boxes]
        return Detections(np.array(corners, dtype=float).reshape(-1, 4), scores, np.zeros(len(scores), dtype=int))

    def _strongest(self, boxes: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        strong = scores >= self._options.score_threshold
        boxes, scores = boxes[strong].astype(np.float32), scores[strong].astype(np.float32)
        chosen = nms(torch.from_numpy(boxes), torch.from_numpy(scores), self._options.nms_iou).numpy()
        chosen = chosen[: self._options.max_boxes]
        return boxes[chosen], scores[chosen]

    def _check_names(self, outputs: Outputs) -> None:
        if self.names is not None and self.format.classes(outputs) > len(self.names):
            raise PluginError(
                f"the model gave a box of class {self.format.classes(outputs) - 1}, but there are {len(self.names)} "
                "names, counted from 0",
                where=self._where,
                hint="Is label_names complete? torchvision's models count a background as the first.",
            )

    def _check_scores(self, scores: np.ndarray[Any, Any]) -> None:
        low, high = scores.min(initial=0.0), scores.max(initial=0.0)
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise PluginError(
                f"the model's scores reach from {low:.3g} to {high:.3g} and not from 0 to 1",
                where=self._where,
                hint=f"Is it in the format {self.format.name}? Its scores should come after the sigmoid.",
            )

    def save(self, folder: Path) -> None:
        """Write the model and what `load_model` needs beside the options."""
        document = {
            "version": VERSION,
            "format": self.format.name,
            "size": self.size and [self.size.width, self.size.height],
            "names": self.names,
            "onnxruntime": onnxruntime.__version__,
        }
        (folder / MODEL).write_bytes(self._content)
        (folder / DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def open_model(options: OnnxDetector, device: str) -> OnnxModel:
    """The detector in the file of `weights`.

    Raises:
        PluginError: the file is no model that can be read, or the options do not go with it.
    """
    where = str(options.weights)
    try:
        content = regular_file(options.weights).read_bytes()
    except OSError as error:
        raise PluginError(f"the model cannot be read: {error}", where=where, hint="Is it there?") from error
    session = Session(content, device, where)
    size = _given_size(session, options.image_size, where)
    trial = size or Size(session.width or SIDE, session.height or SIDE)
    outputs = session(np.full((3, trial.height, trial.width), BORDER[0] / 255, dtype=np.float32))
    form = recognise(options.format, outputs, trial, where)
    if not (form.any_size and session.width is None and session.height is None):
        size = trial
    count, exact = form.classes(outputs), form.counts_classes
    names = find_names(options.label_names, session.metadata, count, exact, where)
    return OnnxModel(options, content, session, where, form, size, names)


def load_model(options: OnnxDetector, folder: Path, device: str) -> OnnxModel:
    """The detector that `OnnxModel.save` wrote; the options' own files are not needed.

    Raises:
        PluginError: a file is missing or damaged.
    """
    where = str(folder / MODEL)
    try:
        saved = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        if saved["version"] != VERSION:
            raise ValueError(f"version {saved['version']} is not version {VERSION}")
        if saved["format"] not in FORMATS:
            raise ValueError(f"there is no format {saved['format']!r}")
        size = None if saved["size"] is None else Size(*map(int, saved["size"]))
        names = None if saved["names"] is None else tuple(map(str, saved["names"]))
        content = (folder / MODEL).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PluginError(
            f"this detector cannot be read: {type(error).__name__}: {error}", where=str(folder), hint="Run it again."
        ) from error
    session = Session(content, device, where)
    return OnnxModel(options, content, session, where, FORMATS[saved["format"]], size, names)


def _given_size(session: Session, image_size: int | None, where: str) -> Size | None:
    """The size of the input that the option or else the model says; None where neither does."""
    if image_size is not None:
        if {session.width or image_size, session.height or image_size} != {image_size}:
            raise PluginError(
                f"image_size is {image_size}, but the model takes {session.width or '?'}x{session.height or '?'} "
                "pixels",
                where=where,
                hint="Leave image_size out: it is for models that leave the size open.",
            )
        return Size(image_size, image_size)
    return Size(session.width, session.height) if session.width and session.height else None
