"""What a `study` block comes to: the arms, the seeds, what is compared, and what counts as a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fgic_core.data.streams import Stream

if TYPE_CHECKING:
    from fgic_core.spec.model import SpecStep

#: What may stand in the block.
KEYS = (
    *("seeds", "ablate", "cross", "matrix", "exclude", "arms", "beside", "decompose", "worth"),
    *("measure", "margin", "baseline", "oracle", "vary"),
)
#: Seeds where none are given. Seven are the fewest with which a sign-flip test can tell three effects apart.
SEEDS = (0, 1, 2, 3, 4, 5, 6)
#: What is varied unless the block says otherwise.
VARY: tuple[Stream, ...] = ("init", "order", "split")
#: Quantities of a whole run, with what they are: they are measured at no step.
OF_RUNS = {
    "fit_seconds": "what its trainings took, those that other runs share among them",
    "seconds": "what all its steps took, those that other runs share among them",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that is compared between arms.

    Attributes:
        step: where it is measured; empty for a quantity of a whole run (`OF_RUNS`).
        quantity: a row of `fgic_core.data.quantities`, or of `OF_RUNS`.
        at: at what, as `fgic_core.data.artifact.Metric.at` has it.
        split: on which pictures; None for test pictures, or for no one split where there is no such number.
    """

    step: str
    quantity: str
    at: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None

    def plain(self) -> Any:
        """As a spec has it."""
        if not self.step:
            return self.quantity
        about = {"at": dict(self.at)} if self.at else {}
        return {"step": self.step, "quantity": self.quantity, **about, **({"split": self.split} if self.split else {})}


@dataclass(frozen=True, slots=True)
class Arm:
    """One pipeline of a study, which is run with every seed.

    Attributes:
        name: short, and fit to name a folder.
        left_out: the steps that are left out, in the spec's order.
        levels: the level of each axis of the matrix, by path; without the axes of steps that are left out. Of an arm
            with a name of its own also what that says.
        oracle: whether test pictures are cropped to annotated boxes here, which nobody has in practice.
        steps: those that are left, rewired.
        under: the word of the block that the arm is named under; empty for what ``ablate``, ``matrix`` and ``oracle``
            make.
    """

    name: str
    left_out: tuple[str, ...]
    levels: Mapping[str, Any]
    oracle: bool
    steps: tuple[SpecStep, ...]
    under: Literal["", "arms", "beside"] = ""


@dataclass(frozen=True, slots=True)
class PathStep:
    """A step of the way from one arm to another: the arm that it leads to, and what the change is called."""

    arm: str
    part: str

    def plain(self) -> Any:
        """As a spec has it."""
        return self.arm if self.part == self.arm else {self.part: self.arm}


@dataclass(frozen=True, slots=True)
class WorthAsked:
    """What is to be worth how many real pictures.

    Attributes:
        arms: those that learn from made pictures.
        curve: those that learn from real pictures alone, of different number.
    """

    arms: tuple[str, ...]
    curve: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """A study, checked and expanded.

    Attributes:
        seeds: of the runs of each arm.
        ablate: the steps that are left out in some arm, in the spec's order.
        every: whether they are left out in every combination, and not each alone.
        cross: whether these are crossed with the matrix, and not at the baseline alone.
        matrix: the levels of each axis, by path.
        exclude: combinations that are not run.
        measure: what is compared; the first is what verdicts are about.
        margin: what is smaller counts as no difference: percentage points of a fraction.
        baseline: the level of each axis that the others are compared with, by path.
        oracle: whether there is an arm of that name.
        vary: what a seed draws; what is not named is drawn by the spec's own.
        arms: the baseline first.
        defaults: options by component for those that the matrix brings in.
        given: of steps that the matrix or an arm gives another component, the options and the ports that are written.
        named: what ``arms`` and ``beside`` say, by the word and the name of the arm.
        decompose: the way whose parts sum to what its last arm adds to its first.
        worth: what is to be worth how many real pictures; None where that is not asked.
    """

    seeds: tuple[int, ...]
    ablate: tuple[str, ...]
    every: bool
    cross: bool
    matrix: Mapping[str, tuple[Any, ...]]
    exclude: tuple[Mapping[str, Any], ...]
    measure: tuple[Measure, ...]
    margin: float
    baseline: Mapping[str, Any]
    oracle: bool
    vary: tuple[Stream, ...]
    arms: tuple[Arm, ...]
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    given: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    decompose: tuple[PathStep, ...] = ()
    worth: WorthAsked | None = None

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.arms) * len(self.seeds)

    @property
    def comparisons(self) -> int:
        """How many the family has: one a step, one a level beside the baseline's, one an arm that is neither."""
        made = len(self.ablate) + sum(len(levels) - 1 for levels in self.matrix.values())
        return made + sum(arm.under == "arms" and not self.compared_anyway(arm) for arm in self.arms)

    def compared_anyway(self, arm: Arm) -> bool:
        """Whether an arm is the baseline without one step, or with one other level: it is judged, whatever its name."""
        if arm.oracle or any(level not in self.matrix.get(path, ()) for path, level in arm.levels.items()):
            return False
        apart = len([path for path, level in arm.levels.items() if level != self.baseline[path]])
        if arm.left_out:
            return len(arm.left_out) == 1 and arm.left_out[0] in self.ablate and not apart
        return apart == 1

    def arm(self, name: str) -> Arm:
        """Raises KeyError where there is none of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def resolved(self) -> dict[str, Any]:
        """The block with every default filled in."""
        found: dict[str, Any] = {"seeds": list(self.seeds)}
        if self.ablate:
            found["ablate"] = {"combinations": list(self.ablate)} if self.every else list(self.ablate)
        if self.ablate and self.matrix:
            found["cross"] = self.cross
        if self.matrix:
            found["matrix"] = {path: list(levels) for path, levels in self.matrix.items()}
            found["baseline"] = dict(self.baseline)
        if self.exclude:
            found["exclude"] = [dict(one) for one in self.exclude]
        for under, named in self.named.items():
            found |= {under: {name: dict(one) for name, one in named.items()}} if named else {}
        if self.decompose:
            found["decompose"] = [one.plain() for one in self.decompose]
        if self.worth is not None:
            found["worth"] = {"arms": list(self.worth.arms), "curve": list(self.worth.curve)}
        about = {"margin": self.margin, "oracle": self.oracle, "vary": list(self.vary)}
        return found | {"measure": [one.plain() for one in self.measure], **about}
