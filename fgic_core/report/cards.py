"""Key numbers: what stands at the head of the page for a step."""

from __future__ import annotations

from dataclasses import dataclass

from fgic_core.data.artifact import Metric
from fgic_core.data.quantities import headlines
from fgic_core.report.numbers import NO_FIGURE, is_of_train, label, with_interval
from fgic_core.report.view import StepView

_SPLITS = {"test": "Test", "val": "Validation", "train": "Train"}


@dataclass(frozen=True)
class Card:
    """A key number.

    Attributes:
        title: what was measured.
        metric: the number; its value may be missing.
        step: the step it was measured on.
        beside: what to compare it with, or why there is no number.
    """

    title: str
    metric: Metric
    step: StepView
    beside: str = ""

    def words(self) -> str:
        """Title and number, or why there is none, within a sentence."""
        title = self.title[:1].lower() + self.title[1:]
        return f"{title}: {self.beside}" if self.metric.value is None else f"{title} {with_interval(self.metric)}"


def best(step: StepView) -> Card | None:
    """The first of the quantities that may speak for a step (`Quantity.headline`) which it has, on test before val."""
    names = [name for name in headlines() if any(metric.name == name for metric in step.metrics)]
    known = [metric for name in names for metric in step.metrics if metric.name == name and not is_of_train(metric)]
    for name in names:
        here = [metric for metric in known if metric.name == name and metric.value is not None]
        found = step.metric(name, "test", "val") or next(iter(here), None)
        if found is not None:
            return Card(_title(found), found, step)
    if known:
        return Card(_title(known[0]), known[0], step, known[0].note)
    return without_figure(label(names[0]), step) if names else None


def without_figure(title: str, step: StepView) -> Card:
    """The card of a step that measured train pictures alone."""
    return Card(title, Metric(name="", value=None), step, f"{NO_FIGURE}: train pictures alone were measured")


def _title(metric: Metric) -> str:
    name = label(metric.name)
    split = _SPLITS.get(metric.split, "")
    return f"{split} {name[:1].lower() + name[1:] if name[1:2].islower() else name}" if split else name
