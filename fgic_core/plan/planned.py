"""What a plan says of a step and of what that learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fgic_core.data.digest import digest_of
from fgic_core.description import Described
from fgic_core.kinds.ports import Wiring
from fgic_core.steps.lesson import MAIN


@dataclass(frozen=True, slots=True)
class PlannedLesson:
    """One training of a step; see `fgic_core.steps.lesson.Lesson`.

    Attributes:
        name: of the training.
        seed: its seed; streams: those of its streams that are others.
        key: the digest of `document`; the name of what is learned in the store.
        document: everything that decides what is learned.
        folder: where it lies or will lie.
        content: the digest of what was learned; empty until there is one.
        damage: what is wrong with what the store has: that it ``is damaged…``, or may not be what its key says.
    """

    name: str
    seed: int
    key: str
    document: Mapping[str, Any]
    folder: Path
    content: str = ""
    damage: str = ""
    streams: Mapping[str, int] = field(default_factory=dict)

    @property
    def reused(self) -> bool:
        """Whether the store has it."""
        return bool(self.content)

    @property
    def opened(self) -> str:
        """The digest of what whoever opens it is given: what was learned, and the code and options that open it."""
        about = [self.document[name] for name in ("package", "stands_on", "options")]
        return digest_of([self.content, *about]) if self.content else ""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        name: its name in the spec.
        uses: its component, such as ``classifier/timm``.
        described: the component with its options.
        inputs: step names by port.
        seed: its seed; streams: those of its streams that are others.
        key: the digest of `document`; the artifact's name in the store.
        document: everything that decides its output.
        folder: where the artifact lies or will lie.
        reused: whether the store has it.
        reason: why it is reused or computed, for people.
        settled: whether the key is one of content. If not, the content of an input, of a folder of pictures, or of what
            is learned is not known yet, and once it is the store may turn out to have the artifact.
        volatile: whether it is computed every time, since not everything that decides its output can be known.
        content: the digest of what steps are given of its artifact; empty until there is one.
        lessons: what it learns first; None where that is not known yet.
        unread: folders of pictures that have to be read before the key is known.
    """

    name: str
    uses: str
    described: Described
    inputs: Wiring
    seed: int
    key: str
    document: Mapping[str, Any]
    folder: Path
    reused: bool
    reason: str
    settled: bool = True
    volatile: bool = False
    content: str = ""
    lessons: tuple[PlannedLesson, ...] | None = ()
    unread: frozenset[Path] = field(default_factory=frozenset)
    streams: Mapping[str, int] = field(default_factory=dict)

    @property
    def gives(self) -> str:
        """The type of its artifact."""
        return self.described.manifest.gives

    @property
    def main(self) -> PlannedLesson | None:
        """What the step itself learns; None where that is nothing, or not known yet."""
        return next((lesson for lesson in self.lessons or () if lesson.name == MAIN), None)

    @property
    def given(self) -> Path:
        """The folder that steps which take this one are given: of a model what was learned, else the artifact."""
        return self.main.folder if self.gives == "model" and self.main is not None else self.folder

    @property
    def trained(self) -> bool:
        """Whether there is nothing left to learn."""
        return self.lessons is not None and all(lesson.reused for lesson in self.lessons)
