"""What heads a report: numbers of new pictures, each under its own name, beside what there is to beat."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Context, Pipeline, Sample
from fgic_core.cli.numbers import headline as in_terminal
from fgic_core.data.artifact import Metric, OnSplit
from fgic_core.registry import Registry
from fgic_core.report import write_report

WITHOUT = "no test or validation figure"


def page(folder: Path) -> str:
    text = write_report(folder).read_text(encoding="utf-8")
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("&nbsp;", " ").replace("&#39;", "'")


def head(text: str) -> tuple[str, str]:
    """The headline and the cards, without tags."""
    sentence = re.search(r'<p class="headline">(.*?)</p>', text, re.DOTALL)
    found = re.search(r'<ul class="cards">.*?</ul>', text, re.DOTALL)
    assert sentence
    plain = re.sub(r"<[^>]+>", " ", found.group()) if found else ""
    return sentence.group(1), re.sub(r"\s+", " ", plain)


def share(name: str, value: float | None, split: OnSplit, **about: Any) -> Metric:
    return Metric(name=name, value=value, split=split, n=20, **about)


#: Steps that measured train pictures alone, by their kind.
OF_TRAIN = {
    "detector": ("dataset", [share("mAP", 0.987, "train"), share("mAP50", 0.987, "train")]),
    "cross-fitted": ("dataset", [share("box_recall50", 0.987, "train", at={"boxes": "cross-fitted"})]),
    "classifier": ("model", [share("accuracy", 0.987, "train")]),
    "explainer": (
        "explanations",
        [
            share("zero_maps", 0.0, "train"),
            share("pointing_game", 0.987, "train"),
            share("energy_in_box", 0.987, "train"),
        ],
    ),
    "attacker": (
        "robustness",
        [
            share("clean_accuracy", 0.987, "train"),
            share("robust_accuracy", 0.987, "train", at={"eps": 1 / 255, "norm": "Linf"}),
        ],
    ),
}

#: A kind that gives artifacts of each type.
USES = {
    "dataset": "detector/fake",
    "model": "classifier/fake",
    "explanations": "explainer/fake",
    "robustness": "attacker/fake",
}


@pytest.mark.parametrize(("type", "metrics"), OF_TRAIN.values(), ids=OF_TRAIN)
def test_a_figure_of_train_never_heads_a_report(type: str, metrics: list[Metric], fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    run.add("step", USES[type], {"dataset": "birds"}, type, metrics)
    sentence, cards = head(page(run.write()))
    assert "98.7" not in sentence + cards
    assert f"not computed {WITHOUT}: train pictures alone were measured" in cards
    assert (WITHOUT in sentence) == (type != "dataset")
    assert in_terminal(metrics) == f"{WITHOUT} (train alone)"


@pytest.mark.parametrize(("type", "metrics"), OF_TRAIN.values(), ids=OF_TRAIN)
def test_beside_a_figure_of_test_that_of_train_is_passed_over(
    type: str, metrics: list[Metric], fake_run: Callable[..., Any]
) -> None:
    run = fake_run()
    run.dataset()
    name = metrics[-1].name
    tested = [share("clean_accuracy", 0.512, "test")] if type == "robustness" else []
    own = metrics if type != "robustness" else metrics[1:]
    at = {"eps": 2 / 255, "norm": "Linf"} if type == "robustness" else {}
    both = [*tested, *own, share(name, 0.456, "test", at=at)]
    run.add("step", USES[type], {"dataset": "birds"}, type, both)
    sentence, cards = head(page(run.write()))
    assert "45.6 %" in cards
    assert "98.7" not in sentence + cards
    assert WITHOUT not in sentence + cards


def test_why_there_is_no_figure_of_test_stands_where_it_would(fake_run: Callable[..., Any]) -> None:
    """And not the number of train, which there is."""
    run = fake_run()
    run.dataset()
    reason = "no picture has an annotated box"
    metrics = [share("mAP50", 0.987, "train"), share("mAP50", None, "test", note=reason)]
    run.add("step", "detector/fake", {"dataset": "birds"}, "dataset", metrics)
    _, cards = head(page(run.write()))
    assert f"Test mAP50 not computed {reason}" in cards
    assert "98.7" not in cards


def test_a_headline_that_could_not_be_computed_says_so_where_nothing_else_speaks_for_the_step() -> None:
    """In the terminal as in the report."""
    boxless = [share("mAP50", None, "test", note="no picture has an annotated box"), share("no_detection", 4, "test")]
    assert in_terminal(boxless) == "test mAP50 not computed"
    made = [Metric(name="FID", value=None, note="no weights"), Metric(name="synthetic", value=12)]
    assert in_terminal(made) == "synthetic 12"


def test_numbers_that_have_no_headline_of_their_own_are_never_of_train_either() -> None:
    crops = [share("cropped", 0.987, "train"), share("cropped", 0.5, "test")]
    assert in_terminal(crops) == "test cropped 50.0 % (n = 20)"
    assert in_terminal(crops[:1]) == ""
    counts = [Metric(name="samples", value=12, split="train"), Metric(name="samples", value=6, split="test")]
    assert in_terminal(counts) == "12 train, 6 test"


def test_guessing_is_among_the_classes_that_are_there(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    metrics = [
        share("accuracy", 0.75, "test"),
        Metric(name="classes", value=4, split="test"),
        share("majority_accuracy", 0.3, "test"),
    ]
    run.add("step", "classifier/fake", {"dataset": "birds"}, "model", metrics)
    sentence, cards = head(page(run.write()))
    assert "guessing 25.0 %" in cards
    assert "most frequent" not in cards, "30 % is little more than that"
    assert "over 4 classes" in sentence


def test_the_most_frequent_class_is_named_where_always_saying_it_beats_guessing(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    metrics = [
        share("accuracy", 0.75, "test"),
        Metric(name="classes", value=4, split="test"),
        share("majority_accuracy", 0.7, "test"),
    ]
    run.add("step", "classifier/fake", {"dataset": "birds"}, "model", metrics)
    _, cards = head(page(run.write()))
    assert "guessing 25.0 %, most frequent class 70.0 %" in cards


def test_the_box_of_a_detector_is_not_called_the_objects(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    metrics = [
        share("pointing_game", None, "test", note="no explained sample has an annotated box"),
        share("pointing_detected", 0.8, "test"),
        share("pointing_detected_center", 0.9, "test"),
        share("pointing_detected_random", 0.4, "test"),
    ]
    run.add("cam", "explainer/fake", {"dataset": "birds"}, "explanations", metrics)
    text = page(run.write())
    sentence, cards = head(text)
    assert "peak lies in the box that a detector found in 80.0 % (n = 20) of the pictures, beside 90.0 %" in sentence
    assert "object's box" not in text
    assert "Pointing game, detector's boxes 80.0 %" in cards
    assert "centre 90.0 %, random point 40.0 %" in cards
    assert "The pointing game was not computed: no explained sample has an annotated box." in text


def test_what_was_found_in_empty_pictures_is_shown(toys: Path, tmp_path: Path) -> None:
    """The rectangles are there to be found, but said to be no objects."""
    import fgic_toys

    class Emptied(fgic_toys.Dots):  # type: ignore[misc, name-defined]
        """Dots whose test pictures of the first class are said to be empty."""

        def samples(self, ctx: Context) -> Iterator[Sample]:
            for one in super().samples(ctx):
                gone = one.split == "test" and one.label == 0
                yield dataclasses.replace(one, boxes=(), empty=True) if gone else one

    registry = Registry()
    registry.register("emptied", Emptied)
    steps = {"dots": {"uses": "dataset/emptied"}, "boxes": {"uses": "detector/bright"}}
    document = {"version": 1, "name": "toys", "steps": steps}
    run = Pipeline.from_dict(document, registry=registry).run(store=tmp_path / "store", runs=tmp_path / "runs")
    assert run.ok, [step.error for step in run.record.steps]
    assert (run.metric("dots", "empty", "test").value, run.metric("boxes", "false_alarms", "test").value) == (6, 1)
    assert run.metric("boxes", "mAP50", "test").value < 0.9
    text = page(run.folder)
    assert "Found where there is no object" in text
    assert "6 empty pictures in which something was found" in text
    assert text.count("an empty picture: score 0.90") == 6
    assert "Empty pictures in which something was found" in text


def test_a_run_on_train_pictures_alone_claims_nothing(toys: Path, tmp_path: Path) -> None:
    """A detector, an explainer and an attack, and no test picture in the data set."""
    import fgic_toys

    class OnlyTrain(fgic_toys.Dots):  # type: ignore[misc, name-defined]
        """Dots without a test split; a third of them validate."""

        def samples(self, ctx: Context) -> Iterator[Sample]:
            for one in super().samples(ctx):
                if one.split == "train":
                    yield dataclasses.replace(one, split="train")

    registry = Registry()
    registry.register("only-train", OnlyTrain)
    steps = {
        "dots": {"uses": "dataset/only-train"},
        "boxes": {"uses": "detector/bright"},
        "classifier": {"uses": "classifier/linear", "with": {"val_fraction": 0.34}},
        "map": {"uses": "explainer/saliency", "with": {"samples": 4}},
        "attack": {"uses": "attacker/sign", "with": {"eps": [0, 0.1], "samples": 4}},
    }
    document = {"version": 1, "name": "toys", "steps": steps}
    run = Pipeline.from_dict(document, registry=registry).run(store=tmp_path / "store", runs=tmp_path / "runs")
    assert run.ok, [step.error for step in run.record.steps]
    assert run.metric("boxes", "mAP50", "train").value == 1
    sentence, cards = head(page(run.folder))
    assert cards.count(WITHOUT) == 3
    assert "Validation accuracy" in sentence
    assert sentence.count(WITHOUT) == 2
    for name in ("boxes", "map", "attack"):
        assert in_terminal(run.metrics(name)) == f"{WITHOUT} (train alone)"
    with pytest.raises(KeyError, match="no metric 'mAP50' of 'test'; there are those of 'train'"):
        run.metric("boxes", "mAP50", "test")
    with pytest.raises(KeyError, match="no metric 'mAP50' of no one split; there are those of 'train'"):
        run.metric("boxes", "mAP50")
    assert run.metric("attack", "robust_accuracy", "train", eps=0.1, norm="Linf").is_at(eps=0.1)
    with pytest.raises(KeyError, match=r"several metrics 'robust_accuracy' of 'train'; .*eps=0\.0.*; .*eps=0\.1"):
        run.metric("attack", "robust_accuracy", "train")
    with pytest.raises(KeyError, match=r"no metric 'robust_accuracy' of 'train', eps=0\.2; .*eps=0\.1"):
        run.metric("attack", "robust_accuracy", "train", eps=0.2)
