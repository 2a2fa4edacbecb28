"""What `fgic_core.write_coco` takes beside the loop with sahi's classes that everybody writes.

    python benchmarks/coco_conversion.py [--images 20000] [--runs 6]

Both start from the same opened data set of one to three boxes a picture (float edges, 200 classes, sizes known, so
that no picture is opened) and end with a JSON file a split. sahi's loop makes a `CocoImage` a sample, a
`CocoAnnotation` a box, and ends with ``save_json(coco.json, …)``; its file has areas cut to whole numbers and no crowd
flags. fgic writes exact boxes and areas, crowd flags, ids, labels and notes.

The two run in turn, in one process, after a warm-up of each. The ratio is the median of those of each turn, so that
other work on the machine, which slows both, hardly shows in it. Aim: at most 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sahi.utils.coco import Coco, CocoAnnotation, CocoCategory, CocoImage
from sahi.utils.file import save_json

from fgic_core import Box, Dataset, ObjectBox, Sample, Size, write_coco
from fgic_core.data.dataset import DatasetWriter, Header

CLASSES = 200
AIM = 1.0


def make(folder: Path, images: int) -> Dataset:
    """A data set without pictures: four fifths train, one fifth test."""
    rng = np.random.default_rng(0)
    sides = rng.integers(300, 700, (images, 2)).tolist()
    counts = rng.integers(1, 4, images).tolist()
    corners = rng.random((images, 3, 4)).tolist()

    def box(x: float, y: float, w: float, h: float, size: Size, label: int) -> ObjectBox:
        x, y = x * 0.4 * size.width, y * 0.4 * size.height
        return ObjectBox(Box.from_xywh(x, y, (0.1 + w / 2) * size.width, (0.1 + h / 2) * size.height), label)

    def samples() -> list[Sample]:
        made = []
        for number, ((width, height), count, given) in enumerate(zip(sides, counts, corners, strict=True)):
            label, size = number % CLASSES, Size(width, height)
            name, split = f"{label:03d}/{number:08d}", "test" if number % 5 == 0 else "train"
            boxes = tuple(box(*four, size, label) for four in given[:count])
            made.append(Sample(id=name, path=f"{name}.jpg", label=label, split=split, size=size, boxes=boxes))
        return made

    header = Header(tuple(f"class {label}" for label in range(CLASSES)), {"pictures": folder / "pictures"})
    with DatasetWriter(folder / "dataset", header) as writer:
        writer.write_samples(samples(), "pictures")
    return Dataset.open(folder / "dataset")


def by_sahi(dataset: Dataset, folder: Path) -> None:
    """The loop as one writes it."""
    for split in dataset.splits:
        coco = Coco()
        for number, name in enumerate(dataset.classes, 1):
            coco.add_category(CocoCategory(id=number, name=name))
        for sample in dataset.split(split):
            image = CocoImage(file_name=sample.path, height=sample.size.height, width=sample.size.width)
            for one in sample.boxes:
                name = dataset.classes[one.label]
                image.add_annotation(
                    CocoAnnotation(bbox=list(one.box.xywh), category_id=one.label + 1, category_name=name)
                )
            coco.add_image(image)
        save_json(coco.json, str(folder / f"instances_{split}.json"))


def by_fgic(dataset: Dataset, folder: Path) -> None:
    """One call."""
    write_coco(dataset, folder)


def same(ours: Path, theirs: Path) -> int:
    """How many boxes the two wrote; an AssertionError where they are not the same boxes of the same images."""
    boxes = 0
    for file in sorted(theirs.glob("*.json")):
        one, other = (json.loads(path.read_text()) for path in (ours / "annotations" / file.name, file))
        assert [image["file_name"] for image in one["images"]] == [image["file_name"] for image in other["images"]]
        for mine, sahis in zip(one["annotations"], other["annotations"], strict=True):
            assert (mine["id"], mine["image_id"]) == (sahis["id"], sahis["image_id"])
            assert np.allclose(mine["bbox"], sahis["bbox"])
        boxes += len(one["annotations"])
    return boxes


def main() -> int:
    """Time both in turn; the exit status is 1 where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=6, help="how often each is timed")
    given = parser.parse_args()
    ways: dict[str, Callable[[Dataset, Path], None]] = {"sahi's loop": by_sahi, "fgic": by_fgic}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dataset = make(folder, given.images)
        for run in range(given.runs + 1):
            for name, way in ways.items():
                wall, processor = time.perf_counter(), time.process_time()
                way(dataset, folder / f"{name}-{run}")
                if run:  # the first run of each warms up
                    taken[name].append((time.perf_counter() - wall, time.process_time() - processor))
        boxes = same(folder / "fgic-1", folder / "sahi's loop-1")
    print(f"{given.images:,} images, {boxes:,} boxes")
    ratios = []
    for column, clock in enumerate(("wall", "processor")):
        theirs, ours = ([turn[column] for turn in turns] for turns in taken.values())
        ratios.append(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)))
        print(f"{clock:9} fastest: sahi's loop {min(theirs):5.2f} s, fgic {min(ours):5.2f} s; ratio {ratios[-1]:.2f}")
    ratio = ratios[0]
    print(f"fgic takes {ratio:.2f} times as long as sahi's loop (aim: at most {AIM:g})")
    return int(ratio > AIM)


if __name__ == "__main__":
    sys.exit(main())
