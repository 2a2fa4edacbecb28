"""How a `NetworkClassifier` is trained: from augmented pictures, or from the kept features of a frozen backbone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from fgic_core.data.input_spec import InputSpec
from fgic_core.kinds.classifier.contract import FittedClassifier
from fgic_core.kinds.context import Context
from fgic_core.kit.augment import Changes, draw, variants
from fgic_core.kit.batches import Items
from fgic_core.kit.best import evaluation
from fgic_core.kit.features import MOST, FeatureStore, FrozenBackbone, FrozenHead, shared_by
from fgic_core.kit.inference import BATCH_SIZE, logits_of
from fgic_core.kit.pictures import KeptPictures
from fgic_core.kit.shared import pictures_of
from fgic_core.kit.training import Learner, learn

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.kit.classifier import NetworkClassifier


def train_classifier(options: NetworkClassifier, fitted: FittedClassifier, data: Dataset, ctx: Context) -> None:
    """Train what `NetworkClassifier.start` gave in place, and leave the chosen epoch's weights in it.

    Only what requires a gradient is trained; afterwards all of it does, for explainers and attackers.

    Raises:
        PluginError: the network gives no logits of these classes; or see `fgic_core.kit.learn`.
    """
    fitted.network.to(ctx.device)
    _check_logits(fitted, len(data.classes), ctx)
    kept = keeps_features(options, fitted, data, ctx)
    learner = _FromFeatures(options, fitted, data, ctx) if kept else _FromPictures(options, fitted, data, ctx)
    learn(options, learner, ctx)
    for parameter in fitted.network.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    fitted.network.eval()


def _check_logits(fitted: FittedClassifier, classes: int, ctx: Context) -> None:
    """See that the network gives a logit for each class, before an epoch is spent on it."""
    with evaluation(fitted.network):
        logits_of(fitted.network, _noise(fitted.input, ctx), classes=classes)


def _noise(spec: InputSpec, ctx: Context) -> torch.Tensor:
    """Two inputs, the same each time."""
    shape = (2, 3, spec.size.height, spec.size.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(ctx.device)


def keeps_features(options: NetworkClassifier, fitted: FittedClassifier, data: Dataset, ctx: Context) -> bool:
    """Whether the head can be trained from features that are kept.

    Not where pictures have countless variants (crops), or more than there are epochs, a classifier augments in its own
    way, the features would take
    more than `MOST` bytes, several devices share the work, or what lies before the head is more than a backbone.
    """
    network, count, own = fitted.network, variants(options), options.augments_itself
    if not isinstance(network, FrozenBackbone) or not network.frozen or count is None or own or ctx.devices > 1:
        return False
    if count > options.epochs:
        return False
    images = _noise(fitted.input, ctx)
    if not network.splits(images, lambda: options.training_mode(network)):
        return False
    with torch.no_grad():
        network.eval()
        return network.features(images)[0].nbytes * count * len(data) <= MOST


class _FromPictures(Learner):
    """Trains on augmented pictures."""

    def __init__(self, options: NetworkClassifier, fitted: FittedClassifier, data: Dataset, ctx: Context) -> None:
        super().__init__(fitted.network, fitted)
        self._options, self._spec, self._ctx = options, fitted.input, ctx
        self._labels = data.labels
        self._pictures = KeptPictures(lambda row: np.asarray(data.crop(row)), len(data))

    def items(self, epoch: int) -> Items:
        return AugmentedPictures(self._options, self._pictures, self._labels, self._spec, self._ctx, epoch)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor | Mapping[str, torch.Tensor]:
        images, labels = batch
        return self._options.loss(model, images, labels, self._ctx)

    def training_mode(self) -> None:
        self._options.training_mode(self.network)


class AugmentedPictures:
    """The pictures of one epoch, augmented and prepared, with their labels.

    A picture's random numbers depend on the seed, the epoch and its row alone: neither batch size, nor workers, nor
    an interruption changes them.
    """

    def __init__(
        self,
        options: NetworkClassifier,
        pictures: KeptPictures,
        labels: np.ndarray[Any, Any],
        spec: InputSpec,
        ctx: Context,
        epoch: int,
    ) -> None:
        self._options, self._pictures, self._labels = options, pictures, labels
        self._spec, self._ctx, self._epoch = spec, ctx, epoch

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self._pictures[row])
        image = self._options.augment(image, self._ctx.rng("augment", self._epoch, row))
        return self._spec.prepare(image), int(self._labels[row])


class _FromFeatures(Learner):
    """Trains the head on the features of the pictures as they are augmented in each epoch."""

    def __init__(self, options: NetworkClassifier, fitted: FittedClassifier, data: Dataset, ctx: Context) -> None:
        assert isinstance(fitted.network, FrozenBackbone)
        super().__init__(FrozenHead(fitted.network), fitted)
        self._options, self._ctx, self._data, self._spec = options, ctx, data, fitted.input
        self._whole, self._labels = fitted.network, data.labels
        shared = shared_by(fitted.network, fitted.input, ctx.device, options.precision)
        self._store = FeatureStore(fitted.network, ctx.device, shared, pictures_of(data))

    def items(self, epoch: int) -> Items:
        rows = range(len(self._data))
        names = [(row, draw(self._options, None, self._ctx.rng("augment", epoch, row))) for row in rows]
        self._compute(names, epoch)
        return _Features([(self._store[name], int(label)) for name, label in zip(names, self._labels, strict=True)])

    def _compute(self, wanted: list[tuple[int, Changes]], epoch: int) -> None:
        """Have the features of these, and of what shares a block with them.

        The last bits of a feature depend on what stands beside it in a batch. A batch is a block of rows with the same
        change, whichever of them an epoch asks for: a training that was interrupted lacks others than one that was not.
        Where other trainings use the features too, a batch is one picture.
        """
        size = 1 if self._store.shares else BATCH_SIZE
        lacking = [(row, change) for row, change in wanted if not self._store.knows((row, change))]
        missing = dict.fromkeys((row // size, change) for row, change in lacking)
        rows = len(self._data)
        blocks = [
            [(row, change) for row in range(block * size, min((block + 1) * size, rows))] for block, change in missing
        ]
        names = [name for block in blocks for name in block]
        ends = list(itertools.accumulate(map(len, blocks)))
        pictures: DataLoader[Any] = DataLoader(
            _Changed(self._data, names, self._spec),  # type: ignore[arg-type]
            batch_sampler=[list(range(end - len(block), end)) for block, end in zip(blocks, ends, strict=True)],
            num_workers=self._ctx.workers,
            generator=self._ctx.generator("features", epoch),
        )
        with self._ctx.progress(f"epoch {epoch}: features", len(names)) as progress, self.fabric.autocast():
            done = 0
            for images in pictures:
                self._store.add(names[done : done + len(images)], images)
                done += len(images)
                progress.advance(len(images))

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor | Mapping[str, torch.Tensor]:
        features, labels = batch
        return self._options.loss(model, features, labels, self._ctx)

    def training_mode(self) -> None:
        self._options.training_mode(self._whole)


class _Features:
    """Features with their labels, by row."""

    def __init__(self, rows: list[tuple[torch.Tensor, int]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self._rows[row]


class _Changed:
    """Inputs of changed pictures, by their place in a list."""

    def __init__(self, data: Dataset, names: list[tuple[int, Changes]], spec: InputSpec) -> None:
        self._data, self._names, self._spec = data, names, spec

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, place: int) -> torch.Tensor:
        row, changes = self._names[place]
        return self._spec.prepare(changes.apply(self._data.crop(row)))
