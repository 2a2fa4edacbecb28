"""Fewer train pictures: nested, with the same validation and test part whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr, ValidationError

from fgic_core import Context, Dataset, DatasetReader, Sample
from fgic_core.kinds.classifier.fit import training_parts
from fgic_core.kinds.dataset import driver
from fgic_core.steps.context import StepContext

COUNTS = {"a": 40, "b": 12, "c": 4}


class Rows(DatasetReader):
    """The samples it was given, of pictures that nobody looks at."""

    _samples: Sequence[Sample] = PrivateAttr(())
    _root: Path = PrivateAttr()

    def classes(self) -> Sequence[str]:
        return list(COUNTS)

    def source(self) -> Path:
        return self._root

    def notes(self) -> Sequence[str]:
        return ("noted",)

    def samples(self, ctx: Context) -> Iterator[Sample]:
        ctx.leave_out("odd.txt", "no picture")
        yield from self._samples


def sample(name: str, split: str = "train", label: int = 0, **about: Any) -> Sample:
    return Sample(id=name, path=f"{name}.png", label=label, split=split, **about)  # type: ignore[arg-type]


def many() -> list[Sample]:
    """Train pictures as `COUNTS` says, and test pictures among them."""
    return [
        sample(f"{split}-{name}-{number}", split, label)
        for number in range(40)
        for label, (name, count) in enumerate(COUNTS.items())
        for split in ("train", "test")
        if number < (count if split == "train" else 5)
    ]


def read(
    folder: Path, samples: Sequence[Sample], *, seed: int = 0, streams: Mapping[str, int] | None = None, **options: Any
) -> tuple[Dataset, StepContext]:
    """The data set of a reader with these options, and its step."""
    component = Rows(verify="none", **options)
    component._samples, component._root = samples, folder
    place = folder / f"out-{len(list(folder.iterdir()))}"
    place.mkdir()
    ctx = StepContext(place, key="k" * 16, seed=seed, streams=streams)
    driver.run(component, {}, ctx)
    return Dataset.open(place), ctx


def of(dataset: Dataset, split: str, label: int | None = None) -> list[str]:
    return [one.id for one in dataset.split(split) if label in (None, one.label)]  # type: ignore[arg-type]


def test_fewer_are_among_more_and_neither_validation_nor_test_depends_on_how_many(tmp_path: Path) -> None:
    found = {limit: read(tmp_path, many(), max_train_per_class=limit)[0] for limit in (1, 5, 10, 1000)}
    found[None] = read(tmp_path, many(), val_fraction=0.1)[0]
    val, test = of(found[1], "val"), of(found[1], "test")
    assert {label: sum(one.label == label for one in found[1].split("val")) for label in range(3)} == {0: 4, 1: 1, 2: 1}
    assert test == [one.id for one in many() if one.split == "test"]
    before: set[str] = set()
    for limit, one in found.items():
        assert of(one, "val") == val
        assert of(one, "test") == test
        kept = set(of(one, "train"))
        assert before < kept or limit in (1000, None)
        assert not kept & set(val)
        held = [len(of(one, "train", label)) for label in range(3)]
        assert held == [min(limit or 1000, count) for count in (36, 11, 3)]
        before = kept
    assert of(found[1000], "train") == of(found[None], "train")
    order = [one.id for one in many()]
    assert all(one.ids == [name for name in order if name in set(one.ids)] for one in found.values())


def test_those_who_learn_choose_by_the_part_that_was_held_out(tmp_path: Path) -> None:
    few, _ = read(tmp_path, many(), max_train_per_class=3)
    train, val = training_parts(few, 0.5, StepContext(tmp_path / "fit", seed=7))
    assert (train.ids, val.ids) == (of(few, "train"), of(few, "val"))


def test_the_seed_draws_each_by_a_stream_of_its_own(tmp_path: Path) -> None:
    def parts(seed: int = 0, **streams: int) -> tuple[list[str], list[str]]:
        made, _ = read(tmp_path, many(), seed=seed, streams=streams, max_train_per_class=5, val_fraction=0.3)
        return of(made, "val"), of(made, "train")

    val, train = parts()
    assert parts() == (val, train)
    assert parts(order=5, init=5) == (val, train)
    assert parts(seed=1)[0] != val
    assert parts(split=5)[0] != val
    again = parts(resample=5)
    assert again[0] == val
    assert again[1] != train
    assert parts(resample=5, split=5)[1] != train


def test_classes_that_have_fewer_are_used_whole_and_said(tmp_path: Path) -> None:
    made, ctx = read(tmp_path, many(), max_train_per_class=11)
    assert ctx.warnings[0] == ("1 of 3 classes have fewer than 11 train pictures, and all of these are used: c (3).")
    assert made.header.notes == (
        "noted",
        "Of 50 train pictures 25 are used, at most 11 of each class.",
    )
    assert made.header.skipped == (("odd.txt", "no picture"),)
    counts = {metric.split: (metric.value, metric.note) for metric in ctx.metrics if metric.name == "samples"}
    assert counts == {
        "train": (25, "at most 11 of each class, of 50 pictures (max_train_per_class)"),
        "val": (6, "a share of 0.1 of each class's train pictures (val_fraction)"),
        "test": (15, ""),
    }


def test_a_validation_part_of_its_own_stays(tmp_path: Path) -> None:
    rows = [*many(), sample("own", "val")]
    made, ctx = read(tmp_path, rows, max_train_per_class=5, val_fraction=0.5)
    assert of(made, "val") == ["own"]
    assert [len(of(made, "train", label)) for label in range(3)] == [5, 5, 4]
    assert "val_fraction changes nothing: this data set has a validation part of its own." in ctx.warnings
    assert not any("val_fraction" in metric.note for metric in ctx.metrics)


def test_real_pictures_come_first_and_none_tells_of_one_that_is_left_out(tmp_path: Path) -> None:
    """Of class 0 made pictures have parents of class 1, of which most are left out."""
    real = [sample(f"r{number}", label=int(number > 2)) for number in range(20)]
    made = [sample(f"m{number}", origin="synthetic:x", parents=(f"r{number}",)) for number in range(3, 20)]
    grandchild = sample("g", origin="synthetic:x", parents=("m3",))
    rows = [grandchild, *made, *real, sample("own", "val"), sample("t", "test", 1)]
    found = {limit: read(tmp_path, rows, max_train_per_class=limit)[0].split("train") for limit in (2, 12, 100)}
    assert all(one.origin == "real" for one in found[2])
    assert {"r0", "r1", "r2"} < set(found[12].ids)
    assert len(of(found[12], "train", 1)) == 12
    made_of = [one.parents[0] for one in found[12] if one.origin != "real"]
    assert 0 < len(made_of) < 9, "of nine some have parents that are left out"
    assert set(made_of) <= set(found[12].ids)
    assert set(found[100].ids) == {one.id for one in rows if one.split == "train"}


def test_without_the_options_nothing_is_cut_and_the_seed_has_no_part(tmp_path: Path) -> None:
    made, _ = read(tmp_path, many())
    assert made.splits == ["train", "test"]
    assert made.header.notes == ("noted",)
    component = Rows()
    component._root = tmp_path
    assert not component.draws()
    for option in ({"max_train_per_class": 5}, {"val_fraction": 0.1}):
        asked = Rows(**option)
        asked._root = tmp_path
        assert asked.draws()


@pytest.mark.parametrize("option", [{"max_train_per_class": 0}, {"val_fraction": 0}, {"val_fraction": 1}])
def test_options_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rows(**option)
