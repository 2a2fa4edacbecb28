"""A look at every picture of a data set: can it be read, how large is it, what are its digest and its hash."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgic_core.data.checks import Problems, check_boxes
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.data.files import regular_file
from fgic_core.data.geometry import Size
from fgic_core.data.images import (
    LARGEST_PICTURE,
    ORIGIN_BEFORE,
    Facts,
    examine,
    read_header,
    read_origin,
    read_size,
    says_origin,
)
from fgic_core.data.plausible import Plausibility
from fgic_core.data.rows import BATCH, SCHEMA
from fgic_core.errors import DataError, FgicError
from fgic_core.kinds.dataset.near_duplicates import perceptual_hash
from fgic_core.kinds.dataset.remarks import Depths, Frames

if TYPE_CHECKING:
    from fgic_core.steps.context import StepContext


class Found(NamedTuple):
    """What a look at a picture's file gave; ``reason`` says why it cannot be used."""

    width: int | None = None
    height: int | None = None
    digest: str | None = None
    phash: int | None = None
    reason: str = ""
    made_by: str | None = None
    parents: tuple[str, ...] = ()
    facts: Facts = Facts()


def inspect(path: Path, mask: Path | None, level: Literal["full", "header"]) -> Found:
    """Look at a picture, and at its part mask's size."""
    try:
        if level == "header":
            (size, facts), digest, phash = read_header(path), None, None
            content = _head(path) if path.suffix.lower() == ".png" else b""
        else:
            content = regular_file(path, LARGEST_PICTURE).read_bytes()
            if not content:
                return Found(reason="the file is empty")
            image, facts = examine(content, str(path))
            size = Size(*image.size)
            digest, phash = hashlib.blake2b(content, digest_size=16).hexdigest(), perceptual_hash(image)
        if mask is not None and (of_mask := read_size(mask)) != size:
            return Found(reason=f"its part mask is {_by(of_mask)} pixels large, the picture {_by(size)}")
    except FileNotFoundError:
        return Found(reason="the picture is missing")
    except FgicError as error:
        return Found(reason=error.what if error.where == str(path) else f"its part mask: {error.what}")
    except OSError as error:
        return Found(reason=f"the picture cannot be read: {error.strerror or error}")
    made_by, parents = read_origin(content) or (None, ())
    return Found(size.width, size.height, digest, phash, "", made_by, parents, facts)


def _head(path: Path) -> bytes:
    """The first bytes of a file; all of them where they say that it was made."""
    with regular_file(path).open("rb") as file:
        head = file.read(ORIGIN_BEFORE)
        return head + file.read() if says_origin(head) else head


def _marked(batch: pa.RecordBatch) -> list[bool]:
    """For each row whether it has boxes, parts or a region, which are places in the picture."""
    lists = [pc.fill_null(pc.list_value_length(batch.column(name)), 0) for name in ("boxes", "parts")]
    places = pc.or_(pc.greater(lists[0], 0), pc.greater(lists[1], 0))
    marked: list[bool] = pc.or_(places, pc.is_valid(batch.column("region"))).to_pylist()
    return marked


def _by(size: Size) -> str:
    return f"{size.width}x{size.height}"


