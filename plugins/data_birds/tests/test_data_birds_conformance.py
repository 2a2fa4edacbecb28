from __future__ import annotations

import pytest
from fgic_data_birds import SyntheticBirds

from fgic_core import DatasetReader
from fgic_core.testing import DatasetReaderSuite


class TestSyntheticBirds(DatasetReaderSuite):
    @pytest.fixture
    def component(self) -> DatasetReader:
        return SyntheticBirds(num_classes=3, train_per_class=2, test_per_class=1, size=48)
