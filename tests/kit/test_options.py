"""The options of every training: one name, one type, one default place."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import ValidationError

from fgic_core import Registry
from fgic_core.cli.check import print_plan
from fgic_core.kit import Augmented, Trainable, TrainingOptions, option, rate_factor
from fgic_core.spec import SpecError, parse_spec

KIT = {**Trainable.model_fields, **Augmented.model_fields}


class Long(Trainable):
    """Trains for long."""

    epochs: int = option(Trainable, "epochs", 200, "Many.", ge=0)
    lr: float = option(Trainable, "lr", 0.1)


def test_another_default_changes_nothing_else() -> None:
    own, field = Trainable.model_fields["epochs"], Long.model_fields["epochs"]
    assert (Long().epochs, Trainable().epochs) == (200, 25)
    assert field.description == f"{own.description} Many."
    assert Long(epochs=0).epochs == 0, "a bound is another one where that is said"
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Trainable(epochs=0)
    with pytest.raises(ValidationError, match="greater than 0"):
        Long(lr=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [("epoch", "Trainable has no option epoch; did you mean epochs?"), ("zzz", "Trainable has no option zzz")],
)
def test_another_default_of_an_option_that_is_not_there_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match="has no option") as caught:
        option(Trainable, name, 12)
    assert str(caught.value) == said


def test_an_option_of_the_kit_means_the_same_in_every_component() -> None:
    """Its description is the kit's, with a note at most."""
    trained = set()
    for uses in Registry().names():
        component = Registry().get(uses)
        fields = component.model_fields
        assert not fields.keys() & TrainingOptions.renamed.keys(), f"{uses} has an option by its old name"
        if issubclass(component, TrainingOptions):
            trained.add(uses)
            other = [n for n in fields.keys() & KIT.keys() if not fields[n].description.startswith(KIT[n].description)]
            assert not other, f"{uses} says something else of {other}"
    assert trained >= {"classifier/timm", "classifier/bilinear", "detector/mmdet", "detector/torchvision"}
    assert trained >= {"generator/biggan", "generator/diffusion"}


@pytest.mark.parametrize(
    ("uses", "options", "said"),
    [
        ("classifier/timm", "warmup_epochs: 2", "Write warmup, as a share of the whole training: 2 of 20 epochs are"),
        ("detector/mmdet", "warmup_iters: 2", "Write warmup, as a share of all training steps: warmup: 0.1 is a tenth"),
        ("generator/biggan", "use_epoch: last", "Write keep: best or keep: last."),
        ("generator/biggan", "keep: synthetic", "for the train samples that go on write train_samples: synthetic"),
        ("generator/mix", "keep: real", "Write train_samples: both, synthetic or real."),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(uses: str, options: str, said: str) -> None:
    spec = f"version: 1\nsteps:\n  d: {{uses: dataset/synthetic-birds}}\n  x: {{uses: {uses}, with: {{{options}}}}}\n"
    with pytest.raises(SpecError) as caught:
        parse_spec(spec, registry=Registry())
    assert said in str(caught.value)
    assert "4:" in str(caught.value), "with its line"


def test_a_name_of_the_kit_lies_where_its_table_says() -> None:
    kit = import_module("fgic_core.kit")
    for name, module in kit._MODULE.items():
        assert getattr(kit, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="no_such"):
        _ = kit.no_such


def test_the_schedule_goes_by_the_epoch_and_the_warm_up_by_the_step() -> None:
    options = Trainable(epochs=12, schedule="step", warmup=0.25)
    factors = [rate_factor(options, epoch, (epoch - 1) * 4, 48) for epoch in range(1, 13)]
    assert factors == pytest.approx([1 / 13, 5 / 13, 9 / 13, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    assert rate_factor(Trainable(epochs=9, schedule="step", step_size=3, gamma=0.5), 9, 0, 9) == 0.25
    assert rate_factor(Trainable(epochs=9, schedule="none"), 9, 8, 9) == 1.0


def test_an_option_that_was_given_and_has_no_effect_is_said_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A default has no effect either, and nobody is told of it."""
    idle = "schedule: cosine, step_size: 3, optimizer: adamw, momentum: 0.5"
    (tmp_path / "s.yaml").write_text(
        "version: 1\nsteps:\n  d: {uses: dataset/synthetic-birds}\n"
        f"  idle: {{uses: classifier/timm, with: {{{idle}}}}}\n"
        "  used: {uses: classifier/timm, with: {schedule: step, step_size: 3, optimizer: sgd, momentum: 0.5}}\n"
        "  less: {uses: classifier/timm, with: {schedule: none, optimizer: adamw}}\n"
    )
    print_plan(tmp_path / "s.yaml", [], tmp_path / "store", False)
    assert capsys.readouterr().err.splitlines() == [
        "warning: step idle: step_size has no effect, as schedule is cosine.",
        "warning: step idle: momentum has no effect, as optimizer is adamw.",
    ]
    print_plan(tmp_path / "s.yaml", [], tmp_path / "store", True)
    said = {row["step"]: row["warnings"] for row in json.loads(capsys.readouterr().out)}
    assert [len(said[step]) for step in ("d", "idle", "used", "less")] == [0, 2, 0, 0]
