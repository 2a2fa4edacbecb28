"""What stands on a study's page of the way between two arms: a sentence, the waterfall of its parts, their table."""

from __future__ import annotations

from typing import Any

from fgic_core.report import charts_study as draw
from fgic_core.report.figures import Figures
from fgic_core.study import words
from fgic_core.study.results import Results


def decomposed(results: Results, figures: Figures) -> dict[str, Any] | None:
    """By name, as the template wants it; None where the study names no way."""
    found, quantity = results.decomposition, results.readings[0].quantity
    if found is None:
        return None
    first, last = found.way[0], found.way[-1]
    content = {"first": first, "last": last, "said": words.way(results), "rows": []}
    if found.whole is None:
        return content
    rows = [(one.name, one.before, one.arm, one.effect) for one in found.parts]
    rows.append(("all of it", first, last, found.whole))
    parts = [(one.name, one.effect) for one in found.parts]
    said = "; ".join(f"{name} {words.amount(effect.value, quantity, sign=True)}" for name, effect in parts)
    chart = figures.draw(
        "decomposition",
        draw.waterfall(
            parts,
            found.whole,
            quantity,
            found.start * results.readings[0].sign,
            ends=(first, last),
            title=f"From {first} to {last}, part by part",
        ),
        f"Parts of the way from {first} to {last}: {said}.",
        size=(9.2, 1.7 + 0.42 * len(parts)),
        wide=True,
    )
    table = [
        {
            "name": name,
            "before": before,
            "arm": arm,
            "value": words.amount(effect.value, quantity, sign=True),
            "span": words.interval(effect, quantity),
        }
        for name, before, arm, effect in rows
    ]
    return content | {"rows": table, "chart": chart, "counted": words.counted(found.whole)}
