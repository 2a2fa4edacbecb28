from __future__ import annotations

import pytest
from fgic_gen_diffusers import DiffusionGenerator

from fgic_core import Generator
from fgic_core.testing import GeneratorSuite


class TestDiffusion(GeneratorSuite):
    @pytest.fixture
    def component(self) -> Generator:
        return DiffusionGenerator(
            resolution=16, base_channels=8, multipliers=[1, 2], layers=1, epochs=2, batch_size=8, sampling_steps=4
        )
