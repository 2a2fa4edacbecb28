from __future__ import annotations

import pytest
from fgic_explain_cam import CamExplainer

from fgic_core import Explainer
from fgic_core.testing import ExplainerSuite


class TestGradCam(ExplainerSuite):
    @pytest.fixture
    def component(self) -> Explainer:
        return CamExplainer()
