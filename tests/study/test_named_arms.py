"""Arms with names among the comparisons, and the parts of a way from one arm to another, on planted numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgic_core.metrics.two_way import two_way
from fgic_core.metrics.verdicts import holm
from fgic_core.report.study import write_study_report
from fgic_core.store.study import ArmRecord, MeasureRecord, PathStepRecord, StudyRecord
from fgic_core.study import words
from fgic_core.study.results import Results

WAY = [("whole", "whole"), ("masked", "context"), ("oracle", "<b>scale</b>"), ("full", "errors of the detector")]


def _record(make: Any, root: Path, arms: list[ArmRecord], ablate: tuple[str, ...] = (), **about: Any) -> Any:
    study, _ = make
    return study(root, ablate, arms=[ArmRecord(name="full", left_out=[], levels={}), *arms], **about)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, make: Any) -> tuple[Path, Results, np.ndarray[Any, Any]]:
    """A way of four arms, one of which lacks a seed: full 80 %, whole 50, masked 60, oracle 85."""
    arms = [
        ArmRecord(name="whole", left_out=["crops"], levels={}),
        ArmRecord(name="masked", left_out=[], levels={"crops.with.outside": "mask"}, under="arms"),
        ArmRecord(name="oracle", left_out=[], levels={}, oracle=True),
    ]
    way = [PathStepRecord(arm=arm, part=part) for arm, part in WAY]
    right = make[1]([0.3, 0.2, -0.05])
    folder = _record(make, tmp_path_factory.mktemp("walked"), arms, ("crops",), decompose=way).write(
        right, failed=[(2, 3)]
    )
    return folder, Results.of(folder), right


def test_parts_sum_to_the_whole_over_the_seeds_that_every_arm_of_the_way_has(walked):
    _, results, right = walked
    found = results.decomposition
    seeds = [0, 1, 2, 4, 5, 6]
    tables = {name: right[number][seeds].astype(float) for number, name in enumerate(("full", "whole", "masked"))}
    tables["oracle"] = right[3][seeds].astype(float)
    assert found.way == ("whole", "masked", "oracle", "full")
    assert [(one.name, one.before, one.arm) for one in found.parts] == [
        ("context", "whole", "masked"),
        ("<b>scale</b>", "masked", "oracle"),
        ("errors of the detector", "oracle", "full"),
    ]
    for part in found.parts:
        assert part.effect == two_way(tables[part.arm] - tables[part.before])
        assert part.effect.low < part.effect.value < part.effect.high
    assert found.whole == two_way(tables["full"] - tables["whole"])
    assert abs(sum(part.effect.value for part in found.parts) - found.whole.value) < 1e-12
    for seed in range(6):
        assert abs(sum(part.effect.by_seed[seed] for part in found.parts) - found.whole.by_seed[seed]) < 1e-12
    assert found.start == pytest.approx(tables["whole"].mean(), abs=1e-12)
    assert results.comparisons[0].effects[0].seeds == 7, "where nothing lacks a seed, all of them count"


def test_a_named_arm_is_one_comparison_of_the_family_and_what_is_beside_is_in_none(make, tmp_path):
    arms = [
        ArmRecord(name="without-crops", left_out=["crops"], levels={}),
        ArmRecord(name="crops", left_out=[], levels={"classifier.with.epochs": 40}, under="arms"),
        ArmRecord(name="few", left_out=[], levels={"birds.with.n": 5}, under="beside"),
        ArmRecord(name="same", left_out=[], levels={"birds.with.n": None}, under="arms"),
    ]
    right = make[1]([0.1, -0.1, 0.2, 0.0], pictures=600)
    results = Results.of(_record(make, tmp_path, arms, ("crops",)).write(right))
    assert [(one.name, one.role, one.verdict, one.better, one.other) for one in results.comparisons] == [
        ("crops", "step", "necessary", "full", "without-crops"),
        ("crops", "arm", "better by more than the margin", "crops", "full"),
        ("same", "arm", "equivalent", "same", "full"),
        ("few", "beside", "", "few", "full"),
    ]
    step, arm, same, few = results.comparisons
    assert few.judged is None
    assert few.effects[0] == two_way(right[3].astype(float) - right[0])
    assert results.document()["family"] == ["crops", "crops", "same"]
    alone = [one.judged.effect.p_zero for one in (step, arm, same)]
    assert [one.judged.p_zero for one in (step, arm, same)] == pytest.approx(holm(alone))
    assert words.sentence(arm, results).startswith("crops: accuracy is 10.9 points higher than full's (95 %")
    assert words.sentence(same, results).startswith("same: accuracy is 0.0 points apart from full's (95 %")
    assert words.sentence(few, results).endswith("; it is in no family of tests.")
    assert words.question(results) == "Does step crops help; how do arms crops and same compare with full, by accuracy?"


def test_a_named_arm_that_is_a_steps_or_a_levels_is_compared_once(make, tmp_path):
    axis = "classifier.with.epochs"
    arms = [
        ArmRecord(name="full", left_out=[], levels={axis: 20}),
        ArmRecord(name="cropless", left_out=["crops"], levels={axis: 20}, under="beside"),
        ArmRecord(name="longer", left_out=[], levels={axis: 40}, under="arms"),
        ArmRecord(name="longest", left_out=[], levels={axis: 80}, under="arms"),
    ]
    one = make[0](tmp_path, ("crops",), arms=arms, axes={axis: [20, 40]})
    results = Results.of(one.write(make[1]([0.1, -0.1, -0.1], pictures=60)))
    assert [(one.name, one.role, one.better, one.other) for one in results.comparisons] == [
        ("crops", "step", "full", "cropless"),
        (f"{axis} = 40", "level", "longer", "full"),
        ("longest", "arm", "longest", "full"),
    ]


def test_an_arm_with_a_level_that_is_no_axis_is_no_other_arm(make, tmp_path):
    axis = "crops.with.margin"
    arms = [
        ArmRecord(name="full", left_out=[], levels={axis: 0}),
        ArmRecord(name="odd", left_out=[], levels={axis: 1, "classifier.with.names": None}, under="beside"),
    ]
    one = make[0](tmp_path, (), arms=arms, axes={axis: [0, 1]})
    level, odd = Results.of(one.write(make[1]([0.1], pictures=20))).comparisons
    assert (level.better, level.verdict, odd.name) == ("", "undecided", "odd")
    assert level.why.startswith("one of the two pipelines is not among the study's arms")


def test_of_a_way_with_an_arm_that_has_no_number_nothing_is_made_up(make, tmp_path):
    arms = [ArmRecord(name=name, left_out=[], levels={}, under="beside") for name in ("a", "b")]
    way = [PathStepRecord(arm=name, part=name) for name in ("a", "b", "full")]
    failed = [(2, seed) for seed in range(7)]
    folder = _record(make, tmp_path, arms, decompose=way).write(make[1]([0.1, 0.2], pictures=20), failed=failed)
    results = Results.of(folder)
    assert (results.decomposition.whole, results.decomposition.parts) == (None, ())
    assert words.answer(results) == "From a to full, nothing can be said, for no run of b has a number."
    assert results.document()["decomposition"]["start"] is None
    text = write_study_report(folder, results).read_text(encoding="utf-8")
    assert "From a to full, nothing can be said, for no run of b has a number." in text
    assert not (folder / "figures" / "decomposition.svg").exists()


def test_a_way_of_what_is_better_when_less_is_told_as_it_is_measured(make, tmp_path):
    arms = [ArmRecord(name="slow", left_out=[], levels={}, under="arms")]
    way = [PathStepRecord(arm="slow", part="slow"), PathStepRecord(arm="full", part="speed")]
    measure = [MeasureRecord(step="", quantity="fit_seconds")]
    one = _record(make, tmp_path, arms, decompose=way, measure=measure)
    results = Results.of(one.write(make[1]([0.0], pictures=12)))
    assert results.decomposition.whole.value == pytest.approx(1.0), "a second less is better"
    assert " falls by 1 s (95 % 1 to 1): speed -1 s." in words.answer(results)


def test_the_parts_are_in_the_files(walked, tmp_path):
    _, results, _ = walked
    results.write(tmp_path)
    told = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["decomposition"]
    assert [part["name"] for part in told["parts"]] == [part for _, part in WAY[1:]]
    assert abs(sum(part["effect"]["value"] for part in told["parts"]) - told["whole"]["value"]) < 1e-12
    with (tmp_path / "effects.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in ("part", "whole")]
    assert [(row["comparison"], row["better"], row["other"], row["verdict"]) for row in rows] == [
        ("context", "masked", "whole", ""),
        ("<b>scale</b>", "oracle", "masked", ""),
        ("errors of the detector", "full", "oracle", ""),
        ("all parts", "full", "whole", ""),
    ]
    assert float(rows[-1]["effect"]) == results.decomposition.whole.value


def test_the_page_has_the_way_in_words_a_waterfall_and_a_table(walked):
    folder, results, _ = walked
    said = words.way(results)
    assert said.startswith("From whole to full, accuracy rises by ")
    amounts = [
        words.amount(one.effect.value, results.readings[0].quantity, sign=True) for one in results.decomposition.parts
    ]
    assert f"context {amounts[0]}, <b>scale</b> {amounts[1]} and errors of the detector {amounts[2]}." in said
    text = write_study_report(folder, results).read_text(encoding="utf-8")
    assert "context" in text[: text.index("<h2")], "it is in the answer"
    assert 'id="decomposition-title">From whole to full</h2>' in text
    for name, amount in zip(("context", "&lt;b&gt;scale&lt;/b&gt;", "errors of the detector"), amounts, strict=True):
        row = text[text.index(f'<th scope="row">{name}</th>') :]
        assert amount in row[: row.index("</tr>")]
    way = "whole, masked (context), oracle (&lt;b&gt;scale&lt;/b&gt;), full (errors of the detector)"
    assert f"<dt>The way</dt><dd>{way}</dd>" in text
    assert "<dt>Beside it</dt><dd>test crops to annotated boxes</dd>" in text
    assert "over the 6 seeds, 200 test pictures that every arm of it has" in text
    figure = (folder / "figures" / "decomposition.svg").read_text(encoding="utf-8")
    assert "From whole to full, part by part" in figure
    assert "without them" not in figure


def test_a_study_from_before_arms_had_names_is_read(walked, tmp_path):
    folder, _, _ = walked
    old = json.loads((folder / "study.json").read_text(encoding="utf-8")) | {"format": 1}
    del old["decompose"], old["worth"]
    for arm in old["arms"]:
        del arm["under"]
    (tmp_path / "study.json").write_text(json.dumps(old), encoding="utf-8")
    record = StudyRecord.read(tmp_path)
    assert ([arm.under for arm in record.arms], record.decompose, record.worth) == ([""] * 4, [], None)
