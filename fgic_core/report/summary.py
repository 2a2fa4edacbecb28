"""The head of the page: one sentence, the key numbers, and every warning with its step."""

from __future__ import annotations

from dataclasses import dataclass

from fgic_core.data.artifact import Metric
from fgic_core.data.quantities import headlines
from fgic_core.kinds.attacker.section import norm, sweep
from fgic_core.kinds.generator import section as generation
from fgic_core.report.numbers import (
    NO_FIGURE,
    eps_text,
    is_of_train,
    label,
    number,
    percent,
    plural,
    with_interval,
)
from fgic_core.report.view import RunView, StepView

#: The pointing games, and in whose box the map's peak lies.
_POINTING = {"pointing_game": "the object's box", "pointing_detected": "the box that a detector found"}
#: From so many times the share of a guess on, that of the most frequent class is named too.
IMBALANCED = 1.5
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
        return _robustness_card(step)
    if generation.is_generator(step) and (made := _generator_card(step)) is not None:
        return made
    names = [name for name in headlines() if any(metric.name == name for metric in step.metrics)]
    known = [metric for name in names for metric in step.metrics if metric.name == name and not is_of_train(metric)]
    for name in names:
        here = [metric for metric in known if metric.name == name and metric.value is not None]
        found = step.metric(name, "test", "val") or next(iter(here), None)
        if found is not None:
            return Card(_title(found), found, step, _beside(step, found))
    if known:
        return Card(_title(known[0]), known[0], step, known[0].note)
    return _without_figure(label(names[0]), step) if names else None


def _without_figure(title: str, step: StepView) -> Card:
    """The card of a step that measured train pictures alone."""
    return Card(title, Metric(name="", value=None), step, f"{NO_FIGURE}: train pictures alone were measured")


def _robustness_card(step: StepView) -> Card | None:
    points = sweep(step)
    if not points:
        return None
    eps, metric = points[-1]
    title = f"Robust accuracy, eps {eps_text(eps, norm(step))} ({norm(step)})"
    attacked = step.metric("clean_accuracy")
    if attacked is not None and is_of_train(attacked):
        return _without_figure(title, step)
    clean = f"clean {percent(points[0][1].value)}" if points[0][0] == 0 and eps > 0 else ""
    return Card(title, metric, step, clean)


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
    if metric.name in _POINTING:
        return name
    split = _SPLITS.get(metric.split, "")
    return f"{split} {name[:1].lower() + name[1:] if name[1:2].islower() else name}" if split else name


def _beside(step: StepView, metric: Metric) -> str:
    if metric.name == "accuracy" and (classes := step.metric("classes", metric.split)) is not None and classes.value:
        guess = 1 / classes.value
        most = step.metric("majority_accuracy", metric.split)
        common = most is not None and most.value is not None and most.value >= IMBALANCED * guess
        return f"guessing {percent(guess)}" + (
            f", most frequent class {percent(most.value)}" if most and common else ""
        )
    if metric.name in _POINTING:
        return ", ".join(f"{title} {percent(value)}" for title, value in _baselines(step, metric.name))
    return ""


def _baselines(step: StepView, game: str) -> list[tuple[str, float | None]]:
    """What a pointing game is read beside: on crops any point hits often."""
    names = (("centre", f"{game}_center"), ("random point", f"{game}_random"))
    return [(title, found.value) for title, name in names if (found := step.metric(name)) is not None]


def headline(run: RunView) -> str:
    """One sentence from the run's numbers, and one for what went wrong."""
    found = cards(run)
    several = {step.type for step in run.steps if sum(card.step.type == step.type for card in found) > 1}
    said: list[str] = []
    for card in found:
        if card.step.type not in ("model", "explanations", "robustness"):
            continue
        if card.metric.value is None and not card.beside.startswith(NO_FIGURE):
            continue
        text = _clause(card)
        if card.step.type in several:
            text = f"{card.step.name}: {text}"
        said.append(text if said else text[:1].upper() + text[1:])
    sentences = ["; ".join(said) + "."] if said else ["This run measured no classifier."]
    sentences += _ending(run)
    return " ".join(sentences)


def _clause(card: Card) -> str:
    """What a key number says, in words."""
    number = with_interval(card.metric)
    title = card.title[:1].lower() + card.title[1:]
    if card.metric.value is None:
        return f"{title}: {card.beside}"
    if card.step.type == "model":
        classes = card.step.metric("classes", card.metric.split)
        count = int(classes.value) if classes is not None and classes.value else 0
        return f"{title} {number}" + (f" over {plural(count, 'class', 'classes')}" if count else "")
    if card.metric.name in _POINTING:
        name = card.metric.name
        said = " and ".join(f"{percent(value)} for the {title}" for title, value in _baselines(card.step, name))
        beside = f", beside {said}" if said else ""
        return f"the map's peak lies in {_POINTING[name]} in {number} of the pictures" + beside
    if card.step.type == "robustness":
        eps, metric = sweep(card.step)[-1]
        before = f" ({card.beside})" if card.beside else ""
        return f"robust accuracy {with_interval(metric)} at eps {eps_text(eps, norm(card.step))}{before}"
    return f"{title} {number}"


def _ending(run: RunView) -> list[str]:
    stopped = [step.name for step in run.steps if step.record.status in ("failed", "interrupted")]
    words = {
        "failed": "The run failed",
        "interrupted": "The run was interrupted",
        "running": "The run had not ended",
        "killed": "The run was killed",
    }
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
