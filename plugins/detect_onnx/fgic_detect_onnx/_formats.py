"""What the inputs and outputs of exported detectors mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core import Placement, PluginError, Size, letterbox
from fgic_detect_onnx._session import Outputs, Pixels, shape_text

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

#: Side in pixels of the cells in which the YOLO families predict, one box a cell.
STRIDES = (8, 16, 32)
#: Grey of the border, on which the YOLO families were trained.
BORDER = (114, 114, 114)


#: Width and height in pixels of an input that a model of these families leaves open.
SIDE = 640


class Format(ABC):
    """How a picture becomes the input, and how outputs become boxes."""

    #: The word for it in the option `format`.
    name: str
    #: Whether a model that leaves the size of its input open is given each picture in its own size.
    any_size: bool = False
    #: Whether the outputs tell how many classes the model has.
    counts_classes: bool = True

    @abstractmethod
    def fits(self, outputs: Outputs, size: Size) -> bool:
        """Whether outputs for an input of that size have this format's shapes."""

    @abstractmethod
    def classes(self, outputs: Outputs) -> int:
        """How many classes the model has; without `counts_classes`, how many it has at least."""

    @abstractmethod
    def boxes(self, outputs: Outputs, size: Size, kept: Sequence[int] | None) -> tuple[Array, Array]:
        """The boxes, in no order and with overlaps.

        Args:
            outputs: of a shape that `fits`.
            size: of the input.
            kept: class indices that count; None for all.

        Returns:
            (n, 4) edges x1, y1, x2, y2 in pixels of the input; (n,) each box's best score among the classes that count.
        """

    def place(self, picture: Size, size: Size) -> Placement:
        """Where the picture lies in the input."""
        return letterbox(picture, size)

    def pixels(self, image: Image) -> Pixels:
        """The input: (3, height, width). By default RGB in [0, 1]."""
        return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)

    def input(self, image: Image, size: Size | None) -> tuple[Pixels, Placement]:
        """A picture (8-bit RGB) as the input of a size, by default its own; and where it lies there."""
        picture = Size(*image.size)
        placement = self.place(picture, size or picture)
        return self.pixels(placement.apply(image, "bilinear", BORDER)), placement


class Yolox(Format):
    """YOLOX: 1xNx(5+C), in each cell centre, log size, objectness and class scores, relative to the cell.

    The input is BGR in 0 to 255, the picture in its upper left corner.
    """

    name = "yolox"

    def fits(self, outputs: Outputs, size: Size) -> bool:
        shape = _only_shape(outputs)
        return len(shape) == 3 and shape[:2] == (1, _cells(size)) and shape[2] > 5

    def classes(self, outputs: Outputs) -> int:
        return _only_shape(outputs)[2] - 5

    def place(self, picture: Size, size: Size) -> Placement:
        return replace(letterbox(picture, size), left=0.0, top=0.0)

    def pixels(self, image: Image) -> Pixels:
        return np.ascontiguousarray(np.asarray(image, dtype=np.float32)[:, :, ::-1].transpose(2, 0, 1))

    def boxes(self, outputs: Outputs, size: Size, kept: Sequence[int] | None) -> tuple[Array, Array]:
        (output,) = outputs.values()
        found, (cells, strides) = output[0], _grid(size)
        scores = found[:, 4] * _best(found[:, 5:], kept)
        with np.errstate(over="ignore"):  # a size without end is refused with the box, if the box counts
            sides = np.exp(found[:, 2:4]) * strides
        return _corners((found[:, :2] + cells) * strides, sides), scores


class Yolov8(Format):
    """YOLOv8: 1x(4+C)xN, in each cell centre and size in pixels of the input, and class scores."""

    name = "yolov8"

    def fits(self, outputs: Outputs, size: Size) -> bool:
        shape = _only_shape(outputs)
        return len(shape) == 3 and shape[0] == 1 and shape[1] > 4 and shape[2] == _cells(size)

    def classes(self, outputs: Outputs) -> int:
        return _only_shape(outputs)[1] - 4

    def boxes(self, outputs: Outputs, size: Size, kept: Sequence[int] | None) -> tuple[Array, Array]:
        (output,) = outputs.values()
        found = output[0].T
        return _corners(found[:, :2], found[:, 2:4]), _best(found[:, 4:], kept)


