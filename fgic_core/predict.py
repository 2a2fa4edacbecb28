"""Naming what is on pictures with a trained classifier, alone or with all that a run put before it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fgic_core.data.formats import PICTURE_SUFFIXES, why_left_out
from fgic_core.data.geometry import Size
from fgic_core.errors import DataError, FgicError
from fgic_core.regions import NOT_CUT, WHOLE_PICTURES, Shown

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from fgic_core.data.geometry import Box
    from fgic_core.data.pictures import AnyPicture
    from fgic_core.kinds.classifier.model import Model
    from fgic_core.kinds.explainer.contract import Explainer
    from fgic_core.kit.inference import Batch
    from fgic_core.regions import Regions

T = TypeVar("T")


class Guess(NamedTuple):
    """A class, its index among the model's classes, and its softmax probability in [0, 1]."""

    name: str
    label: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier makes of one picture.

    Attributes:
        path: the picture's file; None of one that is no file.
        top: the most probable classes, best first; empty where there is an error.
        shown: what of the picture was looked at: the box, where it comes from, the region, and whether that was cut out
            or masked around.
        overlay: if an explainer was asked for, the upright picture with the map of the best class where the network saw
            it, and grey where it saw that; of a `model` alone its input with that map.
        error: why the picture cannot be read, or that the box that was given is not in it.
        remark: what speaks against the answer, such as a picture that came out nearly black.
    """

    path: Path | None
    top: tuple[Guess, ...] = ()
    shown: Shown = NOT_CUT
    overlay: Image | None = None
    error: DataError | None = None
    remark: str = ""

    @property
    def box(self) -> Box | None:
        """The box around the object that was used, in pixels of the upright picture; None for the whole picture."""
        return self.shown.box

    @property
    def box_origin(self) -> str:
        """``predicted:<component>``, ``given`` or ``whole picture``."""
        return self.shown.origin

    @property
    def box_score(self) -> float | None:
        """The detector's confidence in [0, 1]; None where none was asked."""
        return self.shown.score

    @property
    def region(self) -> Box | None:
        """What was looked at, outward to whole pixels; None for the whole picture."""
        return self.shown.region

    @property
    def masked(self) -> bool:
        """Whether the region was not cut out, but all around it was grey."""
        return self.shown.masked


