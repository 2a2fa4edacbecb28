"""The Jinja environment of the report: everything that is not our own template text is escaped."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fgic_core.data.quantities import quantity
from fgic_core.report import numbers

TEMPLATES = Path(__file__).parent / "templates"


def _option(value: Any) -> str:
    """An option's value as it would stand in a spec."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _of_package(name: str) -> str | None:
    """The text of a template that lies in a package, ``package/file``; None where there is none."""
    package, slash, file = name.partition("/")
    if not slash or "/" in file or find_spec(package) is None:
        return None
    place = resources.files(package).joinpath(file)
    return place.read_text(encoding="utf-8") if place.is_file() else None


@cache
def environment() -> Environment:
    """The environment with the report's templates and filters."""
    jinja = Environment(
        loader=ChoiceLoader([FileSystemLoader(TEMPLATES), FunctionLoader(_of_package)]),
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
