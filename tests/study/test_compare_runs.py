"""Runs compared picture by picture: differences, errors in common, votes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fgic_core import FgicError, Run, compare
from fgic_core.cli.app import run
from fgic_core.cli.compare import print_comparison
from fgic_core.data.artifact import Metric
from fgic_core.errors import StoreError
from fgic_core.metrics.pairs import bca, mcnemar
from fgic_core.metrics.verdicts import holm
from fgic_core.store.record import RunRecord
from fgic_core.store.store import Store
from fgic_core.study.compare import MOST, vote

#: Pictures of the runs; (arms, seeds, pictures) whether they are right; the order that resampling takes them in.
COUNT = 120
ORDER = sorted(range(COUNT), key=str)
RIGHT = np.random.default_rng(3).random((3, 2, COUNT)) < np.array([0.85, 0.7, 0.6])[:, None, None]

Changed = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Path:
    """A study's folder with six runs; nothing about them is paired but their pictures."""
    study, _ = make
    made = study(tmp_path_factory.mktemp("runs"), ("crops", "noise"), seeds=[0, 1])
    folder = made.write(RIGHT)
    for name, values in {"attack": (0.1, 0.2), "weaker": (0.1,), "stronger": (0.2,)}.items():
        at = [Metric(name="robust_accuracy", split="test", value=0.5, n=2, at={"eps": eps}) for eps in values]
        _, attack = made._artifact(name, "robustness", uses="attacker/fake", metrics=at)
        rows = {"eps": [0.1, 0.1, 0.2, 0.2], "id": ["picture 0", "picture 1"] * 2, "label": [0, 1] * 2}
        rows |= {"clean": [0, 1] * 2, "adversarial": [0, 0, 1, 1]}
        pq.write_table(pa.table(rows), attack / "robustness.parquet")
    place = RunRecord.read(folder / "runs" / "full" / "seed-1").step("classifier").folder / "predictions.parquet"
    table = pq.read_table(place)
    more = [table.to_pylist()[0] | {"id": "another", "split": "val"}]
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(more, table.schema)]), place)
    return folder


def _key(name: str) -> str:
    return blake2b(name.encode(), digest_size=16).hexdigest()


@pytest.fixture
def a(folder: Path) -> Path:
    return folder / "runs" / "full" / "seed-0"


@pytest.fixture
def b(folder: Path) -> Path:
    """It lists its pictures in another order."""
    return folder / "runs" / "without-crops" / "seed-0"


@pytest.fixture
def changed(a: Path, tmp_path: Path) -> Changed:
    """``changed(steps)`` is a run like the first but for what ``steps`` makes of its steps."""

    def write(steps: Callable[[list[Any]], list[Any]]) -> Path:
        record = RunRecord.read(a)
        record.steps = steps(record.steps)
        record.write(tmp_path)
        return tmp_path

    return write


def test_two_runs_are_paired_by_picture(a: Path, b: Path) -> None:
    found = compare([a, b])
    first, second = RIGHT[0, 0], RIGHT[1, 0]
    assert (found.measure, found.pictures, found.clusters) == ("accuracy", COUNT, COUNT)
    assert [(run.name, run.step, run.metric.value) for run in found.runs] == [
        ("A", "classifier", first.mean()),
        ("B", "classifier", second.mean()),
    ]
    (pair,) = found.pairs
    assert pair.difference == bca((second.astype(float) - first)[ORDER])
    assert pair.difference.value == pytest.approx(second.mean() - first.mean(), abs=1e-12)
    assert pair.difference.low < pair.difference.value < pair.difference.high
    assert pair.models == mcnemar(first, second)
    assert pair.p == pair.models.p
    assert found.together is not None
    assert found.together.overlap.any_right == (first | second).mean()
    assert found.together.overlap.shared_errors[0, 1] == pytest.approx((~first & ~second).sum() / (~first).sum())
    assert compare([Run.open(a), str(b)]).document() == found.document()


def test_of_several_runs_each_two_are_compared_and_tests_are_adjusted_for_how_many(folder: Path) -> None:
    runs = [folder / "runs" / arm / "seed-0" for arm in ("full", "without-crops", "without-noise")]
    found = compare(runs)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    plain = [mcnemar(RIGHT[x, 0], RIGHT[y, 0]).p for x, y in ((0, 1), (0, 2), (1, 2))]
    assert [pair.p for pair in found.pairs] == holm(plain) != plain
    assert [pair.models.p for pair in found.pairs if pair.models] == plain


