"""Naming what is on pictures with a trained classifier."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fgic_core.data.formats import PICTURE_SUFFIXES, why_left_out
from fgic_core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.data.model import Model
    from fgic_core.inference import Batch
    from fgic_core.interfaces.explainer import Explainer


class Guess(NamedTuple):
    """A class, its index among the model's classes, and its softmax probability in [0, 1]."""

    name: str
    label: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier makes of one picture.

    Attributes:
        path: the picture's file.
        top: the most probable classes, best first; empty where the picture cannot be read.
        overlay: the network's input with the map of the best class on it, if an explainer was asked for.
        error: why the picture cannot be read.
        remark: what speaks against the answer, such as a picture that came out nearly black.
    """

    path: Path
    top: tuple[Guess, ...] = ()
    overlay: Image | None = None
    error: DataError | None = None
    remark: str = ""


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


def predict(
    model: Model, pictures: Iterable[Path], top: int = 5, explainer: Explainer | None = None, batch_size: int = 16
) -> Iterator[Prediction]:
    """What the model makes of each picture, in their order; a picture that cannot be read comes with its error.

    Args:
        model: see `fgic_core.load_model`.
        pictures: files.
        top: how many classes to give for each.
        explainer: adds the map of the best class.
        batch_size: how many pictures are in memory at once.
    """
    batch: list[Path] = []
    for path in pictures:
        batch.append(path)
        if len(batch) == batch_size:
            yield from _predict_batch(model, batch, top, explainer)
            batch = []
    yield from _predict_batch(model, batch, top, explainer)


def _predict_batch(model: Model, paths: list[Path], top: int, explainer: Explainer | None) -> Iterator[Prediction]:
    from fgic_core.data.images import examine

    read: dict[Path, Image | DataError] = {}
    remarks: dict[Path, str] = {}
    for path in paths:
        try:
            read[path], facts = examine(path)
            if facts.is_nearly_black:
                remarks[path] = (
                    f"its largest value is {facts.largest:,.6g} of {facts.white:,.6g}: it came out nearly black"
                )
        except DataError as error:
            read[path] = error
    images = {path: image for path, image in read.items() if not isinstance(image, DataError)}
    made = {}
    if images:
        batch = _infer(model, list(images.values()))
        probabilities = batch.logits.softmax(dim=1).cpu().numpy()
        overlays = _overlays(model, explainer, batch) if explainer else [None] * len(images)
        for path, row, overlay in zip(images, probabilities, overlays, strict=True):
            order = row.argsort(kind="stable")[::-1][:top]
            guesses = tuple(Guess(model.classes[i], int(i), float(row[i])) for i in order)
            made[path] = Prediction(path, guesses, overlay, remark=remarks.get(path, ""))
    for path, result in read.items():
        yield Prediction(path, error=result) if isinstance(result, DataError) else made[path]


def _infer(model: Model, images: list[Image]) -> Batch:
    from fgic_core.inference import infer

    network, spec = model.fitted.network, model.fitted.input
    (batch,) = infer(network, spec, images.__getitem__, len(images), device=model.device, batch_size=len(images))
    return batch


def _overlays(model: Model, explainer: Explainer, batch: Batch) -> list[Image]:
    """The maps of the best classes, each on the network's input."""
    import torch

    from fgic_core.data.images import to_image
    from fgic_core.steps.explainer import explain_checked
    from fgic_core.steps.maps import normalise, overlay
    from fgic_core.training import evaluation

    network = model.fitted.network
    with evaluation(network):
        best, generator = batch.logits.argmax(dim=1), torch.Generator().manual_seed(0)
        maps = explain_checked(explainer, network, batch.images, best, generator, type(explainer).__name__)
    drawn = normalise(maps, model.fitted.input.size)
    return [overlay(to_image(pixels), values.numpy()) for pixels, values in zip(batch.images, drawn, strict=True)]
