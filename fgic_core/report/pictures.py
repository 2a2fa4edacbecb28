"""Pictures of the report: thumbnails inside the page, within a budget, and why a picture cannot be shown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fgic_core.data.dataset import Dataset
from fgic_core.data.geometry import Box
from fgic_core.data.images import decode
from fgic_core.data.sample import ObjectBox, Part, source_of
from fgic_core.errors import FgicError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Longest side of a thumbnail in pixels: sharp in a tile of half that on dense screens, and about 8 kB.
SIDE = 280
#: How many bytes of pictures one page holds, as data URIs.
BUDGET = 3_600_000
#: Pictures up to that side are shown pixel by pixel: smoothed, they would look better than they are.
PIXELS = 48
#: WebP quality of thumbnails, and of pictures of at most so many pixels a side, which is nearly all edges.
QUALITY, FINE, FINE_SIDE = 82, 92, 64


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        src: data URI; empty where there is no picture to show.
        alt: what it shows, in words.
        problem: why there is no picture.
        width: of the coordinates that boxes and parts are given in, in pixels.
        height: likewise.
        boxes: drawn over it: annotated ones solid, predicted ones dashed.
        region: drawn over it as the area that is looked at.
        parts: drawn over it as dots.
    """

    src: str
    alt: str
    problem: str = ""
    width: int = 0
    height: int = 0
    boxes: tuple[ObjectBox, ...] = ()
    region: Box | None = None
    parts: tuple[Part, ...] = ()

    @property
    def is_small(self) -> bool:
        """Whether it has so few pixels that each is shown."""
        return 0 < max(self.width, self.height) <= PIXELS


#: Weaker predicted boxes than that are not drawn, but for a picture's most confident one.
SURE = 0.3


def drawn(boxes: tuple[ObjectBox, ...]) -> tuple[ObjectBox, ...]:
    """The boxes that are worth drawing: annotated ones, the most confident predicted one, and others that are sure."""
    predicted = [box for box in boxes if source_of(box.origin) == "predicted"]
    best = max(predicted, key=lambda box: box.score or 0.0, default=None)
    return tuple(
        box
        for box in boxes
        if box.is_annotated or box is best or (box in predicted and box.score is not None and box.score >= SURE)
    )


class Album:
    """Makes thumbnails until the page is full.

    Attributes:
        lacks: whether a picture could not be had, which may be another time.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._left = budget
        self.lacks = False

    def add(
        self,
        load: Callable[[], Image],
        alt: str,
        *,
        boxes: tuple[ObjectBox, ...] = (),
        region: Box | None = None,
        parts: tuple[Part, ...] = (),
        side: int = SIDE,
    ) -> Picture:
        """The picture that ``load`` gives, or a placeholder with the reason why it cannot be shown.

        Args:
            side: the longest side of its thumbnail in pixels.
        """
        if self._left <= 0:
            return Picture("", alt, "left out to keep this page small")
        try:
            image = load()
        except FgicError as error:
            self.lacks = True
            return Picture("", alt, f"{error.what} ({error.where})" if error.where else error.what)
        except (OSError, ValueError, KeyError, IndexError) as error:
            self.lacks = True
            return Picture("", alt, str(error) or type(error).__name__)
        width, height = image.size
        src = _data_uri(image, side)
        self._left -= len(src)
        return Picture(src, alt, "", width, height, boxes, region, tuple(part for part in parts if part.visible))

    def file(self, path: Path, alt: str) -> Picture:
        """A picture file of an artifact."""
        return self.add(lambda: decode(path, path.name), alt)

    def shown(self, dataset: Dataset | None, row: int | None, alt: str, *, side: int = SIDE) -> Picture:
        """What a row of a data set shows (its region, cut out or masked); a placeholder where the row is not there."""
        if dataset is None or row is None:
            self.lacks = True
            return Picture("", alt, "the data set that holds this picture is not there")
        return self.add(lambda: dataset.crop(row), alt, side=side)

    def whole(self, dataset: Dataset, row: int, alt: str, *, region: bool = False) -> Picture:
        """The whole picture of a row with its boxes and parts, or with its region alone."""
        sample = dataset[row]
        if region:
            return self.add(lambda: dataset.picture(row), alt, region=sample.region)
        return self.add(lambda: dataset.picture(row), alt, boxes=drawn(sample.boxes), parts=sample.parts)


def _data_uri(image: Image, side: int) -> str:
    small = image.convert("RGB")
    if max(small.size) > side:
        small.thumbnail((side, side))
    file = BytesIO()
    small.save(file, "WEBP", quality=FINE if max(image.size) <= FINE_SIDE else QUALITY, method=4)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode('ascii')}"
