"""What a picture was made from, and what it shows, stays known from step to step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgic_core import (
    Box,
    Classifier,
    Cropper,
    FittedClassifier,
    FittedGenerator,
    Generator,
    InputSpec,
    ObjectBox,
    Run,
    Sample,
    Size,
)

Bench = Callable[..., Run]
SIDE = 24
COLOURS = ((220, 60, 60), (60, 200, 60))
OBJECT = Box(4, 6, 18, 20)


def shot(name: str, label: int, split: str, seed: int, **about: Any) -> tuple[Sample, np.ndarray[Any, Any]]:
    """Noise of its own, and in the annotated box a coloured texture of its own."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (SIDE, SIDE, 3))
    x1, y1, x2, y2 = (int(edge) for edge in OBJECT.xyxy)
    coarse = rng.integers(-55, 55, (3, 3, 1)).repeat(5, axis=0).repeat(5, axis=1)[: y2 - y1, : x2 - x1]
    pixels[y1:y2, x1:x2] = np.clip(coarse + COLOURS[label], 0, 255)
    sample = Sample(id=name, path=f"{name}.png", label=label, split=split, boxes=(ObjectBox(OBJECT),), **about)  # type: ignore[arg-type]
    return sample, pixels.astype(np.uint8)


def shots(train: int = 6, test: int = 4) -> list[tuple[Sample, np.ndarray[Any, Any]]]:
    return [
        shot(f"{split}-{label}-{number}", label, split, 100 * number + 10 * label + len(split))
        for split, count in (("train", train), ("test", test))
        for label in (0, 1)
        for number in range(count)
    ]


class Same(Cropper):
    """The box."""

    def region(self, box: Box, image: Size) -> Box:
        return box


def listener() -> tuple[type[Classifier], list[tuple[Any, Any]]]:
    """A classifier that learns nothing, and the train and validation data sets that it was given."""
    given: list[tuple[Any, Any]] = []

    class Listener(Classifier):
        """Writes down what it is given."""

        def fit(self, train: Any, val: Any, ctx: Any) -> FittedClassifier:
            given.append((list(train), list(val)))
            return self.build(train.classes)

        def build(self, classes: Any) -> FittedClassifier:
            from torch import nn

            network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
            for parameter in network.parameters():
                nn.init.zeros_(parameter)
            return FittedClassifier(network, InputSpec(Size(8, 8)), tuple(classes))

    return Listener, given


class Reel(FittedGenerator):
    """The train pictures of each class, and their ids."""

    def __init__(self, shown: list[list[Any]], ids: list[list[str]]) -> None:
        self.shown, self.ids = shown, ids

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
        return np.stack([self.shown[k][seed % len(self.shown[k])] for k, seed in zip(labels, seeds, strict=True)])

    def parents(self, labels: Sequence[int], seeds: Sequence[int]) -> list[tuple[str, ...]]:
        return [(self.ids[k][seed % len(self.ids[k])],) for k, seed in zip(labels, seeds, strict=True)]


class Replay(Generator):
    """Gives the train pictures again, as it was shown them: each is its own parent."""

    resolution: int = 16

    def fit(self, train: Any, ctx: Any) -> Reel:
        rows = [np.flatnonzero(train.labels == label) for label in range(2)]
        shown = [[self.prepare(train.crop(int(row))).numpy() for row in of] for of in rows]
        return Reel(shown, [[train.ids[int(row)] for row in of] for of in rows])

    def save(self, fitted: Any, folder: Path) -> None:
        shown = [[picture.tolist() for picture in of] for of in fitted.shown]
        (folder / "replay.json").write_text(json.dumps([shown, fitted.ids]))

    def load(self, folder: Path, device: str) -> Reel:
        shown, ids = json.loads((folder / "replay.json").read_text())
        return Reel([[np.array(picture, np.float32) for picture in of] for of in shown], ids)


