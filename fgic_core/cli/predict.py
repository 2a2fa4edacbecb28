"""``fgic predict``: what a trained classifier makes of pictures."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, fail, note, printable, table
from fgic_core.errors import FgicError, StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from fgic_core.data.model import Model
    from fgic_core.interfaces.explainer import Explainer
    from fgic_core.predict import Prediction


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
) -> int:
    """Print the best classes of each picture; returns 1 where a picture could not be read, else 0.

    Raises:
        FgicError: there is no model, no explainer or no picture.
    """
    from fgic_core.data.formats import summary
    from fgic_core.pipeline import load_model
    from fgic_core.predict import find_left_out, find_pictures, predict
    from fgic_core.registry import Registry
    from fgic_core.run.device import choose_device

    registry = Registry()
    pictures = list(find_pictures(paths))
    maps = _explainer(registry, explainer) if cam is not None else None
    model = load_model(folder, step, choose_device(device), registry, store)
    if cropper := crops_before(folder, model, store):
        note(f"note: this model was trained on crops ({cropper}); whole pictures, as here, are harder for it.")
    if left_out := find_left_out(paths):
        note(printable(f"note: {len(left_out):,} files were left out: {summary(left_out)}."))
    out = console()
    unreadable = 0
    for prediction in predict(model, pictures, top, maps):
        if prediction.error is not None:
            unreadable += 1
            fail(prediction.error)
        if prediction.remark:
            note(printable(f"note: {prediction.path}: {prediction.remark}."))
        written = _write_overlay(cam, prediction) if cam is not None and prediction.overlay is not None else None
        if as_json:
            print(json.dumps(_row(prediction, written), ensure_ascii=False), flush=True)
        elif prediction.error is None:
            _print_table(out, prediction, written)
    if unreadable:
        note(f"{unreadable} of {len(pictures)} pictures could not be read.")
    return 1 if unreadable else 0


def _explainer(registry: Any, uses: str) -> Explainer:
    from fgic_core.interfaces.explainer import Explainer

    made = registry.create(uses)
    if not isinstance(made, Explainer):
        raise FgicError(f"{uses} is no explainer", hint="Give one such as explainer/cam; fgic plugins lists them.")
    return made


def crops_before(folder: Path, model: Model, store: Path | None = None) -> str | None:
    """The cropper that the model's training pictures went through; None where there was none, or nobody knows."""
    from fgic_core.data.artifact import ArtifactRecord
    from fgic_core.run.record import RunRecord

    if model.folder is None:
        return None
    try:
        steps = (
            {step.key: step for step in RunRecord.read(folder, store).steps} if (folder / "run.json").exists() else {}
        )
        record = ArtifactRecord.read(model.folder)
    except StoreError:
        return None
    while key := record.sources.get("dataset"):
        place = steps[key].folder if key in steps else model.folder.parents[1] / key[:2] / key
        try:
            record = ArtifactRecord.read(place)
        except StoreError:
            return None
        if record.uses.startswith("cropper/"):
            return record.uses
    return None


def _print_table(out: Console, prediction: Prediction, overlay: Path | None) -> None:
    guesses = table("class", "confidence", "")
    guesses.columns[1].justify = "right"
    for guess in prediction.top:
        bar = "#" * round(guess.confidence * 20)
        guesses.add_row(printable(guess.name), f"{100 * guess.confidence:.1f} %", bar)
    out.print(printable(str(prediction.path)), style="bold", soft_wrap=True)
    out.print(guesses)
    if overlay is not None:
        out.print(f"map: {printable(str(overlay))}", style="dim", soft_wrap=True)
    out.print()


def _row(prediction: Prediction, overlay: Path | None) -> dict[str, Any]:
    if prediction.error is not None:
        return {"image": str(prediction.path), "error": str(prediction.error)}
    top = [{"class": g.name, "label": g.label, "confidence": round(g.confidence, 6)} for g in prediction.top]
    remark = {"remark": prediction.remark} if prediction.remark else {}
    return {"image": str(prediction.path), "top": top, **({"cam": str(overlay)} if overlay else {}), **remark}


def overlay_name(picture: Path) -> str:
    """A file name of letters that are safe everywhere, one for each picture, whatever its path holds."""
    digest = hashlib.blake2b(str(picture.absolute()).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", picture.stem)[:80]
    return f"{stem}-{digest}.png"


def _write_overlay(folder: Path, prediction: Prediction) -> Path:
    assert prediction.overlay is not None
    pixels = io.BytesIO()
    prediction.overlay.save(pixels, "PNG")
    path = folder / overlay_name(prediction.path)
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
