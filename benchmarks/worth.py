"""How often the interval of a synthetic picture's worth covers the true one, in simulated studies.

    python benchmarks/worth.py [--studies 1000] [--quick]

In each condition 1,000 studies are drawn: the answers of arms with 40, 80, 160 and 320 real pictures alone, and of one
with 80 real and 60 synthetic ones whose accuracy is that of a known number of real pictures. Coverage of the 95 %
interval is to be 93 % or more, less what chance takes; how often it is open, at which end, and how wide it is where it
is not, stand beside. Exits 1 where something is not so.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace

import numpy as np
from simulated_studies import BOTH, PICTURES, SEEDS, World, clusters, outcomes

from fgic_core.metrics.worth import rate, reached

SIZES = (40, 80, 160, 320)
#: A curve that rises all the way, one that flattens, and one that hardly rises.
CURVES = {"steep": (0.60, 0.70, 0.78, 0.84), "flattening": (0.70, 0.78, 0.80, 0.805), "flat": (0.78, 0.785, 0.79, 0.79)}
REAL, SYNTHETIC = 80, 60
#: How many real pictures do as well: from less than the target has to the end of the curve.
TRUE = (50, 80, 110, 160, 300)


def simulate(
    world: World, means: tuple[float, ...], true: float, shape: str, seeds: int, studies: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Shares of studies that cover the true worth, that are open below and above; the median width of the others."""
    accuracy = float(np.interp(math.log(true), np.log(SIZES), means))
    like = replace(world, accuracy=accuracy)
    worth, groups = (true - REAL) / SYNTHETIC, clusters(world)
    covered, below, above, widths = 0, 0, 0, []
    for _ in range(studies):
        effects = [accuracy - mean for mean in means]
        target, *curve = outcomes(like, effects, [shape] * (1 + len(means)), seeds, rng)
        found = rate(reached(target, curve, SIZES, groups), REAL, SYNTHETIC)
        covered += found.low <= worth <= found.high
        below, above = below + math.isinf(found.low), above + math.isinf(found.high)
        if math.isfinite(found.high - found.low):
            widths.append(found.high - found.low)
    return covered / studies, below / studies, above / studies, float(np.median(widths)) if widths else math.nan


def main() -> int:
    """Print every coverage; 1 where one is too low."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="a few of the conditions")
    given = parser.parse_args()
    began, rng, bad, least = time.monotonic(), np.random.default_rng(0), 0, 1.0
    slack = 3.3 * math.sqrt(0.05 * 0.95 / given.studies)
    worlds = (replace(SEEDS, pictures=500), PICTURES, BOTH, replace(PICTURES, name="near-duplicates", copies=4))
    for world in worlds if not given.quick else worlds[:2]:
        for name, means in CURVES.items():
            for shape in ("normal", "skewed") if not given.quick else ("normal",):
                for seeds in (3, 5, 7, 20) if not given.quick else (3, 7):
                    for true in TRUE if not given.quick else (80, 110):
                        covered, *rest = simulate(world, means, true, shape, seeds, given.studies, rng)
                        low = covered < 0.93 - slack
                        bad, least = bad + low, min(least, covered)
                        print(
                            f"{world.name}, {name} curve, {shape}, {seeds} seeds, worth "
                            f"{(true - REAL) / SYNTHETIC:+.2f}: covered {covered:.1%}, open below {rest[0]:.0%}, above "
                            f"{rest[1]:.0%}, width {rest[2]:.2f}{'  LOW' * low}",
                            flush=True,
                        )
    took = time.monotonic() - began
    print(f"\nleast coverage {least:.1%} of {given.studies} studies each; {bad} failures; {took:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
