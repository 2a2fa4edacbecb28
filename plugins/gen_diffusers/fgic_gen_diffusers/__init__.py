"""The generator `generator/diffusion`: a class-conditional diffusion model, trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from fgic_core import InputFile
from fgic_core.kit import Flipped, Trainable, TrainedGenerator, ends_in, option

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedGenerator
    from fgic_gen_diffusers._sampling import Denoiser


class DiffusionGenerator(Trainable, Flipped, TrainedGenerator):
    """A class-conditional diffusion model on diffusers' UNet, trained from scratch on the train split.

    It learns to remove noise from pictures of a known class (Ho et al. 2020); from pure noise a picture is made in
    `sampling_steps`, drawn towards its class by classifier-free guidance (Ho and Salimans 2022). Pictures are made
    with a moving average of the weights. Nothing is downloaded.
    """

    base_channels: int = Field(
        128, ge=8, le=1024, multiple_of=8, description="Channels at full resolution; the rest are multiples of them."
    )
    multipliers: list[Annotated[int, Field(ge=1, le=16)]] = Field(
        [1, 2, 2, 2],
        min_length=1,
        max_length=7,
        description="Channels of each level as multiples of base_channels. From level to level the side is halved.",
    )
    layers: int = Field(2, ge=1, le=8, description="Residual blocks at each level on the way down; one more going up.")
    attention: int = Field(
        16,
        ge=0,
        description="Levels whose feature maps have at most that many pixels a side have self-attention; the middle "
        "has it always.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in the residual blocks.")
    weights: Annotated[InputFile, ends_in(".safetensors")] | None = Field(
        None,
        description="The model.safetensors of an earlier diffusion generator of the same shape to start from. For "
        "another number of classes their embeddings start new.",
    )

    noise: Literal["cosine", "linear"] = Field(
        "cosine",
        description="How noise grows over the 1000 steps that are learned: along a cosine (Nichol and Dhariwal 2021) "
        "or with linear betas from 0.0001 to 0.02 (Ho et al. 2020).",
    )
    prediction: Literal["v", "epsilon"] = Field(
        "v", description="What the network predicts: v (Salimans and Ho 2022) or the noise."
    )
    drop_labels: float = Field(
        0.1, ge=0, lt=1, description="Share of training pictures whose class is hidden, which guidance needs."
    )

    sampler: Literal["dpmsolver++", "ddim"] = Field(
        "dpmsolver++",
        description="How noise becomes a picture: DPM-Solver++ of second order (Lu et al. 2022) or DDIM (Song et al. "
        "2021). With both the seed alone decides the picture.",
    )
    sampling_steps: int = Field(
        25, ge=1, le=500, description="Steps from noise to a picture; DDIM needs about twice as many as DPM-Solver++."
    )
    guidance_scale: float = Field(
        1.5,
        ge=1,
        le=50,
        description="How far a picture is drawn towards its class, away from what any class could be; 1 is not at all "
        "and halves the time. More gives clearer classes and less variety.",
    )

    epochs: int = option(Trainable, "epochs", 200)
    batch_size: int = option(Trainable, "batch_size", 64)
    optimizer: Literal["sgd", "adamw"] = option(Trainable, "optimizer", "adamw")
    lr: float = option(Trainable, "lr", 2e-4)
    weight_decay: float = option(Trainable, "weight_decay", 0.0)
    warmup: float = option(Trainable, "warmup", 0.1)
    clip_norm: float | None = option(Trainable, "clip_norm", 1.0)
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights that pictures are made with; less in the first steps.",
    )

    @model_validator(mode="after")
    def _halves_evenly(self) -> DiffusionGenerator:
        levels = len(self.multipliers)
        step = 2 ** (levels - 1)
        if self.resolution % step:
            below = self.resolution // step * step
            legal = " or ".join(str(side) for side in (below, below + step) if side >= 16)
            raise ValueError(
                f"resolution should be a multiple of {step} for {levels} multipliers (the side is halved "
                f"{levels - 1} times), such as {legal}; {self.resolution} is not"
            )
        return self

    @model_validator(mode="after")
    def _guided_by_something(self) -> DiffusionGenerator:
        if self.guidance_scale != 1 and not self.drop_labels:
            raise ValueError(
                "guidance_scale should be 1 with drop_labels: 0; guidance needs pictures whose class was hidden"
            )
        return self

    def fit(self, train: Dataset, ctx: Context) -> Denoiser:
        from fgic_core.kit import learn
        from fgic_gen_diffusers._network import build
        from fgic_gen_diffusers._sampling import Denoiser
        from fgic_gen_diffusers._training import Denoising

        trained, averaged = build(self, train, ctx)
        learn(self, Denoising(self, trained, averaged, train, ctx), ctx)
        return Denoiser(self, averaged)

    def save(self, fitted: FittedGenerator, folder: Path) -> None:
        from fgic_gen_diffusers._network import save
        from fgic_gen_diffusers._sampling import Denoiser

        assert isinstance(fitted, Denoiser)
        save(fitted.network, folder)

    def load(self, folder: Path, device: str) -> Denoiser:
        from fgic_gen_diffusers._network import load
        from fgic_gen_diffusers._sampling import Denoiser

        return Denoiser(self, load(self, folder).to(device))


__all__ = ["DiffusionGenerator"]
