"""What the page says of a run: every section, every step, the artifacts' own numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.data.geometry import Box
from fgic_core.data.sample import ObjectBox
from fgic_core.errors import StoreError
from fgic_core.report import write_report
from fgic_core.report.numbers import amount, interval
from fgic_core.report.pictures import drawn

SECTIONS = ("pipeline", "data", "classifier", "explanations", "robustness", "provenance")


def read(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def article(page: str, step: str) -> str:
    """The part of the page that a step has."""
    found = re.search(rf'<article id="step-\d+-{step}".*?</article>', page, re.DOTALL)
    assert found, f"step {step} has no part"
    return found.group()


def test_a_finished_run_has_every_section(fake_run: Callable[..., Any]) -> None:
    page = read(fake_run().all_steps())
    for anchor in SECTIONS:
        assert f'<section id="{anchor}"' in page
    for step in ("birds", "boxes", "crops", "classifier", "cam", "pgd"):
        article(page, step)
    assert 'lang="en"' in page
    assert "cannot be shown" not in page


def test_the_numbers_of_the_page_are_those_of_the_artifacts(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    page = read(run.all_steps())
    for step in ("classifier", "cam", "pgd"):
        shown = article(page, step)
        for metric in ArtifactRecord.read(run.root / "store" / step).metrics:
            assert amount(metric) in shown
            assert interval(metric) in shown
    accuracy = next(m for m in ArtifactRecord.read(run.root / "store" / "classifier").metrics if m.split == "test")
    low, high = (f"{100 * end:.1f}" for end in (accuracy.low, accuracy.high))
    expected = f"Test accuracy {100 * accuracy.value:.1f} % ({low}\N{EN DASH}{high}, n = {accuracy.n})"
    headline = re.search(r'<p class="headline">(.*?)</p>', page)
    assert headline
    assert expected in headline.group(1).replace("\N{NO-BREAK SPACE}", " ")


def test_the_figures_are_files_too_and_the_test_curve_is_told_apart(fake_run: Callable[..., Any]) -> None:
    folder = fake_run().all_steps()
    page = read(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    for what in ("01-birds-counts", "04-classifier-curve-accuracy", "04-classifier-confusion", "06-pgd-eps"):
        assert f"{what}.svg" in names
    assert "was never used to choose" in article(page, "classifier")
    assert "stroke-dasharray" in (folder / "figures" / "04-classifier-curve-accuracy.svg").read_text(encoding="utf-8")


def test_warnings_stand_at_the_head_with_the_name_of_their_step(fake_run: Callable[..., Any]) -> None:
    page = read(fake_run().all_steps())
    box = re.search(r'<section class="warnings".*?</section>', page, re.DOTALL)
    assert box
    for message in ("1 exact duplicate", "1 picture was skipped", "pretrained weights have seen"):
        assert re.search(rf'href="#step-01-birds">birds</a>\s*(The )?{message}', box.group())


def test_a_failed_step_is_shown_with_its_reason(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    run.record(
        "classifier", "classifier/timm", {"dataset": "birds"}, status="failed", error="out of <memory>\n  Try less."
    )
    run.record("cam", "explainer/cam", {"model": "classifier"}, status="skipped", reason="classifier failed")
    page = read(run.write("failed"))
    assert "out of &lt;memory&gt;" in article(page, "classifier")
    assert "classifier failed" in article(page, "cam")
    assert "The run failed in step classifier" in page
    assert "The step failed: out of &lt;memory&gt;" in page


@pytest.mark.parametrize("status", ["waiting", "running", "interrupted"])
def test_a_step_that_was_not_finished_says_so(fake_run: Callable[..., Any], status: str) -> None:
    run = fake_run()
    run.dataset()
    run.record("pgd", "attacker/pgd", {"model": "nothing", "dataset": "birds"}, status=status)
    page = read(run.write("interrupted"))
    assert "Nothing to show" in article(page, "pgd")
    assert '<section id="robustness"' in page


def test_a_run_of_data_alone_has_no_empty_sections(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    page = read(run.write())
    assert '<section id="data"' in page
    assert '<section id="classifier"' not in page
    assert "measured no classifier" in page


def test_an_artifact_that_is_gone_is_shown_as_gone(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    folder = run.all_steps()
    (run.root / "store" / "crops" / "artifact.json").unlink()
    page = read(folder)
    assert "cannot be read any more" in article(page, "crops")
    assert "the data set that holds this picture is not there" in article(page, "classifier")


def test_a_broken_table_costs_its_part_and_not_the_page(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    folder = run.all_steps()
    (run.root / "store" / "classifier" / "predictions.parquet").write_bytes(b"no table")
    shown = article(read(folder), "classifier")
    assert "cannot be shown" in shown
    assert "Accuracy" in shown


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("section", "step classifier: The section of this kind cannot be shown"),
        ("card", "step classifier: its key number cannot be had from its kind: RuntimeError: planted"),
        ("clause", "step classifier: its kind cannot put its key number into words: RuntimeError: planted"),
    ],
)
def test_what_a_kind_fails_to_show_is_told_to_who_writes_the_report(
    function: str, said: str, fake_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time: a page that lacks something is not kept."""

    def fails(*_: object) -> None:
        raise RuntimeError("planted")

    folder = fake_run().all_steps()
    monkeypatch.setattr(f"fgic_core.kinds.classifier.section.{function}", fails)
    for _ in range(2):
        faults: list[str] = []
        page = write_report(folder, warn=faults.append).read_text(encoding="utf-8")
        assert [fault for fault in faults if fault.startswith(said)] == faults != []
        assert "Accuracy" in article(page, "classifier")


