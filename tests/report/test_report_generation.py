"""What the page shows of a generator: pictures beside real ones, over the training, and beside the nearest real one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fgic_core.data.artifact import Metric, Point
from fgic_core.data.dataset import Dataset, DatasetWriter
from fgic_core.data.geometry import Size
from fgic_core.data.sample import Sample
from fgic_core.kinds.generator.training_pictures import spread
from fgic_core.report import write_report

SIDE, COLUMNS = 32, 4
EPOCHS = (0, 2, 4, 8, 12, 16, 20, 24, 28, 30)
MEASURED = (
    Metric(name="FID", value=41.7, n=500, note="inception; against 24 real train pictures"),
    Metric(name="KID", value=0.0213, n=500),
    Metric(name="FID_real", value=18.2, n=12),
    Metric(name="FID_noise", value=431.0, n=200),
    Metric(name="precision", value=0.71, n=500),
    Metric(name="memorised", value=0.04, low=0.026, high=0.061, n=500),
)
UNMEASURED = (Metric(name="FID", value=None, note="no weights of fid_model are given"),)


def drawn(label: int, seed: int, blur: float = 0.0) -> Image.Image:
    """A square with a bright ellipse in the colour of the class, drowned in noise as ``blur`` says."""
    rng = np.random.default_rng((label, seed))
    colour = np.random.default_rng(label).integers(30, 230, 3)
    ground = np.linspace(rng.integers(60, 200, 3), rng.integers(60, 200, 3), SIDE)[:, None, :].repeat(SIDE, axis=1)
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = rng.uniform(0.35, 0.65, 2) * SIDE
    inside = ((x - centre[0]) / 11) ** 2 + ((y - centre[1]) / 7) ** 2 < 1
    pixels = np.where(inside[..., None], colour, ground)
    noise = rng.integers(0, 256, pixels.shape)
    return Image.fromarray(((1 - blur) * pixels + blur * noise).clip(0, 255).astype(np.uint8))


def generator(
    run: Any, name: str = "made", source: str = "birds", *, per_class: int = 8, measured: bool = True, **about: Any
) -> Path:
    """A generator's step as the core leaves it: rows and pictures, what was found of them, and grids."""
    before = Dataset.open(run.root / "store" / source)
    metrics = [Metric(name="synthetic", value=per_class * len(run.classes)), *about.pop("metrics", ())]
    options = {"resolution": SIDE, "resize": "center_crop", "fid_model": "inception", "curve_samples": 200}
    curves = about.pop("curves", _curves())
    folder: Path = run.add(
        name, "generator/fake", {"dataset": source}, "dataset", metrics, options=options, curves=curves, **about
    )
    header = replace(before.header, roots={**before.header.roots, name: Path()})
    samples = []
    for label in range(len(run.classes)):
        for number in range(per_class):
            path = folder / "images" / f"{label:04d}" / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(label, number).save(path)
            where = path.relative_to(folder).as_posix()
            size, origin = Size(SIDE, SIDE), "synthetic:generator/fake"
            about_it: dict[str, Any] = {"id": f"{name}/{where[:-4]}", "path": where, "label": label, "split": "train"}
            samples.append(Sample(**about_it, size=size, origin=origin))
    with DatasetWriter(folder, header) as writer:
        writer.write_samples(list(before), "pictures")
        writer.write_samples(samples, name)
    _found(folder, samples, before, measured=measured)
    _grids(folder, list(range(len(run.classes))))
    return folder


def _curves() -> list[Point]:
    falling: dict[str, Callable[[int], float]] = {
        "FID": lambda epoch: 400 / (1 + epoch),
        "KID": lambda epoch: 0.4 / (1 + epoch) - 0.01,
    }
    points = [
        Point(epoch=epoch, name=name, value=at(epoch)) for name, at in falling.items() for epoch in range(0, 31, 2)
    ]
    for number, name in enumerate(("loss_gen", "loss_disc", "loss_disc_real", "loss_disc_fake")):
        points += [
            Point(epoch=epoch, split="train", name=name, value=float(np.sin(epoch / 3 + number)) - 0.2)
            for epoch in range(1, 31)
        ]
    return points


