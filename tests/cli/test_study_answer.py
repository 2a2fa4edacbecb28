"""What the terminal says of a study: what it will be able to show, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fgic_core.cli.study import pictures_of, print_results, print_study, report_study
from fgic_core.pipeline import Pipeline
from fgic_core.run.study import study_record
from fgic_core.study.results import Results

SPEC = """\
version: 1
name: toys
steps:
  dots: {uses: dataset/dots, with: {count: 3}}
  crops: {uses: cropper/exact}
  classifier: {uses: classifier/linear, with: {epochs: 1, val_fraction: 0.34}}
  attack: {uses: attacker/sign, with: {eps: [0, 8/255], samples: 4}}
study:
"""


@pytest.fixture
def planned(module_toys: Path, tmp_path: Path) -> Any:
    """The plan of a study with this block; with ``read`` its data set is read before."""

    def planned(block: str, *, read: bool = False) -> Any:
        file = tmp_path / "toys.yaml"
        file.write_text(SPEC + "".join(f"  {line}\n" for line in block.splitlines()), encoding="utf-8")
        pipeline = Pipeline.from_yaml(file)
        if read:
            pipeline.run(store=tmp_path / "store", runs=tmp_path / "runs", until="dots", report=False)
        return Pipeline.from_yaml(file).plan_study(tmp_path / "store")

    return planned


def test_check_says_what_a_study_can_show_and_what_it_never_can(
    planned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned("seeds: [0, 1, 2, 3, 4]\nablate: [crops]\nmatrix: {classifier.with.epochs: [1, 2, 3]}\nmargin: 1")
    assert plan.study.comparisons == 3
    print_study(plan, False)
    said = " ".join(capsys.readouterr().out.split())
    assert "What it will be able to show, of 3 comparisons on accuracy" in said
    assert "The sign-flip test cannot go below p = 0.1875 with 5 seeds and 3 comparisons: it takes 7 seeds." in said
    assert "Equivalence within 1.0 points cannot be counted on" in said
    for count in ("400", "2,000", "10,000"):
        assert f"With 5 seeds and {count} test pictures an effect of" in said
    assert "How many test pictures there are is known once the data set was read." in said
    print_study(plan, True)
    told = json.loads(capsys.readouterr().out)
    assert (told["comparisons"], [row["pictures"] for row in told["foretold"]]) == (3, [400, 2000, 10000])


def test_once_the_data_set_was_read_its_test_pictures_are_counted(
    planned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned("seeds: [0, 1]\nablate: [crops]", read=True)
    count = pictures_of(plan)
    assert count > 4
    print_study(plan, False)
    said = " ".join(capsys.readouterr().out.split())
    assert f"With 2 seeds and {count} test pictures nothing can be shown: it takes 3 seeds to decide anything." in said
    assert "How many test pictures" not in said
    attacked = planned(
        "seeds: [0, 1]\nablate: [crops]\nmeasure: [{step: attack, quantity: robust_accuracy, at: {eps: 8/255}}]",
        read=True,
    )
    assert pictures_of(attacked) == 4
    print_study(plan, True)
    assert json.loads(capsys.readouterr().out)["foretold"][0]["effect"] is None


def test_of_numbers_that_nobody_knows_the_spread_of_nothing_is_foretold(
    planned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned("seeds: [0, 1, 2]\nablate: [crops]\nmeasure: [fit_seconds]")
    print_study(plan, False)
    assert "is not known before it is run: nobody knows how that varies." in " ".join(capsys.readouterr().out.split())
    print_study(plan, True)
    assert json.loads(capsys.readouterr().out)["foretold"] == []


def test_arms_with_names_are_told_by_check_with_what_they_are_for(
    planned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    block = (
        "seeds: [0, 1, 2]\nablate: [crops]\narms: {longer: {classifier.with.epochs: 2}}\n"
        "beside: {few: {dots.with.count: 2, without: crops}}\n"
        "decompose: [without-crops, {cropping: full}, longer]\nworth: {arms: [full], curve: [few, without-crops]}"
    )
    plan = planned(block)
    print_study(plan, False)
    said = " ".join(capsys.readouterr().out.split())
    assert "longer classifier.with.epochs: 2 0 to 2 few without crops, dots.with.count: 2 (beside) 0 to 2" in said
    assert "12 runs: 4 arms, 3 seeds each, compared with full." in said
    assert "What it will be able to show, of 2 comparisons on accuracy" in said
    assert (
        "What longer has more than without-crops is told part by part: without-crops, full (cropping), longer." in said
    )
    assert "What made pictures of full are worth is told by real ones alone: few, without-crops." in said
    print_study(plan, True)
    told = json.loads(capsys.readouterr().out)
    assert [(arm["name"], arm["under"]) for arm in told["arms"]] == [
        *(("full", ""), ("without-crops", ""), ("longer", "arms"), ("few", "beside"))
    ]
    assert told["decompose"][1] == {"arm": "full", "part": "cropping"}
    record = study_record(plan, {"started": ""})
    assert [(arm.name, arm.under, arm.levels) for arm in record.arms[2:]] == [
        *(("longer", "arms", {"classifier.with.epochs": 2}), ("few", "beside", {"dots.with.count": 2}))
    ]
    assert [(one.arm, one.part) for one in record.decompose][1:] == [("full", "cropping"), ("longer", "longer")]
    assert record.worth is not None
    assert (record.worth.arms, record.worth.curve) == (["full"], ["few", "without-crops"])
    assert (told["comparisons"], told["worth"]) == (2, {"arms": ["full"], "curve": ["few", "without-crops"]})


def test_check_calls_no_arm_beside_the_family_whose_comparison_is_in_it(
    planned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    block = (
        "seeds: [0]\nablate: [crops]\nmatrix: {classifier.with.epochs: [1, 2]}\nbeside:\n"
        "  cropless: {without: crops}\n  longer: {classifier.with.epochs: 2}\n  longest: {classifier.with.epochs: 3}"
    )
    print_study(planned(block), False)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "cropless without crops 0 longer classifier.with.epochs: 2 0 longest classifier.with.epochs: 3 (beside) 0"
        in said
    )


def test_a_study_answers_with_a_table_a_page_and_words(
    planned: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = "measure: [{step: classifier, quantity: accuracy}, fit_seconds]"
    named = "arms: {cropless: {without: crops}}\ndecompose: [without-crops, {cropping: full}]"
    planned(f"seeds: [0, 1, 2]\nablate: [crops]\n{measure}\n{named}")
    result = Pipeline.from_yaml(tmp_path / "toys.yaml").run(store=tmp_path / "store", runs=tmp_path / "runs")
    assert result.ok
    assert result.report == result.folder / "report.html"
    results = result.results()
    assert results.readings[0].values.shape == (2, 3)
    assert (results.readings[1].values > 0).all()
    written = (result.folder / "results.json").read_text(encoding="utf-8")
    print_results(results)
    said = " ".join(capsys.readouterr().out.split())
    assert "Does step crops help; what lies between cropless and full, by accuracy?" in said
    assert results.decomposition is not None
    assert "From cropless to full, accuracy " in said
    assert results.record.arms[1].name == "cropless"
    assert (result.folder / "runs" / "cropless" / "seed-2" / "run.json").is_file()
    assert f"crops {results.comparisons[0].verdict}" in said
    result.report.unlink()
    (result.folder / "results.json").unlink()
    assert report_study(result.folder, None) == result.report
    assert (result.folder / "results.json").read_text(encoding="utf-8") == written
    assert Results.of(result.folder).document() == json.loads(written)