def test_a_missing_picture_is_a_placeholder_with_the_reason(fake_run: Callable[..., Any]) -> None:
    run = fake_run(classes=("a", "b"), per_class=4)
    run.dataset()
    (run.root / "pictures" / "001_02.png").unlink()
    (run.root / "pictures" / "001_01.png").write_bytes(b"not a picture")
    shown = article(read(run.write()), "birds")
    assert "the picture is missing" in shown
    assert "not a picture" in shown


def test_a_data_set_without_samples_is_shown(fake_run: Callable[..., Any]) -> None:
    run = fake_run(per_class=0)
    run.dataset()
    run.cropper(source="birds")
    run.model()
    run.explanations(count=0)
    page = read(run.write())
    assert "There are no test predictions" in article(page, "classifier")
    assert "No picture was explained" in article(page, "cam")
    assert "cannot be shown" not in page


def test_a_single_class_is_shown(fake_run: Callable[..., Any]) -> None:
    page = read(fake_run(classes=("only",)).all_steps())
    assert "over 1 class;" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "No test picture was classified wrongly" in page
    assert "cannot be shown" not in page


def test_many_classes_are_summarised(fake_run: Callable[..., Any]) -> None:
    run = fake_run(classes=tuple(f"class number {n}" for n in range(200)), per_class=3)
    folder = run.all_steps()
    path = write_report(folder)
    names = {file.name for file in (folder / "figures").iterdir()}
    assert "04-classifier-confusion.svg" not in names
    assert "Classes that were confused most often" in path.read_text(encoding="utf-8")
    assert path.stat().st_size < 5_000_000


