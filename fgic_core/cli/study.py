"""``fgic check`` of a spec with a study: its runs by arm, what they share, what computing them may take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fgic_core.cli.numbers import duration
from fgic_core.cli.output import console, table
from fgic_core.data.files import in_bytes
from fgic_core.description.words import in_words
from fgic_core.kinds.ports import steps_of

if TYPE_CHECKING:
    from fgic_core.plan.study import Range, StudyPlan
    from fgic_core.spec.study import Arm, Study

#: So many arms are listed; with ``--json`` all are.
_SHOWN = 40


def print_study(plan: StudyPlan, as_json: bool) -> None:
    """Print what a study comes to."""
    if as_json:
        print(json.dumps(_document(plan), indent=1, ensure_ascii=False, default=str))
        return
    for part in (_wiring, _arms, _nodes, _cost):
        part(plan)


def differs(arm: Arm, study: Study) -> str:
    """What of an arm is not as in the baseline, in words."""
    if arm.oracle:
        return "test pictures cropped to annotated boxes"
    said = [f"without {' and '.join(arm.left_out)}"] if arm.left_out else []
    for path, level in arm.levels.items():
        if level != study.baseline[path] or isinstance(level, bool) != isinstance(study.baseline[path], bool):
            said.append(f"{path}: {level if isinstance(level, str) else _value(level)}")
    return ", ".join(said) or "the baseline: everything"


def _value(level: Any) -> str:
    return json.dumps(level, default=str) if isinstance(level, (list, dict)) else in_words(level)


def _wiring(plan: StudyPlan) -> None:
    """The whole pipeline, from which steps are left out."""
    rows = table("step", "uses", "takes", "gives")
    for step in plan.spec.steps:
        takes = "\n".join(f"{name} of {source}" for name, given in step.inputs.items() for source in steps_of(given))
        rows.add_row(step.name, step.uses, takes, step.described.manifest.gives)
    out = console()
    out.print(rows)
    out.print()


def _arms(plan: StudyPlan) -> None:
    study = plan.study
    rows = table("arm", "what differs", "seeds")
    for arm in study.arms[:_SHOWN]:
        rows.add_row(arm.name, differs(arm, study), _seeds(study.seeds))
    out = console()
    out.print(rows)
    if len(study.arms) > _SHOWN:
        out.print(f"… and {len(study.arms) - _SHOWN:,} more arms; --json lists them all.")


def _seeds(seeds: Sequence[int]) -> str:
    """``0 to 6``, ``1, 4, 9``."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) if len(seeds) <= 8 else f"{', '.join(map(str, seeds[:7]))}, … ({len(seeds)})"


def _nodes(plan: StudyPlan) -> None:
    rows = table("node", "needed by", "different ones", "to compute")
    for name, share in plan.shares().items():
        rows.add_row(name, _runs(share.runs), f"{share.nodes:,}", f"{share.computed:,}")
    out = console()
    out.print()
    out.print(rows)


def _cost(plan: StudyPlan) -> None:
    study, at_most = plan.study, "" if plan.settled else "at most "
    arms = f"{len(study.arms):,} arm{'s' * (len(study.arms) != 1)}"
    out = console()
    out.print(
        f"\n{_runs(study.runs)}: {arms}, {len(study.seeds)} seed{'s' * (len(study.seeds) != 1)} each, compared with "
        f"{study.arms[0].name}. Differences below {study.margin:g} percentage points count as none."
    )
    alone = sum(share.runs for share in plan.shares().values())
    out.print(
        f"{plan.nodes:,} nodes, {at_most}{plan.computed:,} of them to compute; without sharing it would be {alone:,}."
    )
    if plan.computed:
        out.print(f"time    {_estimate(plan.seconds(), duration, 'one after the other')}")
        out.print(f"disk    {_estimate(plan.size(), in_bytes, 'in the store')}")


def _estimate(found: Range | None, words: Any, how: str) -> str:
    if found is None:
        return "not known before one run of it is computed"
    between = f" ({words(found.low)} to {words(found.high)})" if words(found.low) != words(found.high) else ""
    of = (
        ""
        if found.known == found.of
        else f", for {found.known:,} of the {found.of:,} nodes; of the others nothing is known"
    )
    return f"about {words(found.middle)}{between} {how}, by what nodes like these took{of}"


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _document(plan: StudyPlan) -> dict[str, Any]:
    study = plan.study
    seconds, size = plan.seconds(), plan.size()
    return {
        "name": plan.spec.name,
        "seeds": list(study.seeds),
        "margin": study.margin,
        "vary": list(study.vary),
        "measure": [one.plain() for one in study.measure],
        "baseline": study.arms[0].name,
        "arms": [
            {"name": arm.name, "left_out": list(arm.left_out), "levels": dict(arm.levels), "oracle": arm.oracle}
            for arm in study.arms
        ],
        "runs": study.runs,
        "nodes": {name: asdict(share) for name, share in plan.shares().items()},
        "computed": plan.computed,
        "settled": plan.settled,
        "seconds": asdict(seconds) if seconds is not None else None,
        "bytes": asdict(size) if size is not None else None,
    }
