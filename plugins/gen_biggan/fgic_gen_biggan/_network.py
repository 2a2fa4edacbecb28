"""The generator network: built from options, sampled with one seed a picture, saved and loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fgic_core import Context, Dataset, FittedGenerator, PluginError
from fgic_core.kit import evaluation, load_weights, save_weights, seeded
from fgic_gen_biggan._gan import settle
from fgic_gen_biggan._generator import arguments_of, build_generator
from fgic_gen_biggan._mmagic import WHERE
from fgic_gen_biggan._weights import ABOUT, WEIGHTS, read_start

if TYPE_CHECKING:
    from fgic_gen_biggan import BigganGenerator

#: Deviation of a new class embedding's numbers; z's is 1. MMagic's rows of length 1 are lost beside z, and a short
#: training hardly tells classes apart; rows as long as z leave it little say in what is made.
_EMBEDDING = 0.3


@dataclass
class Network(FittedGenerator):
    """A generator and what is needed to sample from it.

    Attributes:
        generator: MMagic's, with the weights to sample with.
        arguments: what it was built with.
        classes: their names.
        known: (classes,) whether a class had train pictures.
        truncation: z is drawn from a normal cut to [-truncation, truncation]; None cuts nothing.
    """

    generator: Any
    arguments: dict[str, Any]
    classes: list[str]
    known: list[bool]
    truncation: float | None

    @property
    def network(self) -> nn.Module:  # type: ignore[override]
        """The generator."""
        found: nn.Module = self.generator
        return found

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> np.ndarray[Any, Any]:
        """Pictures (n, 3, h, w), float32 in [0, 1].

        Raises:
            PluginError: a label is of no class that was learned.
        """
        wrong = [label for label in labels if not (0 <= label < len(self.known) and self.known[label])]
        if wrong:
            raise PluginError(
                f"label {wrong[0]} is none of the classes that were learned",
                where=WHERE,
                hint=f"They are those of 0 to {len(self.known) - 1} that had train pictures.",
            )
        device = next(self.generator.parameters()).device
        noise = torch.stack([draw_noise(seed, self.generator.noise_size, self.truncation) for seed in seeds])
        with torch.no_grad(), evaluation(self.generator) as network:
            made = network(noise.to(device), label=torch.tensor(list(labels), device=device))
        pictures: np.ndarray[Any, Any] = ((made.float() + 1) / 2).clamp(0, 1).cpu().numpy()
        return pictures

    def save(self, folder: Path) -> None:
        about = {
            "arguments": self.arguments,
            "classes": self.classes,
            "known": self.known,
            "truncation": self.truncation,
        }
        save_weights(self.generator, folder / WEIGHTS, **about)
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        (folder / ABOUT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str) -> Network:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        with torch.random.fork_rng(devices=[]):
            generator = build_generator(about["arguments"])
        load_weights(generator, folder / WEIGHTS)
        generator.to(device).eval()
        return cls(generator, about["arguments"], about["classes"], about["known"], about["truncation"])


def draw_noise(seed: int, size: int, truncation: float | None) -> Tensor:
    """The latent vector of a picture, (size,) float32, on the CPU, by its seed alone.

    With a truncation it is normal within [-truncation, truncation], by the inverse of the distribution function:
    cutting what lies outside to the bounds would pin most coordinates there.
    """
    return truncated_normal((size,), truncation, torch.Generator().manual_seed(seed))


def truncated_normal(shape: Sequence[int], bound: float | None, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, all within [-bound, bound]; without a bound any."""
    if bound is None:
        return torch.randn(tuple(shape), generator=generator)
    inside = math.erf(bound / math.sqrt(2))  # the share of a normal distribution within the bounds
    uniform = torch.rand(tuple(shape), generator=generator, dtype=torch.float64) * 2 - 1
    return (math.sqrt(2) * torch.erfinv(uniform * inside)).clamp(-bound, bound).float()


def build(options: BigganGenerator, train: Dataset, ctx: Context) -> Network:
    """The network to start from: from scratch, from published weights, or from an earlier run's.

    Raises:
        PluginError: the weights do not fit.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    start = read_start(options, train.classes, ctx) if options.weights is not None else None
    arguments = start.arguments if start is not None else arguments_of(options, len(train.classes))
    with seeded(ctx):  # not as torch's generator happens to stand: importing MMagic draws from it
        generator = build_generator(arguments)
        if start is None:
            torch.nn.init.normal_(generator.shared_embedding.weight, std=_EMBEDDING)
            settle(generator)
    if start is not None:
        _fill(generator, start.state, options)
    known = [bool(count) for count in counts]
    if start is not None and not options.epochs:
        known = start.known
    generator.to(ctx.device).eval()
    return Network(generator, arguments, list(train.classes), known, options.truncation)


def _fill(generator: Any, state: dict[str, Tensor], options: BigganGenerator) -> None:
    own = generator.state_dict()
    for name, value in state.items():
        if name in own and own[name].shape != value.shape:
            raise PluginError(
                f"in these weights {name} has the shape {tuple(value.shape)}, in the model {tuple(own[name].shape)}",
                where=str(options.weights),
                hint="Give the base_channels, noise_size and shared_dim that they were trained with.",
            )
    generator.load_state_dict(state)
