"""The lists of mutants follow the code; whether the tests catch them, ``make mutants`` says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fgic_mutants", HERE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # its dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made


mutants = _runner()


@pytest.fixture(scope="module")
def everything() -> list[Any]:
    """The lists of the project."""
    found: list[Any] = mutants.read_lists(HERE)
    return found


def test_every_mutant_can_still_be_put_in_and_names_tests_that_are_there(everything: list[Any]) -> None:
    problems = []
    assert everything
    for listed in everything:
        try:
            listed.mutant.changed(ROOT)
        except ValueError as error:
            problems.append(f"{listed}: {error}")
    assert problems == []


def test_no_mutant_is_listed_twice(everything: list[Any]) -> None:
    seen = [(one.mutant.file, one.mutant.old, one.mutant.new) for one in everything]
    assert len(set(seen)) == len(seen)


def test_the_name_of_a_list_means_that_list_alone(everything: list[Any]) -> None:
    """Files of other lists have it in their paths."""
    assert {one.area for one in mutants.chosen(everything, ["kinds"])} == {"kinds"}
    assert len({one.area for one in mutants.chosen(everything, ["fgic_core/kinds"])}) > 1
    assert {one.area for one in mutants.chosen(everything, ["kinds", "there is no warm-up"])} == {"kinds", "kit"}
    assert mutants.chosen(everything, []) == everything


LIST = """\
- mistake: a share is a percentage
  file: fgic_toy/ruler.py
  old: return right / n
  new: return 100 * right / n
  tests: [tests/test_ruler.py::test_share]
- mistake: a share of nothing is one
  file: fgic_toy/ruler.py
  old: return 0.0
  new: return 1.0
  tests: [tests/test_ruler.py]
"""
RULER = "def share(right, n):\n    if n == 0:\n        return 0.0\n    return right / n\n"
TEST = "from fgic_toy.ruler import share\n\n\ndef test_share():\n    assert share(1, 2) == 0.5\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one module, one test and two mutants, of which the test notices one."""
    import subprocess

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which these tests do without, and which take seconds

    for name, text in {
        "fgic_toy/__init__.py": "",
        "fgic_toy/ruler.py": RULER,
        "tests/test_ruler.py": TEST,
        "tests/mutants/toy.yaml": LIST,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def _said(project: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = mutants.main(["--root", str(project), "--jobs", "1", *words])
    return status, capsys.readouterr().out


def test_a_mistake_that_no_test_notices_is_named_and_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = _said(project, capsys)
    assert status == 1
    assert "survived: fgic_toy/ruler.py: a share of nothing is one (toy.yaml)" in said
    assert "1 caught, 1 survived" in said
    assert (project / "fgic_toy/ruler.py").read_text() == RULER


def test_a_word_chooses_and_what_is_caught_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = _said(project, capsys, "percentage")
    assert (status, "1 mutant in" in said, "1 caught" in said) == (0, True, True)


def test_a_mutant_that_no_longer_applies_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "fgic_toy/ruler.py"
    file.write_text(RULER.replace("right / n", "(right / n)"))
    status, said = _said(project, capsys, "percentage")
    assert status == 1
    assert "no longer applies: fgic_toy/ruler.py: a share is a percentage (toy.yaml)" in said
    assert "`old` occurs 0 times" in said


def test_a_test_that_is_gone_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests/test_ruler.py").write_text(TEST.replace("test_share", "test_other"))
    status, said = _said(project, capsys, "percentage")
    assert status == 1
    assert "tests/test_ruler.py has no test_share" in said


def test_a_mutant_that_is_no_program_is_not_caught(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_ = project / "tests/mutants/toy.yaml"
    list_.write_text(LIST.replace("new: return 100 * right / n", "new: return righ / n"))
    status, said = _said(project, capsys, "percentage")
    assert status == 1
    assert "nonsense: " in said


@pytest.mark.parametrize("new", ["return right.share / n", "return right(n)"])
def test_a_mutant_that_raises_what_no_test_asks_for_is_not_caught(
    project: Path, capsys: pytest.CaptureFixture[str], new: str
) -> None:
    list_ = project / "tests/mutants/toy.yaml"
    list_.write_text(LIST.replace("new: return 100 * right / n", f"new: {new}"))
    status, said = _said(project, capsys, "percentage")
    assert (status, "nonsense: " in said) == (1, True)


def test_a_full_disk_catches_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = "import errno, os\nfrom fgic_toy.ruler import share\n\n\ndef test_share():\n"
    full += "    if share(1, 2) != 0.5:\n        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
    (project / "tests/test_ruler.py").write_text(full)
    assert _said(project, capsys, "percentage")[0] == 1


def test_a_test_that_leans_on_the_one_before_it_tells_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaning = "seen = []\n\n\ndef test_first():\n    seen.append(1)\n\n\n"
    (project / "tests/test_ruler.py").write_text(leaning + TEST.replace("    assert", "    assert seen\n    assert"))
    list_ = project / "tests/mutants/toy.yaml"
    list_.write_text(LIST.replace("[tests/test_ruler.py]", "[tests/test_ruler.py::test_first]"))
    status, said = _said(project, capsys)
    assert (status, "can tell nothing" in said) == (1, True)


def test_what_is_no_list_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests/mutants/toy.yaml").write_text("- mistake: a\n  old: def f(): pass\n")
    status, said = _said(project, capsys)
    assert status == 1
    assert said.startswith("toy.yaml, line 2: ")
    assert len(said.splitlines()) == 1


def test_tests_that_fail_by_themselves_tell_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests/test_ruler.py").write_text(TEST.replace("0.5", "0.4"))
    status, said = _said(project, capsys)
    assert status == 1
    assert "can tell nothing" in said
    assert "caught" not in said


def test_words_that_mean_no_mutant_fail(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _said(project, capsys, "no such word")[0] == 1
