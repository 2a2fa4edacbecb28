"""Snapshots of a network in training, from which its test curve is measured when the training is over."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.digest import digest_file
from fgic_core.errors import PluginError
from fgic_core.kit.weights import read_weights, save_tensors
from fgic_core.steps.untouched import tensor_digest

if TYPE_CHECKING:
    import torch
    from torch import nn

#: How many bytes the snapshots of one training may take: with more, every second epoch is dropped, then every fourth, …
LIMIT = 1 << 30


class Snapshots:
    """The weights that a training changes, at the epochs at which it was measured.

    What is kept of an epoch are the parameters that require a gradient, and the buffers; the others are those of the
    trained network. Over all epochs they take at most `limit` bytes, unless a single one is larger: the epochs that
    stay are evenly spaced, and the last one is always among them.

    Args:
        folder: where they lie; it need not exist.
        limit: in bytes.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def keep(self, network: nn.Module, epoch: int) -> None:
        """Keep the network as it is after an epoch; later ones, of a training that was interrupted, are dropped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / "snapshot.new"
        changing, fixed = _split(network, None)
        save_tensors(changing, beside, epoch=epoch, fixed=_digest(fixed))
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        digest = digest_file(beside)
        beside.replace(self._file(epoch))
        self._thin(epoch, digest)

    def epochs(self) -> list[int]:
        """The epochs that there is a snapshot of, in order."""
        return sorted(int(file.stem) for file in self.folder.glob("*.safetensors"))

    def put(self, network: nn.Module, epoch: int) -> None:
        """Give the network the weights it had after that epoch.

        Raises:
            PluginError: the file is damaged or of another network; or weights that were not to be trained at that epoch
                are others now, so that they are not known.
        """
        weights = read_weights(self._file(epoch), pickles=False)
        own = network.state_dict()
        wrong = [name for name, value in weights.tensors.items() if name not in own or own[name].shape != value.shape]
        if wrong:
            raise PluginError(f"the snapshot of epoch {epoch} is of another network: {wrong[0]}")
        _, fixed = _split(network, weights.tensors.keys())
        if _digest(fixed) != weights.about.get("fixed"):
            raise PluginError(f"the snapshot of epoch {epoch} lacks weights that were trained later")
        network.load_state_dict(weights.tensors, strict=False)

    def move_to(self, folder: Path) -> list[str]:
        """Have the snapshots lie in that folder too: where a crash follows they are still here, for the next try.

        Returns:
            what was left out: for each snapshot that is not what was kept, in words, that it is damaged or gone.
        """
        lost = []
        digests = self._read_index()["digests"]
        for epoch in sorted({*self.epochs(), *map(int, digests)}):
            file = self._file(epoch)
            if not file.exists() or digest_file(file) != digests.get(str(epoch)):
                what = "was damaged" if file.exists() else "was taken away"
                lost.append(f"The snapshot of epoch {epoch} {what} before the training ended, and is left out.")
                if folder == self.folder:
                    file.unlink(missing_ok=True)
            elif folder != self.folder:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, folder / file.name)
                except OSError:  # a file system without links
                    shutil.copyfile(file, folder / file.name)
        if folder == self.folder:
            self._index.unlink(missing_ok=True)
        return lost

    def _file(self, epoch: int) -> Path:
        return self.folder / f"{epoch:06d}.safetensors"

    @property
    def _index(self) -> Path:
        return self.folder / "snapshots.json"

    def _read_index(self) -> dict[str, Any]:
        """The epochs that were measured, how many of them are passed over, and the digests of what was kept of them.

        Where that cannot be read, nothing that lies there is known to be whole.
        """
        try:
            index = json.loads(self._index.read_text(encoding="utf-8"))
            return {"measured": list(index["measured"]), "every": int(index["every"]), "digests": {**index["digests"]}}
        except (OSError, ValueError, KeyError, TypeError):
            return {"measured": self.epochs(), "every": 1, "digests": {}}

    def _thin(self, epoch: int, digest: str) -> None:
        """Drop what is not in step, by the place of each epoch among those that were measured so far."""
        index = self._read_index()
        measured = [*(one for one in index["measured"] if one < epoch), epoch]
        every: int = index["every"]

        def wanted() -> set[int]:
            return {epoch, *(measured[::every] if every < len(measured) else ())}

        def kept() -> list[int]:
            return [one for one in self.epochs() if one in wanted()]

        while every < len(measured) and sum(self._file(one).stat().st_size for one in kept()) > self.limit:
            every *= 2
        beside = self.folder / "snapshots.new"
        earlier = wanted() - {epoch}
        digests = {name: one for name, one in index["digests"].items() if int(name) in earlier} | {str(epoch): digest}
        beside.write_text(json.dumps({"measured": measured, "every": every, "digests": digests}), encoding="utf-8")
        beside.replace(self._index)
        for one in set(self.epochs()) - set(kept()):
            self._file(one).unlink()


def _split(network: nn.Module, names: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The tensors that are kept (those named, by default the ones that training changes), and the parameters left."""
    import torch

    state = {name: value for name, value in network.state_dict(keep_vars=True).items() if torch.is_tensor(value)}
    fixed: dict[str, torch.Tensor] = {
        name: value
        for name, value in state.items()
        if isinstance(value, torch.nn.Parameter) and (not value.requires_grad if names is None else name not in names)
    }
    return {name: value for name, value in state.items() if name not in fixed}, fixed


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor_digest(tensor)}\0".encode())
    return digest.hexdigest()
