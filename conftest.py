"""Settings of all tests: property tests draw the same cases every time, and a slow machine fails none of them.

The first case that fails is told as it is. To look for a smaller one can take Hypothesis five minutes where a case
writes files or asks a network; ``pytest --hypothesis-profile=smallest`` does it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

#: The files that take longest, the longest first: two processes that share the files are done at about the same time
#: where no long one is left for the end (`make test`; xdist by itself begins with the files of most tests).
LONGEST = (
    "plugins/detect_mmdet/tests/test_mmdet_training.py",
    "tests/run/test_scheduler.py",
    "tests/run/test_processes.py",
    "plugins/gen_biggan/tests/test_gen_biggan_conformance.py",
    "tests/testing/test_suites.py",
    "tests/run/test_rehearsal.py",
    "plugins/detect_mmdet/tests/test_detect_mmdet_conformance.py",
    "plugins/detect_torchvision/tests/test_detect_torchvision_conformance.py",
    "plugins/gen_diffusers/tests/test_diffusion_sampling.py",
    "tests/kinds/generator/test_generator_real.py",
    "plugins/gen_biggan/tests/test_biggan_sampling.py",
    "plugins/detect_torchvision/tests/test_torchvision_training.py",
    "tests/report/test_report_browser.py",
    "tests/mutants/test_lists.py",
    "tests/cli/test_exits.py",
    "tests/testing/test_broken_components.py",
    "plugins/classify_timm/tests/test_timm_devices.py",
    "plugins/gen_biggan/tests/test_biggan_training.py",
    "tests/pipeline/test_failures.py",
    "tests/cli/test_reasons.py",
    "tests/cli/test_pipeline_command.py",
    "tests/test_third_party.py",
    "plugins/detect_mmdet/tests/test_mmdet_weights.py",
    "plugins/detect_torchvision/tests/test_torchvision_network.py",
)

settings.register_profile("smallest", deadline=None, derandomize=True)
settings.register_profile(
    "fgic", settings.get_profile("smallest"), phases=[phase for phase in Phase if phase is not Phase.shrink]
)
settings.load_profile("fgic")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; within a file the order stays."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Iterator[None]:
    """Say in the last line what was not tested because the real pictures and weights are not here."""
    yield

    def reason(report: Any) -> str:
        return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)

    lacking = [report for report in terminalreporter.stats.get("skipped", ()) if "FGIC_REAL_DATA" in reason(report)]
    if lacking:
        terminalreporter.write_line(
            f"Without the real pictures {len(lacking)} tests were skipped: FGIC_REAL_DATA names their folder.",
            yellow=True,
        )


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of files between processes lies in a folder of the tests, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FGIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def pipe() -> Iterator[Callable[[Path], Path]]:
    """Makes a named pipe, which nobody must open.

    After a while somebody writes nothing into it, so that who does open it gets an empty file and a test that fails,
    and not one that never ends. Who does not open it is not disturbed, however slow the machine is.
    """
    made: list[Path] = []
    done = threading.Event()

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        made.append(path)
        return path

    def release() -> None:
        wait = 5.0
        while not done.wait(wait):
            wait = 0.2
            for path in made:
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    yield make
    done.set()
    thread.join()
