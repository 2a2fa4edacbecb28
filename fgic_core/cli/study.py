"""What the terminal says of studies: of ``fgic check`` the runs and what they could show, afterwards what they show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fgic_core.cli.numbers import duration
from fgic_core.cli.output import console, fail, table, warn
from fgic_core.data.files import in_bytes
from fgic_core.description.words import in_words
from fgic_core.errors import FgicError
from fgic_core.kinds.ports import steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from fgic_core.metrics.power import Foretold
    from fgic_core.plan.study import Range, StudyPlan
    from fgic_core.spec.study import Arm, Study
    from fgic_core.study.results import Results

#: So many arms are listed; with ``--json`` all are.
_SHOWN = 40
#: So many comparisons are put into words.
_SAID = 20
#: So many reasons why numbers are missing are told.
_PROBLEMS = 5
#: Numbers of test pictures that are told where it is not known how many there are.
_PICTURES = (400, 2_000, 10_000)


def print_study(plan: StudyPlan, as_json: bool) -> None:
    """Print what a study comes to."""
    if as_json:
        print(json.dumps(_document(plan), indent=1, ensure_ascii=False, default=str))
        return
    for part in (_wiring, _arms, _nodes, _cost, _foretold):
        part(plan)


def print_results(results: Results) -> None:
    """Print the verdicts of a study, and the numbers that they stand on."""
    from fgic_core.study import words, worth_words

    row = results.readings[0].quantity
    rows = table("compared", "verdict", "effect", "95 %", "p, Holm")
    for one in results.comparisons[:_SHOWN]:
        effect, judged = one.effects[0], one.judged
        about = (
            ("", "") if effect is None else (words.amount(effect.value, row, sign=True), words.interval(effect, row))
        )
        p = "" if judged is None else words.p_text(words.deciding_p(one))
        rows.add_row(one.name, one.verdict or "beside the family", *about, p)
    out = console()
    out.print()
    if results.comparisons:
        out.print(rows)
        out.print()
    out.print(f"{words.question(results)} {words.answer(results)}", style="bold")
    for one in results.comparisons[:_SAID]:
        out.print(words.sentence(one, results))
    if len(results.comparisons) > _SAID:
        out.print(f"… and {len(results.comparisons) - _SAID:,} more comparisons; effects.csv lists them all.")
    for said in [] if results.worth is None else worth_words.sentences(results.worth):
        out.print(said)
    for reading in results.readings:
        for problem in reading.problems[:_PROBLEMS]:
            out.print(f"{reading.measure.quantity}: {problem}")
        if len(reading.problems) > _PROBLEMS:
            out.print(f"… and {len(reading.problems) - _PROBLEMS:,} more like these; results.json lists them.")
    out.print()


def say_unmeasured(results: Results, ended: str, *, quiet: bool) -> int:
    """Say which measures no run has a number of, of a study whose runs are all finished; returns the exit code.

    Args:
        results: of the study.
        ended: the option by which runs were to end before all steps, such as ``--until crops``; empty without one.
        quiet: say nothing of what was not to be measured.
    """
    from fgic_core.study.readings import described
    from fgic_core.study.unmeasured import unmeasured

    found = unmeasured(results)
    left_out = [one for one in found if one.left_out and ended]
    if left_out and not quiet:
        measures = [(described(one.reading.measure), one.reading.measure.step) for one in left_out]
        said = " and ".join(f"{of} of {f'step {step}' if step else 'whole runs'}" for of, step in measures)
        nothing = "nothing" if len(left_out) == len(results.readings) else "none of that"
        warn(f"the study compares {said}, and {nothing} was measured: the runs were to go no further, by {ended}")
    code = 0
    for one in found:
        if one in left_out:
            continue
        if one.number == 0:
            fail(FgicError(f"the study shows nothing: {one.what}", where="study.measure", hint=one.hint or None))
            code = 1
        else:
            warn(f"study.measure: {one.what}{f'. {one.hint}' if one.hint else ''}")
    return code


def report_study(folder: Path, store: Path | None) -> Path:
    """Write the tables and the page of a study's folder again, whatever became of its runs.

    Raises:
        StoreError: it is none.
    """
    from fgic_core.report.study import write_study_report
    from fgic_core.study.results import Results

    results = Results.of(folder, store)
    results.write(folder)
    return write_study_report(folder, results)


def differs(arm: Arm, study: Study) -> str:
    """What of an arm is not as in the baseline, in words."""
    said = ["test pictures cropped to annotated boxes"] if arm.oracle else []
    said += [f"without {' and '.join(arm.left_out)}"] if arm.left_out else []
    for path, level in arm.levels.items():
        base = study.baseline.get(path)
        if path not in study.baseline or level != base or isinstance(level, bool) != isinstance(base, bool):
            said.append(f"{path}: {level if isinstance(level, str) else _value(level)}")
    beside = " (beside)" if arm.under == "beside" and not study.compared_anyway(arm) else ""
    return f"{', '.join(said) or 'the baseline: everything'}{beside}"


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
    if study.decompose:
        first, *rest = study.decompose
        way = [f"{one.arm} ({one.part})" if one.part != one.arm else one.arm for one in rest]
        out.print(f"What {rest[-1].arm} has more than {first.arm} is told part by part: {first.arm}, {', '.join(way)}.")
    if study.worth is not None:
        arms, curve = (", ".join(names) for names in (study.worth.arms, study.worth.curve))
        out.print(f"What made pictures of {arms} are worth is told by real ones alone: {curve}.")


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


def _foretold(plan: StudyPlan) -> None:
    """What the study will be able to show, and what it never can."""
    from fgic_core.data.quantities import quantity
    from fgic_core.metrics.power import DISCORDANCE, SEED_SD
    from fgic_core.study import words

    study, out = plan.study, console()
    row, comparisons = quantity(study.measure[0].quantity), study.comparisons
    if not comparisons:
        return
    if row.unit != "fraction":
        out.print(f"\nWhat it can show of {row.label} is not known before it is run: nobody knows how that varies.")
        return
    of = f"{comparisons} comparison{'s' * (comparisons != 1)} on {row.label.lower()}"
    out.print(
        f"\nWhat it will be able to show, of {of}, if {row.label.lower()} varies by {100 * SEED_SD:g} point from seed "
        f"to seed and models of two pipelines disagree on {100 * DISCORDANCE:g} % of pictures:"
    )
    said: dict[str, None] = {}
    for pictures, shown in _shown(plan).items():
        lines = words.foretold(shown, study.margin / 100, row, len(study.seeds), pictures, comparisons)
        said |= dict.fromkeys(lines)
    for line in said:
        out.print(f"  {line}")
    if len(_shown(plan)) > 1:
        out.print("  How many test pictures there are is known once the data set was read.")


def _shown(plan: StudyPlan) -> dict[int, Foretold]:
    """What can be shown by how many test pictures there may be: the one number, once that is known."""
    from fgic_core.metrics.power import assumed, foretell

    known, seeds, comparisons = pictures_of(plan), len(plan.study.seeds), plan.study.comparisons
    return {n: foretell(seeds, n, comparisons, assumed()) for n in ((known,) if known else _PICTURES)}


def _foretold_document(plan: StudyPlan) -> list[dict[str, Any]]:
    from math import isfinite

    from fgic_core.data.quantities import quantity

    if not plan.study.comparisons or quantity(plan.study.measure[0].quantity).unit != "fraction":
        return []
    rows = [{"pictures": pictures, **shown._asdict()} for pictures, shown in _shown(plan).items()]
    return [
        {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in row.items()}
        for row in rows
    ]


def pictures_of(plan: StudyPlan) -> int:
    """How many independent test pictures the first measure is taken on; 0 where that is not known yet."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    first = plan.plans[0]
    steps = {step.name: step for step in first.steps}
    measured = steps.get(plan.study.measure[0].step)
    given = measured.inputs.get("dataset") if measured is not None else None
    while isinstance(given, str) and not steps[given].content:
        given = steps[given].inputs.get("dataset")  # a step before it has the same pictures
    if not isinstance(given, str):
        return 0
    table = pq.read_table(steps[given].folder / "samples.parquet", columns=["split", "digest"])
    test = table.filter(pc.equal(table.column("split").cast("string"), "test")).column("digest")
    count = len(pc.unique(test))
    samples = measured.described.options.get("samples") if measured is not None else None
    return min(count, samples) if isinstance(samples, int) and measured and measured.gives == "robustness" else count


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
            {
                "name": arm.name,
                "left_out": list(arm.left_out),
                "levels": dict(arm.levels),
                "oracle": arm.oracle,
                "under": arm.under,
            }
            for arm in study.arms
        ],
        "decompose": [asdict(one) for one in study.decompose],
        "worth": asdict(study.worth) if study.worth is not None else None,
        "runs": study.runs,
        "nodes": {name: asdict(share) for name, share in plan.shares().items()},
        "comparisons": study.comparisons,
        "foretold": _foretold_document(plan),
        "computed": plan.computed,
        "settled": plan.settled,
        "seconds": asdict(seconds) if seconds is not None else None,
        "bytes": asdict(size) if size is not None else None,
    }
