"""Nested state on disk without pickle: tensors in safetensors, everything else in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fgic_core.errors import StoreError

_TENSOR = "__tensor__"
_PAIRS = "__pairs__"


def save_tree(folder: Path, tree: Any) -> None:
    """Write nested dicts, lists and tuples of tensors and plain values into an existing folder.

    Optimizer and scheduler states fit as they are: keys may be integers, tuples come back as lists.

    Raises:
        TypeError: a leaf is neither a tensor nor a plain JSON value.
    """
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name = f"t{len(tensors)}"
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {_TENSOR: name}
        if isinstance(value, dict):
            if all(isinstance(key, str) for key in value):
                return {key: plain(item) for key, item in value.items()}
            return {_PAIRS: [[plain(key), plain(item)] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise TypeError(f"cannot keep a {type(value).__name__} in a state; give tensors and plain values")

    document = plain(tree)
    save_file(tensors, folder / "tensors.safetensors")
    (folder / "tree.json").write_text(json.dumps(document), encoding="utf-8")


def load_tree(folder: Path) -> Any:
    """What `save_tree` wrote; tensors on the CPU.

    Raises:
        StoreError: the files are missing or broken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        document = json.loads((folder / "tree.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "tensors.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError(f"this saved state cannot be read: {error}", where=str(folder)) from None

    def lively(value: Any) -> Any:
        if isinstance(value, dict):
            if _TENSOR in value:
                return tensors[value[_TENSOR]]
            if _PAIRS in value:
                return {lively(key): lively(item) for key, item in value[_PAIRS]}
            return {key: lively(item) for key, item in value.items()}
        if isinstance(value, list):
            return [lively(item) for item in value]
        return value

    try:
        return lively(document)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"this saved state is damaged: {error}", where=str(folder)) from None
