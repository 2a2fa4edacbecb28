"""Numbers that JSON cannot hold reach no record: a plugin's own are refused with its name, the core's are absent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fgic_core import Metric, PluginError
from fgic_core.data.artifact import ArtifactRecord, Point
from fgic_core.pipeline import Pipeline, Run
from fgic_core.steps.context import StepContext

DIVERGED = (
    "classifier/linear: logged loss nan in epoch 2: the training diverged\n"
    "  Lower its learning rate, or clip its gradients."
)


def run(spec: Path, tmp: Path, **options: object) -> Run:
    folders = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False}
    return Pipeline.from_yaml(spec).run(**{**folders, "until": "classifier", **options})


def edit(toys: Path, old: str, new: str) -> None:
    """Change the toys' source, which changes the key of their steps."""
    file = toys / "fgic_toys.py"
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def test_a_training_that_diverges_fails_its_step_with_the_plugins_name_and_the_epoch(
    seven_steps: Path, toys: Path, tmp_path: Path
) -> None:
    """A second run goes on from the last good epoch, and says the same."""
    edit(toys, "loss=loss.item()", "loss=loss.item() if epoch == 1 else float('nan')")
    for _ in range(2):
        result = run(seven_steps, tmp_path)
        step = result.record.step("classifier")
        assert (result.ok, step.status, step.error) == (False, "failed", DIVERGED)
        assert not step.folder.exists()
        plan = Pipeline.from_yaml(seven_steps).plan(tmp_path / "store")
        assert plan.step("classifier").reason == "was interrupted after epoch 1; goes on from there"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.inf, "logged my_loss inf in epoch 1: the training diverged"),
        (-math.inf, "logged my_loss -inf in epoch 1: the training diverged"),
        (torch.tensor(math.nan), "logged my_loss nan in epoch 1: the training diverged"),
        (torch.ones(2), "what it logged as my_loss in epoch 1 is no number (Tensor of shape (2,))"),
        (np.ma.masked, "what it logged as my_loss in epoch 1 is no number (MaskedConstant of shape ())"),
        (
            np.ma.array([0.5], mask=[True]),
            "what it logged as my_loss in epoch 1 is no number (MaskedArray of shape (1,))",
        ),
        (None, "what it logged as my_loss in epoch 1 is no number (NoneType)"),
        ("0.5", "what it logged as my_loss in epoch 1 is no number (str)"),
        (1j, "what it logged as my_loss in epoch 1 is no number (complex)"),
        ([0.5], "what it logged as my_loss in epoch 1 is no number (list)"),
        (10**400, "what it logged as my_loss in epoch 1 is no number (int)"),
    ],
)
def test_what_is_no_finite_number_is_refused_at_the_source(value: object, said: str, tmp_path: Path) -> None:
    ctx = StepContext(tmp_path, uses="classifier/mine")
    with pytest.raises(PluginError, match=r"^classifier/mine: ") as caught:
        ctx.log(1, my_loss=value)  # type: ignore[arg-type]
    assert caught.value.what == said
    assert ctx.curves == []


def test_numbers_of_numpy_and_torch_are_numbers(tmp_path: Path) -> None:
    ctx = StepContext(tmp_path)
    ctx.log(1, a=1, b=np.float32(0.5), c=torch.tensor([0.25]), d=np.ma.array(2))
    assert [(point.name, point.value) for point in ctx.curves] == [("a", 1.0), ("b", 0.5), ("c", 0.25), ("d", 2.0)]


def test_logits_so_large_that_their_loss_is_infinite_are_refused(seven_steps: Path, toys: Path, tmp_path: Path) -> None:
    edit(
        toys,
        "optimizer.step()\n            ctx.log(",
        "network[3].bias.data += torch.tensor([3e38, -3e38, 0.0])\n            ctx.log(",
    )
    result = run(seven_steps, tmp_path)
    error = result.record.step("classifier").error
    assert error.startswith("classifier/linear: network gave logits so large (3e+38) that their loss is not finite")
    assert not result.ok


def test_what_the_core_could_not_compute_is_absent_from_curves_and_choices(tmp_path: Path) -> None:
    ctx = StepContext(tmp_path, uses="generator/mine")
    ctx.measure_by(lambda *_: {"": {"FID": math.nan, "KID": 0.1}})
    assert ctx.evaluate(None, 3) == {"KID": 0.1}  # type: ignore[arg-type]
    assert [(point.name, point.value) for point in ctx.curves] == [("KID", 0.1)]
    assert ctx.warnings == ["In epoch 3 FID could not be computed: not finite."]


def test_a_metric_that_is_not_finite_is_absent_with_the_reason(tmp_path: Path) -> None:
    ctx = StepContext(tmp_path)
    ctx.metric("FID", math.inf, low=0.0, high=math.inf, note="inception", verdict="pass")
    ctx.metric("accuracy", math.nan, low=math.nan, high=math.nan, n=0)
    ctx.metric("mAP", 0.5, low=math.nan, high=0.75)
    fid, accuracy, precision = ctx.metrics
    assert fid == Metric(name="FID", value=None, note="could not be computed: it came out as inf; inception")
    assert accuracy.note == "could not be computed: there is nothing to measure it on"
    assert (precision.value, precision.low, precision.high) == (0.5, None, 0.75)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_record_holds_such_a_number_however_it_is_made(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Metric(name="loss", value=value)
    with pytest.raises(ValidationError, match="finite number"):
        Metric(name="loss", value=1.0, high=value)
    with pytest.raises(ValidationError, match="finite number"):
        Point(epoch=1, split="train", name="loss", value=value)


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    ctx = StepContext(tmp_path)
    ctx.log(1, loss=1e308, lr=5e-324)
    ctx.metric("FID", math.nan)
    ctx.metric("mAP", -0.0, low=math.nan, high=1 / 3)
    common = {"key": "0" * 32, "uses": "classifier/mine", "package": "p", "version": "1", "options": {}, "inputs": {}}
    record = ArtifactRecord(type="model", seed=0, metrics=ctx.metrics, curves=ctx.curves, **common)
    record.write(tmp_path)
    assert ArtifactRecord.read(tmp_path) == record.sealed()
