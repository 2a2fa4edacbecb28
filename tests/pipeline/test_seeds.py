"""The seed of a spec, and of a step, decides what the step gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Classifier, Context, FittedClassifier, InputSpec, Pipeline, Registry, Run, Sample, Size
from fgic_core.store.artifacts import learned_folder


def run(spec: Path, tmp: Path, *overrides: str, registry: Registry | None = None, **options: Any) -> Run:
    places = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False}
    result = Pipeline.from_yaml(spec, overrides, registry).run(**places, **options)
    assert [step.error for step in result.record.steps if step.error] == []
    return result


def files(result: Run, step: str) -> dict[str, bytes]:
    """Every file of a step's artifact, and of what it learned, but the records, which hold times."""
    own = result.record.step(step).folder
    folders = {"": own, "learned/": learned_folder(own, result.artifact(step))}
    return {
        prefix + str(file.relative_to(folder)): file.read_bytes()
        for prefix, folder in folders.items()
        for file in sorted(folder.rglob("*") if folder else ())
        if file.is_file() and file.name != "artifact.json"
    }


def weights(result: Run) -> bytes:
    return files(result, "classifier")["learned/component/model.safetensors"]


TWO_STEPS = """\
version: 1
name: seeds
steps:
  dots: {uses: dataset/dots, with: {count: 3}, seed: 0}
  classifier: {uses: classifier/linear, with: {epochs: 2, val_fraction: 0.34}}
"""


@pytest.fixture
def training(toys: Path, tmp_path: Path) -> Path:
    """A spec whose pictures are the same with every seed, so that the training alone can differ."""
    spec = tmp_path / "seeds.yaml"
    spec.write_text(TWO_STEPS, encoding="utf-8")
    return spec


def test_two_seeds_give_two_trainings_and_equal_ones_the_same(training: Path, tmp_path: Path) -> None:
    five = [run(training, tmp_path, f"seed={seed}") for seed in range(5)]
    assert {one.record.step("dots").key for one in five} == {five[0].record.step("dots").key}
    assert len({weights(one) for one in five}) == 5
    assert [one.artifact("classifier").seed for one in five] == [0, 1, 2, 3, 4]
    before = weights(five[3])
    again = run(training, tmp_path, "seed=3", fresh=True)
    assert again.record.step("classifier").status == "computed"
    assert weights(again) == before


def test_a_steps_own_seed_goes_before_the_specs(training: Path, tmp_path: Path) -> None:
    own = run(training, tmp_path, "seed=1", "classifier.seed=2")
    alike = run(training, tmp_path, "seed=2")
    assert alike.record.step("classifier").status == "reused"
    assert weights(own) == weights(alike) != weights(run(training, tmp_path, "seed=1"))


def test_the_seed_reaches_a_step_of_every_kind_that_draws(seven_steps: Path, tmp_path: Path) -> None:
    """The toy detector and the toy cropper draw nothing."""
    first = run(seven_steps, tmp_path)
    for step in ("dots", "more", "classifier", "map", "attack"):
        other = run(seven_steps, tmp_path, f"{step}.seed=99", until=step)
        assert other.record.step(step).status == "computed"
        assert files(other, step) != files(first, step), step


OWN_PART = """\
version: 1
name: parts
steps:
  dots: {uses: dataset/parted, with: {count: 3}, seed: 0}
  classifier: {uses: classifier/linear, with: {epochs: 2}}
"""


@pytest.fixture
def parted(toys: Path, tmp_path: Path) -> tuple[Path, Registry]:
    """A spec whose data set has a validation split: what a classifier learns from is the same with every seed."""
    from fgic_toys import Dots

    class Parted(Dots):  # type: ignore[misc]
        """The first train picture of each class is held out."""

        def samples(self, ctx: Context) -> Iterator[Sample]:
            for sample in super().samples(ctx):
                held = sample.split == "train" and sample.id.endswith("-0")
                yield replace(sample, split="val") if held else sample

    registry = Registry()
    registry.register("parted", Parted)
    spec = tmp_path / "parts.yaml"
    spec.write_text(OWN_PART, encoding="utf-8")
    return spec, registry


def test_with_the_same_pictures_two_seeds_begin_and_drop_otherwise(
    parted: tuple[Path, Registry], tmp_path: Path
) -> None:
    """Weights at the start and dropout are all that the toy draws, and it draws them of torch's own generator."""
    spec, registry = parted
    three = [run(spec, tmp_path, f"seed={seed}", registry=registry) for seed in range(3)]
    assert {one.record.step("dots").key for one in three} == {three[0].record.step("dots").key}
    assert len({weights(one) for one in three}) == 3
    before = weights(three[2])
    assert weights(run(spec, tmp_path, "seed=2", registry=registry, fresh=True)) == before


#: What a plugin may ask its context for: generators by these names.
NAMES: tuple[tuple[str | int, ...], ...] = ((), ("a",), ("b",), ("a", 1), ("a", 2), (1,))


class Drawer(Classifier):
    """Writes down the numbers that it was given to draw."""

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import random

        import numpy as np
        import torch

        drawn = {
            "rng": [int(ctx.rng(*names).integers(2**40)) for names in NAMES],
            "generator": [int(torch.randint(2**40, (), generator=ctx.generator(*names))) for names in NAMES],
            "again": [int(torch.randint(2**40, (), generator=ctx.generator(*names))) for names in NAMES],
            "Python": [random.getrandbits(40)],
            "NumPy": [int(np.random.randint(2**40))],
            "torch": [int(torch.randint(2**40, ()))],
        }
        for epoch in ctx.epochs(2):
            drawn[f"torch in epoch {epoch}"] = [int(torch.randint(2**40, ()))]
        (ctx.folder / "drawn.json").write_text(json.dumps(drawn))
        return self.build(train.classes)

    def build(self, classes: Any) -> FittedClassifier:
        from torch import nn

        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return FittedClassifier(network, InputSpec(Size(8, 8)), tuple(classes))


def test_what_a_component_draws_follows_the_seed_and_the_names(parted: tuple[Path, Registry], tmp_path: Path) -> None:
    spec, registry = parted
    registry.register("drawer", Drawer)
    found = {}
    for seed in (0, 1, 0):
        one = run(
            spec,
            tmp_path,
            f"seed={seed}",
            "classifier.uses=classifier/drawer",
            "classifier.with={}",
            registry=registry,
            fresh=True,
        )
        drawn = json.loads(files(one, "classifier")["learned/drawn.json"])
        assert drawn.pop("again") == drawn["generator"], "equal names give equal numbers"
        assert found.setdefault(seed, drawn) == drawn, "equal seeds give equal numbers"
    for who, first in found[0].items():
        both = [*first, *found[1][who]]
        assert len(set(both)) == len(both), f"{who}: each name and each seed has numbers of its own"
    assert found[0]["torch in epoch 1"] != found[0]["torch in epoch 2"]
