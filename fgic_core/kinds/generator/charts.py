"""What the charts of made pictures show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.report.charts import BLUE, GREEN, percent_axis
from fgic_core.report.figures import MUTED
from fgic_core.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bins of a histogram: so many at least and at most, more with more pictures.
FEW_BINS, MANY_BINS = 12, 40


def novelty(
    made: np.ndarray[Any, Any], unseen: np.ndarray[Any, Any], bound: float, share: float
) -> Callable[[Axes], None]:
    """How far pictures are from the nearest train picture: the share of them in each bin, from 0 on.

    Args:
        made: distances of made pictures.
        unseen: of real pictures that nothing was learned from.
        bound: a distance that is marked, below which a share of the unseen pictures lies.
        share: that share.
    """

    def plot(axes: Axes) -> None:
        most = max(float(made.max()), float(unseen.max())) or 1.0
        bins = int(np.clip(2 * min(len(made), len(unseen)) ** 0.5, FEW_BINS, MANY_BINS))
        edges = np.linspace(0, most, bins + 1)
        for values, colour, title in ((unseen, BLUE, "unseen real"), (made, GREEN, "synthetic")):
            heights = np.histogram(values, edges)[0] / len(values)
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.28)
            axes.stairs(heights, edges, color=colour, linewidth=1.4, label=f"{title} (n = {len(values)})")
        axes.axvline(
            bound, color=MUTED, linewidth=1.1, linestyle=":", label=f"nearest {percent(share, 0)} of the unseen"
        )
        axes.set_xlim(0, most)
        axes.set_ylim(bottom=0)
        percent_axis(axes.yaxis)
        axes.set_xlabel("distance from the nearest train picture, in features")
        axes.set_ylabel("pictures")
        axes.set_title("New pictures or memories?")
        axes.figure.legend(loc="outside lower center", ncols=2)

    return plot
