"""Tiny ONNX detectors for the tests: some look at the picture, some give what the test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fgic_detect_onnx import OnnxDetector
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fgic_core import FittedDetector, StepContext

SIDE = 64
STRIDES = (8, 16, 32)
CELLS = sum((SIDE // stride) ** 2 for stride in STRIDES)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    outputs: Mapping[str, int],
    constants: Mapping[str, np.ndarray[Any, Any]],
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph from the input ``images`` to the outputs, given as name to number type."""
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(name, number, None) for name, number in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path


def cells() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Centre and size in pixels of every cell, (CELLS, 4), as a loop."""
    rows = [
        ((x + 0.5) * stride, (y + 0.5) * stride, stride, stride)
        for stride in STRIDES
        for y in range(SIDE // stride)
        for x in range(SIDE // stride)
    ]
    return np.array(rows, dtype=np.float32)


def colourful(top: float) -> list[onnx.NodeProto]:
    """Nodes from ``images`` in [0, top] to ``found`` (1, CELLS, 3): how colourful, and how full each channel is."""
    node = helper.make_node
    nodes = [
        node("Constant", [], ["top"], value_float=top),
        node("Div", ["images", "top"], ["unit"]),
        node("ReduceMax", ["unit"], ["high"], axes=[1]),
        node("ReduceMin", ["unit"], ["low"], axes=[1]),
        node("Sub", ["high", "low"], ["spread"]),
        node("Mul", ["unit", "spread"], ["coloured"]),
        node("Constant", [], ["flat"], value_ints=[1, 3, -1]),
    ]
    for stride in STRIDES:
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes += [
            node("AveragePool", ["coloured"], [f"pooled{stride}"], **pool),
            node("Reshape", [f"pooled{stride}", "flat"], [f"row{stride}"]),
        ]
    rows = [f"row{stride}" for stride in STRIDES]
    return [
        *nodes,
        node("Concat", rows, ["columns"], axis=2),
        node("Transpose", ["columns"], ["found"], perm=[0, 2, 1]),
    ]


def _yolox(path: Path, **more: Any) -> Path:
    """Finds colourful cells; classes are the input's channels, in their order."""
    start = np.tile(np.float32([0.5, 0.5, 0, 0, 1]), (1, CELLS, 1))
    nodes = [*colourful(255.0), helper.make_node("Concat", ["start", "found"], ["output"], axis=2)]
    return write(path, nodes, {"output": TensorProto.FLOAT}, {"start": start}, **more)


def _yolov8(path: Path, **more: Any) -> Path:
    nodes = [
        *colourful(1.0),
        helper.make_node("Concat", ["start", "found"], ["rows"], axis=2),
        helper.make_node("Transpose", ["rows"], ["output0"], perm=[0, 2, 1]),
    ]
    return write(path, nodes, {"output0": TensorProto.FLOAT}, {"start": cells()[None]}, **more)


def _boxes(path: Path, names: tuple[str, str, str] = ("boxes", "labels", "scores"), **more: Any) -> Path:
    found = cells()
    corners = np.concatenate([found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], axis=1)
    boxes, labels, scores = names
    nodes = [
        *colourful(1.0),
        helper.make_node("Identity", ["corners"], [boxes]),
        helper.make_node("ReduceMax", ["found"], [scores], axes=[0, 2], keepdims=0),
        helper.make_node("ArgMax", ["found"], ["classes"], axis=2, keepdims=0),
        helper.make_node("Squeeze", ["classes", "first"], [labels]),
    ]
    kinds = {boxes: TensorProto.FLOAT, labels: TensorProto.INT64, scores: TensorProto.FLOAT}
    return write(path, nodes, kinds, {"corners": corners, "first": np.array([0])}, **more)


@pytest.fixture
def write_model() -> Callable[..., Path]:
    """Writes any graph: see `write`."""
    return write


@pytest.fixture
def seeing(tmp_path: Path) -> Callable[..., Path]:
    """Writes a detector of a format that finds colourful cells of a 64x64 input."""
    makers = {"yolox": _yolox, "yolov8": _yolov8, "boxes": _boxes}
    return lambda name, **more: makers[name](tmp_path / f"{name}.onnx", **more)


@pytest.fixture
def saying(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model that gives these outputs, whatever it is shown."""

    def make(outputs: Mapping[str, np.ndarray[Any, Any]], file: str = "saying.onnx", **more: Any) -> Path:
        nodes = [helper.make_node("Identity", [f"its {name}"], [name]) for name in outputs]
        kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in outputs.items()}
        return write(tmp_path / file, nodes, kinds, {f"its {name}": value for name, value in outputs.items()}, **more)

    return make


@pytest.fixture
def boxes_of() -> Callable[..., dict[str, np.ndarray[Any, Any]]]:
    """The outputs of the format `boxes` for boxes given as (x1, y1, x2, y2, score, label)."""

    def make(*found: tuple[float, ...]) -> dict[str, np.ndarray[Any, Any]]:
        rows = np.array(found, dtype=np.float32).reshape(-1, 6)
        return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": rows[:, 5].astype(np.int64)}

    return make


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., FittedDetector]:
    """Opens a detector on the CPU."""

    def make(weights: Path, **options: Any) -> FittedDetector:
        return OnnxDetector(weights=weights, **options).fit(None, None, StepContext(tmp_path))  # type: ignore[arg-type]

    return make


@pytest.fixture
def names(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of class names."""

    def make(*lines: str) -> Path:
        path = tmp_path / "names.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make


@pytest.fixture
def painted() -> Callable[..., Image.Image]:
    """A grey picture with a rectangle of one colour."""

    def make(size: tuple[int, int], box: tuple[int, int, int, int], colour: str = "red") -> Image.Image:
        picture = Image.new("RGB", size, (120, 120, 120))
        picture.paste(colour, box)
        return picture

    return make
