"""What a study says of the worth of synthetic pictures: the numbers, what cannot be said, the files, the page."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from fgic_core.data.artifact import Metric
from fgic_core.metrics.two_way import two_way
from fgic_core.metrics.worth import Rate, Reached, rate, reached
from fgic_core.report.figures import Figures
from fgic_core.report.study import write_study_report
from fgic_core.report.study_worth import worth
from fgic_core.store.record import StepRecord
from fgic_core.store.study import ArmRecord, WorthRecord
from fgic_core.study import worth_table, worth_words
from fgic_core.study.pictures import Counted
from fgic_core.study.results import FILES, WORTH_FILES, Results
from fgic_core.study.worth import Foretells, Quality, Target, foretelling, worth_of

#: Real and synthetic train pictures of each arm, its accuracy, and the FID of its generator.
ARMS: dict[str, tuple[int, int, float, float | None]] = {
    "full": (40, 40, 0.75, 20.0),
    "double": (40, 80, 0.75, 21.0),
    "alone": (0, 50, 0.65, 30.0),
    "great": (40, 40, 0.95, 12.0),
    "none": (40, 0, 0.75, 20.0),
    "real": (40, 0, 0.6, None),
    "real-80": (80, 0, 0.7, None),
    "real-160": (160, 0, 0.8, None),
}


@pytest.fixture(scope="module")
def make_worth(make: Any) -> Any:
    """Makes a study of arms that learn from so many pictures and are right on about so many."""
    study, _ = make

    class WorthStudy(study):  # type: ignore[misc, valid-type]
        arms: dict[str, tuple[int, int, float, float | None]]
        #: The arm of which each seed has another number of synthetic pictures.
        varying = ""

        def _between(self, arm: str, seed: int, data: str) -> list[StepRecord]:
            real, made, _, fid = self.arms[arm]
            made += seed if arm == self.varying else 0
            if fid is not None:
                fid += 0.1 * seed
            metrics = [Metric(name="FID", split="", value=fid, n=80, note="" if fid else "fid_samples is 0")]
            key, folder = self._artifact(f"{arm}, {seed}, made", "dataset", uses="generator/fake", metrics=metrics)
            birds = self.store.folder(data)
            table = pq.read_table(birds / "samples.parquet")
            parts = [table, *(_train(table, origin, n) for origin, n in (("real", real), ("synthetic:fake", made)))]
            pq.write_table(pa.concat_tables(parts), folder / "samples.parquet")
            for file in birds.glob("*.json"):
                if file.name == "dataset.json":
                    (folder / file.name).write_bytes(file.read_bytes())
            return [
                StepRecord(name="mix", uses="generator/fake", key=key, inputs={"dataset": "birds"}, status="computed")
            ]

    def made(
        root: Path,
        arms: dict[str, tuple[int, int, float, float | None]] = ARMS,
        *,
        targets: tuple[str, ...] = ("full",),
        curve: tuple[str, ...] = ("real", "real-80", "real-160"),
        varying: str = "",
        failed: tuple[tuple[int, int], ...] = (),
        seeds: int = 5,
        sd: float = 0.02,
    ) -> Path:
        records = [ArmRecord(name=name, left_out=[], levels={}, under="beside") for name in arms]
        asked = WorthRecord(arms=list(targets), curve=list(curve))
        one = WorthStudy(root, (), arms=records, worth=asked, seeds=list(range(seeds)), baseline=next(iter(arms)))
        one.arms, one.varying = arms, varying
        rng = np.random.default_rng(2)
        hard = (np.arange(200) + 0.5) / 200
        right = [
            hard + rng.normal(0, sd, (seeds, 1)) + rng.normal(0, sd, (seeds, 200)) < accuracy
            for *_, accuracy, _ in arms.values()
        ]
        folder: Path = one.write(np.stack(right), failed=failed)
        return folder

    return made


def _train(table: pa.Table, origin: str, count: int) -> pa.Table:
    """So many train rows, like the table's first."""
    rows = table.take(pa.array([0] * count, pa.int64()))
    columns = {
        "id": pa.array([f"{origin} {n}" for n in range(count)], pa.string()),
        "split": pa.array(["train"] * count, pa.string()),
        "origin": pa.array([origin] * count, pa.string()),
    }
    for name, column in columns.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), column.cast(rows.schema.field(place).type))
    return rows


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, make_worth: Any) -> tuple[Path, Results]:
    """All arms, all of them asked about."""
    folder = make_worth(tmp_path_factory.mktemp("worth"), targets=("full", "double", "alone", "great", "none"))
    return folder, Results.of(folder)


