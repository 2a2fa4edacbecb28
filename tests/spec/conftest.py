"""A registry with one small component of each kind, and what reading a spec says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fgic_core import (
    Attacker,
    Box,
    Classifier,
    Context,
    Cropper,
    DatasetReader,
    Detector,
    Epsilon,
    Explainer,
    FittedDetector,
    FittedGenerator,
    Generator,
    InputFile,
    InputFolder,
    Registry,
    Sample,
    Size,
)
from fgic_core.spec import SpecError, SpecStep, parse_spec


class Birds(DatasetReader):
    """Birds in a folder."""

    root: InputFolder = Field(description="Folder with the pictures.")

    def classes(self) -> Sequence[str]:
        return ["crow", "raven"]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        return iter(())


class Drawn(DatasetReader):
    """Birds that are drawn.

    They need no file.
    """

    size: int = Field(64, ge=16, description="Width and height in pixels.")

    def classes(self) -> Sequence[str]:
        return ["crow", "raven"]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        return iter(())


class Boxes(Detector):
    """Finds nothing."""

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedDetector:
        raise NotImplementedError

    def save(self, fitted: FittedDetector, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path, device: str) -> FittedDetector:
        raise NotImplementedError


class Square(Cropper):
    """Crop to the box."""

    margin: float = Field(0.0, ge=0, le=1, description="Added on every side.")

    def region(self, box: Box, image: Size) -> Box:
        return box


class Dreams(Generator):
    """Makes nothing."""

    def fit(self, train: Any, ctx: Context) -> FittedGenerator:
        raise NotImplementedError

    def save(self, fitted: FittedGenerator, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path, device: str) -> FittedGenerator:
        raise NotImplementedError


class Layer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = Field(ge=1, description="How many channels.")
    activation: Literal["relu", "gelu"] = "relu"


class Net(Classifier):
    """A classifier with options of all sorts."""

    model: str = Field("resnet18", description="The network.")
    epochs: int = Field(10, ge=1, le=1000, description="How often every sample is seen.")
    lr: float = Field(0.01, gt=0, description="Step size.")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="The optimizer.")
    freeze: bool = Field(False, description="Train the last layer alone.")
    dropout: float = Field(0.0, ge=0, le=1, description="Share of features that are left out.")
    weights: InputFile | None = Field(None, description="Weights to begin with.")
    batch: int | Literal["auto"] = Field("auto", description="Samples a step.")
    milestones: list[int] = Field([], description="Epochs at which lr drops.")
    layers: list[Layer] = Field([], description="Layers on top.")
    names: dict[str, int] = Field({}, description="Numbers by name.")
    tag: str | None = Field(None, pattern="^[a-z]+$", description="A lower-case word.")

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model == "vit":
            raise ValueError("vit needs a patch size, such as vit16")
        if model == "crash":
            raise RuntimeError("no connection\nto the hub")
        return model

    @model_validator(mode="after")
    def _fitting(self) -> Net:
        if self.freeze and self.dropout:
            raise ValueError("dropout goes with a network that is not frozen")
        return self

    def fit(self, train: Any, val: Any, ctx: Context) -> None:
        return None


class Cam(Explainer):
    """Grad-CAM."""

    method: Literal["gradcam", "gradcam++", "layercam"] = Field("gradcam", description="Which of the family.")

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Any:
        return images


class Pgd(Attacker):
    """PGD."""

    steps: int = Field(10, ge=1, description="Steps of the attack.")
    alpha: Epsilon | None = Field(None, description="Size of one step.")

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
        return images


@pytest.fixture(scope="session")
def registry() -> Registry:
    registry = Registry([])
    components = {
        "birds": Birds,
        "drawn": Drawn,
        "boxes": Boxes,
        "square": Square,
        "dreams": Dreams,
        "net": Net,
        "cam": Cam,
        "pgd": Pgd,
    }
    for name, component in components.items():
        registry.register(name, component)
    return registry


@pytest.fixture
def said(registry: Registry) -> Callable[..., str]:
    """What is said of a spec that is wrong; the file is called s.yaml."""

    def said(text: str, *overrides: str) -> str:
        with pytest.raises(SpecError) as caught:
            parse_spec(text, registry, path=Path("s.yaml"), overrides=overrides)
        return str(caught.value)

    return said


@pytest.fixture
def made(registry: Registry) -> Callable[..., Any]:
    """The component of a step, with its options, as a job makes it."""

    def made(step: SpecStep, known: Registry = registry) -> Any:
        return known.create(step.uses, **step.described.options)

    return made


SEVEN = """\
version: 1
name: dogs
seed: 7
steps:
  dogs: {uses: dataset/drawn, with: {size: 32}}
  boxes: {uses: detector/boxes}
  crops: {uses: cropper/square, with: {margin: 0.1}}
  synthetic: {uses: generator/dreams, with: {per_class: 5}}
  classifier:
    uses: classifier/net
    with:
      lr: 1e-3
      tag: on
      layers: [{width: 4}, {width: 2, activation: gelu}]
    seed: 3
  cam: {uses: explainer/cam, from: {dataset: crops}}
  pgd: {uses: attacker/pgd, with: {eps: [0, 8/255], alpha: 2/255}}
"""


@pytest.fixture(scope="session")
def seven() -> str:
    """A spec with a step of each kind."""
    return SEVEN
