"""The options of every training: each has one name, one type, and one place that gives its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field

from fgic_core.errors import nearest

#: Bounds of a field, as pydantic names them.
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of")


def option(of: type[BaseModel], name: str, default: Any, note: str = "", **bounds: Any) -> Any:
    """An option of the kit with another default: ``epochs: int = option(Trainable, "epochs", 12)``.

    Args:
        of: the class that declares it.
        name: of the option.
        default: in place of its own.
        note: more to say of it, added to its description.
        bounds: other ones than it has, such as ``ge=0``.
    """
    if name not in of.model_fields:
        close = nearest(name, list(of.model_fields))
        raise ValueError(
            f"{of.__name__} has no option {name}" + (f"; did you mean {' or '.join(close)}?" if close else "")
        )
    field = of.model_fields[name]
    own = {bound: getattr(one, bound) for one in field.metadata for bound in _BOUNDS if hasattr(one, bound)}
    return Field(default, description=f"{field.description} {note}".strip(), **{**own, **bounds})


def ends_in(*suffixes: str) -> AfterValidator:
    """Of an option that names a weight file, the suffixes of those that are read.

    ``weights: Annotated[InputFile, ends_in(".safetensors")] | None = Field(None, description="…")``
    """

    def check(path: Path) -> Path:
        if path.suffix.lower() in suffixes:
            return path
        if suffixes == (".safetensors",):
            raise ValueError(
                f"should be a .safetensors file; {path.suffix or 'such'} files are pickles, which can run any code "
                "when they are read. Convert it with safetensors.torch.save_file where it comes from"
            )
        known = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
        raise ValueError(f"should be a {known} file; {path.suffix or 'one without a suffix'} is none")

    return AfterValidator(check)


class TrainingOptions(BaseModel):
    """What every training in epochs has, whatever loop it runs in."""

    #: Options that had another name, with what to write now.
    renamed: ClassVar[Mapping[str, str]] = {
        "warmup_epochs": "Write warmup, as a share of the whole training: 2 of 20 epochs are warmup: 0.1.",
        "warmup_iters": "Write warmup, as a share of all training steps: warmup: 0.1 is a tenth of them.",
        "use_epoch": "Write keep: best or keep: last.",
    }

    epochs: int = Field(25, ge=1, description="Passes over the train split.")
    batch_size: int = Field(32, ge=1, description="Pictures in one training step, on all devices together.")
    schedule: Literal["step", "cosine", "none"] = Field(
        "cosine", description="How the learning rate falls from epoch to epoch: in steps, along a cosine to 0, or not."
    )
    step_size: int | None = Field(
        None,
        ge=1,
        description="Epochs between two steps of the schedule `step`; without it there are two, after 8/12 and 11/12 "
        "of the epochs.",
    )
    gamma: float = Field(0.1, gt=0, le=1, description="Factor at each step of the schedule `step`.")
    warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of all training steps, the first ones, in which the learning rate rises linearly.",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="Largest norm of the gradient; a longer one is shortened. Null leaves it as it is."
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true",
        description="Numbers that training computes with, as Lightning Fabric names them; 16-mixed needs a GPU.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which epoch's weights to keep: the best (the first of equals) by validation accuracy, validation "
        "mAP or, of a generator, the curve's FID; or the last. Where none is measured it is the last.",
    )
    early_stopping: int | None = Field(
        None, ge=1, description="Stop when so many epochs were measured, one after the other, without a better one."
    )

    def without_effect(self) -> Mapping[str, str]:
        """See `fgic_core.Component.without_effect`."""
        if self.schedule == "step":
            return {}
        return dict.fromkeys(("step_size", "gamma"), f"schedule is {self.schedule}")


class Trainable(TrainingOptions):
    """The options of a network that is trained by one optimizer."""

    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="Optimizer.")
    lr: float = Field(0.01, gt=0, description="Learning rate at the start (after warm-up).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay; biases and norms have none.")

    def without_effect(self) -> Mapping[str, str]:
        own = {"momentum": f"optimizer is {self.optimizer}"} if self.optimizer != "sgd" else {}
        return {**super().without_effect(), **own}


class Flipped(BaseModel):
    """The option of a training that mirrors pictures."""

    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip in training.")


class Augmented(Flipped):
    """How pictures of one object are changed in training; see `fgic_core.kit.augment`."""

    grayscale: float = Field(0.0, ge=0, le=1, description="Probability of a grey picture in training.")
    crop_scale: float = Field(
        1.0, gt=0, le=1, description="Smallest share of the area that a random crop keeps in training; 1 crops nothing."
    )
