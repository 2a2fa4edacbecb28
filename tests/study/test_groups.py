"""Comparisons by groups of test pictures, on planted numbers; and the groups that the core's kinds know."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from statsmodels.stats.multitest import multipletests

from fgic_core import Box, Grouping, Kind, ObjectBox, PluginError, Sample, Size
from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.boxes import COMPARED, ComparedWriter
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.quantities import quantity
from fgic_core.kinds.cropper import groups as cropped
from fgic_core.kinds.dataset import groups as annotated
from fgic_core.kinds.detector import groups as detected
from fgic_core.metrics.two_way import two_way
from fgic_core.plan.rows import check_row
from fgic_core.report.figures import Figures
from fgic_core.report.html import environment
from fgic_core.report.study import write_study_report
from fgic_core.report.study_groups import shown_groups
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.study import MeasureRecord
from fgic_core.study.by_groups import Grouped, corrected, grouped
from fgic_core.study.groups import Cut, most_often
from fgic_core.study.readings import Reading
from fgic_core.study.results import Results

WHOLE = Size(100, 100)
OVERLAP = "overlap (IoU) of the found box with the annotated one"
#: Shares of the annotated box (0 to 50 of 100 pixels) that a found one covers, by the group that it falls into.
FOUND = {"no box found": None, "below 0.25": 5, "0.5 to 0.75": 30, "0.9 or more": 50}


def by_name(one: Grouping) -> dict[str, str]:
    """The name of each picture's group; of those that are in one."""
    return {name: one.names[group] for name, group in zip(one.ids, one.groups, strict=True) if group >= 0}


def entry(x2: float, origin: str = "annotated", *, score: float | None = None, crowd: bool = False) -> dict[str, Any]:
    return {"x1": 0.0, "y1": 0.0, "x2": x2, "y2": 50.0, "origin": origin, "score": score, "crowd": crowd}


def compared(folder: Path, rows: Mapping[str, Sequence[dict[str, Any]]], regions: Mapping[str, float] = {}) -> None:
    """Write ``boxes.parquet`` as the core does, of pictures with these boxes and crops."""
    with ComparedWriter(folder, ["predicted:detector/fake"]) as writer:
        for name, boxes in rows.items():
            region = {**entry(regions[name])} if name in regions else None
            edges = {edge: region[edge] for edge in ("x1", "y1", "x2", "y2")} if region else None
            about = {"split": "val" if name == "v" else "test", "label": 0, "empty": not boxes, "region_origin": ""}
            writer.add({"id": name, "boxes": boxes, "region": edges, **about}, WHOLE)


def test_groups_are_one_for_each_picture_among_the_names() -> None:
    wrong = [
        (("a",), ("x", "y"), [0], "2 whole numbers"),
        (("a",), ("x",), [0.0], "whole numbers"),
        (("a",), ("x",), [1], "from 1 to 1, and there are 1 names"),
        (("a",), ("x",), [-2], "from -2 to -2"),
        (("a", "a"), ("x",), [0], "two groups of the name 'a'"),
        (("a",), ("x", "x"), [0, 0], "two pictures of the name 'x'"),
    ]
    for names, ids, groups, said in wrong:
        with pytest.raises(ValueError, match=said):
            Grouping("size", names, ids, np.array(groups))
    with pytest.raises(ValueError, match="2 rising edges have 3 groups, not 2"):
        Grouping.binned("size", "ab", [1, 2], [0, 1], ["low", "high"])
    with pytest.raises(ValueError, match="rising"):
        Grouping.binned("size", "ab", [1, 2], [1, 1], ["low", "none", "high"])


def test_an_edge_is_the_lower_one_of_its_group_and_what_has_no_number_is_in_none() -> None:
    found = Grouping.binned("size", "abcde", [0.9, 1.0, 2.0, None, math.nan], [1, 2], ["low", "middle", "high"])
    assert by_name(found) == {"a": "low", "b": "middle", "c": "high"}


