"""Pictures in groups, by what is known of them: how large the object is, whether a detector found it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Pictures in groups.

    Attributes:
        title: what the groups are by, such as ``share of the picture that the object takes``.
        names: of the groups, in their order.
        ids: (n,) of the samples.
        groups: (n,) int64, where each one's group stands among the names; -1 of what is in none.

    Raises:
        ValueError: names or ids are there twice, or groups are not one for each id, among the names.
    """

    title: str
    names: tuple[str, ...]
    ids: tuple[str, ...]
    groups: Array

    def __post_init__(self) -> None:
        groups = np.asarray(self.groups)
        if groups.shape != (len(self.ids),) or (len(groups) and not np.issubdtype(groups.dtype, np.integer)):
            raise ValueError(f"{self.title}: groups should be {len(self.ids)} whole numbers, one for each picture")
        if len(groups) and not -1 <= groups.min() <= groups.max() < len(self.names):
            raise ValueError(
                f"{self.title}: groups are from {groups.min()} to {groups.max()}, and there are {len(self.names)} names"
            )
        for what, given in (("group", self.names), ("picture", self.ids)):
            if len(set(given)) < len(given):
                twice = next(one for one in given if list(given).count(one) > 1)
                raise ValueError(f"{self.title}: there are two {what}s of the name {twice!r}")
        object.__setattr__(self, "groups", groups.astype(np.int64))

    @classmethod
    def binned(
        cls, title: str, ids: Iterable[str], values: Any, edges: Sequence[float], names: Sequence[str]
    ) -> Grouping:
        """Groups by a number: below the first edge, from it up to the next, and so on.

        Args:
            title: see `Grouping`.
            ids: (n,) of the samples; values: (n,) of each, NaN or None where it has none and is in no group.
            edges: rising; one that a value equals is the lower edge of its group.
            names: one more than edges.

        Raises:
            ValueError: these do not fit together.
        """
        numbers = np.array([np.nan if one is None else one for one in values], dtype=np.float64)
        if len(names) != len(edges) + 1 or list(edges) != sorted(set(edges)):
            raise ValueError(f"{title}: {len(edges)} rising edges have {len(edges) + 1} groups, not {len(names)}")
        groups = np.where(np.isnan(numbers), -1, np.digitize(numbers, edges))
        return cls(title, tuple(names), tuple(ids), groups)
