"""What a port may be."""

from __future__ import annotations

from typing import Any

import pytest

from fgic_core import Input


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"type": "model", "at": "uze"}, "a port's at is one of fit, use, not 'uze'"),
    ],
)
def test_a_port_of_no_type_or_place_that_there_is_is_refused(about: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Input(**about)
