"""What is followed over the epochs of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fgic_core.data.quantities import quantity
from fgic_core.report.charts import BLUE, GREEN, ORANGE, PURPLE, SERIES, VERMILION, percent_axis, whole_numbers
from fgic_core.report.figures import MUTED
from fgic_core.report.numbers import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fgic_core.data.artifact import Point

#: Title, colour and line of each split of a curve.
_SPLITS = {
    "train": ("train (running)", "#7d8896", "-"),
    "val": ("validation", BLUE, "-"),
    "test": ("test", VERMILION, "--"),
    "": ("synthetic pictures", GREEN, "-"),
}
#: Likewise of the losses of two networks that learn from each other.
_ADVERSARIES = {
    "loss_gen": ("generator", BLUE, "-"),
    "loss_disc": ("discriminator", VERMILION, "-"),
    "loss_disc_real": ("discriminator, real", ORANGE, ":"),
    "loss_disc_fake": ("discriminator, synthetic", PURPLE, ":"),
}
#: Curves that were set and not measured: drawn small, without a legend.
SETTINGS = ("lr",)
#: Distances that may fall by orders of magnitude.
_DISTANCES = ("FID", "KID")
#: From this ratio of the largest value to the smallest on, a distance has a logarithmic axis.
_DECADE = 10.0


def curve(name: str, points: Sequence[Point]) -> Callable[[Axes], None]:
    """One quantity over the epochs, a line for each split."""

    def plot(axes: Axes) -> None:
        for split, (title, colour, style) in _SPLITS.items():
            if not (of_split := [point for point in points if point.split == split]):
                continue
            _line(axes, of_split, title, colour, style, marked=name not in SETTINGS)
        if quantity(name).unit == "fraction":
            percent_axis(axes.yaxis)
        if name in _DISTANCES:
            _distance_axis(axes, [point.value for point in points])
        axes.set_title(label(name))
        axes.set_xlabel("epoch")
        whole_numbers(axes.xaxis)
        if name in SETTINGS:
            axes.set_ylim(bottom=0)
        else:
            axes.figure.legend(loc="outside lower center", ncols=3)

    return plot


def loss_parts(points: Sequence[Point]) -> Callable[[Axes], None]:
    """The parts of a training loss over the epochs, or the losses of two adversaries, a line for each."""

    def plot(axes: Axes) -> None:
        names = sorted({point.name for point in points})
        for number, name in enumerate(sorted(names, key=lambda name: (*_ADVERSARIES, name).index(name))):
            usual = (name.removeprefix("loss_"), SERIES[number % len(SERIES)], "-" if number < len(SERIES) else "--")
            title, colour, style = _ADVERSARIES.get(name, usual)
            _line(axes, [point for point in points if point.name == name], title, colour, style)
        if any(point.value < 0 for point in points):
            axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.set_title(loss_title(points))
        axes.set_xlabel("epoch")
        whole_numbers(axes.xaxis)
        axes.figure.legend(loc="outside lower center", ncols=2 if adversarial(points) else 3)

    return plot


def adversarial(points: Sequence[Point]) -> bool:
    """Whether the losses are those of a generator and a discriminator, which work against each other."""
    return {"loss_gen", "loss_disc"} <= {point.name for point in points}


def loss_title(points: Sequence[Point]) -> str:
    """What a chart of losses is called."""
    return "Losses of generator and discriminator" if adversarial(points) else "Parts of the train loss"


def _line(axes: Axes, points: Sequence[Point], title: str, colour: str, style: str, *, marked: bool = True) -> None:
    line = sorted((point.epoch, point.value) for point in points)
    axes.plot(
        [epoch for epoch, _ in line],
        [value for _, value in line],
        style,
        color=colour,
        marker="o" if marked and len(line) <= 30 else "",
        label=title,
        markersize=3.5,
    )


def _distance_axis(axes: Axes, values: Sequence[float]) -> None:
    """From nought on, or logarithmic where the values span more than a decade."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return
    if min(known) > 0 and max(known) > _DECADE * min(known):
        _logarithmic(axes)
    else:
        low, high = min(0.0, *known), max(0.0, *known)
        axes.set_ylim(low * 1.05, high + 0.08 * (high - low or 1.0))


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    # Without a formatter of our own powers of ten are written as formulas.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _: Any) -> str:
    return f"{value:g}"