def _found(folder: Path, samples: list[Sample], before: Dataset, *, measured: bool) -> None:
    rng = np.random.default_rng(0)
    train = before.split("train")
    rows: list[dict[str, Any]] = []
    for number, sample in enumerate(samples):
        near = train.ids[number % len(train)]
        distance = float(rng.normal(9, 1.2)) if number else 0.6
        row = {"id": sample.id, "seed": number, "tries": 1, "confidence": None, "copy_of": near if not number else None}
        if measured:
            row |= {"distance": distance / 8, "nearest": near, "nearest_distance": distance}
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), folder / "made.parquet")
    if measured:
        test = before.split("test")
        far = {"nearest": [train.ids[0]] * len(test), "nearest_distance": rng.normal(10, 1, len(test))}
        pq.write_table(pa.table({"id": test.ids, **far}), folder / "held_out.parquet")


def _grids(folder: Path, labels: list[int]) -> None:
    (folder / "grids").mkdir()
    for epoch in EPOCHS:
        grid = Image.new("RGB", (COLUMNS * SIDE, len(labels) * SIDE))
        for row, label in enumerate(labels):
            for column in range(COLUMNS):
                cell = drawn(label, column, blur=1 - epoch / EPOCHS[-1])
                grid.paste(cell, (column * SIDE, row * SIDE))
        grid.save(folder / "grids" / f"{epoch:06d}.png")
    about = {"labels": labels, "columns": COLUMNS, "epochs": list(EPOCHS)}
    (folder / "grids" / "grids.json").write_text(json.dumps(about), encoding="utf-8")


def read(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def article(page: str, step: str = "made") -> str:
    """The part of the page that a step has."""
    found = re.search(rf'<article id="step-\d+-{step}".*?</article>', page, re.DOTALL)
    assert found
    return found.group()


def below(shown: str, heading: str) -> str:
    """What stands below a heading of a part, up to the next one."""
    return shown.partition(f"<h4>{heading}</h4>")[2].partition("<h4>")[0]


def pictures(html: str) -> list[Image.Image]:
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", html)
    return [Image.open(BytesIO(base64.b64decode(one))).convert("RGB") for one in found]


@pytest.fixture
def made(fake_run: Callable[..., Any]) -> Callable[..., tuple[Path, Path]]:
    """``made(…)``: the folders of a run with a measured generator and of its step."""

    def make(name: str = "fake", classes: tuple[str, ...] = ("wren", "owl", "gull"), **about: Any) -> tuple[Path, Path]:
        run = fake_run(name, classes=classes)
        run.dataset()
        about.setdefault("metrics", MEASURED)
        step = generator(run, **about)
        return run.write(), step

    return make


def test_each_class_has_real_train_pictures_beside_made_ones(made: Callable[..., Any]) -> None:
    run, _ = made()
    shown = below(article(read(run)), "What was made, beside what it was learned from")
    rows = shown.split("<h5>")[1:]
    assert [row.partition("<")[0] for row in rows] == ["wren", "owl", "gull"]
    for row in rows:
        name = row.partition("<")[0]
        assert row.count(f'alt="{name}, a real train picture"') == 4
        assert row.count(f'alt="{name}, a synthetic picture"') == 6
    assert "fit-cover" in shown, "real pictures are cut to their middle, as the generator saw them"
    assert shown.count('class="tile pixels"') == 18, "small made pictures are not smoothed"


def test_the_training_is_shown_from_the_first_epoch_to_the_last(made: Callable[..., Any]) -> None:
    run, step = made()
    shown = below(article(read(run)), "The same pictures over the training")
    epochs = [int(found) for found in re.findall(r'<th scope="col">(?:epoch&nbsp;)?(\d+)</th>', shown)]
    assert (epochs[0], epochs[-1], len(epochs)) == (0, 30, 8)
    assert "8 of 10 that were kept" in shown
    assert shown.count('alt="owl at epoch 30"') == 1
    found = pictures(shown)
    assert len(found) == 3 * 8
    grid = np.asarray(Image.open(step / "grids" / "000030.png"))
    for row in range(3):
        last = np.asarray(found[row * 8 + 7], dtype=float)
        assert last.shape == (SIDE, SIDE, 3)
        assert np.abs(last - grid[row * SIDE : (row + 1) * SIDE, :SIDE]).mean() < 6


def test_few_epochs_have_two_pictures_of_each_class(made: Callable[..., Any]) -> None:
    run, step = made()
    about = {"labels": [0, 1, 2], "columns": COLUMNS, "epochs": [0, 30]}
    (step / "grids" / "grids.json").write_text(json.dumps(about), encoding="utf-8")
    assert article(read(run)).count('alt="owl at epoch 30"') == 2


@pytest.mark.parametrize("count", range(30))
def test_epochs_are_spread_from_the_first_to_the_last(count: int) -> None:
    found = spread(count, 8)
    assert len(found) == len(set(found)) == min(count, 8)
    assert found == sorted(found)
    assert not count or (found[0], found[-1]) == (0, count - 1)


def test_the_pictures_nearest_to_train_stand_beside_it_and_say_what_that_means(made: Callable[..., Any]) -> None:
    run, step = made()
    shown = below(article(read(run)), "Nearest to a train picture")
    said = re.findall(r'<p class="under">(.*?)</p>', shown)
    assert len(said) == 6
    assert said[0] == "<b>They look the same.</b> Distance 0.6: none of 6 unseen real pictures is as near."
    distances = [float(found) for text in said for found in re.findall(r"Distance ([\d.]+)", text)]
    known = sorted(row["nearest_distance"] for row in pq.read_table(step / "made.parquet").to_pylist())
    assert distances == pytest.approx(known[:6], abs=0.01)
    assert shown.count("the train picture nearest to it") == 6


def test_a_far_picture_is_compared_with_unseen_ones(made: Callable[..., Any]) -> None:
    run, step = made()
    rows = [
        row | {"nearest_distance": 1e9, "copy_of": None} for row in pq.read_table(step / "made.parquet").to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows), step / "made.parquet")
    said = article(read(run)).replace("\N{NO-BREAK SPACE}", " ")
    assert "Distance 1e+09: 100.0 % of 6 unseen real pictures are as near." in said
    assert "They look the same" not in said


