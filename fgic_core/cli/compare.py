"""``fgic compare``: what the terminal says of runs that are compared picture by picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fgic_core.cli.output import console, printable, table
from fgic_core.errors import FgicError

if TYPE_CHECKING:
    from fgic_core.study.compare import ComparedRuns, Pair


def print_comparison(
    runs: Sequence[Path], steps: Sequence[str], measure: str, at: Sequence[str], store: Path | None, as_json: bool
) -> None:
    """Print how runs compare; see `fgic_core.study.compare.compare`.

    Args:
        at: such as ``eps=4/255``.
    """
    from fgic_core.study.compare import compare

    found = compare(runs, step=list(steps) or None, measure=measure, at=dict(map(_value, at)), store=store)
    if as_json:
        print(json.dumps(found.document(), indent=1, ensure_ascii=False))
        return
    for part in (_runs, _pairs, _overlap, _together):
        part(found)


def _value(text: str) -> tuple[str, float | str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise FgicError(f"--at {text} is no NAME=VALUE", hint="Such as --at eps=4/255.")
    try:
        return name, float(Fraction(value))
    except (ValueError, ZeroDivisionError):
        return name, value


def _runs(found: ComparedRuns) -> None:
    from fgic_core.study import words

    rows = table("", "run", "step", found.measure, "95 %")
    for run in found.runs:
        metric, row = run.metric, found.quantity
        span = ""
        if metric.low is not None and metric.high is not None:
            span = f"{words.number(metric.low, row)} to {words.number(metric.high, row)}"
        value = words.number(metric.value, row) if metric.value is not None else ""
        rows.add_row(run.name, printable(str(run.folder)), run.step, value, span)
    out = console()
    out.print(rows)
    pictures = f"{found.pictures:,} test picture{'s' * (found.pictures != 1)}"
    if found.clusters < found.pictures:
        pictures += f", of which duplicates count as one: {found.clusters:,}"
    out.print(f"\nOver the same {pictures}:\n")


def _pairs(found: ComparedRuns) -> None:
    from fgic_core.study import words

    judged = any(pair.models is not None for pair in found.pairs)
    more = ["right alone", "McNemar p" + ", Holm" * (len(found.pairs) > 1)] if judged else []
    rows = table("difference", "", "95 % over pictures", *more)
    for pair in found.pairs:
        span = words.interval(pair.difference, found.quantity)
        alone = [_alone(pair), words.p_text(pair.p if pair.p is not None else 1.0)] if judged else []
        size = words.amount(pair.difference.value, found.quantity, sign=True)
        rows.add_row(f"{pair.second} less {pair.first}", size, span, *alone)
    out = console()
    out.print(rows)
    out.print()
    if judged:
        out.print(
            "McNemar's test compares two models. Two seeds of one pipeline are two models too: it says nothing about "
            "a step.\nThat is for a study over several seeds (study: in the spec). The interval is of these two models "
            "likewise."
        )
    else:
        out.print("The interval is one of these two models: another seed of either pipeline is another model.")


def _alone(pair: Pair) -> str:
    """``A 21, B 34``."""
    if pair.models is None:
        return ""
    return f"{pair.first} {pair.models.first:,}, {pair.second} {pair.models.second:,}"


def _overlap(found: ComparedRuns) -> None:
    if found.together is None:
        return
    from fgic_core.study import words

    shared = found.together.overlap
    rows = table("of the errors of", *(f"also of {run.name}" for run in found.runs))
    for run, shares in zip(found.runs, shared.shared_errors, strict=True):
        rows.add_row(run.name, *(words.share(float(one)) for one in shares))
    out = console()
    out.print()
    out.print(rows)
    everybody = "both" if len(found.runs) == 2 else f"all {len(found.runs)}"
    nobody = "neither" if len(found.runs) == 2 else "none"
    out.print(
        f"\n{words.share(shared.all_right)} of the pictures {everybody} have right, {words.share(shared.all_wrong)} "
        f"{nobody} has."
    )


def _together(found: ComparedRuns) -> None:
    if found.together is None:
        return
    from fgic_core.study import words

    both, row = found.together, found.quantity
    out = console()
    out.print(
        f"{words.share(both.overlap.any_right)} at least one has right: so much a perfect choice among them would get, "
        "and none can get more."
    )
    if both.vote is None or both.gain is None:
        return
    span = words.interval(both.gain, row)
    over = f" (95 % {span})" if span else ""
    out.print(
        f"A vote, in which each answer weighs as much as its model's confidence in it, gets {words.share(both.vote)}: "
        f"{words.amount(both.gain.value, row, sign=True)}{over} against {both.best}, the best of them by these "
        "pictures.\n"
        "(Confidences in other classes are not kept; the mean of all probabilities may get more or less.)"
    )
