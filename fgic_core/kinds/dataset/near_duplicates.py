"""Duplicates within a data set and across its splits: the same file, and the same picture saved again.

A perceptual duplicate is one whose 64-bit DCT hash (phash, Zauner 2010) differs in at most `NEAR` bits. Measured on
the Stanford Dogs and CUB-200-2011 subsets: re-saving as JPEG of quality 30 or halving the size moves a hash by at
most 2 bits; all pairs of different pictures that 4 bits and fewer gave (one in each set) were in truth the same
photograph; at 8 bits the first false pairs come up (dark birds on plain ground). Flat pictures have no hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.rows import BATCH
from fgic_core.data.sample import SPLITS

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.steps.context import StepContext

#: The largest Hamming distance of two 64-bit hashes that still means the same picture.
NEAR = 4
#: With one chunk more than bits that may differ, two near hashes have at least one chunk in common.
_CHUNKS = NEAR + 1
#: Below this standard deviation of its grey values (0 to 255) a picture's hash is noise.
_FLAT = 2.0

_Positions = np.ndarray[Any, np.dtype[np.int64]]
_Hashes = np.ndarray[Any, np.dtype[np.uint64]]


_DUPLICATES = pa.schema(
    [
        pa.field("a", pa.string(), nullable=False),
        pa.field("b", pa.string(), nullable=False),
        pa.field("a_split", pa.string(), nullable=False),
        pa.field("b_split", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("distance", pa.int32(), nullable=False),
    ]
)


class Pairs(NamedTuple):
    """Pairs of rows that are duplicates: (n,) each; ``a`` is the earlier in the order train, val, test."""

    a: _Positions
    b: _Positions
    distance: np.ndarray[Any, np.dtype[np.int32]]


def perceptual_hash(image: Image) -> int | None:
    """The 64-bit DCT hash of a picture, None of a flat one."""
    from imagehash import phash

    grey = image.convert("L")
    if float(np.asarray(grey.resize((32, 32))).std()) < _FLAT:
        return None
    return int(str(phash(grey)), 16)


def find_exact(digests: np.ndarray[Any, Any], order: np.ndarray[Any, Any]) -> Pairs:
    """Each row of equal digest with the first of its group.

    A group of k equal files gives k - 1 pairs, not k²; as the first is the earliest in ``order``, a test picture that
    also lies in train is always paired with one of train.

    Args:
        digests: (n,) of any sortable type.
        order: (n,) small integers; rows of a smaller one come first.
    """
    sequence = np.lexsort((np.arange(len(digests)), order, digests))
    same = np.flatnonzero(digests[sequence][1:] == digests[sequence][:-1]) + 1
    fresh = np.ones(len(digests), bool)
    fresh[same] = False
    first = sequence[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]] if len(digests) else sequence
    return Pairs(first[same], sequence[same], np.zeros(len(same), np.int32))


def find_near(hashes: _Hashes, order: np.ndarray[Any, Any]) -> Pairs:
    """Rows whose hashes differ in at most `NEAR` bits, in memory that grows with the rows and not with their pairs.

    Rows of equal hash are paired with the first of their group, groups with each other by their first rows.

    Args:
        hashes: (n,) 64-bit.
        order: as in `find_exact`.
    """
    equal = find_exact(hashes, order)
    alone = np.ones(len(hashes), bool)
    alone[equal.b] = False
    rows = np.flatnonzero(alone)
    rows = rows[np.lexsort((rows, order[rows]))]
    found = [equal]
    for a, b, distance in _near_pairs(hashes[rows]):
        found.append(Pairs(rows[a], rows[b], distance))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _near_pairs(hashes: _Hashes) -> Iterator[tuple[_Positions, _Positions, np.ndarray[Any, np.dtype[np.int32]]]]:
    """Each near pair a < b of different hashes once."""
    bounds = [64 * chunk // _CHUNKS for chunk in range(_CHUNKS + 1)]
    masks = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(bounds)]
    for chunk, mask in enumerate(masks):
        keys = hashes & mask
        sequence = np.argsort(keys, kind="stable")
        keys = keys[sequence]
        left = np.arange(len(keys) - 1)
        step = 1
        while len(left := left[left + step < len(keys)]):
            left = left[keys[left] == keys[left + step]]  # each row with the step-th after it in its bucket
            a, b = sequence[left], sequence[left + step]
            difference = hashes[a] ^ hashes[b]
            bits = _count_bits(difference)
            keep = bits <= NEAR
            for earlier in masks[:chunk]:  # a pair that shares an earlier chunk was found there
                keep &= (difference & earlier) != 0
            if keep.any():
                yield np.minimum(a, b)[keep], np.maximum(a, b)[keep], bits[keep]
            step += 1


def _count_bits(values: _Hashes) -> np.ndarray[Any, np.dtype[np.int32]]:
    """How many bits of each 64-bit number are set (Hacker's Delight, 5-1; NumPy has it since 2.0 only)."""
    m1, m2, m4 = (np.uint64(m) for m in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    values = values - ((values >> np.uint64(1)) & m1)
    values = (values & m2) + ((values >> np.uint64(2)) & m2)
    values = (values + (values >> np.uint64(4))) & m4
    return ((values * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int32)


def report_duplicates(verify: str, ctx: StepContext) -> None:
    """Find the duplicates of the data set in ``ctx.folder``, write ``duplicates.parquet``, count and warn.

    Args:
        verify: the reader's option: pictures that were not read have no digests to compare.
        ctx: of the step.
    """
    if verify != "full":
        note = f"not looked for, as pictures are not read (verify: {verify})"
        for kind in ("exact", "perceptual"):
            ctx.metric("duplicates", None, at={"kind": kind}, note=note)
        pq.write_table(_DUPLICATES.empty_table(), ctx.folder / "duplicates.parquet")
        return
    rows = _Rows.read(ctx.folder)
    exact, near = rows.exact(), rows.near()
    tables = []
    for kind, pairs in (("exact", exact), ("perceptual", near)):
        table = rows.table(pairs, kind)
        tables.append(table)
        leaks = _leaks(table)
        note = f"DCT hashes that differ in at most {NEAR} of 64 bits" if kind == "perceptual" else "equal files"
        about: dict[str, Any] = {"at": {"kind": kind}, "n": len(rows.split), "note": note}
        ctx.metric("duplicates", float(len(table)), **about)
        ctx.metric("leaks", float(len(leaks)), **about)
        if len(leaks):
            ctx.warn(_leak_warning(kind, leaks))
    clashes = int((rows.label[exact.a] != rows.label[exact.b]).sum() + (rows.label[near.a] != rows.label[near.b]).sum())
    if clashes:
        carry = "pair of duplicates carries" if clashes == 1 else "pairs of duplicates carry"
        ctx.warn(f"{clashes:,} {carry} different labels; duplicates.parquet lists all pairs.")
    pq.write_table(pa.concat_tables(tables), ctx.folder / "duplicates.parquet")


def _leaks(table: pa.Table) -> pa.Table:
    return table.filter(pc.not_equal(table.column("a_split"), table.column("b_split")))


def _leak_warning(kind: str, leaks: pa.Table) -> str:
    examples = "; ".join(
        f"{row['a']} ({row['a_split']}) and {row['b']} ({row['b_split']})" for row in leaks.slice(0, 2).to_pylist()
    )
    one = len(leaks) == 1
    pairs = "pair" if one else "pairs"
    what = (
        ("is" if one else "are") + " the same file" if kind == "exact" else ("looks" if one else "look") + " the same"
    )
    return f"{len(leaks):,} {pairs} of pictures in different splits {what}, such as {examples}."


class _Rows(NamedTuple):
    """The columns that the search for duplicates needs."""

    folder: Path
    digest: np.ndarray[Any, Any]
    phash: np.ndarray[Any, np.dtype[np.uint64]]
    hashed: np.ndarray[Any, np.dtype[np.bool_]]
    split: np.ndarray[Any, np.dtype[np.int64]]
    label: np.ndarray[Any, np.dtype[np.int64]]

    @classmethod
    def read(cls, folder: Path) -> _Rows:
        digests, hashes, splits, labels = [], [], [], []
        with pq.ParquetFile(folder / "samples.parquet") as file:
            for batch in file.iter_batches(BATCH, columns=["digest", "phash", "split", "label"]):
                digests.append(np.asarray(batch.column("digest").to_pylist(), dtype="S32"))
                hashes.append(batch.column("phash"))
                splits.append(pc.index_in(batch.column("split").cast(pa.string()), value_set=pa.array(SPLITS)))
                labels.append(np.asarray(batch.column("label"), np.int64))
        phash = pa.chunked_array(hashes)
        return cls(
            folder,
            np.concatenate(digests),
            np.asarray(pc.fill_null(phash, 0), np.uint64),
            np.asarray(pc.is_valid(phash)),
            np.concatenate([np.asarray(codes, np.int64) for codes in splits]),
            np.concatenate(labels),
        )

    def exact(self) -> Pairs:
        return find_exact(self.digest, self.split)

    def near(self) -> Pairs:
        """Perceptual duplicates among different files: of equal ones the first takes part."""
        alone = self.hashed.copy()
        alone[self.exact().b] = False
        rows = np.flatnonzero(alone)
        pairs = find_near(self.phash[rows], self.split[rows])
        return Pairs(rows[pairs.a], rows[pairs.b], pairs.distance)

    def table(self, pairs: Pairs, kind: str) -> pa.Table:
        """The pairs as rows of ``duplicates.parquet``, in the order of the data set."""
        order = np.lexsort((pairs.b, pairs.a))
        a, b = pairs.a[order], pairs.b[order]
        ids = pq.read_table(self.folder / "samples.parquet", columns=["id"]).column("id")
        names = pa.array(SPLITS)
        columns = [
            ids.take(pa.array(a)),
            ids.take(pa.array(b)),
            names.take(pa.array(self.split[a])),
            names.take(pa.array(self.split[b])),
            pa.repeat(pa.scalar(kind), len(a)),
            pa.array(pairs.distance[order], pa.int32()),
        ]
        return pa.table(columns, schema=_DUPLICATES)
