"""What synthetic pictures are worth, as rows and as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fgic_core.metrics.two_way import Effect
from fgic_core.study import worth_words as words
from fgic_core.study.worth import QUALITIES, Quality, SyntheticWorth, Target


def rows(found: SyntheticWorth) -> Iterator[dict[str, Any]]:
    """One row an arm: those that are asked about, then those of the curve.

    A number beyond the curve's ends is None, and its word says which: ``more than 2.1``.
    """
    for one in found.targets:
        yield {
            **_arm("target", one.arm, one.pictures, one.effect),
            **_rate(one),
            **_qualities(one.qualities),
            "why": one.why,
        }
    for point in found.curve:
        none = dict.fromkeys(_rate(None)) | _qualities(())
        yield {**_arm("curve", point.arm, point.pictures, point.effect), **none, "why": point.why}


def document(found: SyntheticWorth) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "answers": words.sentences(found),
        "arms": list(rows(found)),
        "foretells": [
            {
                "quantity": one.quantity,
                "spearman": _finite(one.rho),
                "arms": [{"arm": arm, one.quantity: value, "worth": worth} for arm, value, worth in one.arms],
            }
            for one in found.foretells
        ],
        "notes": list(found.notes),
    }


def _arm(role: str, arm: str, pictures: Any, effect: Effect | None) -> dict[str, Any]:
    return {
        "arm": arm,
        "role": role,
        "real": None if pictures is None else pictures.real,
        "synthetic": None if pictures is None else pictures.synthetic,
        "value": None if effect is None else _finite(effect.value),
        "low": None if effect is None else _finite(effect.low),
        "high": None if effect is None else _finite(effect.high),
        "seeds": None if effect is None else effect.seeds,
        "clusters": None if effect is None else effect.clusters,
    }


def _rate(one: Target | None) -> dict[str, Any]:
    reached, rate = (None, None) if one is None else (one.reached, one.rate)
    numbers = {
        f"{of}{end}": None if found is None else _finite(getattr(found, end[1:] or "value"))
        for of, found in (("as_good_as", reached), ("worth", rate))
        for end in ("", "_low", "_high")
    }
    said = {"worth_said": "", "worth_interval_said": ""}
    if rate is not None:
        said = {"worth_said": words.worth(rate), "worth_interval_said": words.span(rate)}
    return numbers | said


def _qualities(found: tuple[Quality, ...]) -> dict[str, Any]:
    """Those of the one generator of an arm; with several, which no column could tell apart, of none."""
    of = {one.quantity: one for one in found} if len({one.step for one in found}) == 1 else {}
    numbers: dict[str, Any] = {}
    for name in QUALITIES:
        for end in ("", "_low", "_high"):
            numbers[f"{name}{end}"] = _finite(getattr(of[name], end[1:] or "value")) if name in of else None
        numbers[f"{name}_n"] = of[name].n if name in of else None
    return numbers


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
