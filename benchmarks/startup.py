"""How long the command line takes to start, with every installed plugin: ``python benchmarks/startup.py [RUNS]``.

Each command runs in a process of its own, in turn with a bare ``python -c pass`` and ``python -c "import typer"``, so
that all see the same machine. Aims on an idle core: 0.3 s for ``fgic --help``, 0.8 s for ``fgic check`` of a
seven-step spec, torch imported by neither.

A first round, which does not count, fills a bytecode cache of the benchmark's own: an installed Python has one, while a
shell with ``PYTHONDONTWRITEBYTECODE`` compiles every imported file again at each start (three times as slow here).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """\
version: 1
name: startup
steps:
  birds:      {uses: dataset/synthetic-birds}
  crops:      {uses: cropper/square}
  classifier: {uses: classifier/timm, with: {pretrained: false}}
  cam:        {uses: explainer/cam}
  fgsm:       {uses: attacker/fgsm}
  pgd:        {uses: attacker/pgd}
  long-pgd:   {uses: attacker/pgd, with: {steps: 50}}
"""
AIMS = {"fgic --help": 0.3, "fgic check": 0.8}
HEAVY = ("torch", "torchvision", "timm", "numpy", "pyarrow", "matplotlib")
# Prints, at the end of a command, which of the heavy packages it imported.
PROBE = (
    "import atexit, json, sys; "
    f"atexit.register(lambda: print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]), file=sys.stderr)); "
    "from fgic_core.cli import main; main()"
)


def main() -> None:
    """Time the commands and print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "spec.yaml")
        spec.write_text(SPEC, encoding="utf-8")
        fgic = [sys.executable, "-m", "fgic_core"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import typer'": [sys.executable, "-c", "import typer"],
            "fgic --help": [*fgic, "--help"],
            "fgic plugins": [*fgic, "plugins"],
            "fgic check": [*fgic, "check", str(spec)],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        failed = {name for name, command in commands.items() if _seconds(command, folder)[1]}
        for _ in range(runs):
            for name, command in commands.items():
                seconds[name].append(_seconds(command, folder)[0])
        _print(seconds, failed, runs)
        for name in ("fgic --help", "fgic plugins", "fgic check"):
            print(
                f"{name} imports: {', '.join(_imported(commands[name][3:], folder)) or 'none of ' + ', '.join(HEAVY)}"
            )


def _environment(folder: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode"))}


def _seconds(command: list[str], folder: str) -> tuple[float, int]:
    began = time.perf_counter()
    code = subprocess.run(command, cwd=folder, env=_environment(folder), capture_output=True, check=False).returncode
    return time.perf_counter() - began, code


def _imported(arguments: list[str], folder: str) -> list[str]:
    command = [sys.executable, "-c", PROBE, *arguments]
    environment = _environment(folder)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found: list[str] = json.loads(result.stderr.splitlines()[-1])
    return found


def _print(seconds: dict[str, list[float]], failed: set[str], runs: int) -> None:
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median of {runs}"
    )
    base = statistics.median(seconds["python -c 'import typer'"])
    print(f"{'command':26} {'median':>8} {'fastest':>8} {'x typer':>8} {'aim':>7}")
    for name, found in seconds.items():
        median = statistics.median(found)
        aim = f"{AIMS[name]:.1f} s" if name in AIMS else ""
        note = "  FAILED" if name in failed else ""
        print(f"{name:26} {median:6.3f} s {min(found):6.3f} s {median / base:8.1f} {aim:>7}{note}")


if __name__ == "__main__":
    main()
