"""Drives a Detector: trains it, finds the boxes of every picture, and measures them against the annotated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.boxes import IOU, ComparedWriter, annotated, with_object
from fgic_core.data.dataset import BATCH, SCHEMA, Dataset, DatasetWriter
from fgic_core.data.geometry import Box, Size
from fgic_core.data.sample import source_of
from fgic_core.errors import PluginError
from fgic_core.interfaces.detector import Detections, Detector
from fgic_core.steps.average_precision import AveragePrecision, Found, Precision, Truth
from fgic_core.steps.context import StepContext
from fgic_core.steps.detector_training import Training, prepare
from fgic_core.steps.statistics import proportion

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH_SIZE = 8
#: Above that many boxes, or pictures times classes, no interval of average precision is worked out: it would take
#: minutes.
RESAMPLED = 50_000
_EDGES = ("x1", "y1", "x2", "y2")


def run(component: Detector, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write the input's data set with the found boxes beside the annotated ones.

    Boxes of an earlier detector go: two detectors' scores cannot be compared. Beside the rows, ``boxes.parquet`` holds
    for each sample the boxes that cropping would use and their overlap (`fgic_core.data.boxes.COMPARED`), and
    ``component/`` the trained detector with the digests of the pictures that it has seen.

    Raises:
        DataError: a detector that trains is given no annotated box to learn from, or its weights have seen test
            pictures.
        PluginError: the detector breaks its contract.
    """
    dataset = _without_found(inputs["dataset"], ctx)
    for note in dataset.header.notes:
        ctx.warn(note)
    training = prepare(component, dataset, ctx)
    ruler = _Ruler(component, dataset, ctx)
    parts = {"val": training.val, "test": dataset.split("test")}
    ctx.measure_by(ruler.of({name: parts[name] for name in (["val", "test"] if component.test_curve else ["val"])}))
    component.fit(training.train, training.val, ctx)
    training.save(component, dataset, ctx)
    crossfit = _crossfit(component, dataset, training, ruler, ctx)
    _write(component, dataset, crossfit, ruler, ctx)


def _without_found(dataset: Dataset, ctx: StepContext) -> Dataset:
    """The data set without the boxes of an earlier detector."""
    column = dataset.table.column("boxes")
    origins = pc.unique(pc.struct_field(pc.list_flatten(column), "origin")).to_pylist()
    earlier = sorted({*(origin for origin in origins if source_of(origin) != "annotated"), *dataset.header.searched})
    if not earlier:
        return dataset
    ctx.warn(f"The boxes of an earlier detector ({', '.join(earlier)}) are replaced by this one's.")
    kept = [[box for box in boxes or () if source_of(box["origin"]) == "annotated"] for boxes in column.to_pylist()]
    kind = SCHEMA.field("boxes")
    table = dataset.table.set_column(SCHEMA.get_field_index("boxes"), kind, pa.array(kept, kind.type))
    return Dataset(dataset.header, table)


def _crossfit(
    component: Detector, dataset: Dataset, training: Training, ruler: _Ruler, ctx: StepContext
) -> dict[str, Detections]:
    """The boxes of each train picture, by id, found by a detector that was not trained on it."""
    found: dict[str, Detections] = {}
    for name, members, train, val in training.folds(ctx):
        with ctx.part(name) as part:
            fresh = type(component).model_validate(
                component.model_dump(mode="json"), context={"base": part.folder, "trusted": True}
            )
            part.measure_by(ruler.of({"val": val}, part))
            fresh.fit(train, val, part)
            for sample, detections in zip(members.ids, detect(fresh, members, part, "detecting"), strict=True):
                found[sample] = detections
    return found


def detect(component: Detector, data: Dataset, ctx: StepContext, description: str) -> Iterator[Detections]:
    """The objects in each whole picture, clipped to it, the most confident first, at most 100.

    Raises:
        PluginError: the detector breaks its contract.
    """
    classes = len(data.classes) if component.per_class else 1
    with ctx.progress(description, len(data)) as progress:
        for first in range(0, len(data), BATCH_SIZE):
            pictures = [data.picture(row) for row in range(first, min(first + BATCH_SIZE, len(data)))]
            found = _checked(component.detect(pictures), pictures, classes, ctx.uses)
            for one, picture in zip(found, pictures, strict=True):
                yield _inside(one, Size(*picture.size))
            progress.advance(len(pictures))


def _checked(found: Any, pictures: Sequence[Image], classes: int, uses: str) -> list[Detections]:
    if len(found) != len(pictures):
        raise PluginError(f"detect gave {len(found)} results for {len(pictures)} pictures", where=uses)
    for one in found:
        boxes, scores, labels = np.asarray(one.boxes, float), np.asarray(one.scores, float), np.asarray(one.labels)
        if boxes.shape != (len(scores), 4) or len(labels) != len(scores):
            raise PluginError(
                f"detect gave boxes of shape {boxes.shape}, {len(scores)} scores and {len(labels)} labels",
                where=uses,
                hint="For n objects they are (n, 4), (n,) and (n,).",
            )
        if not np.isfinite(boxes).all() or not ((scores >= 0) & (scores <= 1)).all():
            raise PluginError("detect gave a box that is not finite or a score outside [0, 1]", where=uses)
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            hint = "Without per_class every label is 0." if classes == 1 else ""
            raise PluginError(f"detect gave a label outside 0..{classes - 1}", where=uses, hint=hint or None)
    return list(found)