def _target(results: Results, name: str) -> Target:
    assert results.worth is not None
    return next(one for one in results.worth.targets if one.arm == name)


def test_what_a_picture_is_worth_comes_from_the_arms_own_data_sets_and_outcomes(shown):
    _, results = shown
    full, answers = _target(results, "full"), results.readings[0].outcomes.astype(float)
    assert full.pictures == Counted(40, 40)
    by_hand = reached(answers[0], list(answers[5:8]), (40, 80, 160))
    assert full.reached == by_hand
    assert full.rate == rate(by_hand, 40, 40)
    assert full.rate.value == pytest.approx((math.sqrt(80 * 160) - 40) / 40, abs=0.3)
    assert full.effect == two_way(answers[0], results.readings[0].clusters)


def test_each_arm_has_its_own_numbers_on_the_same_curve(shown):
    _, results = shown
    full, double, alone = (_target(results, name) for name in ("full", "double", "alone"))
    assert double.pictures == Counted(40, 80)
    assert double.rate.value == pytest.approx(full.rate.value / 2, abs=0.2), "as good with twice as many"
    assert alone.pictures == Counted(0, 50)
    assert alone.rate.value == pytest.approx(alone.reached.value / 50)


def test_what_is_better_than_all_of_the_curve_is_worth_more_than_it_can_say(shown):
    _, results = shown
    great = _target(results, "great")
    assert (great.rate.value, great.rate.high, great.rate.most) == (math.inf, math.inf, 3.0)
    assert great.rate.low == pytest.approx(3.0), "all of the curve is told from it"
    said = worth_words.sentence(great)
    assert said == (
        "great: one synthetic picture is worth more than 3.00 real ones (95 % 3.00 or more): with 40 of them beside 40 "
        "real ones it is better than all of the curve from 40 to 160 real pictures."
    )


def test_an_arm_without_synthetic_pictures_has_no_answer_and_the_reason(shown):
    _, results = shown
    none = _target(results, "none")
    assert (none.rate, none.why) == (None, "it learns from no synthetic picture")
    said = "none: what a synthetic picture is worth cannot be said, for it learns from no synthetic picture."
    assert worth_words.sentence(none) == said


def test_the_curve_is_of_real_pictures_alone_and_each_number_once(make_worth, tmp_path):
    arms = ARMS | {"twin": (80, 0, 0.7, None)}
    curve = ("real-160", "twin", "full", "real", "real-80", "alone")
    folder = make_worth(tmp_path, arms, targets=("full", "none"), curve=curve)
    found = Results.of(folder).worth
    assert [point.arm for point in found.measured] == ["real", "twin", "real-160"], "in ascending order"
    assert {point.arm: point.why for point in found.curve if point.why} == {
        "full": "it learns from 40 synthetic pictures: a curve is of real pictures alone",
        "real-80": "it has as many real pictures as twin",
        "alone": "it learns from 50 synthetic pictures: a curve is of real pictures alone",
    }
    assert found.targets[0].rate is not None
    assert (found.targets[1].rate, found.targets[1].why) == (None, "it learns from no synthetic picture")


def test_without_a_curve_there_is_a_sentence_and_no_traceback(make_worth, tmp_path):
    folder = make_worth(tmp_path, curve=("full", "real"))
    results = Results.of(folder)
    assert _target(results, "full").why == "the curve has fewer than two arms that can be used"
    content = worth(results, Figures(tmp_path / "figures"))
    assert content["charts"] == []
    assert content["sentences"][0].endswith("cannot be said, for the curve has fewer than two arms that can be used.")
    assert any(note.startswith("full is no part of the curve, for it learns from 40 ") for note in content["notes"])


def test_a_seed_counts_where_the_target_and_all_of_the_curve_have_it(make_worth, tmp_path):
    places = list(ARMS)
    failed = [(places.index("real-80"), 1), (places.index("full"), 3)]
    failed += [(places.index("double"), seed) for seed in range(5)]
    failed += [(places.index("great"), seed) for seed in (0, 2, 3, 4)]
    folder = make_worth(tmp_path, targets=("full", "alone", "double", "great"), failed=tuple(failed))
    results = Results.of(folder)
    assert (_target(results, "full").effect.seeds, _target(results, "alone").effect.seeds) == (3, 4)
    assert [point.effect.seeds for point in results.worth.measured] == [4, 4, 4]
    assert _target(results, "double").why == "no run of it has a number"
    assert _target(results, "great").why == "no seed has a number of it and of all of the curve"


