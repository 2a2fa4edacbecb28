"""What the charts of the report show. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.report.figures import INK, MUTED
from fgic_core.report.names import distinct
from fgic_core.report.numbers import eps_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fgic_core.data.artifact import Metric

BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
SPLIT_COLOURS = {"train": "#8fb8d4", "synthetic": GREEN, "val": BLUE, "test": VERMILION}

#: Above this many classes a chart is a summary and no longer a row for each class.
MANY_CLASSES = 30


def percent_axis(axis: Any) -> None:
    """Write an axis's shares in percent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def whole_numbers(axis: Any) -> None:
    """Mark whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def class_counts(counts: Mapping[str, np.ndarray[Any, Any]], classes: Sequence[str]) -> Callable[[Axes], None]:
    """Pictures per class and split: a bar for each class, or a histogram over many classes."""

    def bars(axes: Axes) -> None:
        left = np.zeros(len(classes))
        rows = np.arange(len(classes))
        for split, values in counts.items():
            axes.barh(rows, values, left=left, height=0.72, color=SPLIT_COLOURS.get(split, MUTED), label=split)
            left = left + values
        axes.set_yticks(rows, distinct(classes, 30))
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("pictures")
        whole_numbers(axes.xaxis)

    def histogram(axes: Axes) -> None:
        most = int(max(values.max(initial=0) for values in counts.values()))
        edges = np.linspace(-0.5, most + 0.5, min(most + 2, 41))
        for split, values in counts.items():
            colour = SPLIT_COLOURS.get(split, MUTED)
            axes.hist(values, bins=edges.tolist(), histtype="stepfilled", color=colour, alpha=0.35)
            axes.hist(values, bins=edges.tolist(), histtype="step", color=colour, label=split, linewidth=1.4)
        axes.set_xlabel("pictures in a class")
        axes.set_ylabel("classes")

    def plot(axes: Axes) -> None:
        (bars if len(classes) <= MANY_CLASSES else histogram)(axes)
        axes.set_title(
            f"Pictures per class ({len(classes)})" if len(classes) <= MANY_CLASSES else "How large the classes are"
        )
        if counts:
            axes.figure.legend(loc="outside lower center", ncols=3)

    return plot


#: Overlaps of found and annotated boxes by name; drawn in the order given.
Overlaps = Mapping[str, np.ndarray[Any, Any]]


def overlaps(values: Overlaps) -> Callable[[Axes], None]:
    """How well found boxes fit: the share of pictures whose overlap reaches each IoU."""

    def plot(axes: Axes) -> None:
        for number, (name, found) in enumerate(values.items()):
            split = name.partition(",")[0]
            colour = SPLIT_COLOURS.get(split, SERIES[number % len(SERIES)])
            ordered = np.sort(found)
            axes.step(
                np.concatenate([[0.0], ordered, [1.0]]),
                np.concatenate([[1.0], 1 - np.arange(len(ordered)) / len(ordered), [0.0]]),
                color=colour,
                linestyle=":" if "," in name else "-",
                label=f"{name} (n = {len(found)})",
            )
        axes.axvline(0.5, color=MUTED, linewidth=0.9, linestyle=":")
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.02, 1.02)
        percent_axis(axes.yaxis)
        axes.set_xlabel("IoU with the annotated box, or more")
        axes.set_ylabel("pictures")
        axes.set_title("How well the boxes that crops use fit")
        axes.figure.legend(loc="outside lower center", ncols=2)

    return plot


def confusion(matrix: np.ndarray[Any, Any], classes: Sequence[str]) -> Callable[[Axes], None]:
    """A confusion matrix, rows true and columns predicted, shaded by the row's share."""

    def plot(axes: Axes) -> None:
        count = len(classes)
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.6)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.invert_yaxis()
        names = distinct(classes, 22)
        axes.set_xticks(np.arange(count) + 0.5, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(count) + 0.5, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title("Confusion matrix (test)")
        for row, column in np.argwhere(matrix > 0) if count <= 16 else ():
            colour = "white" if share[row, column] > 0.55 else INK
            axes.text(
                column + 0.5,
                row + 0.5,
                str(int(matrix[row, column])),
                ha="center",
                va="center",
                color=colour,
                fontsize=7.5,
            )

    return plot


def class_accuracy(
    values: np.ndarray[Any, Any], low: np.ndarray[Any, Any], high: np.ndarray[Any, Any], classes: Sequence[str]
) -> Callable[[Axes], None]:
    """Accuracy of each class with its interval, or their distribution over many classes."""

    def dots(axes: Axes) -> None:
        order = np.argsort(-values, kind="stable")
        rows = np.arange(len(order))
        axes.hlines(rows, low[order], high[order], color=SKY, linewidth=2.4)
        axes.plot(values[order], rows, "o", color=BLUE)
        names = distinct(classes, 30)
        axes.set_yticks(rows, [names[index] for index in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")

    def histogram(axes: Axes) -> None:
        axes.hist(values, bins=np.linspace(0, 1, 21).tolist(), color=BLUE, edgecolor="white")
        axes.set_ylabel("classes")

    def plot(axes: Axes) -> None:
        (dots if len(classes) <= MANY_CLASSES else histogram)(axes)
        axes.set_xlim(-0.02, 1.02)
        percent_axis(axes.xaxis)
        axes.set_xlabel("accuracy in the class")
        axes.set_title("Accuracy by class (test)")

    return plot


def reliability(
    confidence: np.ndarray[Any, Any], right: np.ndarray[Any, Any], bins: int = 10
) -> Callable[[Axes], None]:
    """Share of right predictions against stated confidence, in equal-width bins."""

    def plot(axes: Axes) -> None:
        place = np.clip((confidence * bins).astype(int), 0, bins - 1)
        count = np.bincount(place, minlength=bins)
        held = count > 0
        share = np.bincount(place, weights=right, minlength=bins)[held] / count[held]
        mean = np.bincount(place, weights=confidence, minlength=bins)[held] / count[held]
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=":", label="calibrated")
        axes.plot(mean, share, color=BLUE, linewidth=1.2)
        axes.scatter(
            mean,
            share,
            s=12 + 130 * count[held] / count.max(),
            color=BLUE,
            zorder=3,
            label="predictions (area: how many)",
        )
        axes.set_xlim(-0.03, 1.05)
        axes.set_ylim(-0.05, 1.08)
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.set_xlabel("stated confidence")
        axes.set_ylabel("right")
        axes.set_title("Reliability (test)")
        legend = axes.legend(loc="upper left")
        for handle in legend.legend_handles:
            if handle is not None and hasattr(handle, "set_sizes"):
                handle.set_sizes([30])

    return plot


#: One line of accuracy against epsilon: its name and (eps, metric) in ascending order.
Sweep = tuple[str, Sequence[tuple[float, "Metric"]]]


def accuracy_against_eps(sweeps: Sequence[Sweep], norm: str) -> Callable[[Axes], None]:
    """Robust accuracy over epsilon, a line with its interval for each attack."""

    def plot(axes: Axes) -> None:
        for number, (name, sweep) in enumerate(sweeps):
            colour = SERIES[number % len(SERIES)]
            eps = [size for size, _ in sweep]
            values = [metric.value for _, metric in sweep]
            low = [metric.value if metric.low is None else metric.low for _, metric in sweep]
            high = [metric.value if metric.high is None else metric.high for _, metric in sweep]
            axes.fill_between(eps, low, high, color=colour, alpha=0.16, linewidth=0)  # type: ignore[arg-type]
            axes.plot(eps, values, color=colour, marker="o", label=name)  # type: ignore[arg-type]
        ticks = _apart(sorted({size for _, sweep in sweeps for size, _ in sweep}))
        axes.set_xticks(ticks, [eps_text(size, norm) for size in ticks])
        axes.set_ylim(-0.02, 1.02)
        percent_axis(axes.yaxis)
        axes.set_xlabel(f"eps ({norm})")
        axes.set_ylabel("robust accuracy")
        axes.set_title("Accuracy against eps (95 % interval)")
        if len(sweeps) > 1:
            axes.figure.legend(loc="outside lower center", ncols=3)

    return plot


def _apart(values: Sequence[float], share: float = 0.075) -> list[float]:
    """Those of the ascending values whose labels do not run into each other."""
    if not values:
        return []
    least = share * (values[-1] - values[0])
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if kept[-1] - value >= least:
            kept.append(value)
    return kept[::-1]


def intervals(rows: Sequence[tuple[str, Metric]], title: str) -> Callable[[Axes], None]:
    """Shares with their intervals, one under the other; the first stands out."""

    def plot(axes: Axes) -> None:
        for row, (_, metric) in enumerate(rows):
            colour = BLUE if row == 0 else MUTED
            if metric.low is not None and metric.high is not None:
                axes.hlines(row, metric.low, metric.high, color=colour, linewidth=2.4, alpha=0.45)
            if metric.value is not None:
                axes.plot([metric.value], [row], "o", color=colour, markersize=6)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_title(title)

    return plot
