"""The ruler on real crops of dogs, with the features of a real network: planted generators are told apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from fgic_core import Dataset, FittedGenerator, Generator, Metric, Sample, Size, StepContext
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.kinds.generator import driver

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
DOGS = DATA / "stanford_dogs_crops64"
WEIGHTS = DATA.parent / "weights" / "mobilenetv2_100.imagenet1k_dequantised.safetensors"
CLASSES, TRAIN, TEST, SAMPLES = 6, 40, 20, 120

pytestmark = pytest.mark.skipif(
    not (DOGS.is_dir() and WEIGHTS.is_file()), reason=f"no real data at {DATA} (set FGIC_REAL_DATA)"
)


class Pools(FittedGenerator):
    """Shows real pictures from a pool: new ones, one of each class, those of train, or those of the next class."""

    def __init__(self, how: str) -> None:
        self.how = how

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
        made = []
        for label, seed in zip(labels, seeds, strict=True):
            pool = POOLS[self.how][(label + (self.how == "swapped")) % CLASSES]
            made.append(pool[0 if self.how == "collapsed" else np.random.default_rng(seed).integers(len(pool))])
        return np.stack(made).transpose(0, 3, 1, 2).astype(np.float32) / 255


class Drawn(Generator):
    """Shows real pictures."""

    resolution: int = 64
    how: Literal["perfect", "collapsed", "copies", "swapped"]

    def fit(self, train: Any, ctx: Any) -> Pools:
        return Pools(self.how)

    def save(self, fitted: Any, folder: Path) -> None: ...

    def load(self, folder: Path, device: str) -> Pools:
        return Pools(self.how)


POOLS: dict[str, list[Any]] = {}


def read(files: Sequence[Path]) -> Any:
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files])


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Crops of `CLASSES` breeds; what is neither train nor test is what a perfect generator shows."""
    folder = tmp_path_factory.mktemp("dogs")
    breeds = sorted(one.name for one in (DOGS / "train").iterdir())[:CLASSES]
    samples = []
    new, known = [], []
    for label, breed in enumerate(breeds):
        train = sorted((DOGS / "train" / breed).iterdir())[:TRAIN]
        rest = sorted((DOGS / "test" / breed).iterdir())
        new.append(read(rest[TEST:]))
        known.append(read(train))
        for split, files in (("train", train), ("test", rest[:TEST])):
            for file in files:
                path = file.relative_to(DOGS).as_posix()
                samples.append(Sample(id=path, path=path, label=label, split=split, size=Size(64, 64)))
    POOLS.update(perfect=new, collapsed=new, swapped=new, copies=known)
    with DatasetWriter(folder, Header(tuple(breeds), {"dogs": DOGS})) as writer:
        writer.write_samples(samples, "dogs")
    return Dataset.open(folder)


def metrics(how: str, dogs: Dataset, folder: Path) -> dict[str, Metric]:
    component = Drawn(
        how=how, per_class=2, fid_model="mobilenetv2_100", fid_weights=WEIGHTS, fid_size=64, fid_samples=SAMPLES
    )
    (folder / how).mkdir()
    ctx = StepContext(folder / how, uses="generator/drawn")
    driver.run(component, {"dataset": dogs}, ctx)
    return {metric.name: metric for metric in ctx.metrics}


@pytest.mark.slow
def test_planted_generators_are_told_apart_on_real_pictures(dogs: Dataset, tmp_path: Path) -> None:
    found = {how: metrics(how, dogs, tmp_path) for how in ("perfect", "collapsed", "copies", "swapped")}
    perfect, collapsed, copies, swapped = found.values()
    value = {how: {name: metric.value or 0.0 for name, metric in one.items()} for how, one in found.items()}
    assert "mobilenetv2_100" in perfect["FID"].note
    assert value["perfect"]["FID"] < 1.6 * value["perfect"]["FID_real"]
    assert value["perfect"]["FID"] < 0.5 * value["perfect"]["FID_noise"]
    assert value["perfect"]["memorised"] < 0.05
    assert value["perfect"]["copies"] == 0
    assert value["perfect"]["diversity"] > 0.9
    assert perfect["class_agreement"].low is not None
    assert perfect["class_agreement"].low < value["perfect"]["class_agreement_real"] + 0.1

    assert value["collapsed"]["recall"] < 0.1 < value["perfect"]["recall"]
    assert value["collapsed"]["diversity"] < 0.01
    assert value["collapsed"]["KID"] > 5 * abs(value["perfect"]["KID"])

    assert value["copies"]["FID"] < value["perfect"]["FID"]
    assert value["copies"]["memorised"] == value["copies"]["copies"] == 1.0

    assert value["swapped"]["FID"] < 1.6 * value["swapped"]["FID_real"], "FID does not see labels"
    assert swapped["class_agreement"].high is not None
    assert swapped["class_agreement"].high < value["perfect"]["class_agreement"]
    assert collapsed["FID"].n == copies["FID"].n == SAMPLES
