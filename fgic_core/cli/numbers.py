"""Numbers as a terminal shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fgic_core.data.artifact import Metric
from fgic_core.data.quantities import headlines
from fgic_core.report import numbers

#: Test counts before what is of no split, and that before validation.
_SPLITS = ("test", "", "val")
_WITHOUT = f"{numbers.NO_FIGURE} (train alone)"
_SPACES = str.maketrans({"\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " "})


def headline(metrics: Sequence[Metric]) -> str:
    """The number that speaks for a step, with its interval; empty where none does.

    Of the robust accuracies it is that of the largest perturbation. One of train pictures never speaks for a step.
    """
    known = [metric for metric in metrics if metric.value is not None]
    new = [metric for metric in known if not numbers.is_of_train(metric)]
    for name in headlines():
        if found := [metric for metric in new if metric.name == name]:
            best = next(split for split in (*_SPLITS, found[0].split) if any(m.split == split for m in found))
            # Of a sweep the largest perturbation speaks.
            return with_name(max((m for m in found if m.split == best), key=lambda metric: metric.at.get("eps", 0.0)))
        if any(metric.name == name for metric in known):
            return _WITHOUT
    if absent := [metric for name in headlines() for metric in metrics if (metric.name, metric.value) == (name, None)]:
        return with_name(absent[0])
    if samples := [metric for metric in known if metric.name == "samples"]:
        return _samples(samples, known)
    return with_name(new[0]) if new else ""


def _samples(found: Sequence[Metric], known: Sequence[Metric]) -> str:
    splits = [f"{numbers.number(m.value)} {m.split or 'pictures'}" for m in found]
    classes = [f"{numbers.number(m.value)} classes" for m in known if m.name == "classes"]
    return ", ".join(splits + classes).translate(_SPACES)


def with_name(metric: Metric) -> str:
    """``test accuracy 81.3 % (77.1-84.8, n = 395)``."""
    at = f" at {said}" if (said := numbers.at(metric)) else ""
    name = metric.name.replace("_", " ")
    return f"{metric.split} {name}{at} {numbers.with_interval(metric)}".strip().translate(_SPACES)


def amount(metric: Metric) -> str:
    """``test accuracy 81.3 %``."""
    return with_name(metric.model_copy(update={"low": None, "high": None, "n": None}))


def value(number: float) -> str:
    """A point of a curve: three digits after the point, or three that count."""
    if not math.isfinite(number):
        return str(number)
    return f"{number:.3f}" if 0.01 <= abs(number) < 100 or number == 0 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``."""
    return numbers.seconds(seconds).translate(_SPACES)


_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The last values as a line of blocks, lowest to highest."""
    shown = [v for v in values if math.isfinite(v)][-width:]
    if len(shown) < 2:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return _BLOCKS[0] * len(shown)
    return "".join(_BLOCKS[round((v - low) / (high - low) * (len(_BLOCKS) - 1))] for v in shown)
