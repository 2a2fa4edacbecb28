"""What an explainer cannot do is said before the training, where the classifier can be had untrained."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from fgic_core.errors import Interrupted
from fgic_core.pipeline import Pipeline, Run

EXPLAIN = "    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:\n"
#: The rehearsal names classes `class 0` and so on; those of the toys are colours.
BUILD = "    def build(self, classes: Sequence[str]) -> FittedClassifier:\n"
REFUSES = "raise PluginError('no layer suits', where='explainer/saliency', hint='Set target_layer.')"


@pytest.fixture
def refusing(seven_steps: Path, toys: Path) -> Path:
    """The spec of the toys, whose explainer refuses every network."""
    edit(toys, EXPLAIN, f"{EXPLAIN}        {REFUSES}\n")
    return seven_steps


def edit(toys: Path, old: str, new: str) -> None:
    file = toys / "fgic_toys.py"
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def run(spec: Path, tmp: Path, **options: object) -> Run:
    folders = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False}
    return Pipeline.from_yaml(spec).run(**{**folders, **options})


def statuses(result: Run) -> dict[str, str]:
    return {step.name: step.status for step in result.record.steps}


def test_the_explainer_fails_before_the_training_which_is_not_begun(refusing: Path, tmp_path: Path) -> None:
    result = run(refusing, tmp_path)
    found = statuses(result)
    assert (found["more"], found["classifier"], found["map"], found["attack"]) == (
        "computed",
        "skipped",
        "failed",
        "skipped",
    )
    assert not result.ok
    assert result.record.step("map").error == (
        "explainer/saliency: no layer suits (seen before the training of step classifier, which was not begun)\n"
        "  Set target_layer. Without step map, --until classifier trains."
    )
    assert result.record.step("classifier").reason == "step map could not explain what it trains"
    events = [json.loads(line) for line in (result.folder / "events.jsonl").read_text().splitlines()]
    assert not [event for event in events if event.get("step") == "classifier" and event["event"] == "point"]


@pytest.mark.slow
def test_in_a_process_of_its_own_it_is_tried_too_and_one_that_dies_tells_nothing(
    refusing: Path, toys: Path, tmp_path: Path
) -> None:
    assert run(refusing, tmp_path, until="crops").ok  # here: each step of the others takes a process
    result = run(refusing, tmp_path, isolation="run", until="map")
    assert (statuses(result)["more"], statuses(result)["classifier"]) == ("computed", "skipped")
    assert "no layer suits (seen before the training" in result.record.step("map").error
    edit(toys, REFUSES, "os._exit(0)")
    result = run(refusing, tmp_path, isolation="run", until="map")
    assert (statuses(result)["classifier"], statuses(result)["map"]) == ("computed", "failed")
    assert "ended with status 0 in the middle of it" in result.record.step("map").error


def test_without_the_explainer_the_training_runs(refusing: Path, tmp_path: Path) -> None:
    assert statuses(run(refusing, tmp_path, until="classifier"))["classifier"] == "computed"


def test_a_classifier_that_is_there_already_is_explained_as_it_is(refusing: Path, tmp_path: Path) -> None:
    assert run(refusing, tmp_path, until="classifier").ok
    result = run(refusing, tmp_path)
    assert statuses(result)["attack"] == "computed"
    assert result.record.step("map").error == "explainer/saliency: no layer suits\n  Set target_layer."


def test_a_classifier_that_cannot_be_had_untrained_is_trained(refusing: Path, toys: Path, tmp_path: Path) -> None:
    edit(toys, BUILD, f"{BUILD}        if classes[0].startswith('class '):\n            return None\n")
    result = run(refusing, tmp_path)
    assert (statuses(result)["classifier"], statuses(result)["map"]) == ("computed", "failed")


def test_a_classifier_that_cannot_be_built_says_so_itself(refusing: Path, toys: Path, tmp_path: Path) -> None:
    edit(toys, BUILD, f"{BUILD}        if classes[0].startswith('class '):\n            raise ValueError('planted')\n")
    result = run(refusing, tmp_path)
    assert (statuses(result)["classifier"], statuses(result)["map"]) == ("computed", "failed")


def test_the_global_generators_are_left_alone(toys: Path) -> None:
    from fgic_core.kinds.explainer.rehearsal import rehearse
    from fgic_core.registry import Registry

    registry = Registry()
    classifier, explainer = registry.create("classifier/linear"), registry.create("explainer/saliency")
    states = []
    for _ in range(2):
        states.append((random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()))
        assert rehearse(classifier, explainer, 3, "explainer/saliency") is None
    assert states[0] == states[1]


@pytest.mark.parametrize("raised", ["SystemExit(0)", "GeneratorExit", "MemoryError", "KeyboardInterrupt"])
def test_an_explainer_that_ends_the_program_fails_its_own_step(
    raised: str, seven_steps: Path, toys: Path, tmp_path: Path
) -> None:
    edit(toys, EXPLAIN, f"{EXPLAIN}        raise {raised}\n")
    result = run(seven_steps, tmp_path)
    found = statuses(result)
    assert (found["classifier"], found["map"], found["attack"]) == ("computed", "failed", "computed")
    assert raised.removesuffix("(0)") in (result.record.step("map").error or "")
    assert json.loads((result.folder / "run.json").read_text())["status"] == "failed"


def test_an_interrupt_while_an_explainer_is_tried_stops_the_run(seven_steps: Path, toys: Path, tmp_path: Path) -> None:
    edit(toys, EXPLAIN, f"{EXPLAIN}        import os, signal\n        os.kill(os.getpid(), signal.SIGINT)\n")
    with pytest.raises(Interrupted):
        run(seven_steps, tmp_path)
    (record,) = (tmp_path / "runs").rglob("run.json")
    assert json.loads(record.read_text())["status"] == "interrupted"


LEFT_CHANGED = """
        import os, torch
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        torch.set_num_threads(torch.get_num_threads() + 1)
        os.environ["FGIC_LEFT"] = "1"
        os.chdir("/")
