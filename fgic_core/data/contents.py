"""Digests of a data set's rows by split and column: what a step is given, told apart from where it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: Columns that say where a picture's file lies. They count where the file's content is not known.
PLACES = ("root", "path")


def rows_digests(file: Path) -> dict[str, dict[str, str]]:
    """By split and column, the digest of the column's values in the rows' order.

    A split without rows is left out, and so are `PLACES` in one whose pictures are all known by the digest of their
    bytes and that has no part masks.
    """
    with pq.ParquetFile(file) as rows:
        names = rows.schema_arrow.names
        splits = rows.read(["split"]).column("split").cast(pa.string())
        masks = {name: pc.equal(splits, name) for name in sorted(pc.unique(splits).to_pylist())}
        digests: dict[str, dict[str, str]] = {name: {} for name in masks}
        placed = dict.fromkeys(masks, False)
        for column in names:  # one at a time: a column of a million rows takes memory enough
            values = rows.read([column]).column(column)
            for split, mask in masks.items():
                held = values.filter(mask)
                digests[split][column] = _digest(held)
                if column == "digest" and held.null_count:
                    placed[split] = True
                if column == "part_mask" and held.null_count < len(held):
                    placed[split] = True
    for split, columns in digests.items():
        if not placed[split]:
            for name in PLACES:
                columns.pop(name, None)
    return digests


def table_digests(table: pa.Table) -> dict[str, dict[str, str]]:
    """As `rows_digests`, of rows in memory."""
    splits = table.column("split").cast(pa.string())
    digests = {}
    for name in sorted(pc.unique(splits).to_pylist()):
        held = table.filter(pc.equal(splits, name))
        digests[name] = {column: _digest(held.column(column)) for column in table.column_names}
        placed = held.column("digest").null_count or held.column("part_mask").null_count < len(held)
        for column in () if placed else PLACES:
            digests[name].pop(column)
    return digests


def _digest(values: pa.ChunkedArray) -> str:
    """The digest of a column's values, however they are cut into chunks and written as codes of a dictionary."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    digest = hashlib.blake2b(f"{values.type}\0".encode(), digest_size=16)
    sink = pa.BufferOutputStream()
    table = pa.table({"values": values.combine_chunks() if values.num_chunks != 1 else values})
    pq.write_table(
        table, sink, compression="none", use_dictionary=False, write_statistics=False, store_schema=False,
        row_group_size=max(len(values), 1), data_page_size=1 << 30,
    )  # fmt: skip
    digest.update(sink.getvalue())
    return digest.hexdigest()
