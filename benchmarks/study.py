"""What a study costs beside the computing: planning it, and running it where everything is in the store.

    python benchmarks/study.py [--runs 100 1000 10000] [--cached 100 1000] [--no-peer]

Each number stands for a process of its own: the seconds of ``fgic check`` and the memory that it takes, for so many
runs of which each has a training and an attack of its own (nothing is computed); and the milliseconds a run of a study
whose every node is in the store. Aims: 10,000 runs checked in 5 s and 1 GB, both growing linearly; 20 ms a cached run.

Beside it the same small ablation (two steps in every combination, three seeds) as a study, and as a multirun of Hydra
(``pip install hydra-core``) whose every run is the pipeline in Python: its launcher starts one process for all of them,
and nothing is shared. Each in an empty folder, one thread; the two in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

CHECKED = """\
version: 1
name: checked
defaults: {{classifier/timm: {{model: test_resnet, pretrained: false, image_size: 32, epochs: 1}}}}
steps:
  birds: {{uses: dataset/synthetic-birds, with: {{num_classes: 3, train_per_class: 4, test_per_class: 3, size: 32}}}}
  crops: {{uses: cropper/square}}
  mix: {{uses: generator/mix, with: {{per_class: 2, resolution: 32}}}}
  classifier: {{uses: classifier/timm}}
  pgd: {{uses: attacker/pgd, with: {{eps: [0, 4/255], steps: 2}}}}
study:
  seeds: {seeds}
  matrix: {{classifier.with.lr: {rates}, crops.with.margin: [0, 0.1]}}
"""
CACHED = """\
version: 1
name: cached
steps:
  birds: {{uses: dataset/synthetic-birds, with: {{num_classes: 2, train_per_class: 2, test_per_class: 2, size: 32}}}}
  first: {{uses: cropper/square, with: {{margin: 0.1}}}}
  second: {{uses: cropper/box}}
  third: {{uses: cropper/square}}
  crops: {{uses: cropper/square}}
study:
  seeds: {seeds}
  matrix: {{crops.with.margin: {margins}}}
  measure: [{{step: crops, quantity: kept_area}}]
"""
ABLATION = """\
version: 1
name: ablation
steps:
  birds: {uses: dataset/synthetic-birds, with: {num_classes: 4, train_per_class: 20, test_per_class: 20, size: 64}}
  crops: {uses: cropper/square}
  mix: {uses: generator/mix, with: {ratio: 1, resolution: 48, fid_samples: 0}}
  classifier:
    uses: classifier/timm
    with: {model: test_resnet, pretrained: false, image_size: 32, epochs: 3, batch_size: 8}
"""
STUDY = "study: {seeds: [0, 1, 2], ablate: all}\n"
#: A task of Hydra's: the pipeline of one arm and one seed, from nothing.
TASK = """\
from pathlib import Path
import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from fgic_core import Pipeline

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    spec = yaml.safe_load(Path("spec.yaml").read_text())
    for step in ("crops", "mix"):
        if not config[step]:
            del spec["steps"][step]
    here = Path(HydraConfig.get().runtime.output_dir)
    run = Pipeline.from_dict({**spec, "seed": config.seed}).run(store=here / "store", runs=here / "runs", device="cpu")
    assert run.ok
    print(run.metric("classifier", "accuracy", "test").value)