def _inside(found: Detections, size: Size) -> Detections:
    """The detections inside the picture, at most 100, most confident first."""
    boxes = np.asarray(found.boxes, dtype=np.float32).reshape(-1, 4)
    boxes = np.clip(boxes, 0, np.array([size.width, size.height] * 2, dtype=np.float32))
    scores = np.asarray(found.scores, dtype=np.float32)
    held = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    order = held[np.argsort(-scores[held], kind="stable")][:100]
    return Detections(boxes[order], scores[order], np.asarray(found.labels, dtype=np.int64)[order])


@dataclass
class _Ruler:
    """Average precision of a detector, during training and at the end."""

    component: Detector
    dataset: Dataset
    ctx: StepContext

    def of(
        self, parts: Mapping[str, Dataset], ctx: StepContext | None = None
    ) -> Callable[[Any, int], dict[str, dict[str, float]]]:
        """The ruler of an epoch: of parts with an object, the annotated pictures, empty ones too."""
        held = {name: data.where(annotated(data.table)) for name, data in parts.items()}
        held = {name: data for name, data in held.items() if with_object(data.table).any()}

        def measure(component: Any, epoch: int) -> dict[str, dict[str, float]]:
            scores = {}
            for name, data in held.items():
                found = list(detect(component, data, ctx or self.ctx, f"epoch {epoch}: {name}"))
                scores[name] = self.precision(self.truth(data), found).value()._asdict()
            return scores

        return measure

    @property
    def classes(self) -> int:
        return len(self.dataset.classes) if self.component.per_class else 1

    def truth(self, data: Dataset) -> list[Truth]:
        columns = data.table.select(["label", "boxes"]).to_pylist()
        return [truth_of(row["boxes"], row["label"], self.component.per_class) for row in columns]

    def precision(self, truth: Sequence[Truth], found: Sequence[Detections]) -> AveragePrecision:
        return AveragePrecision(truth, [Found(one.boxes, one.scores, one.labels) for one in found], self.classes)


def truth_of(boxes: Sequence[Mapping[str, Any]] | None, label: int, per_class: bool) -> Truth:
    """The annotated boxes of a row; a box without a label of its own has its picture's."""
    rows = [box for box in boxes or () if box["origin"] == "annotated"]
    edges = np.array([[box[edge] for edge in _EDGES] for box in rows], dtype=float).reshape(-1, 4)
    labels = [(label if box["label"] is None else box["label"]) if per_class else 0 for box in rows]
    return Truth(edges, np.array(labels, dtype=int), np.array([box["crowd"] for box in rows], dtype=bool))


