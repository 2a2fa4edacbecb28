"""A study's answer in words, with its numbers."""

from __future__ import annotations

import math

from fgic_core.data.quantities import Quantity
from fgic_core.metrics.pairs import Interval
from fgic_core.metrics.power import Foretold
from fgic_core.metrics.two_way import Effect
from fgic_core.metrics.verdicts import FEW_SEEDS, LEAST_SEEDS, LEVEL, STRICT_LEVEL, Judged
from fgic_core.store.study import ArmRecord, StudyRecord
from fgic_core.study.effects import Comparison, level_said, same_level
from fgic_core.study.results import Results

#: How the verdicts are come to; it stands below every table of them.
RULE = (
    "equivalent: the effect lies within the margin either way (two one-sided tests); this takes precedence. necessary: "
    "leaving the step out costs more than the margin. helpful: it costs something. harmful: it gains something. "
    "undecided: none of these could be shown. Each needs a p below "
    f"{LEVEL:g} ({STRICT_LEVEL:g} with fewer than {FEW_SEEDS} seeds; with fewer than {LEAST_SEEDS} nothing is decided"
    "), Holm-adjusted over the comparisons of the study, by t with one degree of freedom less than seeds, over the "
    "variance of seeds and of test pictures together. It assumes that seeds' differences are about symmetric: what no "
    "seed has shown, such as a training that seldom fails, is not counted. Intervals are 95 % and not adjusted."
)


def amount(value: float, quantity: Quantity, *, sign: bool = False) -> str:
    """A number of a quantity, or a difference of two: ``+3.2 points`` of fractions."""
    if not math.isfinite(value):
        return "not known"
    if quantity.unit == "fraction":
        return f"{100 * value:{'+' if sign else ''}.1f} points"
    text = f"{value:{'+' if sign else ''}.4g}"
    return f"{text} {quantity.unit}" if quantity.unit else text


def number(value: float, quantity: Quantity) -> str:
    """A number of a quantity: ``81.3 %`` of a fraction."""
    if quantity.unit == "fraction":
        return share(value)
    return f"{value:.4g} {quantity.unit}".strip()


