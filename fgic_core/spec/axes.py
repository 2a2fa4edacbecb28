"""Where in the document the levels of a study go: paths are those of ``--set``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fgic_core.spec.block import Axis
from fgic_core.spec.document import Node
from fgic_core.spec.errors import Place, Problem
from fgic_core.spec.overrides import target


@dataclass(frozen=True, slots=True)
class Put:
    """An axis, where in the document its levels go, and these as plain data."""

    axis: Axis
    path: list[tuple[str, Place]]
    levels: tuple[Any, ...]

    @property
    def step(self) -> str:
        return self.path[1][0]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for word, _ in self.path)


def aimed(root: Node, axis: Axis, whose: str, wrong: str) -> tuple[Put | None, Problem | None]:
    """Where the levels of an axis go; or that it is nowhere.

    Args:
        root: the document.
        axis: as it is written; whose: the word of the block that it stands under.
        wrong: what a path of the spec itself is not.
    """
    source = replace(axis.key.source, kind="axis") if axis.key.source.kind != "set" else axis.key.source
    parts, column = [], axis.key.column
    for word in axis.path.split("."):
        exact = axis.key.length == len(axis.path)
        parts.append((word, replace(axis.key, source=source, **_at(axis.key, column, word) if exact else {})))
        column += len(word) + 1
    path, problem = target(root, parts, whose=whose)
    if problem is None and len(path) < 3:
        hint = "Write seeds: [0, 1, 2]." if axis.path == "seed" else "Write step.with.option, step.uses or step.seed."
        problem = Problem(f"{axis.path} is {wrong}", axis.key, hint)
    if problem is not None:
        return None, problem
    return Put(axis, path, tuple(level.plain() for level in axis.levels)), None


def overlap(one: Put, others: Iterable[Put]) -> Problem | None:
    """That a path writes where one of these writes too, the whole of it or a part: one would be lost in silence."""
    for other in others:
        short, long = sorted((one.words, other.words), key=len)
        if long[: len(short)] == short:
            same = "the same place as" if short == long else "a part of" if long == one.words else "the whole of"
            hint = "One would take the place of the other: keep one of the two paths."
            if short == long:
                hint = f"Keep one of the two, written as {other.axis.path}."
            return Problem(f"{one.axis.path} is {same} {other.axis.path}, which has levels too", one.axis.key, hint)
    return None


def _at(key: Place, column: int, word: str) -> dict[str, int]:
    return {"column": column, "length": max(1, len(word))} if key.line else {}