main()
"""
#: Runs a command of fgic in this process; prints its seconds, those of its processors, and the most memory it had.
TIMED = """\
import json, resource, sys, time
start, used = time.perf_counter(), time.process_time()
from fgic_core.cli.app import run
code = run(sys.argv[1:])
took = {"seconds": time.perf_counter() - start, "processor": time.process_time() - used}
took["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps(took | {"code": code}), file=sys.stderr)
"""


def timed(folder: Path, *command: str) -> dict[str, float]:
    """What a command of fgic takes, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["FGIC_CACHE"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *command], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    told: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    if told["code"]:
        raise SystemExit(done.stdout + done.stderr)
    return told


def check(folder: Path, runs: int) -> None:
    """Print what checking so many runs takes."""
    seeds = 10
    rates = [round(0.0001 * (number + 1), 4) for number in range(runs // seeds // 2)]
    (folder / "spec.yaml").write_text(CHECKED.format(seeds=list(range(seeds)), rates=rates), encoding="utf-8")
    timed(folder, "check", "spec.yaml")  # parses the sources
    took = min((timed(folder, "check", "spec.yaml") for _ in range(3)), key=lambda one: one["seconds"])
    print(
        f"check  {len(rates) * 2 * seeds:>6,} runs: {took['seconds']:.2f} s "
        f"({took['processor']:.2f} s of a processor), {took['mb']:.0f} MB"
    )


def cached(folder: Path, runs: int) -> None:
    """Print what a run costs where everything is in the store."""
    seeds = 10
    margins = [round(number / runs * seeds, 4) for number in range(runs // seeds)]
    (folder / "spec.yaml").write_text(CACHED.format(seeds=list(range(seeds)), margins=margins), encoding="utf-8")
    start = time.perf_counter()
    timed(folder, "pipeline", "spec.yaml", "--quiet", "--device", "cpu")
    first = time.perf_counter() - start
    took = min((timed(folder, "pipeline", "spec.yaml", "--quiet") for _ in range(3)), key=lambda one: one["seconds"])
    each = {name: took[name] / (len(margins) * seeds) * 1000 for name in ("seconds", "processor")}
    print(
        f"cached {len(margins) * seeds:>6,} runs: {took['seconds']:.2f} s, {each['seconds']:.1f} ms a run "
        f"({each['processor']:.1f} ms of a processor; aim 20), {took['mb']:.0f} MB; computed first in {first:.0f} s"
    )


def side_by_side(runs: int = 2) -> None:
    """Print what an ablation takes as a study, and as a multirun of Hydra; the fastest of so many."""
    if find_spec("hydra") is None:
        print("hydra is not installed and left out: pip install hydra-core")
        return
    ours = [sys.executable, "-m", "fgic_core", "pipeline", "spec.yaml", "--quiet", "--device", "cpu", "--threads", "1"]
    theirs = [sys.executable, "task.py", "-m", "crops=true,false", "mix=true,false", "seed=0,1,2"]
    taken: dict[str, list[float]] = {"study": [], "hydra": []}
    for _ in range(runs):
        for name, command in (("study", ours), ("hydra", theirs)):
            with tempfile.TemporaryDirectory() as folder:
                here = Path(folder)
                (here / "spec.yaml").write_text(ABLATION + (STUDY if name == "study" else ""), encoding="utf-8")
                (here / "config.yaml").write_text("crops: true\nmix: true\nseed: 0\n", encoding="utf-8")
                (here / "task.py").write_text(TASK, encoding="utf-8")
                environment = {**os.environ, "OMP_NUM_THREADS": "1", "FGIC_CACHE": str(here / "cache")}
                start = time.perf_counter()
                done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
                taken[name].append(time.perf_counter() - start)
                if done.returncode:
                    raise SystemExit(done.stdout + done.stderr)
    study, hydra = min(taken["study"]), min(taken["hydra"])
    every = "; ".join(f"{name} {', '.join(f'{one:.1f}' for one in each)} s" for name, each in taken.items())
    print(f"ablation   12 runs: as a study {study:.1f} s, by Hydra {hydra:.1f} s, ratio {study / hydra:.2f} ({every})")


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description="What a study costs beside the computing.")
    parser.add_argument("--runs", type=int, nargs="*", default=[100, 1000, 10_000], help="how many runs to check")
    parser.add_argument("--cached", type=int, nargs="*", default=[100, 1000], help="how many runs to find in the store")
    parser.add_argument("--no-peer", action="store_true", help="leave Hydra out")
    arguments = parser.parse_args()
    for count in arguments.runs:
        with tempfile.TemporaryDirectory() as name:
            check(Path(name), count)
    for count in arguments.cached:
        with tempfile.TemporaryDirectory() as name:
            cached(Path(name), count)
    if not arguments.no_peer:
        side_by_side()


if __name__ == "__main__":
    main()
