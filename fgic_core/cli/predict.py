"""``fgic predict``: what a trained classifier makes of pictures."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, fail, note, printable, table
from fgic_core.errors import FgicError, StoreError

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console

    from fgic_core.data.geometry import Box
    from fgic_core.kinds.classifier.model import Model
    from fgic_core.kinds.explainer.contract import Explainer
    from fgic_core.predict import Prediction, Predictor
    from fgic_core.registry import Registry


def print_predictions(
    folder: Path,
    paths: Sequence[Path],
    *,
    top: int,
    as_json: bool,
    cam: Path | None,
    explainer: str,
    step: str | None,
    device: str,
    store: Path | None = None,
    box: str | None = None,
    whole: bool = False,
    alone: bool = False,
) -> int:
    """Print the best classes of each picture; returns 1 where a picture could not be read, else 0.

    Args:
        folder: a run directory, whose trained pipeline is used, or a model's.
        paths: pictures, and folders of them.
        top: how many classes to print.
        as_json: one JSON object a line.
        cam: the folder that maps are written to.
        explainer: makes them.
        step: the classifier's step.
        device: as the user named it.
        store: where a run's artifacts lie.
        box: around the object, as the user wrote it; whole: take whole pictures; alone: use the classifier alone.

    Raises:
        FgicError: there is no model, no explainer or no picture, or it is not known what of a picture to take.
    """
    from fgic_core.data.formats import summary
    from fgic_core.predict import find_left_out, find_pictures, missing, refuse_several
    from fgic_core.registry import Registry

    predictions: Iterable[Prediction]
    registry = Registry()
    pictures = list(find_pictures(paths))
    if box is not None:
        refuse_several(len(pictures))
    maps = _explainer(registry, explainer) if cam is not None else None
    predictions = missing(pictures)  # nothing is loaded to be asked of nothing
    if not predictions:
        with _uncollected():
            predictor = _open(folder, registry, step, device, store, box, whole, alone)
        if predictor.crops:
            crops = predictor.crops
            note(f"note: this model was trained on {crops}; whole pictures, as here, are harder for it.")
        predictions = predictor.each(pictures, top, maps)
    if left_out := find_left_out(paths):
        note(printable(f"note: {len(left_out):,} files were left out: {summary(left_out)}."))
    out = console()
    unreadable = 0
    for path, prediction in zip(pictures, predictions, strict=True):
        if prediction.error is not None:
            unreadable += 1
            fail(prediction.error)
        if prediction.remark:
            note(printable(f"note: {path}: {prediction.remark}."))
        drawn = prediction.overlay
        written = _write_overlay(cam, path, drawn) if cam is not None and drawn is not None else None
        if as_json:
            print(json.dumps(_row(path, prediction, written), ensure_ascii=False), flush=True)
        elif prediction.error is None:
            _print_table(out, path, prediction, written)
    if unreadable and len(pictures) > 1:
        note(f"{unreadable} of {len(pictures)} pictures could not be read.")
    return 1 if unreadable else 0


def _open(
    folder: Path,
    registry: Registry,
    step: str | None,
    device: str,
    store: Path | None,
    box: str | None,
    whole: bool,
    alone: bool,
) -> Predictor:
    """Open what is to predict. What cannot be asked is refused before torch is loaded, which takes seconds."""
    from fgic_core.finished import Run, load_model
    from fgic_core.predict import Predictor
    from fgic_core.run.device import check_device
    from fgic_core.run.route import read_box

    check_device(device)
    given = read_box(box) if box is not None else None
    if whole and alone:
        raise FgicError(
            "--whole and --model were both asked for",
            hint="--model uses the classifier alone, which takes whole pictures; --whole the run's pipeline. Give one.",
        )
    if (folder / "run.json").exists() and not alone:
        return Run.open(folder, store).predictor(step, device, given, whole, registry)
    if given is not None:
        raise FgicError("a model alone takes whole pictures: a box would change nothing", hint="Leave out --box.")
    model = load_model(folder, step, device, registry, store)
    return Predictor(model, crops=crops_before(folder, model, store) or "", in_input=True)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage among what is imported and loaded: it all stays, and looking takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


def _explainer(registry: Registry, uses: str) -> Explainer:
    from fgic_core.kinds.explainer.contract import Explainer

    made = registry.create(uses)
    if not isinstance(made, Explainer):
        raise FgicError(f"{uses} is no explainer", hint="Give one such as explainer/cam; fgic plugins lists them.")
    return made


def crops_before(folder: Path, model: Model, store: Path | None = None) -> str | None:
    """What a cropper made of the model's pictures, in words; None where there was none, or nobody knows.

    Args:
        folder: a run directory, or the model's artifact.
        model: what was opened there.
        store: where a run's artifacts lie.
    """
    from fgic_core.data.artifact import ArtifactRecord
    from fgic_core.run.route import route_of, views_before, views_of
    from fgic_core.store.record import RunRecord

    assert model.folder is not None
    try:
        if (folder / "run.json").exists():
            record = RunRecord.read(folder, store)
            (step,) = (step for step in record.steps if step.folder == model.folder)
            return views_before(route_of(record, step)) or None
        about = ArtifactRecord.read(model.folder)
        while isinstance(key := about.sources.get("dataset"), str):
            about = ArtifactRecord.read(model.folder.parents[1] / key[:2] / key)
            if about.uses.startswith("cropper/"):
                return views_of(about.uses, about.options)
    except (StoreError, ValueError):
        return None
    return None


def _print_table(out: Console, path: Path, prediction: Prediction, overlay: Path | None) -> None:
    guesses = table("class", "confidence", "")
    guesses.columns[1].justify = "right"
    for guess in prediction.top:
        bar = "#" * round(guess.confidence * 20)
        guesses.add_row(printable(guess.name), f"{100 * guess.confidence:.1f} %", bar)
    out.print(printable(str(path)), style="bold", soft_wrap=True)
    out.print(guesses)
    if prediction.box is not None:
        score = f" ({100 * prediction.box_score:.1f} %)" if prediction.box_score is not None else ""
        edges = ", ".join(f"{edge:.1f}" for edge in prediction.box.xyxy)
        out.print(f"box: {edges}, {prediction.box_origin}{score}", style="dim", soft_wrap=True)
    if overlay is not None:
        out.print(f"map: {printable(str(overlay))}", style="dim", soft_wrap=True)
    out.print()


def _row(path: Path, prediction: Prediction, overlay: Path | None) -> dict[str, Any]:
    if prediction.error is not None:
        return {"image": str(path), "error": str(prediction.error)}
    return {
        "image": str(path),
        "top": [{"class": g.name, "label": g.label, "confidence": round(g.confidence, 6)} for g in prediction.top],
        "box": _edges(prediction.box),
        "box_origin": prediction.box_origin,
        "box_score": prediction.box_score,
        "region": _edges(prediction.region),
        "masked": prediction.masked,
        **({"cam": str(overlay)} if overlay else {}),
        **({"remark": prediction.remark} if prediction.remark else {}),
    }


def _edges(box: Box | None) -> list[float] | None:
    return list(box.xyxy) if box is not None else None


def overlay_name(picture: Path) -> str:
    """A file name of letters that are safe everywhere, one for each picture, whatever its path holds."""
    digest = hashlib.blake2b(str(picture.absolute()).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", picture.stem)[:80]
    return f"{stem}-{digest}.png"


def _write_overlay(folder: Path, picture: Path, drawn: Image) -> Path:
    pixels = io.BytesIO()
    drawn.save(pixels, "PNG")
    path = folder / overlay_name(picture)
    beside = path.with_suffix(".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:
            file.write(pixels.getvalue())
        beside.replace(path)  # a link that lies there is replaced, not followed out of the folder
    except OSError as error:
        raise FgicError(f"the map cannot be written: {error.strerror}", where=str(path)) from None
    return path
