from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fgic_detect_onnx import OnnxDetector

from fgic_core import Detector
from fgic_core.testing import DetectorSuite


class TestOnnxYolox(DetectorSuite):
    @pytest.fixture
    def component(self, seeing: Callable[..., Path], names: Callable[..., Path]) -> Detector:
        return OnnxDetector(
            weights=seeing("yolox"), label_names=names("blue", "green", "red"), classes=["red", "green"]
        )


class TestOnnxYolov8(DetectorSuite):
    @pytest.fixture
    def component(self, seeing: Callable[..., Path]) -> Detector:
        return OnnxDetector(weights=seeing("yolov8"))


class TestOnnxBoxes(DetectorSuite):
    @pytest.fixture
    def component(self, seeing: Callable[..., Path]) -> Detector:
        return OnnxDetector(weights=seeing("boxes"))