def test_a_cropper_gives_the_samples_it_was_given_but_for_their_regions(bench: Bench) -> None:
    """A cropper after a generator: what was made, and of what, is known behind it as before it."""
    steps = {
        "more": {"uses": "generator/replay", "with": {"per_class": 4}},
        "crops": {"uses": "cropper/same"},
    }
    run = bench(shots(), steps, replay=Replay, same=Same)
    before, after = run.dataset("more"), run.dataset("crops")
    assert len([sample for sample in before if sample.origin == "synthetic:generator/replay" and sample.parents]) == 8
    for one, two in zip(before, after, strict=True):
        assert replace(two, region=None, region_origin=None) == one
        assert (two.region is None) == (not one.boxes)
    for column in set(before.table.column_names) - {"region", "region_origin"}:
        assert before.table.column(column).equals(after.table.column(column)), column


@pytest.mark.parametrize("cropped", [False, True])
def test_no_child_of_a_held_out_picture_is_learned_from(bench: Bench, cropped: bool) -> None:
    listening, given = listener()
    steps = {
        "more": {"uses": "generator/replay", "with": {"per_class": 8}},
        **({"crops": {"uses": "cropper/same"}} if cropped else {}),
        "classifier": {"uses": "classifier/listener", "with": {"val_fraction": 0.34}},
    }
    run = bench(shots(), steps, replay=Replay, same=Same, listener=listening)
    ((train, val),) = given
    assert len(val) == 4
    assert {sample.origin for sample in val} == {"real"}
    held = {sample.id for sample in val}
    assert any(sample.parents for sample in train)
    assert not [sample.id for sample in train if held.intersection(sample.parents)]
    assert any("made from held-out validation samples" in said for said in run.artifact("classifier").warnings)


def test_a_synthetic_copy_of_a_held_out_picture_is_not_learned_from(bench: Bench) -> None:
    """Byte for byte the same, and nothing said of its parents: it tells of the picture all the same."""
    real = shots(test=2)
    copies = [
        (replace(sample, id=f"copy-of-{sample.id}", path=f"copy-{sample.id}.png", origin="synthetic:elsewhere"), pixels)
        for sample, pixels in real
        if sample.split == "train"
    ]
    listening, given = listener()
    steps = {"classifier": {"uses": "classifier/listener", "with": {"val_fraction": 0.34}}}
    run = bench([*real, *copies], steps, listener=listening)
    ((train, val),) = given
    held = {sample.id for sample in val}
    assert len(held) == 4
    learned = {sample.id for sample in train}
    assert not {f"copy-of-{name}" for name in held} & learned
    assert {sample.id for sample, _ in copies} - {f"copy-of-{name}" for name in held} <= learned
    assert any(said.startswith("4 train samples made from held-out") for said in run.artifact("classifier").warnings)


def test_made_pictures_are_compared_with_the_crops_that_were_learned_from(bench: Bench) -> None:
    """A generator that gives the crops again copies all of them; beside whole pictures it would be called new."""
    steps = {
        "crops": {"uses": "cropper/same"},
        "more": {"uses": "generator/replay", "with": {"per_class": 6}},
    }
    run = bench(shots(), steps, replay=Replay, same=Same)
    copies = run.metric("more", "copies")
    assert (copies.value, copies.n) == (1.0, 12)


def test_what_is_made_is_train_and_nothing_else(bench: Bench) -> None:
    steps = {"more": {"uses": "generator/replay", "with": {"per_class": 3}}}
    run = bench(shots(), steps, replay=Replay)
    before, after = run.dataset("data"), run.dataset("more")
    assert {sample.split for sample in after if sample.origin != "real"} == {"train"}
    assert [sample for sample in after if sample.origin == "real"] == list(before)


def test_what_a_data_set_says_of_itself_stands_beside_every_number(bench: Bench) -> None:
    """That weights have seen the test pictures, say: after a cropper and a generator as well."""
    listening, _ = listener()
    steps = {
        "crops": {"uses": "cropper/same"},
        "more": {"uses": "generator/replay", "with": {"per_class": 1}},
        "classifier": {"uses": "classifier/listener"},
    }
    note = "weights have seen these pictures"
    run = bench(shots(), steps, notes=[note], same=Same, replay=Replay, listener=listening)
    for step in ("more", "classifier"):
        assert note in run.artifact(step).warnings