class Files:
    """Looks at the pictures of a data set, several at a time.

    Args:
        root: the folder of the pictures.
        level: `full` decodes them, `header` reads their sizes.
        header: of the data set.
        where: what errors call the data set.
    """

    def __init__(self, root: Path, level: Literal["full", "header"], header: Header, where: str) -> None:
        self.root, self.level, self.header, self.where = root, level, header, where
        self.unreadable: list[tuple[str, str]] = []
        self.disagreeing: list[str] = []
        self.scales = (float("inf"), 0.0)
        self.made: dict[str, int] = {}
        self.misplaced: list[str] = []
        self.frames = Frames()
        self.depths = Depths()

    def verify(self, raw: Path, ctx: StepContext, skip: bool) -> tuple[Header, int]:
        """Copy the rows of ``raw`` to ``ctx.folder``, with sizes, digests and hashes; the header, the boxes clipped.

        Raises:
            DataError: pictures are unreadable (unless they are to be skipped), or boxes lie outside of theirs.
        """
        problems, plausibility = Problems(), Plausibility()
        clipped = 0
        what = "decode pictures" if self.level == "full" else "read picture sizes"
        with (
            pq.ParquetFile(raw / "samples.parquet", read_dictionary=["root", "split", "origin"]) as file,
            ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool,
            DatasetWriter(ctx.folder, self.header) as writer,
            ctx.progress(what, file.metadata.num_rows) as progress,
        ):
            for given in file.iter_batches(BATCH):
                found = []
                for result in pool.map(self._inspect, *self._paths(given)):
                    found.append(result)
                    progress.advance()
                filled = self._fill(given, found)
                plausibility.add(filled)
                batch, moved = check_boxes(filled, len(self.header.classes), problems)
                clipped += moved
                writer.write(batch)
            if not skip:
                self._raise_unreadable()
            self._raise_misplaced()
            self.depths.raise_if_black(str(self.root))
            self.frames.raise_if_unturned(self.where)
            plausibility.raise_if_impossible(self.where)
            hint = plausibility.hint() or "Correct the annotations."
            problems.raise_if_any("boxes do not fit their pictures", self.where, hint)
            if not writer.rows:
                raise DataError("no picture of this data set can be read", where=self.where)
            writer.header = replace(self.header, skipped=(*self.header.skipped, *self.unreadable))
        if self.disagreeing:
            least, most = self.scales
            # Sizes are whole pixels, so that half of an odd one is off by a little.
            scaled = f" In all of them it is {most:.2g} times as large." if most <= 1.02 * least else ""
            ctx.warn(
                "The size that the annotation says is not the file's, so that boxes may be off: "
                f"{len(self.disagreeing):,} of the pictures, such as {self.disagreeing[0]}.{scaled}"
            )
        for remark in (*self.depths.remarks(), *self.frames.remarks(), *plausibility.remarks()):
            ctx.warn(remark)
        for uses, count in sorted(self.made.items()):
            ctx.warn(f"{count:,} train pictures say in their files that {uses} made them: they count as synthetic.")
        return writer.header, clipped

    def _paths(self, batch: pa.RecordBatch) -> tuple[list[str], list[str | None]]:
        return batch.column("path").to_pylist(), batch.column("part_mask").to_pylist()

    def _inspect(self, path: str, mask: str | None) -> Found:
        return inspect(self.root / path, self.root / mask if mask else None, self.level)

    def _fill(self, batch: pa.RecordBatch, found: list[Found]) -> pa.RecordBatch:
        """The rows whose pictures can be read, with what was found; notes the others."""
        paths = batch.column("path")
        said = zip(batch.column("width").to_pylist(), batch.column("height").to_pylist(), strict=True)
        marked = _marked(batch)
        for row, (result, (width, height)) in enumerate(zip(found, said, strict=True)):
            if result.reason:
                self.unreadable.append((paths[row].as_py(), result.reason))
                continue
            self.depths.add(result.facts)
            if marked[row] and self.frames.add(paths[row].as_py(), result, width, height):
                continue
            if width is not None and (width, height) != (result.width, result.height):
                shown = f"{paths[row].as_py()} ({result.width}x{result.height}, not {width}x{height})"
                self.disagreeing.append(shown)
                shares = width / (result.width or 1), height / (result.height or 1)
                self.scales = min(self.scales[0], *shares), max(self.scales[1], *shares)
        for name in ("width", "height", "digest", "phash"):
            field = SCHEMA.field(name)
            values = pa.array([getattr(result, name) for result in found], field.type)
            batch = batch.set_column(SCHEMA.get_field_index(name), field, values)
        batch = self._with_origins(batch, found)
        return batch.filter(pa.array([not result.reason for result in found]))

    def _with_origins(self, batch: pa.RecordBatch, found: list[Found]) -> pa.RecordBatch:
        """The rows with the origin that pictures' files say, where the reader takes them for real."""
        if not any(result.made_by for result in found):
            return batch
        origins, parents, splits = (batch.column(name).to_pylist() for name in ("origin", "parents", "split"))
        for row, result in enumerate(found):
            if result.made_by is None:
                continue
            if splits[row] != "train":
                self.misplaced.append(f"{batch.column('path')[row].as_py()} ({splits[row]}, of {result.made_by})")
            if origins[row] == "real":
                origins[row], parents[row] = f"synthetic:{result.made_by}", list(result.parents)
                self.made[result.made_by] = self.made.get(result.made_by, 0) + 1
        for name, values in (("origin", origins), ("parents", parents)):
            field = SCHEMA.field(name)
            batch = batch.set_column(SCHEMA.get_field_index(name), field, pa.array(values, field.type))
        return batch

    def _raise_misplaced(self) -> None:
        problems = Problems()
        for said in self.misplaced:
            problems.add(said)
        count = f"{len(self.misplaced):,} picture{'s' * (len(self.misplaced) != 1)}"
        problems.raise_if_any(
            f"{count} outside of train say in their files that a generator made them",
            str(self.root),
            "Synthetic pictures are to learn from alone: move them to train, or remove them.",
        )

    def _raise_unreadable(self) -> None:
        problems = Problems()
        for path, reason in self.unreadable:
            problems.add(f"{path}: {reason}")
        count = f"{len(self.unreadable):,} picture{'s' * (len(self.unreadable) != 1)}"
        problems.raise_if_any(
            f"{count} cannot be read", str(self.root), "Restore or remove them, or set `unreadable: skip`."
        )
