from __future__ import annotations

import pytest
from fgic_crop_box import BoxCropper, SquareCropper

from fgic_core import Cropper
from fgic_core.testing import CropperSuite


class TestBoxCropper(CropperSuite):
    @pytest.fixture
    def component(self) -> Cropper:
        return BoxCropper(margin=0.1)


class TestSquareCropper(CropperSuite):
    @pytest.fixture
    def component(self) -> Cropper:
        return SquareCropper(margin=0.1)
