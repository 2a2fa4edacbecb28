"""DatasetReader: from files as people have them to samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fgic_core.kinds.component import Component
from fgic_core.kinds.ports import Input

if TYPE_CHECKING:
    import pyarrow as pa

    from fgic_core.data.header import Column
    from fgic_core.data.sample import Sample
    from fgic_core.kinds.context import Context


class DatasetReader(Component, ABC):
    """Yields the samples of a data set and names its classes.

    Contract: `samples` gives every picture once, with an id that is unique and the same on every machine; labels are
    indices into `classes`, whose order does not depend on how a folder is listed; boxes are edges in pixels of the
    upright picture (`Box`); a picture in which somebody looked for objects and found none is `Sample.empty`, without
    that one without annotated boxes counts as not annotated; splits are the data set's official ones.

    The core checks files, ids, labels and boxes, takes the pictures' digests, finds duplicates, writes the rows, and
    leaves out those of train that are not asked for.
    """

    kind: ClassVar[str] = "dataset"
    inputs: ClassVar[Mapping[str, Input]] = {}
    gives: ClassVar[str] = "dataset"

    verify: Literal["full", "header", "none"] = Field(
        "full",
        description="How far each picture is checked: `full` decodes it and looks for duplicates, `header` reads its "
        "size alone, `none` believes the annotations.",
    )
    unreadable: Literal["error", "skip"] = Field(
        "error",
        description="What a missing or broken picture does: `error` stops and lists them, `skip` leaves them out and "
        "counts them.",
    )
    max_train_per_class: int | None = Field(
        None,
        ge=1,
        description="At most so many train pictures of each class are used, drawn by the seed: the 5 are among the 10. "
        "They are drawn after the validation part is cut (`val_fraction`), so that neither that nor the test part "
        "depends on how many they are. By default all.",
    )
    val_fraction: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Share of each class's train pictures that is held out here, drawn by the seed, as the validation "
        "part of all steps, where the data set has none. By default a tenth with `max_train_per_class`; without it, "
        "steps that learn hold out a part each.",
    )

    def draws(self) -> bool:
        """Whether the seed decides what is in the data set.

        By default, whether its pictures are made and not read, or some of the train part are drawn (as the core does).
        """
        return self.source() is None or self.max_train_per_class is not None or self.val_fraction is not None

    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names; a label is an index into them."""

    @abstractmethod
    def samples(self, ctx: Context) -> Iterator[Sample]:
        """The samples, in an order that does not depend on how a folder is listed.

        A reader that makes its pictures writes them below ``ctx.folder``.

        Raises:
            DataError: an annotation is missing or contradicts another; the message names file and line.
        """

    def source(self) -> Path | None:
        """The folder that samples' paths are relative to; None where they are relative to ``ctx.folder``."""
        return None

    def part_names(self) -> Sequence[str]:
        """Names of the parts, if the data set has parts; a part mask's value p is part number p, counted from 1."""
        return ()

    def notes(self) -> Sequence[str]:
        """Facts that belong beside every number made from these data."""
        return ()

    def columns(self) -> Sequence[Column]:
        """What rows have beyond the columns of every data set (`Sample.extra`); files lie below `source`."""
        return ()

    def batches(self, ctx: Context) -> Iterator[pa.RecordBatch] | None:
        """The rows as Arrow batches of `fgic_core.data.dataset.SCHEMA`, for a reader whose files are tables already.

        None (the default) has the core make them from `samples`.
        """
        return None
