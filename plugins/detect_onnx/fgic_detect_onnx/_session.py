"""An ONNX file opened by ONNX Runtime, and called with pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch

from fgic_core import PluginError, Size

#: The outputs of a model by name, in the model's order.
Outputs = Mapping[str, np.ndarray[Any, Any]]
Pixels = np.ndarray[Any, np.dtype[np.float32]]

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
#: The first entry of a tensor's `external_data` (its field 13) in an ONNX file, whose key is "location".
_EXTERNAL = re.compile(rb"\x6a[\x00-\xff]{1,2}\x0a\x08location\x12")
_FATAL = 4  # severity of ONNX Runtime's own log: what goes wrong is raised, and a component prints nothing


class Session:
    """A model that is open: pixels of one picture to the model's outputs.

    Attributes:
        width, height: what the input has; None where the model leaves it open.
        metadata: texts that the exporter put into the file.
    """

    def __init__(self, content: bytes, device: str, where: str) -> None:
        """Open a model.

        Args:
            content: an ONNX file.
            device: ``cuda`` or ``cuda:<n>``; anything else is the CPU.
            where: what errors call the file.

        Raises:
            PluginError: it is no ONNX model, needs more than its own bytes, or does not take one picture; or ONNX
                Runtime cannot use the device.
        """
        self._session, self._where = _open(content, device, where), where
        inputs = self._session.get_inputs()
        shapes = ", ".join(f"{one.name} {shape_text(one.shape)} {one.type}" for one in inputs)
        if len(inputs) != 1 or inputs[0].type not in _FLOATS or not _takes_a_picture(inputs[0].shape):
            raise PluginError(
                f"a detector takes one input 1x3xHxW of floats, this model takes {shapes or 'none'}",
                where=where,
                hint="Export it for pictures one by one, with channels first.",
            )
        self._input = inputs[0]
        self.height, self.width = (side if isinstance(side, int) else None for side in self._input.shape[-2:])
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, pixels: Pixels) -> Outputs:
        """The outputs for a picture (3, height, width); those in half precision as float32.

        Raises:
            PluginError: the model fails, or gives NaN.
        """
        values = pixels.astype(_FLOATS[self._input.type])
        if len(self._input.shape) == 4:
            values = values[None]
        try:
            results = self._session.run(None, {self._input.name: values})
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            size = Size(pixels.shape[2], pixels.shape[1])
            raise PluginError(
                f"the model failed on {size.width}x{size.height} pixels: {_said(error)}",
                where=self._where,
                hint="Does it take pictures of that size (image_size)?",
            ) from error
        named = dict(zip([one.name for one in self._session.get_outputs()], results, strict=True))
        return {name: self._numbers(name, value) for name, value in named.items()}

    def _numbers(self, name: str, value: Any) -> np.ndarray[Any, Any]:
        array = np.asarray(value)
        if array.dtype == np.float16:
            array = array.astype(np.float32)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise PluginError(
                f"the model's output {name} is not a number somewhere",
                where=self._where,
                hint="Is the file damaged? In half precision a model can overflow: export it in single precision.",
            )
        return array


def shape_text(shape: Any) -> str:
    """A shape as errors write it: ``1x3x416x416``, with a name or a question mark where it is open."""
    return "x".join(str(side) if side is not None else "?" for side in shape) or "scalar"


def _takes_a_picture(shape: list[Any]) -> bool:
    """1x3xHxW, or 3xHxW as torchvision exports a list of pictures; names stand for what is open."""
    one = [1] if len(shape) == 4 else []
    expected = [*one, 3, None, None]
    return len(shape) == len(expected) and all(
        want is None or have == want or not isinstance(have, int) for have, want in zip(shape, expected, strict=True)
    )


def _open(content: bytes, device: str, where: str) -> onnxruntime.InferenceSession:
    if _EXTERNAL.search(content):
        raise PluginError(
            "the model's weights lie in other files (ONNX external data)",
            where=where,
            hint="Put all into one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx').",
        )
    providers, options = _providers(device), onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    # As many threads as torch: one setting (OMP_NUM_THREADS) for both. ONNX Runtime by itself takes every core.
    options.intra_op_num_threads = torch.get_num_threads()
    with TemporaryDirectory() as nothing:
        # By itself ONNX Runtime would look for weights in other files in the current folder; here it finds none.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nothing)
        try:
            session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise _refused(error, where) from error
    if device.startswith("cuda") and session.get_providers()[0] != "CUDAExecutionProvider":
        raise PluginError(
            f"ONNX Runtime could not start on {device}",
            where="detector/onnx",
            hint="Do CUDA and cuDNN on this machine fit onnxruntime-gpu? --device cpu does without.",
        )
    session.disable_fallback()
    return session


def _providers(device: str) -> list[Any]:
    if not device.startswith("cuda"):
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise PluginError(
            f"the installed ONNX Runtime {onnxruntime.__version__} cannot compute on {device}",
            where="detector/onnx",
            hint="Replace the package onnxruntime by onnxruntime-gpu, or use --device cpu.",
        )
    return [("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}), "CPUExecutionProvider"]


def _refused(error: Exception, where: str) -> PluginError:
    said = _said(error)
    if "protobuf" in said.lower() or "No graph was found" in said:
        what = "this is not an ONNX model, or only a part of one"
        hint = "Export the detector to ONNX; a file from Git LFS may be a pointer that `git lfs pull` replaces."
    elif "is not a registered function/op" in said:
        what = f"the model uses an operator that ONNX Runtime does not have: {said}"
        hint = "Libraries of custom operators are not loaded, for they can run any code: export the model without."
    else:
        what = f"ONNX Runtime {onnxruntime.__version__} cannot open this model: {said}"
        hint = "Export it again, for an ONNX version that this ONNX Runtime knows."
    return PluginError(what, where=where, hint=hint)


def _said(error: Exception) -> str:
    """ONNX Runtime's words without its error code."""
    return " ".join(str(error).rpartition("[ONNXRuntimeError] : ")[2].split())
