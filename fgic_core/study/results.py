"""All that a study shows, and its files: every run's numbers, every effect, every verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fgic_core.metrics.two_way import Effect
from fgic_core.store.study import StudyRecord
from fgic_core.study import worth_table
from fgic_core.study.by_groups import LOOKED_AT, ByGroups, by_groups
from fgic_core.study.decomposition import Decomposition, decomposition_of
from fgic_core.study.effects import Combinations, Comparison, combinations_of, compare, margin_of
from fgic_core.study.groups import Groups
from fgic_core.study.readings import Reading, Readings, described
from fgic_core.study.worth import SyntheticWorth, worth_of

#: The files that `Results.write` writes; and those where it is asked what synthetic pictures are worth.
_TABLES = ("runs", "effects", "groups")
FILES = ("results.json", *(f"{name}.{kind}" for name in _TABLES for kind in ("csv", "parquet")))
WORTH_FILES = ("worth.csv", "worth.parquet")


@dataclass(frozen=True)
class Results:
    """What a study shows.

    Attributes:
        record: of the study.
        source: reads the study's runs.
        readings: what was measured, in the order of its measures.
        comparisons: the family, then what stands beside it.
        combinations: the effects of all combinations on the first measure; None where they were not run.
        decomposition: the parts of the way that the spec names, on the first measure; None where it names none.
        worth: of synthetic pictures in real ones, by the first measure; None where that is not asked.
    """

    record: StudyRecord
    source: Readings
    readings: tuple[Reading, ...]
    comparisons: tuple[Comparison, ...]
    combinations: Combinations | None
    decomposition: Decomposition | None = None
    worth: SyntheticWorth | None = None

    @classmethod
    def of(cls, folder: Path, store: Path | None = None) -> Results:
        """Of a study's folder, whatever became of its runs.

        Args:
            folder: holds ``study.json``.
            store: where artifacts lie, if not where the runs' records say.

        Raises:
            StoreError: the folder is none of a study.
        """
        record = StudyRecord.read(folder)
        source = Readings(folder, record, store)
        readings = source.measures
        first = readings[0]
        more = combinations_of(record, first), decomposition_of(record, first), worth_of(record, source, first)
        return cls(record, source, tuple(readings), compare(record, readings), *more)

    @property
    def margin(self) -> float:
        """In the unit of the first measure."""
        return margin_of(self.record, self.readings[0])

    @cached_property
    def groups(self) -> tuple[ByGroups, ...]:
        """The first comparisons by groups of test pictures, on the first measure."""
        groups = Groups(self.source, self.readings[0])
        return tuple(by_groups(groups, one) for one in self.comparisons[:LOOKED_AT] if one.effects[0] is not None)

    def runs(self) -> Iterator[dict[str, Any]]:
        """One row a run and measure."""
        for reading in self.readings:
            for a, arm in enumerate(self.record.arms):
                for s, seed in enumerate(self.record.seeds):
                    value = float(reading.values[a, s])
                    yield {
                        "arm": arm.name,
                        "left_out": " ".join(arm.left_out),
                        "levels": json.dumps(arm.levels, ensure_ascii=False),
                        "oracle": arm.oracle,
                        "seed": seed,
                        "status": self.record.run(arm.name, seed).status,
                        "step": reading.measure.step,
                        "measure": described(reading.measure),
                        "value": value if math.isfinite(value) else None,
                    }

    def effects(self) -> Iterator[dict[str, Any]]:
        """One row an effect and measure."""
        for one in self.comparisons:
            for number, (reading, effect) in enumerate(zip(self.readings, one.effects, strict=True)):
                judged = one.judged if number == 0 else None
                yield {
                    "comparison": one.name,
                    "kind": {"step": "leave one out"}.get(one.role, one.role),
                    "better": one.better,
                    "other": one.other,
                    **_about(reading, effect),
                    "verdict": one.verdict if number == 0 else "",
                    "p_zero": _finite(judged.p_zero) if judged else None,
                    "p_margin": _finite(judged.p_margin) if judged else None,
                    "p_equivalent": _finite(judged.p_equivalent) if judged else None,
                    "p_sign_flip": _finite(judged.p_sign_flip) if judged else None,
                    "level": judged.level if judged else None,
                }
        first = self.readings[0]
        none = dict.fromkeys(("p_zero", "p_margin", "p_equivalent", "p_sign_flip", "level"))
        if self.decomposition is not None and self.decomposition.whole is not None:
            way = self.decomposition.way
            for part in self.decomposition.parts:
                names = {"comparison": part.name, "kind": "part", "better": part.arm, "other": part.before}
                yield {**names, **_about(first, part.effect), "verdict": "", **none}
            names = {"comparison": "all parts", "kind": "whole", "better": way[-1], "other": way[0]}
            yield {**names, **_about(first, self.decomposition.whole), "verdict": "", **none}
        if self.combinations is not None:
            for worth in self.combinations.worths:
                for kind, effect in (("add one in", worth.add_one_in), ("Shapley value", worth.shapley)):
                    names = {"comparison": worth.step, "kind": kind, "better": "", "other": ""}
                    yield {**names, **_about(first, effect), "verdict": "", **none}
            for pair in self.combinations.pairs:
                names = {"comparison": f"{pair.one} and {pair.other}", "kind": "interaction", "better": "", "other": ""}
                yield {**names, **_about(first, pair.effect), "verdict": "", **none}
            names = {"comparison": "all steps", "kind": "total", "better": "", "other": ""}
            yield {**names, **_about(first, self.combinations.total), "verdict": "", **none}

    def grouped(self) -> Iterator[dict[str, Any]]:
        """One row a comparison and group of test pictures."""
        return (row for one in self.groups for row in one.rows())

    def document(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "format": 1,
            "name": self.record.name,
            "status": self.record.status,
            "margin": self.record.margin,
            "seeds": self.record.seeds,
            "family": [one.name for one in self.comparisons if one.in_family],
            "measures": [
                {
                    "measure": described(one.measure),
                    "step": one.measure.step,
                    "better": one.quantity.better,
                    "unit": one.quantity.unit,
                    "pictures": len(one.ids),
                    "clusters": 0 if one.clusters is None else int(one.clusters.max() + 1),
                    "problems": one.problems,
                }
                for one in self.readings
            ],
            "comparisons": [
                {
                    "name": one.name,
                    "role": one.role,
                    "better": one.better,
                    "other": one.other,
                    "verdict": one.verdict,
                    "why": one.why,
                    "effects": [None if effect is None else _plain(effect) for effect in one.effects],
                    "p_zero": _finite(one.judged.p_zero) if one.judged else None,
                    "p_margin": _finite(one.judged.p_margin) if one.judged else None,
                    "p_equivalent": _finite(one.judged.p_equivalent) if one.judged else None,
                    "p_sign_flip": _finite(one.judged.p_sign_flip) if one.judged else None,
                    "level": one.judged.level if one.judged else None,
                    "needed": asdict_of(one.needed),
                }
                for one in self.comparisons
            ],
            "groups": list(self.grouped()),
            "not_grouped": [
                {"comparison": one.comparison.name, "problem": problem}
                for one in self.groups
                for problem in one.problems
            ],
            "combinations": None if self.combinations is None else _combinations(self.combinations),
            "decomposition": None if self.decomposition is None else _decomposition(self.decomposition),
            "worth": None if self.worth is None else worth_table.document(self.worth),
            "runs": list(self.runs()),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write ``results.json`` and the tables beside it, as CSV and Parquet."""
        import csv

        import pyarrow as pa
        import pyarrow.parquet as pq

        written = [_replace(folder / "results.json", json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")]
        tables = {"runs": list(self.runs()), "effects": list(self.effects()), "groups": list(self.grouped())}
        if self.worth is not None:
            tables["worth"] = list(worth_table.rows(self.worth))
        for name, rows in tables.items():
            beside = folder / f"{name}.csv.new"
            with beside.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else ["comparison"])
                writer.writeheader()
                writer.writerows(rows)
            written.append(beside.replace(folder / f"{name}.csv"))
            beside = folder / f"{name}.parquet.new"
            pq.write_table(pa.Table.from_pylist(rows), beside, compression="zstd")
            written.append(beside.replace(folder / f"{name}.parquet"))
        return written


def asdict_of(value: Any) -> dict[str, Any] | None:
    """A named tuple as plain data."""
    return None if value is None else dict(value._asdict())


def _about(reading: Reading, effect: Effect | None) -> dict[str, Any]:
    about = {"step": reading.measure.step, "measure": described(reading.measure)}
    if effect is None:
        return about | dict.fromkeys(("effect", "low", "high", "error", "df", "seeds", "clusters"))
    numbers = {name: _finite(getattr(effect, name)) for name in ("value", "low", "high", "error")}
    return about | {
        "effect": numbers["value"],
        "low": numbers["low"],
        "high": numbers["high"],
        "error": numbers["error"],
        "df": effect.df,
        "seeds": effect.seeds,
        "clusters": effect.clusters,
    }


def _plain(effect: Effect) -> dict[str, Any]:
    found = effect._asdict()
    found["variances"] = {name: _finite(value) for name, value in effect.variances._asdict().items()}
    found["by_seed"] = list(effect.by_seed)
    return {name: _finite(value) if isinstance(value, float) else value for name, value in found.items()}


def _combinations(found: Combinations) -> dict[str, Any]:
    return {
        "steps": [
            {
                "step": one.step,
                "leave_one_out": _plain(one.leave_one_out),
                "add_one_in": _plain(one.add_one_in),
                "shapley": _plain(one.shapley),
            }
            for one in found.worths
        ],
        "interactions": [{"steps": [one.one, one.other], "effect": _plain(one.effect)} for one in found.pairs],
        "total": _plain(found.total),
    }


def _decomposition(found: Decomposition) -> dict[str, Any]:
    return {
        "way": list(found.way),
        "start": _finite(found.start),
        "parts": [
            {"name": one.name, "arm": one.arm, "before": one.before, "effect": _plain(one.effect)}
            for one in found.parts
        ],
        "whole": None if found.whole is None else _plain(found.whole),
        "why": found.why,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _replace(path: Path, text: str) -> Path:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    return beside.replace(path)
