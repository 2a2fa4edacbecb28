"""The record of a study that somebody edited: what does not fit together is said in one line, and never half read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fgic_core.errors import StoreError
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import ArmRecord, MeasureRecord, PathStepRecord, StudyRecord, StudyRunRecord, WorthRecord

ARMS = ("full", "without-crops", "few")


def _document() -> dict[str, Any]:
    axis = "net.with.epochs"
    arms = [
        ArmRecord(name="full", left_out=[], levels={axis: 1}),
        ArmRecord(name="without-crops", left_out=["crops"], levels={axis: 1}),
        ArmRecord(name="few", left_out=["synthetic"], levels={axis: 1, "dogs.with.n": 5}, under="beside"),
    ]
    record = StudyRecord(
        name="dogs",
        seed=0,
        started="2026-11-28T08:00:00Z",
        status="finished",
        seeds=[0, 1],
        margin=1.0,
        vary=["init"],
        measure=[MeasureRecord(step="net", quantity="accuracy")],
        baseline="full",
        ablate=["crops"],
        every=False,
        cross=False,
        axes={axis: [1, 2]},
        arms=arms,
        decompose=[PathStepRecord(arm="few", part="few"), PathStepRecord(arm="full", part="more")],
        worth=WorthRecord(arms=["full"], curve=["few", "without-crops"]),
        runs=[
            StudyRunRecord(arm=arm, seed=seed, folder=f"runs/{arm}/seed-{seed}") for arm, seed in product(ARMS, (0, 1))
        ],
    )
    return record.model_dump(mode="json")


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., StudyRecord]:
    """The record as it is read when one value, at this path of keys, is another."""

    def edited(*path: Any, to: Any) -> StudyRecord:
        document = copy.deepcopy(_document())
        within = document
        for part in path[:-1]:
            within = within[part]
        within[path[-1]] = to
        (tmp_path / "study.json").write_text(json.dumps(document), encoding="utf-8")
        return StudyRecord.read(tmp_path)

    return edited


def test_what_fits_together_is_read_in_either_format(edited: Callable[..., StudyRecord]) -> None:
    assert edited("format", to=2).model_dump(mode="json") == _document()
    assert edited("format", to=1).format == 1
    assert edited("worth", to=None).worth is None
    assert edited("decompose", to=[]).decompose == []


_RUN = {"arm": "few", "seed": 1, "folder": "runs/again"}


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        (("format",), 99, "format is 99, and this fgic reads 1 and 2"),
        (("baseline",), "fulll", "its baseline names 'fulll', which is none of its arms"),
        (("baseline",), "without-crops", "its baseline, 'without-crops', is not the whole pipeline"),
        (("arms",), [], "it has no arms"),
        (("arms", 2, "name"), "full", "two of its arms are called 'full'"),
        (("arms", 0, "levels"), {}, "its baseline has no level of 'net.with.epochs'"),
        (("axes", "net.with.epochs"), [3], "its baseline has no level of 'net.with.epochs'"),
        (("seeds",), [], "it has no seeds"),
        (("seeds",), [0, 1, 1], "the seed 1 is there twice"),
        (("seeds",), [0, -1], "the seed -1 is below 0"),
        (("margin",), 0, "its margin is 0, and should be above 0 and at most 100"),
        (("margin",), -2.5, "its margin is -2.5, and should be above 0 and at most 100"),
        (("margin",), float("nan"), "its margin is nan, and should be above 0 and at most 100"),
        (("vary",), [], "vary is empty"),
        (("vary",), ["inti"], "vary names 'inti', which no seed draws"),
        (("vary",), ["init", "init"], "vary names 'init' twice"),
        (("measure",), [], "it measures nothing"),
        (("ablate",), ["crops", "crops"], "ablate names 'crops' twice"),
        (("ablate",), ["crop"], "arm 'without-crops' leaves out 'crops', which is not in ablate"),
        (("ablate",), ["crops", "masks"], "ablate names 'masks', which is no step of it"),
        (("decompose", 0, "arm"), "fewer", "decompose names 'fewer', which is none of its arms"),
        (("decompose", 0, "arm"), "full", "decompose names 'full' twice"),
        (("decompose",), [{"arm": "full", "part": "full"}], "the way of decompose is 'full' alone, and leads nowhere"),
        (("worth", "arms"), ["fool"], "worth names 'fool', which is none of its arms"),
        (("worth", "curve"), ["few"], "worth needs one arm or more, and two or more in its curve"),
        (("worth", "arms"), [], "worth needs one arm or more, and two or more in its curve"),
        (("runs",), [], "it lacks the run of arm 'full' with seed 0"),
        (("seeds",), [0, 1, 2], "it lacks the run of arm 'full' with seed 2"),
        (("seeds",), [0], "it has a run of arm 'full' with seed 1, which is none of the study"),
        (("runs", 0, "arm"), "ful", "it has a run of arm 'ful' with seed 0, which is none of the study"),
        (("runs", 4), _RUN, "the run of arm 'few' with seed 1 is there twice"),
        (("runs", 5, "folder"), "runs/few/seed-0", "two runs have the folder 'runs/few/seed-0'"),
        (("runs", 0, "folder"), "../../etc", "the folder of a run, '../../etc', is not below that of the study"),
        (("runs", 0, "folder"), "runs/../../x", "the folder of a run, 'runs/../../x', is not below that of the study"),
        (("runs", 0, "folder"), "/etc", "the folder of a run, '/etc', is not below that of the study"),
        (("runs", 0, "folder"), "C:\\x", "the folder of a run, 'C:\\\\x', is not below that of the study"),
        (("runs", 0, "folder"), "..\\x", "the folder of a run, '..\\\\x', is not below that of the study"),
        (("runs", 0, "folder"), ".", "the folder of a run, '.', is not below that of the study"),
        (("baseline",), "a\nb", "its baseline names 'a\\nb', which is none of its arms"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    path: tuple[Any, ...], to: Any, why: str, edited: Callable[..., StudyRecord], tmp_path: Path
) -> None:
    steps = [
        StepRecord(name=name, uses=f"dataset/{name}", key="k", inputs={}) for name in ("dogs", "crops", "synthetic")
    ]
    run = tmp_path / "runs/full/seed-0"
    run.mkdir(parents=True)
    RunRecord(name="dogs", arm="full", seed=0, started="", status="finished", store=tmp_path, steps=steps).write(run)
    with pytest.raises(StoreError) as caught:
        edited(*path, to=to)
    assert caught.value.args[0] == f"its study.json is not one that this fgic wrote: {why}"


def test_a_step_that_is_excluded_everywhere_may_be_left_out_in_no_arm(
    edited: Callable[..., StudyRecord], tmp_path: Path
) -> None:
    assert edited("ablate", to=["crops", "masks"]).ablate == ["crops", "masks"]


def test_a_key_that_no_record_has_is_said_in_one_line_too(edited: Callable[..., StudyRecord]) -> None:
    with pytest.raises(StoreError) as caught:
        edited("arms", 0, "a\nkey", to=1)
    assert str(caught.value.args[0]).startswith("its study.json is not one that this fgic wrote: arms 0 a key Extra")
    assert "\n" not in caught.value.args[0]
