"""A study's page: its comparisons by groups of test pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fgic_core.data.quantities import Quantity
from fgic_core.report import charts_study as draw
from fgic_core.report.figures import Chart, Figures
from fgic_core.study import words
from fgic_core.study.by_groups import LEAST_PICTURES, ByGroups, Grouped, GroupEffect
from fgic_core.study.effects import Comparison
from fgic_core.study.results import Results


@dataclass(frozen=True)
class Row:
    """A group in the table, its numbers in words.

    Attributes:
        better, other: what the two arms have.
        effect, interval, p: empty where there are too few pictures to say.
        holds: whether the effect holds after correction.
    """

    name: str
    pictures: int
    better: str
    other: str
    effect: str
    interval: str
    p: str
    holds: bool


@dataclass(frozen=True)
class Part:
    """The groups of one kind in the table.

    Attributes:
        by: what the groups are by; step: whose kind knows them.
        remark: what has to be known of them; may be empty.
        rows: one a group.
    """

    by: str
    step: str
    remark: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Shown:
    """A comparison by groups of pictures.

    Attributes:
        comparison: the two arms; chart: of all groups, None where there are none.
        parts: one for each kind of groups; problems: why there are no more.
        least: of so many independent pictures a group has a p.
    """

    comparison: Comparison
    chart: Chart | None
    parts: tuple[Part, ...]
    problems: tuple[str, ...]
    least: int = LEAST_PICTURES


def shown_groups(results: Results, figures: Figures) -> list[Shown]:
    """The comparisons of a study by groups of test pictures, as far as there are any."""
    found = [one for one in results.groups if one.grouped or one.problems]
    return [_shown(one, number, results.readings[0].quantity, figures) for number, one in enumerate(found)]


def _shown(one: ByGroups, number: int, quantity: Quantity, figures: Figures) -> Shown:
    parts = tuple(_part(each, quantity) for each in one.grouped)
    return Shown(one.comparison, _chart(one, number, quantity, figures), parts, one.problems)


def _chart(one: ByGroups, number: int, quantity: Quantity, figures: Figures) -> Chart | None:
    whole = one.comparison.effects[0]
    if not one.grouped or whole is None:
        return None
    drawn = [
        (
            each.cut.title,
            [
                (f"{row.name} (n = {row.pictures:,})", row.effect, None if math.isnan(row.p) else row.holds)
                for row in each.effects
            ],
        )
        for each in one.grouped
    ]
    lines = sum(1 + len(rows) for _, rows in drawn)
    return figures.draw(
        f"groups-{number}",
        draw.groups(drawn, whole, quantity),
        f"Effects of {one.comparison.name} by groups of test pictures; the table has the numbers.",
        size=(9.2, 1.2 + 0.23 * lines),
        caption="Coloured: it holds with the false discovery rate among all these groups controlled. Hollow: too few "
        "pictures to tell.",
        wide=True,
    )


def _part(each: Grouped, quantity: Quantity) -> Part:
    remarks = []
    if each.cut.steady < 1:
        remarks.append(
            f"each picture is in the group in which it is with most seeds; {_share(each.cut.steady)} are in "
            "the same one with all of them"
        )
    if each.without:
        remarks.append(f"{each.without:,} picture{'s are' if each.without > 1 else ' is'} in none")
    return Part(each.cut.title, each.cut.step, "; ".join(remarks), tuple(_row(one, quantity) for one in each.effects))


def _row(one: GroupEffect, quantity: Quantity) -> Row:
    told = not math.isnan(one.p)
    return Row(
        one.name,
        one.pictures,
        words.number(one.values[0], quantity),
        words.number(one.values[1], quantity),
        words.amount(one.effect.value, quantity, sign=True),
        words.interval(one.effect, quantity) if told else "",
        words.p_text(one.p),
        one.holds,
    )


def _share(value: float) -> str:
    return f"{math.floor(100 * value)} %"