def find_pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named, and the pictures below the folders named, each once, folders in the order of names.

    Raises:
        DataError: a folder holds no picture.
    """
    seen = set()
    for path in paths:
        found = _below(path) if path.is_dir() else [path]
        if not found:
            raise DataError(
                "the folder holds no picture",
                where=str(path),
                hint=f"Pictures end in {', '.join(sorted(PICTURE_SUFFIXES))}.",
            )
        for file in found:
            place = file.parent.resolve() / file.name
            if place not in seen:
                seen.add(place)
                yield file


def find_left_out(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """The files below the folders named that `find_pictures` leaves out and that may be pictures, each with why."""
    found = []
    for path in (path for path in paths if path.is_dir()):
        for file in _files(path):
            if file.suffix.lower() not in PICTURE_SUFFIXES and (reason := why_left_out(file)):
                found.append((str(file), reason))
    return found


def _below(folder: Path) -> list[Path]:
    return [file for file in _files(folder) if file.suffix.lower() in PICTURE_SUFFIXES]


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


@dataclass(frozen=True, slots=True)
class Predictor:
    """A trained pipeline: pictures in, classes out. See `fgic_core.Run.predictor`.

    Attributes:
        model: tells the classes apart.
        regions: says what of a picture the model is shown.
        crops: what the model learned from, as `fgic_core.run.route.views_of` says it, where whole pictures are taken
            all the same; else empty.
        in_input: whether maps are drawn on the network's input, and not on the picture.
    """

    model: Model
    regions: Regions = WHOLE_PICTURES
    crops: str = ""
    in_input: bool = False

    def __call__(
        self, pictures: AnyPicture | Iterable[AnyPicture], top: int = 5, explainer: Explainer | None = None
    ) -> list[Prediction]:
        """What is on each picture, in their order; see `each`. One that stands alone gives a list of one."""
        from fgic_core.data.pictures import as_list

        return list(self.each(as_list(pictures), top, explainer))

    def each(
        self,
        pictures: Sequence[AnyPicture],
        top: int = 5,
        explainer: Explainer | None = None,
        batch_size: int = 16,
    ) -> Iterator[Prediction]:
        """What is on each picture, in their order; one that cannot be read comes with its error.

        Args:
            pictures: paths; Pillow's pictures, of any mode; arrays (height, width, 3), RGB, or (height, width), grey,
                of uint8 or of floats in [0, 1].
            top: how many classes to give for each.
            explainer: adds the map of the best class.
            batch_size: how many pictures are in memory at once.

        Raises:
            FgicError: a box was given, and there are several pictures.
        """
        if self.regions.for_one:
            refuse_several(len(pictures))
        for first in range(0, len(pictures), batch_size):
            yield from self._batch(pictures[first : first + batch_size], first, top, explainer)

    def _batch(
        self, pictures: Sequence[AnyPicture], first: int, top: int, explainer: Explainer | None
    ) -> Iterator[Prediction]:
        read = [_read(picture, f"picture {number}") for number, picture in enumerate(pictures, first)]
        looked = self.regions([one.image for one in _good(read)], [one.name for one in _good(read)])
        views = [one if isinstance(one, DataError) else one.seen(next(looked)) for one in read]
        good = _good(views)
        made: Iterator[Prediction] = iter(())
        if good:
            batch = self._infer([one.cut for one in good])
            made = self._predictions(good, batch, top, explainer)
        for picture, view in zip(pictures, views, strict=True):
            path = Path(picture) if isinstance(picture, (str, Path)) else None
            yield Prediction(path, error=view) if isinstance(view, DataError) else next(made)

    def _infer(self, images: list[Image]) -> Batch:
        from fgic_core.kit.inference import infer

        network, spec, count = self.model.fitted.network, self.model.fitted.input, len(images)
        (batch,) = infer(network, spec, images.__getitem__, count, device=self.model.device, batch_size=count)
        return batch

    def _predictions(
        self, views: list[_View], batch: Batch, top: int, explainer: Explainer | None
    ) -> Iterator[Prediction]:
        from fgic_core.data.images import to_image
        from fgic_core.kinds.explainer.maps import overlay, overlay_region

        maps = _maps(self.model, explainer, batch) if explainer is not None else None
        for number, (view, row) in enumerate(zip(views, batch.logits.softmax(dim=1).cpu().numpy(), strict=True)):
            order = row.argsort(kind="stable")[::-1][:top]
            guesses = tuple(Guess(self.model.classes[i], int(i), float(row[i])) for i in order)
            drawn: Image | None = None
            if maps is not None and self.in_input:
                drawn = overlay(to_image(batch.images[number]), maps[number].numpy())
            elif maps is not None:
                values = self.model.fitted.input.placement(Size(*view.cut.size)).bring_back(maps[number].numpy())
                masked = view.shown.masked
                drawn = overlay(view.cut, values) if masked else overlay_region(view.image, values, view.shown.region)
            yield Prediction(view.path, guesses, view.shown, drawn, remark=view.remark)


def missing(pictures: Sequence[Path]) -> list[Prediction]:
    """The error of each picture, where not one of them is there; else none."""
    if any(picture.exists() for picture in pictures):
        return []
    read = ((picture, _read(picture, "")) for picture in pictures)
    return [Prediction(picture, error=error) for picture, error in read if isinstance(error, DataError)]


def refuse_several(count: int) -> None:
    """Raises FgicError where there are several pictures for one box."""
    if count > 1:
        raise FgicError(f"a box is for one picture, and there are {count}", hint="Give one at a time.")


class _Read(NamedTuple):
    """A picture that could be read."""

    path: Path | None
    name: str
    image: Image
    remark: str

    def seen(self, shown: Shown | DataError) -> _View | DataError:
        from fgic_core.data.images import cut

        if isinstance(shown, DataError):
            return shown
        remark = "; ".join(filter(None, (self.remark, shown.remark)))
        return _View(self.path, self.image, cut(self.image, shown.region, shown.masked), shown, remark)


class _View(NamedTuple):
    """What the network sees of it."""

    path: Path | None
    image: Image
    cut: Image
    shown: Shown
    remark: str


def _read(picture: AnyPicture, name: str) -> _Read | DataError:
    from fgic_core.data.pictures import examine_any

    path = Path(picture) if isinstance(picture, (str, Path)) else None
    try:
        image, facts = examine_any(picture, name)
    except DataError as error:
        return error
    remark = ""
    if facts.is_nearly_black:
        remark = f"its largest value is {facts.largest:,.6g} of {facts.white:,.6g}: it came out nearly black"
    return _Read(path, str(path or name), image, remark)


def _good(found: Iterable[T | DataError]) -> list[T]:
    return [one for one in found if not isinstance(one, DataError)]


def predict(
    model: Model, pictures: Iterable[Path], top: int = 5, explainer: Explainer | None = None, batch_size: int = 16
) -> Iterator[Prediction]:
    """What the model alone makes of each picture as a whole, in their order; see `Predictor`.

    Args:
        model: see `fgic_core.load_model`.
        pictures: files.
        top: how many classes to give for each.
        explainer: adds the map of the best class.
        batch_size: how many pictures are in memory at once.
    """
    return Predictor(model, in_input=True).each(list(pictures), top, explainer, batch_size)


def _maps(model: Model, explainer: Explainer, batch: Batch) -> torch.Tensor:
    """The maps of the best classes, (n, height, width) of the input, in [0, 1]."""
    import torch

    from fgic_core.kinds.explainer.driver import explain_checked
    from fgic_core.kinds.explainer.maps import normalise
    from fgic_core.kit.best import evaluation

    network = model.fitted.network
    with evaluation(network):
        best, generator = batch.logits.argmax(dim=1), torch.Generator().manual_seed(0)
        maps = explain_checked(explainer, network, batch.images, best, generator, type(explainer).__name__)
    return normalise(maps, model.fitted.input.size)
