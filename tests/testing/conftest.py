"""Running test files of their own, for tests of the conformance suites."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_inner(folder: Path, text: str, *options: str, paths: tuple[Path, ...] = ()) -> dict[str, str]:
    """The outcome of each test of a file with this text, by name.

    Args:
        folder: where the file is written.
        text: of the file.
        options: of pytest.
        paths: folders whose modules it can import.
    """
    file = folder / "test_inner.py"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=no", *options, str(file)]
    path = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they take two seconds
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split(" - ")[0].split(maxsplit=1) for line in done.stdout.splitlines() if "::" in line]
    return {name.partition("::")[2]: outcome for outcome, name in lines if outcome in ("PASSED", "FAILED", "ERROR")}


@pytest.fixture
def outcomes(toys: Path, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Runs a test file in a process of its own and returns the outcome of each test by name."""
    return lambda text: run_inner(tmp_path, text)


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests that each component of `broken_components` fails, by the component's name."""
    folder = tmp_path_factory.mktemp("broken")
    # What holds for every kind is asked of the toys.
    inner = ("-k", "not (importing or option or help or kinds)")
    found = run_inner(folder, "from broken_components import *\n", *inner, paths=(HERE, HERE.parent / "toys"))
    failed: dict[str, set[str]] = {name.partition("::")[0].removeprefix("Test"): set() for name in found}
    for name, outcome in found.items():
        if outcome != "PASSED":
            failed[name.partition("::")[0].removeprefix("Test")].add(name.partition("::")[2])
    return failed
