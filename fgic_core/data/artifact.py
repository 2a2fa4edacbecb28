"""What every artifact records of itself: who made it, from what, and the numbers that were measured on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError

ArtifactType = Literal["dataset", "model", "explanations", "robustness"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Record):
    """One measured number, with what is needed to judge it. JSON has no NaN and no infinity, and so no record has."""

    name: str = Field(description="The field's name of the quantity, such as `accuracy` or `mAP50`.")
    value: FiniteFloat | None = Field(
        description="The value; None where it could not be computed, with the reason in `note`."
    )
    part: str = Field("", description="What it was measured on: a split, an epsilon, a class.")
    n: int | None = Field(None, description="How many samples it is made from.")
    low: FiniteFloat | None = Field(None, description="Lower end of the 95 % confidence interval.")
    high: FiniteFloat | None = Field(None, description="Upper end of the 95 % confidence interval.")
    unit: Literal["", "fraction", "pixels", "s"] = Field("", description="`fraction` is shown in percent.")
    note: str = Field("", description="What a reader must know beside the number.")
    verdict: Literal["", "pass", "expected", "flag"] = Field(
        "",
        description="What a check came to: `flag` where it found something wrong, `expected` where what it found has "
        "a harmless cause that the note names; empty where the number is no check, or tells nothing.",
    )


class Point(_Record):
    """One point of a curve over epochs."""

    epoch: int
    part: str = Field(description="train, val or test; synthetic for what a generator makes.")
    name: str = Field(description="loss, accuracy, mAP50, FID, …")
    value: FiniteFloat


class ArtifactRecord(_Record):
    """The file ``artifact.json`` that every artifact folder holds."""

    format: int = 1
    type: ArtifactType
    key: str = Field(description="The digest the store knows it by.")
    uses: str = Field(description="The component, such as `classifier/timm`.")
    package: str = Field(description="The package of the component.")
    version: str = Field(description="That package's version.")
    options: dict[str, Any] = Field(description="Every option, defaults filled in.")
    seed: int
    inputs: dict[str, str] = Field(description="Keys of the artifacts it was made from, by input name.")
    why: dict[str, Any] = Field(default_factory=dict, description="The document whose digest is the key.")
    metrics: list[Metric] = Field(default_factory=list)
    curves: list[Point] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    seconds: float = 0.0
    created: str = Field("", description="When it was finished, ISO 8601, UTC.")
    files: dict[str, int] = Field(default_factory=dict, description="Sizes in bytes of the files beside this one.")

    def write(self, folder: Path) -> None:
        (folder / "artifact.json").write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ArtifactRecord:
        """Raises StoreError where the folder holds no artifact."""
        try:
            return cls.model_validate_json(regular_file(folder / "artifact.json").read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"this folder holds no artifact: {error}", where=str(folder)) from None
