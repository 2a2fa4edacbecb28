"""What the charts of a study show: effects with their intervals, Shapley values, cost, classes, curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.quantities import Quantity
from fgic_core.metrics.two_way import Effect
from fgic_core.report.charts import BLUE, GREEN, SERIES, VERMILION, percent_axis, whole_numbers
from fgic_core.report.figures import INK, LINE, MUTED
from fgic_core.report.names import distinct

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The colour of each verdict.
VERDICTS = {
    "necessary": GREEN,
    "better by more than the margin": GREEN,
    "helpful": GREEN,
    "better": GREEN,
    "harmful": VERMILION,
    "worse": VERMILION,
    "equivalent": BLUE,
}

#: Points that a name of an arm takes in width and height.
_NAME, _LINE = 130, 9

Draw = Callable[["Axes"], None]


def effects(rows: Sequence[tuple[str, Effect, str]], margin: float, quantity: Quantity) -> Draw:
    """Effects with their intervals, the seeds' own as dots, and the margin as a band.

    Args:
        rows: name, effect and verdict of each.
        margin: in the unit of the quantity; quantity: what was measured.
    """

    def plot(axes: Axes) -> None:
        scale = _scale(quantity)
        if margin > 0:
            axes.axvspan(
                -margin * scale, margin * scale, color=BLUE, alpha=0.09, linewidth=0, label="within the margin"
            )
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for row, (_, effect, verdict) in enumerate(rows):
            colour = VERDICTS.get(verdict, MUTED)
            seeds = np.array(effect.by_seed) * scale
            axes.plot(seeds, np.full(len(seeds), row + 0.23), ".", color=colour, alpha=0.55, markersize=3.5)
            if math.isfinite(effect.low):
                axes.plot([effect.low * scale, effect.high * scale], [row, row], "-", color=colour, linewidth=2.4)
            axes.plot([effect.value * scale], [row], "o", color=colour, markersize=6)
            axes.annotate(
                verdict, (1.0, row), (6, 0), ("axes fraction", "data"), "offset points", va="center", color=colour
            )
        _rows(axes, [name for name, _, _ in rows])
        axes.set_xlabel(
            f"{_unit(quantity)} better: with a step than without it, any other than the baseline; 95 %, dots are seeds"
        )
        axes.set_title(f"Effects on {quantity.label.lower()}")
        if margin > 0:
            axes.figure.legend(loc="outside lower center")

    return plot


def waterfall(
    rows: Sequence[tuple[str, Effect]],
    total: Effect,
    quantity: Quantity,
    start: float,
    ends: tuple[str, str] = ("without them", "all of them"),
    title: str = "What each step adds, averaged over all orders (Shapley)",
) -> Draw:
    """Parts of a whole, from what one pipeline gives to what another gives.

    Args:
        rows: name and value of each part; total: what they add together.
        quantity: what was measured; start: what the first pipeline has, in the direction of the quantity.
        ends: what the two pipelines are called; title: of the chart.
    """

    def plot(axes: Axes) -> None:
        scale, at = _scale(quantity), start
        names = [ends[0], *(name for name, _ in rows), ends[1]]
        bars: list[float] = []
        axes.barh([0], [start * scale], color=MUTED, height=0.55)
        for row, (_, effect) in enumerate(rows, 1):
            colour = GREEN if effect.value >= 0 else VERMILION
            axes.barh([row], [effect.value * scale], left=[at * scale], color=colour, height=0.55)
            at += effect.value
            half = 0.0 if not math.isfinite(effect.high) else (effect.high - effect.value) * scale
            axes.errorbar([at * scale], [row], xerr=[half], color=INK, linewidth=1.1, capsize=3)
            bars += [at * scale - 1.02 * half, at * scale + 1.02 * half]
            axes.plot([at * scale] * 2, [row + 0.28, row + 0.72], color=MUTED, linewidth=0.8)
        axes.barh([len(rows) + 1], [(start + total.value) * scale], color=MUTED, height=0.55)
        _rows(axes, names)
        edges = np.cumsum([start, *(effect.value for _, effect in rows)]) * scale
        spread = max(float(np.ptp(edges)), 1e-9)
        axes.set_xlim(min([edges.min() - 0.3 * spread, *bars]), max([edges.max() + 0.1 * spread, *bars]))
        axes.set_xlabel(f"{quantity.label.lower()}{', %' if quantity.unit == 'fraction' else ''}; 95 % intervals")
        axes.set_title(title)

    return plot


def cost(rows: Sequence[tuple[str, float, float]], quantity: Quantity) -> Draw:
    """What each arm's trainings take against what it measures, and the frontier: the arms that none beats in both.

    Args:
        rows: name, seconds and value of each arm; quantity: what was measured.
    """

    def plot(axes: Axes) -> None:
        best = _frontier(rows, quantity.better == "lower")
        for number, (_, seconds, value) in enumerate(rows):
            on = number in best
            axes.plot([seconds], [value], "o", color=BLUE if on else MUTED, markersize=6)
        line = sorted(rows[number][1:] for number in best)
        axes.plot([x for x, _ in line], [y for _, y in line], "-", color=BLUE, linewidth=1)
        if quantity.unit == "fraction":
            percent_axis(axes.yaxis)
        axes.margins(x=0.25, y=0.18)
        named(axes, [row for number, row in enumerate(rows) if number in best or len(rows) <= 12])
        axes.set_xlabel("seconds of training, mean over seeds")
        axes.set_ylabel(quantity.label.lower())
        axes.set_title("What it costs")

    return plot


def named(axes: Any, rows: Sequence[tuple[str, float, float]]) -> None:
    """Write names beside points, each far enough above the one below it to be read."""
    axes.autoscale_view()
    points = 72 / axes.figure.dpi
    placed: list[tuple[float, float]] = []
    for name, x, y in sorted(rows, key=lambda row: row[2]):
        left, at = (float(one) * points for one in axes.transData.transform((x, y)))
        up = at + 3
        for beside, height in placed:
            if abs(left - beside) < _NAME and abs(up - height) < _LINE:
                up = height + _LINE
        placed.append((left, up))
        axes.annotate(name, (x, y), (6, up - at), textcoords="offset points", fontsize=7.5, color=INK)


def _frontier(rows: Sequence[tuple[str, float, float]], lower: bool) -> set[int]:
    sign = -1 if lower else 1
    return {
        number
        for number, (_, seconds, value) in enumerate(rows)
        if not any(
            other[1] <= seconds and sign * other[2] >= sign * value and other[1:] != (seconds, value) for other in rows
        )
    }


def classes(rows: Sequence[tuple[str, Effect, bool]], quantity: Quantity, title: str) -> Draw:
    """Effects class by class.

    Args:
        rows: name, effect, and whether it holds after correction, of each class.
        quantity: what was measured; title: whose effects these are.
    """

    def plot(axes: Axes) -> None:
        scale = _scale(quantity)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for row, (_, effect, holds) in enumerate(rows):
            colour = (GREEN if effect.value > 0 else VERMILION) if holds else MUTED
            if math.isfinite(effect.low):
                axes.plot([effect.low * scale, effect.high * scale], [row, row], "-", color=colour, linewidth=1.6)
            axes.plot([effect.value * scale], [row], "o", color=colour, markersize=4)
        _rows(axes, [name for name, _, _ in rows])
        axes.set_xlabel(_unit(quantity))
        axes.set_title(title)

    return plot


def groups(
    parts: Sequence[tuple[str, Sequence[tuple[str, Effect, bool | None]]]], whole: Effect, quantity: Quantity
) -> Draw:
    """Effects by groups of pictures, and a line at that of all pictures.

    Args:
        parts: for each kind of groups what they are by, and of each group the name, the effect, and whether it holds
            after correction; None where there are too few pictures to tell, of which the dot alone is drawn.
        whole: of all pictures; quantity: what was measured.
    """
    names = [name for by, rows in parts for name in ("", *(name for name, *_ in rows))]

    def plot(axes: Axes) -> None:
        scale, row = _scale(quantity), 0
        axes.axvline(0, color=MUTED, linewidth=0.9)
        axes.axvline(whole.value * scale, color=BLUE, linewidth=1.1, linestyle="--", label="of all pictures")
        for by, rows in parts:
            axes.annotate(
                by,
                (0, row),
                (4, -3),
                ("axes fraction", "data"),
                "offset points",
                color=INK,
                weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )
            for place, (_, effect, holds) in enumerate(rows, row + 1):
                colour = (GREEN if effect.value > 0 else VERMILION) if holds else MUTED
                if holds is not None and math.isfinite(effect.low):
                    bounds = [effect.low * scale, effect.high * scale]
                    axes.plot(bounds, [place, place], "-", color=colour, linewidth=1.8)
                fill = "white" if holds is None else colour
                axes.plot([effect.value * scale], [place], "o", color=colour, markerfacecolor=fill, markersize=4.5)
            row += 1 + len(rows)
        _rows(axes, names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel(f"{_unit(quantity)}; interval 95 %")
        axes.figure.legend(loc="outside lower center")

    return plot


def curves(lines: Mapping[str, Mapping[int, Sequence[float]]], quantity: Quantity) -> Draw:
    """Learning curves of the arms over each other: the mean over seeds, and from the least to the most.

    Args:
        lines: by arm, the values of the seeds by epoch; quantity: what they are of.
    """

    def plot(axes: Axes) -> None:
        for number, (name, points) in enumerate(lines.items()):
            colour, style = SERIES[number % len(SERIES)], "-" if number < len(SERIES) else "--"
            epochs = sorted(points)
            axes.plot(epochs, [float(np.mean(points[one])) for one in epochs], style, color=colour, label=name)
            low, high = ([bound(points[one]) for one in epochs] for bound in (min, max))
            axes.fill_between(epochs, low, high, color=colour, alpha=0.12, linewidth=0)
        if quantity.unit == "fraction":
            percent_axis(axes.yaxis)
        whole_numbers(axes.xaxis)
        axes.set_xlabel("epoch")
        axes.set_title(f"{quantity.label} on the validation split")
        axes.figure.legend(loc="outside lower center", ncols=2)

    return plot


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), distinct(names, 34))
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=LINE)


def _scale(quantity: Quantity) -> float:
    return 100.0 if quantity.unit == "fraction" else 1.0


def _unit(quantity: Quantity) -> str:
    return "points" if quantity.unit == "fraction" else quantity.unit or quantity.label.lower()
