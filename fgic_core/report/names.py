"""Long names, shortened so that they can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def shorten(name: str, most: int) -> str:
    """At most so many characters: the middle is left out, as many names differ at an end."""
    if len(name) <= most:
        return name
    back = (most - 1) // 2
    return f"{name[: most - 1 - back].rstrip()}…{name[len(name) - back :].lstrip()}"


def distinct(names: Sequence[str], most: int) -> list[str]:
    """The names, shortened, and no two the same: those that would be are given more room, and at last their number."""
    room = [most] * len(names)
    while True:
        short = [shorten(name, width) for name, width in zip(names, room, strict=True)]
        found = Counter(short)
        same = [row for row, name in enumerate(short) if found[name] > 1 and room[row] < min(2 * most, len(names[row]))]
        if not same:
            break
        for row in same:
            room[row] += 2
    return [f"{name} ({row})" if found[name] > 1 else name for row, name in enumerate(short)]