def test_where_seeds_differ_in_their_pictures_the_mean_counts_and_that_is_said(make_worth, tmp_path):
    results = Results.of(make_worth(tmp_path, varying="full"))
    assert _target(results, "full").pictures == Counted(40, 42)
    assert results.worth.notes == (
        "Of full the seeds differ in the number of train pictures: their mean is what counts.",
    )


def test_what_a_data_set_held_that_is_gone_is_said(make_worth, tmp_path):
    folder = make_worth(tmp_path, seeds=3)
    results = Results.of(folder)
    for seed in range(3):
        (results.source.run("full", seed).step("mix").folder / "samples.parquet").unlink()
    full = _target(Results.of(folder), "full")
    assert full.rate is None
    assert full.why.startswith("what it learns from cannot be read: ")


def test_less_is_worth_more_where_less_is_better(shown):
    _, results = shown
    reading = results.readings[0]
    loss = replace(
        reading,
        quantity=replace(reading.quantity, better="lower"),
        values=1 - reading.values,
        outcomes=1 - reading.outcomes,
    )
    turned = worth_of(results.record, results.source, loss).targets[0]
    full = _target(results, "full")
    assert turned.rate == pytest.approx(full.rate)
    assert turned.effect.value == pytest.approx(1 - full.effect.value)


def test_a_number_a_run_has_a_worth_too(shown):
    _, results = shown
    alone = replace(results.readings[0], outcomes=None, clusters=None)
    full = worth_of(results.record, results.source, alone).targets[0]
    assert full.rate.value == pytest.approx(_target(results, "full").rate.value)
    assert full.effect.clusters == 0


def test_fid_is_the_mean_over_seeds_with_its_interval(shown):
    _, results = shown
    full = _target(results, "full")
    fid = full.quality("FID")
    values = 20 + 0.1 * np.arange(5)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (fid.value, fid.low, fid.high, fid.n) == pytest.approx((values.mean(), interval.low, interval.high, 80))
    kid = next(one for one in full.qualities if one.quantity == "KID")
    assert math.isnan(kid.value)
    assert kid.why == "it was not measured"
    assert full.quality("KID") is None


def test_whether_fid_foretells_the_worth_is_a_rank_correlation_of_the_arms_that_have_both(shown):
    _, results = shown
    (fid,) = results.worth.foretells
    assert [arm for arm, *_ in fid.arms] == ["full", "double", "alone"], "great's is beyond the curve, none has none"
    assert fid.rho == pytest.approx(stats.spearmanr([20, 21, 30], [row[2] for row in fid.arms]).statistic)
    said = worth_words.foretold(fid)
    assert said.startswith("FID and worth, by rank over 3 arms: Spearman's rho is ")
    assert said.endswith("It describes these arms, measured on as many pictures each, and no others.")
    two = Foretells("FID", fid.arms[:2], math.nan)
    assert worth_words.foretold(two) == "Whether FID goes with the worth, 2 arms cannot say."


def test_fid_of_another_number_of_pictures_is_not_compared():
    targets = [
        Target(arm, None, None, None, Rate(worth, -1, 2, -1, 2), (Quality("mix", "FID", fid, 0.0, 1.0, n),))
        for arm, worth, fid, n in (("a", 0.1, 9.0, 80), ("few", 0.9, 99.0, 2), ("b", 0.2, 8.0, 80), ("c", 0.3, 7.0, 80))
    ]
    untold = Rate(0.9, -math.inf, math.inf, -1, 2)
    targets.append(Target("untold", None, None, None, untold, (Quality("mix", "FID", 99.0, 0.0, 1.0, 80),)))
    (found,) = foretelling(targets)
    assert ([arm for arm, *_ in found.arms], found.rho) == (["a", "b", "c"], pytest.approx(-1.0))


REACHED = Reached(116.0, 98.0, 152.0, 40.0, 160.0, 0.7, (0.6, 0.8), two_way(np.full((3, 9), 0.2)))


