"""A Parquet table with a row for each sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from fgic_core import Context, DatasetReader, InputFile, InputFolder, Sample
from fgic_data_readers._files import ClassNames

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetTable(DatasetReader):
    """A Parquet table with fgic's columns.

    ``id``, ``path``, ``label`` and ``split`` are needed; ``width``, ``height``, ``boxes``, ``empty``, ``parts``,
    ``part_mask``, ``region``, ``region_origin``, ``masked``, ``origin`` and ``parents`` are read where they are there.
    Labels are class names, or numbers from 0 with the option ``class_names``. ``empty`` is true where there is no
    object in the picture; without that column an empty list of boxes says so, and null that the picture was not
    annotated. The table is read in pieces: memory does not grow with it.
    """

    table: InputFile = Field(description="The Parquet file.")
    root: InputFolder = Field(description="Folder that the paths in the table start at.")
    class_names: ClassNames = Field(
        None,
        min_length=1,
        description="Class names in the order of their labels. Needed where the labels are numbers; where they are "
        "names, the sorted names by default.",
    )

    def source(self) -> Path:
        return self.root

    def classes(self) -> Sequence[str]:
        if self.class_names is not None:
            return self.class_names
        from fgic_data_readers import _arrow

        return _arrow.label_names(self.table)

    def samples(self, ctx: Context) -> Iterator[Sample]:
        from fgic_core import to_sample

        for batch in self.batches(ctx):
            yield from map(to_sample, batch.to_pylist())

    def batches(self, ctx: Context) -> Iterator[pa.RecordBatch]:
        from fgic_data_readers import _arrow

        return _arrow.batches(self.table, self.classes(), ctx.warn)
