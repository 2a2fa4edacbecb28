"""Which samples a label and a seed draw, and the picture made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fgic_core import Box, DataError, Dataset, FittedGenerator, PluginError
from fgic_gen_mix._blend import Paste, cutmix, mixup, paste
from fgic_gen_mix._pictures import Cache, Pixels, View, background, cutout
from fgic_gen_mix._scenes import scenes

if TYPE_CHECKING:
    from fgic_gen_mix.generator import MixGenerator

WHERE = "generator/mix"
_BOXES = "Annotate its boxes, run a detector before this step, or choose method: mixup or cutmix."
_FREE = (
    "lower min_background, raise the detector's min_score, put this step before the cropper, or choose mixup or cutmix."
)

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Draw:
    """All that is random in a picture.

    Attributes:
        first, second: rows of the parents, the first of the picture's class.
        flips: whether each is mirrored.
        share: of the first (mixup, cutmix).
        grow: how much larger an object is pasted than it needs to be.
        where: place of the rectangle among those inside the picture, in [0, 1).
    """

    first: int
    second: int
    flips: tuple[bool, bool]
    share: float
    grow: float
    where: tuple[float, float]


class Mixer(FittedGenerator):
    """Draws parents and mixes them.

    Args:
        options: the component.
        data: rows to draw from.
        warn: is told once of samples that cannot be used.
    """

    def __init__(self, options: MixGenerator, data: Dataset, warn: Callable[[str], None] | None) -> None:
        self.options, self.data = options, data
        self.ids, labels = data.ids, data.labels
        firsts, seconds = self._usable(warn) if options.method == "paste" else (np.ones(len(data), dtype=bool),) * 2
        any_class: Rows = np.flatnonzero(seconds)
        self.firsts: list[Rows] = [np.flatnonzero(firsts & (labels == label)) for label in range(len(data.classes))]
        self.seconds: list[Rows] = [
            any_class if options.partners() == "any" else np.flatnonzero(seconds & (labels == label))
            for label in range(len(data.classes))
        ]
        self._check(np.bincount(labels, minlength=len(data.classes)))
        if warn and options.method != "paste" and options.partners() == "any":
            warn("partner is any: up to half of a made picture can show another class than its label says")
        self._squares: Cache[int, Pixels] = Cache(self._square, lambda pixels: pixels.nbytes)
        self._views: Cache[tuple[Callable[..., View], int], View] = Cache(
            lambda key: key[0](data, key[1], options), lambda one: one.nbytes
        )

    def _usable(self, warn: Callable[[str], None] | None) -> tuple[Pixels, Pixels]:
        """Which rows can be pasted, and which can be pasted onto."""
        least, size = self.options.min_background, len(self.data)
        can = [
            (scene is not None, scene is not None and scene.is_object, scene is not None and scene.is_background(least))
            for scene in scenes(self.data, self.options.resize)
        ]
        boxed, objects, grounds = np.array(can, dtype=bool).reshape(-1, 3).T
        hidden, full = int((~objects).sum()), int((boxed & ~grounds).sum())
        if hidden and warn:
            warn(f"{hidden} of {size} train samples show no box (or less than half of it): none is pasted")
        if full and warn:
            warn(f"{full} of {size} train samples are no background: boxes leave less than {least:.0%} of them free")
        return objects, grounds

    def _check(self, counts: Rows) -> None:
        paste_, same = self.options.method == "paste", self.options.partners() == "same"
        if len(self.data) < 2:
            raise DataError("a picture is made of two train samples, and there are not two", where=WHERE)
        for name, firsts, seconds, count in zip(self.data.classes, self.firsts, self.seconds, counts, strict=True):
            if count and not len(firsts):
                raise DataError(f"no train sample of class {name!r} shows a box to paste", where=WHERE, hint=_BOXES)
            if same and count == 1:
                hint = "Add pictures, or choose partner: any."
                raise DataError(f"class {name!r} has a single sample to mix, and no partner", where=WHERE, hint=hint)
            if paste_ and count and not _has_partners(firsts, seconds):
                whose = f"no train sample of class {name!r}" if same else "no train sample"
                raise DataError(
                    f"{whose} can be the background of objects of class {name!r}: it takes another picture of which "
                    f"boxes leave {self.options.min_background:.0%} free",
                    where=WHERE,
                    hint=f"Choose partner: any, {_FREE}" if same else _FREE.capitalize(),
                )

    def draw(self, label: int, seed: int) -> Draw:
        """Raises PluginError where the label has no samples."""
        if not 0 <= label < len(self.firsts) or not len(self.firsts[label]):
            raise PluginError(f"there are no train samples of label {label}", where=WHERE)
        options, rng = self.options, np.random.default_rng(seed)
        own = self.firsts[label]
        first = int(own[rng.integers(len(own))])
        second = _other(rng, self.seconds[label], first)
        flips = rng.random(2) < 0.5 if options.flip else (False, False)
        share = float(rng.beta(options.alpha, options.alpha))
        if options.partners() == "any":
            share = max(share, 1 - share)
        grow = 1 + options.scale_jitter * float(rng.random())
        return Draw(first, second, (bool(flips[0]), bool(flips[1])), share, grow, (rng.random(), rng.random()))

    def parents(self, labels: Sequence[int], seeds: Sequence[int]) -> list[tuple[str, ...]]:
        """Ids of the two samples each picture is made of, the one of its class first. No picture is decoded."""
        draws = [self.draw(int(label), int(seed)) for label, seed in zip(labels, seeds, strict=True)]
        return [(self.ids[one.first], self.ids[one.second]) for one in draws]

    def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Pixels:
        """(n, 3, resolution, resolution) float32 in [0, 1].

        Raises:
            PluginError: a label has no train samples.
            DataError: a picture or a mask is missing or broken.
        """
        draws = [self.draw(int(label), int(seed)) for label, seed in zip(labels, seeds, strict=True)]
        side = self.options.resolution
        pictures = np.empty((len(draws), 3, side, side), dtype=np.float32)
        for row, one in enumerate(draws):
            pictures[row] = self._pasted(one) if self.options.method == "paste" else self._mixed(one)
        return pictures

    def _mixed(self, one: Draw) -> Pixels:
        rows = ((one.first, one.flips[0]), (one.second, one.flips[1]))
        first, second = (self._squares[row][:, :, :: -1 if flip else 1] / np.float32(255) for row, flip in rows)
        if self.options.method == "mixup":
            return mixup(first, second, one.share)
        return cutmix(first, second, one.share, one.where)

    def _pasted(self, one: Draw) -> Any:
        options = self.options
        thing = _turned(self._views[cutout, one.first], one.flips[0])
        ground = _turned(self._views[background, one.second], one.flips[1])
        how = Paste(options.shape, options.feather, options.margin, one.grow)
        return options.prepare(paste(thing, ground, how)).numpy()

    def _square(self, row: int) -> Pixels:
        """A row's picture as it is learned from, (3, resolution, resolution) uint8."""
        pixels: Pixels = (self.options.prepare(self.data.crop(row)).numpy() * 255).round().astype(np.uint8)
        return pixels


def _has_partners(firsts: Rows, seconds: Rows) -> bool:
    """Whether each of the first rows has a second one that is not itself."""
    return len(seconds) > 1 or (len(seconds) == 1 and seconds[0] not in firsts)


def _other(rng: np.random.Generator, rows: Rows, first: int) -> int:
    """One of the ascending rows that is not the first, each as likely as the others."""
    here = int(np.searchsorted(rows, first))
    if here == len(rows) or rows[here] != first:
        return int(rows[rng.integers(len(rows))])
    at = int(rng.integers(len(rows) - 1))  # those after the first move up by one
    return int(rows[at + (at >= here)])


def _turned(one: View, flip: bool) -> View:
    """The view, or its mirror image. (Pillow mirrors far quicker than numpy copies what it flipped.)"""
    if not flip:
        return one
    width = one.image.shape[1]
    box = Box(width - one.box.x2, one.box.y1, width - one.box.x1, one.box.y2)
    return View(_mirrored(one.image), box, None if one.mask is None else _mirrored(one.mask))


def _mirrored(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
