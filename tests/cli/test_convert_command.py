"""``fgic data convert``: from every kind of source to COCO files, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fgic_core import Pipeline
from fgic_core.cli import app
from fgic_core.store.record import RunRecord

pytest.importorskip("sahi", reason="COCO files are written with sahi: pip install 'fgic[coco]'")

SQUARES = '''
import shutil
import time
from pathlib import Path

from fgic_core import Box, Cropper, DatasetReader, InputFolder, ObjectBox, Sample, Size


class Squares(DatasetReader):
    """Grey pictures with a coloured square."""

    folder: InputFolder
    broken: bool = False

    def source(self):
        return self.folder

    def classes(self):
        return ("red", "blue")

    def samples(self, ctx):
        if self.broken:
            raise RuntimeError("a square is round")
        for index in range(6):
            box = ObjectBox(Box(8.0, 8.0, 16.5, 16.0), index % 2)
            split = "train" if index < 4 else "test"
            yield Sample(id=f"s{index}", path=f"{index}.png", label=index % 2, split=split, boxes=(box,))


class Drawn(Squares):
    """The same, with pictures of its own."""

    def source(self):
        return None

    def samples(self, ctx):
        for sample in super().samples(ctx):
            shutil.copy(self.folder / sample.path, ctx.folder)
            yield sample


class Corner(Cropper):
    """Crops to the box."""

    def region(self, box: Box, image: Size) -> Box:
        return box
'''
SPEC = """\
version: 1
name: squares
steps:
  squares: {uses: dataset/squares, with: {folder: pictures}}
  crops: {uses: cropper/corner}
"""


@pytest.fixture
def spec(install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec of two steps in the working directory, its pictures beside it."""
    from PIL import Image

    points = {
        "dataset": ["squares = square_plugin:Squares", "drawn = square_plugin:Drawn"],
        "cropper": ["corner = square_plugin:Corner"],
    }
    install("square-plugin", SQUARES, points)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for name in ("FGIC_STORE", "FGIC_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pictures").mkdir()
    for index in range(6):
        picture = Image.new("RGB", (32, 24), (index, 128, 128))
        picture.paste(((255, 0, 0), (0, 0, 255))[index % 2], (8, 8, 16, 16))
        picture.save(tmp_path / "pictures" / f"{index}.png")
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    yield path
    sys.modules.pop("square_plugin", None)


def convert(*arguments: str) -> int:
    return app.run(["data", "convert", *arguments])


def document(folder: str = "out", split: str = "train") -> dict:
    return json.loads(Path(folder, "annotations", f"instances_{split}.json").read_text())


def snippet(text: str) -> str:
    """The part of a spec that the command printed last."""
    return text[text.index("  coco:") :]


