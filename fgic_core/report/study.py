"""The page of a study: the question and its answer first, then what they stand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fgic_core.data.quantities import Quantity, quantity
from fgic_core.errors import FgicError
from fgic_core.report import charts_study as draw
from fgic_core.report.figures import Chart, Figures
from fgic_core.report.html import environment
from fgic_core.report.pictures import Album, Picture
from fgic_core.report.section import rows_by_id
from fgic_core.report.study_decomposition import decomposed
from fgic_core.report.study_groups import shown_groups
from fgic_core.report.study_worth import worth
from fgic_core.study import words
from fgic_core.study.by_groups import LOOKED_AT
from fgic_core.study.effects import ClassEffect, Comparison, by_class, flipped
from fgic_core.study.readings import described
from fgic_core.study.results import Results

#: So many comparisons are put into words at the head of the page, and so many drawn; the table has all.
_SAID, _DRAWN = 20, 40
#: So many classes stand in a chart, half of them those that gain most.
_CLASSES = 24
#: So many flipped pictures of a comparison are shown.
_FLIPPED = 8
#: So many learning curves lie over each other.
_CURVES = 8
#: A class's effect holds where its p, among all classes, is below this.
_LEVEL = 0.05


@dataclass(frozen=True)
class Flip:
    """A picture that most seeds have right before and wrong after.

    Attributes:
        before, after: what the two arms see of it; the shares of seeds that have it right stand beside.
    """

    id: str
    label: str
    before: Picture
    after: Picture
    right_before: float
    right_after: float


@dataclass(frozen=True)
class Looked:
    """A comparison from near by.

    Attributes:
        comparison: the two arms.
        chart: of its classes; None where there are none.
        holds: classes whose effect holds after correction.
        lost, gained: how many pictures most seeds have right in one of the arms alone.
        flips: pictures that the better arm has right and the other wrong; flips_back: the other way round, with the
            other arm's picture as the first.
    """

    comparison: Comparison
    chart: Chart | None
    holds: tuple[ClassEffect, ...]
    lost: int
    gained: int
    flips: tuple[Flip, ...]
    flips_back: tuple[Flip, ...]


def write_study_report(folder: Path, results: Results) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` of a study, whatever became of its runs.

    The page is one file that loads nothing from outside and runs no script.

    Args:
        folder: of the study; results: what it shows.

    Returns:
        The path of ``report.html``.
    """
    page = _Page(folder, results)
    text = environment().get_template("study.html.j2").render(**page.content())
    path = folder / "report.html"
    beside = folder / "report.html.new"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


