"""The head of the page: one sentence, the key numbers, and every warning with its step."""

from __future__ import annotations

from dataclasses import dataclass

from fgic_core.data.artifact import Metric
from fgic_core.report.numbers import eps_text, label, number, percent, plural, with_interval
from fgic_core.report.sections import generation
from fgic_core.report.sections.robustness import norm, sweep
from fgic_core.report.view import RunView, StepView

#: A step's key number by its artifact's type: the first of these that it has.
_KEY = {
    "dataset": ("mAP50", "mAP", "box_recall50", "FID", "KID"),
    "model": ("accuracy", "mean_class_accuracy"),
    "explanations": ("pointing_game", "energy_in_box"),
}
_PARTS = {"test": "Test", "val": "Validation", "train": "Train"}


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


@dataclass(frozen=True)
class Warning:
    """Something that bears on the numbers, and the steps that said it."""

    message: str
    steps: tuple[StepView, ...]


def cards(run: RunView) -> list[Card]:
    """The key number of each step that has one."""
    return [card for step in run.steps if step.artifact is not None and (card := _card(run, step)) is not None]


def _card(run: RunView, step: StepView) -> Card | None:
    if step.type == "robustness":
        points = sweep(step)
        if not points:
            return None
        eps, metric = points[-1]
        clean = f"clean {percent(points[0][1].value)}" if points[0][0] == 0 and eps > 0 else ""
        return Card(f"Robust accuracy, eps {eps_text(eps, norm(step))} ({norm(step)})", metric, step, clean)
    if generation.is_generator(step) and (made := _generator_card(step)) is not None:
        return made
    for name in _KEY.get(step.type or "", ()):
        found = step.metric(name, "test", "val") or step.metric(name)
        if found is not None:
            return Card(_title(found), found, step, _beside(run, step, found))
    missing = (metric for name in _KEY.get(step.type or "", ()) for metric in step.metrics if metric.name == name)
    return next((Card(_title(metric), metric, step, metric.note) for metric in missing), None)


def _generator_card(step: StepView) -> Card | None:
    """FID beside that of unseen real pictures, or else how many pictures were made."""
    if (found := step.metric("FID")) is not None:
        real = step.metric("FID_real")
        return Card(label("FID"), found, step, f"unseen real pictures {number(real.value)}" if real else "")
    if (made := step.metric("synthetic")) is None:
        return None
    return Card(label("synthetic"), made, step, "FID not computed" if made.value else made.note)


def _title(metric: Metric) -> str:
    name = label(metric.name)
    if metric.name == "pointing_game":
        return name
    part = _PARTS.get(metric.part, metric.part)
    return f"{part} {name[:1].lower() + name[1:] if name[1:2].islower() else name}" if part else name


def _beside(run: RunView, step: StepView, metric: Metric) -> str:
    if metric.name == "accuracy" and (count := len(run.classes(step))):
        return f"guessing {percent(1 / count)}"
    if metric.name == "pointing_game":
        return ", ".join(f"{title} {percent(value)}" for title, value in _baselines(step))
    return ""


def _baselines(step: StepView) -> list[tuple[str, float | None]]:
    """What a pointing game is read beside: on crops any point hits often."""
    names = (("centre", "pointing_game_center"), ("random point", "pointing_game_random"))
    return [(title, found.value) for title, name in names if (found := step.metric(name)) is not None]


def headline(run: RunView) -> str:
    """One sentence from the run's numbers, and one for what went wrong."""
    found = cards(run)
    several = {step.type for step in run.steps if sum(card.step.type == step.type for card in found) > 1}
    said: list[str] = []
    for card in found:
        if card.step.type not in ("model", "explanations", "robustness") or card.metric.value is None:
            continue
        text = _clause(run, card)
        if card.step.type in several:
            text = f"{card.step.name}: {text}"
        said.append(text if said else text[:1].upper() + text[1:])
    sentences = ["; ".join(said) + "."] if said else ["This run measured no classifier."]
    sentences += _ending(run)
    return " ".join(sentences)


def _clause(run: RunView, card: Card) -> str:
    """What a key number says, in words."""
    number = with_interval(card.metric)
    title = card.title[:1].lower() + card.title[1:]
    if card.step.type == "model":
        count = len(run.classes(card.step))
        return f"{title} {number}" + (f" over {plural(count, 'class', 'classes')}" if count else "")
    if card.metric.name == "pointing_game":
        said = " and ".join(f"{percent(value)} for the {title}" for title, value in _baselines(card.step))
        beside = f", beside {said}" if said else ""
        return f"the map's peak lies in the object's box in {number} of the pictures" + beside
    if card.step.type == "robustness":
        eps, metric = sweep(card.step)[-1]
        before = f" ({card.beside})" if card.beside else ""
        return f"robust accuracy {with_interval(metric)} at eps {eps_text(eps, norm(card.step))}{before}"
    return f"{title} {number}"


def _ending(run: RunView) -> list[str]:
    stopped = [step.name for step in run.steps if step.record.status in ("failed", "interrupted")]
    words = {"failed": "The run failed", "interrupted": "The run was interrupted", "running": "The run had not ended"}
    if run.record.status not in words:
        return []
    where = f" in step {', '.join(stopped)}" if stopped else ""
    return [f"{words[run.record.status]}{where}: what follows is what was finished."]


def warnings(run: RunView) -> list[Warning]:
    """What bears on the numbers: steps that gave nothing, their own warnings, the data sets' notes."""
    said: dict[str, list[StepView]] = {}
    for step in run.steps:
        if step.artifact is None:
            verb = {"failed": "failed", "interrupted": "was interrupted"}.get(step.record.status, "gave nothing")
            said.setdefault(f"The step {verb}: {step.problem}", []).append(step)
            continue
        dataset = run.dataset(step)
        notes = dataset.header.notes if dataset is not None and not step.record.inputs else ()
        for message in (*step.artifact.warnings, *notes):
            steps = said.setdefault(message, [])
            if step not in steps:
                steps.append(step)
    return [Warning(message, tuple(steps)) for message, steps in said.items()]
