"""How good made pictures are: against real ones in the features of one named network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fgic_core.errors import PluginError
from fgic_core.kinds.generator.reference import Floats, Numbers, Pixels, Reference, pick_like, shares, to_pixels
from fgic_core.metrics.distances import (
    Doubles,
    KernelDistance,
    Moments,
    diversity,
    frechet_distance,
    kernel_distance,
    label_agreement,
    nearest,
    precision_recall,
)
from fgic_core.metrics.statistics import proportion

if TYPE_CHECKING:
    from fgic_core.kinds.generator.contract import FittedGenerator, Generator
    from fgic_core.kinds.generator.features import Extractor
    from fgic_core.steps.context import StepContext

BATCH_SIZE = 32
#: Neighbours that vote on a picture's class, and those that precision and recall look at (Kynkäänniemi et al. 2019).
VOTES, NEIGHBOURS = 5, 3
#: Of unseen real pictures, the share that counts as suspiciously near to a train picture; and how many it takes.
NEAREST_SHARE, MEMORY_TEST = 0.01, 20
#: A share of memories, and a diversity and an agreement compared with real pictures, that are worth a warning.
MANY_MEMORIES, LITTLE_DIVERSITY, LITTLE_AGREEMENT = 0.05, 0.5, 0.5
#: Below this FID is mostly bias (Chong and Forsyth 2020).
MANY = 10_000


def sampled(fitted: FittedGenerator, labels: list[int], seeds: list[int], side: int, uses: str) -> Pixels:
    """The pictures of some labels and seeds, 8-bit (n, side, side, 3).

    Raises:
        PluginError: the generator breaks its contract.
    """
    given = fitted.sample(labels, seeds)
    found = np.asarray(given)
    hint = f"For {len(labels)} labels it is float32 ({len(labels)}, 3, {side}, {side}) in [0, 1]."
    if found.shape != (len(labels), 3, side, side) or not np.issubdtype(found.dtype, np.floating):
        what = f"{found.dtype} of shape {found.shape}" if found.ndim else f"a {type(given).__name__}"
        raise PluginError(f"sample gave {what}", where=uses, hint=hint)
    if not np.isfinite(found).all():
        raise PluginError("sample gave pixels that are not finite", where=uses, hint="Did the training diverge?")
    if found.min() < -1e-6 or found.max() > 1 + 1e-6:
        raise PluginError(f"sample gave pixels from {found.min():.3g} to {found.max():.3g}", where=uses, hint=hint)
    return to_pixels(found)


def fid(features: Floats, reference: Reference) -> float:
    """The Fréchet distance of made pictures' features from those of the real ones."""
    moments = Moments()
    moments.add(features)
    return frechet_distance(moments, reference.moments)


def kid(features: Floats, reference: Reference, *, with_error: bool = True) -> KernelDistance:
    """The kernel distance of made pictures' features from those of the real ones."""
    assert reference.features is not None
    return kernel_distance(features, reference.features, with_error=with_error)


def _ratio(one: Doubles, other: Doubles) -> Doubles:
    """``one / other``; 1 where both are 0."""
    return np.asarray(np.divide(one, other, out=np.where(one > 0, np.inf, 1.0), where=other > 0), dtype=np.float64)


@dataclass
class Measured:
    """Made pictures that are measured.

    Attributes:
        labels: of each picture; features: (d,) of each.
    """

    labels: list[int] = field(default_factory=list)
    features: list[Floats] = field(default_factory=list)


