"""Studies whose true effects are known: right and wrong answers of pipelines by seed and test picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class World:
    """What pipelines and pictures are like.

    Attributes:
        name: for people.
        pictures: in test.
        seed_sd: the standard deviation of a pipeline's accuracy over seeds.
        own: the share of a picture's difficulty that is one pipeline's alone, at every seed: what makes pipelines
            differ by pictures.
        shared: the share that all pipelines and seeds have in common.
        accuracy: of the baseline.
        copies: how many near-duplicates of each test picture there are, itself counted.
    """

    name: str
    pictures: int
    seed_sd: float
    own: float
    shared: float = 0.5
    accuracy: float = 0.8
    copies: int = 1


SEEDS = World("seed-dominated", pictures=2000, seed_sd=0.02, own=0.02)
PICTURES = World("picture-dominated", pictures=400, seed_sd=0.002, own=0.15)
BOTH = World("both", pictures=1000, seed_sd=0.008, own=0.06)


def deviations(shape: str, sd: float, count: int, rng: np.random.Generator) -> Array:
    """What seeds add to a pipeline's accuracy: 0 on average.

    Args:
        shape: ``normal``; ``skewed``, an exponential's with the long tail towards bad trainings; ``steady``, nothing.
        sd: the standard deviation; count: of seeds; rng: draws.
    """
    if shape == "steady":
        return np.zeros(count)
    if shape == "skewed":
        return sd * (1 - rng.standard_exponential(count))
    return sd * rng.standard_normal(count)


def outcomes(
    world: World, effects: Sequence[float], shapes: Sequence[str], seeds: int, rng: np.random.Generator
) -> Array:
    """(1 + effects, seeds, pictures) whether each pipeline is right: first the full one, then one without each step.

    A picture is answered right where a standard normal number, part of it the picture's, part the picture's for that
    pipeline, the rest drawn anew, lies below the quantile of that seed's accuracy: every pipeline's accuracy is exactly
    what it is said to be, whatever the parts are.

    Args:
        world: what it is like.
        effects: what each step truly adds to the accuracy.
        shapes: how the seeds of each pipeline are spread, the full one's first; see `deviations`.
        seeds: how many; rng: draws.
    """
    from scipy.special import ndtri

    distinct = world.pictures // world.copies
    shared = np.sqrt(world.shared) * rng.standard_normal(distinct)
    answers = []
    for effect, shape in zip((0.0, *effects), shapes, strict=True):
        accuracy = world.accuracy - effect + deviations(shape, world.seed_sd, seeds, rng)
        own = np.sqrt(world.own) * rng.standard_normal(distinct)
        rest = np.sqrt(1 - world.own - world.shared) * rng.standard_normal((seeds, distinct), dtype=np.float32)
        right = shared + own + rest < ndtri(np.clip(accuracy, 1e-9, 1 - 1e-9))[:, None]
        answers.append(np.repeat(right, world.copies, axis=1))
    return np.stack(answers)


def clusters(world: World) -> Array | None:
    """(pictures,) which pictures are near-duplicates of one another."""
    if world.copies == 1:
        return None
    return np.repeat(np.arange(world.pictures // world.copies), world.copies)
