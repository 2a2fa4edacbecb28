"""What is said to have changed between two key documents of a step."""

from __future__ import annotations

from typing import Any

import pytest

from fgic_core.plan.reasons import changes, is_document


def document(core: str, **more: Any) -> dict[str, Any]:
    about = {"uses": "segmenter/border", "options": {}, "seed": None, "core": core, "format": 4, "inputs": {}}
    package = {"name": "fgic-segment", "version": "1", "sources": "s"}
    made = {**about, "package": package, "stands_on": {}, **more}
    assert is_document(made)
    return made


def kind(fgic: str, package: str = "fgic-segment") -> dict[str, str]:
    return {"package": package, "fgic": fgic}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (document("a"), document("b"), "fgic itself changed"),
        (document("a", kind=kind("1")), document("b", kind=kind("2")), "fgic itself changed"),
        (document("a", kind=kind("1")), document("a", format=5, kind=kind("1")), "fgic itself changed"),
        (
            document("a", kind=kind("1")),
            document("b", kind=kind("1")),
            "the kind segmenter changed, which is from fgic-segment",
        ),
        (
            document("a", kind=kind("1")),
            document("b", kind=kind("2", "fgic-other")),
            "the kind segmenter changed, which is from fgic-other",
        ),
    ],
)
def test_whose_code_changed_by_which_a_step_is_driven(before: dict[str, Any], now: dict[str, Any], said: str) -> None:
    assert changes(before, now) == [said]
