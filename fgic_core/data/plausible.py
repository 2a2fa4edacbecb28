"""Whether the boxes of a whole data set can be pixels of its pictures, judged by how they are spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.sample import SPLITS
from fgic_core.errors import DataError

_Numbers = np.ndarray[Any, np.dtype[np.float64]]

#: No data set has all of its boxes within so many pixels of the upper left corner. Fractions of a picture are: from 0
#: to 1, to 1.5 where the centre was taken for the corner, to 2 where a reader adds the last pixel to the corner x2, y2.
FRACTION = 2.0
#: A box below this many pixels, both ways, shows nothing; and which share of such boxes is worth a word.
TINY, TINY_SHARE = 2.0, 0.1
#: How far over the edge a box may reach before it counts: in pixels, and as a share of its side.
_OVER_PIXELS, _OVER_SHARE = 2.0, 0.05
#: Which share of boxes over the edge is worth a word, and which cannot be boxes of these pictures.
_SOME, _MOST = 0.05, 0.5
#: Below so many boxes nothing can be said of how they are spread.
_FEW = 8
#: Which share of the boxes is to fit for another reading of their numbers to be told.
_FITS = 0.99
#: Pictures that are smaller (longer side, in pixels) may have an object of one pixel.
_SMALL_PICTURE = 10.0


@dataclass
class _Spread:
    """How the boxes of one part of a data set are spread.

    Attributes:
        count, known: how many there are, and in pictures of known size.
        side: the longest side of any, in pixels.
        tiny: how many are below `TINY` both ways.
        fractions: how many of these can be nothing but fractions of a picture: by the corner, and at parts of a pixel.
        whole: how many have whole numbers alone.
        picture: the longest side of any picture, in pixels; 0 where none is known.
        corner: how many lie in the upper left quarter of their picture.
        farthest: the largest coordinate, in pixels.
        over: how many reach over the edge.
        ratio: the largest coordinate as a share of its picture's width or height.
        as_centers, as_corners: how many would fit if the four numbers they were written as (x, y, width, height) were
            centre and size, or two corners.
    """

    count: int = 0
    known: int = 0
    side: float = 0.0
    tiny: int = 0
    fractions: int = 0
    whole: int = 0
    picture: float = 0.0
    corner: int = 0
    farthest: float = 0.0
    over: int = 0
    ratio: float = 0.0
    as_centers: int = 0
    as_corners: int = 0

    def add(self, edges: _Numbers, limits: _Numbers) -> None:
        """More boxes, (4, n), and the sizes of their pictures, (2, n), NaN where unknown."""
        sizes = edges[2:] - edges[:2]
        self.count += edges.shape[1]
        self.side = max(self.side, float(sizes.max(initial=0.0)))
        tiny, whole = (sizes < TINY).all(axis=0), (edges == edges.round()).all(axis=0)
        by_corner = (edges <= FRACTION).all(axis=0) & ~(limits.max(axis=0) < _SMALL_PICTURE)
        self.tiny += int(tiny.sum())
        self.fractions += int((tiny & by_corner & ~whole).sum())
        self.whole += int(whole.sum())
        self.farthest = max(self.farthest, float(edges.max(initial=0.0)))
        known = ~np.isnan(limits).any(axis=0)
        edges, limits, sizes = edges[:, known], limits[:, known], sizes[:, known]
        self.known += edges.shape[1]
        self.picture = max(self.picture, float(limits.max(initial=0.0)))
        self.corner += int((edges[2:] < limits / 2).all(axis=0).sum())
        self.ratio = max(self.ratio, float((edges[2:] / limits).max(initial=0.0)))
        slack = np.maximum(_OVER_PIXELS, _OVER_SHARE * sizes)
        self.over += int(_reaches(edges[:2], edges[2:], limits, slack).sum())
        half = sizes / 2
        self.as_centers += int((~_reaches(edges[:2] - half, edges[:2] + half, limits, _OVER_PIXELS)).sum())
        corners = (sizes > edges[:2]).all(axis=0) & ~_reaches(edges[:2], sizes, limits, _OVER_PIXELS)
        self.as_corners += int(corners.sum())

    @property
    def is_fractions(self) -> bool:
        """Whether all of them lie where fractions of a picture do."""
        is_small = 0 < self.picture < _SMALL_PICTURE
        return max(self.side, self.farthest) <= FRACTION and not is_small

    @property
    def says_little(self) -> bool:
        """Whether they may be something else than fractions: a few, or all of one whole number, as for "unknown"."""
        return self.count < _FEW or self.whole == self.count

    def reading(self) -> str:
        """What else the numbers could mean, if all but a few would fit then; empty where nothing is found."""
        least = max(_FITS * self.known, 1)
        if self.as_corners >= least:
            return "Read as the corners x1, y1, x2, y2 they would fit; they should be x, y, width, height."
        if self.as_centers >= least:
            return (
                "Read as centre and size, as YOLO writes them, they would fit; x, y should be the upper left corner: "
                "subtract half the width and half the height."
            )
        if self.ratio > 1 + _OVER_SHARE:
            return (
                f"They reach to {self.ratio:.2g} times the width or height: were they annotated on pictures of another "
                "size, which were scaled down?"
            )
        return ""


def _reaches(low: _Numbers, high: _Numbers, limits: _Numbers, slack: Any) -> Any:
    """For each of n boxes whether it reaches over the edge by more than the slack."""
    return ((low < -slack) | (high > limits + slack)).any(axis=0)


class Plausibility:
    """Looks at the boxes, regions and part locations of a data set, batch by batch, before boxes are clipped."""

    def __init__(self) -> None:
        self._spreads: dict[tuple[str, str], _Spread] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows of `SCHEMA`, whose width and height are those of the pictures, or null."""
        splits = np.asarray(batch.column("split").cast(pa.string()).to_pylist(), dtype=object)
        limits = np.stack([_numbers(batch.column(name)) for name in ("width", "height")])
        boxes, parts, regions = (batch.column(name) for name in ("boxes", "parts", "region"))
        rows = np.asarray(pc.list_parent_indices(boxes))
        self._add("boxes", _edges(boxes.flatten()), splits[rows], limits[:, rows])
        there = np.flatnonzero(np.asarray(pc.is_valid(regions)))
        self._add("regions", _edges(regions.take(pa.array(there))), splits[there], limits[:, there])
        points, rows = parts.flatten(), np.asarray(pc.list_parent_indices(parts))
        seen = np.asarray(points.field("visible")) if len(points) else np.zeros(0, bool)
        places = np.stack([_numbers(points.field(axis)) for axis in ("x", "y")])[:, seen]
        # A place is a box from the corner to it: all of these are small where places are fractions.
        self._add("part locations", np.concatenate([0 * places, places]), splits[rows[seen]], limits[:, rows[seen]])

    def _add(self, what: str, edges: _Numbers, splits: Any, limits: _Numbers) -> None:
        usable = np.isfinite(edges).all(axis=0) & (edges[2:] > edges[:2]).all(axis=0)
        for split in SPLITS:
            chosen = usable & (splits == split)
            if chosen.any():
                self._spreads.setdefault((what, split), _Spread()).add(edges[:, chosen], limits[:, chosen])

    def _ordered(self) -> list[tuple[tuple[str, str], _Spread]]:
        return sorted(self._spreads.items(), key=lambda item: (item[0][0], SPLITS.index(item[0][1])))

    def hint(self) -> str:
        """What the numbers of boxes that do not fit could mean."""
        readings = (spread.reading() for (what, _), spread in self._ordered() if what == "boxes")
        return next(filter(None, readings), "")

    def raise_if_impossible(self, where: str) -> None:
        """Raises DataError where the boxes of a part of the data set cannot be pixels of its pictures."""
        for (what, split), spread in self._ordered():
            of = f"{spread.count:,} {what} of {split}"
            if spread.is_fractions and not (what == "part locations" and spread.says_little):
                about = f", in pictures of up to {spread.picture:,.0f} pixels" if spread.picture else ""
                how = "lie within" if what == "part locations" else "are no larger than"
                raise DataError(
                    f"all {of} {how} {spread.side:.2g} pixels{about}: they are fractions of the picture (0 to 1), as "
                    "YOLO writes them, and should be pixels",
                    where=where,
                    hint="Multiply x and width by the width of the picture, y and height by its height. YOLO's x, y "
                    "are the centre of the box: subtract half of its width and height.",
                )
            if what == "boxes" and spread.over >= max(_MOST * spread.known, _FEW):
                raise DataError(
                    f"{spread.over:,} of {of} reach over the edge of their pictures: they cannot be boxes of these",
                    where=where,
                    hint=spread.reading() or "Are they annotations of other pictures?",
                )

    def remarks(self) -> Iterator[str]:
        """What is suspicious in a data set that may be right all the same."""
        for (what, split), spread in self._ordered():
            of = f"{spread.count:,} {what} of {split}"
            if what == "part locations" and spread.is_fractions:
                yield (
                    f"all {of} lie within {spread.side:.2g} pixels of the upper left corner: are they unknown, and "
                    "should not be visible, or in fractions of the picture?"
                )
            if what != "boxes":
                continue
            if spread.fractions:
                yield (
                    f"{spread.fractions:,} of {of} lie within {FRACTION:g} pixels of the upper left corner, at parts "
                    "of a pixel: are they in fractions of the picture (0 to 1)?"
                )
            tiny = spread.tiny - spread.fractions
            if tiny >= max(TINY_SHARE * spread.count, 3):
                yield (
                    f"{tiny:,} of {of} are smaller than {TINY:g} x {TINY:g} pixels, which shows nothing: are "
                    "some in other units than pixels?"
                )
            if spread.over >= max(_SOME * spread.known, 3):
                yield (
                    f"{spread.over:,} of {of} reach over the edge of their pictures by more than {_OVER_SHARE:.0%} of "
                    f"their side. {spread.reading()}".rstrip()
                )
            if spread.corner >= max(0.95 * spread.known, _FEW):
                percent = spread.farthest <= 101 and spread.picture > 2 * 101
                yield (
                    f"{spread.corner:,} of {of} lie in the upper left quarter of their pictures (up to "
                    f"{spread.farthest:,.0f} of {spread.picture:,.0f} pixels): are they "
                    f"{'in percent' if percent else 'annotated on smaller pictures, or in percent,'} and not in pixels?"
                )


def _edges(boxes: pa.StructArray) -> _Numbers:
    return np.stack([_numbers(boxes.field(edge)) for edge in ("x1", "y1", "x2", "y2")])


def _numbers(values: pa.Array) -> _Numbers:
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
