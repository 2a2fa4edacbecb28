"""The classifier that docs/plugins.md shows keeps the contract."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fgic_core import Classifier
from fgic_core.testing import ClassifierSuite

DOC = Path(__file__).parents[2] / "docs" / "plugins.md"


def test_the_example_of_a_trained_classifier_is_the_plugin_itself() -> None:
    import fgic_classify_bilinear

    own = Path(fgic_classify_bilinear.__file__).read_text().rstrip()
    assert f"```python\n{own}\n```\n" in DOC.read_text()


def shown() -> type[Classifier]:
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    (code,) = (one for one in blocks if "class MeanColour(" in one)
    module = sys.modules["shown_classifier"] = ModuleType("shown_classifier")
    exec(code, module.__dict__)
    found = module.MeanColour
    assert issubclass(found, Classifier)
    return found


class TestShownClassifier(ClassifierSuite):
    @pytest.fixture
    def component(self) -> Classifier:
        return shown()(epochs=3)
