"""``fgic check`` and ``fgic pipeline`` on a small data set of two colours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fgic_core.cli import app
from fgic_core.store.record import RunRecord

SQUARES = '''
import time
from pathlib import Path

from fgic_core import Box, Cropper, DatasetReader, ObjectBox, Sample, Size


class Squares(DatasetReader):
    """Grey pictures with a coloured square."""

    count: int = 6

    def classes(self):
        return ("red", "blue")

    def samples(self, ctx):
        from PIL import Image

        for index in ctx.track(range(self.count), "drawing"):
            label, split = index % 2, "train" if index < self.count - 2 else "test"
            picture = Image.new("RGB", (32, 24), (index, 128, 128))
            picture.paste(((255, 0, 0), (0, 0, 255))[label], (8, 8, 16, 16))
            picture.save(Path(ctx.folder, f"{index}.png"))
            box = ObjectBox(Box(8.0, 8.0, 16.0, 16.0), label)
            yield Sample(id=str(index), path=f"{index}.png", label=label, split=split, size=Size(32, 24), boxes=(box,))


class Corner(Cropper):
    """Crops to the box, or does worse."""

    does: str = "crop"

    def region(self, box: Box, image: Size) -> Box:
        if self.does == "raise":
            raise RuntimeError("the corner is round")
        if self.does == "sleep":
            Path("asleep").touch()
        while self.does == "sleep":
            time.sleep(0.05)
        return box
'''
SPEC = """\
version: 1
name: squares
steps:
  squares: {uses: dataset/squares}
  crops: {uses: cropper/corner}
"""


@pytest.fixture
def spec(install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(
        "square-plugin",
        SQUARES,
        {"dataset": ["squares = square_plugin:Squares"], "cropper": ["corner = square_plugin:Corner"]},
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    for name in ("FGIC_STORE", "FGIC_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    yield path
    sys.modules.pop("square_plugin", None)


def pipeline(*arguments: str) -> int:
    return app.run(["pipeline", "spec.yaml", "--device", "cpu", "--no-report", *arguments])


def the_runs(folder: str = "runs") -> list[RunRecord]:
    return [RunRecord.read(path) for path in sorted(Path(folder, "squares").iterdir()) if not path.is_symlink()]


def rows(text: str) -> dict[str, str]:
    """The rows of a table by their first cell, blanks collapsed."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.strip()}


