from __future__ import annotations

import pytest
from fgic_gen_biggan import BigganGenerator

from fgic_core.testing import GeneratorSuite


class TestBiggan(GeneratorSuite):
    @pytest.fixture
    def component(self) -> BigganGenerator:
        return BigganGenerator(
            resolution=32, base_channels=4, noise_size=8, shared_dim=8, epochs=3, batch_size=6, d_steps=2
        )
