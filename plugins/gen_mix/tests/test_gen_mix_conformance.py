from __future__ import annotations

import pytest
from fgic_gen_mix import MixGenerator

from fgic_core import Generator
from fgic_core.testing import GeneratorSuite


class TestPaste(GeneratorSuite):
    @pytest.fixture
    def component(self) -> Generator:
        return MixGenerator(method="paste", resolution=32)


class TestMixup(GeneratorSuite):
    @pytest.fixture
    def component(self) -> Generator:
        return MixGenerator(method="mixup", resolution=32)


class TestCutmix(GeneratorSuite):
    @pytest.fixture
    def component(self) -> Generator:
        return MixGenerator(method="cutmix", resolution=32)
