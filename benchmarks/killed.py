"""Whether a study that is killed at random moments, and started again each time, gives the same table bit for bit.

    python benchmarks/killed.py [--kills 20] [--jobs 1] [--seed 0]

A small study of six runs is run once without disturbance. Then it is run in an empty store, its process is killed with
SIGKILL at a random moment of the time that it took, and the same command is given again, until it is finished; and
that again in further stores until it was killed often enough. After each, the tables of runs
and of effects are set beside the undisturbed ones: all columns but the seconds. Exits 1 where one differs.
"""

from __future__ import annotations

import argparse
import csv
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SPEC = """\
version: 1
name: killed
steps:
  birds: {uses: dataset/synthetic-birds, with: {num_classes: 3, train_per_class: 12, test_per_class: 12, size: 48}}
  crops: {uses: cropper/square}
  mix: {uses: generator/mix, with: {ratio: 0.5, resolution: 48, fid_samples: 0}}
  classifier:
    uses: classifier/timm
    with: {model: test_resnet, pretrained: false, image_size: 32, epochs: 6, batch_size: 8, lr: 1e-2}
study: {seeds: [0, 1, 2], ablate: [mix], vary: [init, order, split, resample]}
"""


def begin(folder: Path, jobs: int) -> subprocess.Popen[bytes]:
    """Start the study in a folder, with a store of its own."""
    command = [sys.executable, "-m", "fgic_core", "pipeline", "spec.yaml", "--quiet", "--device", "cpu"]
    command += ["--threads", "1", "--jobs", str(jobs), "--store", "store"]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)


def table(folder: Path) -> list[dict[str, str]]:
    """What the newest study of a folder shows: runs and effects without their seconds, as the files have them."""
    newest = max((folder / "runs" / "killed").glob("2*"))
    rows = []
    for name in ("runs.csv", "effects.csv"):
        with (newest / name).open(encoding="utf-8", newline="") as file:
            rows += [
                {key: value for key, value in row.items() if "seconds" not in key and row.get("measure") != "seconds"}
                for row in csv.DictReader(file)
            ]
    return rows


def kept(folder: Path) -> int:
    """How many artifacts the store of a folder has."""
    return len(list((folder / "store").rglob("artifact.json")))


def main() -> None:
    """Kill, start again, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng, killed, studies, wrong = np.random.default_rng(arguments.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "undisturbed"
        whole.mkdir()
        (whole / "spec.yaml").write_text(SPEC, encoding="utf-8")
        start = time.monotonic()
        if begin(whole, arguments.jobs).wait():
            raise SystemExit((whole / "said.txt").read_text(encoding="utf-8"))
        took, wanted = time.monotonic() - start, table(whole)
        print(f"undisturbed: {took:.1f} s, {len(wanted)} rows", flush=True)
        while killed < arguments.kills:
            folder = Path(name) / f"study-{studies}"
            folder.mkdir()
            (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
            times = 0
            while True:
                process = begin(folder, arguments.jobs)
                moment = rng.uniform(0, took) if killed < arguments.kills else None
                try:
                    code = process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    killed += 1
                    times += 1
                    print(f"  killed after {moment:.1f} s, with {kept(folder)} artifacts in the store", flush=True)
                    continue
                if code:
                    raise SystemExit((folder / "said.txt").read_text(encoding="utf-8"))
                break
            studies += 1
            same = table(folder) == wanted
            wrong += not same
            print(f"study {studies}, killed {times} times: {'the same table' if same else 'ANOTHER TABLE'}", flush=True)
    print(f"{killed} kills in {studies} studies; tables that differ: {wrong}")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