def test_a_data_set_knows_the_size_of_objects_and_how_many_there_are(tmp_path: Path) -> None:
    def sample(name: str, *boxes: ObjectBox, **about: Any) -> Sample:
        fields = {"path": f"{name}.png", "size": WHOLE, "label": 0, "split": "test"} | about
        return Sample(id=name, boxes=boxes, **fields)

    def square(side: float, *, crowd: bool = False) -> ObjectBox:
        return ObjectBox(Box(0, 0, side, side), crowd=crowd)

    samples = [sample(f"{side}", square(side)) for side in (10, 20, 30, 40, 50, 60, 70, 80)]
    samples += [
        sample("two", square(5), square(90)),
        sample("beside a crowd", square(5), square(90, crowd=True)),
        sample("empty", empty=True),
        sample("not annotated"),
        sample("train", square(10), square(20), square(30), split="train"),
    ]
    with DatasetWriter(tmp_path, Header(("bird",), {"fake": tmp_path})) as writer:
        writer.write_samples(samples, "fake")
    size, count = annotated.groups(tmp_path, "test")
    assert size.names == ("below 4 %", "4 to 16 %", "16 to 49 %", "49 % or more")
    assert by_name(size) == {
        "10": "below 4 %",
        "20": "4 to 16 %",
        "30": "4 to 16 %",
        "40": "16 to 49 %",
        "50": "16 to 49 %",
        "60": "16 to 49 %",
        "70": "49 % or more",
        "80": "49 % or more",
        "two": "49 % or more",
        "beside a crowd": "below 4 %",
    }
    assert by_name(count) == {
        **dict.fromkeys(["10", "20", "30", "40", "50", "60", "70", "80", "beside a crowd"], "one"),
        "two": "several",
        "empty": "none",
    }
    assert [one.title for one in annotated.groups(tmp_path, "val")] == [count.title]


def test_quarters_that_have_the_same_bound_are_one(tmp_path: Path) -> None:
    boxes = [ObjectBox(Box(0, 0, side, 100)) for side in (20, 20, 20, 20, 20, 50)]
    samples = [
        Sample(id=f"{n}", path=f"{n}.png", size=WHOLE, label=0, split="test", boxes=(box,))
        for n, box in enumerate(boxes)
    ]
    with DatasetWriter(tmp_path, Header(("bird",), {"fake": tmp_path})) as writer:
        writer.write_samples(samples, "fake")
    assert annotated.groups(tmp_path, "test")[0].names == ("below 20 %", "20 % or more")


def test_a_detector_knows_how_well_it_found_the_object(tmp_path: Path) -> None:
    truth, found = entry(50), "predicted:detector/fake"
    rows = {
        "missed": [truth],
        "a corner": [truth, entry(5, found, score=0.9)],
        "half": [truth, entry(30, found, score=0.9), entry(50, found, score=0.2)],  # the surest one counts
        "well": [truth, entry(50, found, score=0.9)],
        "one of two": [truth, {**truth, "y1": 50.0, "y2": 100.0}, entry(50, found, score=0.9)],
        "empty": [],
        "v": [truth],
    }
    compared(tmp_path, rows)
    overlap, objects = detected.groups(tmp_path, "test")
    assert by_name(overlap) == {
        "missed": "no box found",
        "a corner": "below 0.25",
        "half": "0.5 to 0.75",
        "well": "0.9 or more",
        "one of two": "0.9 or more",
    }
    assert by_name(objects) == {
        "missed": "none",
        "a corner": "none",
        "half": "all",
        "well": "all",
        "one of two": "some of several",
    }


def test_a_cropper_knows_how_much_of_the_object_it_kept(tmp_path: Path) -> None:
    names = ("a little", "most", "all", "whole", "v")
    compared(tmp_path, {name: [entry(50)] for name in names} | {"empty": []}, {"a little": 10, "most": 45, "all": 60})
    (kept,) = cropped.groups(tmp_path, "test")
    assert by_name(kept) == {
        "a little": "less than 50 %",
        "most": "90 to 99 %",
        "all": "99 % or more",
        "whole": "not cropped",
    }


Detect = Callable[[int, int], str]


