from __future__ import annotations

import pytest
from fgic_detect_torchvision import TorchvisionDetector

from fgic_core import Detector
from fgic_core.testing import DetectorSuite


class TestTorchvisionDetector(DetectorSuite):
    @pytest.fixture
    def component(self) -> Detector:
        return TorchvisionDetector(
            backbone="mobilenet_v3_large",
            image_size=32,
            proposals=16,
            epochs=2,
            batch_size=4,
            lr=0.01,
            warmup=0.0,
        )