def test_unknown_metrics_curves_and_kinds_are_shown(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    curves = [Point(epoch=epoch, split="train", name="FID <x>", value=40.0 / epoch) for epoch in (1, 2)]
    metrics = [
        Metric(name="my_metric", value=12.5, at={"whose": "mine"}, note="of my own"),
        Metric(name="FID", value=None, note="no weights"),
    ]
    run.add("other", "generator/theirs", {"dataset": "birds"}, "dataset", metrics, curves=curves)
    run.record("strange", "oracle/theirs", {"dataset": "birds"}, status="failed", error="no oracle here")
    page = read(run.write())
    shown = article(page, "other")
    assert "my_metric" in shown
    assert "12.5" in shown
    assert "no weights" in shown
    assert "FID &lt;x&gt; over the epochs" in shown
    assert "no oracle here" in article(page, "strange")


def test_several_attacks_share_a_chart_and_keep_parts_of_their_own(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.all_steps()
    run.robustness("weak", scale=0.5, flags=("A simple attack beats this one.",), verdict="flag")
    folder = run.write()
    page = read(folder)
    assert (folder / "figures" / "attacks-Linf.svg").exists()
    assert "Nothing was flagged" in article(page, "pgd")
    assert 'class="badge flag">flagged' not in article(page, "pgd")
    assert 'class="badge flag">flagged' in article(page, "weak")
    assert "Flagged: One step (FGSM)" in article(page, "weak")
    assert "A simple attack beats this one." in article(page, "weak")


def test_a_one_step_attack_that_loses_is_no_alarm(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.all_steps()
    run.robustness("fgsm", flags=("That is expected of a one-step attack.",), verdict="expected")
    shown = article(read(run.write()), "fgsm")
    assert 'class="badge expected">expected' in shown
    assert "Nothing was flagged. As a one-step attack it loses" in shown
    assert 'class="badge flag"' not in shown


def test_an_artifact_without_verdicts_is_not_said_to_have_passed(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.all_steps()
    folder = run.root / "store" / "pgd"
    document = ArtifactRecord.read(folder).model_dump()
    for metric in document["metrics"]:
        del metric["verdict"]
    ArtifactRecord.model_validate(document).write(folder)
    shown = article(read(run.folder), "pgd")
    assert "no verdict" in shown
    assert "Nothing was flagged" not in shown


def test_what_was_not_computed_is_never_shown_as_nought(fake_run: Callable[..., Any]) -> None:
    """No boxes, no weights, nobody right before the attack: each has its reason, in table, card and chart."""
    run = fake_run()
    run.dataset()
    run.model(source="birds")
    about: dict[str, Any] = {"n": 0}
    at: dict[str, Any] = {"split": "test", "at": {"eps": 1 / 255, "norm": "Linf"}}
    inputs = {"model": "classifier", "dataset": "birds"}
    games = [Metric(name="pointing_game", value=None, note="no explained sample has a box", **about)]
    run.add("cam", "explainer/fake", inputs, "explanations", games)
    attacks = [
        Metric(name="robust_accuracy", value=0.5, n=4, **at),
        Metric(name="attack_success", value=None, note="no image was right", **about, **at),
    ]
    run.add("pgd", "attacker/fake", inputs, "robustness", attacks)
    folder = run.write()
    page = read(folder)
    for step, reason in (("cam", "no explained sample has a box"), ("pgd", "no image was right")):
        shown = article(page, step)
        assert "not computed" in shown
        assert reason in shown
        assert not re.search(r"(?<![\d.])0(\.0)?\N{NO-BREAK SPACE}%", re.sub(r"0 to 100 %", "", shown))
    assert not list((folder / "figures").glob("*pointing*"))
    cards = re.search(r'<ul class="cards">.*?</ul>', page, re.DOTALL)
    assert cards
    assert 'class="missing">not computed' in cards.group()
    assert "peak lies" not in page


def test_the_pointing_game_stands_beside_both_baselines(fake_run: Callable[..., Any]) -> None:
    page = read(fake_run().all_steps()).replace("\N{NO-BREAK SPACE}", " ")
    assert "beside 66.7 % for the centre and 31.2 % for the random point" in page
    assert "centre 66.7 %, random point 31.2 %" in page


def test_the_learning_rate_is_drawn_last_and_called_by_its_name(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    curves = [
        Point(epoch=epoch, split="train", name=name, value=1 / epoch) for epoch in (1, 2) for name in ("loss", "lr")
    ]
    run.add("other", "classifier/fake", {"dataset": "birds"}, "model", [], curves=curves)
    folder = run.write()
    shown = article(read(folder), "other")
    assert shown.index("Loss over the epochs") < shown.index("Learning rate over the epochs")
    chart = (folder / "figures" / "02-other-curve-lr.svg").read_text(encoding="utf-8")
    assert ">Learning rate</text>" in chart
    assert "running" not in chart


def test_the_boxes_of_the_diagram_are_as_wide_as_their_text(fake_run: Callable[..., Any]) -> None:
    widths = {}
    for name, uses in (("short", "dataset/cub"), ("long", "dataset/synthetic-birds"), ("huge", "dataset/" + "x" * 60)):
        run = fake_run(name)
        run.record("birds", uses, {}, status="waiting")
        page = read(run.write())
        widths[name] = int(re.search(r'<rect width="(\d+)" height="68"', page)[1])  # type: ignore[index]
        text = re.search(r'<text class="uses"[^>]*>(.*?)</text>', page)
        assert text
        assert 6.6 * len(text[1]) + 13 < widths[name]
    assert widths["short"] < widths["long"] < widths["huge"] < 230


def test_the_accuracy_chart_has_eps_in_pixel_steps(fake_run: Callable[..., Any]) -> None:
    folder = fake_run().all_steps()
    write_report(folder)
    chart = (folder / "figures" / "06-pgd-eps.svg").read_text(encoding="utf-8")
    for label in ("1/255", "2/255", "4/255"):
        assert f">{label}</text>" in chart


def test_duplicates_across_splits_come_first(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    shown = article(read(run.write()), "birds")
    assert "2 pairs of pictures" in shown
    assert "1 of them across splits" in shown
    assert shown.index("equal files") < shown.index("they look the same")


def test_boxes_are_told_apart_by_origin(fake_run: Callable[..., Any]) -> None:
    page = read(fake_run().all_steps())
    assert 'class="annotated"' in article(page, "birds")
    assert 'class="predicted"' not in article(page, "birds")
    assert 'class="predicted"' in article(page, "boxes")
    assert 'class="region"' in article(page, "crops")
    assert "full image: no box" in article(page, "crops")


def test_masked_pictures_are_shown_as_that_also_behind_crops_of_the_same_regions(
    fake_run: Callable[..., Any],
) -> None:
    run = fake_run()
    run.all_steps()
    run.cropper("masks", "crops", masked=True)
    page = read(run.write())
    crops, masks = article(page, "crops"), article(page, "masks")
    assert "The whole picture and what is cut from it" in crops
    assert "The whole picture and what is shown of it" in masks
    assert ("masked" in crops, "masked" in masks) == (False, True)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run directory"):
        write_report(tmp_path)


def test_the_example_that_names_an_unknown_class_is_numbered(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    folder = run.all_steps()
    path = run.root / "store" / "pgd" / "examples" / "examples.json"
    examples = json.loads(path.read_text(encoding="utf-8"))
    examples[0]["adversarial"] = 77
    path.write_text(json.dumps(examples), encoding="utf-8")
    assert "class 77" in article(read(folder), "pgd")


def test_a_detector_shows_how_well_its_boxes_fit_and_where_they_miss(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    run.measured_detector()
    folder = run.write()
    part = article(read(folder), "boxes")
    assert (folder / "figures" / "02-boxes-overlap.svg").is_file()
    assert "2 pictures whose box overlaps the annotated one by less than IoU 0.5" in part
    assert part.index("no box found") < part.index("IoU 0.00, score 0.12")
    assert re.search(r"Share of pictures by overlap .* at IoU 0\.5: train \d+%.*, test \d+%", part)


def test_the_parts_of_a_loss_share_a_chart(fake_run: Callable[..., Any]) -> None:
    run = fake_run()
    run.dataset()
    names = ("loss", "loss_cls", "loss_bbox")
    points = [Point(epoch=epoch, split="train", name=name, value=1 / epoch) for name in names for epoch in (1, 2)]
    run.add("boxes", "detector/fake", {"dataset": "birds"}, "dataset", [], curves=points)
    folder = run.write()
    read(folder)
    files = {path.name for path in (folder / "figures").glob("02-boxes-curve-*")}
    assert files == {"02-boxes-curve-loss.svg", "02-boxes-curve-loss-parts.svg"}


def test_weak_boxes_are_drawn_where_they_are_a_pictures_best() -> None:
    def found(score: float, kind: str = "predicted") -> ObjectBox:
        return ObjectBox(Box(0, 0, 1, 1), score=score, origin=f"{kind}:detector/x")

    truth, folded = ObjectBox(Box(0, 0, 2, 2)), found(1, "crossfit")
    weak, weaker, sure = found(0.2), found(0.1), found(0.5)
    assert drawn((truth, weaker, weak, folded)) == (truth, weak)
    assert drawn((truth, weak, sure)) == (truth, sure)
    assert drawn((weak, weaker)) == (weak,)
