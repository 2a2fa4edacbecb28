"""What a study's runs show: pairing by picture, effects, verdicts, files, the page."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from statsmodels.stats.multitest import multipletests

from fgic_core.data.artifact import Metric
from fgic_core.errors import StoreError
from fgic_core.metrics.power import foretell
from fgic_core.metrics.two_way import Variances, two_way
from fgic_core.report.study import write_study_report
from fgic_core.store.record import StepRecord
from fgic_core.store.study import ArmRecord, MeasureRecord
from fgic_core.study import words
from fgic_core.study.effects import by_class, flipped
from fgic_core.study.pictures import Rows, clusters_of
from fgic_core.study.readings import Readings, difference, metric_of
from fgic_core.study.results import FILES, Results
from fgic_core.study.unmeasured import unmeasured


def _names(results: Results) -> dict[str, str]:
    return {one.name: one.verdict for one in results.comparisons}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, make: Any) -> tuple[Path, Results, np.ndarray[Any, Any]]:
    """A study of which leaving out ``crops`` costs 20 points and ``noise`` nothing at all."""
    study, answers = make
    right = answers([0.2, 0.0], pictures=600)
    folder = study(tmp_path_factory.mktemp("shown"), ("crops", "noise")).write(right)
    return folder, Results.of(folder), right


def test_a_step_that_helps_is_necessary_and_one_that_does_nothing_is_equivalent(shown):
    _, results, right = shown
    assert _names(results) == {"crops": "necessary", "noise": "equivalent"}
    crops = results.comparisons[0]
    by_hand = two_way(right[0].astype(float) - right[1])
    assert crops.effects[0] == by_hand
    assert crops.judged is not None
    assert crops.judged.p_zero == pytest.approx(min(1.0, by_hand.p_zero * 2), rel=1e-9)


def test_a_step_that_does_harm_is_called_harmful(make, tmp_path):
    study, answers = make
    right = answers([-0.1, 0.0], pictures=600)
    results = Results.of(study(tmp_path, ("bad", "noise")).write(right))
    assert _names(results) == {"bad": "harmful", "noise": "equivalent"}
    said = words.sentence(results.comparisons[0], results)
    assert "Leaving bad out raises accuracy by" in said
    effect = results.comparisons[0].effects[0]
    assert f"(95 % {-100 * effect.high:.1f} to {-100 * effect.low:.1f};" in said, "as the size that it is told of"


def test_the_same_pipeline_twice_that_differs_by_chance_is_not_called_anything_else(make, tmp_path):
    study, _ = make
    right = np.random.default_rng(4).random((3, 7, 200)) < 0.8
    assert set(_names(Results.of(study(tmp_path, ("a", "b")).write(right))).values()) <= {"equivalent", "undecided"}


def test_pictures_are_paired_whatever_order_a_run_lists_them_in(shown):
    _, results, right = shown
    reading = results.readings[0]
    assert reading.ids[:2] == ("picture 0", "picture 1")
    assert np.array_equal(reading.outcomes, right.astype(np.float32))
    assert reading.labels is not None
    assert reading.labels[:5].tolist() == [0, 1, 2, 3, 0]


def test_near_duplicates_are_one_picture(make, tmp_path):
    study, answers = make
    one = study(tmp_path, ("crops",))
    one.copies = [(0, 1), (1, 2), (5, 9)]
    results = Results.of(one.write(answers([0.1])))
    clusters = results.readings[0].clusters
    assert clusters is not None
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]
    assert clusters[5] == clusters[9]
    effect = results.comparisons[0].effects[0]
    assert effect is not None
    assert effect.clusters == 197


def test_crops_of_one_file_are_one_picture():
    rows = Rows({"a": ("1", 0), "b": ("2", 0), "c": ("1", 1), "d": ("", 0), "e": ("", 0)}, ("x", "y"))
    a, b, c, d, e = clusters_of(("a", "b", "c", "d", "e"), rows, [("d", "b"), ("d", "of another split")])
    assert a == c != b == d != e  # of what has no digest nothing is known
    assert len(set(clusters_of(("a", "b", "c"), None, []))) == 3


def test_a_seed_counts_where_both_pipelines_have_a_number(make, tmp_path):
    study, answers = make
    measures = [MeasureRecord(step="classifier", quantity="accuracy"), MeasureRecord(step="", quantity="fit_seconds")]
    one = study(tmp_path, ("crops",), measure=measures)
    results = Results.of(one.write(answers([0.2], pictures=40), failed=[(1, 3), (0, 5)]))
    assert [effect.seeds for effect in results.comparisons[0].effects] == [5, 5]
    assert results.comparisons[0].effects[1].value == pytest.approx(1.0)


def test_a_run_that_failed_is_left_out_with_its_seed_and_said(make, tmp_path):
    study, answers = make
    results = Results.of(study(tmp_path, ("crops", "noise")).write(answers([0.2, 0.0]), failed=[(1, 3)]))
    assert [one.effects[0].seeds for one in results.comparisons] == [6, 7]
    assert results.readings[0].problems == ["without-crops, seed 3: step classifier has no result: it broke"]
    row = next(row for row in results.runs() if (row["arm"], row["seed"]) == ("without-crops", 3))
    assert (row["status"], row["value"]) == ("failed", None)


def test_where_no_run_of_an_arm_has_a_number_there_is_no_verdict_and_the_reason(make, tmp_path):
    study, answers = make
    failed = [(2, seed) for seed in range(7)]
    results = Results.of(study(tmp_path, ("crops", "noise")).write(answers([0.2, 0.0]), failed=failed))
    noise = results.comparisons[1]
    assert (noise.verdict, noise.why) == ("undecided", "no run of without-noise has a number")
    assert words.sentence(noise, results) == "noise: nothing can be said, for no run of without-noise has a number."
    # The family was chosen before: what is left of it is still two comparisons.
    assert len(results.document()["family"]) == 2
    crops = results.comparisons[0].judged
    assert crops is not None
    assert crops.p_zero == pytest.approx(2 * crops.effect.p_zero, rel=1e-9)
    assert crops.sign_flip_floor == 2 * 2**-6


def test_pictures_of_another_content_are_not_compared(make, tmp_path):
    study, answers = make
    folder = study(tmp_path, ("crops",)).write(answers([0.1], pictures=40))
    results = Results.of(folder)
    rows = next(iter(results.source._rows.values()))
    ids = results.readings[0].ids
    assert difference(ids, rows, ids, rows) == ""
    assert "it lacks 1 (picture 0, …)" in difference(ids, rows, ids[1:], rows)
    assert "it has 1 more (x, …)" in difference(ids, rows, (*ids, "x"), rows)
    other = rows._replace(about=rows.about | {"picture 3": ("other", 3)})
    assert difference(ids, rows, ids, other) == "1 pictures have other content or another label (picture 3, …)"
    assert difference(ids, rows, ids, rows._replace(classes=("a",))) == "its classes are others"


def test_a_mean_that_is_not_the_number_is_refused(make, tmp_path):
    study, answers = make
    one = study(tmp_path, ("crops",))
    folder = one.write(answers([0.1], pictures=40))
    artifact = next((tmp_path / "store").glob("artifacts/*/*/predictions.parquet"))
    table = pq.read_table(artifact)
    pq.write_table(table.slice(5), artifact)
    problems = Readings(folder, Results.of(folder).record).measures[0].problems
    assert any("the pictures' mean of accuracy is" in one for one in problems)


def test_all_combinations_sum_to_the_total(make, tmp_path):
    study, answers = make
    right = answers([0.03, 0.2, 0.22], pictures=100)
    results = Results.of(study(tmp_path, ("boxes", "crops"), every=True).write(right))
    found = results.combinations
    assert found is not None
    assert abs(sum(one.shapley.value for one in found.worths) - found.total.value) < 1e-12
    assert found.total.value == pytest.approx(right[0].mean() - right[3].mean(), abs=1e-12)
    crops = found.worths[1]
    assert crops.add_one_in.value == pytest.approx(right[1].mean() - right[3].mean(), abs=1e-12)
    assert crops.leave_one_out == results.comparisons[1].effects[0]
    by_hand = right[0].mean() - right[1].mean() - right[2].mean() + right[3].mean()
    assert found.pairs[0].effect.value == pytest.approx(by_hand, abs=1e-12)
    assert Results.of(study(tmp_path / "alone", ("boxes",)).write(right[:2])).combinations is None


def test_levels_that_python_calls_equal_or_that_print_alike_are_levels_of_their_own(make, tmp_path):
    study, answers = make
    levels = [0, False, 1, True, "1"]
    arms = [
        ArmRecord(name=f"arm-{n}" if n else "full", left_out=[], levels={"c.with.n": one})
        for n, one in enumerate(levels)
    ]
    effects = [-0.05, 0.2, -0.1, 0.1]
    right = answers(effects, pictures=600)
    found = Results.of(study(tmp_path, (), arms=arms, axes={"c.with.n": levels}).write(right)).comparisons
    assert [one.name for one in found] == [f"c.with.n = {said}" for said in ("false", "1", "true", '"1"')]
    assert [(one.better, one.other) for one in found] == [(f"arm-{number}", "full") for number in (1, 2, 3, 4)]
    for number, one in enumerate(found, 1):
        assert one.judged is not None
        assert one.judged.effect == one.effects[0] == two_way(right[number].astype(float) - right[0])
    verdicts = [one.verdict.partition(" ")[0] for one in found]
    assert verdicts == ["better", "worse", "better", "worse"]


def test_another_level_is_compared_with_the_baselines(make, tmp_path):
    study, answers = make
    arms = [
        ArmRecord(name="full", left_out=[], levels={"crops.with.margin": 0}),
        ArmRecord(name="wide", left_out=[], levels={"crops.with.margin": 0.1}),
        ArmRecord(name="without-crops", left_out=["crops"], levels={}),
    ]
    one = study(tmp_path, ("crops",), arms=arms, axes={"crops.with.margin": [0, 0.1]})
    results = Results.of(one.write(answers([-0.1, 0.2])))
    assert _names(results) == {"crops": "necessary", "crops.with.margin = 0.1": "better by more than the margin"}
    assert results.comparisons[1].effects[0].value > 0.05
    assert "Crops.with.margin = 0.1: accuracy is" in words.sentence(results.comparisons[1], results)
    assert words.question(results) == "Does step crops help; which level of crops.with.margin is best, by accuracy?"


def test_the_oracle_stands_beside_the_family(make, tmp_path):
    study, answers = make
    arms = [
        ArmRecord(name="full", left_out=[], levels={}),
        ArmRecord(name="oracle", left_out=[], levels={}, oracle=True),
    ]
    results = Results.of(study(tmp_path, (), arms=arms).write(answers([-0.1])))
    oracle = results.comparisons[0]
    assert (oracle.role, oracle.judged, oracle.verdict) == ("oracle", None, "")
    assert oracle.effects[0].value > 0.05
    assert results.document()["family"] == []


def test_less_is_better_where_the_quantity_says_so(make, tmp_path):
    study, answers = make
    measures = [MeasureRecord(step="classifier", quantity="accuracy"), MeasureRecord(step="", quantity="fit_seconds")]
    results = Results.of(study(tmp_path, ("crops",), measure=measures).write(answers([0.2])))
    seconds = results.comparisons[0].effects[1]
    # The trainings of the toy take a second longer in each further arm: the full pipeline is the better one.
    assert seconds.value == pytest.approx(1.0)
    assert seconds.clusters == 0
    assert results.readings[1].values[0].tolist() == [2.0 + s for s in range(7)]


def test_a_metric_is_that_of_test_unless_a_split_is_named(make, tmp_path):
    study, answers = make
    results = Results.of(study(tmp_path, ("crops",)).write(answers([0.2], pictures=20)))
    artifact = next(iter(results.source._artifacts.values()))
    test = artifact.metrics[0]
    changed = artifact.model_copy(update={"metrics": [test.model_copy(update={"split": "val", "value": 0.1}), test]})
    assert metric_of(changed, MeasureRecord(step="classifier", quantity="accuracy")) == test
    assert metric_of(changed, MeasureRecord(step="classifier", quantity="accuracy", split="val")).value == 0.1
    assert metric_of(changed, MeasureRecord(step="classifier", quantity="loss")) is None


@pytest.fixture(scope="module")
def attacked(make: Any) -> Any:
    """Makes a study of two arms whose runs attack their classifier at eps 0 and 4/255, with these measures."""
    study, answers = make

    class Attacked(study):  # type: ignore[misc, valid-type]
        def _between(self, arm: str, seed: int, data: str) -> list[StepRecord]:
            metrics = [
                Metric(name="robust_accuracy", split="test", value=value, n=2, at={"norm": "Linf", "eps": eps})
                for eps, value in ((0.0, 1.0), (4 / 255, 0.5))
            ]
            about = {"uses": "attacker/fake", "metrics": metrics}
            key, folder = self._artifact(f"{arm}, {seed}, attack", "robustness", **about)
            rows = {"eps": [0.0] * 2 + [4 / 255] * 2, "id": ["picture 0", "picture 1"] * 2, "label": [0, 1] * 2}
            pq.write_table(
                pa.table(rows | {"clean": [1] * 4, "adversarial": [1, 1, 0, 1]}), folder / "robustness.parquet"
            )
            birds = {"dataset": "birds"}
            pgd = StepRecord(name="pgd", uses="attacker/fake", key=key, inputs=birds, status="computed")
            return [pgd, StepRecord(name="same", uses="dataset/fake", key=data, inputs=birds, status="reused")]

    def made(root: Path, *measures: MeasureRecord, **about: Any) -> Path:
        one = Attacked(root, ("crops",), measure=list(measures), seeds=[0, 1, 2], **about)
        folder: Path = one.write(answers([0.2], seeds=3, pictures=20))
        return folder

    return made


def test_a_measure_that_means_one_of_several_numbers_has_none_and_asks_which(attacked, tmp_path):
    about = {"step": "pgd", "quantity": "robust_accuracy"}
    measures = [MeasureRecord(**about), MeasureRecord(**about, at={"eps": 4 / 255})]
    several, one = Results.of(attacked(tmp_path, *measures)).readings
    assert np.isnan(several.values).all()
    assert several.outcomes is None
    (problem,) = several.problems
    assert problem == (
        "step pgd measured robust_accuracy at several values: eps=0; eps=0.01568627; say which: at: {eps: 0.01568627}"
    )
    assert (one.values.tolist(), one.problems) == ([[0.5] * 3] * 2, [])
    said = MeasureRecord(**about, at={"eps": float(problem.rpartition(" ")[2].strip("}"))})
    assert Results.of(attacked(tmp_path / "said", said)).readings[0].values.tolist() == one.values.tolist()


@pytest.mark.parametrize(
    ("measure", "what", "hint"),
    [
        (
            {"step": "pgd", "quantity": "robust_accuracy", "at": {"eps": 0.5}},
            "no run has a number of robust_accuracy (eps=0.5): step pgd measured none",
            "It measured robust_accuracy (test) at eps=0; eps=0.01568627. Write measure: "
            "[{step: pgd, quantity: robust_accuracy, at: {eps: 0.01568627}}], or another of its numbers.",
        ),
        (
            {"step": "pgd", "quantity": "accuracy"},
            "no run has a number of accuracy: step pgd measured none",
            "It measured robust_accuracy (test) at eps=0; eps=0.01568627. Write measure: "
            "[{step: classifier, quantity: accuracy}].",
        ),
        (
            {"step": "classifier", "quantity": "accuracy", "split": "val"},
            "no run has a number of accuracy (val): step classifier measured none",
            "It measured accuracy (test). Write measure: [{step: classifier, quantity: accuracy}], or another of its "
            "numbers.",
        ),
        (
            {"step": "pgd", "quantity": "robust_accuracy"},
            "step pgd measured robust_accuracy at several values: eps=0; eps=0.01568627; say which: at: "
            "{eps: 0.01568627}",
            "",
        ),
    ],
)
def test_of_a_measure_without_a_number_it_is_said_what_to_write_instead(attacked, tmp_path, measure, what, hint):
    some = MeasureRecord(step="classifier", quantity="accuracy")
    (found,) = unmeasured(Results.of(attacked(tmp_path, some, MeasureRecord(**measure))))
    assert (found.number, found.what, found.hint, found.left_out) == (1, what, hint, False)


def test_classes_and_flipped_pictures(shown):
    _, results, right = shown
    reading = results.readings[0]
    rows = by_class(reading, 0, 1)
    assert sum(row.pictures * row.effect.value for row in rows) == pytest.approx(
        600 * (right[0].mean() - right[1].mean())
    )
    assert [row.effect.value for row in rows] == sorted((row.effect.value for row in rows), reverse=True)
    assert all(row.p >= row.effect.p_zero for row in rows)
    lost = flipped(reading, 0, 1)
    before, after = right[0].mean(axis=0), right[1].mean(axis=0)
    assert len(lost) == int(((before > 0.5) & (after < 0.5)).sum()) > 10
    assert flipped(reading, 1, 0) == []


def test_many_classes_are_corrected_for(shown):
    _, results, _ = shown
    rows = by_class(results.readings[0], 0, 1)
    given = [row.effect.p_zero for row in rows]
    assert [row.p for row in rows] == pytest.approx(multipletests(given, method="fdr_bh")[1], rel=1e-9)
    assert sum(row.p for row in rows) > sum(given)


def test_a_verdict_stands_on_the_first_measure_alone(make, tmp_path):
    study, answers = make
    measures = [MeasureRecord(step="classifier", quantity=name) for name in ("accuracy", "accuracy")]
    results = Results.of(study(tmp_path, ("crops",), measure=measures).write(answers([0.2], pictures=40)))
    first, second = results.effects()
    assert (first["verdict"], second["verdict"]) == ("necessary", "")
    assert first["p_zero"] is not None
    assert {second[name] for name in ("p_zero", "p_margin", "p_equivalent", "p_sign_flip", "level")} == {None}
    assert first["effect"] == second["effect"]


def test_the_files_hold_every_number(shown):
    folder, results, _ = shown
    assert sorted(path.name for path in results.write(folder)) == sorted(FILES)
    assert not list(folder.glob("*.new"))
    with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21
    assert float(rows[0]["value"]) == results.readings[0].values[0, 0]
    assert pq.read_table(folder / "runs.parquet").num_rows == 21
    effects = pq.read_table(folder / "effects.parquet").to_pylist()
    assert [(row["comparison"], row["verdict"]) for row in effects] == [("crops", "necessary"), ("noise", "equivalent")]
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert document["comparisons"][0]["effects"][0]["by_seed"] == list(results.comparisons[0].effects[0].by_seed)
    assert document["measures"][0] == {
        "measure": "accuracy",
        "step": "classifier",
        "better": "higher",
        "unit": "fraction",
        "pictures": 600,
        "clusters": 600,
        "problems": [],
    }


def test_the_same_runs_give_the_same_bytes(shown):
    folder, results, _ = shown
    results.write(folder)
    first = {name: (folder / name).read_bytes() for name in FILES}
    Results.of(folder).write(folder)
    assert first == {name: (folder / name).read_bytes() for name in FILES}


def test_the_page_says_the_answer_first_and_escapes_what_is_not_ours(shown):
    folder, results, _ = shown
    text = write_study_report(folder, results).read_text(encoding="utf-8")
    assert text.index("Which of the steps crops and noise helps, by accuracy?") < text.index("<h2")
    assert "Necessary: crops; equivalent: noise." in text
    assert "<b>" not in text.replace("<b>&lt;b", "")
    assert "&lt;b&gt;" in text
    for part in ("effects-title", "cost-title", "pictures-title", "seeds-title", "before-title"):
        assert f'id="{part}"' in text
    assert "combinations-title" not in text
    assert "Holm-adjusted" in text
    seeds = re.findall(r"<th scope=\"row\">full</th>(.*?)</tr>", text)
    assert any(f"{100 * results.readings[0].values[0, 6]:.1f}" in row for row in seeds)
    assert (folder / "figures" / "effects.svg").is_file()
    assert len(set(re.findall(r"<figcaption><b>(.*?)</b>", text)[:4])) == 4, "flipped pictures are of many classes"


def test_what_is_undecided_says_what_would_settle_it(make, tmp_path):
    study, _ = make
    rng = np.random.default_rng(9)
    right = np.stack([rng.random((3, 60)) < 0.8, rng.random((3, 60)) < 0.75])
    results = Results.of(study(tmp_path, ("crops",), seeds=[0, 1, 2]).write(right))
    said = words.sentence(results.comparisons[0], results)
    assert "undecided." in said
    assert "would settle it as a difference (80 % power)" in said
    assert "The sign-flip test cannot go below 0.25 here." in said


def test_what_could_be_shown_is_said_in_words():
    from fgic_core.data.quantities import quantity

    row, parts = quantity("accuracy"), Variances(0.0, 0.1, 0.0)
    lines = words.foretold(foretell(5, 395, 3, parts), 0.01, row, 5, 395, 3)
    assert any(
        "The sign-flip test cannot go below p = 0.1875 with 5 seeds and 3 comparisons: it takes 7" in x for x in lines
    )
    assert any("Equivalence within 1.0 points cannot be counted on" in line for line in lines)
    two = words.foretold(foretell(2, 395, 3, parts), 0.01, row, 2, 395, 3)
    assert two == ["With 2 seeds and 395 test pictures nothing can be shown: it takes 3 seeds to decide anything."]


def test_a_folder_of_no_study_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no folder of a study"):
        Results.of(tmp_path)


def test_the_margin_is_in_the_unit_of_the_quantity(shown):
    _, results, _ = shown
    assert results.margin == 0.01
    assert words.amount(math.nan, results.readings[0].quantity) == "not known"


def test_a_p_for_a_table():
    assert [words.p_text(p) for p in (0.0004, 0.0011, 0.05, math.nan)] == ["< 0.001", "0.001", "0.050", ""]


def test_a_page_of_many_comparisons_stays_readable(make, tmp_path):
    study, answers = make
    levels = list(range(46))
    arms = [ArmRecord(name="full", left_out=[], levels={"c.with.m": 0})]
    arms += [ArmRecord(name=f"m-{level}", left_out=[], levels={"c.with.m": level}) for level in levels[1:]]
    one = study(tmp_path, (), arms=arms, axes={"c.with.m": levels}, seeds=[0, 1])
    folder = one.write(answers([0.001] * 45, seeds=2, pictures=12))
    text = write_study_report(folder, Results.of(folder)).read_text(encoding="utf-8")
    assert "… and 25 more comparisons; the table below has them all." in text
    assert "The first 40 of 45; the table has all." in text
    assert text.count('<th scope="row">c.with.m = ') == 45


def test_no_effect_at_all_is_neither_higher_nor_lower(make, tmp_path):
    study, answers = make
    results = Results.of(study(tmp_path, ("noise",)).write(answers([0.0], pictures=40)))
    said = words.sentence(results.comparisons[0], results)
    assert said.startswith(
        "Leaving noise out changes accuracy by 0.0 points (95 % -8.8 to 8.8; 7 seeds, 40 test pictures)"
    )
