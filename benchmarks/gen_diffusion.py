"""What `generator/diffusion` costs over plain loops of diffusers, on the same network and the same pictures.

    python benchmarks/gen_diffusion.py [--runs 5] [--threads 1]

Training: two epochs with the same batch size against the loop of diffusers' tutorial and its script
``train_unconditional.py`` (``UNet2DModel``, ``DDPMScheduler``, AdamW, cosine rate with warm-up, clipped gradient,
``EMAModel``), with class labels of which a tenth is hidden, and the pictures in memory. Sampling: 25 steps of
DPM-Solver++ with guidance against the loop of diffusers' pipelines. Neither side keeps checkpoints or measures. Both
take turns in one process after a warm-up of each; other work on a machine can only make a run slower, so the fastest
runs are compared, and the medians are printed too. Aim: within 3 %.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.training_utils import EMAModel
from fgic_gen_diffusers import DiffusionGenerator
from fgic_gen_diffusers._network import Network, build, unet_options
from fgic_gen_diffusers._sampling import sample
from fgic_gen_diffusers._shape import Shape
from fgic_gen_diffusers._training import Denoising
from PIL import Image
from side_by_side import compare
from torch.utils.data import DataLoader, TensorDataset

from fgic_core import Dataset, Sample, StepContext
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.kit import learn

PICTURES, SIDE, CLASSES, EPOCHS, MADE, STEPS = 128, 32, 4, 2, 16, 25
OPTIONS: dict[str, Any] = {
    "resolution": SIDE,
    "base_channels": 32,
    "multipliers": [1, 2, 2],
    "layers": 1,
    "attention": 8,
    "dropout": 0.0,
    "flip": 0,
    "batch_size": 32,
    "epochs": EPOCHS,
    "sampling_steps": STEPS,
}


def make_data(folder: Path) -> Dataset:
    """Pictures of noise, as PNG files in fgic's format."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(PICTURES):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        samples.append(Sample(id=str(number), path=f"{number}.png", label=number % CLASSES, split="train"))
    names = tuple("abcd"[:CLASSES])
    with DatasetWriter(folder / "data", Header(names, {"r": folder})) as writer:
        writer.write_samples(samples, "r")
    return Dataset.open(folder / "data")


def train_plainly(unet: UNet2DModel, data: Dataset, options: DiffusionGenerator) -> None:
    """The training loop of diffusers' tutorial, with its script's average of the weights."""
    pictures = torch.stack([options.prepare(data.crop(row)) * 2 - 1 for row in range(len(data))])
    labels = torch.from_numpy(data.labels.copy())
    loader = DataLoader(TensorDataset(pictures, labels), batch_size=options.batch_size, shuffle=True)
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    optimizer = torch.optim.AdamW(unet.parameters(), lr=options.lr, weight_decay=0.0)
    steps = len(loader) * EPOCHS
    rates = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    average = EMAModel(unet.parameters(), decay=options.ema_decay, use_ema_warmup=True)
    unet.train()
    for _ in range(EPOCHS):
        for clean, classes in loader:
            noise = torch.randn(clean.shape)
            t = torch.randint(0, 1000, (len(clean),))
            hidden = classes.masked_fill(torch.rand(len(clean)) < options.drop_labels, CLASSES)
            predicted = unet(scheduler.add_noise(clean, noise, t), t, hidden, return_dict=False)[0]
            loss = torch.nn.functional.mse_loss(predicted, scheduler.get_velocity(clean, noise, t))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            average.step(unet.parameters())


@torch.no_grad()
def sample_plainly(unet: UNet2DModel, scale: float) -> np.ndarray[Any, Any]:
    """The loop of diffusers' pipelines, with guidance and the picture clipped at each step."""
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", thresholding=True, lambda_min_clipped=-5.1
    )
    scheduler.set_timesteps(STEPS)
    noisy = torch.randn(MADE, 3, SIDE, SIDE)
    classes = torch.arange(MADE) % CLASSES
    both = torch.cat([classes, torch.full_like(classes, CLASSES)])
    for t in scheduler.timesteps:
        of_class, of_none = unet(torch.cat([noisy, noisy]), t, both, return_dict=False)[0].chunk(2)
        noisy = scheduler.step(of_none + scale * (of_class - of_none), t, noisy, return_dict=False)[0]
    return ((noisy + 1) / 2).clamp(0, 1).numpy()


def main() -> None:
    """Compare training and sampling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = DiffusionGenerator(**OPTIONS)
    shape = Shape.of(options, CLASSES)
    unet = UNet2DModel(**unet_options(shape))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder)
        context = StepContext(folder / "out")
        trained, averaged = build(options, data, context)
        ways: dict[str, Callable[[], object]] = {
            "plain": lambda: train_plainly(unet, data, options),
            "fgic": lambda: learn(options, Denoising(options, trained, averaged, data, context), context),
        }
        compare("training", PICTURES * EPOCHS, ways, arguments.runs)
    unet.eval()
    network = Network(shape, frozenset(range(CLASSES))).eval().requires_grad_(False)
    labels, seeds = [row % CLASSES for row in range(MADE)], list(range(MADE))
    ways = {
        "plain": lambda: sample_plainly(unet, options.guidance_scale),
        "fgic": lambda: sample(options, network, labels, seeds),
    }
    compare("sampling", MADE, ways, arguments.runs)


if __name__ == "__main__":
    main()
