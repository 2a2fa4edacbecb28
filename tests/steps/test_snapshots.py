"""Snapshots of a network in training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fgic_core import PluginError, StepContext
from fgic_core.steps.snapshots import Snapshots


def network(width: int = 4) -> nn.Module:
    """A frozen layer, BatchNorm, and a head that is trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    made[0].requires_grad_(False)
    return made


def train(made: nn.Module, epoch: int) -> None:
    """Change what training changes, so that the head tells the epoch."""
    with torch.no_grad():
        made[2].weight.fill_(float(epoch))
    made[1].running_mean.fill_(-float(epoch))


def test_an_epoch_is_put_back_to_the_bit_and_what_is_frozen_is_not_kept(tmp_path: Path) -> None:
    made, snapshots = network(), Snapshots(tmp_path / "kept")
    assert snapshots.epochs() == []
    states = {}
    for epoch in (1, 2, 10):
        train(made, epoch)
        snapshots.keep(made, epoch)
        states[epoch] = {name: value.clone() for name, value in made.state_dict().items()}
    assert snapshots.epochs() == [1, 2, 10]
    made.requires_grad_(True)  # as at the end of a training
    for epoch in (2, 10, 1):
        snapshots.put(made, epoch)
        now = made.state_dict()
        assert all(torch.equal(now[name], value) for name, value in states[epoch].items())
    again = Snapshots(tmp_path / "again")
    again.keep(network(), 1)
    again.keep(network(), 1)
    Snapshots(tmp_path / "third").keep(network(), 1)
    one, other = (next((tmp_path / name).glob("*.safetensors")).read_bytes() for name in ("again", "third"))
    assert one == other
    assert b"0.weight" not in one
    assert b"2.weight" in one


def test_weights_that_were_trained_later_are_not_taken_for_those_of_before(tmp_path: Path) -> None:
    made, snapshots = network(), Snapshots(tmp_path)
    snapshots.keep(made, 1)
    made.requires_grad_(True)
    with torch.no_grad():
        made[0].weight.add_(1)
    snapshots.keep(made, 2)
    with pytest.raises(PluginError, match="epoch 1 lacks weights that were trained later"):
        snapshots.put(made, 1)
    snapshots.put(made, 2)


def test_a_snapshot_of_another_network_is_refused(tmp_path: Path) -> None:
    Snapshots(tmp_path).keep(network(), 1)
    with pytest.raises(PluginError, match="of another network: 1"):
        Snapshots(tmp_path).put(network(5), 1)


