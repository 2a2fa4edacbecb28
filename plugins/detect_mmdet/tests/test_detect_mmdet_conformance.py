"""detector/mmdet keeps the contract of its interface."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fgic_detect_mmdet import MmdetDetector

from fgic_core.testing import DetectorSuite


class TestMmdetDetector(DetectorSuite):
    @pytest.fixture
    def component(self, small: Callable[..., MmdetDetector]) -> MmdetDetector:
        return small(epochs=2)
