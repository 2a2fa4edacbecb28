"""What `fgic pipeline` costs over the same training written by hand, with plain PyTorch and timm.

    python benchmarks/pipeline_overhead.py [--runs 4] [--threads 1]

Both read the same JPEG files, letterbox, flip and turn them grey with the same chances, train the same network with
the same optimizer for as many epochs, measure validation and test after each, and keep the best epoch. The pipeline
also checks the spec, plans, keeps a checkpoint of every epoch, writes its events, and reads its model back. The data
set step is computed before; start-up is measured by ``startup.py``.

The two run in turn, in one process, after a warm-up of each. Other work on a machine can only make a run slower, so
the fastest runs are compared; the medians and every run are printed too, and where these spread by more than the
ratio differs from 1, the ratio says little. Most of what the pipeline adds does not grow with the pictures: it is a
checkpoint an epoch, and saving and reading back at the end. Aim: 1.02.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from fgic_core import Pipeline

MODEL, SIZE, BATCH, EPOCHS, LR = "resnet18", 128, 32, 2, 0.01
CLASSES, TRAIN, VAL, TEST = 4, 60, 10, 20
AIM = 1.02


def make_pictures(root: Path) -> None:
    """Noisy colour pictures of 160x120 pixels, in the layout that `dataset/image-folder` reads."""
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        for label in range(CLASSES):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(128, 50, (15, 20, 3)) + 40 * np.eye(4)[label, :3]
                picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((160, 120), Image.BICUBIC)
                picture.save(folder / f"{number:03d}.jpg", quality=90)


class Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The files of one split, letterboxed; flipped and turned grey by chance for training."""

    def __init__(self, root: Path, split: str) -> None:
        self.files = sorted((root / split).glob("*/*.jpg"))
        self.labels = [int(file.parent.name[-1]) for file in self.files]
        self.train = split == "train"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[index]) as file:
            image = file.convert("RGB")
        if self.train and torch.rand(()) < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        if self.train and torch.rand(()) < 0.1:
            image = image.convert("L").convert("RGB")
        scale = SIZE / max(image.size)
        width, height = round(image.width * scale), round(image.height * scale)
        canvas = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
        canvas.paste(image.resize((width, height), Image.BICUBIC), ((SIZE - width) // 2, (SIZE - height) // 2))
        return torch.from_numpy(np.array(canvas)).permute(2, 0, 1).float().div_(255), self.labels[index]


def by_hand(root: Path, folder: Path, seed: int) -> float:
    """The training as one writes it; gives the test accuracy."""
    torch.manual_seed(seed)
    config = timm.data.resolve_model_data_config(timm.create_model(MODEL, num_classes=CLASSES))
    model = timm.create_model(MODEL, num_classes=CLASSES)
    mean, std = (torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    loaders = {
        split: DataLoader(Pictures(root, split), BATCH, shuffle=split == "train") for split in ("train", "val", "test")
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.1)

    def accuracy(split: str) -> float:
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in loaders[split]:
                right += int((model((images - mean) / std).argmax(1) == labels).sum())
        return right / len(loaders[split].dataset)  # type: ignore[arg-type]

    best, weights = -1.0, model.state_dict()
    for _ in range(EPOCHS):
        model.train()
        for images, labels in loaders["train"]:
            loss = torch.nn.functional.cross_entropy(model((images - mean) / std), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        val, _ = accuracy("val"), accuracy("test")
        if val > best:
            best, weights = val, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    accuracy("val")
    save_file(weights, folder / "model.safetensors")
    return accuracy("test")


def by_pipeline(spec: Path, store: Path, runs: Path) -> float:
    """The same as a spec; gives the test accuracy."""
    run = Pipeline.from_yaml(spec).run(store=store, runs=runs, device="cpu", report=False, fresh=False)
    assert run.ok, [step.error for step in run.record.steps]
    accuracy = run.metric("classifier", "accuracy", "test").value
    assert accuracy is not None
    return accuracy


def timed(work: Callable[[], float]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds, and what the work gives."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_pictures(folder / "pictures")
        options = (
            f"model: {MODEL}, pretrained: false, image_size: {SIZE}, epochs: {EPOCHS}, batch_size: {BATCH}, lr: {LR}"
        )

        def spec(seed: int) -> Path:  # another seed for each run: the store would give back the last one's model
            path = folder / f"spec-{seed}.yaml"
            path.write_text(
                "version: 1\nname: overhead\nsteps:\n"
                "  pictures: {uses: dataset/image-folder, with: {root: pictures}}\n"
                f"  classifier: {{uses: classifier/timm, seed: {seed}, with: {{{options}}}}}\n",
                encoding="utf-8",
            )
            return path

        def pipeline(seed: int) -> tuple[float, float, float]:
            return timed(lambda: by_pipeline(spec(seed), folder / "store", folder / "runs"))

        def hand(seed: int) -> tuple[float, float, float]:
            return timed(lambda: by_hand(folder / "pictures", folder, seed))

        both = {"by hand": hand, "fgic pipeline": pipeline}
        rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in both}
        for seed in range(arguments.runs + 1):
            for name, work in both.items():
                row = work(seed)
                if seed:  # the first run of each warms up
                    rows[name].append(row)
    report(rows)


def report(rows: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print each run, and the ratios of the fastest runs and of the medians."""
    for name, found in rows.items():
        for column, unit in enumerate(("wall s", "processor s", "test accuracy")):
            print(f"{name:14} {unit:14}", "  ".join(f"{row[column]:7.3f}" for row in found))
    for column, unit in enumerate(("wall", "processor")):
        for word, summary in (("fastest", min), ("median", statistics.median)):
            one, other = (summary([row[column] for row in found]) for found in rows.values())
            print(
                f"{unit:10} {word:8} by hand {one:7.2f} s, pipeline {other:7.2f} s, ratio {other / one:.3f} (aim {AIM})"
            )


if __name__ == "__main__":
    main()
