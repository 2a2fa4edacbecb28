"""What changes while a run computes: other runs over the store, sources and files that a key stands on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fgic_core import Attacker, InputFile, Registry, hookimpl
from fgic_core.data.artifact import ArtifactRecord, Point
from fgic_core.errors import FgicError, StoreError
from fgic_core.pipeline import Pipeline, Run
from fgic_core.plan.plan import Plan
from fgic_core.run import engine

SPEC = """\
version: 1
name: meanwhile
steps:
  dots: {uses: dataset/dots}
  net: {uses: classifier/linear, with: {epochs: 2}}
  shift: {uses: attacker/shift, with: {eps: [0.1], samples: 4, table: table.txt}}
"""


class Shift(Attacker):
    """Moves every pixel by what stands in a file."""

    table: InputFile

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> torch.Tensor:
        return (images + eps * float(Path(self.table).read_text())).clamp(0, 1)


class When:
    """Does something once, when a step gets so far."""

    def __init__(self, step: str, act: Callable[[], None], hook: str) -> None:
        self.step, self.act, self.hook, self.done = step, act, hook, False

    def _now(self, step: Any, hook: str) -> None:
        if (step.name, hook, self.done) == (self.step, self.hook, False):
            self.done = True
            self.act()

    @hookimpl
    def step_started(self, step: Any) -> None:
        self._now(step, "step_started")

    @hookimpl
    def point(self, step: Any) -> None:
        self._now(step, "point")

    @hookimpl
    def metric(self, step: Any) -> None:
        self._now(step, "metric")


class Counter:
    """How many epochs were trained."""

    epochs = 0

    @hookimpl
    def point(self, point: Point) -> None:
        self.epochs += (point.split, point.name) == ("train", "loss")


Go = Callable[..., Run]


def registry() -> Registry:
    made = Registry()
    made.register("shift", Shift)
    return made


@pytest.fixture
def go(toys: Path, tmp_path: Path) -> Go:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "table.txt").write_text("1")

    def run(*observers: object, **more: Any) -> Run:
        pipeline = Pipeline.from_yaml(tmp_path / "spec.yaml", registry=registry())
        where: dict[str, Any] = {"store": tmp_path / "store", "runs": tmp_path / "runs", "device": "cpu"}
        return pipeline.run(observers=observers, report=False, **where, **more)

    return run


def statuses(run: Run) -> list[str]:
    return [step.status for step in run.record.steps]


def replaced(run: Run, step: str) -> Callable[[], None]:
    """Puts another artifact of the same key in the place of a step's, as a run beside this one may."""

    def act() -> None:
        folder = run.record.step(step).folder
        record = ArtifactRecord.read(folder)
        record.model_copy(update={"content": "of another run"}).sealed().write(folder)

    return act


@pytest.mark.parametrize(("hook", "epochs"), [("step_started", 0), ("point", 2)])
def test_a_step_that_is_given_what_another_run_has_replaced_fails(
    go: Go, tmp_path: Path, hook: str, epochs: int
) -> None:
    """Before it is computed, and while it is: nothing is kept under the key of what was there before."""
    data = go(until="dots")
    counter = Counter()
    result = go(When("net", replaced(data, "dots"), hook), counter)
    assert statuses(result) == ["reused", "failed", "skipped"]
    assert "what step dots gave was replaced in the store by another run" in result.record.step("net").error
    assert counter.epochs == epochs, "what is known before it is computed is not computed"
    plan = Pipeline.from_yaml(tmp_path / "spec.yaml", registry=registry()).plan(tmp_path / "store")
    assert not plan.step("net").trained
    assert statuses(go())[1:] == ["computed", "computed"]


def test_what_was_learned_is_held_against_the_key_too(go: Go) -> None:
    learned = go(until="net")

    def act() -> None:
        folder = learned.learned("net")
        ArtifactRecord.read(folder).model_copy(update={"content": "of another run"}).sealed().write(folder)

    result = go(When("shift", act, "step_started"))
    assert statuses(result) == ["reused", "reused", "failed"]
    assert "what step net gave was replaced" in result.record.step("shift").error


def test_a_file_that_changes_while_a_step_is_computed_leaves_nothing_that_is_reused(go: Go, tmp_path: Path) -> None:
    """The file is another one in the middle, and the old one again afterwards."""
    table = tmp_path / "table.txt"
    first = go(When("net", lambda: table.write_text("0") and None, "point"))
    assert first.ok
    assert first.metric("shift", "distance", "test", eps=0.1).value == 0.0
    table.write_text("1")
    result = go()
    assert statuses(result) == ["reused", "reused", "computed"]
    assert result.record.step("shift").reason == ("is in doubt: while it was computed, what lies at table changed")
    assert result.metric("shift", "distance", "test", eps=0.1).value == pytest.approx(0.1, abs=1e-6)
    assert statuses(go()) == ["reused"] * 3


def test_so_does_a_source(go: Go, toys: Path) -> None:
    source = toys / "fgic_toys.py"
    text = source.read_text()
    changed = text.replace("optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=False)")
    assert changed != text
    first = go(When("net", lambda: source.write_text(changed) and None, "point"), until="net")
    assert first.ok
    source.write_text(text)
    result = go(until="net")
    assert statuses(result)[:2] == ["reused", "computed"]
    assert "is in doubt: while it was computed, fgic-toys: its source changed" in result.record.step("net").reason


