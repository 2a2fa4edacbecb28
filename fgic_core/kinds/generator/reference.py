"""The real pictures that a generator's are compared with: their features, their hashes, what is usual among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.kinds.dataset.near_duplicates import NEAR, perceptual_hash
from fgic_core.metrics.distances import Moments, nearest

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.generator.contract import Generator
    from fgic_core.kinds.generator.features import Extractor
    from fgic_core.steps.context import StepContext

#: Of more real pictures than that, so many are looked at: what bounds memory.
MOST = 50_000
BATCH_SIZE = 32
#: How many bits are set in each 16-bit number.
_BITS = np.array([bin(number).count("1") for number in range(1 << 16)], dtype=np.uint8)
#: Made pictures whose hashes are compared with all real ones at once.
_HASHES = 256

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


def shares(counts: Numbers, total: int) -> Numbers:
    """``total`` cut in proportion to the counts, by largest remainders."""
    exact = counts * (total / counts.sum())
    found: Numbers = np.floor(exact).astype(np.int64)
    order = np.argsort(found - exact, kind="stable")
    found[order[: total - int(found.sum())]] += 1
    return found


def pick_like(labels: Numbers, counts: Numbers, total: int, rng: np.random.Generator) -> Numbers:
    """Positions of up to ``total`` samples, classes as frequent as the counts say, in ascending order.

    Where a class has fewer than its share, all are taken in proportion to what that class allows.
    """
    there = np.bincount(labels, minlength=len(counts))
    asked = (counts > 0) & (there > 0)
    if not asked.any():
        return np.zeros(0, dtype=np.int64)
    most = float((there[asked] / (counts[asked] / counts.sum())).min())
    wanted = np.minimum(shares(counts, min(total, int(most))), there)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(wanted)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


@dataclass
class Reference:
    """Real pictures, resized as the generator learned from them.

    Attributes:
        ids, labels: (n,) of the samples.
        features: (n, d), None without an extractor.
        hashes: (n,) perceptual hashes; hashed: (n,) whether the picture has one (flat ones have none).
    """

    ids: list[str]
    labels: Numbers
    features: Floats | None
    hashes: np.ndarray[Any, np.dtype[np.uint64]]
    hashed: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def of(
        cls,
        data: Dataset,
        counts: Numbers,
        component: Generator,
        extractor: Extractor | None,
        ctx: StepContext,
        most: int = MOST,
    ) -> Reference:
        """Look at the pictures of a data set, or at ``most`` of them, classes as the counts say."""
        if len(data) > most:
            ctx.warn(
                f"Of {len(data):,} real pictures {most:,} are compared with: copies and memories of the others are not "
                "seen."
            )
            data = data.take(pick_like(data.labels, counts, most, ctx.rng("reference")))
        features, hashes = [], []
        with ctx.progress("looking at real pictures", len(data)) as progress:
            for batch in _prepared(data, component):
                hashes += [hash_of(pixels) for pixels in batch]
                if extractor is not None:
                    features.append(extractor(batch))
                progress.advance(len(batch))
        return cls(
            data.ids,
            data.labels,
            np.concatenate(features) if features else None,
            np.array([one or 0 for one in hashes], dtype=np.uint64),
            np.array([one is not None for one in hashes], dtype=bool),
        )

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the features."""
        made = Moments()
        assert self.features is not None
        made.add(self.features)
        return made

    @property
    def distinct(self) -> float:
        """The share of different rows among the features of pictures that have different hashes; 1 is all."""
        assert self.features is not None
        _, first = np.unique(self.hashes, return_index=True)
        if len(first) < 2:
            return 1.0
        return len(np.unique(self.features[first], axis=0)) / len(first)

    @cached_property
    def units(self) -> dict[int, float]:
        """For each class the median distance of its pictures from the nearest other one of the class.

        A class of one picture, or of copies, has the median of the others'; where all are such, of all pictures.
        """
        assert self.features is not None
        found: dict[int, float] = {}
        for label in np.unique(self.labels):
            own = self.features[self.labels == label]
            if len(own) > 1:
                found[int(label)] = float(np.median(nearest(own, own, same=True)[0]))
        known = [unit for unit in found.values() if unit > 0]
        if not known and len(self.features) > 1:
            known = [float(np.median(nearest(self.features, self.features, same=True)[0]))]
        usual = (float(np.median(known)) if known else 0.0) or 1.0
        return {int(label): found.get(int(label)) or usual for label in np.unique(self.labels)}

    def distances(self, features: Floats, labels: Numbers) -> Floats:
        """How far each picture is from the nearest real one of its class, in that class's `units`."""
        assert self.features is not None
        found = np.full(len(features), np.inf, dtype=np.float32)
        for label in np.unique(labels):
            own = self.features[self.labels == label]
            rows = labels == label
            if len(own):
                found[rows] = nearest(features[rows], own)[0] / self.units[int(label)]
        return found

    def copied(self, hashes: list[int | None]) -> Numbers:
        """The position of a real picture that looks the same as each picture, by its hash; -1 where none does."""
        found = np.full(len(hashes), -1, dtype=np.int64)
        known = np.flatnonzero(self.hashed)
        rows = np.array([row for row, one in enumerate(hashes) if one is not None], dtype=np.int64)
        if not len(known) or not len(rows):
            return found
        real = self.hashes[known]
        for start in range(0, len(rows), _HASHES):
            some = rows[start : start + _HASHES]
            made = np.array([hashes[row] for row in some], dtype=np.uint64)
            different = (made[:, None] ^ real[None, :]).view(np.uint16).reshape(len(some), len(real), 4)
            bits = _BITS[different].sum(axis=2, dtype=np.int64)
            best = bits.argmin(axis=1)
            near = bits[np.arange(len(some)), best] <= NEAR
            found[some[near]] = known[best[near]]
        return found


def hash_of(pixels: Pixels) -> int | None:
    """The perceptual hash of an (h, w, 3) picture; None of a flat one."""
    from PIL import Image

    return perceptual_hash(Image.fromarray(pixels))


def _prepared(data: Dataset, component: Generator) -> Iterator[Pixels]:
    """The pictures in 8-bit RGB, (n, resolution, resolution, 3), in batches."""
    for start in range(0, len(data), BATCH_SIZE):
        rows = range(start, min(start + BATCH_SIZE, len(data)))
        yield np.stack([to_pixels(component.prepare(data.crop(row)).numpy()) for row in rows])


def to_pixels(pictures: np.ndarray[Any, Any]) -> Pixels:
    """Floats (…, 3, h, w) in [0, 1] as 8-bit (…, h, w, 3)."""
    levels = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(levels, -3, -1))
