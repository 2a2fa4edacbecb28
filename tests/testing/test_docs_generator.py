"""The generator that docs/plugins.md shows keeps the contract."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fgic_core import Generator
from fgic_core.testing import GeneratorSuite

DOC = Path(__file__).parents[2] / "docs" / "plugins.md"


def shown() -> type[Generator]:
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL) if "(Generator):" in one)
    module = sys.modules["shown_generator"] = ModuleType("shown_generator")
    exec(code, module.__dict__)
    found = module.MeanGenerator
    assert issubclass(found, Generator)
    return found


class TestShownGenerator(GeneratorSuite):
    @pytest.fixture
    def component(self) -> Generator:
        return shown()(resolution=16)
