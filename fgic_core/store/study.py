"""``study.json``: what a study was asked for and how far it came; its runs lie below its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fgic_core.data.files import regular_file
from fgic_core.errors import StoreError
from fgic_core.store.record import Ended, RunRecord, is_held, which_run

#: The file that tells a study's folder from a run directory.
STUDY = "study.json"


class MeasureRecord(BaseModel):
    """A number that is compared between arms; see `fgic_core.spec.study.Measure`."""

    model_config = ConfigDict(extra="forbid")

    step: str
    quantity: str
    at: dict[str, float | str] = Field(default_factory=dict)
    split: str | None = None


class ArmRecord(BaseModel):
    """One pipeline of the study."""

    model_config = ConfigDict(extra="forbid")

    name: str
    left_out: list[str]
    levels: dict[str, Any] = Field(
        description="The level of each axis, by path, and of an arm with a name of its own what that says; without "
        "those of steps left out."
    )
    oracle: bool = False
    under: Literal["", "arms", "beside"] = Field(
        "", description="The word of the block that names it: what is under `beside` is in no family of tests."
    )


class PathStepRecord(BaseModel):
    """A step of the way from one arm to another."""

    model_config = ConfigDict(extra="forbid")

    arm: str = Field(description="That it leads to.")
    part: str = Field(description="What the change is called; of the first arm its name.")


class WorthRecord(BaseModel):
    """What is to be worth how many real pictures."""

    model_config = ConfigDict(extra="forbid")

    arms: list[str] = Field(description="Those that learn from made pictures.")
    curve: list[str] = Field(description="Those that learn from real pictures alone, of different number.")


class StudyRunRecord(BaseModel):
    """One run of the study."""

    model_config = ConfigDict(extra="forbid")

    arm: str
    seed: int
    folder: str = Field(description="The run directory, relative to the study's folder.")
    status: Literal["waiting", "running", "finished", "failed", "interrupted", "killed"] = "waiting"
    seconds: float = Field(0.0, description="What this run computed itself: what others had computed costs it nothing.")
    error: str = Field("", description="Of a run that failed: the first step that did, and why.")

    def catch_up(self, study: Path) -> None:
        """Of a study that was killed: be as the run's own record is, which is written more often."""
        try:
            found = RunRecord.read(study / self.folder)
        except StoreError:  # it never began, or its directory is gone
            self.status = "killed" if self.status == "running" else self.status
        else:
            self.status = found.status
            self.seconds = round(sum(step.seconds for step in found.steps), 3)


class StudyRecord(BaseModel):
    """A whole study."""

    model_config = ConfigDict(extra="forbid")

    format: int = Field(2, description="1 knows no arms with names; it is read all the same.")
    name: str
    seed: int = Field(description="The spec's own: of what the study's seeds do not draw.")
    started: str = Field(description="ISO 8601, UTC.")
    finished: str = ""
    status: Ended = Field("running", description="Never `killed` in the file: that is what a reader finds.")
    command: str = Field("", description="The command line, as the user typed it.")
    device: str = ""
    jobs: int = 1
    threads: int | None = None
    python: str = ""
    platform: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    seeds: list[int]
    margin: float = Field(description="Percentage points that matter.")
    vary: list[str]
    measure: list[MeasureRecord]
    baseline: str = Field(description="The name of the arm that the others are compared with.")
    ablate: list[str]
    every: bool = Field(description="Whether every combination of the ablated steps was left out.")
    cross: bool
    axes: dict[str, list[Any]] = Field(description="The levels of the matrix, by path; the baseline's are in its arm.")
    arms: list[ArmRecord]
    decompose: list[PathStepRecord] = Field([], description="The way whose parts sum to the whole, from its first arm.")
    worth: WorthRecord | None = None
    runs: list[StudyRunRecord]

    def run(self, arm: str, seed: int) -> StudyRunRecord:
        """Raises KeyError where there is none such."""
        for run in self.runs:
            if (run.arm, run.seed) == (arm, seed):
                return run
        raise KeyError((arm, seed))

    def write(self, folder: Path) -> None:
        beside = folder / f"{STUDY}.new"
        beside.write_text(json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", "utf-8")
        beside.replace(folder / STUDY)

    @classmethod
    def read(cls, folder: Path) -> StudyRecord:
        """The record of a study's folder.

        Raises:
            StoreError: the folder is none of a study.
        """
        try:
            record = cls.model_validate_json(regular_file(folder / STUDY).read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            why = " ".join(str(part) for part in (*first["loc"], first["msg"]))
            raise StoreError(f"its {STUDY} is not one that this fgic wrote: {why}", where=str(folder)) from None
        except OSError as error:
            raise StoreError(
                f"this is no folder of a study: its {STUDY} cannot be read: {error.strerror}",
                where=str(folder),
                hint=which_run(folder),
            ) from None
        if record.status == "running" and not is_held(folder):
            record.status = "killed"
            for run in record.runs:
                run.catch_up(folder)
        return record


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study, and not of a run."""
    return (folder / STUDY).is_file()
