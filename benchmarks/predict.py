"""How long ``fgic predict`` takes for one photo beside a plain timm script: ``python benchmarks/predict.py [RUNS]``.

Both load the same network's weights from a file, classify the same photo and print the five best classes, each in a
process of its own, in turn, so that both see the same machine; nearly all of it is imports. The aim is a ratio of 1:
who asks fgic waits no longer. A first round, which does not count, fills a bytecode cache of the benchmark's own, as an
installed Python has one. The network has random weights: what it says is of no interest.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from fgic_core import Registry
from fgic_core.data.artifact import ArtifactRecord

MODEL, CLASSES = "resnet50", 120
PLAIN = """\
import sys

import timm
import torch
from PIL import Image
from safetensors.torch import load_file

name, classes, weights, photo = sys.argv[1:]
network = timm.create_model(name, num_classes=int(classes))
network.load_state_dict(load_file(weights))
network.eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
with torch.inference_mode():
    confidence, best = network(transform(Image.open(photo).convert("RGB"))[None]).softmax(1).topk(5)
for label, value in zip(best[0].tolist(), confidence[0].tolist()):
    print(f"class {label}  {100 * value:.1f} %")
"""


def main() -> None:
    """Time both and print the ratios."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = a_model(folder / "model")
        photo, weights, script = folder / "photo.jpg", folder / "plain.safetensors", folder / "plain.py"
        noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photo)
        plain_weights(weights)
        script.write_text(PLAIN, encoding="utf-8")
        commands = {
            "plain timm": [sys.executable, str(script), MODEL, str(CLASSES), str(weights), str(photo)],
            "fgic predict": [sys.executable, "-m", "fgic_core", "predict", str(model), str(photo), "--device", "cpu"],
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for run in range(runs + 1):
            for name, command in commands.items():
                taken = timed(command, folder)
                if run:
                    seconds[name].append(taken)
    for name, rows in seconds.items():
        wall, processor = ([row[column] for row in rows] for column in (0, 1))
        print(
            f"{name:14} wall {min(wall):.2f} s fastest, {statistics.median(wall):.2f} s median; "
            f"processor {min(processor):.2f} s, {statistics.median(processor):.2f} s"
        )
    for column, clock in enumerate(("wall", "processor")):
        plain, ours = (statistics.median(row[column] for row in rows) for rows in seconds.values())
        print(f"{clock:9} fgic takes {ours / plain:.3f} times as long (aim 1)")


def a_model(folder: Path) -> Path:
    """The artifact of a classifier, as a run would leave it."""
    component = Registry().create("classifier/timm", model=MODEL, pretrained=False, image_size=224)
    (folder / "component").mkdir(parents=True)
    fitted = component.build([f"class {label}" for label in range(CLASSES)])
    component.save(fitted, folder / "component")
    options = component.model_dump(mode="json")
    record = {"package": "fgic-classify-timm", "version": "0", "options": options, "seed": 0, "inputs": {}}
    ArtifactRecord(type="model", key="0" * 32, uses="classifier/timm", **record).write(folder)
    return folder


def plain_weights(file: Path) -> None:
    """The weights of the same network as timm has them."""
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model(MODEL, num_classes=CLASSES).state_dict(), file)


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds that passed, and of the processor, of a command that has to succeed."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
