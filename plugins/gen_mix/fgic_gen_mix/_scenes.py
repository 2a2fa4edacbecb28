"""Where objects are in what a sample shows, from its row alone: no picture is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fgic_core import Box, Dataset, Size, choose_box

Resize = Literal["center_crop", "squash", "letterbox"]
Edges = tuple[int, int, int, int]

#: An object of which less than this share of the box can be seen is not cut out: its label could not be seen.
VISIBLE = 0.5

_COLUMNS = ["width", "height", "boxes", "region", "masked"]
_BEST_FIRST: tuple[Literal["annotated", "crossfit", "predicted"], ...] = ("annotated", "crossfit", "predicted")
_BATCH = 16_384


@dataclass(frozen=True, slots=True)
class Scene:
    """What a sample with a box shows, in the pixels of its whole picture.

    Attributes:
        region: what the sample shows of it: left, upper, right and lower edge.
        window: what `Generator.prepare` shows of that, or of the whole picture where that is masked around the region.
        main: the object's box, inside the picture.
        others: boxes of other objects and of crowds, inside the picture.
    """

    region: Edges
    window: Edges
    main: Box
    others: tuple[Box, ...]

    @property
    def is_object(self) -> bool:
        """Whether the sample shows enough of the object for it to be cut out."""
        return self._shown(self.region) >= VISIBLE

    @property
    def thing(self) -> Box:
        """The object's box inside the region, in the region's pixels."""
        return within(self.main, self.region)

    @property
    def place(self) -> Box:
        """Where another object goes, in the window's pixels: over what is seen of the object there.

        Where that is less than half of it, or nothing, it is all of its box, which reaches out of the window.
        """
        if self._shown(self.seen) >= VISIBLE:
            dx, dy = self.seen[0] - self.window[0], self.seen[1] - self.window[1]
            return within(self.main, self.seen).shift(dx, dy)
        return self.main.shift(-self.window[0], -self.window[1])

    @property
    def free(self) -> float:
        """The share of the window that lies outside of all boxes; what is masked in it does not count."""
        return free_share([within(box, self.seen) for box in (self.main, *self.others)], size_of(self.seen))

    @property
    def seen(self) -> Edges:
        """The window without what is masked in it, which may leave nothing."""
        return _common(self.window, self.region)

    def is_background(self, least: float) -> bool:
        """Whether pixels of the picture are in the window, and boxes leave at least that share of them free."""
        size = size_of(self.seen)
        return size.width > 0 and size.height > 0 and self.free >= least - 1e-9

    def _shown(self, edges: Edges) -> float:
        return self.main.intersection(Box(*map(float, edges))) / self.main.area


def look(row: Mapping[str, Any], size: Size, resize: Resize) -> Scene | None:
    """The scene of a row with the columns boxes, region and masked; None where it has no box of an object.

    The object is that of the largest annotated box in what is seen; where nothing is annotated, that of the most
    confident found one, crossfit ones first. One outside of that is taken where none is inside.

    Args:
        size: of the whole picture.
    """
    entries = row["boxes"] or ()
    source = next((one for one in _BEST_FIRST if choose_box(entries, one, size).box is not None), None)
    if source is None:
        return None
    region = (Box(**row["region"]) if row["region"] else size.box).clip(size).outward()
    window = _window(size.box.outward() if row["masked"] else region, resize)
    boxes = [Box(*(entry[edge] for edge in ("x1", "y1", "x2", "y2"))) for entry in entries]
    visible = _common(window, region)
    shown = [_moved(entry, -visible[0], -visible[1]) for entry in entries]
    seen = choose_box(shown, source, size_of(visible)).entry
    main = _position(shown, seen) if seen else _position(entries, choose_box(entries, source, size).entry)
    counted = [entry["origin"].partition(":")[0] in (source, "annotated") for entry in entries]
    others = [box.clip(size) for at, box in enumerate(boxes) if counted[at] and at != main]
    return Scene(region, window, boxes[main].clip(size), tuple(box for box in others if not box.is_empty))


def scenes(data: Dataset, resize: Resize) -> Iterator[Scene | None]:
    """Those of all rows. A picture is decoded where its row has boxes and no size."""
    at = 0
    for batch in data.table.select(_COLUMNS).to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            known = row["width"] is not None and row["height"] is not None
            if known or row["boxes"]:
                size = Size(row["width"], row["height"]) if known else Size(*data.picture(at).size)
                yield look(row, size, resize)
            else:
                yield None
            at += 1


def scene_of(data: Dataset, row: int, size: Size, resize: Resize) -> Scene | None:
    """That of one row, whose picture has that size."""
    return look(data.table.select(_COLUMNS).slice(row, 1).to_pylist()[0], size, resize)


def free_share(boxes: Sequence[Box], size: Size) -> float:
    """The share of a picture that lies outside of all boxes, which lie inside of it; 0 for an empty picture."""
    xs = np.unique([0.0, size.width, *(x for box in boxes for x in (box.x1, box.x2))])
    ys = np.unique([0.0, size.height, *(y for box in boxes for y in (box.y1, box.y2))])
    free = np.ones((len(ys) - 1, len(xs) - 1))
    for box in boxes:
        (left, right), (upper, lower) = np.searchsorted(xs, (box.x1, box.x2)), np.searchsorted(ys, (box.y1, box.y2))
        free[upper:lower, left:right] = 0
    area = size.width * size.height
    return float(np.diff(ys) @ free @ np.diff(xs)) / area if area else 0.0


def within(box: Box, edges: Edges) -> Box:
    """The part of the box inside the edges, from their upper left corner."""
    return box.shift(-edges[0], -edges[1]).clip(size_of(edges))


def size_of(edges: Edges) -> Size:
    return Size(max(edges[2] - edges[0], 0), max(edges[3] - edges[1], 0))


def _window(shown: Edges, resize: Resize) -> Edges:
    """What of these pixels `Generator.prepare` shows."""
    if resize != "center_crop":
        return shown
    width, height = size_of(shown).width, size_of(shown).height
    side = min(width, height)
    left, upper = shown[0] + (width - side) // 2, shown[1] + (height - side) // 2
    return left, upper, left + side, upper + side


def _common(one: Edges, other: Edges) -> Edges:
    """What is inside of both; of no width or height where nothing is."""
    left, upper = max(one[0], other[0]), max(one[1], other[1])
    return left, upper, max(min(one[2], other[2]), left), max(min(one[3], other[3]), upper)


def _moved(entry: Mapping[str, Any], dx: float, dy: float) -> dict[str, Any]:
    edges = {"x1": entry["x1"] + dx, "y1": entry["y1"] + dy, "x2": entry["x2"] + dx, "y2": entry["y2"] + dy}
    return {**entry, **edges}


def _position(entries: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any] | None) -> int:
    return next(at for at, entry in enumerate(entries) if entry is wanted)
