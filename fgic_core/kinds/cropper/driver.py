"""How the core drives a cropper: picks each sample's box, stores the region, counts what had to fall back."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fgic_core.data.boxes import Chosen, ComparedWriter, box_of, choose_box, objects_of
from fgic_core.data.dataset import BATCH, SCHEMA, Dataset, DatasetWriter
from fgic_core.data.geometry import Box, Size
from fgic_core.data.images import read_size
from fgic_core.data.sample import SOURCES, CropSource, View, source_of
from fgic_core.errors import DataError, PluginError
from fgic_core.kinds.cropper.comparison import Crops, difference

if TYPE_CHECKING:
    from fgic_core.kinds.cropper.contract import Cropper
    from fgic_core.steps.context import StepContext

#: Where the region of a picture that is used whole comes from: it has no such box, or there is no object in it.
FULL_IMAGE, NO_OBJECT = "full image: no box", "full image: no object"
#: Of one that is used whole because that was asked for.
ASKED = "full image: as asked"


def run(component: Cropper, inputs: Mapping[str, Any], ctx: StepContext) -> None:
    """Write the data set of ``inputs["dataset"]`` with a region for each sample, cut out or masked; no pixel is copied.

    Beside it ``boxes.parquet`` holds, for each sample, the boxes that were there, their overlap and the region
    (`fgic_core.data.boxes.COMPARED`).

    Raises:
        DataError: the data set has no boxes of the kind that is asked for.
        PluginError: the component raised, or gave a region that holds no pixel of the picture.
    """
    dataset: Dataset = inputs["dataset"]
    source = _sources(component, dataset)
    tally = _Tally(component.view)
    with (
        DatasetWriter(ctx.folder, dataset.header) as writer,
        ComparedWriter(ctx.folder, dataset.header.searched) as compared,
        ctx.progress("crop", len(dataset), "samples") as progress,
    ):
        first = 0
        for batch in dataset.table.to_batches(max_chunksize=BATCH):
            regions: list[dict[str, float] | None] = []
            origins: list[str] = []
            rows = batch.select(["id", "split", "label", "width", "height", "boxes", "empty"]).to_pylist()
            for position, row in enumerate(rows, first):
                size = _size(dataset, position, row)
                wanted = source[row["split"]]
                chosen = choose_box(row["boxes"], wanted, size) if wanted != "whole" else Chosen(None, None, 0)
                region = (
                    region_of(component, chosen.box, size, f"sample {row['id']}") if chosen.box is not None else None
                )
                edges = dict(zip(("x1", "y1", "x2", "y2"), region.xyxy, strict=True)) if region else None
                regions.append(edges)
                whole = NO_OBJECT if row["empty"] else FULL_IMAGE
                whole = ASKED if wanted == "whole" else whole
                origins.append(chosen.entry["origin"] if chosen.entry is not None else whole)
                about = compared.add({**row, "region": edges, "region_origin": origins[-1]}, size)
                tally.asked[row["split"]] += wanted == "whole"
                tally.add(row["split"], region, size, chosen.candidates, about, objects_of(row["boxes"], size))
            masked = [component.view == "mask" and region is not None for region in regions]
            for name, values in (("region", regions), ("region_origin", origins), ("masked", masked)):
                field = SCHEMA.field(name)
                batch = batch.set_column(SCHEMA.get_field_index(name), field, pa.array(values, field.type))  # noqa: PLW2901
            writer.write(batch)
            first += len(rows)
            progress.advance(len(rows))
    tally.report(ctx)
    if {"train", "test"} <= source.keys():
        said = difference(tally.crops["train"], tally.crops["test"], source, component.view)
        if said is not None:
            ctx.warn(said)


def _sources(component: Cropper, dataset: Dataset) -> dict[str, CropSource]:
    """Which boxes each split is cropped to; raises DataError where the data set has none of them."""
    there = _present(dataset)
    if not there and not component.train_boxes == component.test_boxes == "whole":
        raise DataError(
            "no sample of this data set has a box to crop to",
            hint="Put a detector step before the cropper, or read the data set's box annotations.",
        )
    test = boxes_for_test(component, there)
    asked: dict[str, CropSource] = {"train": component.train_boxes, "val": component.train_boxes, "test": test}
    source: dict[str, CropSource] = {}
    for split in dataset.splits:
        wanted = asked[split]
        # No detector was trained on a picture that is not a train picture: its predicted boxes are cross-fitted ones.
        source[split] = "predicted" if wanted == "crossfit" and split != "train" else wanted
        if source[split] != "whole" and source[split] not in there:
            option = "test_boxes" if split == "test" else "train_boxes"
            hints = {
                "predicted": "Put a detector step before the cropper, or ask for annotated boxes.",
                "annotated": f"Set `{option}: predicted` to use a detector's.",
                "crossfit": "Set `crossfit: 5`, say, on the detector's step.",
            }
            words = {"crossfit": "cross-fitted"}.get(source[split], source[split])
            raise DataError(
                f"{split} pictures are to be cropped to {words} boxes, but the data set has none",
                hint=hints[source[split]],
            )
    return source


def boxes_for_test(component: Cropper, there: Collection[str]) -> CropSource:
    """Which boxes test pictures are cropped to, or that they are used whole.

    Args:
        component: the cropper.
        there: the sources that the data set has boxes of.
    """
    asked = component.test_boxes or ("predicted" if "predicted" in there else "annotated")
    return "predicted" if asked == "crossfit" else asked


def _present(dataset: Dataset) -> set[str]:
    """The sources that boxes of the data set come from, or that a detector looked for in vain."""
    found = {source_of(origin) for origin in dataset.header.searched}
    for chunk in dataset.table.column("boxes").chunks:
        boxes = chunk.flatten()
        origins = pc.unique(boxes.field("origin").filter(pc.invert(boxes.field("crowd")))).to_pylist()
        found |= {source_of(origin) for origin in origins}
    return found & set(SOURCES)


def _size(dataset: Dataset, position: int, row: Mapping[str, Any]) -> Size:
    if row["width"] is not None:
        return Size(row["width"], row["height"])
    return read_size(dataset.file(position))


def region_of(component: Cropper, box: Box, size: Size, picture: str) -> Box:
    """The component's region, checked and clipped to the picture.

    Args:
        component: the cropper.
        box: inside the picture.
        size: of the picture.
        picture: what errors call it.

    Raises:
        PluginError: the component raised, or gave a region that holds no pixel of the picture.
    """
    where = f"{component.kind}/{type(component).__name__}, {picture}"
    given = f"for box {_numbers(box.xyxy)} in a {size.width}x{size.height} picture"
    try:
        region = component.region(box, size)
    except Exception as error:
        raise PluginError(f"region() raised {type(error).__name__} {given}: {error}", where=where) from error
    if not isinstance(region, Box):
        raise PluginError(f"region() gave a {type(region).__name__} {given}, not a Box", where=where)
    if not all(math.isfinite(edge) for edge in region.xyxy):
        raise PluginError(f"region() gave {_numbers(region.xyxy)} {given}, which is not finite", where=where)
    inside = stored(region.clip(size))  # what is checked is what will be cut
    if region.is_empty or inside.is_empty:
        raise PluginError(f"region() gave {_numbers(region.xyxy)} {given}, which holds no pixel of it", where=where)
    return inside


def stored(box: Box) -> Box:
    """The box as the columns of a data set hold it, in 32-bit floats."""
    return Box(*(float(np.float32(edge)) for edge in box.xyxy))


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


class _Notes(NamedTuple):
    """What the figures mean in a view."""

    cropped: str
    area: str
    object: str


_NOTES: dict[View, _Notes] = {
    "crop": _Notes(
        "",
        "mean share of the picture that is kept",
        "mean share of the annotated box that lies in the crop, where there are both",
    ),
    "mask": _Notes(
        "masked and not cut: what is outside of the region is grey",
        "mean share of the picture that is shown; the rest is grey",
        "mean share of the annotated box that is shown, where there are both",
    ),
}


class _Tally:
    """What was cropped, or masked, by split."""

    def __init__(self, view: View) -> None:
        self._notes = _NOTES[view]
        self.total: Counter[str] = Counter()
        self.cropped: Counter[str] = Counter()
        self.empty: Counter[str] = Counter()
        self.several: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.area: defaultdict[str, float] = defaultdict(float)
        self.kept: defaultdict[str, list[float]] = defaultdict(list)
        self.crops: defaultdict[str, Crops] = defaultdict(Crops)

    def add(
        self,
        split: str,
        region: Box | None,
        size: Size,
        candidates: int,
        about: Mapping[str, Any],
        annotated: Sequence[Box],
    ) -> None:
        self.total[split] += 1
        self.cropped[split] += region is not None
        self.empty[split] += region is None and about["empty"]
        self.several[split] += candidates > 1
        area = region.area / size.box.area if region else None
        self.area[split] += 1.0 if area is None else area
        predicted = box_of(about["predicted"]) if about["predicted"] is not None else None
        self.crops[split].add(1.0 if self.asked[split] else area, predicted, annotated)
        if about["kept"] is not None:
            self.kept[split].append(about["kept"])

    def report(self, ctx: StepContext) -> None:
        for split in ("train", "val", "test"):
            n = self.total[split]
            if not n:
                continue
            full = n - self.cropped[split]
            ctx.metric("cropped", self.cropped[split] / n, split=split, n=n, note=self._notes.cropped)
            empty = self.empty[split]
            note = "samples without a box" + (f"; in {empty:,} of them there is no object" if empty else "")
            note = "whole pictures were asked for" if self.asked[split] else note
            ctx.metric("full_image", float(full), split=split, n=n, note=note)
            ctx.metric(
                "several_boxes", float(self.several[split]), split=split, n=n, note="samples with a choice of boxes"
            )
            ctx.metric("kept_area", self.area[split] / n, split=split, n=n, note=self._notes.area)
            if self.kept[split]:
                share = float(np.mean(self.kept[split]))
                ctx.metric("kept_object", share, split=split, n=len(self.kept[split]), note=self._notes.object)
            if self.asked[split]:
                continue
            if full > empty:
                ctx.warn(f"{full - empty:,} of {n:,} {split} samples have no box and are used whole.")
            if empty:
                ctx.warn(f"{empty:,} of {n:,} {split} samples are pictures without an object and are used whole.")
