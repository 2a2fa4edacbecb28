"""What the core says of implausible boxes, through the readers that people have them from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fgic_data_readers import Coco, Cub200, StanfordDogs

from fgic_core import Pipeline
from fgic_core.kinds.dataset.driver import run


@pytest.mark.parametrize(("make", "name"), [(Cub200, "CUB_200_2011"), (StanfordDogs, "stanford_dogs")])
def test_real_boxes_are_not_remarked(real_data, ctx, make, name):
    run(make(root=real_data(name), verify="header"), {}, ctx)
    assert [warning for warning in ctx.warnings if "clipped" not in warning] == []


def test_a_few_real_boxes_of_every_size_are_not_remarked(real_data, ctx):
    root = real_data("coco8")
    train, val = (root / "annotations" / f"instances_{name}.json" for name in ("train", "val"))
    run(Coco(images=root / "images", train=train, test=val, verify="header"), {}, ctx)
    assert [warning for warning in ctx.warnings if "classes have no" not in warning] == []


@pytest.fixture
def spec(tmp_path: Path, picture) -> Path:
    """A COCO data set whose boxes are fractions of their 64 x 48 pictures."""
    for split in ("train", "test"):
        images, boxes = [], []
        for number in range(4):
            name = f"{split}{number}.png"
            picture(tmp_path / "images" / name, (64, 48))
            images.append({"id": number, "file_name": name, "width": 64, "height": 48})
            boxes.append({"id": number + 1, "image_id": number, "category_id": 1, "bbox": [0.5, 0.5, 0.4, 0.3]})
        document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
        (tmp_path / f"{split}.json").write_text(json.dumps(document))
    (tmp_path / "spec.yaml").write_text(
        "version: 1\nname: fractions\nsteps:\n"
        "  d: {uses: dataset/coco, with: {images: images, train: train.json, test: test.json}}\n"
    )
    return tmp_path / "spec.yaml"


def test_a_pipeline_stops_where_boxes_are_fractions(spec, tmp_path):
    done = Pipeline.from_yaml(spec).run(store=tmp_path / "store", runs=tmp_path / "runs", report=False)
    (step,) = done.record.steps
    assert step.status == "failed"
    assert "all 4 boxes of train are no larger than 0.4 pixels, in pictures of up to 64 pixels" in step.error
