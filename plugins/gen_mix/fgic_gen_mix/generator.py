"""New pictures from two existing ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from fgic_core import Generator

if TYPE_CHECKING:
    from fgic_core import Context, Dataset, FittedGenerator
    from fgic_gen_mix._mixer import Mixer

#: The methods that an option is for.
_OF = {
    "alpha": ("mixup", "cutmix"),
    "masks": ("paste",),
    "shape": ("paste",),
    "feather": ("paste",),
    "margin": ("paste",),
    "scale_jitter": ("paste",),
    "min_background": ("paste",),
}


class MixGenerator(Generator):
    """Make pictures of a class from two train pictures: paste an object, or mix.

    Nothing is trained. Each picture has two parents, which are named: the first is of the picture's class and is drawn
    uniformly among that class's samples.

    Sources: D. Dwibedi, I. Misra, M. Hebert, "Cut, Paste and Learn", ICCV 2017; H. Zhang et al., "mixup: Beyond
    Empirical Risk Minimization", ICLR 2018; S. Yun et al., "CutMix", ICCV 2019.
    """

    method: Literal["paste", "mixup", "cutmix"] = Field(
        "paste",
        description="The first parent's object pasted over the second's; or both pictures in a weighted sum (Mixup); "
        "or a rectangle of the second in the first (CutMix).",
    )
    partner: Literal["same", "any"] | None = Field(
        None,
        description="Second parents: of the same class, or of any, where the label is that of the larger share. By "
        "default any for paste, whose second parent is the background, and same for mixup and cutmix.",
    )
    flip: bool = Field(True, description="Mirror each parent with probability 1/2.")
    alpha: float = Field(
        1.0,
        ge=0.05,
        le=100.0,
        description="mixup, cutmix: the first parent's share is drawn from Beta(alpha, alpha); 1 is uniform.",
    )
    masks: bool = Field(True, description="paste: cut objects along their outline where the data set has part masks.")
    shape: Literal["rectangle", "ellipse"] = Field(
        "rectangle",
        description="paste: what is cut of an object without a mask: its box, or the ellipse inside its box.",
    )
    feather: float = Field(
        0.03,
        ge=0.0,
        le=0.5,
        description="paste: how far the surroundings of a pasted object fade out, as a fraction of its box's shorter "
        "side; 0 gives hard edges.",
    )
    margin: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="paste: how far the pasted object reaches over the background's own box on every side, as a "
        "fraction of that box's longer side.",
    )
    scale_jitter: float = Field(
        0.2, ge=0.0, le=2.0, description="paste: objects are up to that fraction larger than they need to be."
    )
    min_background: float = Field(
        0.2,
        ge=0.0,
        lt=1.0,
        description="paste: a picture is a background where its boxes leave at least that fraction of it free, as "
        "`resize` shows it; 0 takes all.",
    )

    @model_validator(mode="after")
    def _no_option_of_another_method(self) -> MixGenerator:
        fields = type(self).model_fields
        for name, methods in _OF.items():
            if self.method not in methods and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} should be left out with {self.method}: it is for {' and '.join(methods)}")
        return self

    def partners(self) -> Literal["same", "any"]:
        """Which second parents there are: `partner`, or the method's default."""
        return self.partner or ("any" if self.method == "paste" else "same")

    def fit(self, train: Dataset, ctx: Context) -> Mixer:
        """Keep the train samples. Nothing is trained, and nothing measured.

        Raises:
            DataError: a class has samples but none with a box, or no background for them (paste), or a single one where
                two of the same class are mixed; or there are no two samples at all.
        """
        from fgic_gen_mix._mixer import Mixer

        return Mixer(self, train, ctx.warn)

    def save(self, fitted: FittedGenerator, folder: Path) -> None:
        """Write the rows that are drawn from. The pictures stay where they are."""
        from fgic_gen_mix._mixer import Mixer

        assert isinstance(fitted, Mixer)
        fitted.data.write(folder)

    def load(self, folder: Path, device: str) -> Mixer:
        """Take the rows back. The pictures are read from where they were."""
        from fgic_core import Dataset
        from fgic_gen_mix._mixer import Mixer

        return Mixer(self, Dataset.open(folder), None)
