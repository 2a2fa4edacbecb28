"""What is pasted and what it is pasted onto, made once: objects, and backgrounds whose objects are hidden."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from PIL import Image, ImageFilter

from fgic_core import Box, DataError, Dataset, Size, decode
from fgic_gen_mix._fill import fill
from fgic_gen_mix._scenes import Edges, Scene, scene_of, size_of, within

if TYPE_CHECKING:
    from fgic_gen_mix.generator import MixGenerator

#: What pictures that are kept may take, in bytes.
MEMORY = 256 * 2**20
#: Backgrounds and objects are kept at so many times the resolution at most, so that they can be scaled again.
DETAIL = 2
#: Beyond an object's outline, and where the picture was scaled down beyond its box, that many pixels are hidden too: so
#: far does bicubic resampling carry its colours.
_BEYOND = 2

Pixels = np.ndarray[Any, np.dtype[Any]]
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Cache(Generic[K, T]):
    """The values used last, up to an amount of memory."""

    def __init__(self, make: Callable[[K], T], size: Callable[[T], int], memory: int = MEMORY) -> None:
        self._make, self._size, self._memory = make, size, memory
        self._kept: OrderedDict[K, T] = OrderedDict()
        self.used = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: K) -> T:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = self._make(key)
        self.used += self._size(value)
        while self.used > self._memory and len(self._kept) > 1:
            self.used -= self._size(self._kept.popitem(last=False)[1])
        return value


@dataclass(frozen=True)
class View:
    """An object with a little of its surroundings, or a background.

    Attributes:
        image: (height, width, 3) uint8. Of a background, its objects are hidden.
        box: of the object, in the pixels of the image. Of a background, where it was, which may be outside.
        mask: (height, width) uint8, 255 where the object is; None where there is no mask of it, and of a background.
    """

    image: Pixels
    box: Box
    mask: Pixels | None

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + (self.mask.nbytes if self.mask is not None else 0)


def cutout(data: Dataset, row: int, options: MixGenerator) -> View:
    """A row's object and what fades out around it, its longer side `DETAIL` times the resolution at most.

    Raises:
        DataError: a file is missing or broken, or of another size than the row or the picture says.
    """
    picture, scene = _open(data, row, options, lambda scene: scene.is_object)
    left, upper = scene.region[:2]
    pad = options.feather * min(scene.thing.width, scene.thing.height)
    x1, y1, x2, y2 = scene.thing.expand(pad).clip(size_of(scene.region)).outward()
    box = scene.thing.shift(left, upper)
    corners = (left + x1, upper + y1, left + x2, upper + y2)
    size = _scaled(corners, DETAIL * options.resolution / max(box.width, box.height))
    image = _resized(picture.crop(corners), size, Image.Resampling.BICUBIC)
    outline = _outline(data, row, options, picture, corners, box)
    mask = None if outline is None else np.asarray(_resized(outline, size, Image.Resampling.BOX))
    return View(np.asarray(image), _placed(box, corners, size), mask)


def background(data: Dataset, row: int, options: MixGenerator) -> View:
    """The window of a row without its objects, with at most the pixels of `DETAIL` times the resolution, squared.

    The object is its mask, or its box with the margin; other boxes are hidden too.

    Raises:
        DataError: as `cutout`.
    """
    picture, scene = _open(data, row, options, lambda scene: scene.is_background(options.min_background))
    corners = scene.window
    window = picture.crop(corners)
    size = _scaled(corners, DETAIL * options.resolution / (window.width * window.height) ** 0.5)
    outline = _outline(data, row, options, picture, corners, scene.main)
    hole = np.zeros((size[1], size[0]), dtype=bool)
    if outline is not None:
        small = _resized(outline, size, Image.Resampling.BOX).point(lambda share: 255 if share else 0)
        hole |= np.asarray(small.filter(ImageFilter.MaxFilter(2 * _BEYOND + 1))) > 0
    beyond = _BEYOND if size != window.size else 0
    for box in scene.others if outline is not None else (scene.main, *scene.others):
        seen = within(box, corners)
        if not seen.is_empty:
            margin = options.margin * max(seen.width, seen.height)
            wide = _placed(seen.expand(margin).shift(*corners[:2]), corners, size).expand(beyond)
            x1, y1, x2, y2 = wide.clip(Size(*size)).outward()
            hole[y1:y2, x1:x2] = True
    visible = np.zeros_like(hole)  # what is masked stays as it is
    x1, y1, x2, y2 = _placed(Box(*map(float, scene.seen)), corners, size).clip(Size(*size)).outward()
    visible[y1:y2, x1:x2] = True
    hole &= visible
    image = np.asarray(_resized(window, size, Image.Resampling.BICUBIC))
    return View(fill(image, hole), _placed(scene.place.shift(*corners[:2]), corners, size), None)


def _open(data: Dataset, row: int, options: MixGenerator, usable: Callable[[Scene], bool]) -> tuple[Image.Image, Scene]:
    # What is masked is as large as the picture, in whose pixels the scene is.
    picture = data.crop(row) if data[row].masked else data.picture(row)
    scene = scene_of(data, row, Size(*picture.size), options.resize)
    if scene is None or not usable(scene):
        hint = "The picture is of another size than its row says."
        raise DataError(f"sample {data[row].id} does not show what its boxes say", hint=hint)
    return picture, scene


def _outline(
    data: Dataset, row: int, options: MixGenerator, picture: Image.Image, corners: Edges, box: Box
) -> Image.Image | None:
    """The mask inside the corners, 8-bit; None where there is none, or none of it is inside both them and the box."""
    if not options.masks or data[row].part_mask is None:
        return None
    file = data.file(row, "part_mask")
    mask = decode(file)
    if mask.size != picture.size:
        raise DataError(f"the mask has {mask.size} pixels and its picture {picture.size}", where=str(file))
    inside = mask.getchannel(0).crop(corners).point(lambda value: 255 if value else 0)
    part = within(box, corners)
    return inside if not part.is_empty and inside.crop(part.outward()).getbbox() else None


def _scaled(corners: Edges, factor: float) -> tuple[int, int]:
    """The size of what is between the corners, scaled down; as it is where the factor is above 1."""
    factor = min(factor, 1.0)
    return max(round((corners[2] - corners[0]) * factor), 1), max(round((corners[3] - corners[1]) * factor), 1)


def _resized(image: Image.Image, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, filter_)


def _placed(box: Box, corners: Edges, size: tuple[int, int]) -> Box:
    """A box of the picture in the pixels of what is between the corners when that has the size."""
    sx, sy = size[0] / (corners[2] - corners[0]), size[1] / (corners[3] - corners[1])
    return box.shift(-corners[0], -corners[1]).scale(sx, sy)
