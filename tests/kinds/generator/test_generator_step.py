"""The generator driver: what is written where and from what, the filters, and a ruler that tells fakes apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from fgic_core import DataError, Dataset, FittedGenerator, Generator, Model, PluginError, Sample, Size, StepContext
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.images import read_origin
from fgic_core.kinds.generator import driver
from fgic_core.kinds.generator import fit as generator_fit
from fgic_core.kinds.generator.reference import pick_like, shares
from fgic_core.steps.validation import cut_val

SIDE, CLASSES = 24, 4
COLOURS = np.array([[220, 60, 60], [60, 200, 60], [70, 70, 220], [210, 200, 60]])


def draw(label: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A rectangle in the colour of the class, anywhere, on a ground of its own: (side, side, 3), 8 bits."""
    ground = rng.integers(60, 190, 3)
    pixels = np.clip(ground + rng.normal(0, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    x, y = rng.integers(0, SIDE // 2, 2)
    width, height = rng.integers(SIDE // 3, SIDE // 2, 2)
    pixels[y : y + height, x : x + width] = np.clip(COLOURS[label] + rng.normal(0, 10, 3), 0, 255)
    return pixels


class Grown(FittedGenerator):
    """What `Planted` learns: its train pictures; and what it was told at each evaluation."""

    def __init__(self, recipe: Planted, train: Any, labels: Any) -> None:
        self.recipe, self.train, self.labels = recipe, train, labels

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
        if not 0 <= min(labels) <= max(labels) < CLASSES:
            raise PluginError("no such class")
        made = [self.one(label, np.random.default_rng(seed)) for label, seed in zip(labels, seeds, strict=True)]
        return np.stack(made).transpose(0, 3, 1, 2).astype(np.float32) / 255

    def one(self, label: int, rng: np.random.Generator) -> Any:
        how = self.recipe.how
        if how == "copies":
            return self.train[rng.choice(np.flatnonzero(self.labels == label))]
        if how == "collapsed":
            return draw(label, np.random.default_rng(label))
        if how == "blurred":
            return np.mean([draw(label, rng) for _ in range(5)], axis=0)
        if how == "noise":
            return rng.integers(0, 256, (SIDE, SIDE, 3))
        return draw((label + 1) % CLASSES if how == "swapped" else label, rng)


class Planted(Generator):
    """Makes what it is told to: new pictures of the truth, one picture a class, train pictures, or wrong classes."""

    resolution: int = SIDE
    how: Literal["perfect", "collapsed", "copies", "swapped", "blurred", "noise"] = "perfect"
    epochs: int = 0
    Fitted: ClassVar[type[Grown]] = Grown

    def fit(self, train: Any, ctx: Any) -> Grown:
        fitted = self.Fitted(self, np.stack([np.asarray(train.crop(row)) for row in range(len(train))]), train.labels)
        SEEN.clear()
        if self.epochs and ctx.resume() is None:
            SEEN.append(dict(ctx.evaluate(fitted, 0)))
        for epoch in ctx.epochs(self.epochs):
            ctx.log(epoch, loss_gen=1 / epoch, loss_disc=0.5)
            SEEN.append(dict(ctx.evaluate(fitted, epoch)))
            ctx.checkpoint(epoch, {"epoch": epoch})
        return fitted

    def save(self, fitted: Any, folder: Path) -> None:
        save_file({"train": fitted.train, "labels": fitted.labels}, folder / "planted.safetensors")

    def load(self, folder: Path, device: str) -> Grown:
        found = load_file(folder / "planted.safetensors")
        return self.Fitted(self, found["train"], found["labels"])


#: What the last training was told at each evaluation.
SEEN: list[dict[str, float]] = []


class Means:
    """Mean colours of a grid of cells: features that tell these pictures apart."""

    name = "mean colours"

    def __call__(self, pictures: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        cells = pictures.reshape(len(pictures), 4, SIDE // 4, 4, SIDE // 4, 3).mean((2, 4))
        return cells.reshape(len(pictures), -1).astype(np.float32)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an extractor, as if the weights of one were given."""
    for module in (driver, generator_fit):
        monkeypatch.setattr(module, "extractor_of", lambda component, device: Means())


Make = Callable[..., Dataset]


@pytest.fixture
def data(tmp_path: Path) -> Make:
    """``data(per_class=…, change=…)``: real pictures in train and test."""

    def make(
        per_class: int | Sequence[int] = 12, test: int = 12, change: Callable[[Sample], Sample] | None = None
    ) -> Dataset:
        counts = [per_class] * CLASSES if isinstance(per_class, int) else per_class
        folder = tmp_path / "data"
        folder.mkdir()
        samples = []
        for number, split in enumerate(("train", "test")):
            for label in range(CLASSES):
                for i in range(counts[label] if split == "train" else test):
                    name = f"{split}-{label}-{i}"
                    pixels = draw(label, np.random.default_rng((number, label, i)))
                    Image.fromarray(pixels).save(folder / f"{name}.png")
                    sample = Sample(id=name, path=f"{name}.png", label=label, split=split, size=Size(SIDE, SIDE))
                    samples.append(change(sample) if change else sample)
        header = Header(tuple(f"colour {n}" for n in range(CLASSES)), {"here": folder})
        with DatasetWriter(folder, header) as writer:
            writer.write_samples(samples, "here")
        return Dataset.open(folder)

    return make


class Outcome:
    """What a run of the driver left."""

    def __init__(self, folder: Path, ctx: StepContext, data: Dataset) -> None:
        self.folder, self.ctx = folder, ctx
        self.data = data
        self.made = [sample for sample in data if sample.origin != "real"]

    def metric(self, name: str, split: str = "") -> Any:
        (found,) = [metric for metric in self.ctx.metrics if (metric.name, metric.split) == (name, split)]
        return found

    def told(self, word: str) -> bool:
        return any(word in warning for warning in self.ctx.warnings)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    """``run(component, dataset, model=…)`` drives it."""

    def drive(component: Generator, dataset: Dataset, name: str = "out", **inputs: Any) -> Outcome:
        folder = tmp_path / name
        folder.mkdir()
        ctx = StepContext(folder, scratch=tmp_path / f"{name}-scratch", uses="generator/planted", seed=3)
        driver.run(component, {"dataset": dataset, **inputs}, ctx)
        return Outcome(folder, ctx, Dataset.open(folder))

    return drive


def planted(made: type[Grown]) -> type[Planted]:
    """A generator that learns what is made with."""

    class Other(Planted):
        Fitted = made

    return Other


# What is written.


def test_made_pictures_are_train_samples_with_their_origin(data: Make, run: Callable[..., Outcome]) -> None:
    real = data()
    out = run(Planted(per_class=3), real)
    assert [s for s in out.data if s.origin == "real"] == list(real)
    assert len(out.made) == 3 * CLASSES
    assert {s.split for s in out.made} == {"train"}
    assert {s.origin for s in out.made} == {"synthetic:generator/planted"}
    assert np.bincount([s.label for s in out.made]).tolist() == [3] * CLASSES
    assert len(set(out.data.ids)) == len(out.data)
    assert out.metric("synthetic").value == 12
    assert out.metric("real").value == 48


def test_seed_and_class_make_each_picture_again(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=3), data())
    again = Planted().load(out.folder / "component", "cpu")
    told = {row["id"]: row for row in pq.read_table(out.folder / "made.parquet").to_pylist()}
    assert list(told) == [s.id for s in out.made]
    assert len({row["seed"] for row in told.values()}) == len(told)
    rows = {name: row for row, name in enumerate(out.data.ids)}
    for sample in out.made:
        pixels = again.sample([sample.label], [told[sample.id]["seed"]])[0]
        shown = np.asarray(out.data.picture(rows[sample.id]))
        np.testing.assert_array_equal(np.rint(pixels.transpose(1, 2, 0) * 255), shown)


def test_a_file_says_itself_what_made_it(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1), data())
    content = out.data.file(len(out.data) - 1).read_bytes()
    assert read_origin(content) == ("generator/planted", ())
    with Image.open(out.data.file(len(out.data) - 1)) as image:
        about = json.loads(image.info["fgic-origin"])
    assert about["label"] == CLASSES - 1
    assert about["seed"] == pq.read_table(out.folder / "made.parquet").to_pylist()[-1]["seed"]


def test_the_same_step_makes_the_same_files(data: Make, run: Callable[..., Outcome]) -> None:
    real = data()
    one, two = (run(Planted(per_class=2), real, name) for name in ("one", "two"))
    for a, b in zip(one.made, two.made, strict=True):
        assert a == b
        assert (one.folder / a.path).read_bytes() == (two.folder / b.path).read_bytes()


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, [50, 50, 50, 50]),
        ({"per_class": 2}, [2, 2, 2, 2]),
        ({"ratio": 0.5}, [6, 4, 1, 10]),
        ({"ratio": 2}, [24, 16, 4, 40]),
        ({"top_up": 10}, [0, 2, 8, 0]),
    ],
)
def test_amounts(options: dict[str, Any], counts: list[int], data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(**options), data(per_class=[12, 8, 2, 20]))
    assert np.bincount([s.label for s in out.made], minlength=CLASSES).tolist() == counts


@pytest.mark.parametrize(("goes_on", "real", "made"), [("both", 48, 4), ("synthetic", 0, 4), ("real", 48, 0)])
def test_train_samples_says_which_go_on(
    goes_on: Any, real: int, made: int, data: Make, run: Callable[..., Outcome]
) -> None:
    out = run(Planted(per_class=1, train_samples=goes_on), data())
    train = out.data.split("train")
    assert [s.origin for s in train].count("real") == real
    assert len(train) == real + made
    assert len(out.data.split("test")) == 48


def test_a_generator_learns_from_real_train_pictures_alone(data: Make, run: Callable[..., Outcome]) -> None:
    real = data(change=lambda s: replace(s, origin="synthetic:generator/x") if s.id == "train-0-0" else s)
    component = Planted(per_class=1, train_samples="synthetic")
    out = run(component, real)
    assert len(component.load(out.folder / "component", "cpu").train) == 47
    assert "train-0-0" in out.data.ids, "what an earlier generator made is synthetic and goes on"
    assert [s.origin for s in out.data.split("train")].count("real") == 0
    assert out.metric("real").value == 0


def test_two_generators_in_a_row_add_up(data: Make, run: Callable[..., Outcome]) -> None:
    first = run(Planted(per_class=1), data(), "first")
    second = run(Planted(per_class=1), first.data, "second")
    assert len(second.made) == 2 * CLASSES
    for row in range(len(second.data)):
        second.data.crop(row)


def test_held_out_parents_keep_their_children_out_of_training(
    data: Make, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    class Child(Grown):
        def parents(self, labels: Any, seeds: Any) -> Any:
            return [(f"train-{label}-{seed % 12}",) for label, seed in zip(labels, seeds, strict=True)]

    out = run(planted(Child)(per_class=10), data())
    assert all(len(s.parents) == 1 for s in out.made)
    train, val = cut_val(out.data.split("train"), 0.25, StepContext(tmp_path, seed=0))
    assert {s.origin for s in val} == {"real"}
    assert not {name for s in train for name in s.parents} & set(val.ids)
    assert any(s.parents for s in train)


# What is refused.


def test_a_class_without_real_pictures_is_named(data: Make, run: Callable[..., Outcome]) -> None:
    with pytest.raises(DataError, match=r"1 \(colour 2\) of 4 classes .* has no real train picture"):
        run(Planted(per_class=1), data(per_class=[3, 3, 0, 3]))


def test_a_class_that_needs_none_may_be_empty(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(ratio=1), data(per_class=[3, 3, 0, 3]))
    assert np.bincount([s.label for s in out.made]).tolist() == [3, 3, 0, 3]


def test_few_real_pictures_are_warned_of(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1), data(per_class=[3, 12, 12, 12]))
    assert out.told("1 (colour 0) of 4 classes has fewer than 10 real train pictures")


def test_a_data_set_of_synthetic_pictures_alone_is_refused(data: Make, run: Callable[..., Outcome]) -> None:
    made = data(change=lambda s: replace(s, origin="synthetic:generator/x"))
    with pytest.raises(DataError, match="no real train sample"):
        run(Planted(), made)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: x[:, :, :-1], "float32 of shape"),
        (lambda x: x[:-1], "float32 of shape"),
        (lambda x: (x * 255).astype(np.uint8), "uint8 of shape"),
        (lambda x: None, "a NoneType"),
        (lambda x: x * 255, r"pixels from 0|pixels from \d"),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: np.random.default_rng().random(x.shape, np.float32), "two pictures for one label and seed"),
    ],
)
def test_a_broken_contract_is_told(wrong: Any, said: str, data: Make, run: Callable[..., Outcome]) -> None:
    class Broken(Grown):
        def sample(self, labels: Any, seeds: Any) -> Any:
            return wrong(super().sample(labels, seeds))

    with pytest.raises(PluginError, match=said):
        run(planted(Broken)(), data())


def test_strange_parents_are_told(data: Make, run: Callable[..., Outcome]) -> None:
    class Broken(Grown):
        def parents(self, labels: Any, seeds: Any) -> Any:
            return [("test-0-0",)] * len(labels)

    with pytest.raises(PluginError, match="names test-0-0, which is no real train sample"):
        run(planted(Broken)(), data())


def test_a_generator_that_forgets_is_told(data: Make, run: Callable[..., Outcome]) -> None:
    class Broken(Planted):
        def load(self, folder: Path, device: str) -> Grown:
            fitted = super().load(folder, device)
            fitted.train = fitted.train[::-1].copy()
            return fitted

    with pytest.raises(PluginError, match="other pictures after save and load"):
        run(Broken(how="copies"), data())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_class": 3, "ratio": 1.0}, "ratio should be left out where per_class is given"),
        ({"top_up": 3, "ratio": 1.0}, "top_up should be left out where ratio is given"),
        ({"min_distance": 1.0}, "min_distance should come with fid_weights or fid_pretrained"),
        ({"min_distance": 1.0, "max_distance": 0.5, "fid_pretrained": True}, "should be less than max_distance"),
        ({"ratio": 0.0}, "greater than 0"),
    ],
)
def test_options_that_contradict_one_another(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Planted(**options)


# The filters.


def test_copies_of_train_pictures_are_counted_and_can_be_dropped(data: Make, run: Callable[..., Outcome]) -> None:
    real = data()
    out = run(Planted(how="copies", per_class=3), real)
    share = out.metric("copies")
    assert (share.value, share.n) == (1.0, 12)
    assert {s.label for s in out.made} == set(range(CLASSES))
    with pytest.raises(DataError, match=r"dropped every picture of 60 .* 60 by drop_copies"):
        run(Planted(how="copies", per_class=3, drop_copies=True), real, "dropped")


def test_new_pictures_are_no_copies(data: Make, run: Callable[..., Outcome]) -> None:
    assert run(Planted(per_class=10, drop_copies=True), data()).metric("copies").value == 0


def test_refused_pictures_are_made_again(data: Make, run: Callable[..., Outcome]) -> None:
    class Sometimes(Grown):
        def one(self, label: int, rng: Any) -> Any:
            return self.train[0] if rng.random() < 0.5 else draw(label, rng)

    out = run(planted(Sometimes)(per_class=10, drop_copies=True, max_tries=20), data())
    assert np.bincount([s.label for s in out.made]).tolist() == [10] * CLASSES
    tries = pq.read_table(out.folder / "made.parquet")["tries"].to_numpy()
    refused = out.metric("refused")
    assert refused.value == sum(tries) - 40 > 0
    assert refused.n == sum(tries)
    assert "by drop_copies" in refused.note
    short = run(planted(Sometimes)(per_class=10, drop_copies=True, max_tries=1), data_of(out), "short")
    assert short.told("are missing: the filters dropped what was made in 1 tries")
    assert len(short.made) < 40


def data_of(out: Outcome) -> Dataset:
    """The real part of what a run gave."""
    return out.data.where(np.array([s.origin == "real" for s in out.data]))


def test_a_classifier_drops_what_it_does_not_recognise(
    data: Make, run: Callable[..., Outcome], wrap: Callable[..., Model]
) -> None:
    import torch

    class Nearest(torch.nn.Module):
        """Counts pixels in each class's colour."""

        def forward(self, images: Any) -> Any:
            colours = torch.tensor(COLOURS / 255, dtype=images.dtype)
            far = (images.unsqueeze(1) - colours[None, :, :, None, None]).abs().sum(2)
            return 40 * (far < 0.25).float().mean((2, 3))

    def knows(*classes: str) -> Model:
        model = wrap(Nearest(), SIDE, CLASSES)
        return replace(model, fitted=replace(model.fitted, classes=classes))

    model = knows(*(f"colour {n}" for n in range(CLASSES)))
    real = data()
    good = run(Planted(per_class=5, min_confidence=0.5), real, "good", model=model)
    kept = pq.read_table(good.folder / "made.parquet")["confidence"].to_numpy()
    assert len(kept) == 20
    assert kept.min() >= 0.5
    one_try = {"per_class": 10, "min_confidence": 0.5, "max_tries": 1}
    right = run(Planted(**one_try), real, "right", model=model)
    wrong = run(Planted(how="swapped", **one_try), real, "wrong", model=model)
    assert len(right.made) > 30
    assert len(wrong.made) < 10
    with pytest.raises(DataError, match="they are not the 4 of the data set"):
        run(Planted(per_class=5, min_confidence=0.5), real, "other", model=knows("a", "b", "c", "d"))


@pytest.mark.usefixtures("measured")
def test_distance_drops_what_is_too_near_or_too_far(data: Make, run: Callable[..., Outcome]) -> None:
    real = data()
    both = {"fid_pretrained": True, "per_class": 6, "fid_samples": 60}
    out = run(Planted(min_distance=0.5, max_distance=1.5, max_tries=50, **both), real)
    kept = pq.read_table(out.folder / "made.parquet")["distance"].to_numpy()
    assert 0.5 <= kept.min() <= kept.max() <= 1.5
    with pytest.raises(DataError, match="dropped every picture"):
        run(Planted(how="copies", min_distance=0.5, **both), real, "near")
    with pytest.raises(DataError, match="dropped every picture"):
        run(Planted(how="noise", max_distance=0.5, **both), real, "far")


def test_nothing_to_make_trains_nothing(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(top_up=3), data())
    assert not (out.folder / "component").exists()
    assert len(out.data) == 96
    assert out.told("Nothing was trained and no picture made")
    for options in ({"top_up": 3}, {"ratio": 0.01}):
        with pytest.raises(DataError, match="synthetic pictures alone should go on, and none is to be made"):
            run(Planted(train_samples="synthetic", **options), out.data, str(options))


# The ruler.


@pytest.fixture
def judged(data: Make, run: Callable[..., Outcome], measured: None) -> Callable[[Any], Outcome]:
    """``judged(how)``: a planted generator, measured on enough pictures."""
    real = data(per_class=60, test=60)
    return lambda how: run(Planted(how=how, per_class=2, fid_samples=240), real, how)


def test_a_perfect_generator_is_as_good_as_unseen_real_pictures(judged: Callable[[Any], Outcome]) -> None:
    out = judged("perfect")
    fid, real, noise = out.metric("FID"), out.metric("FID_real"), out.metric("FID_noise")
    assert fid.n == real.n == 240
    assert fid.value < 1.5 * real.value
    assert fid.value < 0.05 * noise.value
    assert abs(out.metric("KID").value) < 3 * abs(out.metric("KID_real").value) + 1
    assert out.metric("precision").value > 0.7
    assert out.metric("recall").value > 0.7
    assert out.metric("memorised").low < 0.05
    assert 0.9 < out.metric("diversity").value < 1.1
    agreement, usual = out.metric("class_agreement"), out.metric("class_agreement_real")
    assert agreement.low < usual.value < agreement.high
    assert not out.ctx.warnings
    assert "mean colours" in fid.note
    assert "240 real train pictures" in fid.note


def test_a_collapsed_generator_is_flagged(judged: Callable[[Any], Outcome]) -> None:
    out = judged("collapsed")
    assert out.metric("recall").value < 0.05
    assert out.metric("diversity").value < 0.01
    assert out.metric("FID").value > 3 * out.metric("FID_real").value
    assert out.told("mode collapse")


@pytest.mark.usefixtures("measured")
def test_copies_are_flagged_where_unseen_pictures_lie_in_train_too(data: Make, run: Callable[..., Outcome]) -> None:
    real = data(per_class=60, test=60)
    train = {name: row for row, name in enumerate(real.ids)}
    for number in range(10):  # of 240 unseen pictures
        from_, to = train[f"train-1-{number}"], train[f"test-1-{number}"]
        real.file(to).write_bytes(real.file(from_).read_bytes())
    out = run(Planted(how="copies", per_class=2, fid_samples=240), real)
    assert out.metric("memorised").value == 1.0
    assert "without 10 unseen pictures that lie in train" in out.metric("memorised").note
    assert run(Planted(per_class=2, fid_samples=240), real, "new").metric("memorised").low < 0.05


@pytest.mark.usefixtures("measured")
def test_unseen_pictures_are_compared_with_classes_as_in_train(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=2, fid_samples=78), data(per_class=[200, 20, 20, 20], test=60))
    fid, real = out.metric("FID"), out.metric("FID_real")
    assert real.n == fid.n == 78, "60 of the most frequent class, 6 of each other"
    assert 0.5 * real.value < fid.value < 2 * real.value


def test_classes_as_frequent_as_asked() -> None:
    labels = np.repeat([0, 1, 2], [100, 30, 8])
    for total, expected in ((10, [7, 2, 1]), (1000, [80, 20, 8]), (0, [0, 0, 0])):
        chosen = pick_like(labels, np.array([200, 50, 20]), total, np.random.default_rng(0))
        assert np.bincount(labels[chosen], minlength=3).tolist() == expected
        assert sorted(set(chosen.tolist())) == chosen.tolist()
    assert shares(np.array([3, 3, 1]), 10).tolist() == [4, 4, 2]


def test_a_copying_generator_is_flagged(judged: Callable[[Any], Outcome]) -> None:
    out = judged("copies")
    assert out.metric("FID").value < out.metric("FID_real").value, "its FID is the best of all"
    assert out.metric("memorised").value == 1.0
    assert out.metric("copies").value == 1.0
    assert out.told("they show train pictures rather than new ones")
    rows = pq.read_table(out.folder / "made.parquet").to_pylist()
    labels = {s.id: s.label for s in out.made}
    assert all(row["copy_of"] == row["nearest"] for row in rows)
    assert all(row["nearest"].startswith(f"train-{labels[row['id']]}-") for row in rows)


def test_blurred_pictures_are_bad_and_no_memories(judged: Callable[[Any], Outcome]) -> None:
    out = judged("blurred")
    assert out.metric("FID").value > 3 * out.metric("FID_real").value
    assert out.metric("memorised").low < 0.05
    assert not out.told("show train pictures")


def test_swapped_labels_are_flagged(judged: Callable[[Any], Outcome]) -> None:
    perfect, out = judged("perfect"), judged("swapped")
    assert out.metric("FID").value < 1.5 * perfect.metric("FID").value, "FID does not see labels"
    assert out.metric("class_agreement").value < 0.5 * perfect.metric("class_agreement").value
    assert out.told("Their labels are not to be trusted")


def test_an_extractor_that_sees_nothing_is_refused(
    data: Make, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blind(Means):
        def __call__(self, pictures: Any) -> Any:
            return np.round(super().__call__(pictures)[:, :1] / 100)

    for module in (driver, generator_fit):
        monkeypatch.setattr(module, "extractor_of", lambda component, device: Blind())
    with pytest.raises(PluginError, match=r"sees no difference between many real pictures: only \d+%"):
        run(Planted(), data())


@pytest.mark.usefixtures("measured")
def test_what_is_measured_does_not_depend_on_how_many_are_written(data: Make, run: Callable[..., Outcome]) -> None:
    real = data(per_class=[30, 20, 5, 5])
    few = run(Planted(per_class=1, fid_samples=60), real, "few")
    many = run(Planted(top_up=40, fid_samples=60), real, "many")
    assert few.metric("FID").value == many.metric("FID").value
    assert few.metric("FID").n == 60
    assert len(few.made) == 4


@pytest.mark.usefixtures("measured")
def test_the_curve_has_an_untrained_generator_and_every_epoch(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1, epochs=3, curve_samples=40, fid_samples=60), data())
    curve = [point for point in out.ctx.curves if point.name == "FID"]
    assert [(point.epoch, point.split) for point in curve] == [(epoch, "") for epoch in range(4)]
    assert len({point.value for point in curve}) == 1, "the same labels and seeds at every epoch"
    assert [set(seen) for seen in SEEN] == [{"FID", "KID"}] * 4
    about = json.loads((out.folder / "grids" / "grids.json").read_text())
    assert about == {"labels": [0, 1, 2, 3], "columns": 4, "epochs": [0, 1, 2, 3]}
    with Image.open(out.folder / "grids" / "000002.png") as grid:
        assert grid.size == (4 * SIDE, CLASSES * SIDE)
        first = np.asarray(grid)[:SIDE, :SIDE].reshape(-1, 3)
    assert (np.abs(first - COLOURS[0]).max(1) < 40).mean() > 0.08, "row 0 shows class 0"


def test_of_many_epochs_grids_are_kept_evenly(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1, epochs=41), data())
    assert json.loads((out.folder / "grids" / "grids.json").read_text())["epochs"] == [*range(0, 41, 4), 41]


@pytest.mark.usefixtures("measured")
def test_the_curve_can_be_measured_at_some_epochs_alone(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1, epochs=103, curve_every=3, curve_samples=8, fid_samples=60), data())
    assert [point.epoch for point in out.ctx.curves if point.name == "KID"] == [*range(0, 103, 3), 103]
    assert [set(seen) for seen in SEEN[:4]] == [{"FID", "KID"}, set(), set(), {"FID", "KID"}]
    assert json.loads((out.folder / "grids" / "grids.json").read_text())["epochs"] == [*range(0, 97, 12), 103]


def test_without_weights_there_is_no_figure_and_it_says_why(data: Make, run: Callable[..., Outcome]) -> None:
    out = run(Planted(per_class=1, epochs=1), data())
    for name in ("FID", "KID"):
        assert out.metric(name).value is None
        assert "set fid_weights or fid_pretrained" in out.metric(name).note
    assert SEEN == [{}, {}]
    assert out.metric("copies").value == 0


@pytest.mark.usefixtures("measured")
def test_what_fit_gets_does_not_hold_test_pictures(data: Make, run: Callable[..., Outcome]) -> None:
    seen: list[str] = []

    class Curious(Planted):
        def fit(self, train: Any, ctx: Any) -> Grown:
            seen.extend(train.ids)
            return super().fit(train, ctx)

    real = data()
    run(Curious(per_class=1, fid_samples=10), real)
    assert set(seen) == set(real.split("train").ids)


# Learning and use are two.


def test_one_training_serves_other_amounts_and_filters(data: Make, run: Callable[..., Outcome], tmp_path: Path) -> None:
    real = data()
    learned = driver.learned_from(Planted(), real)
    assert learned.ids == real.split("train").ids
    for name in ("fit", "use"):
        (tmp_path / name).mkdir()
    ctx = StepContext(tmp_path / "fit", scratch=tmp_path / "fit-scratch", uses="generator/planted", seed=3)
    driver.fit(Planted(epochs=2), learned, ctx)
    assert {place.name for place in ctx.folder.iterdir()} == {"component", "grids"}
    component = Planted(epochs=2, per_class=2, train_samples="synthetic", drop_copies=True)
    ctx = StepContext(tmp_path / "use", uses="generator/planted", seed=3)
    driver.use(component, {"dataset": real}, ctx, {"": tmp_path / "fit"})
    whole = run(component, real, "whole")
    made = Dataset.open(tmp_path / "use")
    assert [sample.label for sample in made.split("train")] == [0, 0, 1, 1, 2, 2, 3, 3]
    for one, two in zip(made.split("train"), whole.made, strict=True):
        assert (tmp_path / "use" / one.path).read_bytes() == (whole.folder / two.path).read_bytes()


@pytest.mark.parametrize(
    "name", ["per_class", "train_samples", "min_confidence", "drop_copies", "max_tries", "fid_samples"]
)
def test_a_use_only_option_cannot_be_read_in_fit(name: str, data: Make, run: Callable[..., Outcome]) -> None:
    class Peeks(Planted):
        """Trains for what will be asked of it."""

        def fit(self, train: Any, ctx: Any) -> Grown:
            getattr(self, name)
            return super().fit(train, ctx)

    with pytest.raises(PluginError, match=f"{name} is declared use-only; fit must not read it"):
        run(Peeks(per_class=1), data(per_class=2, test=1))


def test_what_is_no_fitted_generator_is_told(data: Make, run: Callable[..., Outcome]) -> None:
    class Old(Planted):
        """Keeps what it learns to itself."""

        def fit(self, train: Any, ctx: Any) -> Any:
            return None

    class Itself(Planted):
        """Has itself measured."""

        def fit(self, train: Any, ctx: Any) -> Any:
            ctx.evaluate(self, 0)

    real = data(per_class=2, test=1)
    for component, said in ((Old(), "fit gave a NoneType"), (Itself(), "evaluate was given a Itself")):
        with pytest.raises(PluginError, match=f"{said}, not a FittedGenerator"):
            run(component, real, said)
