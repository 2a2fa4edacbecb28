"""Early signs that a training collapses, with the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fgic_core import Context

#: Classes that are looked at, and pictures of each.
CLASSES, PICTURES = 8, 8
#: Both of the discriminator's losses together below that: it tells all apart, and gives no gradient to learn from.
WON = 0.05
#: Variety below that share of its highest so far, or FID above that many times its lowest.
LOST, WORSE = 0.4, 2.0
#: Epochs in a row that it takes: one may be chance.
ROW = 2


def variety(pictures: np.ndarray[Any, Any]) -> float:
    """The mean distance (root mean square over pixels) between two of the pictures of a class, (k, n, 3, h, w)."""
    count = pictures.shape[1]
    if count < 2:
        return 0.0
    mean = pictures.mean(axis=1, keepdims=True)
    # The mean squared distance of two is twice the variance with n - 1 in place of n.
    squares = ((pictures - mean) ** 2).sum(axis=1).mean(axis=(1, 2, 3)) * 2 / (count - 1)
    return float(np.sqrt(squares).mean())


class Watch:
    """Looks at each epoch and warns, once of each kind, when the training seems to collapse.

    Args:
        ctx: is warned.
        real: `variety` of real pictures, for scale.
    """

    def __init__(self, ctx: Context, real: float) -> None:
        self._ctx, self._real = ctx, real
        self._state: dict[str, Any] = {"highest": 0.0, "lowest": None, "best_epoch": 0, "rows": {}, "told": []}

    def see(self, epoch: int, losses: Mapping[str, float], found: float, scores: Mapping[str, float]) -> None:
        """Take note of an epoch.

        Args:
            epoch: from 1.
            losses: means over the epoch, ``loss_disc_real`` and ``loss_disc_fake`` among them.
            found: `variety` of made pictures, the same seeds at every epoch.
            scores: what the core measured; may be empty.
        """
        state = self._state
        together = losses["loss_disc_real"] + losses["loss_disc_fake"]
        self._tell(
            "won",
            together < WON,
            f"the discriminator tells all pictures apart since epoch {epoch - ROW + 1} (its losses are {together:.3f} "
            "together; 2 is chance): the generator hardly learns any more. A lower lr_d, more augment or fewer d_steps "
            "may help.",
        )
        # What is more varied than real pictures is noise, and its end no collapse.
        share, before = (min(value / self._real, 1.0) if self._real else 0.0 for value in (found, state["highest"]))
        self._tell(
            "variety",
            share < LOST * before,
            f"the variety of pictures within a class fell from {before:.0%} to {share:.0%} of that of real pictures "
            f"(epoch {epoch}): mode collapse. Earlier epochs may be better; lower rates or more augment may help.",
        )
        state["highest"] = max(state["highest"], found)
        self._fid(epoch, scores)

    def _fid(self, epoch: int, scores: Mapping[str, float]) -> None:
        state, fid = self._state, scores.get("FID")
        if fid is None:
            return
        lowest = state["lowest"]
        self._tell(
            "fid",
            lowest is not None and fid > WORSE * lowest,
            f"FID rose from {lowest or 0:.4g} (epoch {state['best_epoch']}) to {fid:.4g} (epoch {epoch}): the training "
            "has collapsed. keep: best keeps the better one; early_stopping saves the time.",
        )
        if lowest is None or fid < lowest:
            state["lowest"], state["best_epoch"] = fid, epoch

    def _tell(self, kind: str, seen: bool, message: str) -> None:
        rows = self._state["rows"]
        rows[kind] = rows.get(kind, 0) + 1 if seen else 0
        if rows[kind] >= ROW and kind not in self._state["told"]:
            self._state["told"].append(kind)
            self._ctx.warn(message)

    def state_dict(self) -> dict[str, Any]:
        return {**self._state, "rows": dict(self._state["rows"]), "told": list(self._state["told"])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._state = {**state, "rows": dict(state["rows"]), "told": list(state["told"])}
