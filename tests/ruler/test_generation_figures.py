"""FID and what stands beside it: what pictures are resized by, what is said of n and of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from fgic_core import Dataset, FittedGenerator, Generator, Run, Sample

Bench = Callable[..., Run]
SIDE = 64
MODEL = "test_resnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a tiny timm model."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(MODEL, num_classes=7)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(model.state_dict(), file)
    return file


def smooth(label: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A soft slope between two colours, bluish or reddish: (side, side, 3) from 70 to 185."""
    first, last = rng.uniform(70, 185, (2, 3))
    first[label], last[label] = 70, 80
    x, y = np.meshgrid(*[np.linspace(0, 1, SIDE)] * 2)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.clip(0.5 + 0.5 * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)), 0, 1)[..., None]
    return first * slope + last * (1 - slope)


class Sloped(FittedGenerator):
    def __init__(self, board: bool) -> None:
        self.board = board

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
        board = (np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 2 - 1)[..., None] * (60 if self.board else 0)
        made = [smooth(k, np.random.default_rng(seed)) + board for k, seed in zip(labels, seeds, strict=True)]
        return np.stack(made).transpose(0, 3, 1, 2).astype(np.float32) / 255


class Slopes(Generator):
    """New pictures like the real ones; with a checkerboard of single pixels over them, where asked."""

    resolution: int = SIDE
    board: bool = Field(False, description="Lay a checkerboard of pixels over each.")

    def fit(self, train: Any, ctx: Any) -> FittedGenerator:
        return Sloped(self.board)

    def save(self, fitted: Any, folder: Path) -> None: ...

    def load(self, folder: Path, device: str) -> FittedGenerator:
        return Sloped(self.board)


def pictures(per_class: int = 40) -> list[tuple[Sample, np.ndarray[Any, Any]]]:
    made = []
    for number, split in enumerate(("train", "test")):
        for label in (0, 1):
            for row in range(per_class):
                name = f"{split}-{label}-{row}"
                pixels = smooth(label, np.random.default_rng((number, label, row))).round().astype(np.uint8)
                made.append((Sample(id=name, path=f"{name}.png", label=label, split=split), pixels))  # type: ignore[arg-type]
    return made


def options(weights: Path, **more: Any) -> dict[str, Any]:
    fid = {"fid_model": MODEL, "fid_weights": str(weights), "fid_samples": 80, "per_class": 1}
    return {"more": {"uses": "generator/slopes", "with": {**fid, **more}}}


def test_what_is_finer_than_the_network_sees_is_averaged_before_it_looks(bench: Bench, weights: Path) -> None:
    """A checkerboard of pixels is grey from afar. Taken at every 2.7th pixel it is stripes, and FID is 60 times it."""
    real = pictures()
    plain = bench(real, options(weights, fid_size=24), slopes=Slopes)
    board = bench(real, options(weights, fid_size=24, board=True), slopes=Slopes)
    usual, seen = (run.metric("more", "FID").value for run in (plain, board))
    assert seen == pytest.approx(usual, rel=0.05)
    assert usual < 0.1 * plain.metric("more", "FID_noise").value


def test_fid_says_its_network_its_n_and_that_few_pictures_bias_it(bench: Bench, weights: Path) -> None:
    run = bench(pictures(), options(weights, fid_size=32, fid_samples=60), slopes=Slopes)
    fid, kid = (run.metric("more", name) for name in ("FID", "KID"))
    assert (fid.n, kid.n) == (60, 60)
    assert f"{MODEL} (weights small)" in fid.note
    assert "32 px" in fid.note
    assert "80 real train pictures" in fid.note
    assert "biased upwards" in fid.note
    assert "compare at equal n" in fid.note
    assert "unbiased" in kid.note
    assert run.metric("more", "FID_real").n == 60, "what it is compared with has the same n"


class Shown(FittedGenerator):
    """Train pictures, and which rows of them each class has."""

    def __init__(self, shown: Any, rows: list[Any]) -> None:
        self.shown, self.rows = shown, rows

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
        rows = [self.rows[k][seed % len(self.rows[k])] for k, seed in zip(labels, seeds, strict=True)]
        return np.stack([self.shown[row] for row in rows]).transpose(0, 3, 1, 2).astype(np.float32) / 255


