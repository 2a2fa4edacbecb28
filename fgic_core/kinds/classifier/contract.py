"""Classifier: a picture to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fgic_core.errors import PluginError
from fgic_core.kinds.component import Component, UseOnly
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.data.input_spec import InputSpec
    from fgic_core.kinds.context import Context


@dataclass(frozen=True, slots=True, eq=False)
class FittedClassifier:
    """What a classifier's `fit` gives: everything that is needed to classify a picture.

    Attributes:
        network: float RGB in **[0, 1]**, (n, 3, height, width), to logits (n, classes); the normalisation is inside.
        input: how a picture becomes its input.
        classes: the names of the classes; column c of the logits belongs to ``classes[c]``.
    """

    network: nn.Module
    input: InputSpec
    classes: tuple[str, ...]


class Classifier(Component, ABC):
    """Tells the classes apart.

    A classifier is a recipe, which never changes: `fit` gives what was learned, `load` gives it back from disk. The
    network in it, with its `InputSpec`, is all that the core, explainers and attackers use. The core computes accuracy;
    a classifier reports its own loss as progress.

    One that gives `build` need write neither `save` nor `load`.
    """

    kind: ClassVar[str] = "classifier"
    inputs: ClassVar[Mapping[str, Input]] = {"dataset": Input("dataset")}
    gives: ClassVar[str] = "model"

    #: What of a row `fit` reads besides picture, class and what is shown: ``boxes``, ``parts``, ``part_mask``, … Others
    #: are empty there, so that a change of theirs trains nothing anew.
    columns: ClassVar[frozenset[str]] = frozenset()

    val_fraction: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="Share of each class's train samples that is held out to choose the model, where the data set has "
        "no validation split.",
    )
    test_curve: UseOnly[bool] = Field(
        True, description="Measure the test split at every epoch for the report's curve. It is never used to choose."
    )

    def learns(self) -> bool:
        return True

    @abstractmethod
    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        """Train on ``train``, choose by what ``ctx.evaluate(fitted, epoch)`` returns.

        Args:
            train: samples to learn from; no validation or test sample among them.
            val: held out from train by the core, stratified by class.
            ctx: see `Context`. What it evaluates may be the value that is returned, whose network is still in training.
        """

    def build(self, classes: Sequence[str]) -> FittedClassifier | None:
        """What `fit` gives for these classes, but with random weights (torch's global generator draws them).

        Into it the core loads what was saved, and on it an explainer is tried before the training. None, as by default,
        where it cannot be had without data: then nothing is tried, and `save` and `load` are to be written.
        """
        return None

    def save(self, fitted: FittedClassifier, folder: Path) -> None:
        """Write what `load` needs into an existing folder: safetensors and JSON. Equal content gives equal bytes."""
        from fgic_core.kit.weights import save_weights

        about = {"classes": list(fitted.classes), "input": fitted.input.to_dict()}
        save_weights(fitted.network, folder / _FILE, **about)

    def load(self, folder: Path, device: str) -> FittedClassifier:
        """What `save` wrote, with its network in evaluation mode on that device. Nothing there is unpickled.

        Raises:
            PluginError: it is damaged, or of another network.
        """
        import torch

        from fgic_core.data.input_spec import InputSpec
        from fgic_core.kit.weights import put_weights, read_weights, undrawn

        weights = read_weights(folder / _FILE, pickles=False)
        about = weights.about
        try:
            classes, spec = tuple(about["classes"]), InputSpec.from_dict(about["input"])
        except (KeyError, ValueError) as error:
            raise PluginError(
                f"what these weights say of themselves is incomplete: {error}",
                where=str(folder / _FILE),
                hint="Train it again.",
            ) from None
        with torch.random.fork_rng(devices=[]), undrawn():
            built = self.build(classes)
        if built is None:
            raise PluginError(
                f"{type(self).__name__} gives no network to load weights into",
                hint="Write build(classes), or both save and load.",
            )
        put_weights(built.network, weights)
        return FittedClassifier(built.network.to(device).eval(), spec, classes)


_FILE = "model.safetensors"
