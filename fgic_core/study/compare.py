"""Compares runs picture by picture: how far their numbers differ, where they err together, what they would be at once.

It compares models. What a step is worth is a question for a study: its runs over several seeds tell what the step does
from what the seed does.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.artifact import Metric
from fgic_core.data.outcomes import Answers
from fgic_core.data.quantities import Quantity, quantity
from fgic_core.errors import FgicError
from fgic_core.kinds.table import KINDS
from fgic_core.metrics.pairs import Interval, McNemar, Overlap, bca, mcnemar, overlap
from fgic_core.metrics.verdicts import holm
from fgic_core.store.study import MeasureRecord
from fgic_core.study.measured import Measured, check_alike, measured, record_of
from fgic_core.study.pictures import clusters_of
from fgic_core.study.readings import Reader, described, duplicates_of

if TYPE_CHECKING:
    from fgic_core.finished import Run

Array = np.ndarray[Any, Any]

#: Each two of the runs are compared, and each has a letter.
MOST = len(string.ascii_uppercase)


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        name: a letter, in the order in which they were given.
        folder: the run directory; step: the step whose number it is.
        metric: the number, with its own interval.
    """

    name: str
    folder: Path
    step: str
    metric: Metric


@dataclass(frozen=True)
class Pair:
    """Two of the runs.

    Attributes:
        first, second: their letters.
        difference: the second's number less the first's, paired by picture, with a 95 % interval over pictures (BCa).
            It holds for these two models; another seed of either pipeline is another model.
        models: which pictures each alone has right; None for a quantity that is not of right and wrong.
        p: of McNemar's exact test, in which pictures that are duplicates of each other count as one, adjusted over all
            pairs (Holm); None likewise.
    """

    first: str
    second: str
    difference: Interval
    models: McNemar | None = None
    p: float | None = None


@dataclass(frozen=True)
class Together:
    """What the models would be at once.

    Attributes:
        overlap: of their errors, in the order of the runs; its ``any_right`` is what a perfect choice among them gets.
        best: the letter of the most accurate, by these same pictures.
        vote: the accuracy of a vote: each model's answer weighs as much as its confidence in it. Confidences in other
            classes are not kept, so it is not that of the mean of the probabilities. None where answers are not known.
        gain: the vote's accuracy less that of the best, paired by picture, with a 95 % interval (BCa); None likewise.
    """

    overlap: Overlap
    best: str
    vote: float | None = None
    gain: Interval | None = None


@dataclass(frozen=True)
class ComparedRuns:
    """What a comparison of runs shows.

    Attributes:
        measure: what was measured, such as ``accuracy``; quantity: its row.
        pictures: how many test pictures there are; clusters: how many of them are independent.
        runs: in the order in which they were given; pairs: each two of them.
        together: None for a quantity that is not of right and wrong.
    """

    measure: str
    quantity: Quantity
    pictures: int
    clusters: int
    runs: tuple[ComparedRun, ...]
    pairs: tuple[Pair, ...]
    together: Together | None

    def document(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "format": 1,
            "measure": self.measure,
            "unit": self.quantity.unit,
            "better": self.quantity.better,
            "pictures": self.pictures,
            "clusters": self.clusters,
            "runs": [
                {
                    "name": run.name,
                    "folder": str(run.folder),
                    "step": run.step,
                    "value": run.metric.value,
                    "low": run.metric.low,
                    "high": run.metric.high,
                }
                for run in self.runs
            ],
            "pairs": [
                {
                    "first": pair.first,
                    "second": pair.second,
                    "difference": _plain(pair.difference),
                    "mcnemar": pair.models._asdict() | {"p_holm": pair.p} if pair.models is not None else None,
                }
                for pair in self.pairs
            ],
            "together": _together_plain(self.together) if self.together is not None else None,
        }


def compare(
    runs: Sequence[Path | str | Run],
    *,
    step: str | Sequence[str] | None = None,
    measure: str = "accuracy",
    at: Mapping[str, float | str] | None = None,
    store: Path | str | None = None,
) -> ComparedRuns:
    """Compare runs over the same test pictures, picture by picture.

    Args:
        runs: run directories, or `fgic_core.Run`; two at least.
        step: whose number is compared, where a run has several that measure it: one name for all runs, or one for each.
        measure: a quantity that is a mean over test pictures, such as ``accuracy``, ``loss`` or ``robust_accuracy``.
        at: at what it was measured, such as ``{"eps": 4 / 255}``; what tells no two apart may be left out.
        store: where the artifacts of run directories lie, if not where `RunRecord.read` looks for them.

    Raises:
        StoreError: a folder is no run directory, or the run has no such number.
        FgicError: there are not two runs, or they were measured on other pictures.
    """
    if len(runs) > MOST:
        raise FgicError(
            f"{len(runs)} runs are more than the {MOST} that can be compared, each with each",
            hint="A study compares many: write study: into the spec.",
        )
    steps = [step] * len(runs) if step is None or isinstance(step, str) else list(step)
    steps = steps * len(runs) if len(steps) == 1 else steps
    if len(steps) != len(runs):
        raise FgicError(
            f"{len(steps)} steps are named for {len(runs)} runs", hint="Name one step for all, or one for each run."
        )
    reader = Reader()
    records = [record_of(run, store) for run in runs]
    if len(records) < 2:
        raise FgicError("a run is compared with another, and there is no other", hint="Name two run directories.")
    found = [
        measured(reader, *about, name, measure, dict(at or {})) for about, name in zip(records, steps, strict=True)
    ]
    check_alike(found, measure)
    first = found[0]
    ids = tuple(sorted(first.outcomes.ids))  # whatever order runs list them in, resampling draws the same ones
    table = np.stack([_in_order(ids, one.outcomes.ids, one.outcomes.values) for one in found])
    pairs = [pair for one in found for pair in duplicates_of(one.record)]
    clusters = clusters_of(ids, first.rows, pairs)
    named = tuple(
        ComparedRun(letter, one.folder, one.step.name, one.metric)
        for letter, one in zip(string.ascii_uppercase, found, strict=False)
    )
    right = bool(np.isin(table, (0.0, 1.0)).all())
    return ComparedRuns(
        measure=described(MeasureRecord(step="", quantity=measure, at=first.metric.at)),
        quantity=quantity(measure),
        pictures=table.shape[1],
        clusters=len(np.unique(clusters)),
        runs=named,
        pairs=_pairs(named, table, clusters, right=right),
        together=_together(named, found, ids, table, clusters) if right else None,
    )


