"""``study.json``: what a study was asked for and how far it came; its runs lie below its folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fgic_core.data.files import regular_file
from fgic_core.data.streams import STREAMS
from fgic_core.errors import StoreError
from fgic_core.store.record import Ended, RunRecord, is_held, which_run

#: The file that tells a study's folder from a run directory.
STUDY = "study.json"
#: The forms of the record that are read.
_FORMATS = (1, 2)


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

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: int) -> int:
        if value not in _FORMATS:
            read = " and ".join(map(str, _FORMATS))
            raise _fault(f"is {value}, and this fgic reads {read}")
        return value

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> StudyRecord:
        """What is read fits together; what is being made may still lack its runs."""
        folder = (info.context or {}).get("folder")
        if folder is not None:
            for wrong in _misfits(self, folder):
                raise _fault(wrong)
        return self

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
            StoreError: the folder is none of a study, or its record does not fit together.
        """
        try:
            record = cls.model_validate_json(regular_file(folder / STUDY).read_bytes(), context={"folder": folder})
        except ValidationError as error:
            first = error.errors()[0]
            why = " ".join(" ".join(str(part).splitlines()) for part in (*first["loc"], first["msg"]))
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


def _fault(why: str) -> PydanticCustomError:
    return PydanticCustomError("study", "{why}", {"why": why})


def _misfits(record: StudyRecord, folder: Path) -> Iterator[str]:
    """What in a record contradicts the rest of it, or can be in no study.

    Args:
        record: whose fields are well formed; folder: of the study.
    """
    arms = [arm.name for arm in record.arms]
    if not arms:
        yield "it has no arms"
    yield from (f"two of its arms are called {name!r}" for name in _doubles(arms))
    yield from _unknown("its baseline", [record.baseline], arms)
    base = next(arm for arm in record.arms if arm.name == record.baseline)
    if base.left_out or base.oracle:
        yield f"its baseline, {record.baseline!r}, is not the whole pipeline"
    for path, levels in record.axes.items():
        if path not in base.levels or base.levels[path] not in levels:
            yield f"its baseline has no level of {path!r}"
    yield from _misasked(record)
    yield from _misablated(record, folder)
    way = [step.arm for step in record.decompose]
    if len(way) == 1:
        yield f"the way of decompose is {way[0]!r} alone, and leads nowhere"
    yield from _unknown("decompose", way, arms)
    yield from (f"decompose names {name!r} twice" for name in _doubles(way))
    if record.worth is not None:
        named = [*record.worth.arms, *record.worth.curve]
        if not record.worth.arms or len(record.worth.curve) < 2:
            yield "worth needs one arm or more, and two or more in its curve"
        yield from _unknown("worth", named, arms)
    yield from _misrun(record, arms)


def _misasked(record: StudyRecord) -> Iterator[str]:
    """Of seeds, margin, measures, and what a seed draws."""
    if not record.seeds:
        yield "it has no seeds"
    yield from (f"the seed {seed} is there twice" for seed in _doubles(record.seeds))
    yield from (f"the seed {seed} is below 0" for seed in record.seeds if seed < 0)
    if not 0 < record.margin <= 100:
        yield f"its margin is {record.margin:g}, and should be above 0 and at most 100"
    if not record.vary:
        yield "vary is empty"
    for name in record.vary:
        if name not in STREAMS:
            yield f"vary names {name!r}, which no seed draws"
    yield from (f"vary names {name!r} twice" for name in _doubles(record.vary))
    if not record.measure:
        yield "it measures nothing"


def _misablated(record: StudyRecord, folder: Path) -> Iterator[str]:
    """Of the steps that are left out."""
    yield from (f"ablate names {name!r} twice" for name in _doubles(record.ablate))
    for arm in record.arms:
        for name in arm.left_out:
            if not arm.under and name not in record.ablate:
                yield f"arm {arm.name!r} leaves out {name!r}, which is not in ablate"
    left_out = {name for arm in record.arms for name in arm.left_out}
    if left_out >= {*record.ablate}:
        return
    for run in record.runs:  # what is excluded is left out in no arm, and yet a step of the baseline
        if run.arm == record.baseline and not _leaves(run.folder):
            try:
                steps = {step.name for step in RunRecord.read(folder / run.folder).steps}
            except StoreError:
                continue
            yield from (f"ablate names {name!r}, which is no step of it" for name in record.ablate if name not in steps)
            return


def _misrun(record: StudyRecord, arms: list[str]) -> Iterator[str]:
    """Of the runs: one for each arm and seed, each in a folder of its own below the study's."""
    wanted, there = set(product(arms, record.seeds)), [(run.arm, run.seed) for run in record.runs]
    for run in record.runs:
        if (run.arm, run.seed) not in wanted:
            yield f"it has a run of arm {run.arm!r} with seed {run.seed}, which is none of the study"
        if _leaves(run.folder):
            yield f"the folder of a run, {run.folder!r}, is not below that of the study"
    yield from (f"the run of arm {arm!r} with seed {seed} is there twice" for arm, seed in _doubles(there))
    yield from (f"two runs have the folder {name!r}" for name in _doubles(run.folder for run in record.runs))
    lacking = wanted.difference(there)
    for arm, seed in product(arms, record.seeds):
        if (arm, seed) in lacking:
            yield f"it lacks the run of arm {arm!r} with seed {seed}"


def _leaves(name: str) -> bool:
    """Whether a run's folder is not below the study's, on whatever system."""
    windows, path = PureWindowsPath(name), PurePosixPath(name)
    outside = bool(windows.drive or windows.root) or path.is_absolute()
    return outside or not path.parts or ".." in windows.parts or "\0" in name


def _unknown(word: str, names: Iterable[str], arms: list[str]) -> Iterator[str]:
    return (f"{word} names {name!r}, which is none of its arms" for name in names if name not in arms)


def _doubles(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study, and not of a run."""
    return (folder / STUDY).is_file()