@dataclass
class _Measured:
    """What was found in one part of the data set.

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


def _write(
    component: Detector, dataset: Dataset, crossfit: Mapping[str, Detections], ruler: _Ruler, ctx: StepContext
) -> None:
    """Find the boxes of every picture, write them into the rows, and measure them."""
    measured: dict[str, _Measured] = {}
    sources = ("predicted", "crossfit") if component.crossfit is not None else ("predicted",)
    header = replace(dataset.header, searched=tuple(f"{source}:{ctx.uses}" for source in sources))
    found = detect(component, dataset, ctx, "detecting")
    with DatasetWriter(ctx.folder, header) as writer, ComparedWriter(ctx.folder, header.searched) as compared:
        for start in range(0, len(dataset), BATCH):
            chunk = Dataset(dataset.header, dataset.table.slice(start, BATCH))
            rows = chunk.table.to_pylist()
            for place, (row, one) in enumerate(zip(rows, found, strict=False)):
                given = row["boxes"] or []
                part = measured.setdefault(row["split"], _Measured())
                size = _size(chunk, place, row)
                row["boxes"] = [*given, *_rows(one, f"predicted:{ctx.uses}", component)]
                if component.crossfit is not None and row["split"] == "train":
                    # A detector that does not learn was trained on none of them.
                    unseen = crossfit[row["id"]] if component.learns() else one
                    row["boxes"] += _rows(unseen, f"crossfit:{ctx.uses}", component)
                about = compared.add(row, size)
                _count(part, about, size)
                if given or row["empty"]:
                    part.truth.append(truth_of(given, row["label"], component.per_class))
                    part.found.append(one)
            writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    assert next(found, None) is None  # and lets the progress come to its end
    for name in ("train", "val", "test"):
        if name in measured:
            _report(measured[name], name, component, ruler, ctx)


def _size(chunk: Dataset, place: int, row: Mapping[str, Any]) -> Size:
    if row["width"] is not None:
        return Size(row["width"], row["height"])
    return Size(*chunk.picture(place).size)


def _rows(found: Detections, origin: str, component: Detector) -> list[dict[str, Any]]:
    """The boxes that are sure enough, as elements of the `boxes` column."""
    return [
        {
            **dict(zip(_EDGES, map(float, box), strict=True)),
            "label": int(label) if component.per_class else None,
            "score": float(score),
            "crowd": False,
            "origin": origin,
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        if score >= component.min_score
    ]


def _count(part: _Measured, about: Mapping[str, Any], size: Size) -> None:
    part.pictures += 1
    part.empty += about["empty"]
    part.alarms += about["empty"] and about["detections"] > 0
    part.nothing += not about["empty"] and about["detections"] == 0
    part.objects += about["objects"]
    part.hit += about["found"]
    if about["iou"] is not None:
        part.overlaps.append(about["iou"])
        part.whole.append(Box(**about["annotated"]).iou(size.box))
    if about["crossfit_iou"] is not None:
        part.crossfit.append(about["crossfit_iou"])


def _report(part: _Measured, name: str, component: Detector, ruler: _Ruler, ctx: StepContext) -> None:
    _report_precision(part, name, ruler, ctx)
    if part.overlaps:
        _report_overlap(part.overlaps, name, ctx)
        whole = proportion(int((np.array(part.whole) >= IOU).sum()), len(part.whole))
        note = "the same if the whole picture was the box: what no detector gives"
        ctx.metric("box_recall50_whole", part=name, unit="fraction", note=note, **whole._asdict())
        share = proportion(part.hit, part.objects)
        note = "annotated objects that a box in the data set overlaps by IoU >= 0.5"
        ctx.metric("recall50", part=name, unit="fraction", note=note, **share._asdict())
    if part.crossfit:
        _report_overlap(part.crossfit, f"{name}, cross-fitted", ctx)
    note = f"no box of score >= {component.min_score:g}"
    others = part.pictures - part.empty
    fewer = f"; the {part.empty:,} empty pictures do not count" if part.empty else ""
    ctx.metric("no_detection", float(part.nothing), part=name, n=others, note=note + fewer)
    if part.empty:
        share = proportion(part.alarms, part.empty)
        note = f"empty pictures in which a box of score >= {component.min_score:g} was found"
        ctx.metric("false_alarms", part=name, unit="fraction", note=note, **share._asdict())
    if part.nothing * 2 > others:
        ctx.warn(
            f"In {part.nothing:,} of {others:,} {name} pictures the detector gave no box that reaches min_score "
            f"({component.min_score:g})."
        )


def _report_precision(part: _Measured, name: str, ruler: _Ruler, ctx: StepContext) -> None:
    unknown = part.pictures - len(part.truth)
    if not any((~one.crowd).any() for one in part.truth):
        note = "no picture has an annotated box" + (f", and {part.empty:,} are empty" if part.empty else "")
        for metric in Precision._fields:
            ctx.metric(metric, None, part=name, unit="fraction", note=note)
        return
    precision = ruler.precision(part.truth, part.found)
    value = precision.value()
    note = "class-agnostic"
    if ruler.component.per_class:
        occurring = {int(label) for one in part.truth for label in one.labels[~one.crowd]}
        note = f"mean over the {len(occurring)} classes that occur"
    if part.empty:
        note += f"; {part.empty:,} of the pictures are empty, and what is found in them is wrong"
    if unknown:
        note += f"; {unknown:,} pictures that are not annotated are left out"
        if name == "test":
            ctx.warn(
                f"{unknown:,} of {part.pictures:,} test pictures are not annotated and left out of average precision."
            )
    low = high = Precision(*(None,) * 3)  # type: ignore[arg-type]
    boxes = sum(len(one.scores) for one in part.found)
    if len(part.truth) == 1:
        note += "; one picture gives no interval"
    elif max(boxes, len(part.truth) * ruler.classes) <= RESAMPLED:
        low, high = precision.intervals(ctx.rng("bootstrap", name))
        note += "; interval by resampling pictures"
    else:
        note += "; too many boxes to resample for an interval"
    for place, metric in enumerate(Precision._fields):
        ctx.metric(
            metric,
            value[place],
            part=name,
            n=len(part.truth),
            low=low[place],
            high=high[place],
            unit="fraction",
            note=note,
        )


def _report_overlap(overlaps: Sequence[float], name: str, ctx: StepContext) -> None:
    """Recall and overlap of the box that cropping uses: the most confident one, against the largest annotated one."""
    values = np.array(overlaps)
    note = "pictures whose most confident box overlaps the largest annotated one by IoU >= 0.5: what cropping uses"
    share = proportion(int((values >= IOU).sum()), len(values))
    ctx.metric("box_recall50", part=name, unit="fraction", note=note, **share._asdict())
    ctx.metric(
        "mean_iou", float(values.mean()), part=name, n=len(values), unit="fraction", note="0 where none was found"
    )
