"""Charts of what synthetic pictures are worth: on the learning curve of real ones, and against FID and KID."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fgic_core.data.quantities import Quantity
from fgic_core.metrics.two_way import Effect
from fgic_core.metrics.worth import Rate, Reached
from fgic_core.report.charts import BLUE, SERIES, percent_axis
from fgic_core.report.charts_study import named
from fgic_core.report.figures import INK, MUTED
from fgic_core.report.names import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], None]
_COLOURS = SERIES[1:]  # the first is the curve's
_MARKS = ("o", "D", "^", "v")  # another one where the colours begin again


class Reach(NamedTuple):
    """An arm with synthetic pictures on the curve of real ones.

    Attributes:
        arm: its name; value: what it measures; real: how many real pictures it has.
        reached: how many real ones alone do as well.
    """

    arm: str
    value: float
    real: float
    reached: Reached


def curve(points: Sequence[tuple[float, Effect]], targets: Sequence[Reach], quantity: Quantity) -> Draw:
    """What real pictures alone measure by their number, and where arms with synthetic ones are as good.

    Args:
        points: number of real pictures and what the arm measures, in ascending order.
        targets: the arms; quantity: what was measured.
    """

    def plot(axes: Axes) -> None:
        sizes = [real for real, _ in points]
        axes.set_xscale("log")
        beyond = (sizes[-1] / sizes[0]) ** 0.06
        axes.set_xlim(sizes[0] / beyond**1.5, sizes[-1] * beyond**1.5)
        axes.plot(sizes, [effect.value for _, effect in points], "-", color=BLUE, label="real pictures alone")
        for real, effect in points:
            if math.isfinite(effect.low):
                axes.plot([real, real], [effect.low, effect.high], "-", color=BLUE, alpha=0.35, linewidth=4)
            axes.plot([real], [effect.value], "s", color=BLUE, markersize=5)
        names = distinct([one.arm for one in targets], 34)
        for number, (one, name) in enumerate(zip(targets, names, strict=True)):
            style = _COLOURS[number % len(_COLOURS)], _MARKS[number // len(_COLOURS) % len(_MARKS)]
            _reach(axes, one, name, style, (sizes[0] / beyond, sizes[-1] * beyond))
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.minorticks_off()
        if quantity.unit == "fraction":
            percent_axis(axes.yaxis)
            low, high = axes.get_ylim()  # of few seeds an interval goes beyond what a share can be
            axes.set_ylim(max(low, -0.02), min(high, 1.02))
        axes.set_xlabel("real train pictures, by the logarithm")
        axes.set_ylabel(quantity.label.lower())
        axes.set_title("How many real pictures do as well")
        axes.figure.legend(loc="outside lower center", ncols=3)

    return plot


def _reach(axes: Axes, one: Reach, name: str, style: tuple[str, str], ends: tuple[float, float]) -> None:
    """One arm, in its colour and with its mark: from the real pictures that it has to those that do as well alone."""
    colour, mark = style
    low, value, high = (min(max(at, ends[0]), ends[1]) for at in (one.reached.low, one.reached.value, one.reached.high))
    if not math.isnan(low):
        axes.plot([low, high], [one.value] * 2, "-", color=colour, alpha=0.3, linewidth=4)
        for at, end, arrow in ((one.reached.low, ends[0], "<"), (one.reached.high, ends[1], ">")):
            if math.isinf(at):
                axes.plot([end], [one.value], arrow, color=colour, alpha=0.6, markersize=6)
    if one.real:
        start = max(one.real, ends[0])
        axes.plot([start, value], [one.value] * 2, "-", color=colour, linewidth=1.2)
        axes.plot([start], [one.value], "o", color=colour, markersize=4)
    axes.plot(
        [value],
        [one.value],
        mark,
        color=colour,
        label=name,
        markersize=8,
        markerfacecolor="white",
        markeredgewidth=1.8,
    )


def against(rows: Sequence[tuple[str, float, Rate]], quantity: Quantity) -> Draw:
    """The worth of a synthetic picture against what its generator's pictures measure by themselves.

    Args:
        rows: name, number and worth of each arm; quantity: what the number is.
    """

    def plot(axes: Axes) -> None:
        axes.axhline(0, color=MUTED, linewidth=0.9)
        for _, value, rate in rows:
            low, high = (at if math.isfinite(at) else rate.value for at in (rate.low, rate.high))
            axes.plot([value, value], [low, high], "-", color=BLUE, alpha=0.35, linewidth=3)
            axes.plot([value], [rate.value], "o", color=BLUE, markersize=6)
        axes.margins(x=0.25, y=0.12)
        named(axes, [(name, value, rate.value) for name, value, rate in rows])
        better = {"lower": ", lower is better", "higher": ", higher is better"}.get(quantity.better, "")
        axes.set_xlabel(f"{quantity.label}{better}")
        axes.set_ylabel("real pictures that one is worth", color=INK)
        axes.set_title(f"Does {quantity.label} foretell the worth?")

    return plot