def test_the_charts_show_the_distances_and_what_was_followed(made: Callable[..., Any]) -> None:
    run, _ = made()
    shown = article(read(run))
    files = {path.stem.removeprefix("02-made-") for path in (run / "figures").glob("02-made-*")}
    assert files == {"counts", "curve-FID", "curve-KID", "curve-loss-parts", "novelty"}
    assert shown.index("FID over the epochs") < shown.index("Losses of generator and discriminator over the epochs")
    fid, novelty, losses, counts = (
        (run / "figures" / f"02-made-{name}.svg").read_text(encoding="utf-8")
        for name in ("curve-FID", "novelty", "curve-loss-parts", "counts")
    )
    assert ">100</text>" in fid, "the axis is logarithmic and has no formulas"
    assert "mathdefault" not in fid
    assert ">synthetic pictures</text>" in fid
    assert ">unseen real (n = 6)</text>" in novelty
    assert ">discriminator, synthetic</text>" in losses
    assert ">synthetic</text>" in counts
    assert "Of the same 200 pictures at every epoch" in shown
    assert "was never used to choose" not in shown


def test_distances_below_nought_and_without_a_decade_have_a_plain_axis(made: Callable[..., Any]) -> None:
    values = {"KID": (0.5, -0.01), "FID": (90.0, 30.0)}
    curves = [Point(epoch=epoch, name=name, value=pair[epoch]) for name, pair in values.items() for epoch in (0, 1)]
    run, _ = made(curves=curves)
    read(run)
    for name in values:
        assert ">0" in (run / "figures" / f"02-made-curve-{name}.svg").read_text(encoding="utf-8")


def cards(page: str) -> str:
    found = re.search(r'<ul class="cards">.*?</ul>', page, re.DOTALL)
    assert found
    return re.sub(r"<[^>]+>|\s+", " ", found.group()).replace("\N{NO-BREAK SPACE}", " ")


