"""classifier/timm on several devices: two processes on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from fgic_classify_timm import TimmClassifier
from fgic_classify_timm._network import build
from safetensors.torch import load_file

from fgic_core import Dataset, PluginError
from fgic_core.data.artifact import ArtifactRecord, Metric, Point
from fgic_core.kit.batches import check_shares, in_batches, loader, shuffled
from fgic_core.registry import Registry
from fgic_core.run.job import Job
from fgic_core.run.processes import run_on_devices
from fgic_core.steps.context import Listener, StepContext

Train = Callable[..., ArtifactRecord]

#: Normalised by layer and without dropout: each picture's gradient is the same in whatever company it is.
BATCH_FREE = {"model": "test_vit", "pretrained": False, "image_size": 32, "lr": 0.02, "epochs": 2, "keep": "last"}
#: Everything that could differ between processes: running statistics, dropout, a best epoch, an optimizer's state.
STATEFUL = {
    "model": "test_efficientnet",
    "pretrained": False,
    "image_size": 32,
    "lr": 0.002,
    "optimizer": "adamw",
    "dropout": 0.3,
    "epochs": 4,
}


class _Recorder(Listener):
    def __init__(self) -> None:
        self.points: list[Point] = []
        self.metrics: list[Metric] = []
        self.bars: dict[str, list[int]] = {}

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self.bars.setdefault(description, []).append(done)

    def point(self, point: Point) -> None:
        self.points.append(point)

    def metric(self, metric: Metric) -> None:
        self.metrics.append(metric)


class _CtrlC(Listener):
    """Stops at the loss of the third epoch, as Ctrl-C does, and remembers who was at work then."""

    def __init__(self) -> None:
        self.at_work: list[psutil.Process] = []

    def point(self, point: Point) -> None:
        if point.epoch == 3:
            self.at_work = psutil.Process().children(recursive=True)
            raise KeyboardInterrupt


@pytest.fixture
def train(colours: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains on the colours as a job; jobs of one name share their checkpoints."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = tmp_path / "colours"
    ArtifactRecord(
        type="dataset", key="colours", uses="dataset/none", package="", version="", options={}, seed=0, inputs={}
    ).write(data)

    def run(name: str, devices: int, listener: Listener | None = None, **options: Any) -> ArtifactRecord:
        output = tmp_path / name / f"out-{len(list((tmp_path / name).glob('out-*')))}"
        output.mkdir(parents=True)
        job = Job(
            node="fit",
            uses="classifier/timm",
            options=options,
            inputs={"dataset": data},
            output=output,
            scratch=tmp_path / name / "scratch",
            devices=devices,
        )
        return run_on_devices(job, Registry(), listener)

    return run


def weights(tmp_path: Path, name: str) -> dict[str, torch.Tensor]:
    outputs = sorted((tmp_path / name).glob("out-*"))
    return load_file(outputs[-1] / "component" / "model.safetensors")


def test_every_device_has_a_share_of_every_batch_and_two_rows_where_it_can() -> None:
    for rows, batch_size, devices in [
        (17, 8, 2),
        (18, 8, 2),
        (19, 8, 2),
        (25, 8, 4),
        (9, 4, 4),
        (13, 4, 3),
        (30, 7, 3),
    ]:
        batches = in_batches(range(rows), batch_size, devices)
        assert [row for batch in batches for row in batch] == list(range(rows))
        least = 2 if batch_size >= 2 * devices else 1
        assert min(len(batch[rank::devices]) for batch in batches for rank in range(devices)) >= least
    assert [len(batch) for batch in in_batches(range(19), 8, 2)] == [8, 11]
    assert [len(batch) for batch in in_batches(range(20), 8, 2)] == [8, 8, 4]


@pytest.mark.slow
def test_two_devices_train_what_one_trains_and_tell_it(
    train: Train, tmp_path: Path, context: Callable[..., StepContext]
) -> None:
    recorder = _Recorder()
    # Shares of 3 and 2 pictures, and a last batch of another size.
    one = train("one", 1, batch_size=5, **BATCH_FREE)
    two = train("two", 2, recorder, batch_size=5, **BATCH_FREE)
    ours, theirs = weights(tmp_path, "one"), weights(tmp_path, "two")
    assert ours.keys() == theirs.keys()
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-4
    before = build(TimmClassifier.model_validate(BATCH_FREE), "abc", context()).network.state_dict()
    assert max((ours[name] - before[name]).abs().max().item() for name in ours) > 1e-2
    assert recorder.points == two.curves
    assert recorder.metrics == two.metrics
    assert [(p.epoch, p.split, p.name) for p in one.curves] == [(p.epoch, p.split, p.name) for p in two.curves]
    for mine, other in zip(one.curves, two.curves, strict=True):
        assert mine.value == pytest.approx(other.value, abs=1e-3)
    bar = recorder.bars["epoch 2/2"]
    assert bar == sorted(bar)
    assert (bar[0], bar[-1]) == (0, 21)
    assert sorted(file.name for file in (tmp_path / "two" / "out-0").iterdir()) == sorted(
        file.name for file in (tmp_path / "one" / "out-0").iterdir()
    )


def test_fewer_pictures_than_devices_are_one_message_that_names_both(
    colours: Dataset, context: Callable[..., StepContext]
) -> None:
    ctx, train = context(), colours.split("train")
    ctx.devices = 3
    with pytest.raises(PluginError, match="batch_size 2 is less than the 3 devices") as caught:
        check_shares(len(train), 2, ctx)
    assert caught.value.hint == "Set batch_size to 3 or more; it counts the pictures on all devices together."
    with pytest.raises(PluginError, match="there are 2 train samples for 3 devices"):
        check_shares(2, 3, ctx)
    check_shares(len(train), 3, ctx)


def test_the_processes_shares_make_up_each_batch(colours: Dataset, context: Callable[..., StepContext]) -> None:
    ctx, train = context(), colours.split("train")
    items = [(torch.zeros(1), int(label)) for label in train.labels]

    def seen() -> list[list[int]]:
        batches = shuffled(len(items), 7, ctx, 1)
        return [labels.tolist() for _, labels in loader(items, batches, ctx, 1)]

    whole = seen()
    ctx.devices = 2
    shares = []
    for ctx.rank in range(2):
        shares.append(seen())
    assert [len(labels) for labels in whole] == [7, 7, 7, 3]
    flat = [label for labels in whole for label in labels]
    assert [len(labels) for labels in shares[0]] == [4, 4, 5]
    assert sorted(label for labels in shares[0] + shares[1] for label in labels) == sorted(flat)
    assert shares[0][0] == flat[:7][0::2]
    assert shares[1][0] == flat[:7][1::2]
