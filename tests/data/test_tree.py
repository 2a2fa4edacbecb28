from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fgic_core.data.tree import load_tree, save_tree
from fgic_core.errors import StoreError


def test_the_state_of_an_optimizer_comes_back_exactly(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    (weight**2).sum().backward()
    optimizer.step()
    save_tree(tmp_path, {"optimizer": optimizer.state_dict(), "epoch": 3, "best": None, "rng": torch.get_rng_state()})
    loaded = load_tree(tmp_path)
    again = torch.optim.AdamW([torch.nn.Parameter(weight.detach().clone())], lr=9.0)
    again.load_state_dict(loaded["optimizer"])
    assert again.param_groups[0]["lr"] == 0.1
    for name, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(again.state_dict()["state"][0][name], value)
    assert torch.equal(loaded["rng"], torch.get_rng_state())
    assert (loaded["epoch"], loaded["best"]) == (3, None)


def test_shared_tensors_and_views_are_kept_by_value(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save_tree(tmp_path, {"a": base, "b": base, "t": base.T, "nothing": torch.empty(0)})
    loaded = load_tree(tmp_path)
    assert torch.equal(loaded["a"], loaded["b"])
    assert torch.equal(loaded["t"], base.T)
    assert loaded["nothing"].shape == (0,)


def test_what_is_no_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"PosixPath|WindowsPath"):
        save_tree(tmp_path, {"path": tmp_path})


def test_a_damaged_state_is_a_store_error(tmp_path: Path) -> None:
    save_tree(tmp_path, {"a": torch.ones(2)})
    for damaged in ("{", json.dumps({"a": {"__tensor__": "t9"}}), json.dumps({"__pairs__": 3})):
        (tmp_path / "tree.json").write_text(damaged)
        with pytest.raises(StoreError, match=str(tmp_path)):
            load_tree(tmp_path)
    (tmp_path / "tensors.safetensors").write_bytes(b"no")
    with pytest.raises(StoreError):
        load_tree(tmp_path)