def test_nothing_is_in_doubt_where_nothing_changed(go: Go, toys: Path) -> None:
    """A comment is no change."""
    source = toys / "fgic_toys.py"
    text = source.read_text()
    assert go(When("net", lambda: source.write_text(text + "# a comment\n") and None, "point")).ok
    assert statuses(go()) == ["reused"] * 3


def test_no_other_model_stands_in_for_one_that_failed(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fgic_toys

    last = "  last: {uses: classifier/linear, with: {epochs: 1}}\n"
    (tmp_path / "spec.yaml").write_text(SPEC.replace("  shift:", f"{last}  shift:"))
    monkeypatch.setattr(fgic_toys.Linear, "_wait", lambda self, epoch: 1 / 0 if self.epochs == 1 else None)
    result = go()
    assert statuses(result) == ["computed", "computed", "failed", "skipped"]
    with pytest.raises(StoreError, match=r"step last, which gives the model of this run, failed(.|\n)*name another"):
        result.model()
    assert result.model("net").classes == result.dataset().classes
    assert result.opened("net").classes == result.opened("dots").classes == result.dataset().classes
    with pytest.raises(StoreError, match="step last failed"):
        result.opened("last")


def test_code_that_was_edited_after_it_was_imported_is_not_computed_with_in_the_process(toys: Path, go: Go) -> None:
    """What it gave would be kept as what the new code gives. A comment changes nothing, and new Python has new code."""
    go(until="dots")
    file = toys / "fgic_toys.py"
    file.write_text(f"# A remark.\n{file.read_text()}")
    assert statuses(go(until="net"))[:2] == ["reused", "computed"]
    text = file.read_text()
    edited = text.replace("class Linear(Classifier):", "SCALE = 2\n\n\nclass Linear(Classifier):")
    assert edited != text
    file.write_text(edited)
    with pytest.raises(FgicError) as caught:
        go(until="net")
    message = str(caught.value)
    assert f"imported code that was changed since: {file}" in message
    assert "step dots (dataset/dots)" in message
    assert 'isolation="run"' in message
    importlib.reload(sys.modules["fgic_toys"])
    assert statuses(go(until="net"))[:2] == ["computed", "computed"]


def test_a_study_looks_once_at_the_code_of_each_step_that_its_runs_share(
    toys: Path, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    outdated = Plan.outdated
    monkeypatch.setattr(Plan, "outdated", lambda plan, name: looked.append(name) or outdated(plan, name))
    block = "study: {seeds: [0, 1, 2], measure: [{step: net, quantity: accuracy}], matrix: {net.with.epochs: [1, 2]}}\n"
    spec = SPEC.replace("\nsteps:", f"\n{block}steps:")
    (tmp_path / "spec.yaml").write_text(spec.replace("{epochs: 2}}\n", "{epochs: 1}}\n").partition("  shift:")[0])
    monkeypatch.setattr(engine, "check_device", lambda device: 1 / 0)  # what comes next
    with pytest.raises(ZeroDivisionError):
        go()
    assert looked == ["dots", "net", "net"], "of six runs"
    file = toys / "fgic_toys.py"
    file.write_text(file.read_text().replace("class Linear(Classifier):", "SCALE = 2\n\n\nclass Linear(Classifier):"))
    with pytest.raises(FgicError, match=r"changed since: .*fgic_toys\.py"):
        go()
    assert looked[3:] == ["dots"]


def test_so_is_none_of_a_module_that_it_imports_nor_a_class_whose_module_was_reloaded(toys: Path, go: Go) -> None:
    (toys / "fgic_toy_helper.py").write_text("SCALE = 1\n")
    file = toys / "fgic_toys.py"
    file.write_text(file.read_text().replace("import annotations\n", "import annotations\n\nimport fgic_toy_helper\n"))
    assert "import fgic_toy_helper" in file.read_text()
    made = Pipeline.from_yaml(toys.parent / "spec.yaml", registry=registry())
    go(until="dots")
    (toys / "fgic_toy_helper.py").write_text("SCALE = 2\n")
    with pytest.raises(FgicError, match=r"changed since: .*fgic_toy_helper\.py"):
        go(until="dots")
    importlib.reload(sys.modules["fgic_toy_helper"])
    assert statuses(go(until="dots"))[0] == "computed"
    importlib.reload(sys.modules["fgic_toys"])
    (toys / "fgic_toy_helper.py").write_text("SCALE = 3\n")
    with pytest.raises(FgicError, match=r"changed since: .*fgic_toy_helper\.py"):
        go(until="dots")
    importlib.reload(sys.modules["fgic_toy_helper"])
    with pytest.raises(FgicError, match=r"changed since: .*fgic_toys\.py"):
        made.run(store=toys.parent / "store", runs=toys.parent / "runs", device="cpu", until="dots", report=False)


def test_a_default_that_is_another_one_where_the_step_is_computed_is_noticed(go: Go, tmp_path: Path) -> None:
    """As that of a class which looks at its surroundings in a way that reading its source does not tell."""
    (tmp_path / "spec.yaml").write_text(SPEC.replace("with: {epochs: 2}", "with: {epochs: 2, lr: 0.5}"))

    def elsewhere(option: str) -> Callable[[], None]:
        def act() -> None:
            sys.modules["fgic_toys"].Linear.model_fields[option].default = 0.25

        return act

    assert go(When("net", elsewhere("lr"), "step_started"), until="net").ok, "it is given"
    result = go(When("net", elsewhere("val_fraction"), "step_started"), until="net", fresh=True)
    assert statuses(result)[1] == "failed"
    assert "its option val_fraction has the default 0.25 here, and had 0.1 where" in result.record.step("net").error