def test_with_too_many_bytes_those_that_stay_are_evenly_spaced_and_the_last_is_among_them(tmp_path: Path) -> None:
    made = network()
    Snapshots(tmp_path / "one").keep(made, 1)
    size = next((tmp_path / "one").glob("*.safetensors")).stat().st_size
    snapshots, seen = Snapshots(tmp_path / "few", limit=4 * size), []
    for epoch in range(10, 130, 10):
        snapshots.keep(made, epoch)
        seen.append([one // 10 for one in snapshots.epochs()])
    assert seen[:4] == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
    assert seen[4:8] == [[1, 3, 5], [1, 3, 5, 6], [1, 3, 5, 7], [1, 5, 8]]
    assert seen[8:] == [[1, 5, 9], [1, 5, 9, 10], [1, 5, 9, 11], [1, 5, 9, 12]]
    large = Snapshots(tmp_path / "large", limit=1)
    large.keep(made, 1)
    large.keep(made, 2)
    assert large.epochs() == [2]


def test_a_training_that_was_interrupted_ends_with_the_same_snapshots(tmp_path: Path) -> None:
    made = network()
    Snapshots(tmp_path / "one").keep(made, 1)
    limit = 4 * next((tmp_path / "one").glob("*.safetensors")).stat().st_size
    for name, epochs in (("whole", range(1, 8)), ("broken", [1, 2, 3, 4, 5, 3, 4, 5, 6, 7])):
        for epoch in epochs:
            Snapshots(tmp_path / name, limit).keep(made, epoch)
    assert Snapshots(tmp_path / "broken", limit).epochs() == Snapshots(tmp_path / "whole", limit).epochs()
    Snapshots(tmp_path / "broken", limit).keep(made, 1)  # from the start: there was no checkpoint
    assert Snapshots(tmp_path / "broken", limit).epochs() == [1]


def test_what_is_damaged_before_the_training_ends_is_left_out_and_said(tmp_path: Path) -> None:
    made, snapshots = network(), Snapshots(tmp_path / "scratch")
    for epoch in range(1, 6):
        train(made, epoch)
        snapshots.keep(made, epoch)
    damaged, taken, kept = (tmp_path / "scratch" / f"{epoch:06d}.safetensors" for epoch in (1, 4, 5))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    taken.unlink()
    Snapshots(tmp_path / "scratch").keep(made, 6)  # the training goes on in another process
    lost = Snapshots(tmp_path / "scratch").move_to(tmp_path / "artifact")
    assert [text.split(" before")[0] for text in lost] == [
        "The snapshot of epoch 1 was damaged",
        "The snapshot of epoch 4 was taken away",
    ]
    assert Snapshots(tmp_path / "artifact").epochs() == [2, 3, 5, 6]
    (tmp_path / "scratch" / "snapshots.json").write_text("{")
    Snapshots(tmp_path / "scratch").keep(made, 7)
    assert len(Snapshots(tmp_path / "scratch").move_to(tmp_path / "other")) == 5
    assert Snapshots(tmp_path / "other").epochs() == [7]
    kept.write_bytes(b"")
    assert len(Snapshots(tmp_path / "scratch").move_to(tmp_path / "scratch")) == 5
    assert Snapshots(tmp_path / "scratch").epochs() == [7]


def context(folder: Path, *, rank: int = 0, scratch: bool = True) -> StepContext:
    (folder / "out").mkdir(exist_ok=True)
    return StepContext(folder / "out", scratch=folder / "scratch" if scratch else None, rank=rank)


def test_evaluation_keeps_the_network_of_what_was_fitted_where_a_crash_leaves_it(tmp_path: Path) -> None:
    ctx, made = context(tmp_path), network()
    seen = []
    ctx.measure_by(lambda fitted, epoch: (seen.append((fitted, epoch)), {"val": {"accuracy": 0.5}})[1])
    fitted = SimpleNamespace(network=made)
    assert ctx.evaluate(fitted, 1) == {"accuracy": 0.5}
    ctx.evaluate(SimpleNamespace(network=None), 2)
    ctx.evaluate(fitted, 3)
    assert seen[0] == (fitted, 1)
    later = context(tmp_path).snapshots
    assert later.epochs() == [1, 3]
    assert list(ctx.folder.iterdir()) == []
    later.move_to(ctx.folder / "snapshots")
    assert Snapshots(ctx.folder / "snapshots").epochs() == [1, 3]
    assert sorted(file.name for file in (ctx.folder / "snapshots").iterdir()) == [
        "000001.safetensors",
        "000003.safetensors",
    ]
    assert context(tmp_path).snapshots.epochs() == [1, 3], "the step may still crash"


def test_without_a_scratch_folder_they_are_kept_in_the_artifact(tmp_path: Path) -> None:
    ctx = context(tmp_path, scratch=False)
    ctx.measure_by(lambda *_: {})
    ctx.evaluate(SimpleNamespace(network=network()), 1)
    ctx.snapshots.move_to(ctx.folder / "snapshots")
    assert [file.name for file in (ctx.folder / "snapshots").iterdir()] == ["000001.safetensors"]


@pytest.mark.parametrize("why", ["other rank", "not wanted", "no ruler", "fold"])
def test_nobody_else_keeps_any(tmp_path: Path, why: str) -> None:
    ctx = context(tmp_path, rank=why == "other rank")
    fitted = SimpleNamespace(network=network())
    if why == "fold":
        part = ctx.training("fold-1")
        part.measure_by(lambda *_: {})
        part.evaluate(fitted, 1)
    elif why != "no ruler":
        ctx.measure_by(lambda *_: {}, snapshots=why != "not wanted")
    ctx.evaluate(fitted, 1)
    assert list(tmp_path.rglob("*.safetensors")) == []
