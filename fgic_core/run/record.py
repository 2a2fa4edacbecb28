"""``run.json``: what a run did, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError

Status = Literal["waiting", "running", "reused", "computed", "failed", "interrupted", "skipped"]


class StepRecord(BaseModel):
    """One step of a run."""

    model_config = ConfigDict(extra="forbid")

    name: str
    uses: str
    key: str = Field(description="Digest of everything that decides the step's output; its name in the store.")
    folder: Path = Field(description="Where the artifact lies, or will lie.")
    inputs: dict[str, str | list[str]] = Field(description="Step names by port, as in `from`.")
    status: Status = "waiting"
    reason: str = Field("", description="Why it was reused, computed or skipped.")
    seconds: float = 0.0
    error: str = ""


class RunRecord(BaseModel):
    """A whole run."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    name: str
    seed: int
    started: str = Field(description="ISO 8601, UTC.")
    finished: str = ""
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    command: str = Field("", description="The command line, as the user typed it.")
    device: str = ""
    python: str = ""
    platform: str = ""
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the packages that took part.")
    store: Path
    roots: dict[str, Path] = Field(default_factory=dict, description="Where the data sets' pictures lay, by root name.")
    steps: list[StepRecord]

    def step(self, name: str) -> StepRecord:
        return next(step for step in self.steps if step.name == name)

    def write(self, folder: Path) -> None:
        path = folder / "run.json"
        beside = folder / "run.json.new"
        beside.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        beside.replace(path)

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Raises StoreError where the folder is no run directory."""
        try:
            return cls.model_validate_json(regular_file(folder / "run.json").read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            why = " ".join(str(part) for part in (*first["loc"], first["msg"]))
            raise StoreError(f"its run.json is not one that this fgic wrote: {why}", where=str(folder)) from None
        except OSError as error:
            raise StoreError(
                f"this is no run directory: its run.json cannot be read: {error.strerror}",
                where=str(folder),
                hint="Give a folder such as runs/<name>/latest.",
            ) from None