@pytest.mark.parametrize(
    ("found", "real", "said"),
    [
        (
            REACHED,
            80,
            "one synthetic picture is worth 0.30 real ones (95 % 0.15 to 0.60): 120 of them beside 80 real ones did "
            "what 36 more real ones do.",
        ),
        (REACHED, 0, "worth 0.97 real ones (95 % 0.82 to 1.27): 120 of them did what 116 real ones do."),
        (
            REACHED._replace(low=-math.inf, value=68.0, high=110.0),
            80,
            "worth -0.10 real ones (95 % 0.25 or less): 120 of them beside 80 real ones did the same as to leave "
            "out 12 real ones. That is not told from nothing.",
        ),
        (
            REACHED._replace(low=-math.inf, value=56.0, high=68.0),
            80,
            "worth -0.20 real ones (95 % -0.10 or less): 120 of them beside 80 real ones do harm: the same as to leave "
            "out 24 real ones.",
        ),
        (REACHED._replace(low=70.0, high=math.inf), 80, "0.30 real ones (95 % -0.08 or more)"),
        (REACHED._replace(low=math.nan, high=math.nan), 80, "is worth 0.30 real ones: 120 of them"),
        (
            REACHED._replace(value=-math.inf, low=-math.inf, high=40.0),
            80,
            "worth less than -0.33 real ones (95 % -0.33 or less): with 120 of them beside 80 real ones it is worse "
            "than all of the curve from 40 to 160 real pictures.",
        ),
        (
            REACHED._replace(value=-math.inf, low=-math.inf, high=60.0),
            80,
            "one synthetic picture is worth -0.17 or less real ones (95 %): with 120 of them beside 80 real ones it "
            "measured worse than all of the curve from 40 to 160 real pictures, which may be chance.",
        ),
        (
            REACHED._replace(value=math.inf, low=70.0, high=math.inf),
            80,
            "one synthetic picture is worth -0.08 or more real ones (95 %): with 120 of them beside 80 real ones it "
            "measured better than all of the curve from 40 to 160 real pictures, which may be chance. That is not told "
            "from nothing.",
        ),
        (
            REACHED._replace(low=-math.inf, high=math.inf, rise=two_way(np.array([-0.1, 0.1, 0.05]))),
            80,
            "cannot be told: the curve from 40 to 160 real pictures does not rise beyond chance.",
        ),
        (REACHED._replace(low=-math.inf, high=math.inf), 80, "is as good as it nowhere that could be told."),
    ],
)
def test_the_sentence_says_what_was_found_and_what_was_not(found, real, said):
    one = Target("full", Counted(real, 120), None, found, rate(found, real, 120), ())
    assert said in worth_words.sentence(one)
    assert worth_words.sentence(one).startswith("full: ")


def _planted(results: Results, **values: list[float]) -> Results:
    """The study with these numbers of its arms, one a run."""
    reading = results.readings[0]
    table = reading.values.copy()
    for name, numbers in values.items():
        table[list(ARMS).index(name.replace("_", "-"))] = numbers
    planted = replace(reading, values=table, outcomes=None, clusters=None)
    return replace(results, readings=(planted,), worth=worth_of(results.record, results.source, planted))


def test_by_a_curve_that_does_not_rise_beyond_chance_nothing_is_told_of_any_target(shown, tmp_path):
    _, results = shown
    nan = math.nan
    found = _planted(
        results,
        real=[0.60, 0.61, 0.60, 0.95, 0.90],
        real_160=[0.80, 0.80, 0.81, 0.50, 0.40],
        full=[0.70, 0.70, 0.71, 0.69, 0.70],
        great=[0.99, 0.99, 0.98, 0.99, 0.98],
        alone=[0.10, 0.11, 0.10, 0.11, 0.10],
        double=[0.70, 0.71, 0.70, nan, nan],  # over its own seeds the curve rises
    )
    why = "the curve from 40 to 160 real pictures does not rise beyond chance"
    for name in ("full", "great", "alone", "double"):
        target = _target(found, name)
        assert (target.reached, target.rate, target.why) == (None, None, why)
        assert worth_words.sentence(target) == f"{name}: what a synthetic picture is worth cannot be said, for {why}."
    rows = {row["arm"]: row for row in worth_table.rows(found.worth)}
    for name in ("full", "great", "alone", "double"):
        row = rows[name]
        assert {value for key, value in row.items() if key.startswith(("worth", "as_good_as"))} == {None, ""}
        assert (row["why"], row["value"]) == (why, _target(found, name).effect.value)
    page = worth(found, Figures(tmp_path / "figures"))
    assert {row["worth"] for row in page["rows"][:5]} == {""}
    drawn = (tmp_path / "figures" / "worth.svg").read_text(encoding="utf-8")
    assert "real pictures alone" in drawn
    assert "great" not in drawn
    assert found.worth.foretells == ()


