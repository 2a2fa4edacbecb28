"""What trainings on OpenMMLab's libraries share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fgic_openmmlab import Order, scope, wrapped
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from torch import nn

from fgic_core import PluginError
from fgic_core.kit import TrainingOptions
from fgic_core.testing import tiny_context


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))


def test_a_scope_leaves_nothing_of_mmengines_behind() -> None:
    kept = (DefaultScope, MMLogger, MessageHub)
    before = [set(kind._instance_dict) for kind in kept]
    with scope("mmengine") as name:
        MessageHub.get_instance("made inside")
        assert name in DefaultScope._instance_dict
        assert DefaultScope.get_current_instance().scope_name == "mmengine"
    assert [set(kind._instance_dict) for kind in kept] == before


@pytest.mark.parametrize("clip_norm", [None, 1e-6])
def test_clip_norm_shortens_the_step(clip_norm: float | None) -> None:
    model = network()
    before = model[0].weight.detach().clone()
    wrapper = wrapped(torch.optim.SGD(model.parameters(), 1.0), TrainingOptions(clip_norm=clip_norm), "cpu")
    with wrapper.optim_context(model):
        wrapper.update_params(model(torch.ones(2, 4)).square().mean())
    moved = float((model[0].weight - before).abs().max())
    assert (moved < 1e-5) == (clip_norm is not None)
    assert moved > 0


def test_the_part_that_is_named_computes_in_sixteen_bits_and_the_rest_in_thirty_two() -> None:
    model, seen = network(), []
    for layer in model:
        layer.register_forward_hook(lambda module, given, made: seen.append((given[0].dtype, made.dtype)))
    options, optimizer = TrainingOptions(precision="bf16-mixed"), torch.optim.SGD(model.parameters(), 1.0)
    for only in (None, model[0]):
        with wrapped(optimizer, options, "cpu", only).optim_context(model):
            model(torch.ones(2, 4))
    whole, part = seen[:2], seen[2:]
    assert [made for _, made in whole] == [torch.bfloat16, torch.bfloat16]
    assert part == [(torch.float32, torch.float32)] * 2, "what comes after the part is given 32 bits"
    assert "forward" not in vars(model[0])
    with pytest.raises(PluginError, match="16-mixed needs a GPU"):
        wrapped(optimizer, TrainingOptions(precision="16-mixed"), "cpu")


def test_the_order_is_the_seeds_and_the_epochs(tmp_path: Path) -> None:
    order = Order(20, tiny_context(tmp_path))
    seen = []
    for order.epoch in (1, 1, 2):
        seen.append(list(order))
    assert seen[0] == seen[1] != seen[2]
    assert sorted(seen[0]) == sorted(seen[2]) == list(range(20))
