from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from fgic_classify_timm import TimmClassifier
from fgic_classify_timm._network import build
from safetensors.torch import save_file

from fgic_core.testing import tiny_context

MODEL = "test_resnet"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "seven.safetensors"
    save_file(timm.create_model(MODEL, num_classes=7).state_dict(), path)
    return path


def test_a_head_for_other_classes_starts_at_zero_and_so_with_equal_logits(weights: Path, tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, weights=weights), 3, tiny_context(tmp_path)).eval()
    with torch.no_grad():
        assert torch.equal(network(torch.rand(2, 3, 160, 160)), torch.zeros(2, 3))


def test_a_head_for_the_same_number_of_classes_is_kept(weights: Path, tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, weights=weights), 7, tiny_context(tmp_path)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 160, 160)).abs().sum() > 0


def test_without_weights_the_head_is_drawn(tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, pretrained=False), 3, tiny_context(tmp_path)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 160, 160)).abs().sum() > 0
