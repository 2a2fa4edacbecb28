"""What a number that is a mean over pictures is made of, one value a picture; and what a model said of each."""

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


class Answers(NamedTuple):
    """What a model said of each picture, and how sure it was.

    Attributes:
        ids: (n,) of the samples.
        predicted: (n,) int64, class indices.
        confidence: (n,) float64, the probability that the model gave that class.
    """

    ids: tuple[str, ...]
    predicted: np.ndarray[Any, Any]
    confidence: np.ndarray[Any, Any]
