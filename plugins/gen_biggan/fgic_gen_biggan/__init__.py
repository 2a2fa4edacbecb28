"""The generator `generator/biggan`: BigGAN-deep of MMagic, trained by MMEngine's Runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from fgic_core import InputFile
from fgic_core.kit import Flipped, TrainedGenerator, TrainingOptions, ends_in, option

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedGenerator
    from fgic_gen_biggan._network import Network

Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


class BigganGenerator(Flipped, TrainedGenerator):
    """BigGAN-deep (Brock, Donahue and Simonyan, ICLR 2019) of MMagic, class-conditional, from scratch or from weights.

    It is trained by MMEngine's Runner with the hinge loss, spectral norm, Adam at two rates, a moving average of the
    generator's weights that is sampled from, and differentiable augmentation for few pictures. Published weights are
    those of Hugging Face's `biggan-deep-128`, `-256` and `-512`, of which the generator alone was published.
    """

    resolution: Literal[32, 64, 128, 256, 512] = Field(
        64, description="Width and height of the pictures in pixels: those that the architecture has."
    )
    base_channels: int | None = Field(
        None,
        ge=4,
        le=256,
        multiple_of=4,
        description="Width of both networks; 128 in the paper. By default that of `weights`, else 64.",
    )
    noise_size: int | None = Field(
        None, ge=1, le=1024, description="Length of the latent vector z; by default that of `weights`, else 128."
    )
    shared_dim: int | None = Field(
        None, ge=1, le=1024, description="Length of a class's embedding; by default that of `weights`, else 128."
    )
    weights: Annotated[InputFile, ends_in(".safetensors", ".bin", ".pth", ".pt")] | None = Field(
        None,
        description="A generator to start from: Hugging Face's biggan-deep (its .bin or .safetensors) with class "
        "embeddings made anew, or `component/generator.safetensors` of an earlier run.",
    )
    epochs: int = option(TrainingOptions, "epochs", 100, "0 uses `weights` of an earlier run as they are.", ge=0)
    batch_size: int = option(TrainingOptions, "batch_size", 32, "Here real and made ones, for the discriminator.", ge=2)
    schedule: Literal["step", "cosine", "none"] = option(TrainingOptions, "schedule", "none")
    accumulate: int = Field(
        1,
        ge=1,
        description="Steps whose gradients are added up before an update, for batches that do not fit the memory; the "
        "paper's batch is 2048.",
    )
    d_steps: int = Field(
        1,
        ge=1,
        le=16,
        description="Updates of the discriminator for one of the generator; the paper has 2, with half the rates.",
    )
    lr_g: float = Field(1e-4, gt=0, description="Learning rate of the generator.")
    lr_d: float = Field(4e-4, gt=0, description="Learning rate of the discriminator.")
    betas: tuple[Decay, Decay] = Field((0.0, 0.999), description="Adam's decay rates, as in the paper.")
    ema_decay: float = Field(
        0.999,
        ge=0.5,
        lt=1.0,
        description="Decay of the moving average that is sampled from; it rises to that from 0.1. The paper's 0.9999 "
        "wants tens of thousands of updates.",
    )
    augment: list[Literal["color", "translation", "cutout"]] = Field(
        ["color", "translation", "cutout"],
        description="Differentiable augmentation of all that the discriminator sees; an empty list is none.",
    )
    truncation: float | None = Field(
        None,
        gt=0.0,
        le=10.0,
        description="Sample z from a normal distribution within that bound: below 2, better and less varied pictures. "
        "By default it has no bound.",
    )

    @model_validator(mode="after")
    def _something_to_use(self) -> BigganGenerator:
        if self.epochs == 0 and self.weights is None:
            raise ValueError("epochs should be at least 1 where there are no weights to use as they are")
        return self

    def fit(self, train: Dataset, ctx: Context) -> Network:
        from fgic_gen_biggan._network import build

        network = build(self, train, ctx)
        if self.epochs:
            from fgic_gen_biggan._training import train_network

            train_network(self, network, train, ctx)
        return network

    def save(self, fitted: FittedGenerator, folder: Path) -> None:
        from fgic_gen_biggan._network import Network

        assert isinstance(fitted, Network)
        fitted.save(folder)

    def load(self, folder: Path, device: str) -> Network:
        from fgic_gen_biggan._network import Network

        return Network.load(folder, device)


__all__ = ["BigganGenerator"]
