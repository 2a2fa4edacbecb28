from __future__ import annotations

from pathlib import Path

import pytest
from fgic_data_readers import ImageFolder

from fgic_core import DatasetReader
from fgic_core.testing import DatasetReaderSuite, tiny_dataset


class TestImageFolder(DatasetReaderSuite):
    @pytest.fixture
    def component(self, tmp_path: Path) -> DatasetReader:
        for sample in tiny_dataset(tmp_path / "tiny"):
            place = tmp_path / "folder" / sample.split / f"class{sample.label}"
            place.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tiny" / sample.path).rename(place / sample.path)
        return ImageFolder(root=tmp_path / "folder")
