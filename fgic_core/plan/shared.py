"""What the plans of a study's runs have in common: a step that is planned alike in two runs is planned once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fgic_core.plan.planned import PlannedStep
from fgic_core.plan.reasons import is_document
from fgic_core.spec import SpecStep
from fgic_core.store.store import Store


class Shared:
    """Plans of one store that are made together.

    Attributes:
        made: the keys of what these runs have computed.
        planned: how many steps were planned, those that were the same counted once.
    """

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.planned = 0
        # By what decides how a step is planned. Described components and inputs are told by their identity, which is
        # theirs as long as this holds them.
        self._known: dict[tuple[Any, ...], PlannedStep] = {}
        self._unfinished: frozenset[str] | None = None
        self._last: dict[tuple[str, str], dict[str, Any] | None] = {}

    def once(self, step: SpecStep, inputs: list[PlannedStep], plan: Callable[[], PlannedStep]) -> PlannedStep:
        """The step as it is planned, which is worked out where none like it was before.

        Args:
            step: the step; inputs: those that it takes, as they are planned.
            plan: plans it.
        """
        wiring = tuple(
            (port, tuple(given) if isinstance(given, list) else given) for port, given in step.inputs.items()
        )
        seeds = (step.seed, *sorted(step.streams.items())) if step.described.any_draws else ()
        recipe = (step.name, id(step.described), seeds, wiring, *map(id, inputs))
        if recipe not in self._known:
            self._known[recipe] = plan()
            self.planned += 1
        return self._known[recipe]

    def is_unfinished(self, key: str, store: Store) -> bool:
        """Whether there may be a checkpoint, by a look that is taken once."""
        if self._unfinished is None:
            self._unfinished = store.unfinished()
        return key in self._unfinished

    def last(self, spec: str, step: str, look: Callable[[str, str], dict[str, Any] | None]) -> dict[str, Any] | None:
        """The key document that the store remembers of a step, which is looked up once."""
        if (spec, step) not in self._last:
            found = look(spec, step)
            self._last[spec, step] = found if is_document(found) else None
        return self._last[spec, step]