class Ruler:
    """Measures a generator.

    Args:
        component: its options.
        reference: the real train pictures.
        extractor: None measures nothing.
        counts: (classes,) real train pictures of each.
        ctx: of the step.
    """

    def __init__(
        self, component: Generator, reference: Reference, extractor: Extractor | None, counts: Numbers, ctx: StepContext
    ) -> None:
        self.component, self.reference, self.extractor, self.ctx = component, reference, extractor, ctx
        self.counts = counts

    def wanted(self) -> Numbers:
        """How many pictures of each class are to be measured at the end."""
        if self.extractor is None:
            return np.zeros_like(self.counts)
        return shares(self.counts, self.component.fid_samples)

    def _record_kid(self, name: str, features: Floats, note: str) -> None:
        """KID with its interval."""
        value, error = kid(features, self.reference)
        low, high = (None, None) if error is None else (value - 1.96 * error, value + 1.96 * error)
        about = "interval by the jackknife over pictures" if error is not None else "too few pictures for an interval"
        self.ctx.metric(name, value, n=len(features), low=low, high=high, note=f"{note}; {about}")

    def finish(self, made: Measured, held_out: Reference | None, filtered: bool) -> None:
        """Record what the pictures are worth.

        Args:
            made: pictures with classes as in train.
            held_out: real pictures that nothing was learned from; None where there are none.
            filtered: the pictures have been through filters.
        """
        if self.component.fid_samples == 0:
            self._absent("fid_samples is 0")
        elif self.extractor is None:
            self._absent("no weights of fid_model are given: set fid_weights or fid_pretrained")
        elif len(made.labels) < 2:
            self._absent("fewer than two pictures could be measured")
        else:
            features, labels = np.stack(made.features), np.array(made.labels)
            self._distribution(features, labels, held_out, filtered)
            self._memories(features, held_out)
            self._labels(features, labels, held_out)
            self._diversity(features, labels)

    def _absent(self, why: str) -> None:
        for name in ("FID", "KID"):
            self.ctx.metric(name, None, note=why)

    def _distribution(self, features: Floats, labels: Numbers, held_out: Reference | None, filtered: bool) -> None:
        """FID and KID, between those of unseen real pictures and of noise; precision and recall."""
        assert self.extractor is not None
        assert self.reference.features is not None
        real, name = self.reference.features, self.extractor.name
        about = f"{name}; against {len(real):,} real train pictures"
        about += "; pictures that the filters let through" if filtered else ""
        biased = f"; biased upwards below {MANY:,} pictures: compare at equal n alone" if len(features) < MANY else ""
        self.ctx.metric("FID", fid(features, self.reference), n=len(features), note=about + biased)
        self._record_kid("KID", features, "pictures and network as for FID; unbiased")
        if held_out is not None and held_out.features is not None and len(held_out.features) > 1:
            note = "the same for real pictures that nothing was learned from: about the best that can be had at this n"
            some = held_out.features
            fewer = len(some) < len(features)
            few = features[self._few(labels, len(some))]
            more = f"; that of {len(some):,} made pictures: {fid(few, self.reference):.4g}"
            self.ctx.metric("FID_real", fid(some, self.reference), n=len(some), note=note + (more if fewer else ""))
            self._record_kid("KID_real", some, note)
        note = "the same for pictures of uniform noise"
        self.ctx.metric("FID_noise", fid(self._noise(len(features)), self.reference), n=len(features), note=note)
        few = real[pick_like(self.reference.labels, self.counts, len(features), self.ctx.rng("manifold"))]
        if len(few) > NEIGHBOURS < len(features):
            precision, recall = precision_recall(features, few, NEIGHBOURS)
            note = f"share of the pictures within the real ones' {NEIGHBOURS} nearest neighbours (Kynkäänniemi et al.)"
            self.ctx.metric("precision", precision, n=len(features), note=note)
            note = f"share of {len(few):,} real pictures within the made ones' {NEIGHBOURS} nearest neighbours"
            self.ctx.metric("recall", recall, n=len(few), note=note)
        else:
            for name in ("precision", "recall"):
                note = f"takes more than {NEIGHBOURS} pictures of each kind"
                self.ctx.metric(name, None, note=note)

    def _few(self, labels: Numbers, count: int) -> Numbers:
        """So many of the made pictures, classes as in train."""
        return pick_like(labels, self.counts, count, self.ctx.rng("few"))

    def _noise(self, count: int) -> Floats:
        assert self.extractor is not None
        side = self.component.resolution
        rng = self.ctx.rng("noise")
        some = range(0, count, BATCH_SIZE)
        made = [rng.integers(0, 256, (min(BATCH_SIZE, count - i), side, side, 3), dtype=np.uint8) for i in some]
        return np.concatenate([self.extractor(one) for one in made])

    def _memories(self, features: Floats, held_out: Reference | None) -> None:
        """How many pictures are nearer to a train picture, compared with an unseen one, than chance explains.

        What is chance, unseen pictures say: they are near to train pictures and to one another. A blurred picture is
        near to all, a memory to one of train (Meehan, Chaudhuri and Dasgupta, AISTATS 2020, compare the same two).
        """
        assert self.reference.features is not None
        unseen, same = self._unseen(held_out)
        if len(unseen) < MEMORY_TEST:
            note = f"needs {MEMORY_TEST} real pictures that nothing was learned from, in test or validation"
            self.ctx.metric("memorised", None, note=note)
            return
        train = self.reference.features
        usual = _ratio(nearest(unseen, train)[0], nearest(unseen, unseen, same=True)[0])
        found = _ratio(nearest(features, train)[0], nearest(features, unseen)[0])
        bound = float(np.quantile(usual, NEAREST_SHARE))
        share = proportion(int((found < bound).sum()), len(features))
        note = f"nearer to train, compared with the nearest unseen picture, than {1 - NEAREST_SHARE:.0%} of unseen ones"
        note += f"; without {same:,} unseen pictures that lie in train" if same else ""
        self.ctx.metric("memorised", note=note, **share._asdict())
        if share.low > MANY_MEMORIES:
            many = f"{share.value:.0%} of the made pictures ({share.low:.0%} to {share.high:.0%})"
            self.ctx.warn(
                f"{many} are far nearer to a train picture than to any unseen one, and {NEAREST_SHARE:.0%} of unseen "
                "pictures are: they show train pictures rather than new ones."
            )

    def _unseen(self, held_out: Reference | None) -> tuple[Floats, int]:
        """Features of the held-out pictures that are not among the train pictures; how many are."""
        assert self.reference.features is not None
        if held_out is None or held_out.features is None or not len(held_out.features):
            return self.reference.features[:0], 0
        hashes = [int(one) if there else None for one, there in zip(held_out.hashes, held_out.hashed, strict=True)]
        copies = self.reference.copied(hashes) >= 0
        copies |= nearest(held_out.features, self.reference.features)[0] == 0
        return held_out.features[~copies], int(copies.sum())

    def _labels(self, features: Floats, labels: Numbers, held_out: Reference | None) -> None:
        """How many pictures have the class that their nearest real pictures have."""
        assert self.reference.features is not None
        known = self.reference.features, self.reference.labels
        found = label_agreement(features, labels, *known, k=VOTES)
        share = proportion(int(found.sum()), len(found))
        note = f"made pictures whose class is the most frequent among their {VOTES} nearest real train pictures"
        self.ctx.metric("class_agreement", note=note, **share._asdict())
        if held_out is None or held_out.features is None or not len(held_out.features):
            return
        found = label_agreement(held_out.features, held_out.labels, *known, k=VOTES)
        usual = proportion(int(found.sum()), len(found))
        note = "the same for real pictures that nothing was learned from"
        self.ctx.metric("class_agreement_real", note=note, **usual._asdict())
        if share.high < LITTLE_AGREEMENT * usual.low:
            self.ctx.warn(
                f"The class of {share.value:.0%} of the made pictures is that of the real pictures they look like; of "
                f"real pictures it is {usual.value:.0%}. Their labels are not to be trusted."
            )

    def _diversity(self, features: Floats, labels: Numbers) -> None:
        """How far the pictures of a class are from one another, compared with real ones."""
        assert self.reference.features is not None
        usual = diversity(self.reference.features, self.reference.labels)
        found = diversity(features, labels)
        if not (usual > 0 and np.isfinite(found)):
            note = "takes two different pictures of a class, made and real"
            self.ctx.metric("diversity", None, note=note)
            return
        note = "mean distance between two made pictures of a class, as a share of that between two real ones"
        self.ctx.metric("diversity", found / usual, n=len(features), note=note)
        if found / usual < LITTLE_DIVERSITY:
            self.ctx.warn(
                f"Two made pictures of a class are on average {found / usual:.0%} as far from each other as two real "
                "ones: the generator makes few different pictures (mode collapse)."
            )
