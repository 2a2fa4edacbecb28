"""Studies from spec to verdict, of steps whose effects are known: nothing here is made from numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Pipeline
from fgic_core.study.results import FILES, Results

SEEDS = [0, 1, 2, 3, 4, 5]
#: ``repeated`` gives real pictures once more, ``mislabelled`` those of another class.
MAKERS = {"repeated": {"per_class": 5}, "mislabelled": {"per_class": 8, "shift": 1}}
#: A small object whose colour tells the class, amid clutter; or one that fills the picture: a crop gains nothing there.
SMALL, WHOLE = 0.34, 1.0


def document(scale: float, ablate: list[str], *, seeds: list[int] = SEEDS) -> dict[str, Any]:
    steps: dict[str, Any] = {
        "specks": {"uses": "dataset/specks", "with": {"object_scale": scale}},
        "crops": {"uses": "cropper/exact", "with": {"test_boxes": "annotated"}},
    }
    for name in set(ablate) & MAKERS.keys():
        steps[name] = {"uses": "generator/copies", "with": {"fid_samples": 0, "curve_samples": 0, **MAKERS[name]}}
    steps["classifier"] = {"uses": "classifier/ridge", "with": {"val_fraction": 0.2}}
    study = {"margin": 2, "seeds": seeds, "ablate": ablate}
    return {"version": 1, "name": "planted", "seed": 1, "steps": steps, "study": study}


def arguments(place: Path, **about: Any) -> dict[str, Any]:
    # As many threads everywhere, so that a number does not depend on how many jobs there are.
    return {"store": place / "store", "runs": place / "runs", "device": "cpu", "report": False, "threads": 1, **about}


def go(place: Path, spec: dict[str, Any], **about: Any) -> Results:
    done = Pipeline.from_dict(spec).run(**arguments(place, **about))
    assert done.ok, done.record
    results = Results.of(done.folder)
    results.write(done.folder)
    return results


def files(results: Results) -> dict[str, bytes]:
    return {name: (results.source.folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def place(module_toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the studies of this module: they share most of what they compute."""
    return tmp_path_factory.mktemp("planted")


def test_a_step_that_helps_is_told_from_one_that_does_nothing(place: Path) -> None:
    results = go(place, document(SMALL, ["crops", "repeated"]))
    crops, repeated = results.comparisons
    assert crops.verdict in ("necessary", "helpful")
    assert repeated.verdict in ("equivalent", "undecided")
    (effect, *_), (nothing, *_) = crops.effects, repeated.effects
    assert effect is not None
    assert nothing is not None
    assert effect.value > 0.2
    assert any(nothing.by_seed), "the models do differ, though the step is worth nothing"
    assert (effect.seeds, effect.clusters) == (6, len(results.readings[0].ids)) == (6, 120)


def test_where_there_is_nothing_to_crop_away_cropping_is_not_called_anything_else(place: Path) -> None:
    (crops,) = go(place, document(WHOLE, ["crops"])).comparisons
    assert crops.verdict in ("equivalent", "undecided")
    assert crops.effects[0] is not None
    assert any(crops.effects[0].by_seed), "the models do differ"


def test_a_step_that_does_harm_is_called_harmful(place: Path) -> None:
    (mislabelled,) = go(place, document(SMALL, ["mislabelled"])).comparisons
    assert mislabelled.verdict == "harmful"


FEW = document(SMALL, ["crops"], seeds=[0, 1, 2])
RUN = """
import json, sys
from fgic_core import Pipeline

if __name__ == "__main__":
    spec, about = json.loads(sys.argv[1])
    Pipeline.from_dict(spec).run(**about)
"""


def test_two_jobs_give_the_same_table_as_one(place: Path, tmp_path: Path) -> None:
    one, two = go(place, FEW), go(tmp_path, FEW, jobs=2)
    assert [run.status for run in two.record.runs] == ["finished"] * 6
    assert files(two) == files(one)


def test_killed_in_the_middle_and_begun_again_it_gives_the_same_table(
    place: Path, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    artifacts = tmp_path / "store" / "artifacts"
    about = {name: str(value) if isinstance(value, Path) else value for name, value in arguments(tmp_path).items()}
    command = [sys.executable, "-c", RUN, json.dumps([FEW, about])]
    with subprocess.Popen(command, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            wait_for(lambda: len(list(artifacts.glob("*/*/artifact.json"))) > 5, "run in the middle", process)
        finally:
            process.send_signal(signal.SIGKILL)
    before = len(list(artifacts.glob("*/*/artifact.json")))
    again = go(tmp_path, FEW)
    assert 5 < before < len(list(artifacts.glob("*/*/artifact.json")))
    statuses = [step.status for arm, seed in [("full", 0), ("full", 2)] for step in again.source.run(arm, seed).steps]  # type: ignore[union-attr]
    assert (statuses[0], statuses[-1]) == ("reused", "computed")
    assert files(again) == files(go(place, FEW))