class _Page:
    """What stands on the page."""

    def __init__(self, folder: Path, results: Results) -> None:
        self.folder, self.results, self.record = folder, results, results.record
        self.first = results.readings[0]
        self.figures, self.album = Figures(folder / "figures"), Album()

    def content(self) -> dict[str, Any]:
        """By name, as the template wants it."""
        results, row = self.results, self.first.quantity
        family = [one for one in results.comparisons if one.in_family]
        return {
            "results": results,
            "record": self.record,
            "question": words.question(results),
            "answer": words.answer(results),
            "sentences": [words.sentence(one, results) for one in results.comparisons[:_SAID]],
            "unsaid": max(0, len(results.comparisons) - _SAID),
            "family": family,
            "beside": [one for one in results.comparisons if not one.in_family],
            "effects": self._effects(),
            "table": [self._row(one) for one in results.comparisons],
            "measures": [(described(one.measure), one.measure.step) for one in results.readings],
            "decomposed": decomposed(results, self.figures),
            "worth": worth(results, self.figures),
            "waterfall": self._waterfall(),
            "worths": self._worths(),
            "cost": self._cost(),
            "curves": self._curves(),
            "looked": [self._looked(one) for one in results.comparisons[:LOOKED_AT] if one.effects[0] is not None],
            "groups": shown_groups(results, self.figures),
            "seeds": self._seeds(),
            "problems": [(described(one.measure), problem) for one in results.readings for problem in one.problems],
            "failed": [run for run in self.record.runs if run.status != "finished"],
            "rule": words.RULE,
            "margin": words.amount(results.margin, row),
            "quantity": row,
            "spec": _text(self.folder / "resolved.yaml") or _text(self.folder / "spec.yaml"),
        }

    def _effects(self) -> Chart | None:
        known = [(one.name, one.effects[0], one.verdict) for one in self.results.comparisons if one.effects[0]]
        rows = known[:_DRAWN]
        if not rows:
            return None
        said = "; ".join(
            f"{name} {words.amount(effect.value, self.first.quantity, sign=True)}" for name, effect, _ in rows
        )
        return self.figures.draw(
            "effects",
            draw.effects(rows, self.results.margin, self.first.quantity),
            f"Effects with 95 % intervals: {said}.",
            size=(9.2, 1.5 + 0.42 * len(rows)),
            caption=f"The first {_DRAWN} of {len(known)}; the table has all." if len(known) > _DRAWN else "",
            wide=True,
        )

    def _row(self, one: Comparison) -> dict[str, Any]:
        cells = []
        for reading, effect in zip(self.results.readings, one.effects, strict=True):
            if effect is None:
                cells.append(("", ""))
            else:
                about = words.amount(effect.value, reading.quantity, sign=True)
                cells.append((about, words.interval(effect, reading.quantity)))
        judged = one.judged
        return {
            "comparison": one,
            "cells": cells,
            "p": words.p_text(words.deciding_p(one)),
            "flips": ""
            if judged is None
            else words.p_text(judged.p_sign_flip)
            if judged.sign_flip_can_speak
            else "cannot speak",
        }

    def _waterfall(self) -> Chart | None:
        found = self.results.combinations
        if found is None:
            return None
        start = self._mean(tuple(self.record.ablate)) * self.first.sign
        rows = [(one.step, one.shapley) for one in found.worths]
        said = "; ".join(f"{name} {words.amount(one.value, self.first.quantity, sign=True)}" for name, one in rows)
        return self.figures.draw(
            "shapley",
            draw.waterfall(rows, found.total, self.first.quantity, start),
            f"Shapley values: {said}.",
            size=(9.2, 1.7 + 0.42 * len(rows)),
            wide=True,
        )

    def _mean(self, left_out: Sequence[str]) -> float:
        """What the arm without these steps measures, at the baseline's levels."""
        base = next(arm for arm in self.record.arms if arm.name == self.record.baseline)
        for number, arm in enumerate(self.record.arms):
            same = all(base.levels.get(path) == level for path, level in arm.levels.items())
            if set(arm.left_out) == set(left_out) and same and not arm.oracle:
                return float(np.nanmean(self.first.values[number]))
        return 0.0

    def _worths(self) -> list[dict[str, Any]]:
        if (found := self.results.combinations) is None:
            return []

        def cell(effect: Any) -> tuple[str, str]:
            return words.amount(effect.value, self.first.quantity, sign=True), words.interval(
                effect, self.first.quantity
            )

        rows = [
            {"name": one.step, "cells": [cell(one.leave_one_out), cell(one.add_one_in), cell(one.shapley)]}
            for one in found.worths
        ]
        beside = [("all of them", found.total)]
        beside += [(f"{one.one} with {one.other}", one.effect) for one in found.pairs]
        return [*rows, *({"name": name, "cells": [("", ""), ("", ""), cell(effect)]} for name, effect in beside)]

    def _cost(self) -> Chart | None:
        rows = []
        for a, arm in enumerate(self.record.arms):
            seconds = []
            for seed in self.record.seeds:
                run = self.results.source.run(arm.name, seed)
                try:
                    seconds += [self.results.source.seconds(run, trainings_alone=True)] if run is not None else []
                except FgicError:
                    continue
            values = self.first.values[a][np.isfinite(self.first.values[a])]
            if seconds and len(values):
                rows.append((arm.name, float(np.mean(seconds)), float(values.mean())))
        if len(rows) < 2:
            return None
        said = "; ".join(f"{name} {seconds:.3g} s" for name, seconds, _ in rows[:20])
        return self.figures.draw("cost", draw.cost(rows, self.first.quantity), f"Cost of the arms: {said}.")

    def _curves(self) -> Chart | None:
        """Validation curves of the first measure's step, of the baseline and the arms that are compared with it."""
        names = {self.record.baseline: None}
        for one in self.results.comparisons:
            names |= {one.better: None, one.other: None}
        lines: dict[str, Mapping[int, Sequence[float]]] = {}
        for arm in [name for name in names if name][:_CURVES]:
            points: dict[int, list[float]] = {}
            for seed in self.record.seeds:
                for epoch, value in self._points(arm, seed):
                    points.setdefault(epoch, []).append(value)
            if len(points) > 1:
                lines[arm] = points
        if not lines:
            return None
        row = quantity(self.first.measure.quantity)
        said = f"Learning curves of {', '.join(lines)}."
        return self.figures.draw("curves", draw.curves(lines, row), said)

    def _points(self, arm: str, seed: int) -> list[tuple[int, float]]:
        run = self.results.source.run(arm, seed)
        step = (
            next((one for one in run.steps if one.name == self.first.measure.step), None) if run is not None else None
        )
        if step is None or step.status not in ("computed", "reused"):
            return []
        try:
            learned = self.results.source.learned(step.folder)
        except FgicError:
            return []
        name = self.first.measure.quantity
        return [(p.epoch, p.value) for one in learned for p in one.curves if p.split == "val" and p.name == name]

    def _looked(self, one: Comparison) -> Looked:
        arms = [arm.name for arm in self.record.arms]
        better, other = arms.index(one.better), arms.index(one.other)
        found = by_class(self.first, better, other)
        holds = tuple(row for row in found if row.p < _LEVEL)
        chart = None
        if len(found) > 1:
            half = _CLASSES // 2
            some = found if len(found) <= _CLASSES else (*found[:half], *found[-half:])
            number = arms.index(one.better) * len(arms) + arms.index(one.other)
            title = f"Classes: {one.name}" if len(found) <= _CLASSES else f"Classes that gain and lose most: {one.name}"
            rows = [(f"{row.name} (n = {row.pictures})", row.effect, row in holds) for row in some]
            said = f"Effects of {one.name} on {len(some)} classes."
            chart = self.figures.draw(
                f"classes-{number}",
                draw.classes(rows, self.first.quantity, title),
                said,
                size=(4.7, 1.3 + 0.2 * len(some)),
                caption="Coloured: p < 0.05 with the false discovery rate among all classes controlled.",
            )
        answers = self.first.outcomes
        binary = answers is not None and bool(np.isin(answers[np.isfinite(answers)], (0.0, 1.0)).all())
        lost = flipped(self.first, better, other) if binary else []
        gained = flipped(self.first, other, better) if binary else []
        flips = self._flips((one.better, one.other), lost)
        return Looked(one, chart, holds, len(lost), len(gained), flips, self._flips((one.other, one.better), gained))

    def _flips(self, arms: tuple[str, str], rows: Sequence[tuple[str, float, float]]) -> tuple[Flip, ...]:
        """Some pictures that the first of two arms has right and the second wrong."""
        return tuple(self._flip(arms, *row) for row in self._of_many_classes(rows)[:_FLIPPED])

    def _of_many_classes(self, rows: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
        """Flipped pictures in an order in which the first ones are of many classes."""
        place, seen = {name: number for number, name in enumerate(self.first.ids)}, Counter[int]()
        ordered = []
        for row in rows:
            label = int(self.first.labels[place[row[0]]]) if self.first.labels is not None else -1
            ordered.append((seen[label], row))
            seen[label] += 1
        return [row for _, row in sorted(ordered, key=lambda one: one[0])]

    def _flip(self, arms: tuple[str, str], name: str, before: float, after: float) -> Flip:
        label = ""
        if self.first.labels is not None and self.first.classes:
            number = int(self.first.labels[self.first.ids.index(name)])
            label = self.first.classes[number] if number >= 0 else ""
        pictures = []
        for arm in arms:
            dataset = self.results.source.dataset(arm, self.first.measure.step)
            row = rows_by_id(dataset, [name]).get(name)
            pictures.append(self.album.shown(dataset, row, f"{name} as {arm} has it", side=160))
        return Flip(name, label, pictures[0], pictures[1], before, after)

    def _seeds(self) -> list[dict[str, Any]]:
        """Every number of the first measure: a row an arm, a column a seed."""
        rows = []
        for arm, values in zip(self.record.arms, self.first.values, strict=True):
            known = values[np.isfinite(values)]
            rows.append(
                {
                    "arm": arm.name,
                    "differs": words.differs(self.record, arm),
                    "mean": _value(float(known.mean()), self.first.quantity) if len(known) else "",
                    "sd": _value(float(known.std(ddof=1)), self.first.quantity) if len(known) > 1 else "",
                    "values": [
                        _value(float(value), self.first.quantity) if np.isfinite(value) else "" for value in values
                    ],
                }
            )
        return rows


def _value(value: float, row: Quantity) -> str:
    return f"{100 * value:.1f}" if row.unit == "fraction" else f"{value:.4g}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
