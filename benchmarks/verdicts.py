"""How often a study's verdicts are wrong, and how often right, in simulated studies whose truth is known.

    python benchmarks/verdicts.py [--studies 1000] [--quick]

In each condition 1,000 studies are drawn: the answers of a full pipeline and of one without each step, by seed and test
picture. The rates of false verdicts are to be at most 5 %: *helpful* (or necessary) and *harmful* where there is no
effect, *equivalent* where the effect is the margin, *necessary* where it is the margin exactly. The limit that a rate
is held to counts how many rates are looked at: it is the 5 % with what chance adds to the greatest of them in 19 of 20
runs of this script. The coverage of the 95 % intervals is to be 93 % or more, and at most 97 % from 20 seeds on, less
or more what chance adds; the power what `fgic_core.metrics.power` foretells. Exits 1 where something is not so.

The last rows are a condition that t does not stand: the full pipeline's trainings do not vary at all, and those without
the step have an exponential's long tail. Of them the rates are printed and not held to anything.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import binom
from simulated_studies import BOTH, PICTURES, SEEDS, World, clusters, outcomes

from fgic_core.metrics.power import power_of_difference, power_of_equivalence
from fgic_core.metrics.two_way import Variances, two_way
from fgic_core.metrics.verdicts import Verdict, judge, level_of

MARGIN = 0.01
COUNTS = (3, 4, 5, 6, 7, 10, 20)


@dataclass(frozen=True)
class Condition:
    """Studies that are drawn alike.

    Attributes:
        world: what pipelines and pictures are like.
        shapes: how the seeds of each pipeline are spread, the full one's first.
        effects: the true ones.
        seeds: how many.
        held: whether its rates are held to the limits.
    """

    world: World
    shapes: tuple[str, ...]
    effects: tuple[float, ...]
    seeds: int
    held: bool = True

    @property
    def name(self) -> str:
        shapes = "/".join(dict.fromkeys(self.shapes))
        truth = " ".join(f"{effect * 100:+g}" for effect in self.effects)
        return f"{self.world.name}, {shapes}, effects {truth}"


class Rates(NamedTuple):
    """Of the studies of a condition.

    Attributes:
        false: shares of studies in which any comparison has such a false verdict.
        covered: the share of intervals in which the truth lies.
        verdicts: the share of comparisons with each verdict.
        variances: the mean of what was estimated.
    """

    false: dict[str, float]
    covered: float
    verdicts: Counter[str]
    variances: Variances


def conditions(quick: bool) -> list[Condition]:
    """All that are looked at."""
    found = []
    for world in (SEEDS, PICTURES, BOTH):
        for shape in ("normal", "skewed"):
            for seeds in COUNTS if not quick else (3, 7, 20):
                for effects in ((0.0,), (MARGIN,), (-MARGIN,)):
                    found.append(Condition(world, (shape,) * 2, effects, seeds))
                found.append(Condition(world, (shape,) * 4, (0.0, 0.0, 0.0), seeds))
    for seeds in COUNTS if not quick else (7,):
        found.append(Condition(replace(PICTURES, name="near-duplicates", copies=4), ("normal",) * 2, (0.0,), seeds))
        found.append(Condition(SEEDS, ("normal", "skewed"), (0.0,), seeds))
        found.append(Condition(replace(SEEDS, pictures=6000, seed_sd=0.04), ("steady", "skewed"), (0.0,), seeds, False))
    return found


def simulate(condition: Condition, studies: int, rng: np.random.Generator) -> Rates:
    """Draw the studies of a condition and judge them."""
    false: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    covered, parts = 0, np.zeros(3)
    groups = clusters(condition.world)
    for _ in range(studies):
        right = outcomes(condition.world, condition.effects, condition.shapes, condition.seeds, rng)
        names = [f"step {number}" for number in range(len(condition.effects))]
        effects = {
            name: two_way(right[0].astype(np.float32) - right[number], groups) for number, name in enumerate(names, 1)
        }
        wrong = set()
        for true, judged in zip(condition.effects, judge(effects, MARGIN).values(), strict=True):
            verdicts[judged.verdict.value] += 1
            covered += judged.effect.low <= true <= judged.effect.high
            parts += judged.effect.variances
            wrong |= _wrong(judged.verdict, true)
        false.update(wrong)
    count = studies * len(condition.effects)
    shares = Counter({name: number / count for name, number in verdicts.items()})
    return Rates(
        {name: false[name] / studies for name in _looked_at(condition.effects)},
        covered / count,
        shares,
        Variances(*(parts / count)),
    )


def _looked_at(effects: tuple[float, ...]) -> list[str]:
    """The false verdicts that are possible."""
    if effects[0] == 0:
        return ["helpful", "harmful"]
    return ["equivalent", "necessary"] if effects[0] > 0 else ["equivalent"]


def _wrong(verdict: Verdict, true: float) -> set[str]:
    if true == 0 and verdict in (Verdict.ABOVE_ZERO, Verdict.ABOVE_MARGIN):
        return {"helpful"}
    if true == 0 and verdict is Verdict.BELOW_ZERO:
        return {"harmful"}
    if abs(true) >= MARGIN and verdict is Verdict.EQUIVALENT:
        return {"equivalent"}
    if true <= MARGIN and verdict is Verdict.ABOVE_MARGIN:
        return {"necessary"}
    return set()


def power(studies: int, rng: np.random.Generator) -> tuple[list[str], int]:
    """The power under true effects beside what was foretold, and how often they are apart beyond chance.

    What is foretold goes by the variances, which are estimated from all studies of the condition.
    """
    lines, apart = [], 0
    for world, effect, several in ((SEEDS, 0.03, False), (BOTH, 0.02, False), (BOTH, 0.025, True), (BOTH, 0.0, False)):
        for seeds in (3, 5, 7, 20):
            effects = (effect, 0.0, 0.0) if several else (effect,)
            level = level_of(seeds) / len(effects)
            hits, parts, margin = 0, np.zeros(3), 0.02
            for _ in range(studies):
                right = outcomes(world, effects, ("normal",) * (len(effects) + 1), seeds, rng)
                one = two_way(right[0].astype(np.float32) - right[1])
                parts += one.variances
                hits += one.p_zero < level if effect else one.p_equivalent(margin) < level
            variances = Variances(*(parts / studies))
            if effect:
                foretold = power_of_difference(effect, variances, seeds, world.pictures, level)
            else:
                foretold = power_of_equivalence(0.0, margin, variances, seeds, world.pictures, level)
            seen = hits / studies
            error = 3.3 * np.sqrt(max(foretold * (1 - foretold), 0.01) / studies) + 0.02
            apart += abs(seen - foretold) > error
            what = f"effect {effect * 100:g}" if effect else f"equivalent within {margin * 100:g}"
            lines.append(
                f"{world.name}, {what}, {len(effects)} comparison(s), {seeds} seeds: foretold {foretold:.1%}, "
                f"seen {seen:.1%}{'  APART' if abs(seen - foretold) > error else ''}"
            )
    return lines, apart


def main() -> int:
    """Print every rate; 1 where one is over its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="a few of the conditions")
    given = parser.parse_args()
    judge({"imports": two_way(np.eye(3))}, MARGIN)
    gc.freeze()  # statsmodels collects garbage at every correction: 0.1 s of what the imports left behind
    began, rng = time.monotonic(), np.random.default_rng(0)
    all_of_them = conditions(given.quick)
    looked_at = sum(len(_looked_at(one.effects)) for one in all_of_them if one.held)
    limit = float(binom.ppf(0.95 ** (1 / looked_at), given.studies, 0.05)) / given.studies
    print(f"{looked_at} rates of false verdicts: the limit of 5 % is {limit:.1%} of {given.studies} studies")
    bad = 0
    worst: Counter[str] = Counter()
    for condition in all_of_them:
        rates = simulate(condition, given.studies, rng)
        slack = 3.3 * np.sqrt(0.05 * 0.95 / given.studies)
        over = [name for name, rate in rates.false.items() if rate > limit]
        astray = rates.covered < 0.93 - slack or (condition.seeds >= 20 and rates.covered > 0.97 + slack)
        for name, rate in rates.false.items():
            if condition.held:
                worst[name] = max(worst[name], rate)
        bad += condition.held * (len(over) + astray)
        said = ", ".join(f"false {name} {rate:.1%}" for name, rate in rates.false.items())
        mark = ("" if condition.held else "  (not held)") + "  OVER" * bool(over) + "  COVERAGE" * bool(astray)
        print(f"{condition.name}, {condition.seeds} seeds: {said}, covered {rates.covered:.1%}{mark}", flush=True)
    print("\nPower, with the level of one comparison under Holm's correction at its hardest:")
    lines, apart = power(given.studies, rng)
    print("\n".join(lines))
    said = ", ".join(f"{name} {rate:.1%}" for name, rate in worst.items())
    print(f"\nworst false rates: {said} (limit {limit:.1%}); {bad + apart} failures; {time.monotonic() - began:.0f} s")
    return 1 if bad + apart else 0


if __name__ == "__main__":
    sys.exit(main())
