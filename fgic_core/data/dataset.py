"""The Dataset artifact: one Parquet row a sample, beside a JSON header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.digest import digest_bytes
from fgic_core.data.files import regular_file
from fgic_core.data.geometry import Box
from fgic_core.data.header import Column, Header
from fgic_core.data.images import cut, decode
from fgic_core.data.rows import BATCH, SCHEMA, UNSAFE_PATH, box_row, kept, schema_of, to_batch, to_batches, to_sample
from fgic_core.data.sample import Sample, Split
from fgic_core.data.writer import DatasetWriter, filled, fit, read_bytes, unsafe
from fgic_core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "BATCH",
    "SCHEMA",
    "UNSAFE_PATH",
    "Column",
    "Dataset",
    "DatasetWriter",
    "Header",
    "box_row",
    "schema_of",
    "to_batch",
    "to_batches",
    "to_sample",
]


class Dataset:
    """Samples, class names, and the pictures they stand for.

    A data set is a folder with ``samples.parquet`` and ``dataset.json``. An object of this class is a view of some of
    its rows: what `split` and `take` return holds those rows and no others.

    Attributes:
        header: class names, folders, notes.
        table: the rows, with the columns of `schema`.
    """

    def __init__(self, header: Header, table: pa.Table) -> None:
        self.header = header
        self.table = table

    @classmethod
    def open(cls, folder: Path, roots: Mapping[str, Path] | None = None) -> Dataset:
        """Open the data set in ``folder``.

        Args:
            folder: holds ``samples.parquet`` and ``dataset.json``.
            roots: where pictures lie now, by root name; goes before what the header recorded.

        Raises:
            DataError: there is no data set, or it is damaged or of another format.
        """
        header = Header.read(folder)
        where = {name: (roots or {}).get(name, path) for name, path in header.roots.items()}
        where = {name: path if path is None else (folder / path) for name, path in where.items()}
        file = folder / "samples.parquet"
        try:
            table = pq.read_table(
                regular_file(file), memory_map=True, read_dictionary=["root", "split", "region_origin", "origin"]
            )
            table = fit(table, schema_of(header.columns))
        except KeyError as error:
            raise DataError(f"the rows of this data set lack a column: {error}", where=str(file)) from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(f"the rows of this data set cannot be read: {error}", where=str(file)) from None
        _check_columns(table, header, file)
        return cls(replace(header, roots=where), table)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the rows: `SCHEMA`, and those that the header declares."""
        return schema_of(self.header.columns)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.header.classes

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Sample]:
        for batch in self.table.to_batches(max_chunksize=BATCH):
            for row in batch.to_pylist():
                yield to_sample(row)

    def __getitem__(self, index: int) -> Sample:
        return to_sample({name: column[self._position(index)].as_py() for name, column in self._columns.items()})

    @cached_property
    def _columns(self) -> dict[str, pa.ChunkedArray]:
        """The columns of a sample, looked up once. (Slicing the table for a row would walk all of its chunks.)"""
        return {name: self.table.column(name) for name in self.schema.names if name not in ("digest", "phash")}

    def _position(self, index: int) -> int:
        """The index counted from the start; an IndexError (which ends a plain loop) beyond the rows."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of a data set of {len(self)} samples")
        return int(index) % len(self)

    @property
    def ids(self) -> list[str]:
        return list(self.table.column("id").to_pylist())

    @property
    def labels(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Class indices, shape (len,)."""
        return np.asarray(self.table.column("label").to_numpy(), dtype=np.int64)

    @property
    def splits(self) -> list[str]:
        """The splits that occur, in the order train, val, test."""
        present = set(pc.unique(self.table.column("split").cast(pa.string())).to_pylist())
        return [name for name in ("train", "val", "test") if name in present]

    def split(self, name: Split) -> Dataset:
        """The rows of one split."""
        return self.where(pc.equal(self.table.column("split").cast(pa.string()), name))

    def where(self, mask: Any) -> Dataset:
        """The rows for which the mask (Arrow or numpy booleans) is true."""
        if isinstance(mask, np.ndarray):
            mask = pa.array(mask)
        return Dataset(self.header, self.table.filter(mask))

    def take(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> Dataset:
        """The rows at these positions, in that order."""
        return Dataset(self.header, self.table.take(pa.array(np.asarray(indices, dtype=np.int64))))

    def concat(self, other: Dataset) -> Dataset:
        """The rows of both, with the notes and roots of both.

        Raises:
            DataError: classes or part names differ, an id is in both, or a root's name means two folders.
        """
        ours, theirs = self.header, other.header
        if ours.classes != theirs.classes:
            raise DataError("the two data sets have different classes")
        if ours.part_names and theirs.part_names and ours.part_names != theirs.part_names:
            raise DataError("the two data sets have different part names")
        for name in ours.roots.keys() & theirs.roots.keys():
            if ours.roots[name] != theirs.roots[name]:
                raise DataError(f"root {name} of the two data sets means {ours.roots[name]} and {theirs.roots[name]}")
        shared = pc.is_in(other.table.column("id"), value_set=self.table.column("id"))
        if pc.any(shared).as_py():
            first = other.table.column("id").filter(shared)[0].as_py()
            raise DataError(f"sample {first} is in both data sets")
        declared = {column.name: column for column in ours.columns}
        for column in theirs.columns:
            if declared.setdefault(column.name, column) != column:
                raise DataError(f"column {column.name} of the two data sets means different things")
        header = Header(
            ours.classes,
            {**ours.roots, **theirs.roots},
            ours.part_names or theirs.part_names,
            tuple(dict.fromkeys(ours.notes + theirs.notes)),
            tuple(dict.fromkeys(ours.skipped + theirs.skipped)),
            tuple(dict.fromkeys(ours.searched + theirs.searched)),
            tuple(declared.values()),
        )
        both = [fit(filled(one.table, header.columns), schema_of(header.columns)) for one in (self, other)]
        return Dataset(header, pa.concat_tables(both).unify_dictionaries())

    def with_column(self, column: Column, values: Sequence[Any]) -> Dataset:
        """The same rows with one more column, or with other values in it.

        Args:
            column: its declaration. The ``root`` of a file is a folder of the data set's, or the one that the data set
                is to be written into (`StepContext.own_root` names it).
            values: one a row; of a file its path, relative to the root. None is no value.

        Raises:
            DataError: every data set has a column of that name, or there are more values, or fewer, than rows.
        """
        if column.name in SCHEMA.names:
            raise DataError(f"every data set has a column {column.name}: name the further one otherwise")
        if len(values) != len(self):
            raise DataError(f"column {column.name} has {len(values)} values for {len(self)} rows")
        roots = dict(self.header.roots)
        if column.type == "file":
            roots.setdefault(column.root, Path())
        others = tuple(one for one in self.header.columns if one.name != column.name)
        header = replace(self.header, roots=roots, columns=(*others, column))
        field = schema_of([column]).field(column.name)
        try:
            made = pa.array([kept(column, value) for value in values], field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"column {column.name} of type {column.type} has a value of another: {error}") from None
        table = self.table.drop_columns([column.name]) if column.name in self.table.column_names else self.table
        return Dataset(header, table.append_column(field, made))

    def file(self, index: int, column: str = "path") -> Path:
        """The absolute path of a row's picture; with ``column`` of its part mask, or of a further column's file.

        Raises:
            DataError: the path leaves the data set's folder, the folder is not known, or the row has no such file.
        """
        position = self._position(index)
        name, root = self._columns[column][position].as_py(), self._columns["root"][position].as_py()
        if isinstance(name, dict):
            name, root = name["path"], next(one.root for one in self.header.columns if one.name == column)
        if name is None or unsafe(name):
            said = column.replace("_", " ")
            what = f"has no {said}" if name is None else f"has a {said} outside of the data set's folder: {name!r}"
            raise DataError(f"sample {self._columns['id'][position].as_py()} {what}")
        return self.header.place(root, name) / str(name)

    def content(self, index: int, column: str) -> bytes:
        """The bytes of a further column's file.

        Raises:
            DataError: there is none, or another one than when the data set was written.
        """
        file, known = self.file(index, column), self._columns[column][self._position(index)].as_py()["digest"]
        content = read_bytes(file, column)
        if known is not None and digest_bytes(content) != known:
            raise DataError(
                f"this {column} is another one than when the data set was written",
                where=str(file),
                hint="Run the spec again: what the store lacks is computed anew.",
            )
        return content

    def picture(self, index: int) -> Image:
        """The whole picture of a row, 8-bit RGB, upright.

        Raises:
            DataError: the file is missing or broken, or another one than when the data set was read.
        """
        with self._naming_the_file(index):
            return self._decoded(index)

    def _decoded(self, index: int) -> Image:
        file = self.file(index)
        known = self._digests[self._position(index)].as_py()
        if known is None:
            return decode(file)
        content = read_bytes(file)
        if digest_bytes(content) != known:
            raise DataError(
                "this picture is another one than when the data set was read",
                where=str(file),
                hint="Run the spec again: the data set is then read anew.",
            )
        return decode(content, str(file))

    @cached_property
    def _digests(self) -> pa.ChunkedArray:
        return self.table.column("digest")

    def crop(self, index: int) -> Image:
        """What a row shows: its picture, cut to its region, or with grey around it (`Sample.masked`). 8-bit RGB.

        Raises:
            DataError: the file is missing or broken; the message names it.
        """
        region, masked = (self._columns[name][self._position(index)].as_py() for name in ("region", "masked"))
        with self._naming_the_file(index):
            return cut(self._decoded(index), Box(**region) if region else None, masked)

    @contextmanager
    def _naming_the_file(self, index: int) -> Iterator[None]:
        """Errors of a picture name its file; of one that a step made they say how it is made again."""
        try:
            yield
        except DataError as error:
            if error.where is None:
                error.where = str(self.file(index))
            if str(self._columns["root"][self._position(index)].as_py()).startswith("made-"):
                error.hint = "A step made this picture, and its file was damaged since: make it again with --fresh."
            raise

    def write(self, folder: Path) -> None:
        """Write header and rows into an existing folder."""
        with DatasetWriter(folder, self.header) as writer:
            for batch in self.table.to_batches(max_chunksize=BATCH):
                writer.write(batch)


def _check_columns(table: pa.Table, header: Header, file: Path) -> None:
    """What every user of the rows relies on: raises DataError where the file was damaged by hand."""
    for name in ("id", "root", "path", "label", "split", "empty", "origin"):
        if table.column(name).null_count:
            raise DataError(f"column {name} has rows without a value", where=str(file))
    if len(table):
        labels = pc.min_max(table.column("label")).as_py()
        if labels["min"] < 0 or labels["max"] >= len(header.classes):
            raise DataError(
                f"labels reach from {labels['min']} to {labels['max']}, but there are {len(header.classes)} classes",
                where=str(file),
            )
