"""What it takes to plan: milliseconds for five steps over thousands of pictures, and the seconds for a million.

    python benchmarks/planning.py [--pictures 2387] [--million]

Planning looks at the stat of every picture and at the sources that the steps reach. The first plan of a process has
nothing in memory but what an earlier process left. `--million` draws so many small files, reads them once, and plans
again. Aims: 60 ms for the first plan of a process, 30 ms for the next; for a million pictures seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """\
version: 1
name: planning
steps:
  pictures: {{uses: dataset/image-folder, with: {{root: {root}, verify: none}}}}
  crops: {{uses: cropper/square, with: {{test_boxes: annotated}}}}
  classifier: {{uses: classifier/timm, with: {{model: test_resnet, pretrained: false, epochs: 1}}}}
  cam: {{uses: explainer/cam}}
  pgd: {{uses: attacker/pgd}}
"""
#: Prints the milliseconds of each plan; the spec is read before.
PLAN = """\
import sys, time
from fgic_core import Pipeline
pipeline = Pipeline.from_yaml("spec.yaml")
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    pipeline.plan("store")
    print((time.perf_counter() - start) * 1000)
"""


def draw(folder: Path, count: int) -> None:
    """Files that are pictures by name: planning never decodes."""
    for number in range(count):
        if number % 1000 == 0:
            place = folder / ("test" if number % 2000 else "train") / f"class-{number // 1000:04d}"
            place.mkdir(parents=True)
        (place / f"{number}.png").write_bytes(number.to_bytes(8, "little"))


def plans(folder: Path, count: int) -> list[float]:
    """Milliseconds of so many plans in a new process."""
    command = [sys.executable, "-c", PLAN, str(count)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["FGIC_CACHE"] = str(folder / "cache")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def read(folder: Path) -> float:
    """Read the pictures once, as a run does before its first step; the seconds that it takes."""
    from fgic_core.plan.fingerprints import Fingerprints
    from fgic_core.store.memory import default_memory

    os.environ["FGIC_CACHE"] = str(folder / "cache")
    time.sleep(2.5)  # files that are so new are remembered by nobody
    start = time.perf_counter()
    Fingerprints(default_memory()).read(folder / "pictures")
    return time.perf_counter() - start


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description="What planning takes.")
    parser.add_argument("--pictures", type=int, default=2387)
    parser.add_argument("--million", action="store_true", help="do it with a million pictures as well")
    arguments = parser.parse_args()
    for count in [arguments.pictures, *([1_000_000] if arguments.million else [])]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw(folder / "pictures", count)
            (folder / "spec.yaml").write_text(SPEC.format(root="pictures"), encoding="utf-8")
            print(f"{count:,} pictures, read once in {read(folder):.2f} s")
            plans(folder, 1)  # parses the sources
            first = min(plans(folder, 1)[0] for _ in range(3))
            later = min(plans(folder, 5)[1:])
            print(f"  first plan of a process {first:.0f} ms (aim 60 for 2,387), the next {later:.0f} ms (aim 30)")


if __name__ == "__main__":
    main()
