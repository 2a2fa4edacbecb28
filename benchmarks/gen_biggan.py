"""What `generator/biggan` costs over plain MMagic, on the same networks and the same pictures.

    python benchmarks/gen_biggan.py [--runs 5] [--threads 1]

Training: the steps of an epoch of `fit` (a discriminator step and a generator step each) against MMEngine's Runner
with MMagic's `BigGAN`, both on pictures in memory, without augmentation. What `fit` does between epochs (standing
statistics, the watch for collapse) is no step and is printed apart. Sampling: `sample` against the generator itself on
a batch. Both take turns in one process after a warm-up of each; other work on a machine can only make a run slower, so
the fastest runs are compared, and the medians are printed too. Aim: within 3 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fgic_gen_biggan import BigganGenerator
from fgic_gen_biggan._gan import Discriminator, settle
from fgic_gen_biggan._generator import build_generator
from fgic_gen_biggan._mmagic import import_mmagic
from fgic_gen_biggan._network import Network
from fgic_openmmlab import QuietRunner, scope
from PIL import Image
from side_by_side import compare
from torch.utils.data import DataLoader

from fgic_core import Dataset, Sample, Size, StepContext
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.steps.context import Listener

PICTURES, CLASSES, BATCH = 320, 4, 32
OPTIONS: dict[str, Any] = {
    "resolution": 32,
    "base_channels": 16,
    "batch_size": BATCH,
    "epochs": 1,
    "augment": [],
    "flip": 0.0,
}


def make_data(folder: Path) -> Dataset:
    """Noisy pictures."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(PICTURES):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        about: dict[str, Any] = {"id": str(number), "path": f"{number}.png", "label": number % CLASSES}
        samples.append(Sample(**about, split="train", size=Size(32, 32)))
    with DatasetWriter(folder / "data", Header(tuple("abcd"), {"r": folder})) as writer:
        writer.write_samples(samples, "r")
    return Dataset.open(folder / "data")


class Clock(Listener):
    """Notes how long the steps of an epoch took."""

    steps = 0.0

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        if description.startswith("epoch"):
            if done == 0:
                self._began = time.perf_counter()
            self.steps = time.perf_counter() - self._began


def plain_training(pictures: torch.Tensor, labels: list[int], folder: Path) -> float:
    """MMagic's training by MMEngine's Runner, without its log and its checkpoints; seconds of its steps."""
    from mmengine.dataset import pseudo_collate
    from mmengine.hooks import Hook
    from mmengine.optim import OptimWrapper, OptimWrapperDict
    from mmengine.visualization import Visualizer

    parts = import_mmagic()
    taken = 0.0

    class Times(Hook):
        def before_train_epoch(self, runner: Any) -> None:
            self.began = time.perf_counter()

        def after_train_epoch(self, runner: Any) -> None:
            nonlocal taken
            taken = time.perf_counter() - self.began

    class Rows(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, row: int) -> Any:
            sample = parts.DataSample(gt_img=pictures[row])
            sample.set_gt_label(labels[row])
            return {"inputs": {}, "data_samples": sample}

    generator = build_generator(network_arguments())
    with scope("mmagic") as name:
        discriminator = Discriminator((), **discriminator_arguments())
        settle(discriminator)
        gan = parts.BigGAN(
            generator=generator,
            discriminator=discriminator,
            data_preprocessor=parts.DataPreprocessor(),
            ema_config={"type": "ExponentialMovingAverage", "momentum": 0.001},
        )
        # MMagic stacks labels to (n, 1), for which its discriminator computes n times as much, and something else.
        gan.data_sample_to_label = lambda sample: sample.gt_label.label.flatten()
        adam = {"betas": (0.0, 0.999)}
        QuietRunner(
            device="cpu",
            model=gan,
            work_dir=str(folder / "work"),
            train_dataloader=DataLoader(Rows(), batch_size=BATCH, shuffle=True, collate_fn=pseudo_collate),
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper=OptimWrapperDict(
                generator=OptimWrapper(torch.optim.Adam(generator.parameters(), 1e-4, **adam)),
                discriminator=OptimWrapper(torch.optim.Adam(discriminator.parameters(), 4e-4, **adam)),
            ),
            default_scope="mmagic",
            default_hooks={"logger": None, "checkpoint": None, "timer": None, "param_scheduler": None},
            custom_hooks=[Times()],
            visualizer=Visualizer.get_instance(name),
            experiment_name=name,
            log_level="CRITICAL",
        ).train()
    return taken


def network_arguments() -> dict[str, Any]:
    """Of MMagic's generator."""
    return {
        "output_scale": OPTIONS["resolution"],
        "num_classes": CLASSES,
        "base_channels": OPTIONS["base_channels"],
        "noise_size": 128,
        "shared_dim": 128,
        "sn_style": "torch",
    }


def discriminator_arguments() -> dict[str, Any]:
    """Of MMagic's discriminator."""
    return {
        "input_scale": OPTIONS["resolution"],
        "num_classes": CLASSES,
        "base_channels": OPTIONS["base_channels"],
        "sn_style": "torch",
    }


def main() -> None:
    """Compare training and sampling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder)
        component = BigganGenerator(**OPTIONS)
        pictures = torch.stack([(component.prepare(data.crop(row)) * 255).byte() for row in range(PICTURES)])
        labels = data.labels.tolist()
        whole: list[tuple[float, float]] = []
        fitted: list[Network] = []

        def ours() -> float:
            (folder / "out").mkdir(exist_ok=True)
            clock = Clock()
            began = time.perf_counter()
            fitted[:] = [component.fit(data, StepContext(folder / "out", listener=clock))]
            whole.append((time.perf_counter() - began, clock.steps))
            return clock.steps

        ways = {"plain": lambda: plain_training(pictures, labels, folder), "fgic": ours}
        compare("training", PICTURES, ways, arguments.runs)
        rest = min(all_ - steps for all_, steps in whole)
        print(
            f"training   outside of the steps, fit takes {rest:.2f} s (networks, pictures, standing statistics, watch)"
        )
        compare("sampling", BATCH, sampling(*fitted), arguments.runs)


def sampling(network: Network) -> dict[str, Callable[[], float]]:
    """Ways to make a batch of pictures; each gives its seconds."""
    generator = network.generator
    labels, seeds = [row % CLASSES for row in range(BATCH)], list(range(BATCH))

    def plain() -> float:
        began = time.perf_counter()
        with torch.no_grad():
            generator.eval()(torch.randn(BATCH, 128), label=torch.tensor(labels))
        return time.perf_counter() - began

    def ours() -> float:
        began = time.perf_counter()
        network.sample(labels, seeds)
        return time.perf_counter() - began

    return {"plain": plain, "fgic": ours}


if __name__ == "__main__":
    main()