class TestSources:
    def test_a_spec_gives_its_first_data_set(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml", "-o", "out") == 0
        images = document()["images"]
        assert [(one["id"], one["sample_id"], one["width"]) for one in images] == [
            (index + 1, f"s{index}", 32) for index in range(4)
        ]
        assert [one["bbox"] for one in document(split="test")["annotations"]] == [[8, 8, 8.5, 8]] * 2
        said = capsys.readouterr()
        assert re.search(r"train +4 +4 +out/annotations/instances_train.json", said.out)
        assert re.search(r"test +2 +2 +out/annotations/instances_test.json", said.out)
        assert "[1/1] squares (dataset/squares): started" in said.err
        assert said.err.splitlines()[0].endswith(".fgic/store")

    def test_only_the_steps_that_are_needed_run_and_the_store_is_used(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml", "-o", "out", "--step", "crops") == 0
        assert "left out, as COCO has no place for them: regions" in capsys.readouterr().err
        assert convert("spec.yaml", "-o", "again") == 0
        assert "squares (dataset/squares): reused" in capsys.readouterr().err
        assert not list(Path("tmp").iterdir())

    def test_the_last_run_of_the_spec_stays_its_last(self, spec: Path) -> None:
        Pipeline.from_yaml(spec).run(device="cpu", report=False)
        before = os.readlink("runs/squares/latest")
        assert convert("spec.yaml", "-o", "out") == 0
        assert os.readlink("runs/squares/latest") == before
        assert len(RunRecord.read(Path("runs/squares/latest")).steps) == 2

    def test_a_reader_takes_its_options_from_set(self, spec: Path, tmp_path: Path) -> None:
        assert convert("dataset/squares", "-o", "out", "--set", "folder=pictures", "--set", "verify=header") == 0
        assert len(document()["images"]) == 4
        assert not (tmp_path / "runs").exists()

    def test_a_run_and_a_data_sets_folder_are_sources_too(self, spec: Path) -> None:
        spec.write_text(SPEC.replace("dataset/squares", "dataset/drawn"))
        run = Pipeline.from_yaml(spec).run(device="cpu", report=False)
        assert convert("runs/squares/latest", "-o", "one") == 0
        assert convert(str(run.record.steps[0].folder), "-o", "two") == 0
        assert document("one") == document("two")

    def test_where_pictures_lie_elsewhere_the_run_knows_it_and_the_data_sets_folder_does_not(
        self, spec: Path, capsys
    ) -> None:
        run = Pipeline.from_yaml(spec).run(device="cpu", report=False)
        assert convert("runs/squares/latest", "-o", "one") == 0
        assert convert(str(run.record.steps[0].folder), "-o", "two") == 1
        said = capsys.readouterr().err
        assert re.search("where the pictures of the folder .* lie is not known\n +A run's directory says it", said)
        assert not Path("two").exists()
        assert convert("runs/squares/latest", "-o", "three", "--step", "crops") == 0
        assert document("three") == document("one")

    def test_overrides_change_a_spec(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml", "-o", "out", "--set", "squares.with.broken=true") == 1
        said = capsys.readouterr()
        assert said.err.count("a square is round") == 1
        assert not Path("out").exists()
        kept = re.search(r"The whole message is in (\S+)\.", said.err)
        assert "a square is round" in Path(kept[1]).read_text()


class TestTheWayBack:
    @pytest.mark.parametrize("more", [[], ["--copy-pictures"]])
    def test_the_printed_step_reads_the_same_data_set(self, spec: Path, capsys, more: list[str]) -> None:
        assert convert("spec.yaml", "-o", "an out", *more) == 0
        Path("back.yaml").write_text("version: 1\nsteps:\n" + snippet(capsys.readouterr().out))
        first, second = (Pipeline.from_yaml(path).run(device="cpu", report=False) for path in (spec, "back.yaml"))
        assert second.ok
        before, after = first.dataset("squares"), second.dataset("coco")
        assert list(before) == list(after)
        assert before.classes == after.classes
        assert before.crop(5).tobytes() == after.crop(5).tobytes()
        assert Path("an out", "images").exists() == bool(more)

    def test_a_data_set_without_a_test_split_says_so(self, spec: Path, capsys) -> None:
        from fgic_core import Dataset

        run = Pipeline.from_yaml(spec).run(device="cpu", report=False)
        data: Dataset = run.dataset("squares").split("train")
        Path("train").mkdir()
        data.write(Path("train"))
        assert convert("train", "-o", "out") == 0
        assert "dataset/coco wants a test file too" in capsys.readouterr().err


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["dataset/square"], "no component dataset/square is installed\n  Did you mean dataset/squares?"),
            (["dataset/squares"], "dataset/squares needs the option folder\n  Give it with\n  --set folder=..."),
            (["dataset/squares", "--set", "folde=pictures"], "dataset/squares has no option folde"),
            (["dataset/squares", "--set", "folder=pictures", "--step", "a"], "--step a: a reader has no steps"),
            (["cropper/corner"], "cropper/corner reads no data set"),
            (["spek.yaml"], "spek.yaml: there is no such file"),
            (["spec.yaml", "--step", "crop"], "spec.yaml: the spec has no step 'crop'\n  Steps that give one: squares"),
            (["pictures"], "pictures: this is neither a run directory nor a data set"),
            (["pictures", "--set", "a.with.b=1"], "pictures: a folder has no options to --set"),
            (["spec.yaml", "--set", "squares.with.folder=nowhere"], "nowhere"),
        ],
    )
    def test_a_mistake_is_one_message(self, spec: Path, capsys, arguments: list[str], message: str) -> None:
        assert convert(*arguments, "-o", "out") == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.startswith("error: ")
        assert said.out == ""
        assert not Path("out").exists()

    def test_a_folder_with_something_in_it_is_refused_before_anything_runs(self, spec: Path, capsys) -> None:
        Path("out").mkdir()
        Path("out", "mine.txt").touch()
        assert convert("spec.yaml", "-o", "out") == 2
        assert (
            capsys.readouterr().err == "error: out: the folder is not empty\n  Give one that is empty, or a new one.\n"
        )
        assert not Path(".fgic").exists()

    def test_the_output_must_be_named(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml") == 2
        assert "--output" in capsys.readouterr().err

    def test_an_unknown_format_is_refused(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml", "-o", "out", "--to", "yolo") == 2
        assert "'coco'" in capsys.readouterr().err

    def test_a_picture_that_is_gone_is_one_message(self, spec: Path, capsys) -> None:
        assert convert("spec.yaml", "-o", "out") == 0
        Pipeline.from_yaml(spec).run(device="cpu", report=False)
        Path("pictures", "3.png").unlink()
        assert convert("runs/squares/latest", "-o", "copied", "--copy-pictures") == 1
        assert "3.png: the picture is missing" in capsys.readouterr().err
        assert not Path("copied").exists()


def test_a_picture_that_became_a_pipe_is_not_waited_for(spec: Path, capsys, pipe) -> None:
    Pipeline.from_yaml(spec).run(device="cpu", report=False)
    pipe(Path("pictures", "3.png"))
    assert convert("runs/squares/latest", "-o", "out", "--copy-pictures") == 1
    assert "3.png: the picture cannot be read: it is a named pipe and not a file" in capsys.readouterr().err
    assert not Path("out").exists()


#: ``fgic`` where a picture lies on a disk that does not answer: its copy never ends.
SLOW = """
import shutil, time
from fgic_core.cli import main

copy = shutil.copyfileobj


def slow(source, target, *length):
    if source.name.endswith("3.png"):
        time.sleep(3600)
    copy(source, target, *length)


shutil.copyfileobj = slow
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_conversion_that_is_stopped_leaves_nothing(
    spec: Path, tmp_path: Path, number: int, wait_for: Callable[..., None]
) -> None:
    Pipeline.from_yaml(spec).run(device="cpu", report=False)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "data", "convert", "runs/squares/latest", "-o", "out", "--copy-pictures"],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(Path("out/.unfinished/images/2.png").exists, "the second picture was copied", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert said == "Stopped. Nothing was left in out.\n"
    assert not Path("out").exists()
