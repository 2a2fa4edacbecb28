"""Stores and run directories that cannot be written, or are not what they should be."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, StoreError
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline, Run
from fgic_core.store.record import RunRecord


def run(spec: Path, tmp: Path, *overrides: str, **options: Any) -> Run:
    options = {"store": tmp / "store", "runs": tmp / "runs", "device": "cpu", "report": False, **options}
    return Pipeline.from_yaml(spec, overrides).run(**options)


def test_places_may_be_given_as_text(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path, store=str(tmp_path / "store"), runs=str(tmp_path / "runs"), until="dots")
    assert result.ok
    assert Pipeline.from_yaml(seven_steps).plan(str(tmp_path / "store")).step("dots").reused


def test_a_store_that_can_only_be_read_serves_what_it_has(seven_steps: Path, tmp_path: Path) -> None:
    run(seven_steps, tmp_path, until="dots")
    store = tmp_path / "store"
    for name in ("last", "locks"):  # files in the place of folders: nobody can write below them, root neither
        (store / name).rename(tmp_path / name)
        (store / name).write_text("")
    result = run(seven_steps, tmp_path, until="boxes")
    assert result.record.step("dots").status == "reused"
    assert result.record.step("boxes").status == "failed"
    assert "the store cannot be written" in result.record.step("boxes").error


def test_a_full_disk_is_known_by_the_words_of_a_library(seven_steps: Path, tmp_path: Path, toys: Path) -> None:
    with (toys / "fgic_toys.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\ndef full(self, ctx):\n"
            "    raise RuntimeError('Error while serializing: I/O error: No space left on device "
            f"(os error {errno.ENOSPC})')\n\n\nDots.samples = full\n"
        )
    step = run(seven_steps, tmp_path, until="dots").record.step("dots")
    assert step.error.startswith("step dots: the disk is full")
    assert "--store" in step.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device of this system plays a full disk")
def test_a_disk_that_fills_while_pictures_are_written_leaves_nothing(
    seven_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(seven_steps, tmp_path, until="crops")
    before = {file for file in (tmp_path / "store" / "artifacts").rglob("*") if file.is_file()}
    write, written = Path.write_bytes, []

    def fill(self: Path, content: bytes) -> int:
        if self.suffix == ".new" and self.parent.name == "0001":
            written.append(self)
            if len(written) == 3:
                return write(Path("/dev/full"), content)
        return write(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        result = run(seven_steps, tmp_path)
    step = result.record.step("more")
    assert len(written) == 3
    assert step.status == "failed"
    assert step.error.startswith("step more: the disk is full")
    left = {file for file in (tmp_path / "store" / "artifacts").rglob("*") if file.is_file()} - before
    (learned,) = {file.parent for file in left if file.name == "artifact.json"}  # it was whole before the disk was full
    assert ArtifactRecord.read(learned).type == "fitted"
    assert all(file.is_relative_to(learned) for file in left)
    assert run(seven_steps, tmp_path).ok


def test_a_run_directory_that_cannot_be_written_is_no_fault_of_fgic(
    seven_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        @hookimpl
        def step_finished(self) -> None:
            def write(self: RunRecord, folder: Path) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            monkeypatch.setattr(RunRecord, "write", write)

    with pytest.raises(FgicError, match=r"run directory cannot be written: No space left on device(.|\n)*--runs"):
        run(seven_steps, tmp_path, observers=[Full()])
    assert Pipeline.from_yaml(seven_steps).plan(tmp_path / "store").step("dots").reused


def test_only_names_the_last_of_the_steps_that_are_lacking(seven_steps: Path, tmp_path: Path) -> None:
    said = r"needs steps more and classifier, which are not in the store(.|\n)*--until classifier"
    with pytest.raises(StoreError, match=said):
        run(seven_steps, tmp_path, only="attack")


def test_a_run_whose_store_is_gone_says_so(seven_steps: Path, tmp_path: Path) -> None:
    result = run(seven_steps, tmp_path, until="boxes")
    with pytest.raises(StoreError, match="no model is in this run"):
        result.model()
    (tmp_path / "store").rename(tmp_path / "gone")
    with pytest.raises(StoreError, match=r"the dataset of this run is no longer in the store(.|\n)*again"):
        result.dataset()
    with pytest.raises(StoreError, match="no model is in this run"):
        result.model()


@pytest.mark.parametrize("text", ['{"x": 1}', "[", "", '{"name": 3}'])
def test_a_damaged_run_record_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="not one that this fgic wrote") as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_plan_names_a_folder_whose_content_changed(toys: Path, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a-1", "a-2", "b-1", "b-2"):
        Image.new("RGB", (20, 20), (len(name), 40, 90)).save(tmp_path / f"{name}.png")
    spec = tmp_path / "shelf.yaml"
    spec.write_text("version: 1\nsteps:\n  data: {uses: dataset/shelf, with: {root: .}}\n", encoding="utf-8")
    assert run(spec, tmp_path, store=tmp_path / ".store", runs=tmp_path / ".runs").ok
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "a-1.png")
    assert (
        Pipeline.from_yaml(spec).plan(tmp_path / ".store").step("data").reason == "pictures in root are new, or changed"
    )
