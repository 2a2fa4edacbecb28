from __future__ import annotations

import pytest
from fgic_classify_timm import TimmClassifier

from fgic_core import Classifier
from fgic_core.testing import ClassifierSuite


class TestTimmClassifier(ClassifierSuite):
    @pytest.fixture
    def component(self) -> Classifier:
        return TimmClassifier(model="test_resnet", pretrained=False, image_size=32, epochs=3, batch_size=8)