def _in_order(ids: tuple[str, ...], others: tuple[str, ...], values: Array) -> Array:
    """(n,) values of the pictures ``others``, in the order of ``ids``."""
    place = {name: number for number, name in enumerate(others)}
    return values[[place[name] for name in ids]]


def _pairs(named: Sequence[ComparedRun], table: Array, clusters: Array, *, right: bool) -> tuple[Pair, ...]:
    """Each two of the runs.

    Args:
        named: the runs.
        table: (runs, pictures) what each picture adds to each run's number.
        clusters: (pictures,) equal for those that are not independent.
        right: whether the table says of each picture whether it is right.
    """
    found = []
    for a, b in combinations(range(len(named)), 2):
        change = table[b] - table[a]
        pair = Pair(named[a].name, named[b].name, bca(change, clusters))
        if right:
            pair = replace(pair, models=mcnemar(table[a] == 1, table[b] == 1), p=_p(change, clusters))
        found.append(pair)
    if right:
        adjusted = holm([pair.p if pair.p is not None else math.nan for pair in found])
        found = [replace(pair, p=p) for pair, p in zip(found, adjusted, strict=True)]
    return tuple(found)


def _p(change: Array, clusters: Array) -> float:
    """Of McNemar's exact test, with one voice a cluster: which of the two models has more of its pictures right."""
    _, group = np.unique(clusters, return_inverse=True)
    balance = np.bincount(group, change)
    return mcnemar(balance < 0, balance > 0).p


def _together(
    named: Sequence[ComparedRun], found: Sequence[Measured], ids: tuple[str, ...], table: Array, clusters: Array
) -> Together:
    """What the models would be at once; ``table`` (runs, pictures) says whether each has each picture right."""
    shared, best = overlap(table), int(table.mean(axis=1).argmax())
    rows = found[0].rows
    told = [_answers(one) for one in found]
    if rows is None or not all(name in rows.about for name in ids) or any(one is None for one in told):
        return Together(shared, named[best].name)
    answers = [one for one in told if one is not None]
    predicted = np.stack([_in_order(ids, one.ids, one.predicted) for one in answers])
    confidence = np.stack([_in_order(ids, one.ids, one.confidence) for one in answers])
    labels = np.array([rows.about[name][1] for name in ids])
    correct = (vote(predicted, confidence) == labels).astype(np.float64)
    return Together(shared, named[best].name, float(correct.mean()), bca(correct - table[best], clusters))


def vote(predicted: Array, confidence: Array) -> Array:
    """(n,) the class that several models choose together: the one that has most confidence behind it.

    Args:
        predicted: (models, n) the class that each names.
        confidence: (models, n) its confidence in that. Of classes with the same the first model's is taken.
    """
    behind = ((predicted[:, None] == predicted[None]) * confidence[None]).sum(axis=1)
    return np.asarray(predicted[behind.argmax(axis=0), np.arange(predicted.shape[1])])


def _answers(one: Measured) -> Answers | None:
    """What a model said of each picture; None for a number that is not the accuracy of a model's answers."""
    kind = KINDS[one.step.uses.partition("/")[0]]
    function = getattr(import_module(kind.outcomes), "answers", None)
    if one.metric.name != "accuracy" or function is None:
        return None
    found: Answers = function(one.step.folder, one.metric.split)
    return found if set(found.ids) == set(one.outcomes.ids) else None


def _plain(interval: Interval) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in interval._asdict().items()}


def _together_plain(found: Together) -> dict[str, Any]:
    shared = found.overlap
    return {
        "all_right": shared.all_right,
        "all_wrong": shared.all_wrong,
        "any_right": shared.any_right,
        "shared_errors": [[float(x) if np.isfinite(x) else None for x in row] for row in shared.shared_errors],
        "best": found.best,
        "vote": found.vote,
        "gain": _plain(found.gain) if found.gain is not None else None,
    }