def test_a_vote_is_by_confidence_in_the_answers_and_its_gain_over_the_best_has_an_interval(folder: Path) -> None:
    runs = [folder / "runs" / arm / "seed-1" for arm in ("full", "without-crops", "without-noise")]
    found = compare(runs)
    pairs = ((0, 1), (0, 2), (1, 2))
    by_hand = [bca((RIGHT[y, 1].astype(float) - RIGHT[x, 1])[ORDER]) for x, y in pairs]
    assert [pair.difference for pair in found.pairs] == by_hand
    tables = [pq.read_table(Run.open(run).record.step("classifier").folder / "predictions.parquet") for run in runs]
    said = [{row["id"]: row for row in table.to_pylist()} for table in tables]
    correct = []
    for number in range(COUNT):
        behind: dict[int, float] = {}
        for one in said:
            row = one[f"picture {number}"]
            behind[row["predicted"]] = behind.get(row["predicted"], 0) + row["confidence"]
        correct.append(max(behind, key=lambda label: behind[label]) == number % 4)
    assert found.together is not None
    assert found.together.best == "A"
    assert found.together.vote == np.mean(correct)
    assert found.together.gain == bca((np.array(correct, float) - RIGHT[0, 1])[ORDER])


def test_of_classes_with_as_much_confidence_behind_them_the_first_models_is_taken() -> None:
    predicted = np.array([[0, 2, 1], [1, 1, 1], [1, 0, 0]])
    confidence = np.array([[0.9, 0.5, 0.4], [0.4, 0.5, 0.3], [0.4, 0.5, 0.6]])
    assert vote(predicted, confidence).tolist() == [0, 2, 1]


def test_pictures_that_are_duplicates_have_one_voice(make: Any, tmp_path: Path) -> None:
    study, _ = make
    right = np.ones((2, 1, 40), dtype=bool)
    right[1, 0, :8] = False
    made = study(tmp_path, ("crops",), seeds=[0])
    made.copies = [(n, n + 1) for n in range(7)]
    folder = made.write(right)
    found = compare([folder / "runs" / arm / "seed-0" for arm in ("full", "without-crops")])
    assert (found.pictures, found.clusters) == (40, 33)
    (pair,) = found.pairs
    assert pair.models is not None
    assert (pair.models.first, pair.models.second) == (8, 0)
    assert pair.models.p < 0.01
    assert pair.p == 1, "one voice decides nothing"
    assert pair.difference.high == 0 > pair.difference.low


