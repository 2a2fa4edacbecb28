"""What the suites of components that learn share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fgic_core.testing.component import ComponentSuite

if TYPE_CHECKING:
    from fgic_core.kinds.component import Component


def assert_unchanged(component: Component, before: Component) -> None:
    """Fail where `fit` or `load` left something in the recipe: what is learned is what they return."""
    assert component.model_dump() == before.model_dump(), "an option was changed"
    kept = (component.__pydantic_private__ or {}), (before.__pydantic_private__ or {})
    assert kept[0] == kept[1], f"state was left in {', '.join(kept[0])}"
    assert component.__dict__.keys() == before.__dict__.keys(), "an attribute was left in it"


class TrainedSuite(ComponentSuite):
    """A training takes seconds: tests that ask for what it gives, and nothing of itself, share one."""

    #: What was learned, by the component with its options.
    _kept: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._kept = {}
