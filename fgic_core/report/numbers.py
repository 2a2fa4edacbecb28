"""How numbers are written: percents, intervals, perturbation sizes, times."""

from __future__ import annotations

import math

from fgic_core.data.artifact import Metric
from fgic_core.data.quantities import quantity

#: Keeps a number and its unit on one line.
NBSP = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
#: Stands for a metric without a value; the metric's note says why.
MISSING = "not computed"

#: What is said where train pictures alone were measured: their figures tell nothing of new pictures.
NO_FIGURE = "no test or validation figure"
OF_TRAIN = "These are figures of train pictures, which the model may have learned from: they say nothing of new ones."


def is_of_train(metric: Metric) -> bool:
    """Whether the number was measured on train pictures, which must not stand for what is new."""
    return metric.split == "train"


def label(name: str) -> str:
    """A quantity's name for people; the name itself where it has no row in the table."""
    return quantity(name).label


def arrow(name: str) -> str:
    """An arrow that says which direction of a quantity is better; empty where neither is."""
    return {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}", "": ""}[quantity(name).better]


def at(metric: Metric) -> str:
    """What a metric was measured at, such as ``eps=4/255 (Linf)``; empty for nothing."""
    left = dict(metric.at)
    said = []
    if isinstance(eps := left.pop("eps", None), float):
        norm = str(left.pop("norm", "Linf"))
        said.append(f"eps={eps_text(eps, norm)} ({norm})")
    said += [f"{name}={value if isinstance(value, str) else number(value)}" for name, value in left.items()]
    return ", ".join(said)


def on(metric: Metric) -> str:
    """On which split a metric was measured, and at what, such as ``test, eps=4/255 (Linf)``."""
    return ", ".join(filter(None, (metric.split, at(metric))))


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage, such as ``81.3 %``; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{100 * value:.{digits}f}{NBSP}%"


def number(value: float | None) -> str:
    """Four significant digits; integers in full."""
    if value is None or not math.isfinite(value):
        return DASH
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.4g}"


def amount(metric: Metric) -> str:
    """A metric's value with its unit; ``not computed`` where it has none."""
    if metric.value is None or not math.isfinite(metric.value):
        return MISSING
    if (unit := quantity(metric.name).unit) == "fraction":
        return percent(metric.value)
    text = number(metric.value)
    return f"{text}{NBSP}{unit}" if unit else text


def interval(metric: Metric) -> str:
    """The 95 % confidence interval, such as ``77.1-84.8`` (with an en dash); empty where there is none."""
    if metric.low is None or metric.high is None or not (math.isfinite(metric.low) and math.isfinite(metric.high)):
        return ""
    if quantity(metric.name).unit == "fraction":
        return f"{100 * metric.low:.1f}{DASH}{100 * metric.high:.1f}"
    return f"{number(metric.low)}{DASH}{number(metric.high)}"


def with_interval(metric: Metric) -> str:
    """Value, interval and count, such as ``81.3 % (77.1-84.8, n = 395)``; ``not computed`` alone without a value."""
    if amount(metric) == MISSING:
        return MISSING
    about = [text for text in (interval(metric), f"n{NBSP}={NBSP}{metric.n}" if metric.n is not None else "") if text]
    return f"{amount(metric)} ({', '.join(about)})" if about else amount(metric)


def eps_text(eps: float, norm: str = "Linf") -> str:
    """``4/255`` for the max norm, in which pixel steps are what people think in; a plain number otherwise."""
    if norm == "Linf":
        steps = eps * 255
        return "0" if steps == 0 else f"{round(steps, 2):g}/255"
    return f"{eps:.4g}"


def seconds(value: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if value < 10:
        return f"{value:.1f}{NBSP}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60:02d}{NBSP}s"
    return f"{whole // 3600}{NBSP}h {whole % 3600 // 60:02d}{NBSP}min"


def moment(iso: str) -> str:
    """An ISO 8601 time to the minute, such as ``2026-01-31 14:05 UTC``; what cannot be read is left as it is."""
    from datetime import datetime, timezone

    try:
        return (
            datetime.fromisoformat(iso.replace("Z", "+00:00")).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        )
    except ValueError:
        return iso


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 class``, ``3 classes``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
