"""The head of the page: one sentence, the key numbers, and every warning with its step."""

from __future__ import annotations

from dataclasses import dataclass

from fgic_core.report.cards import Card, best
from fgic_core.report.numbers import NO_FIGURE
from fgic_core.report.view import RunView, StepView


@dataclass(frozen=True)
class Warning:
    """Something that bears on the numbers, and the steps that said it."""

    message: str
    steps: tuple[StepView, ...]


def cards(run: RunView, faults: list[str] | None = None) -> list[Card]:
    """The key number of each step that has one; what a kind fails to say is added to the faults."""
    faults = faults if faults is not None else []
    found = (_card(step, faults) for step in run.steps if step.artifact is not None)
    return [card for card in found if card is not None]


def _card(step: StepView, faults: list[str]) -> Card | None:
    own = getattr(step.head, "card", None)
    try:
        return own(step) if own is not None else best(step)
    except Exception as error:  # of a kind from elsewhere; its numbers are shown all the same
        faults.append(f"step {step.name}: its key number cannot be had from its kind: {type(error).__name__}: {error}")
        return best(step)


def _clause(card: Card, faults: list[str]) -> str:
    try:
        return str(card.step.head.clause(card))
    except Exception as error:
        said = f"its kind cannot put its key number into words: {type(error).__name__}: {error}"
        faults.append(f"step {card.step.name}: {said}")
        return card.words()


def headline(run: RunView, faults: list[str] | None = None) -> str:
    """One sentence from the run's numbers, by those kinds that have words for theirs, and one for what went wrong.

    What a kind fails to say is added to the faults.
    """
    faults = faults if faults is not None else []
    found = [card for card in cards(run, faults) if hasattr(card.step.head, "clause")]
    several = {card.step.kind for card in found if sum(card.step.kind == other.step.kind for other in found) > 1}
    said: list[str] = []
    for card in found:
        if card.metric.value is None and not card.beside.startswith(NO_FIGURE):
            continue
        text = _clause(card, faults)
        if card.step.kind in several:
            text = f"{card.step.name}: {text}"
        said.append(text if said else text[:1].upper() + text[1:])
    sentences = ["; ".join(said) + "."] if said else ["This run measured no classifier."]
    sentences += _ending(run)
    return " ".join(sentences)


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
