"""Writing the rows of a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fgic_core.data.digest import digest_bytes
from fgic_core.data.files import regular_file
from fgic_core.data.header import Column, Header
from fgic_core.data.images import LARGEST_PICTURE
from fgic_core.data.rows import ADDED, BATCH, SCHEMA, UNSAFE_PATH, schema_of, to_batches
from fgic_core.data.sample import Sample
from fgic_core.errors import DataError

unsafe = re.compile(UNSAFE_PATH).search


class DatasetWriter:
    """Writes a data set batch by batch, in memory that does not grow with it.

    Files of further columns are read, for their digests: they have to be there when their rows are written.

    Args:
        folder: becomes the data set.
        header: what holds for every row.
        base: where roots start that are relative; the folder by default.
    """

    def __init__(self, folder: Path, header: Header, base: Path | None = None) -> None:
        self.folder = folder
        self._base = base or folder
        self.header = header
        self.rows = 0
        self._schema = schema_of(header.columns)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def __enter__(self) -> DatasetWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = os.getpid()
        self._file = pq.ParquetWriter(
            self.folder / "samples.parquet", self._schema, compression="zstd", compression_level=1
        )
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; columns are cast to the schema, and further ones that are left out hold nothing.

        Raises:
            DataError: a further column's file cannot be read, or leads out of its folder.
        """
        table = fit(filled(pa.Table.from_batches([batch]), self.header.columns), self._schema)
        for column in self.header.columns:
            if column.type == "file":
                table = self._digested(table, column)
        self._waiting.append(table)
        self._waiting_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._waiting_rows >= BATCH:  # small batches are gathered: a row group has its price
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting).unify_dictionaries())
        self._waiting, self._waiting_rows = [], 0

    def _digested(self, table: pa.Table, column: Column) -> pa.Table:
        """The table with the digests of the files of a column, where it has none yet."""
        place, rows = self._base / self.header.place(column.root), table.column(column.name).to_pylist()
        for row, name in zip(rows, table.column("id").to_pylist(), strict=True):
            if row is None or row["path"] is None or row["digest"] is not None:
                continue
            if unsafe(row["path"]):
                raise DataError(f"sample {name} has a {column.name} outside of the data set's folder: {row['path']!r}")
            row["digest"] = digest_bytes(read_bytes(place / row["path"], column.name))
        index = table.column_names.index(column.name)
        return table.set_column(index, table.schema.field(index), pa.array(rows, table.schema.field(index).type))

    def write_samples(self, samples: Iterable[Sample], root: str) -> None:
        """Append samples whose paths are relative to the root of that name."""
        for batch in to_batches(samples, root, self.header.columns):
            self.write(batch)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if os.getpid() != self._process:  # a copy that a plugin made shares the file: its end is not the file's
            return
        if kind is None:
            self._flush()
        self._file.close()
        if kind is None:
            self.header.write(self.folder)


def read_bytes(file: Path, what: str = "picture") -> bytes:
    """The bytes of a data set's file. Raises DataError where it is missing, too large, or no regular file."""
    try:
        return regular_file(file, LARGEST_PICTURE).read_bytes()
    except FileNotFoundError:
        raise DataError(f"the {what} is missing", where=str(file), hint="Restore the file or remove it.") from None
    except OSError as error:
        raise DataError(f"the {what} cannot be read: {error.strerror or error}", where=str(file)) from None


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in a schema. Columns that fit already are left alone: Arrow does not cast a null region to itself.

    Of columns that the table lacks, those of `ADDED` are filled in; a KeyError names any other.
    """
    lacking = ADDED.keys() - set(table.column_names)
    columns = [
        (pa.repeat(ADDED[field.name], len(table)) if field.name in lacking else table.column(field.name), field.type)
        for field in schema
    ]
    return pa.table([c if c.type == kind else c.cast(kind) for c, kind in columns], schema=schema)


def filled(table: pa.Table, columns: Iterable[Column]) -> pa.Table:
    """The table with nothing in further columns that it lacks."""
    for field in schema_of(columns):
        if field.name not in table.column_names and field.name not in SCHEMA.names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table
