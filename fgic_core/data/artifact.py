"""What every artifact records of itself: who made it, from what, and the numbers that were measured on it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from fgic_core.data.digest import digest_bytes
from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError

#: The name of an artifact's record.
RECORD = "artifact.json"
_AGAIN = "Run the spec again: what the store lacks is computed anew."

#: Which pictures a number is of; empty where it is of no one split, such as of those that a generator makes.
OnSplit = Literal["", "train", "val", "test"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Record):
    """One measured number, with what is needed to judge it. JSON has no NaN and no infinity, and so no record has."""

    name: str = Field(
        description="Of which quantity: a row of `fgic_core.data.quantities`, such as `accuracy` or `mAP50`."
    )
    value: FiniteFloat | None = Field(
        description="The value; None where it could not be computed, with the reason in `note`."
    )
    split: OnSplit = Field("", description="Which pictures it was measured on; empty where it is of no one split.")
    at: dict[str, FiniteFloat | str] = Field(
        default_factory=dict, description='At what, by name: `{"eps": 0.0157, "norm": "Linf"}`; empty for nothing.'
    )
    n: int | None = Field(None, description="How many samples it is made from.")
    low: FiniteFloat | None = Field(None, description="Lower end of the 95 % confidence interval.")
    high: FiniteFloat | None = Field(None, description="Upper end of the 95 % confidence interval.")
    note: str = Field("", description="What a reader must know beside the number.")
    verdict: Literal["", "pass", "expected", "flag"] = Field(
        "",
        description="What a check came to: `flag` where it found something wrong, `expected` where what it found has "
        "a harmless cause that the note names; empty where the number is no check, or tells nothing.",
    )

    def is_at(self, **given: float | str) -> bool:
        """Whether it was measured at these values, whatever else it was measured at."""
        return all(name in self.at and _same(self.at[name], value) for name, value in given.items())

    def __str__(self) -> str:
        about = [f"95 % {self.low:.4g} to {self.high:.4g}"] if self.low is not None and self.high is not None else []
        about += [f"n = {self.n}"] if self.n is not None else []
        on: list[str] = [self.split] if self.split else []
        on += [f"{name}={value if isinstance(value, str) else format(value, '.4g')}" for name, value in self.at.items()]
        value = f"{self.value:.4g}" if self.value is not None else f"not computed ({self.note or 'no reason is given'})"
        said = f"{self.name} ({', '.join(on)})" if on else self.name
        return f"{said} {value}" + (f" ({', '.join(about)})" if about and self.value is not None else "")


def _same(one: float | str, other: float | str) -> bool:
    """Equal, numbers up to rounding: ``4/255`` is as good as ``0.01568627``."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return math.isclose(one, other, rel_tol=1e-6)


class Point(_Record):
    """One point of a curve over epochs."""

    epoch: int
    split: OnSplit = Field("", description="Empty for what a generator makes.")
    name: str = Field(description="loss, accuracy, mAP50, FID, …")
    value: FiniteFloat


class FileRecord(_Record):
    """A file of an artifact."""

    size: int = Field(description="In bytes.")
    digest: str = Field(description="BLAKE2b-128 of its content.")


class ArtifactRecord(_Record):
    """The file ``artifact.json`` that every artifact folder holds."""

    format: Literal[3] = 3
    type: str = Field(pattern="^[a-z][a-z0-9_]*$", description="See `fgic_core.ArtifactType`.")
    key: str = Field(description="The digest the store knows it by.")
    content: str = Field(
        "", description="The digest of what steps are given of it: equal for artifacts that are as good as each other."
    )
    uses: str = Field(description="The component, such as `classifier/timm`.")
    package: str = Field(description="The package of the component.")
    version: str = Field(description="That package's version.")
    options: dict[str, Any] = Field(
        description="Every option, defaults filled in; paths below the spec's folder are relative to it."
    )
    seed: int
    inputs: dict[str, Any] = Field(description="Digests of the content of what it was made from, by input name.")
    sources: dict[str, Any] = Field(default_factory=dict, description="Keys of these artifacts, by input name.")
    why: dict[str, Any] = Field(default_factory=dict, description="The document whose digest is the key.")
    metrics: list[Metric] = Field(default_factory=list)
    curves: list[Point] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    doubt: str = Field("", description="Why it may not be what its key says, so that no later run reuses it.")
    seconds: float = 0.0
    created: str = Field("", description="When it was finished, ISO 8601, UTC.")
    files: dict[str, FileRecord] = Field(default_factory=dict, description="The files beside this one, by path.")
    digest: str = Field("", description="The digest of this record without this field.")

    def sealed(self) -> ArtifactRecord:
        """The record with its own digest."""
        return self.model_copy(update={"digest": self._own_digest()})

    def _own_digest(self) -> str:
        return digest_bytes(self.model_dump_json(exclude={"digest"}).encode())

    def write(self, folder: Path) -> None:
        text = self.sealed().model_dump_json(indent=1) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ArtifactRecord:
        """Raises StoreError where the folder holds no artifact, or one whose record was changed."""
        try:
            content = regular_file(folder / RECORD).read_bytes()
            document = json.loads(content)
            if isinstance(document, dict) and document.get("format") != cls.model_fields["format"].default:
                raise StoreError(
                    f"this artifact has format {document.get('format')}, and this fgic reads format "
                    f"{cls.model_fields['format'].default} alone",
                    where=str(folder),
                    hint=_AGAIN,
                )
            record = cls.model_validate_json(content)
        except FileNotFoundError:
            raise StoreError("this folder holds no artifact", where=str(folder), hint=_AGAIN) from None
        except OSError as error:
            raise StoreError(
                f"the record of this artifact cannot be read: {error.strerror or error}", where=str(folder / RECORD)
            ) from None
        except (ValueError, RecursionError):
            raise StoreError(
                "the record of this artifact is damaged", where=str(folder / RECORD), hint=_AGAIN
            ) from None
        if record.digest != record._own_digest():
            raise StoreError(
                "the record of this artifact was changed after it was written",
                where=str(folder / RECORD),
                hint=_AGAIN,
            )
        return record
