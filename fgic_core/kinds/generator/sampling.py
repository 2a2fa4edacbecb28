"""Makes pictures until there are as many as asked for, passes them through the filters, and writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from fgic_core.data.dataset import SCHEMA, to_batch
from fgic_core.data.geometry import Size
from fgic_core.data.sample import Sample
from fgic_core.errors import PluginError
from fgic_core.kinds.generator.contract import FittedGenerator, Generator
from fgic_core.kinds.generator.files import write_png
from fgic_core.kinds.generator.filters import FilterResult, Filters
from fgic_core.kinds.generator.reference import Numbers, Pixels
from fgic_core.kinds.generator.ruler import BATCH_SIZE, Measured, sampled
from fgic_core.steps.context import StepContext

#: The columns of ``made.parquet``: a row for each picture that was written.
MADE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("tries", pa.int32(), nullable=False),
        pa.field("confidence", pa.float32()),
        pa.field("distance", pa.float32()),
        pa.field("nearest", pa.string()),
        pa.field("nearest_distance", pa.float32()),
        pa.field("copy_of", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Written:
    """A made sample, the digest of its file (BLAKE2b-128) and its perceptual hash."""

    sample: Sample
    digest: str
    phash: int | None


def rows(samples: list[Written], root: str) -> pa.RecordBatch:
    """The rows of made samples, with the digests of their files and their hashes."""
    batch = to_batch([one.sample for one in samples], root)
    for name in ("digest", "phash"):
        column = SCHEMA.field(name)
        values = pa.array([getattr(one, name) for one in samples], column.type)
        batch = batch.set_column(SCHEMA.get_field_index(name), column, values)
    return batch


@dataclass
class _Slot:
    """A picture to be made: number ``number`` of its class."""

    label: int
    number: int
    seed: int = 0
    tries: int = 0


@dataclass
class Sampler:
    """Makes pictures, writes those wanted, and keeps the features of those measured.

    Args:
        component: its options.
        fitted: makes the pictures.
        filters: which pictures go on.
        wanted, measured: (classes,) how many pictures of each class are written, and how many measured.
        train: ids of the real train samples, which parents are among.
        classes: their names.
        root: the name of the pictures' folder, for ids.

    Attributes:
        about: a row of `MADE` for each picture written.
        found: the pictures measured.
        refused: how many pictures each option dropped.
        looked: how many pictures were looked at.
        missing: (classes,) pictures that were wanted and could not be had.
    """

    component: Generator
    fitted: FittedGenerator
    filters: Filters
    wanted: Numbers
    measured: Numbers
    train: set[str]
    classes: tuple[str, ...]
    root: str
    ctx: StepContext
    about: list[dict[str, Any]] = field(default_factory=list)
    found: Measured = field(default_factory=Measured)
    refused: dict[str, int] = field(default_factory=dict)
    looked: int = 0
    missing: Numbers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def make(self) -> Iterator[list[Written]]:
        """Make and write them; what was written, batch by batch."""
        counts = np.maximum(self.wanted, self.measured)
        slots = [_Slot(label, number) for label in range(len(counts)) for number in range(int(counts[label]))]
        with self.ctx.progress("sampling", len(slots)) as progress:
            for _ in range(self.component.max_tries if self.filters.active else 1):
                again: list[_Slot] = []
                for start in range(0, len(slots), BATCH_SIZE):
                    some = slots[start : start + BATCH_SIZE]
                    written, refused = self._batch(some)
                    progress.advance(len(some) - len(refused))
                    again += refused
                    if written:
                        yield written
                slots = again
            progress.advance(len(slots))
        lost = [slot.label for slot in slots if slot.number < self.wanted[slot.label]]
        self.missing = np.bincount(np.array(lost, dtype=np.int64), minlength=len(counts))

    def _batch(self, slots: list[_Slot]) -> tuple[list[Written], list[_Slot]]:
        """What was written, and the slots whose picture was refused."""
        for slot in slots:
            slot.seed = int(self.ctx.rng("sample", slot.label, slot.number, slot.tries).integers(2**63 - 1))
            slot.tries += 1
        labels, seeds = [slot.label for slot in slots], [slot.seed for slot in slots]
        pictures = sampled(self.fitted, labels, seeds, self.component.resolution, self.ctx.uses)
        parents = self._parents(labels, seeds)
        measured = np.array([slot.number < self.measured[slot.label] for slot in slots])
        self.looked += len(slots)
        seen = self.filters.look(pictures, np.array(labels), measured)
        written, refused = [], []
        for row, slot in enumerate(slots):
            if seen.refused[row]:
                self.refused[seen.refused[row]] = self.refused.get(seen.refused[row], 0) + 1
                refused.append(slot)
                continue
            if measured[row] and seen.features is not None:
                self.found.labels.append(slot.label)
                self.found.features.append(seen.features[row])
            if slot.number < self.wanted[slot.label]:
                written.append(self._write(slot, pictures[row], parents[row], seen.hashes[row]))
                self.about.append(self._row_of(written[-1].sample.id, slot, seen, row))
        return written, refused

    def _parents(self, labels: list[int], seeds: list[int]) -> list[tuple[str, ...]]:
        found = [tuple(of) for of in self.fitted.parents(labels, seeds)]
        strange = {name for of in found for name in of} - self.train
        if len(found) != len(labels) or strange:
            said = f"names {min(strange)}, which is no real train sample" if strange else f"gave {len(found)} of them"
            raise PluginError(f"parents {said}", where=self.ctx.uses, hint="It gives one tuple of ids a label.")
        return found

    def _row_of(self, sample: str, slot: _Slot, seen: FilterResult, row: int) -> dict[str, Any]:
        """The row of `MADE` of a picture."""
        ids, copy = self.filters.reference.ids, int(seen.copies[row])
        told: dict[str, Any] = {"id": sample, "seed": slot.seed, "tries": slot.tries}
        told["copy_of"] = ids[copy] if copy >= 0 else None
        told["confidence"] = None if seen.confidence is None else float(seen.confidence[row])
        if seen.features is not None:
            assert seen.distances is not None
            assert seen.nearest is not None
            told["distance"] = float(seen.distances[row])
            told["nearest_distance"], told["nearest"] = float(seen.nearest[0][row]), ids[int(seen.nearest[1][row])]
        return told

    def _write(self, slot: _Slot, pixels: Pixels, parents: tuple[str, ...], phash: int | None) -> Written:
        name = f"{slot.label:04d}/{slot.number:05d}"
        origin = {
            "uses": self.ctx.uses,
            "seed": slot.seed,
            "class": self.classes[slot.label],
            "label": slot.label,
            "parents": list(parents),
        }
        content = write_png(self.ctx.folder / "images" / "synthetic" / f"{name}.png", pixels, origin)
        height, width = pixels.shape[:2]
        sample = Sample(
            id=f"{self.root}/{name}",
            path=f"images/synthetic/{name}.png",
            label=slot.label,
            split="train",
            size=Size(width, height),
            origin=f"synthetic:{self.ctx.uses}",
            parents=parents,
        )
        return Written(sample, hashlib.blake2b(content, digest_size=16).hexdigest(), phash)