class Again(Slopes):
    """The train pictures again."""

    def fit(self, train: Any, ctx: Any) -> Shown:
        shown = np.stack([np.asarray(train.crop(row)) for row in range(len(train))])
        return Shown(shown, [np.flatnonzero(train.labels == label) for label in (0, 1)])

    def save(self, fitted: Any, folder: Path) -> None:
        np.savez(folder / "shown.npz", shown=fitted.shown, first=fitted.rows[0], second=fitted.rows[1])

    def load(self, folder: Path, device: str) -> Shown:
        kept = np.load(folder / "shown.npz")
        return Shown(kept["shown"], [kept["first"], kept["second"]])


def test_made_and_real_pictures_come_to_the_network_the_same_way(bench: Bench, weights: Path) -> None:
    """A train picture made again has its features exactly: no channel is swapped, nothing compressed on one side."""
    run = bench(pictures(), options(weights, fid_size=32, per_class=10), slopes=Again)
    made, unseen = (
        pq.read_table(run.record.step("more").folder / f"{name}.parquet").column("nearest_distance").to_numpy()
        for name in ("made", "held_out")
    )
    assert len(made) == 20
    assert made.max() < 1e-3 * np.median(unseen), "but for rounding"
    assert run.metric("more", "memorised").value == 1
    assert any("they show train pictures rather than new ones" in said for said in run.artifact("more").warnings)


def test_new_pictures_are_no_memories(bench: Bench, weights: Path) -> None:
    run = bench(pictures(), options(weights, fid_size=32), slopes=Slopes)
    assert run.metric("more", "memorised").value < 0.1
    assert not any("rather than new ones" in said for said in run.artifact("more").warnings)


def kid(made: np.ndarray[Any, Any], real: np.ndarray[Any, Any]) -> float:
    """KID of (n, d) and (m, d) features, from its definition."""

    def kernel(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray((one @ other.T / one.shape[1] + 1) ** 3)

    def within(some: np.ndarray[Any, Any]) -> float:
        return float(kernel(some, some)[~np.eye(len(some), dtype=bool)].mean())

    return within(made) + within(real) - 2 * float(kernel(made, real).mean())


def without_each(features: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return [np.delete(features, row, axis=0) for row in range(len(features))]


def test_the_interval_of_kid_is_196_standard_errors_of_the_jackknife_wide(bench: Bench, weights: Path) -> None:
    """By the definitions: KID, and the jackknife of Efron and Stein over the pictures of both kinds."""
    run = bench(pictures(10), options(weights, fid_size=SIDE, fid_samples=20, per_class=10), slopes=Slopes)
    network = timm.create_model(MODEL, num_classes=0)
    network.load_state_dict({name: value for name, value in load_file(weights).items() if not name.startswith("fc.")})
    mean, std = (np.array(network.pretrained_cfg[name]) for name in ("mean", "std"))

    def features(data: Dataset) -> np.ndarray[Any, Any]:
        seen = np.stack([(np.asarray(data.crop(row)) / 255 - mean) / std for row in range(len(data))])
        with torch.no_grad():
            return network.eval()(torch.from_numpy(seen).permute(0, 3, 1, 2).float()).double().numpy()

    more = run.dataset("more")
    made = features(more.take([row for row, sample in enumerate(more) if sample.origin != "real"]))
    real = features(run.dataset("data").split("train"))
    assert len(made) == len(real) == 20
    error = sum(
        (len(left) - 1) * np.var(left)
        for left in ([kid(some, real) for some in without_each(made)], [kid(made, some) for some in without_each(real)])
    )
    found = run.metric("more", "KID")
    assert found.value == pytest.approx(kid(made, real), rel=1e-3)
    assert found.low == pytest.approx(found.value - 1.96 * error**0.5, rel=1e-3)
    assert found.high == pytest.approx(found.value + 1.96 * error**0.5, rel=1e-3)