def share(value: float) -> str:
    """``81.3 %``; empty where there is none."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else ""


def interval(effect: Effect | Interval, quantity: Quantity, *, size: bool = False) -> str:
    """``-0.4 to 2.1``, in points of fractions; empty where there is none.

    Args:
        effect: whose; quantity: of what.
        size: of the effect's size, so that the greater part of it is above 0.
    """
    low, high = (-effect.high, -effect.low) if size and effect.value < 0 else (effect.low, effect.high)
    return span(low, high, quantity)


def span(low: float, high: float, quantity: Quantity) -> str:
    """``-0.4 to 2.1``, in points of fractions; empty where there is no such interval."""
    if not math.isfinite(low):
        return ""
    scale = 100 if quantity.unit == "fraction" else 1
    digits = ".1f" if quantity.unit == "fraction" else ".4g"
    return f"{scale * low:{digits}} to {scale * high:{digits}}"


def counted(effect: Effect) -> str:
    """``7 seeds, 160 test pictures``."""
    seeds = f"{effect.seeds} seed{'s' * (effect.seeds != 1)}"
    if not effect.clusters:
        return seeds
    return f"{seeds}, {effect.clusters:,} test picture{'s' * (effect.clusters != 1)}"


def sentence(one: Comparison, results: Results) -> str:
    """One comparison in words: what was seen, and what that shows."""
    quantity, effect = results.readings[0].quantity, one.effects[0]
    measure = _within(quantity.label)
    if effect is None:
        return f"{one.name}: nothing can be said, for {one.why}."
    span = interval(effect, quantity, size=True)
    between = f" (95 % {span}; {counted(effect)})" if span else f" ({counted(effect)})"
    size = amount(abs(effect.value), quantity)
    none = size == amount(0.0, quantity)
    more = results.readings[0].sign > 0
    up = (effect.value >= 0) == more  # whether the number of the arm that should be better is greater
    if one.role == "step":
        changes = "changes" if none else "lowers" if up else "raises"
        said = f"Leaving {one.name} out {changes} {measure} by {size}{between}"
    else:
        named = one.role in ("arm", "beside")  # its name is as it was written
        name, than = (one.name, f" {{}} {one.other}'s") if named else (_capital(one.name), "")
        apart = f"apart{than.format('from')}" if none else f"{'higher' if up else 'lower'}{than.format('than')}"
        said = f"{name}: {measure} is {size} {apart}{between}"
    if one.judged is None:
        return f"{said}; it is in no family of tests."
    return f"{said}: {one.verdict}.{_settled(one)}{_flips(one.judged)}"


def _settled(one: Comparison) -> str:
    if one.verdict != "undecided":
        return ""
    if one.judged is not None and one.judged.effect.seeds < LEAST_SEEDS:
        return f" Fewer than {LEAST_SEEDS} seeds decide nothing."
    if one.needed is None:
        return ""
    as_what = "as equivalent" if one.needed.equivalent else "as a difference"
    ways = [f"{one.needed.seeds:,} seeds"] if one.needed.seeds is not None else []
    ways += [f"{one.needed.pictures:,} test pictures"] if one.needed.pictures is not None else []
    if one.needed.both is not None:
        ways = ["{:,} seeds with {:,} test pictures".format(*one.needed.both)]
    if not ways:
        return " No number of seeds and pictures that can be had would settle it."
    return f" If what was seen is how it is, {' or '.join(ways)} would settle it {as_what} (80 % power)."


def _flips(judged: Judged) -> str:
    if judged.effect.seeds < 2:
        return ""
    if not judged.sign_flip_can_speak:
        return f" The sign-flip test cannot go below {judged.sign_flip_floor:.2g} here."
    return f" Sign-flip test over seeds: p = {judged.p_sign_flip:.2g}."


def differs(record: StudyRecord, arm: ArmRecord) -> str:
    """What of an arm is not as in the baseline; of the baseline, its levels."""
    base = next(one for one in record.arms if one.name == record.baseline)
    said = [f"without {', '.join(arm.left_out)}"] if arm.left_out else []
    said += ["test crops to annotated boxes"] if arm.oracle else []
    for path, level in arm.levels.items():
        if arm is base or path not in base.levels or not same_level(level, base.levels[path]):
            said.append(f"{path}: {level_said(level)}")
    return "; ".join(said)


def deciding_p(one: Comparison) -> float:
    """The p that a verdict stands on: of its own null; of what is undecided that of no effect."""
    if one.judged is None:
        return math.nan
    own = {"equivalent": one.judged.p_equivalent, "above margin": one.judged.p_margin}
    return own.get(one.judged.verdict.value, one.judged.p_zero)


def p_text(value: float) -> str:
    """A p for a table."""
    return "" if not math.isfinite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def question(results: Results) -> str:
    """What the study asks."""
    record, asked = results.record, []
    quantity = results.readings[0].quantity
    if record.ablate:
        several = len(record.ablate) > 1
        asked.append(f"{'which of the steps' if several else 'does step'} {_listed(record.ablate)} help{'s' * several}")
    asked += [f"which level of {_listed(list(record.axes))} is best"] if record.axes else []
    arms = [one.name for one in results.comparisons if one.role == "arm"]
    if arms:
        whose = "arm" if len(arms) == 1 else "arms"
        asked.append(f"how {'does' if len(arms) == 1 else 'do'} {whose} {_listed(arms)} compare with {record.baseline}")
    if record.decompose:
        asked.append(f"what lies between {record.decompose[0].arm} and {record.decompose[-1].arm}")
    return f"{_capital('; '.join(asked) if asked else 'how far do seeds differ')}, by {_within(quantity.label)}?"


def answer(results: Results) -> str:
    """What came out, in a sentence, and in another what a way between arms is made of."""
    by_verdict: dict[str, list[str]] = {}
    for one in results.comparisons:
        if one.in_family:
            by_verdict.setdefault(one.verdict, []).append(one.name)
    parts = [f"{verdict}: {_listed(names)}" for verdict, names in by_verdict.items()]
    verdicts = f"{_capital('; '.join(parts))}." if parts else ""
    return f"{verdicts} {way(results)}".strip() or "There is no comparison in it."


def way(results: Results) -> str:
    """The parts of a decomposition and their whole, in a sentence; empty where there is none."""
    found, quantity = results.decomposition, results.readings[0].quantity
    if found is None:
        return ""
    between = f"From {found.way[0]} to {found.way[-1]}"
    if found.whole is None:
        return f"{between}, nothing can be said, for {found.why}."
    size, span = amount(abs(found.whole.value), quantity), interval(found.whole, quantity, size=True)
    up = (found.whole.value >= 0) == (results.readings[0].sign > 0)
    moves = "does not change" if size == amount(0.0, quantity) else f"{'rises' if up else 'falls'} by {size}"
    sign = results.readings[0].sign
    parts = [f"{one.name} {amount(sign * one.effect.value, quantity, sign=True)}" for one in found.parts]
    return f"{between}, {_within(quantity.label)} {moves}{f' (95 % {span})' if span else ''}: {_listed(parts)}."


def foretold(
    shown: Foretold, margin: float, quantity: Quantity, seeds: int, pictures: int, comparisons: int
) -> list[str]:
    """What a study will be able to show, in lines.

    Args:
        shown: see `fgic_core.metrics.power.foretell`.
        margin: in the unit of the quantity.
        quantity: the first measure's.
        seeds, pictures, comparisons: how many.
    """
    on = f"{seeds} seeds and {pictures:,} test pictures" if pictures else f"{seeds} seeds"
    if not math.isfinite(shown.effect):
        return [f"With {on} nothing can be shown: it takes {LEAST_SEEDS} seeds to decide anything."]
    lines = [
        f"With {on} an effect of {amount(shown.effect, quantity)} is told apart with 80 % power, a smaller one seldom."
    ]
    if margin > 0 and shown.margin > margin:
        lines.append(
            f"Equivalence within {amount(margin, quantity)} cannot be counted on: {amount(shown.margin, quantity)} is "
            "the smallest margin within which pipelines that do not differ are proved equivalent with 80 % power."
        )
    elif margin > 0:
        lines.append(f"Pipelines that do not differ are proved equivalent within {amount(shown.margin, quantity)}.")
    if not shown.sign_flip:
        floor = min(1.0, 2.0 ** (1 - seeds) * max(1, comparisons))
        lines.append(
            f"The sign-flip test cannot go below p = {floor:.4g} with {seeds} seeds and "
            f"{comparisons} comparison{'s' * (comparisons != 1)}: it takes {shown.sign_flip_seeds} seeds."
        )
    return lines


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _within(label: str) -> str:
    """A label in the midst of a sentence: ``accuracy``, but ``FID``."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
