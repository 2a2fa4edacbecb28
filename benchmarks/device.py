"""The pipeline on an accelerator, beside the same on the processor: do the numbers agree, and what is gained?

Run by ``benchmarks/device.sh``. Five checks, each printed with what was seen:

1. ``examples/quickstart.yaml`` on both: accuracies agree within their intervals; each step's seconds and their ratio.
2. The same once more on the accelerator, in another store: which artifacts come out byte for byte the same.
3. What was trained there, opened here: probabilities of the test pictures agree.
4. The attack: no picture leaves its eps ball, and the attack of one model succeeds alike on both.
5. Training a ResNet-50 at 224 pixels through fgic and in a plain timm loop: images a second, and the ratio.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core import Pipeline, Run

ROOT = Path(__file__).parents[1]
#: How far the probabilities of one network may be apart on two devices.
APART = 1e-3
SIDE, BATCH, EPOCHS = 224, 64, 3


def main() -> int:
    """Run all checks on the device that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", help="torch's name of it, such as cuda")
    device = parser.parse_args().device
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"{name}; torch {torch.__version__}; {torch.get_num_threads()} threads beside it", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        failed = check(device, Path(folder))
    print("\nAll checks hold." if not failed else "\nFailed: " + "; ".join(failed))
    return 1 if failed else 0


def check(device: str, folder: Path) -> list[str]:
    """Which checks failed."""
    failed: list[str] = []
    runs = {where: quickstart(where, folder, where) for where in (device, "cpu")}
    failed += compare(runs[device], runs["cpu"])
    repeat(runs[device], quickstart(device, folder, "again"))
    failed += probabilities(runs[device], device)
    failed += attacks(runs[device])
    speed(device, folder)
    return failed


def quickstart(device: str, folder: Path, name: str) -> Run:
    """The quickstart spec on a device."""
    began = time.perf_counter()
    pipeline = Pipeline.from_yaml(ROOT / "examples" / "quickstart.yaml")
    run = pipeline.run(device=device, store=folder / f"store-{name}", runs=folder / f"runs-{name}")
    if not run.ok:
        sys.exit(f"on {device}: {[step.error for step in run.record.steps if step.error]}")
    print(f"quickstart on {device}: {time.perf_counter() - began:.1f} s", flush=True)
    return run


def compare(here: Run, there: Run) -> list[str]:
    """Print the numbers of both side by side."""
    failed = []
    print("\n1. numbers on the accelerator and on the processor, each from a training of its own")
    asked = [("classifier", "accuracy", {}), ("cam", "pointing_game", {})]
    asked += [(step, "robust_accuracy", {"eps": k / 255}) for step in ("fgsm", "pgd") for k in (0.5, 1, 2, 4)]
    for step, quantity, at in asked:
        one, other = (run.metric(step, quantity, "test", **at) for run in (here, there))
        print(f"   {step:10} {one}\n   {'':10} {other}")
        if quantity == "accuracy" and (one.low > other.high or other.low > one.high):
            failed.append(f"{quantity} of {step} is another on the processor")
    for step in (one.name for one in here.record.steps):
        on, off = (run.record.step(step).seconds or 0.0 for run in (here, there))
        print(f"   {step:10} {on:7.2f} s, processor {off:7.2f} s, ratio {on / off:.2f}" if off else "")
    return failed


def repeat(first: Run, second: Run) -> None:
    """Print which artifacts two equal runs give alike."""
    print("\n2. the same once more on the accelerator")
    for step in first.record.steps:
        one, other = (run.artifact(step.name) for run in (first, second))
        files = {name: record.digest for name, record in one.files.items()}
        same = files == {name: record.digest for name, record in other.files.items()}
        print(f"   {step.name:10} {'the same bytes' if same else 'other bytes'}")


def probabilities(run: Run, device: str) -> list[str]:
    """Open the trained network on both devices."""
    test = run.dataset("crops").split("test")
    images = [test.crop(row) for row in range(len(test))]
    there, here = (np.asarray(run.model(device=where).predict(images)) for where in (device, "cpu"))
    apart = float(np.abs(there - here).max())
    print(
        f"\n3. one network on both, {len(images)} pictures: probabilities at most {apart:.2g} apart (bound {APART:g})"
    )
    return [] if apart < APART else ["the probabilities of one network differ"]


def attacks(run: Run) -> list[str]:
    """Whether every attacked picture lies in its ball."""
    import pyarrow.parquet as pq

    table = pq.read_table(run.record.step("pgd").folder / "robustness.parquet").to_pydict()
    over = max(away - eps for away, eps in zip(table["distance"], table["eps"], strict=True))
    print(f"\n4. {len(table['eps'])} attacked pictures: at most {over:.2g} outside of their ball")
    return [] if over < 1e-6 else ["the attack left its ball"]


def speed(device: str, folder: Path) -> None:
    """Train through fgic and by hand."""
    import torch

    print(f"\n5. ResNet-50 at {SIDE} pixels, batch {BATCH}, {EPOCHS} epochs, decoding included")
    data = {"uses": "dataset/synthetic-birds", "with": {"num_classes": 8, "train_per_class": 160, "test_per_class": 1}}
    options = {"model": "resnet50", "pretrained": False, "image_size": SIDE, "epochs": EPOCHS, "batch_size": BATCH}
    document: dict[str, Any] = {"version": 1, "name": "speed", "steps": {"birds": data}}
    document["steps"]["birds"]["with"] |= {"size": SIDE}
    where: dict[str, Any] = {"store": folder / "store-speed", "runs": folder / "runs-speed"}
    run = Pipeline.from_dict(document).run(device=device, **where)
    train = run.dataset().split("train")
    document["steps"]["classifier"] = {"uses": "classifier/timm", "with": {**options, "test_curve": False}}
    began = time.perf_counter()
    run = Pipeline.from_dict(document).run(device=device, **where)
    assert run.ok, [step.error for step in run.record.steps]
    spent = time.perf_counter() - began
    began = time.perf_counter()
    plain(train, device, min(8, os.cpu_count() or 1))
    by_hand = time.perf_counter() - began
    if device.startswith("cuda"):
        print(f"   memory: at most {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")
    count = len(train) * EPOCHS
    print(f"   fgic, measuring included {count / spent:7.0f} images/s")
    print(f"   plain loop               {count / by_hand:7.0f} images/s, ratio of the times {spent / by_hand:.2f}")


def plain(train: Any, device: str, workers: int) -> None:
    """What a script of one's own does: timm's network, torchvision's transforms, SGD."""
    import timm
    import torch
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    tune = v2.Compose(
        [v2.Resize((SIDE, SIDE)), v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(train)

        def __getitem__(self, row: int) -> Any:
            return tune(train.crop(row)), int(train.labels[row])

    network = timm.create_model("resnet50", pretrained=False, num_classes=len(train.classes)).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    loader = DataLoader(Pictures(), BATCH, shuffle=True, num_workers=workers, drop_last=True)
    for _ in range(EPOCHS):
        for images, labels in loader:
            loss = torch.nn.functional.cross_entropy(network(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
