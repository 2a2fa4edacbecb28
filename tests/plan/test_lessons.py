"""What a step learns is cut by its kind's module: what that may give, and what is said where it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Dataset, PluginError
from fgic_core.kinds.classifier import fit
from fgic_core.plan.lessons import Seeds, cut
from fgic_core.steps.lesson import MAIN, Lesson
from fgic_core.testing import tiny_dataset
from fgic_core.testing.networks import SmallCnn


@pytest.mark.parametrize(
    ("lessons", "said"),
    [
        (lambda _, data, ctx: [Lesson(MAIN, data)], "lessons() gives rows of the test split to learn from"),
        (lambda _, data, ctx: data.selct("train"), "lessons() failed: AttributeError: 'Dataset' object has no"),
        (lambda _, data, ctx: None, "lessons() failed: TypeError"),
        (lambda _, data, ctx: [data], "lessons() gave Dataset, not fgic_core.steps.lesson.Lesson"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_kinds_module(
    lessons: Callable[..., Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Dataset = tiny_dataset(tmp_path / "data")
    assert "test" in data.splits
    data.write(tmp_path / "data")
    ((lesson, _),), drew, asked = cut(SmallCnn(), "classifier/small", Seeds(0, {}), tmp_path / "data", {}, {})
    assert not drew, "a classifier's rows are the same with every seed"
    assert not asked, "and with all options"
    assert "test" not in lesson.data.splits
    monkeypatch.setattr(fit, "lessons", lessons)
    with pytest.raises(PluginError) as error:
        cut(SmallCnn(), "classifier/small", Seeds(0, {}), tmp_path / "data", {}, {})
    assert said in str(error.value)
    assert "fgic_core.kinds.classifier.fit (fgic)" in str(error.value)


def test_what_reads_the_seed_to_cut_is_known_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that only what is cut without it is taken for the same with every seed."""
    data: Dataset = tiny_dataset(tmp_path / "data")
    data.write(tmp_path / "data")
    for reads in (lambda ctx: ctx.rng("folds"), lambda ctx: ctx.seed, lambda ctx: ctx.seed_of("fold 1")):

        def lessons(component: Any, data: Dataset, ctx: Any, reads: Any = reads) -> list[Lesson]:
            reads(ctx)
            return [Lesson(MAIN, data.split("train"))]

        monkeypatch.setattr(fit, "lessons", lessons)
        found, drew, asked = cut(SmallCnn(), "classifier/small", Seeds(3, {"init": 4}), tmp_path / "data", {}, {})
        assert drew
        assert not asked
        assert [(key.seed, key.streams) for _, key in found] == [(3, {"init": 4})]
    beside = [Lesson(MAIN, data.split("train")), Lesson("fold 1 of 2", data.split("train"))]
    monkeypatch.setattr(fit, "lessons", lambda component, data, ctx: beside)
    (_, (_, fold)), drew, _ = cut(SmallCnn(), "classifier/small", Seeds(3, {"init": 4}), tmp_path / "data", {}, {})
    assert drew, "a fold's own seed is made of the step's"
    assert len({fold.seed, fold.streams["init"], 3, 4}) == 4


def test_what_looks_at_an_option_to_cut_is_known_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that only what is cut without one is taken for the same with all of them."""
    data: Dataset = tiny_dataset(tmp_path / "data")
    data.write(tmp_path / "data")
    looks: dict[str, Callable[[Any], Any]] = {
        "an option": lambda one: one.val_fraction,
        "all of them": lambda one: one.model_dump(),
        "a method, which may": lambda one: one.learns(),
        "none": lambda one: (one.kind, one.columns, one.gives),
    }
    for what, look in looks.items():

        def lessons(component: Any, data: Dataset, ctx: Any, look: Any = look) -> list[Lesson]:
            look(component)
            return [Lesson(MAIN, data.split("train"))]

        monkeypatch.setattr(fit, "lessons", lessons)
        *_, asked = cut(SmallCnn(), "classifier/small", Seeds(0, {}), tmp_path / "data", {}, {})
        assert asked == (what != "none"), what