def test_with_fewer_than_three_seeds_no_worth_is_said(shown):
    _, results = shown
    nan = math.nan
    found = _planted(
        results,
        real=[0.60, 0.61, 0.60, 0.60, 0.61],
        real_80=[0.70, 0.71, 0.70, 0.70, 0.71],
        real_160=[0.80, 0.80, 0.81, 0.80, 0.80],
        full=[0.75, 0.75, nan, nan, nan],
        great=[0.99, 0.98, 0.99, nan, nan],
        alone=[0.801, 0.79, 0.82, 0.80, 0.81],
    )
    full, great, alone = (_target(found, name) for name in ("full", "great", "alone"))
    assert (full.reached, full.rate, full.effect.seeds) == (None, None, 2)
    assert worth_words.sentence(full) == (
        "full: what a synthetic picture is worth cannot be said, for fewer than 3 seeds decide nothing."
    )
    assert worth_words.worth(great.rate) == "more than 3.00"
    assert worth_words.sentence(great).endswith("it is better than all of the curve from 40 to 160 real pictures.")
    assert math.isinf(alone.rate.value)
    assert worth_words.worth(alone.rate) == "may be more than 3.20"
    assert "real ones (95 %): with 50 of them it measured better than all of the curve" in worth_words.sentence(alone)


def test_large_numbers_have_no_decimals():
    assert [worth_words.rates(value) for value in (0.3, 9.99, 12.3, -1234.0)] == ["0.30", "9.99", "12", "-1,234"]
    assert [worth_words.pictures(value) for value in (1200.0, 42.4)] == ["1,200", "42.4"]
    assert worth_words.span(Rate(0.0, -math.inf, math.inf, 0.0, 1.0)) == "anything"


def test_the_files_hold_the_worth_where_it_is_asked(shown):
    folder, results = shown
    assert sorted(path.name for path in results.write(folder)) == sorted(FILES + WORTH_FILES)
    rows = {row["arm"]: row for row in pq.read_table(folder / "worth.parquet").to_pylist()}
    full = _target(results, "full")
    assert rows["full"]["worth"] == full.rate.value
    assert (rows["full"]["real"], rows["full"]["synthetic"], rows["full"]["role"]) == (40, 40, "target")
    assert rows["full"]["as_good_as"] == full.reached.value
    assert (rows["full"]["FID"], rows["full"]["KID"]) == (full.quality("FID").value, None)
    assert (rows["great"]["worth"], rows["great"]["worth_said"]) == (None, "more than 3.00")
    assert rows["great"]["worth_interval_said"] == "3.00 or more"
    assert (rows["real-80"]["role"], rows["real-80"]["worth"]) == ("curve", None)
    with (folder / "worth.csv").open(encoding="utf-8", newline="") as file:
        assert [row["arm"] for row in csv.DictReader(file)] == list(rows)
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))["worth"]
    assert document["answers"] == worth_words.sentences(results.worth)
    assert document["foretells"][0]["spearman"] == results.worth.foretells[0].rho
    assert [row["arm"] for row in document["arms"]] == list(rows)


def test_the_page_says_it_first_and_shows_curve_table_and_fid(shown):
    folder, results = shown
    text = write_study_report(folder, results).read_text(encoding="utf-8")
    first = worth_words.sentence(_target(results, "full"))
    assert 0 < text.index(first) < text.index("<h2")
    assert 'id="worth-title"' in text
    assert (folder / "figures" / "worth.svg").is_file()
    assert (folder / "figures" / "worth-FID.svg").is_file()
    assert not (folder / "figures" / "worth-KID.svg").exists()
    assert '<th scope="row"><code>alone</code></th><td class="num">0</td><td class="num">50</td>' in text
    assert "20.2 (20 to 20.4, n = 80)" in text
    assert "rho is" in text
    assert worth_words.NO_FID not in text


def test_where_fid_was_not_measured_the_page_says_how_to_get_it(make_worth, tmp_path):
    arms = {name: (real, made, right, None) for name, (real, made, right, _) in ARMS.items()}
    folder = make_worth(tmp_path, arms, seeds=2)
    results = Results.of(folder)
    assert [one.why for one in results.worth.targets[0].qualities][:1] == ["fid_samples is 0"]
    assert worth_words.NO_FID in worth(results, Figures(tmp_path / "figures"))["notes"]


def test_a_study_that_does_not_ask_has_no_such_part(make, tmp_path):
    study, answers = make
    folder = study(tmp_path, ("crops",), seeds=[0, 1]).write(answers([0.1], seeds=2, pictures=12))
    results = Results.of(folder)
    assert results.worth is None
    assert worth(results, Figures(tmp_path / "figures")) is None
    assert results.document()["worth"] is None
