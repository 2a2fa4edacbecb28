"""What is said of the boxes that a detector found in a split of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.boxes import IOU
from fgic_core.data.geometry import Box, Size
from fgic_core.kinds.detector.contract import Detections, Detector
from fgic_core.kinds.detector.ruler import precision_of
from fgic_core.metrics.average_precision import Precision, Truth
from fgic_core.metrics.statistics import proportion

if TYPE_CHECKING:
    from fgic_core.steps.context import StepContext

#: Above that many boxes, or pictures times classes, no interval of average precision is worked out: it would take
#: minutes.
RESAMPLED = 50_000


@dataclass
class Measured:
    """What was found in a split of the data set.

    Attributes:
        truth, found: of each annotated picture, empty ones among them.
        overlaps, crossfit, whole: IoU with the annotated box of the box that is cropped to, of the cross-fitted one,
            and of the whole picture.
        pictures, empty: how many there are, and in how many there is no object.
        alarms: in how many of the empty ones something was found.
        nothing: in how many of the others nothing was.
        objects, hit: how many annotated objects there are, and how many were found.
    """

    truth: list[Truth] = field(default_factory=list)
    found: list[Detections] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    crossfit: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    pictures: int = 0
    empty: int = 0
    alarms: int = 0
    nothing: int = 0
    objects: int = 0
    hit: int = 0

    def count(self, about: Mapping[str, Any], size: Size) -> None:
        """Add a picture, by its row of `fgic_core.data.boxes.COMPARED`."""
        self.pictures += 1
        self.empty += about["empty"]
        self.alarms += about["empty"] and about["detections"] > 0
        self.nothing += not about["empty"] and about["detections"] == 0
        self.objects += about["objects"]
        self.hit += about["found"]
        if about["iou"] is not None:
            self.overlaps.append(about["iou"])
            self.whole.append(Box(**about["annotated"]).iou(size.box))
        if about["crossfit_iou"] is not None:
            self.crossfit.append(about["crossfit_iou"])


def report(found: Measured, name: str, component: Detector, classes: int, ctx: StepContext) -> None:
    """Record what was found in the split of that name.

    Args:
        found: what was found.
        name: ``train``, ``val`` or ``test``.
        component: its options.
        classes: how many kinds of objects it tells apart.
        ctx: of the step.
    """
    _report_precision(found, name, component, classes, ctx)
    if found.overlaps:
        _report_overlap(found.overlaps, name, ctx)
        whole = proportion(int((np.array(found.whole) >= IOU).sum()), len(found.whole))
        note = "the same if the whole picture was the box: what no detector gives"
        ctx.metric("box_recall50_whole", split=name, note=note, **whole._asdict())
        share = proportion(found.hit, found.objects)
        note = "annotated objects that a box in the data set overlaps by IoU >= 0.5"
        ctx.metric("recall50", split=name, note=note, **share._asdict())
    if found.crossfit:
        _report_overlap(found.crossfit, name, ctx, {"boxes": "cross-fitted"})
    note = f"no box of score >= {component.min_score:g}"
    others = found.pictures - found.empty
    fewer = f"; the {found.empty:,} empty pictures do not count" if found.empty else ""
    ctx.metric("no_detection", float(found.nothing), split=name, n=others, note=note + fewer)
    if found.empty:
        share = proportion(found.alarms, found.empty)
        note = f"empty pictures in which a box of score >= {component.min_score:g} was found"
        ctx.metric("false_alarms", split=name, note=note, **share._asdict())
    if found.nothing * 2 > others:
        ctx.warn(
            f"In {found.nothing:,} of {others:,} {name} pictures the detector gave no box that reaches min_score "
            f"({component.min_score:g})."
        )


def _report_precision(found: Measured, name: str, component: Detector, classes: int, ctx: StepContext) -> None:
    unknown = found.pictures - len(found.truth)
    if not any((~one.crowd).any() for one in found.truth):
        note = "no picture has an annotated box" + (f", and {found.empty:,} are empty" if found.empty else "")
        for metric in Precision._fields:
            ctx.metric(metric, None, split=name, note=note)
        return
    precision = precision_of(found.truth, found.found, classes)
    value = precision.value()
    note = "class-agnostic"
    if component.per_class:
        occurring = {int(label) for one in found.truth for label in one.labels[~one.crowd]}
        note = f"mean over the {len(occurring)} classes that occur"
    if found.empty:
        note += f"; {found.empty:,} of the pictures are empty, and what is found in them is wrong"
    if unknown:
        note += f"; {unknown:,} pictures that are not annotated are left out"
        if name == "test":
            ctx.warn(
                f"{unknown:,} of {found.pictures:,} test pictures are not annotated and left out of average precision."
            )
    low = high = Precision(*(None,) * 3)  # type: ignore[arg-type]
    boxes = sum(len(one.scores) for one in found.found)
    if len(found.truth) == 1:
        note += "; one picture gives no interval"
    elif max(boxes, len(found.truth) * classes) <= RESAMPLED:
        low, high = precision.intervals(ctx.rng("bootstrap", name))
        note += "; interval by resampling pictures"
    else:
        note += "; too many boxes to resample for an interval"
    for place, metric in enumerate(Precision._fields):
        ctx.metric(
            metric,
            value[place],
            split=name,
            n=len(found.truth),
            low=low[place],
            high=high[place],
            note=note,
        )


def _report_overlap(
    overlaps: Sequence[float], name: str, ctx: StepContext, at: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Recall and overlap of the box that cropping uses: the most confident one, against the largest annotated one."""
    values = np.array(overlaps)
    note = "pictures whose most confident box overlaps the largest annotated one by IoU >= 0.5: what cropping uses"
    share = proportion(int((values >= IOU).sum()), len(values))
    about: dict[str, Any] = {"split": name, "at": at}
    ctx.metric("box_recall50", note=note, **about, **share._asdict())
    ctx.metric("mean_iou", float(values.mean()), n=len(values), note="0 where none was found", **about)