class Boxes(Format):
    """torchvision: boxes (n, 4) in pixels of the input, scores (n,) floats and labels (n,) integers.

    Outputs are known by these names, or by shape and type. Others (masks, keypoints) are left aside.
    """

    name = "boxes"
    any_size = True
    counts_classes = False

    def fits(self, outputs: Outputs, size: Size) -> bool:
        return bool(_three(outputs))

    def classes(self, outputs: Outputs) -> int:
        _, _, labels = _three(outputs)
        return int(labels.max(initial=-1)) + 1

    def boxes(self, outputs: Outputs, size: Size, kept: Sequence[int] | None) -> tuple[Array, Array]:
        boxes, scores, labels = _three(outputs)
        if kept is None:
            return boxes, scores
        counts = np.isin(labels, kept)
        return boxes[counts], scores[counts]


FORMATS: dict[str, Format] = {one.name: one for one in (Yolox(), Yolov8(), Boxes())}


def recognise(asked: str, outputs: Outputs, size: Size, where: str) -> Format:
    """The format of a model, from its outputs for an input of a size.

    Args:
        asked: the option `format`.
        outputs: of any picture.
        size: of the input.
        where: what errors call the file.

    Raises:
        PluginError: the outputs have the shapes of no format, or not those of the one asked for.
    """
    candidates = list(FORMATS.values()) if asked == "auto" else [FORMATS[asked]]
    for candidate in candidates:
        if candidate.fits(outputs, size):
            return candidate
    shapes = ", ".join(f"{name} {shape_text(value.shape)}" for name, value in outputs.items())
    cells = _cells(size)
    read = {
        "yolox": f"yolox gives 1x{cells}x(5+C)",
        "yolov8": f"yolov8 gives 1x(4+C)x{cells}",
        "boxes": "boxes gives boxes nx4, scores n (floats) and labels n (integers)",
    }
    raise PluginError(
        f"the model's outputs are {shapes}, "
        + ("which is none of the known formats" if asked == "auto" else f"which is not the format {asked}"),
        where=where,
        hint=f"For {size.width}x{size.height} pixels, " + "; ".join(read[one.name] for one in candidates) + ".",
    )


def _three(outputs: Outputs) -> list[Array]:
    """Boxes, scores and labels; nothing where the outputs do not hold them or leave a doubt which is which."""
    if outputs.keys() >= {"boxes", "scores", "labels"}:
        candidates = [[outputs["boxes"]], [outputs["scores"]], [outputs["labels"]]]
    else:
        values = list(outputs.values())
        candidates = [
            [value for value in values if value.ndim == 2 and value.shape[1] == 4],
            [value for value in values if value.ndim == 1 and value.dtype.kind == "f"],
            [value for value in values if value.ndim == 1 and value.dtype.kind in "iu"],
        ]
    if any(len(found) != 1 for found in candidates):
        return []
    (boxes,), (scores,), (labels,) = candidates
    agree = boxes.shape == (len(boxes), 4) and scores.shape == labels.shape == (len(boxes),)
    return [boxes, scores, labels] if agree and labels.dtype.kind in "iu" else []


def _only_shape(outputs: Outputs) -> tuple[int, ...]:
    """The shape of the only output; () where there are several."""
    shapes = [value.shape for value in outputs.values()]
    return shapes[0] if len(shapes) == 1 else ()


def _cells(size: Size) -> int:
    return sum((size.width // stride) * (size.height // stride) for stride in STRIDES)


@lru_cache(maxsize=4)
def _grid(size: Size) -> tuple[Array, Array]:
    """Column and row of every cell, (N, 2), and its side in pixels, (N, 1), row by row, small cells first."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size.height // stride, : size.width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32))
        strides.append(np.full((columns.size, 1), stride, dtype=np.float32))
    return np.concatenate(cells), np.concatenate(strides)


def _best(scores: Array, kept: Sequence[int] | None) -> Array:
    """Each row's best score among the classes that count."""
    best: Array = (scores if kept is None else scores[:, list(kept)]).max(axis=1)
    return best


def _corners(centers: Array, sides: Array) -> Array:
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
