"""A generator in training: a grid of its pictures, and how far they are from real ones, at epoch after epoch."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fgic_core.errors import PluginError
from fgic_core.kinds.generator.contract import FittedGenerator
from fgic_core.kinds.generator.files import CLASSES, Grids
from fgic_core.kinds.generator.reference import Pixels, Reference, shares
from fgic_core.kinds.generator.ruler import BATCH_SIZE, fid, kid, sampled

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.kinds.generator.contract import Generator
    from fgic_core.kinds.generator.features import Extractor
    from fgic_core.steps.context import Scores, StepContext

#: With less than that share of different features among different pictures, an extractor is blind.
SIGHT = 0.9


class Curve:
    """Measures a generator in training.

    Args:
        component: its options; those for use only are not looked at.
        data: the real pictures that it learns from.
        extractor: None measures nothing and keeps grids alone.
        ctx: of the step.
    """

    def __init__(self, component: Generator, data: Dataset, extractor: Extractor | None, ctx: StepContext) -> None:
        self.component, self.data, self.extractor, self.ctx = component, data, extractor, ctx
        self.counts = np.bincount(data.labels, minlength=len(data.classes))
        there = np.flatnonzero(self.counts)
        evenly = np.linspace(0, len(there) - 1, min(len(there), CLASSES)).round().astype(int)
        self.grids = Grids(ctx.scratch, [int(label) for label in there[evenly]], component.curve_every)

    def measure(self, fitted: FittedGenerator, epoch: int) -> Scores:
        """FID and KID of some pictures of a generator in training, the same labels and seeds at every epoch."""
        if not isinstance(fitted, FittedGenerator):
            what = f"evaluate was given a {type(fitted).__name__}, not a FittedGenerator"
            raise PluginError(what, where=self.ctx.uses)
        if epoch % self.component.curve_every and epoch != self.ctx.last_epoch:
            return {}
        slots = self.grids.slots
        self.grids.add(epoch, self._pictures(fitted, slots, "grid", f"epoch {epoch}: grid"))
        total = self.component.curve_samples
        if self.extractor is None or total < 2:
            return {}
        reference = self._reference
        labels = np.repeat(np.arange(len(self.counts)), shares(self.counts, total)).tolist()
        features = self.extractor(self._pictures(fitted, labels, "curve", f"epoch {epoch}: sampling"))
        return {"": {"FID": fid(features, reference), "KID": kid(features, reference, with_error=False).value}}

    @cached_property
    def _reference(self) -> Reference:
        """The real pictures, which are looked at before the first epoch, or not at all."""
        found = Reference.of(self.data, self.counts, self.component, self.extractor, self.ctx)
        check_sight(self.component, found)
        return found

    def _pictures(self, fitted: FittedGenerator, labels: list[int], name: str, description: str) -> Pixels:
        made, side = [], self.component.resolution
        with self.ctx.progress(description, len(labels)) as progress:
            for start in range(0, len(labels), BATCH_SIZE):
                some = labels[start : start + BATCH_SIZE]
                seeds = [int(self.ctx.rng(name, start + row).integers(2**63 - 1)) for row in range(len(some))]
                made.append(sampled(fitted, some, seeds, side, self.ctx.uses))
                progress.advance(len(some))
        return np.concatenate(made)


def check_sight(component: Generator, reference: Reference) -> None:
    """That the extractor tells real pictures apart; else every figure would be good.

    Raises:
        PluginError: it does not.
    """
    if reference.features is None or reference.distinct >= SIGHT:
        return
    side = component.fid_size or component.resolution
    raise PluginError(
        f"fid_model sees no difference between many real pictures: only {reference.distinct:.0%} of them have features "
        "of their own",
        where=component.fid_model,
        hint=f"Raise fid_size (pictures come to it at {side} pixels), or name another fid_model.",
    )
