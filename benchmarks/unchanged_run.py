"""What `fgic pipeline` costs where nothing changed: processor seconds of the whole command, with bytecode cached.

    python benchmarks/unchanged_run.py [--runs 5]

The spec has a step of every kind but detectors and generators, on pictures that are drawn here. The first run computes
it and writes its report; the others find everything in the store and write a page of their own. Other work on a machine
can only make a run slower, so the fastest counts; every run is printed. Aim: 0.8 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

AIM = 0.8
SPEC = """\
version: 1
name: unchanged
steps:
  birds: {uses: dataset/synthetic-birds, with: {num_classes: 4, size: 64, train_per_class: 20, test_per_class: 20}}
  crops: {uses: cropper/square}
  classifier: {uses: classifier/timm, with: {model: test_resnet, pretrained: false, image_size: 32, epochs: 1}}
  cam: {uses: explainer/cam, with: {samples: 8}}
  pgd: {uses: attacker/pgd, with: {steps: 2, samples: 8}}
"""


def seconds(folder: Path) -> float:
    """Processor seconds of one run of the command, with those of the processes that it starts."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "fgic_core", "pipeline", "spec.yaml", "-q"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the first run and the unchanged ones."""
    parser = argparse.ArgumentParser(description="What an unchanged run costs.")
    parser.add_argument("--runs", type=int, default=5, help="unchanged runs to make")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
        print(f"computed:  {seconds(folder):.2f} s")
        found = [seconds(folder) for _ in range(runs)]
    print(f"unchanged: {min(found):.2f} s (aim {AIM} s); all: {', '.join(f'{value:.2f}' for value in found)}")


if __name__ == "__main__":
    main()