"""


def settings() -> tuple[object, ...]:
    flags = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    return (torch.get_default_dtype(), *flags, torch.get_num_threads(), dict(os.environ), Path.cwd())


def test_settings_that_an_explainer_changes_do_not_reach_the_training(toys: Path) -> None:
    from fgic_core.kinds.explainer.rehearsal import rehearse
    from fgic_core.registry import Registry
    from fgic_core.steps.untouched import own_settings

    edit(toys, EXPLAIN, f"{EXPLAIN}{LEFT_CHANGED}")
    registry = Registry()
    before = settings()
    with own_settings():  # whatever this test finds, the others are left alone
        classifier, explainer = registry.create("classifier/linear"), registry.create("explainer/saliency")
        rehearse(classifier, explainer, 3, "explainer/saliency")
        assert settings() == before
    assert settings() == before


def test_values_that_are_not_finite_before_the_training_do_not_stop_it(
    seven_steps: Path, toys: Path, tmp_path: Path
) -> None:
    edit(toys, "sum(1, keepdim=True).detach()", "sum(1, keepdim=True).detach() * float('nan')")
    result = run(seven_steps, tmp_path)
    assert (statuses(result)["classifier"], statuses(result)["map"]) == ("computed", "failed")
    assert "not finite" in (result.record.step("map").error or "")
    lines = (result.folder / "events.jsonl").read_text().splitlines()
    assert [one for one in map(json.loads, lines) if one.get("description") == TRYING]


TRYING = "trying explainer/saliency before the training"


def test_a_contract_that_the_explainer_breaks_is_seen_too(seven_steps: Path, toys: Path, tmp_path: Path) -> None:
    edit(toys, "(gradient * images).sum(1, keepdim=True)", "(gradient * images)")
    result = run(seven_steps, tmp_path)
    assert statuses(result)["classifier"] == "skipped"
    assert (
        "explain gave maps of (1, 3, 16, 16) with 1 names (seen before the training" in result.record.step("map").error
    )
