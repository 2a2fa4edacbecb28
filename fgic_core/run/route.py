"""The way that the pictures of a run took to a classifier, and the same way for new pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.data.geometry import Box
from fgic_core.errors import FgicError, StoreError
from fgic_core.kinds.cropper.contract import Cropper
from fgic_core.kinds.detector.contract import Detector
from fgic_core.regions import WHOLE_PICTURES, FoundBoxes, GivenBox, Regions
from fgic_core.registry import Registry
from fgic_core.store.artifacts import open_component, open_fitted
from fgic_core.store.record import RunRecord, StepRecord

if TYPE_CHECKING:
    from fgic_core.kinds.classifier.model import Model


class Route(NamedTuple):
    """The steps that decide what of a test picture a classifier saw.

    Attributes:
        classifier: its step.
        cropper: the last one before it; None where it saw whole pictures.
        detector: the last one before the cropper: it found the boxes that were there to be cropped to.
    """

    classifier: StepRecord
    cropper: StepRecord | None
    detector: StepRecord | None


def route_of(record: RunRecord, classifier: StepRecord) -> Route:
    """Walk back from a classifier along the data sets that each step took.

    Generators on the way change nothing, for no test picture is made; nor does a detector whose boxes nothing was
    cropped to.

    Raises:
        StoreError: the record's steps do not hang together.
    """
    left = {step.name: step for step in record.steps}
    cropper: StepRecord | None = None
    given = classifier.inputs.get("dataset")
    while given is not None:
        step = left.pop(given, None) if isinstance(given, str) else None
        if step is None:
            raise StoreError(
                "where the pictures of this run came from cannot be followed",
                where=f"dataset: {given}",
                hint="--model takes whole pictures to the classifier alone.",
            )
        kind = step.uses.partition("/")[0]
        if kind == "detector" and cropper is not None:
            return Route(classifier, cropper, step)
        if kind == "cropper" and cropper is None:
            cropper = step
        given = step.inputs.get("dataset")
    return Route(classifier, cropper, None)


def views_of(uses: str, options: Mapping[str, Any]) -> str:
    """What a cropper gives, in words: ``crops (cropper/box)``, ``masked pictures (cropper/box)``.

    Args:
        uses: the word for it; options: its own, as an artifact's record has them.
    """
    return f"{'masked pictures' if options.get('view') == 'mask' else 'crops'} ({uses})"


def views_before(route: Route) -> str:
    """What the route's classifier learned from, as `views_of` says it; empty where that is whole pictures."""
    if route.cropper is None:
        return ""
    try:
        options = ArtifactRecord.read(route.cropper.folder).options
    except (StoreError, OSError):  # gone from the store, where nothing else of it is needed
        options = {}
    return views_of(route.cropper.uses, options)


def read_box(edges: Box | Sequence[float] | str) -> Box:
    """A box from ``x1,y1,x2,y2``.

    Raises:
        FgicError: it is none, or holds no pixel.
    """
    try:
        given = edges.split(",") if isinstance(edges, str) else edges.xyxy if isinstance(edges, Box) else edges
        box = Box(*map(float, given))
        if all(abs(edge) < float("inf") for edge in box.xyxy) and not box.is_empty:
            return box
    except (TypeError, ValueError):
        pass
    raise FgicError(
        f"{edges!r} is no box",
        hint="A box is x1,y1,x2,y2: its left, upper, right and lower edge in pixels of the upright picture.",
    )


def choose_regions(
    record: RunRecord, route: Route, registry: Registry, box: Box | None = None, whole: bool = False
) -> Callable[[Model], Regions]:
    """Choose what finds and cuts the object in a new picture; what cannot be is refused before anything is opened.

    Args:
        record: of the run.
        route: see `route_of`.
        registry: where components come from.
        box: given by the user, in place of a detector's.
        whole: take whole pictures, whatever the run did.

    Returns:
        what opens it, beside the classifier's model: the detector finds on its device.

    Raises:
        FgicError: a box is given that nothing would use; or one is needed, since the run's test pictures were cropped
            to boxes that a new picture has not.
        StoreError: a part is no longer in the store.
    """
    if box is not None and whole:
        raise FgicError("a box and the whole picture were asked for", hint="Give --box or --whole.")
    if route.cropper is None and box is not None:
        raise FgicError(
            f"no step before {route.classifier.name} crops: it takes whole pictures, and a box would change nothing",
            hint="Leave the box out.",
        )
    if route.cropper is None or whole:
        return lambda model: WHOLE_PICTURES
    from fgic_core.kinds.cropper.driver import boxes_for_test

    step, found = route.cropper, route.detector
    cropper = open_component(_stored(step, record), registry, record.project)
    assert isinstance(cropper, Cropper)
    if box is not None:
        around = GivenBox(cropper, box)
        return lambda model: around
    wanted = boxes_for_test(cropper, {"predicted"})
    if wanted == "whole":
        return lambda model: WHOLE_PICTURES
    if found is None or wanted == "annotated":
        taken = "annotated boxes" if cropper.test_boxes != "predicted" else "boxes that came with the data set"
        made = f"step {step.name}, {step.uses}"
        raise FgicError(
            f"this run cropped its test pictures to {taken} ({made}), and a new picture has none",
            hint="Say where the object is with --box x1,y1,x2,y2 (in Python: box), or take all of the picture with "
            "--whole (in Python: whole).",
        )
    folder = _stored(found, record)
    detector = open_component(folder, registry, record.project)
    assert isinstance(detector, Detector)

    def opened(model: Model) -> Regions:
        from fgic_core.kinds.detector.ruler import classes_of

        fitted = open_fitted(folder, registry, model.device, record.project)
        return FoundBoxes(cropper, detector, fitted, found.uses, classes_of(detector, model))

    return opened


def _stored(step: StepRecord, record: RunRecord) -> Path:
    if not step.folder.is_dir():
        raise StoreError(
            f"step {step.name} of this run is no longer in the store",
            where=str(step.folder),
            hint=f"The store was expected at {record.store}. If it lies elsewhere, name it with --store or "
            "$FGIC_STORE; else run the spec again: what the store lacks is computed anew.",
        )
    return step.folder
