"""Generator: class labels to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from fgic_core.kinds.component import Component, InputFile, UseOnly
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.context import Context

#: How many pictures are made of each class where no amount is given.
PER_CLASS = 50


class FittedGenerator(ABC):
    """What a generator has learned: it makes pictures of a class.

    Contract: `sample` gives one picture for each label; a label and a seed decide a picture, whatever else is in the
    batch.

    Attributes:
        network: the network that pictures are made with, where there is one.
    """

    network: nn.Module | None = None

    @abstractmethod
    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> np.ndarray[Any, Any]:
        """Pictures of the given classes.

        Args:
            labels: class indices, one a picture.
            seeds: from 0 to 2**63 - 1, one a picture; with its label it decides the picture.

        Returns:
            (n, 3, resolution, resolution) float32, RGB in [0, 1].

        Raises:
            PluginError: a label is none of the classes that were learned.
        """

    def parents(self, labels: Sequence[int], seeds: Sequence[int]) -> list[tuple[str, ...]]:
        """Ids of the train samples that each picture of `sample` shows parts of; none for what only learned from them.

        A classifier that holds one of them out for validation leaves the picture out.
        """
        return [()] * len(labels)


class Generator(Component, ABC):
    """Says how pictures of a class are made: a recipe, which never changes.

    Contract: `fit` returns what it learned, `save` writes that, and `load` gives it back. The core decides how many
    pictures are made, writes the files with their origin, puts them into the train split and no other, and measures
    them with FID, KID, precision and recall, and how near they are to the pictures that were learned from.
    """

    kind: ClassVar[str] = "generator"
    inputs: ClassVar[Mapping[str, Input]] = {
        "dataset": Input("dataset"),
        "model": Input(
            "model", auto=False, required=False, at="use", description="The classifier that min_confidence asks."
        ),
    }
    gives: ClassVar[str] = "dataset"

    #: Options that had another name, with what to write now.
    renamed: ClassVar[Mapping[str, str]] = {"keep": "Write train_samples: both, synthetic or real."}

    resolution: int = Field(64, ge=16, le=2048, description="Width and height of the pictures in pixels.")
    resize: Literal["center_crop", "squash", "letterbox"] = Field(
        "center_crop",
        description="How real pictures come to that size, to be learned from and to be compared with: their middle, "
        "all of them without their ratio, or all of them with grey borders.",
    )

    per_class: UseOnly[int | None] = Field(
        None,
        ge=1,
        description=f"How many pictures to make of each class; {PER_CLASS} unless `ratio` or `top_up` says otherwise.",
    )
    ratio: UseOnly[float | None] = Field(
        None, gt=0, description="How many pictures to make for each real train picture, in each class; 1 doubles train."
    )
    top_up: UseOnly[int | None] = Field(
        None,
        ge=1,
        description="Make as many as each class lacks of so many train pictures, and none where it has them.",
    )
    train_samples: UseOnly[Literal["both", "synthetic", "real"]] = Field(
        "both",
        description="Train samples that go on: real and synthetic, synthetic alone, or real alone (as a control).",
    )

    min_confidence: UseOnly[float | None] = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Drop pictures of whose class a classifier is less sure than that (softmax). The classifier is a "
        "step before this one that `from: {model: …}` names.",
    )
    drop_copies: UseOnly[bool] = Field(
        False,
        description="Drop pictures that look the same as a train picture (perceptual hash), as a memory does.",
    )
    min_distance: UseOnly[float | None] = Field(
        None,
        ge=0.0,
        description="Drop pictures nearer than that to the nearest train picture of their class. The distance is that "
        "of `fid_model`'s features; 1 is the median distance of that class's train pictures from their nearest.",
    )
    max_distance: UseOnly[float | None] = Field(
        None, gt=0.0, description="Drop pictures farther than that from the nearest train picture of their class."
    )
    max_tries: UseOnly[int] = Field(
        5,
        ge=1,
        le=1000,
        description="Where pictures are dropped, others are made in their place, up to so many times the number asked "
        "for in each class.",
    )

    fid_model: str = Field(
        "inception",
        min_length=1,
        description="The network whose features FID and KID compare: `inception` (InceptionV3 of the original FID, as "
        "torch-fidelity has it) or a timm model. Figures of two networks cannot be compared.",
    )
    fid_weights: InputFile | None = Field(
        None,
        description="Its weights: torch-fidelity's .pth of `inception`, a timm model's .safetensors or .pth. Without "
        "them there is no FID, unless `fid_pretrained`.",
    )
    fid_pretrained: bool = Field(False, description="Let torch-fidelity or timm download the weights.")
    fid_size: int | None = Field(
        None, ge=16, description="Side to which pictures are resized for a timm model; its own by default."
    )
    fid_samples: UseOnly[int] = Field(
        1000,
        ge=0,
        description="How many pictures FID, KID, precision and recall are measured on, classes as in train; 0 measures "
        "none. FID is biased upwards when they are few, so compare at equal numbers.",
    )
    curve_samples: int = Field(
        200, ge=0, description="How many pictures are measured at each epoch for the curve; 0 measures none."
    )

    curve_every: int = Field(
        1,
        ge=1,
        description="Measure the curve, and keep a grid of pictures, after every so many epochs: where making pictures "
        "takes long.",
    )

    def learns(self) -> bool:
        return True

    @field_validator("keep", mode="before", check_fields=False)
    @classmethod
    def _keep_is_an_epoch(cls, value: Any) -> Any:
        if value in ("both", "synthetic", "real"):
            raise ValueError(f"should be best or last; for the train samples that go on write train_samples: {value}")
        return value

    @model_validator(mode="after")
    def _one_amount(self) -> Generator:
        given = [name for name in ("per_class", "ratio", "top_up") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"{given[1]} should be left out where {given[0]} is given (null takes a default back): each says how "
                "many to make"
            )
        if self.min_distance is not None and self.max_distance is not None and self.min_distance >= self.max_distance:
            raise ValueError("min_distance should be less than max_distance")
        far = next((name for name in ("min_distance", "max_distance") if getattr(self, name) is not None), None)
        if far is not None and self.fid_weights is None and not self.fid_pretrained:
            raise ValueError(f"{far} should come with fid_weights or fid_pretrained: it is measured by fid_model")
        if self.fid_model == "inception" and self.fid_size is not None:
            raise ValueError("fid_size should be left out with inception: it resizes pictures to 299 pixels itself")
        return self

    def check_inputs(self, inputs: Collection[str]) -> None:
        if self.min_confidence is not None and "model" not in inputs:
            raise ValueError("min_confidence needs a classifier\nWrite from: {model: name-of-a-classifier's-step}.")
        if self.min_confidence is None and "model" in inputs:
            raise ValueError("the model that from names is for min_confidence alone\nGive it, or leave the model out.")

    def prepare(self, image: Image) -> torch.Tensor:
        """A real picture as it is to be learned from and compared with: (3, resolution, resolution) in [0, 1], RGB."""
        from fgic_core.data.geometry import Size
        from fgic_core.data.images import center_crop, letterbox, squash, to_tensor

        source, size = Size(*image.size), Size(self.resolution, self.resolution)
        if self.resize == "center_crop":
            placement = center_crop(source, size, fraction=1.0)
        else:
            placement = (squash if self.resize == "squash" else letterbox)(source, size)
        return to_tensor(placement.apply(image))

    @abstractmethod
    def fit(self, train: Dataset, ctx: Context) -> FittedGenerator:
        """Train on the (cropped) train split, and give back what was learned.

        The recipe stays as it is, and what is declared `UseOnly` cannot be read here.

        Args:
            train: real pictures to learn from (`Dataset.crop`, then `prepare`); no validation or test sample among
                them. Classes of which none is to be made may be empty.
            ctx: one that trains calls ``ctx.evaluate(fitted, 0)`` before its first epoch and ``ctx.evaluate(fitted,
                epoch)`` at the end of each. It returns ``FID`` and ``KID`` (less is better) of some pictures against
                train, or nothing where no weights of `fid_model` are given; and it keeps a grid of pictures.
        """

    @abstractmethod
    def save(self, fitted: FittedGenerator, folder: Path) -> None:
        """Write what `load` needs beside the options into an existing folder: safetensors and JSON."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> FittedGenerator:
        """Take back what `save` wrote. Nothing there is unpickled."""