def test_the_card_has_fid_with_its_count_beside_that_of_real_pictures(made: Callable[..., Any]) -> None:
    run, _ = made()
    said = re.sub(" +", " ", cards(read(run)).replace("&nbsp;", " "))
    assert "FID 41.7 n = 500 unseen real pictures 18.2 made" in said


def test_without_weights_the_card_counts_pictures_and_the_rest_is_shown(made: Callable[..., Any]) -> None:
    run, _ = made(metrics=UNMEASURED, measured=False)
    page = read(run)
    assert "Synthetic pictures 24 FID not computed made" in re.sub(" +", " ", cards(page))
    shown = article(page)
    assert "no weights of fid_model are given" in shown
    assert below(shown, "The same pictures over the training")
    near = below(shown, "Nearest to a train picture")
    assert "The 1 of 24 synthetic pictures that look the same as one that was learned from" in near
    assert "Distance" not in near
    assert not list((run / "figures").glob("*novelty*"))


def test_what_is_not_there_is_left_out(made: Callable[..., Any]) -> None:
    run, step = made()
    for name in ("made.parquet", "held_out.parquet", "grids/grids.json"):
        (step / name).unlink()
    shown = article(read(run))
    headings = re.findall(r"<h4>(.*?)</h4>", shown)
    assert headings == ["What was made, beside what it was learned from"]
    assert 'class="notice"' not in shown


def test_a_grid_that_is_gone_is_a_placeholder_and_broken_files_are_named(made: Callable[..., Any]) -> None:
    run, step = made()
    (step / "grids" / "000030.png").unlink()
    shown = article(read(run))
    assert "owl at epoch 30: not shown" in shown
    (step / "grids" / "grids.json").write_text('{"labels": "many"}', encoding="utf-8")
    (step / "made.parquet").write_bytes(b"no table")
    shown = article(read(run))
    assert "The pictures over the training cannot be shown" in shown
    assert "made.parquet cannot be read" in shown
    assert below(shown, "What was made, beside what it was learned from")


def test_nothing_made_shows_nothing(made: Callable[..., Any]) -> None:
    run, step = made(per_class=0)
    (step / "grids" / "grids.json").unlink()
    shown = article(read(run))
    assert "<h4>" not in shown
    assert "cannot be shown" not in shown


def test_an_input_that_is_gone_costs_the_real_pictures_alone(made: Callable[..., Any]) -> None:
    run, step = made()
    (step.parent / "birds" / "artifact.json").unlink()
    shown = article(read(run))
    assert "a real train picture" not in shown
    assert shown.count("wren, a synthetic picture") >= 6
    assert "cannot be shown" not in shown


def test_a_second_generator_shows_its_own_pictures(fake_run: Callable[..., Any]) -> None:
    run = fake_run(classes=("wren", "owl"))
    run.dataset()
    generator(run, "first")
    generator(run, "second", "first", per_class=3)
    page = read(run.write())
    kinds = "What was made, beside what it was learned from"
    assert below(article(page, "first"), kinds).count("wren, a synthetic picture") == 6
    assert below(article(page, "second"), kinds).count("wren, a synthetic picture") == 3


def test_crops_that_were_learned_from_are_not_shown_again(fake_run: Callable[..., Any]) -> None:
    run = fake_run(classes=("wren", "owl"))
    run.dataset()
    run.cropper(source="birds")
    generator(run, source="crops")
    headings = re.findall(r"<h4>(.*?)</h4>", article(read(run.write())))
    assert headings == [
        "What was made, beside what it was learned from",
        "The same pictures over the training",
        "Nearest to a train picture",
    ]


def test_many_classes_keep_the_page_small_and_names_are_escaped(made: Callable[..., Any]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    run, _ = made(classes=(evil, *(f"bird number {n}" for n in range(39))), per_class=4)
    page = read(run)
    assert evil not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    shown = below(article(page), "What was made, beside what it was learned from")
    assert shown.count("<h5>") == 8
    assert len(page) < 1_500_000
