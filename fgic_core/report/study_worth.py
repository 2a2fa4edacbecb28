"""What stands on a study's page of the worth of synthetic pictures: sentences, the curve, the table, FID beside it."""

from __future__ import annotations

import math
from typing import Any

from fgic_core.data.quantities import Quantity, quantity
from fgic_core.metrics.two_way import Effect
from fgic_core.report import charts_worth as draw
from fgic_core.report.figures import Chart, Figures
from fgic_core.study import words, worth_words
from fgic_core.study.pictures import Counted
from fgic_core.study.results import Results
from fgic_core.study.worth import FORETELLING, QUALITIES, Quality, SyntheticWorth


def worth(results: Results, figures: Figures) -> dict[str, Any] | None:
    """By name, as the template wants it; None where the study does not ask."""
    found, row = results.worth, results.readings[0].quantity
    if found is None:
        return None
    shown = [name for name in QUALITIES if any(math.isfinite(one.value) for one in _all(found) if one.quantity == name)]
    charts = [_curve(found, row, figures), *(_foretells(found, name, figures) for name in FORETELLING)]
    notes = [*found.notes, *(worth_words.foretold(one) for one in found.foretells)]
    if not set(shown) & set(FORETELLING):
        notes += [worth_words.NO_FID]
    notes += [f"{point.arm} is no part of the curve, for {point.why}." for point in found.curve if point.why]
    return {
        "sentences": worth_words.sentences(found),
        "charts": [chart for chart in charts if chart is not None],
        "qualities": [quantity(name).label for name in shown],
        "rows": [*_targets(found, row, shown), *_points(found, row, shown)],
        "notes": notes,
        "how": worth_words.HOW,
    }


def _all(found: SyntheticWorth) -> list[Quality]:
    return [one for target in found.targets for one in target.qualities]


def _targets(found: SyntheticWorth, row: Quantity, shown: list[str]) -> list[dict[str, Any]]:
    return [
        {
            **_arm(one.arm, one.pictures, one.effect, row),
            "worth": "" if one.rate is None else worth_words.worth(one.rate),
            "span": "" if one.rate is None else worth_words.span(one.rate),
            "qualities": [_quality([had for had in one.qualities if had.quantity == name]) for name in shown],
            "why": one.why,
        }
        for one in found.targets
    ]


def _points(found: SyntheticWorth, row: Quantity, shown: list[str]) -> list[dict[str, Any]]:
    return [
        {
            **_arm(one.arm, one.pictures, one.effect, row),
            "worth": "the curve" if not one.why else "",
            "span": "",
            "qualities": [""] * len(shown),
            "why": one.why,
        }
        for one in found.curve
    ]


def _arm(name: str, pictures: Counted | None, effect: Effect | None, row: Quantity) -> dict[str, Any]:
    return {
        "arm": name,
        "real": "" if pictures is None else worth_words.pictures(pictures.real),
        "synthetic": "" if pictures is None else worth_words.pictures(pictures.synthetic),
        "value": "" if effect is None else words.number(effect.value, row),
        "value_span": "" if effect is None else words.interval(effect, row),
    }


def _quality(found: list[Quality]) -> str:
    """A quantity of an arm's generators, with its interval and n."""
    several = len(found) > 1
    said = []
    for one in found:
        if not math.isfinite(one.value):
            continue
        row = quantity(one.quantity)
        between = words.span(one.low, one.high, row)
        about = ", ".join(filter(None, (between, f"n = {one.n:,}" if one.n is not None else "")))
        name = f"{one.step}: " if several else ""
        said.append(f"{name}{words.number(one.value, row)}{f' ({about})' if about else ''}")
    return "; ".join(said)


def _curve(found: SyntheticWorth, row: Quantity, figures: Figures) -> Chart | None:
    points = [(one.pictures.real, one.effect) for one in found.measured if one.pictures and one.effect]
    targets = [
        draw.Reach(one.arm, one.effect.value, one.pictures.real, one.reached)
        for one in found.targets
        if one.effect is not None and one.pictures is not None and one.reached is not None
    ]
    if len(points) < 2:
        return None
    said = "; ".join(f"{real:,.0f} pictures {words.number(effect.value, row)}" for real, effect in points)
    where = "; and where the other arms lie on it" if targets else ""
    caption = (
        "A hollow mark: as many real pictures alone do as well, with the 95 % interval (an arrow: it goes beyond the "
        "curve). A dot: the real pictures that the arm has. Between them is what synthetic ones are worth."
    )
    return figures.draw(
        "worth",
        draw.curve(points, targets, row),
        f"{row.label} over the number of real train pictures: {said}{where}.",
        size=(9.2, 3.6 + 0.16 * len(targets)),
        caption=caption if targets else "Bars: 95 %. Of no other arm can be told where it lies on it.",
        wide=True,
    )


def _foretells(found: SyntheticWorth, name: str, figures: Figures) -> Chart | None:
    rates = {one.arm: one.rate for one in found.targets if one.rate is not None}
    for one in found.foretells:
        if one.quantity == name and len(one.arms) > 1:
            rows = [(arm, value, rates[arm]) for arm, value, _ in one.arms]
            said = "; ".join(f"{arm} {value:.4g} and {rate.value:.2f}" for arm, value, rate in rows)
            caption = "Bars: 95 % of the worth, as far as they are not open. No test: it describes these arms."
            alt = f"{name} and the worth of a synthetic picture: {said}."
            return figures.draw(f"worth-{name}", draw.against(rows, quantity(name)), alt, caption=caption)
    return None
