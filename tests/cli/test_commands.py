"""The command line as a whole: help, versions, mistakes, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fgic_core
from fgic_core.cli import app, output
from fgic_core.errors import DataError, FgicError, Interrupted, PluginError, StepError

HEAVY = ("torch", "numpy", "pyarrow", "matplotlib", "pydantic", "rich.table")


def test_no_arguments_print_the_help(fgic) -> None:
    result = fgic()
    assert "Usage: fgic" in result.stdout + result.stderr
    for command in ("pipeline", "check", "predict", "report", "schema", "plugins"):
        assert f"  {command} " in result.stdout + result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fgic_core.cli.app import run; code = run(['--help']); "
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules], code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "heavy: [] 0"


@pytest.mark.parametrize("command", ["pipeline", "check", "predict", "report", "schema", "plugins"])
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert app.run([command, "--help"]) == 0
    assert f"Usage: fgic {command}" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"fgic {fgic_core.__version__}\n"


def test_an_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["pipelin"]) == 2
    assert "'pipeline'" in capsys.readouterr().err


def test_an_unknown_option_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["pipeline", "spec.yaml", "--frehs"]) == 2
    assert "--fresh" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(site: Path) -> None:
    command = f"{sys.executable} -m fgic_core plugins --json | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env={**os.environ})
    assert result.stdout == "[\n"
    assert result.stderr == ""


def test_a_path_that_is_not_text_is_escaped(fgic) -> None:
    result = fgic("report", "run\udcff")
    assert result.returncode == 2
    assert "run\\udcff: this is no run directory" in result.stderr


def test_tables_can_be_written_where_only_ascii_can(fgic, install) -> None:
    install("golden-plugin", "", {"cropper": ["r\u00e9gion = golden_plugin:GoldenCropper"]})
    result = fgic("plugins", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "cropper/r\\xe9gion" in result.stdout


def raised(error: Exception) -> Exception:
    """The exception with a traceback, as `except` gets it."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (FgicError("the spec is wrong"), 2),
            (PluginError("no such component"), 2),
            (StepError("no image", step="a", component="b/c"), 1),
            (DataError("a picture is broken"), 1),
            (Interrupted("stopped"), 130),
            (KeyboardInterrupt(), 130),
            (ValueError("a bug"), 1),
        ],
    )
    def test_the_exit_code_says_whose_fault_it_is(self, error: BaseException, code: int) -> None:
        assert output.exit_code(error) == code

    def test_a_mistake_is_one_message_without_a_traceback(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert output.report_exception(FgicError("too many", where="a.yaml", hint="Take fewer.")) == 2
        assert capsys.readouterr().err == "error: a.yaml: too many\n  Take fewer.\n"

    def test_an_interrupted_run_says_how_to_go_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert output.report_exception(Interrupted("stopped", hint="The same command goes on after epoch 3.")) == 130
        assert capsys.readouterr().err == "Stopped. The same command goes on after epoch 3.\n"

    def test_debug_shows_the_traceback(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FGIC_DEBUG", "1")
        assert output.report_exception(raised(FgicError("too many"))) == 2
        assert "Traceback" in capsys.readouterr().err

    def test_a_bug_leaves_its_traceback_in_a_file_and_says_where(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["fgic", "check", "a.yaml"])
        assert output.report_exception(raised(KeyError("missing"))) == 1
        (crash,) = tmp_path.glob("fgic-crash-*.txt")
        message = capsys.readouterr().err
        assert "KeyError: 'missing'" in message
        assert str(crash) in message
        assert "Traceback" not in message
        assert "command: fgic check a.yaml" in crash.read_text()
        assert "Traceback" in crash.read_text()

    def test_a_control_character_in_a_name_does_not_reach_the_terminal(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output.fail(DataError("missing", where="a\x1b[2Jb.jpg"))
        assert capsys.readouterr().err == "error: a\\x1b[2Jb.jpg: missing\n"