def detecting(study: Any, right: np.ndarray[Any, Any], detect: Detect, arms: Sequence[str] = ("full",)) -> Results:
    """A study whose arms have a detector ``boxes`` that the classifier stands on.

    Args:
        study: is written; right: as it wants it.
        detect: of a seed and a picture, what was found of it; see `FOUND`.
        arms: that have it.
    """
    folder = study.write(right)
    for run in study.record.runs:
        if run.arm not in arms:
            continue
        record = RunRecord.read(folder / run.folder)
        birds, classifier = record.steps
        key = f"{run.seed:02x}{sum(map(ord, run.arm)):030x}"
        place = study.store.folder(key)
        place.mkdir(parents=True)
        about = {"uses": "detector/fake", "package": "fgic-fake", "version": "1", "options": {}, "seed": 0}
        for name in ("samples.parquet", "dataset.json"):
            shutil.copy(birds.folder / name, place)
        rows = {}
        for picture in range(right.shape[2]):
            width = FOUND[detect(run.seed, picture)]
            box = [] if width is None else [entry(width, "predicted:detector/fake", score=0.9)]
            rows[f"picture {picture}"] = [entry(50), *box]
        compared(place, rows)
        ArtifactRecord(type="dataset", key=key, inputs={}, **about).write(place)
        step = StepRecord(name="boxes", uses="detector/fake", key=key, inputs={"dataset": "birds"}, status="computed")
        classifier.inputs = {"dataset": "boxes"}
        record.steps[1:] = [step, classifier]
        record.write(folder / run.folder)
    return Results.of(folder)


@pytest.fixture
def small(make: Any, tmp_path: Path) -> Callable[..., Results]:
    """``small(detect)`` is a study of two arms, of 60 pictures and two seeds."""
    study, answers = make

    def made(detect: Detect, arms: Sequence[str] = ("full",)) -> Results:
        one = study(tmp_path, ("crops",), seeds=[0, 1])
        return detecting(one, answers([0.2], seeds=2, pictures=60), detect, arms)

    return made


def overlap_of(results: Results, number: int = 0) -> Grouped:
    return next(one for one in results.groups[number].grouped if one.cut.title == OVERLAP)


def found_by(picture: int) -> str:
    return "no box found" if picture < 40 else "0.5 to 0.75" if picture < 120 else "0.9 or more"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, make: Any) -> tuple[Results, np.ndarray[Any, Any]]:
    """Leaving out ``crops`` costs 40 points where no box was found, and nothing elsewhere; ``noise`` does nothing."""
    study, _ = make
    rng = np.random.default_rng(3)
    right = np.repeat((rng.random((1, 1, 200)) < 0.8), 3, axis=0).repeat(7, axis=1)
    right = right ^ (rng.random(right.shape) < 0.04)
    right[1, :, :40] &= rng.random((7, 40)) < 0.5
    one = study(tmp_path_factory.mktemp("groups"), ("crops", "noise"))
    return detecting(
        one, right, lambda _, picture: found_by(picture), ("full", "without-crops", "without-noise")
    ), right


def test_an_effect_stands_in_the_group_in_which_it_was_planted(shown) -> None:
    results, right = shown
    found = overlap_of(results)
    assert [(one.name, one.pictures, one.holds) for one in found.effects] == [
        ("no box found", 40, True),
        ("0.5 to 0.75", 80, False),
        ("0.9 or more", 80, False),
    ]
    first = found.effects[0]
    assert first.effect == two_way(right[0, :, :40].astype(float) - right[1, :, :40])
    assert first.values == pytest.approx((right[0, :, :40].mean(), right[1, :, :40].mean()))
    assert (found.cut.arm, found.cut.step, found.cut.steady, found.without) == ("full", "boxes", 1.0, 0)
    assert not any(one.holds for each in results.groups[1].grouped for one in each.effects)


def test_all_groups_of_a_comparison_are_corrected_for_together(shown) -> None:
    results, _ = shown
    rows = [one for each in results.groups[0].grouped for one in each.effects]
    assert len(rows) == 5, "by overlap and by how many objects were found"
    assert [one.p for one in rows] == pytest.approx(
        multipletests([one.effect.p_zero for one in rows], method="fdr_bh")[1]
    )


