"""What the network is trained on and by what loss; the loop is the kit's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fgic_core import Context, Dataset, PluginError
from fgic_core.kit import Items, Learner, in_precision
from fgic_detect_torchvision._data import Objects, Pictures, lists, objects
from fgic_detect_torchvision._detection import Finder
from fgic_detect_torchvision._network import Network
from fgic_detect_torchvision._weights import WHERE

if TYPE_CHECKING:
    from fgic_detect_torchvision import TorchvisionDetector

#: BatchNorm's statistics of fewer pictures are noise (Wu and He 2018).
_FEW = 4


class Detection(Learner):
    """Trains a network on the pictures that there is something to learn from.

    Raises:
        PluginError: there are none.
    """

    score = "mAP"
    collate = staticmethod(lists)

    def __init__(self, options: TorchvisionDetector, network: Network, train: Dataset, ctx: Context) -> None:
        super().__init__(network, Finder(network, options.objects))
        self._trained = network
        self._train, self._found = learnable(train, options, network, ctx)
        self._flip, self._max_size, self._ctx = options.flip, network.shape.max_size, ctx

    def items(self, epoch: int) -> Items:
        return Pictures(self._train, self._found, self._flip, self._max_size, self._ctx, epoch)

    def loss(self, model: nn.Module, batch: Any) -> Mapping[str, torch.Tensor]:
        """What is minimised, and its parts as torchvision names them."""
        backbone: Any = self._trained.model.backbone
        with in_precision(backbone, self.fabric.autocast):
            losses = self._trained(*batch)
        return {"loss": sum(losses.values()), **{_part(name): value for name, value in losses.items()}}

    def training_mode(self) -> None:
        """Training mode; BatchNorm of frozen layers stays in evaluation mode, lest its statistics drift."""
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()


def _part(name: str) -> str:
    return name if name.startswith("loss") else f"loss_{name}"


def learnable(
    train: Dataset, options: TorchvisionDetector, network: Network, ctx: Context
) -> tuple[Dataset, list[Objects]]:
    """The rows with a box to learn from and the empty ones, and the objects of each.

    A picture that has crowds alone is left out: it would teach that these are background. An empty one teaches that
    what is seen in it is.
    """
    found, empty = [], []
    for sample in train:
        found.append(objects(sample, options.per_class))
        empty.append(sample.empty)
    rows = [row for row, one in enumerate(found) if len(one.labels) or empty[row]]
    if not any(len(one.labels) for one in found):
        raise PluginError(
            f"none of the {len(train)} train pictures has an annotated box of a single object",
            where=WHERE,
            hint="Use a data set with boxes, or a detector that is trained already (weights, epochs: 0).",
        )
    if len(rows) < len(train):
        ctx.warn(f"train pictures without a box of a single object were left out: {len(train) - len(rows)}")
    if network.shape.norm == "BN":
        if len(rows) < 2:
            raise PluginError("norm: BN cannot learn from a single picture", where=WHERE, hint="Use norm: GN.")
        if options.batch_size < _FEW:
            ctx.warn(f"BatchNorm learns its statistics from {options.batch_size} pictures at a time, which are few")
    return train.take(rows), [found[row] for row in rows]