class TestCheck:
    def test_it_prints_the_wiring_and_why_each_step_is_computed(self, spec: Path, capsys) -> None:
        assert app.run(["check", "spec.yaml"]) == 0
        text = capsys.readouterr().out
        assert rows(text)["squares"] == "dataset/squares dataset compute was never computed"
        assert rows(text)["crops"] == "cropper/corner dataset of squares dataset compute was never computed"
        assert "2 steps: at most 2 to compute, 0 reused." in text

    def test_it_computes_and_writes_nothing(self, spec: Path, tmp_path: Path) -> None:
        before = sorted(tmp_path.iterdir())
        assert app.run(["check", "spec.yaml"]) == 0
        assert sorted(tmp_path.iterdir()) == before

    def test_after_a_run_it_says_what_is_reused_and_what_changed(self, spec: Path, capsys) -> None:
        assert pipeline() == 0
        capsys.readouterr()
        assert app.run(["check", "spec.yaml", "--set", "crops.with.does=nothing"]) == 0
        text = capsys.readouterr().out
        assert rows(text)["squares"].endswith("reused in the store")
        assert 'compute does changed from "crop" to "nothing"' in rows(text)["crops"]

    def test_json_holds_the_plan(self, spec: Path, capsys) -> None:
        assert app.run(["check", "spec.yaml", "--json", "--set", "squares.with.count=8"]) == 0
        squares, crops = json.loads(capsys.readouterr().out)
        assert squares["options"]["count"] == 8
        assert crops["inputs"] == {"dataset": "squares"}
        assert crops["reused"] is False

    def test_every_mistake_is_told_at_once_and_is_the_users(self, spec: Path, capsys) -> None:
        spec.write_text(SPEC.replace("cropper/corner", "cropper/cornr"))
        assert app.run(["check", "spec.yaml", "--set", "squares.with.count=many"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: 2 problems in the spec\n")
        assert "spec.yaml:5:" in said
        assert "cropper/corner" in said
        assert "--set squares.with.count=many" in said

    def test_heavy_packages_are_not_imported(self, spec: Path, environment: dict[str, str], tmp_path: Path) -> None:
        code = (
            "import sys; from fgic_core.cli.app import run; code = run(['check', 'spec.yaml']); "
            "print('heavy:', [n for n in ('torch', 'numpy', 'pyarrow', 'matplotlib') if n in sys.modules], code)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        assert result.stdout.splitlines()[-1] == "heavy: [] 0"


class TestPipeline:
    def test_progress_goes_to_stderr_and_the_summary_to_stdout(self, spec: Path, capsys) -> None:
        assert pipeline() == 0
        said = capsys.readouterr()
        assert "[1/2] squares (dataset/squares): started; was never computed" in said.err
        assert "crops: done in" in said.err
        found = rows(said.out)
        assert found["squares"].startswith("dataset/squares computed")
        assert found["crops"].startswith("cropper/corner computed")
        assert Path(found["run"]).is_dir()

    def test_a_classifiers_number_is_that_of_test_pictures(
        self, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
    ) -> None:
        """Validation is measured too, and what the epoch was chosen by flatters."""
        monkeypatch.chdir(tmp_path)
        Path("spec.yaml").write_text(
            "version: 1\nname: toys\nsteps:\n"
            "  dots: {uses: dataset/dots, with: {count: 3}}\n"
            "  classifier: {uses: classifier/linear, with: {epochs: 2, val_fraction: 0.34}}\n"
        )
        assert pipeline() == 0
        said = capsys.readouterr()
        (done,) = (line for line in said.err.splitlines() if line.startswith("classifier: done in"))
        assert " test accuracy " in done
        assert done.endswith("n = 18)")
        assert " test accuracy " in rows(said.out)["classifier"]

    def test_a_second_run_computes_nothing(self, spec: Path, capsys) -> None:
        assert pipeline() == 0
        assert pipeline() == 0
        said = capsys.readouterr()
        assert "[2/2] crops (cropper/corner): reused" in said.err
        assert [step.status for step in the_runs()[-1].steps] == ["reused", "reused"]

    def test_until_only_and_fresh_choose_the_steps(self, spec: Path) -> None:
        assert pipeline("--until", "squares") == 0
        assert pipeline("--only", "crops") == 0
        assert pipeline("--fresh") == 0
        statuses = [[step.status for step in run.steps] for run in the_runs()]
        assert statuses == [["computed", "skipped"], ["skipped", "computed"], ["computed", "computed"]]

    def test_store_and_runs_can_lie_elsewhere(self, spec: Path, tmp_path: Path) -> None:
        assert pipeline("--store", "my-store", "--runs", "my-runs") == 0
        assert (tmp_path / "my-store" / "artifacts").is_dir()
        assert len(the_runs("my-runs")) == 1
        assert not (tmp_path / "runs").exists()
        assert not (tmp_path / ".fgic").exists()

    def test_the_record_has_the_command(self, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/fgic", "pipeline", "spec.yaml", "--set", "a b"])
        assert pipeline() == 0
        assert the_runs()[0].command == "fgic pipeline spec.yaml --set 'a b'"

    def test_a_quiet_run_prints_its_directory_alone(self, spec: Path, capsys) -> None:
        assert pipeline("--quiet") == 0
        said = capsys.readouterr()
        assert (Path(said.out.strip()) / "run.json").is_file()
        assert said.err == ""

    def test_a_step_that_fails_is_exit_code_1_and_one_message(self, spec: Path, capsys) -> None:
        assert pipeline("--set", "crops.with.does=raise") == 1
        said = capsys.readouterr()
        assert "the corner is round" in said.err
        assert "Traceback" not in said.err
        assert "failed" in rows(said.out)["crops"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--until", "cops"), "the spec has no step 'cops'"),
            (("--only", "crops"), "needs step squares"),
            (("--device", "gpu"), "'gpu' is no device"),
            (("--set", "crops.with.margn=1"), "margn"),
            (("--devices", "0"), "--devices"),
        ],
    )
    def test_a_mistake_in_the_options_is_exit_code_2(
        self, spec: Path, capsys, arguments: tuple[str, ...], message: str
    ) -> None:
        assert pipeline(*arguments) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert "Traceback" not in said.err

    def test_a_spec_that_is_not_there_is_exit_code_2(self, spec: Path, capsys) -> None:
        assert app.run(["pipeline", "nowhere.yaml"]) == 2
        assert "nowhere.yaml" in capsys.readouterr().err

    @pytest.mark.slow
    def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
        self, spec: Path, environment: dict[str, str], tmp_path: Path, wait_for: Callable[..., None]
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "fgic_core", "pipeline", "spec.yaml", "--set", "crops.with.does=sleep"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        wait_for((tmp_path / "asleep").exists, "the cropper began", process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 130
        assert "Stopped. What is finished is kept." in err
        assert "The same command goes on" in err
        assert "Traceback" not in err
        assert "interrupted" in rows(out)["crops"]
        assert the_runs()[0].status == "interrupted"


def test_the_schema_holds_what_is_installed(spec: Path, tmp_path: Path, capsys) -> None:
    assert app.run(["schema"]) == 0
    text = capsys.readouterr().out
    assert "dataset/squares" in text
    assert "cropper/corner" in text
    assert app.run(["schema", "-o", "fgic.schema.json"]) == 0
    assert json.loads((tmp_path / "fgic.schema.json").read_text()) == json.loads(text)
    assert app.run(["schema", "-o", "no/such/folder/x.json"]) == 2
