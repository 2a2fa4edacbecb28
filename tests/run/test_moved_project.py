"""A project folder that was moved, with its store, its pictures and its runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fgic_core.cli import app
from fgic_core.errors import StoreError
from fgic_core.pipeline import Pipeline, Run
from fgic_core.registry import Registry
from fgic_core.store.artifacts import open_component


@pytest.fixture
def moved(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory of a project that lay elsewhere when it was run."""
    monkeypatch.delenv("FGIC_STORE", raising=False)
    before = tmp_path / "before"
    for label, name in enumerate(("a-1", "a-2", "b-1", "b-2")):
        (before / "pictures").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (200, 40 * label, 90)).save(before / "pictures" / f"{name}.png")
    steps = "{s: {uses: dataset/shelf, with: {root: pictures}}, c: {uses: cropper/exact}}"
    (before / "spec.yaml").write_text(f"version: 1\nname: moved\nsteps: {steps}\n")
    monkeypatch.chdir(before)
    assert Pipeline.from_yaml("spec.yaml").run(report=False).ok
    after = tmp_path / "after"
    before.rename(after)
    monkeypatch.chdir(after)
    return after / "runs" / "moved" / "latest"


def test_no_path_of_the_project_is_absolute_in_the_record(moved: Path) -> None:
    record = json.loads((moved / "run.json").read_text())
    assert record["store"] == "../../../.fgic/store"
    assert list(record["roots"].values()) == ["../../../pictures"]
    assert "before" not in (moved / "run.json").read_text()


def test_its_runs_find_store_and_pictures(moved: Path) -> None:
    assert Run.open(moved).dataset("c").crop(0).size == (4, 4)
    assert app.run(["data", "convert", str(moved), "-o", "coco"]) == 0
    assert app.run(["report", str(moved)]) == 0
    page = (moved / "report.html").read_text()
    assert "cannot be read any more" not in page
    assert "data:image/" in page


def test_a_store_that_lies_elsewhere_is_found_by_its_name_alone(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    Path(".fgic", "store").rename(elsewhere)
    with pytest.raises(StoreError, match=r"no longer in the store(.|\n)*expected at .*after/.fgic/store"):
        Run.open(moved).dataset("c")
    assert Run.open(moved, elsewhere).dataset("c").crop(0).size == (4, 4)
    assert app.run(["data", "convert", str(moved), "-o", "coco", "--store", str(elsewhere)]) == 0
    monkeypatch.setenv("FGIC_STORE", str(elsewhere))
    assert Run.open(moved).dataset("c").crop(0).size == (4, 4)


def test_a_store_that_the_environment_names_and_that_lacks_the_run_is_passed_over(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGIC_STORE", str(tmp_path / "another"))
    assert Run.open(moved).record.store == moved.resolve().parents[2] / ".fgic" / "store"


def test_a_run_directory_alone_finds_the_store_of_a_folder_above(moved: Path) -> None:
    moved.resolve().rename("kept")
    assert Run.open("kept").record.store == Path.cwd() / ".fgic" / "store"


def test_what_lies_outside_the_specs_folder_is_recorded_as_it_is(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    spec = tmp_path / "project" / "spec.yaml"
    spec.write_text("version: 1\nname: out\nsteps: {d: {uses: dataset/dots}}\n")
    run = Pipeline.from_yaml(spec).run(store=tmp_path / "store", runs=spec.parent / "runs", report=False)
    assert json.loads((run.folder / "run.json").read_text())["store"] == str(tmp_path / "store")
    run = Pipeline.from_yaml(spec).run(store=spec.parent / "store", runs=tmp_path / "runs", report=False)
    assert json.loads((run.folder / "run.json").read_text())["store"] == str(spec.parent / "store")


def test_options_find_their_files_where_the_project_lies_now(moved: Path) -> None:
    record = Run.open(moved).record
    assert record.project == Path.cwd()
    reader = open_component(record.step("s").folder, Registry(), record.project)
    assert reader.root == Path.cwd() / "pictures"


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param("{uses: dataset/shelf, with: {root: pictures}}", id="that lie anywhere"),
        pytest.param("{uses: dataset/dots}", id="that a step made"),
    ],
)
def test_pictures_of_what_came_out_the_same_are_found_although_its_key_is_another(moved: Path, reader: str) -> None:
    """Roots are named after keys: the rows of what is reused further down have the name of then."""
    spec = Path("same.yaml")
    spec.write_text(
        f"version: 1\nname: same\nsteps:\n  s: {reader}\n  c: {{uses: cropper/exact}}\n"
        "  d: {uses: cropper/exact, with: {margin: 1}}\n"
    )
    before = Pipeline.from_yaml(spec).run(report=False)
    seen = {name: before.dataset(name).crop(0).tobytes() for name in ("c", "d")}
    for more in ("", "  net: {uses: classifier/linear}\n"):  # also where all of it is reused once more
        spec.write_text(spec.read_text() + more)
        run = Pipeline.from_yaml(spec, ["s.with.unreadable=skip"]).run(report=False)
        assert [step.error for step in run.record.steps if step.error] == []
        assert run.record.step("s").key != before.record.step("s").key
        assert [run.record.step(name).status for name in seen] == ["reused", "reused"]
        assert {name: run.dataset(name).crop(0).tobytes() for name in seen} == seen
    assert run.record.step("net").status == "computed"
