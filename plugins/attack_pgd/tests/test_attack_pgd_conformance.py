from __future__ import annotations

import pytest
from fgic_attack_pgd import FgsmAttacker, PgdAttacker

from fgic_core import Attacker
from fgic_core.testing import AttackerSuite


class TestFgsm(AttackerSuite):
    @pytest.fixture
    def component(self) -> Attacker:
        return FgsmAttacker()


class TestPgd(AttackerSuite):
    @pytest.fixture
    def component(self) -> Attacker:
        return PgdAttacker(steps=5)