def test_a_loss_has_differences_and_no_rights_and_wrongs(a: Path, b: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgic_core.study import measured

    losses = [
        pq.read_table(Run.open(run).record.step("classifier").folder / "predictions.parquet").column("loss").to_numpy()
        for run in (a, b)
    ]
    known = {
        str(Run.open(run).record.step("classifier").folder): loss for run, loss in zip((a, b), losses, strict=True)
    }
    read = measured.Reader.artifact

    def with_loss(reader: Any, folder: Path) -> Any:
        record = read(reader, folder)
        metric = Metric(name="loss", split="test", value=float(known[str(folder)].mean()), n=COUNT)
        return record.model_copy(update={"metrics": [*record.metrics, metric]})

    monkeypatch.setattr(measured.Reader, "artifact", with_loss)
    found = compare([a, b], measure="loss")
    assert found.together is None
    assert found.pairs[0].models is found.pairs[0].p is None
    assert found.pairs[0].difference.value == pytest.approx(losses[1].mean() - losses[0].mean(), abs=1e-6)
    assert json.loads(json.dumps(found.document(), allow_nan=False))["pairs"][0]["mcnemar"] is None


def test_what_is_no_two_runs_is_refused(a: Path, b: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FgicError, match="a run is compared with another, and there is no other"):
        compare([a])
    with pytest.raises(FgicError, match=f"{MOST + 1} runs are more than the {MOST}"):
        compare([a] * (MOST + 1))
    with pytest.raises(FgicError, match=r"step classifier of .*seed-0 is named twice"):
        compare([a / ".." / "seed-0", b, a])
    with pytest.raises(StoreError, match="this is no run directory"):
        compare([a, tmp_path])
    with pytest.raises(StoreError, match=r"folder of a study(.|\n)*Name runs of it, such as .*runs/full/seed-0\."):
        compare([folder])
    with pytest.raises(FgicError, match="3 steps are named for 2 runs"):
        compare([a, b], step=["x", "y", "z"])
    with pytest.raises(StoreError, match=r"the run has no step 'net'(.|\n)*birds, classifier"):
        compare([a, b], step="net")
    with pytest.raises(StoreError, match=r"no step of this run measured top5_accuracy on test pictures$"):
        compare([a, b], measure="top5_accuracy")
    with pytest.raises(StoreError, match="step classifier measured no top5_accuracy"):
        compare([a, b], measure="top5_accuracy", step="classifier")


def test_of_several_classifiers_one_is_to_be_named_and_those_of_one_run_can_be_compared(
    a: Path, b: Path, changed: Changed
) -> None:
    other = RunRecord.read(b).step("classifier").model_copy(update={"name": "other"})
    two = changed(lambda steps: [*steps, other])
    with pytest.raises(StoreError, match=r"several steps of this run measured accuracy: classifier, other"):
        compare([a, two])
    assert compare([a, two], step="classifier").pairs[0].difference.value == 0
    found = compare([two, two], step=["classifier", "other"])
    assert found.pairs == compare([a, b]).pairs


def test_no_other_classifier_stands_in_for_one_that_failed(a: Path, changed: Changed) -> None:
    broken = {"name": "late", "status": "failed", "error": "it broke"}
    late = changed(lambda steps: [*steps, steps[-1].model_copy(update=broken)])
    with pytest.raises(StoreError, match="step late, which may have measured accuracy, has no result: it broke"):
        compare([a, late])
    assert compare([a, late], step="classifier").pairs[0].difference.value == 0
    with pytest.raises(StoreError, match="step late has no result: it broke"):
        compare([a, late], step=["classifier", "late"])


def test_a_run_without_a_classifier_has_nothing_to_compare(a: Path, changed: Changed) -> None:
    with pytest.raises(StoreError, match="it has no classifier"):
        compare([a, changed(lambda steps: steps[:1])])


def test_what_the_store_lacks_is_said(a: Path, b: Path, make: Any, tmp_path: Path) -> None:
    study, answers = make
    folder = study(tmp_path, (), seeds=[0, 1]).write(answers([], seeds=2, pictures=20))
    runs = [folder / "runs" / "full" / f"seed-{seed}" for seed in (0, 1)]
    place = RunRecord.read(runs[1]).step("classifier").folder / "predictions.parquet"
    kept = place.read_bytes()
    for content in (None, b"no parquet"):
        place.unlink(missing_ok=True) if content is None else place.write_bytes(content)
        with pytest.raises(StoreError, match=r"what step classifier gave cannot be read(.|\n)*Run the spec again"):
            compare(runs)
    place.write_bytes(kept)
    assert compare(runs).pictures == 20
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    assert compare(runs, store=tmp_path / "elsewhere").pictures == 20


@pytest.mark.parametrize("what", ["pictures", "classes", "labels"])
def test_runs_over_other_test_pictures_are_refused_with_what_differs(
    what: str, a: Path, make: Any, tmp_path: Path
) -> None:
    study, _ = make
    made = study(tmp_path, (), seeds=[0])
    pictures = COUNT - 20 if what == "pictures" else COUNT
    if what == "classes":
        made.classes = tuple(reversed(made.classes))
    if what == "labels":
        made.labels = 3
    other = made.write(RIGHT[:1, :1, :pictures]) / "runs" / "full" / "seed-0"
    said = {
        "pictures": r"it lacks 20 \(picture 100, …\)",
        "classes": "its classes are others",
        "labels": "pictures have other content or another label",
    }
    with pytest.raises(FgicError, match=rf"was measured on other test pictures than .*{said[what]}"):
        compare([a, other])


def test_an_attack_at_several_eps_asks_which_and_both_runs_need_the_same(a: Path, b: Path) -> None:
    def attacked(run: Path, name: str) -> Run:
        record = RunRecord.read(run)
        about = {"name": "pgd", "uses": "attacker/fake", "folder": Store(record.store).folder(_key(name))}
        record.steps.append(record.steps[-1].model_copy(update=about))
        return Run(run, record)

    runs = [attacked(a, "attack"), attacked(b, "attack")]
    with pytest.raises(StoreError, match=r"measured robust_accuracy at several values: eps=0\.1; eps=0\.2"):
        compare(runs, measure="robust_accuracy")
    found = compare(runs, measure="robust_accuracy", at={"eps": 0.1})
    assert found.measure == "robust_accuracy (eps=0.1)"
    assert (found.pictures, found.runs[0].metric.value) == (2, 0.5)
    assert found.together is not None
    assert found.together.vote is None, "of attacked pictures answers are not kept"
    runs[1] = attacked(b, "stronger")
    with pytest.raises(StoreError, match=r"step pgd measured no robust_accuracy \(eps=0\.1\)"):
        compare(runs, measure="robust_accuracy", at={"eps": 0.1})
    runs[0] = attacked(a, "weaker")
    with pytest.raises(FgicError, match=r"of .*without-crops/seed-0 was measured at eps 0\.2, that of .* at eps 0\.1"):
        compare(runs, measure="robust_accuracy")


def test_the_terminal_says_what_a_test_of_two_models_does_not_say(
    a: Path, b: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison([a, b], [], "accuracy", [], None, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    first, second = RIGHT[0, 0], RIGHT[1, 0]
    assert f"B less A {100 * (second.mean() - first.mean()):+.1f} points" in said
    assert f"A {(first & ~second).sum()}, B {(~first & second).sum()}" in said
    assert "Two seeds of one pipeline are two models too: it says nothing about a step." in said
    assert f"{100 * (first & second).mean():.1f} % of the pictures both have right" in said
    assert f"{100 * (first | second).mean():.1f} % at least one has right" in said
    assert "against A, the best of them by these pictures" in said
    assert run(["compare", str(a), str(b), "--step", "classifier", "--at", "eps=4/255", "--json"]) == 2
    assert "measured no accuracy (eps=0.01569)" in capsys.readouterr().err
    assert run(["compare", str(a), str(b), "--step", "classifier", "--measure", "accuracy", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(json.dumps(compare([a, b]).document(), allow_nan=False))
    assert document["pairs"][0]["mcnemar"]["first"] == (first & ~second).sum()
    with pytest.raises(FgicError, match="--at eps is no NAME=VALUE"):
        print_comparison([a, b], [], "accuracy", ["eps"], None, as_json=True)
