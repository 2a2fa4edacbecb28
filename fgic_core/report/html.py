"""The Jinja environment of the report: everything that is not our own template text is escaped."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fgic_core.data.quantities import quantity
from fgic_core.report import numbers

TEMPLATES = Path(__file__).parent / "templates"


def _option(value: Any) -> str:
    """An option's value as it would stand in a spec."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def environment() -> Environment:
    """The environment with the report's templates and filters."""
    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        percent=numbers.percent,
        number=numbers.number,
        amount=numbers.amount,
        interval=numbers.interval,
        seconds=numbers.seconds,
        moment=numbers.moment,
        label=numbers.label,
        arrow=numbers.arrow,
        on=numbers.on,
        unit=lambda metric: quantity(metric.name).unit,
        eps=numbers.eps_text,
        option=_option,
    )
    jinja.globals.update(plural=numbers.plural)
    # The style sheet is a file of this package and holds no character that ends a style element.
    jinja.globals["css"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704
    return jinja