def test_where_nothing_differs_hardly_any_group_is_said_to() -> None:
    rng, sizes, studies = np.random.default_rng(0), (10, 30, 60, 100, 200), 60
    names = tuple(map(str, sizes))
    cut = Cut("boxes", "full", "size", names, np.repeat(np.arange(len(sizes)), sizes), 1.0)
    said, uncorrected = 0, 0
    for _ in range(studies):
        pictures = rng.normal(size=400) + rng.normal(size=(2, 1, 400))  # hard for both, and for each of the two
        right = pictures + rng.normal(0, 0.5, (2, 10, 400)) + rng.normal(0, 0.05, (2, 10, 1)) > -0.8
        reading = Reading(MeasureRecord(step="c", quantity="accuracy"), quantity("accuracy"), right.mean(axis=2))
        reading.outcomes, reading.clusters = right.astype(np.float32), np.arange(400)
        found = grouped(reading, cut, 0, 1)
        uncorrected += any(one.p < 0.05 for one in found.effects)
        said += any(one.holds for one in corrected([found])[0].effects)
    assert said <= 0.05 * studies < uncorrected


def test_they_are_in_the_files_and_on_the_page(shown) -> None:
    results, _ = shown
    folder = results.source.folder
    results.write(folder)
    with (folder / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(json.loads((folder / "results.json").read_text(encoding="utf-8"))["groups"]) == 10
    assert pq.read_table(folder / "groups.parquet").column_names == list(rows[0])
    first = overlap_of(results).effects[0]
    assert float(rows[0]["better_value"]) == first.values[0]
    assert (rows[0]["comparison"], rows[0]["group"], float(rows[0]["p"])) == ("crops", "no box found", first.p)
    page = write_study_report(folder, results).read_text(encoding="utf-8")
    part = page[page.index('id="groups-title"') : page.index('id="seeds-title"')]
    assert (
        f'<th scope="row">no box found</th><td class="num">40</td><td class="num">{100 * first.values[0]:.1f} %' in part
    )
    assert (folder / "figures" / "groups-0.svg").is_file()
    assert "pictures are in none" not in part


def test_too_few_pictures_have_no_p_and_copies_are_one_picture(make, tmp_path) -> None:
    study, _ = make
    right = np.ones((2, 7, 60), dtype=bool)
    right[1, :, :20] = False
    one = study(tmp_path, ("crops",))
    one.copies = [(12, 13)]
    bounds = {"no box found": range(6), "below 0.25": range(6, 11), "0.5 to 0.75": range(11, 17)}

    def detect(_: int, picture: int) -> str:
        return next((name for name, mine in bounds.items() if picture in mine), "0.9 or more")

    found = {one.name: one for one in overlap_of(detecting(one, right, detect)).effects}
    assert [(one.pictures, one.effect.clusters) for one in found.values()] == [(6, 6), (5, 5), (6, 5), (43, 43)]
    assert [name for name, one in found.items() if math.isnan(one.p)] == ["below 0.25", "0.5 to 0.75"]
    assert found["no box found"].effect.p_zero == 0.0
    assert found["no box found"].p >= 2.0**-5, "six pictures that agree are no certainty"
    assert found["below 0.25"].effect.value == 1.0
    assert not found["below 0.25"].holds


def test_fewer_seeds_need_more(make, tmp_path) -> None:
    study, _ = make
    right = np.ones((2, 2, 60), dtype=bool)
    right[1, :, :30] = False
    one = study(tmp_path, ("crops",), seeds=[0, 1])
    found = overlap_of(detecting(one, right, lambda _, picture: "no box found" if picture < 30 else "0.9 or more"))
    assert found.effects[0].p < 0.01
    assert not found.effects[0].holds, "two seeds decide nothing"


def test_where_a_detector_differs_by_seed_a_picture_is_where_it_is_with_most(make, tmp_path) -> None:
    study, answers = make

    def detect(seed: int, picture: int) -> str:
        missed = picture < (10, 20, 30, 30)[[0, 1, 1, 2][seed]]
        return "no box found" if missed else "below 0.25"

    right = answers([0.2], seeds=4, pictures=50)
    results = detecting(study(tmp_path, ("crops",), seeds=[0, 1, 2, 3]), right, detect)
    found = overlap_of(results)
    assert [(one.name, one.pictures) for one in found.effects] == [("no box found", 20), ("below 0.25", 30)]
    assert found.cut.steady == pytest.approx(0.6)
    (one,) = shown_groups(results, Figures(tmp_path))
    said = "each picture is in the group in which it is with most seeds; 60 % are in the same one with all of them"
    assert {part.remark for part in one.parts} == {said}


def test_of_equally_many_seeds_the_first_group_is_taken_and_none_where_that_is_most_often() -> None:
    seeds = [np.array(one) for one in ([1, -1, 0, -1], [0, -1, 0, -1], [0, 0, 1, 1], [1, 1, 1, 1])]
    groups, steady = most_often(seeds, 2)
    assert groups.tolist() == [0, -1, 0, 1]
    assert steady == 0.0


def test_groups_are_the_baselines_and_those_of_the_other_arm_where_it_has_no_such_step(make, tmp_path, small) -> None:
    study, answers = make
    one = study(tmp_path / "other", ("crops", "noise"), seeds=[0, 1])
    right = answers([0.2, 0.2], seeds=2, pictures=60)
    results = detecting(one, right, lambda _, picture: found_by(2 * picture), ("without-crops",))
    assert overlap_of(results).cut.arm == "without-crops"
    assert results.groups[1].grouped == ()
    assert overlap_of(small(lambda _, picture: found_by(2 * picture), ("full", "without-crops"))).cut.arm == "full"


def test_groups_of_a_step_that_the_measure_does_not_stand_on_are_none(small) -> None:
    results = small(lambda _, picture: found_by(picture))
    for run in results.record.runs:
        record = RunRecord.read(results.source.folder / run.folder)
        record.step("classifier").inputs = {"dataset": "birds"}
        record.write(results.source.folder / run.folder)
    assert Results.of(results.source.folder).groups[0].grouped == ()


def test_what_is_one_group_alone_is_not_shown(small, tmp_path) -> None:
    results = small(lambda *_: "0.9 or more")
    assert results.groups[0].grouped == ()
    assert shown_groups(results, Figures(tmp_path)) == []
    results.write(tmp_path)
    assert (tmp_path / "groups.csv").is_file()


def test_groups_that_cannot_be_told_are_said_and_the_rest_is_shown(small, tmp_path, monkeypatch) -> None:
    results = small(lambda _, picture: found_by(picture))

    def broken(folder: Path, split: str) -> list[Grouping]:
        raise KeyError(split)

    for function, said in ((broken, "groups() raised KeyError: 'test'"), (lambda *_: None, "groups() gave NoneType")):
        monkeypatch.setattr(detected, "groups", function)
        (one,) = shown_groups(Results.of(results.source.folder), Figures(tmp_path))
        assert (one.chart, one.parts) == (None, ())
        assert one.problems[0].startswith(f"step boxes of full: {said}")
    page = environment().get_template("study_groups.html.j2").render(groups=[one], quantity=quantity("accuracy"))
    assert "Not by groups of step boxes of full: groups() gave NoneType, not a list of Grouping" in page
    monkeypatch.undo()
    shutil.rmtree(results.source.run("full", 1).step("boxes").folder)
    assert Results.of(results.source.folder).groups[0].problems[0].startswith("step boxes of full: ")


def test_a_row_that_names_groups_where_there_are_none_is_told_before_a_run() -> None:
    room = "fgic_core.kinds.cropper"
    row = Kind("tracker", f"{room}.contract:Cropper", f"{room}.driver", groups=f"{room}.contract", package="fgic-track")
    with pytest.raises(
        PluginError, match=f"the groups of pictures of the kind tracker, {room}.contract, has no groups"
    ):
        check_row(row)
    check_row(replace(row, groups=f"{room}.groups"))


def test_the_table_of_boxes_has_the_columns_that_groups_read() -> None:
    assert {"id", "split", "iou", "predicted", "annotated", "region", "kept", "objects", "found"} <= set(COMPARED.names)
