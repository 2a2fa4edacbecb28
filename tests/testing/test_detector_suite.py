"""The suite of detectors sees through one that claims to learn from empty pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from fgic_core import Context, Detections, Detector, FittedDetector
from fgic_core.testing import DetectorSuite


class Nothing(FittedDetector):
    """Knows which pictures it was trained on, and finds nothing."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def detect(self, images: Sequence[Any]) -> list[Detections]:
        return [Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)) for _ in images]


class Counts(Detector):
    """Remembers which pictures it learned from."""

    negatives = True
    skips: bool = Field(False, description="Leave empty pictures out, whatever was claimed.")

    def fit(self, train: Any, val: Any, ctx: Context) -> Nothing:
        return Nothing([one.id for one in train if not (self.skips and one.empty)])

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "seen.json").write_text(json.dumps(fitted.seen))

    def load(self, folder: Path, device: str) -> Nothing:
        return Nothing(json.loads((folder / "seen.json").read_text()))


def test_a_detector_that_claims_to_learn_from_empty_pictures_is_given_some(tmp_path: Path) -> None:
    component = Counts()
    trained = fitted, _ = DetectorSuite()._fitted(component, tmp_path)
    assert isinstance(fitted, Nothing)
    assert sum(name.startswith("train-empty") for name in fitted.seen) == 2
    DetectorSuite().test_empty_pictures_change_what_is_learned(component, trained, tmp_path / "honest")


def test_a_claim_that_changes_nothing_fails(tmp_path: Path) -> None:
    component = Counts(skips=True)
    trained = DetectorSuite()._fitted(component, tmp_path)
    with pytest.raises(AssertionError, match="negatives is true, and empty train pictures change nothing"):
        DetectorSuite().test_empty_pictures_change_what_is_learned(component, trained, tmp_path)
