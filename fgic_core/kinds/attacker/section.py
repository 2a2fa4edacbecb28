"""Robustness: accuracy against eps, checks for gradient masking, adversarial examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fgic_core.data.artifact import Metric
from fgic_core.report import charts as draw
from fgic_core.report.cards import Card, without_figure
from fgic_core.report.figures import Chart
from fgic_core.report.numbers import OF_TRAIN, eps_text, is_of_train, label, percent, with_interval
from fgic_core.report.pictures import Picture
from fgic_core.report.section import Article, ReportContext, Section, article, name_of
from fgic_core.report.view import StepView

TRIPLES = 8
#: What the names of the checks for gradient masking begin with.
CHECK = "check_"
#: What a check's verdict is called; without one its number speaks for itself.
VERDICTS = {"pass": "pass", "expected": "expected", "flag": "flagged", "": "no verdict"}


@dataclass(frozen=True)
class Triple:
    """A picture, its adversarial version, and what was added, magnified."""

    clean: Picture
    adversarial: Picture
    perturbation: Picture
    id: str
    eps: str
    label: str
    before: str
    after: str
    confidence: float | None

    @property
    def fooled(self) -> bool:
        return self.before != self.after


def section(steps: Sequence[StepView], report: ReportContext) -> Section:
    """The section of all attacker steps, with all of one norm in one chart where there are several."""
    articles = [article(step, report, f"{__package__}/section.html.j2", _build) for step in steps]
    made = Section("robustness", "Robustness", "", articles)
    by_norm: dict[str, list[draw.Sweep]] = {}
    for step in steps:
        if found := sweep(step):
            by_norm.setdefault(norm(step), []).append((step.name, found))
    made.charts = [_chart(report, f"attacks-{name}", lines, name) for name, lines in by_norm.items() if len(lines) > 1]
    return made


def card(step: StepView) -> Card | None:
    """The key number: the robust accuracy at the largest eps, beside the clean one."""
    points = sweep(step)
    if not points:
        return None
    eps, metric = points[-1]
    title = f"Robust accuracy, eps {eps_text(eps, norm(step))} ({norm(step)})"
    attacked = step.metric("clean_accuracy")
    if attacked is not None and is_of_train(attacked):
        return without_figure(title, step)
    clean = f"clean {percent(points[0][1].value)}" if points[0][0] == 0 and eps > 0 else ""
    return Card(title, metric, step, clean)


def clause(card: Card) -> str:
    """The key number in words."""
    if card.metric.value is None:
        return card.words()
    eps, metric = sweep(card.step)[-1]
    before = f" ({card.beside})" if card.beside else ""
    return f"robust accuracy {with_interval(metric)} at eps {eps_text(eps, norm(card.step))}{before}"


def norm(step: StepView) -> str:
    """The norm that a step's eps is measured in."""
    return next((str(metric.at["norm"]) for metric in step.metrics if "norm" in metric.at), "Linf")


def sweep(step: StepView) -> list[tuple[float, Metric]]:
    """Robust accuracy by eps, ascending, from the clean accuracy on."""
    found = {
        eps: metric
        for metric in step.metrics
        if metric.name == "robust_accuracy"
        and metric.value is not None
        and isinstance(eps := metric.at.get("eps"), float)
    }
    clean = step.metric("clean_accuracy")
    if clean is not None and found:
        found.setdefault(0.0, clean)
    return sorted(found.items())


def _chart(report: ReportContext, name: str, lines: list[draw.Sweep], norm: str) -> Chart:
    said = "; ".join(
        f"{title}: " + ", ".join(f"{percent(metric.value)} at eps {eps_text(eps, norm)}" for eps, metric in points)
        for title, points in lines
    )
    return report.figures.draw(name, draw.accuracy_against_eps(lines, norm), f"Robust accuracy against eps. {said}.")


def _build(step: StepView, report: ReportContext, made: Article) -> None:
    points, measure = sweep(step), norm(step)
    if any(is_of_train(metric) for metric in step.metrics):
        made.notices.append(OF_TRAIN)
    if points:
        made.charts.append(_chart(report, f"{step.slug}-eps", [(step.name, points)], measure))
    else:
        made.notices.append("This step measured no robust accuracy.")
    checks = [metric for metric in step.metrics if metric.name.startswith(CHECK)]
    names = list(dict.fromkeys(metric.name for metric in step.metrics))
    others = [metric for metric in step.metrics if not metric.name.startswith(CHECK)]
    made.metrics = sorted(others, key=lambda metric: names.index(metric.name))
    made.aside = f"{__package__}/aside.html.j2"
    made.content = {
        "checks": checks,
        "verdicts": VERDICTS,
        "judgement": _judgement(checks),
        "warnings": step.artifact.warnings if step.artifact else [],
        "triples": _triples(step, report, measure, made),
    }


def _judgement(checks: list[Metric]) -> str:
    """What the checks came to, in a sentence."""
    flagged = [label(check.name) for check in checks if check.verdict == "flag"]
    if flagged:
        return f"Flagged: {', '.join(flagged)}. The robust accuracies of this attack are too high to be trusted."
    if any(check.verdict == "expected" for check in checks):
        return (
            "Nothing was flagged. As a one-step attack it loses to attacks of many steps: its numbers are upper bounds."
        )
    return "Nothing was flagged." if any(check.verdict == "pass" for check in checks) else ""


def _triples(step: StepView, report: ReportContext, norm: str, made: Article) -> list[Triple]:
    path = step.folder / "examples" / "examples.json"
    if not path.exists():
        made.notices.append("This step kept no examples.")
        return []
    examples: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    classes = report.run.classes(step)
    found = []
    for example in examples[:TRIPLES]:
        clean, adversarial, perturbation = (
            report.album.file(step.folder / "examples" / f"{example['row']}_{kind}.png", f"{example['id']}, {words}")
            for kind, words in (
                ("clean", "clean"),
                ("adversarial", "adversarial"),
                ("perturbation", "perturbation, magnified"),
            )
        )
        label, before, after = (name_of(classes, example.get(key)) for key in ("label", "clean", "adversarial"))
        eps = eps_text(float(example["eps"]), norm)
        confidence = example.get("confidence")
        found.append(Triple(clean, adversarial, perturbation, example["id"], eps, label, before, after, confidence))
    return found
