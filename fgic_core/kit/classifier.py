"""A classifier that is one trained network: what is to be written is `build`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fgic_core.errors import PluginError
from fgic_core.kinds.classifier.contract import Classifier
from fgic_core.kit.options import Augmented, Trainable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.classifier.contract import FittedClassifier
    from fgic_core.kinds.context import Context


class NetworkClassifier(Trainable, Augmented, Classifier):
    """Base of classifiers that are one network, trained by the kit's loop with the kit's options.

    `build` is all that has to be written. `start` gives other first weights than random ones, `augment` changes
    pictures in another way, `loss` is another one than cross-entropy.

    A network that is a `FrozenBackbone` and says that it is `frozen` is trained from features that are computed once
    for each picture and each variant of it that flip and grayscale make; its validation too.
    """

    several_devices: ClassVar[bool] = True

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")

    @abstractmethod
    def build(self, classes: Sequence[str]) -> FittedClassifier:
        """The network for these classes, with weights that torch's global generator draws.

        The core saves and loads it, and tries explainers on it before the training.
        """

    def start(self, classes: Sequence[str], ctx: Context) -> FittedClassifier:
        """The network that training starts from, on the CPU; `build`, by default, as the step's seed draws it."""
        from fgic_core.kit.seeds import seeded

        with seeded(ctx):
            return self.build(classes)

    def augment(self, image: Image, rng: np.random.Generator) -> Image:
        """A picture as it is trained on.

        Args:
            image: 8-bit RGB, of its own size.
            rng: the sample's and the epoch's own, whatever the batch size and the workers.
        """
        from fgic_core.kit.augment import draw

        return draw(self, image.size, rng).apply(image)

    @property
    def augments_itself(self) -> bool:
        """Whether `augment` is another one than the kit's, so that it is not known which variants there are."""
        return type(self).augment is not NetworkClassifier.augment

    def loss(
        self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor, ctx: Context
    ) -> torch.Tensor | Mapping[str, torch.Tensor]:
        """The loss of a batch, a mean over its pictures; or ``loss`` with other numbers to be logged beside it.

        Args:
            network: to be called, in training mode.
            images: (n, 3, height, width) in [0, 1]; of a frozen backbone its features.
            labels: (n,).
            ctx: of the step, with its inputs (a teacher, for example).
        """
        from torch.nn import functional

        logits = network(images)
        return {
            "loss": functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing),
            "accuracy": (logits.detach().argmax(dim=1) == labels).float().mean(),
        }

    def training_mode(self, network: nn.Module) -> None:
        """Set what is trained to training mode: all of it, by default."""
        network.train()

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        from torch import nn

        from fgic_core.kinds.classifier.contract import FittedClassifier
        from fgic_core.kit.classification import train_classifier

        fitted = self.start(train.classes, ctx)
        wrong = ""
        if not isinstance(fitted, FittedClassifier):
            wrong = f"{type(fitted).__name__}, not a FittedClassifier"
        elif not isinstance(fitted.network, nn.Module):
            wrong = f"{type(fitted.network).__name__} as network, not a torch.nn.Module"
        if wrong:
            raise PluginError(
                f"build or start gave a {wrong}",
                hint="Return FittedClassifier(network, InputSpec(Size(224, 224)), tuple(classes)).",
            )
        train_classifier(self, fitted, train, ctx)
        return fitted
