"""What a component takes, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: The steps that a step takes, by port: one's name, or the names of several where a port takes many.
Wiring = Mapping[str, "str | list[str]"]


@dataclass(frozen=True, slots=True)
class Input:
    """A port: what a component declares of something that it takes, ``inputs = {"teacher": Input("model")}``.

    Attributes:
        type: the type of artifact.
        auto: whether it is wired to the nearest earlier artifact of its type (one that takes `many`, to all of them);
            if not, ``from`` names the step.
        required: whether the component cannot do without.
        many: whether it takes several, as an ensemble does.
        at: ``use`` where learning does not see it; then it plays no part in what is learned.
        description: what it is for, for the schema and the help.
    """

    type: str
    auto: bool = True
    required: bool = True
    many: bool = False
    at: Literal["fit", "use"] = "fit"
    description: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError where the place is none that there is. (Types are of kinds: the registry knows them.)"""
        if self.at not in ("fit", "use"):
            raise ValueError(f"a port's at is one of fit, use, not {self.at!r}")

    @property
    def words(self) -> str:
        """What it takes, such as ``models (from, optional)``."""
        about = [] if self.auto else ["from"]
        about += [] if self.required else ["optional"]
        return self.type + "s" * self.many + (f" ({', '.join(about)})" if about else "")


def steps_of(given: str | list[str]) -> list[str]:
    """The steps that a port takes."""
    return given if isinstance(given, list) else [given]


def all_steps(wiring: Wiring) -> list[str]:
    """Every step that is taken, once."""
    return list(dict.fromkeys(step for given in wiring.values() for step in steps_of(given)))
