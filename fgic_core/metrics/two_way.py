"""An effect measured over seeds and pictures, and its uncertainty from both.

Pictures and seeds are two sources of variance, crossed: every seed's model answers the same test pictures. A spread
over seeds alone takes the test pictures for all there are; an interval over pictures alone takes one training for all
there could be. The variance here is that of two crossed random factors (Owen, "The pigeonhole bootstrap", Annals of
Applied Statistics 2007; in econometrics two-way clustering: Cameron, Gelbach and Miller, JBES 2011).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

#: Up to so many seeds the sign-flip test goes through all patterns of signs; beyond, through a sample of them.
_ALL_SIGNS = 16
_SAMPLED_SIGNS = 9_999


class Variances(NamedTuple):
    """Where the variance of a difference comes from: that of one seed's answer to one picture, in three parts.

    Attributes:
        seeds: of the seeds' means, were there endless pictures.
        pictures: of the pictures' means, were there endless seeds.
        both: the rest: what one seed's answer to one picture adds by itself.
    """

    seeds: float
    pictures: float
    both: float

    def of_mean(self, seeds: int, pictures: int) -> float:
        """The variance of the mean over so many seeds and so many pictures."""
        return self.seeds / seeds + self.pictures / pictures + self.both / (seeds * pictures)


class Effect(NamedTuple):
    """A mean difference with its uncertainty.

    Attributes:
        value: the mean over seeds and pictures.
        low, high: its 95 % interval, by t.
        error: the standard error; 0 where nothing varies.
        df: the degrees of freedom: one less than the seeds (or than the clusters of pictures, if they are fewer).
        seeds: how many; clusters: of pictures, how many; 0 where the quantity is one number a run.
        by_seed: (seeds,) the mean difference of each seed.
        variances: the parts, as far as they are told apart; negative estimates are 0.
    """

    value: float
    low: float
    high: float
    error: float
    df: int
    seeds: int
    clusters: int
    by_seed: tuple[float, ...]
    variances: Variances

    def p_above(self, bound: float) -> float:
        """The p of the true effect being ``bound`` or less, one-sided."""
        return _tail((self.value - bound), self.error, self.df)

    def p_below(self, bound: float) -> float:
        """The p of the true effect being ``bound`` or more, one-sided."""
        return _tail((bound - self.value), self.error, self.df)

    @property
    def p_zero(self) -> float:
        """The p of no effect, two-sided."""
        return float(np.minimum(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0))))

    def p_equivalent(self, margin: float) -> float:
        """The p of an effect of ``margin`` or more either way: two one-sided tests (TOST; Schuirmann 1987)."""
        return max(self.p_above(-margin), self.p_below(margin))


def two_way(differences: Array, clusters: Array | None = None) -> Effect:
    """The mean of differences over seeds and pictures.

    Args:
        differences: (seeds, pictures) what the compared pipelines differ by, of each seed and test picture; or (seeds,)
            of a quantity that is one number a run, whose uncertainty then is that over seeds alone.
        clusters: (pictures,) equal for pictures that are not independent of one another, such as near-duplicates or
            crops of one picture; by default each is one of its own.

    Returns:
        the mean and its interval; that is NaN, as every p, where there are fewer than two seeds or two clusters.

    Raises:
        ValueError: there is no number, or one that is not finite; the clusters are not one for each picture.
    """
    table = np.asarray(differences, dtype=np.float64)
    alone = table.ndim == 1
    table = table[:, None] if alone else table
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"differences should be finite numbers by seed and picture, not of shape {table.shape}")
    if clusters is not None and np.shape(clusters) != (table.shape[1],):
        raise ValueError(f"{np.shape(clusters)} clusters are given for {table.shape[1]} pictures")
    mean, by_seed = float(table.mean()), table.mean(axis=1)
    deviations = _by_cluster(table - mean, clusters)
    seeds, groups = deviations.shape
    if seeds < 2 or (groups < 2 and not alone):
        none = Variances(math.nan, math.nan, math.nan)
        return Effect(mean, math.nan, math.nan, math.nan, 0, seeds, 0 if alone else groups, _numbers(by_seed), none)
    parts = _parts(deviations, alone)
    error = math.sqrt(parts.of_mean(seeds, groups))
    df = seeds - 1 if alone else min(seeds, groups) - 1
    half = _quantile(0.975, df) * error
    count = 0 if alone else groups
    return Effect(mean, mean - half, mean + half, error, df, seeds, count, _numbers(by_seed), parts)


def unvaried(effect: Effect) -> Effect:
    """The effect on shares; where nothing varied, with the interval that its number of pictures allows.

    Of n independent pictures of which none differs otherwise than the rest, a share of up to ``1 - 0.025 ** (1 / n)``
    may (Clopper and Pearson 1934): an interval of no width would say that there is none.
    """
    if effect.error != 0.0 or not effect.clusters:
        return effect
    half = 1 - 0.025 ** (1 / effect.clusters)
    return effect._replace(low=effect.value - half, high=effect.value + half)


def sign_flip(by_seed: Array | tuple[float, ...]) -> float:
    """The p of the exact sign-flip test that seeds' differences are spread evenly around 0, two-sided.

    It assumes no shape but symmetry, and has a floor: of n seeds none is below `sign_flip_floor`. Beyond 16 seeds the
    signs are sampled, always the same ones.

    Args:
        by_seed: (seeds,) mean differences.
    """
    from scipy.stats import permutation_test

    values = np.asarray(by_seed, dtype=np.float64)
    if not values.any():
        return 1.0
    every = len(values) <= _ALL_SIGNS
    found = permutation_test(
        (values,),
        lambda signed, axis: signed.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if every else _SAMPLED_SIGNS,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    return float(min(1.0, found.pvalue))


def sign_flip_floor(seeds: int) -> float:
    """The smallest p that the two-sided sign-flip test can give with so many seeds."""
    return min(1.0, float(2.0 ** (1 - seeds)))


def _by_cluster(deviations: Array, clusters: Array | None) -> Array:
    """(seeds, clusters) what each cluster adds to the mean's deviation, scaled to stand for one picture."""
    if clusters is None:
        return deviations
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    groups = int(group.max()) + 1
    sums = np.stack([np.bincount(group, row, groups) for row in deviations])
    return np.asarray(sums * (groups / deviations.shape[1]))


def _parts(deviations: Array, alone: bool) -> Variances:
    """The variances of seeds, clusters and the rest, by the mean squares of a two-way layout without replicates."""
    seeds, groups = deviations.shape
    of_seeds, of_groups = deviations.mean(axis=1), deviations.mean(axis=0)
    if alone:
        return Variances(float(of_seeds.var(ddof=1)), 0.0, 0.0)
    rest = deviations - of_seeds[:, None] - of_groups[None, :] + deviations.mean()
    both = float((rest**2).sum()) / ((seeds - 1) * (groups - 1))
    return Variances(
        max(0.0, float(of_seeds.var(ddof=1)) - both / groups),
        max(0.0, float(of_groups.var(ddof=1)) - both / seeds),
        both,
    )


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _tail(distance: float, error: float, df: int) -> float:
    """The probability that t is as far above 0 as ``distance`` is, in standard errors."""
    from scipy.stats import t

    if df < 1:
        return math.nan
    if error == 0.0:  # nothing varies: what is there is all there is
        return 0.0 if distance > 0 else 1.0
    return float(t.sf(distance / error, df))


@lru_cache(maxsize=256)
def _quantile(share: float, df: int) -> float:
    from scipy.stats import t

    return float(t.ppf(share, df))
