"""What a number that is a mean over pictures is made of: one value a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Outcomes(NamedTuple):
    """One value for each picture, such as whether it was classified right; their mean is the number.

    Attributes:
        ids: (n,) of the samples.
        values: (n,) float64.
    """

    ids: tuple[str, ...]
    values: np.ndarray[Any, Any]
