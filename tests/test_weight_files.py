"""Reading weight files: tensors by name, and nothing that a file would like to run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fgic_core import PluginError, check_weight_names, read_weights


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trap),)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.bin", "weights.safetensors"])
def test_what_a_pickle_would_run_is_not_run(tmp_path: Path, name: str) -> None:
    trap, file = tmp_path / "sprung", tmp_path / name
    for content in (Malicious(trap), {"state_dict": {"a": torch.zeros(2)}, "meta": Malicious(trap)}):
        torch.save(content, file)
        with pytest.raises(PluginError, match="these weights cannot be read"):
            read_weights(file)
        file.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(PluginError, match="these weights cannot be read"):
            read_weights(file)
    assert not trap.exists()


def test_tensors_are_read_from_either_kind_of_file(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    save_file(tensors, tmp_path / "plain.safetensors")
    torch.save(tensors, tmp_path / "plain.pth")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "checkpoint.pth")
    torch.save({"model": {"state_dict": tensors}}, tmp_path / "deep.bin")
    for file in sorted(tmp_path.iterdir()):
        found = read_weights(file)
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], value) for name, value in tensors.items())


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, {"state_dict": {"a": torch.zeros(1), "b": "text"}}])
def test_a_file_without_tensors_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(PluginError, match="holds no weights by name"):
        read_weights(tmp_path / "weights.pth")


def test_a_file_that_was_cut_short_is_one_message(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PluginError, match="these weights cannot be read") as caught:
        read_weights(tmp_path / "cut.pth")
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("found", "message"),
    [(["a"], r"lack 1 of 2 tensors \(b\)"), (["a", "b", "c"], r"have 1 that the model has not \(c\)")],
)
def test_weights_that_only_lack_or_only_have_too_much_are_refused(found: list[str], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_weight_names(Path("w"), found, ["a", "b"])
