"""Options that play no part in fit."""

from __future__ import annotations

import copy

import pytest
from pydantic import Field

from fgic_core import Cropper, PluginError, UseOnly
from fgic_core.data.geometry import Box, Size
from fgic_core.kinds.component import use_only


class Loose(Cropper):
    """Any component will do."""

    margin: float = Field(0.1, description="Counts for fit.")
    score: UseOnly[float] = Field(0.5, ge=0, description="Does not.")
    limit: UseOnly[float | None] = Field(None, description="Neither.")

    def region(self, box: Box, image: Size) -> Box:
        return box.expand(self.margin * self.score)


def test_the_marker_says_which_options_play_no_part_in_fit() -> None:
    assert use_only(Loose) == {"score", "limit"}
    assert use_only(Cropper) == frozenset()


def test_a_marked_option_is_an_option_like_any_other() -> None:
    made = Loose.model_validate({"score": 0.25})
    assert (made.score, made.limit) == (0.25, None)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Loose(score=-1)
    assert Loose.model_json_schema()["properties"]["score"]["minimum"] == 0


def test_fit_cannot_read_a_marked_option() -> None:
    whole = Loose(margin=0.3, score=0.25)
    part = whole.for_fit()
    assert part.margin == 0.3
    for one in (part, copy.deepcopy(part), part.model_copy()):
        with pytest.raises(PluginError, match=r"Loose.score is declared use-only; fit must not read it"):
            one.region(Box(0, 0, 1, 1), Size(4, 4))
    assert (whole.score, whole.margin) == (0.25, 0.3), "the component itself is as it was"


def test_a_name_that_is_no_option_is_missing_as_everywhere() -> None:
    with pytest.raises(AttributeError, match="scores"):
        Loose().scores  # type: ignore[attr-defined]  # noqa: B018


def test_the_part_that_fit_sees_says_its_options_without_the_others() -> None:
    whole = Loose(margin=0.3)
    assert whole.model_dump().keys() - whole.for_fit().model_dump().keys() == {"score", "limit"}
