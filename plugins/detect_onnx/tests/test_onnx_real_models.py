"""Models as they are found: torchvision's exporter, and YOLOX on pictures of dogs."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.rpn import AnchorGenerator

from fgic_core import Box, decode, to_tensor

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
DOGS = DATA / "stanford_dogs"
YOLOX = DATA.parent / "weights" / "yolox_nano.onnx"


@pytest.fixture
def faster_rcnn() -> FasterRCNN:
    """A tiny one with random weights, which finds boxes everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 4, 1))
        backbone.out_channels = 8
        anchors = AnchorGenerator(((16, 32, 64),), ((0.5, 1.0, 2.0),))
        model = FasterRCNN(backbone, 4, 96, 160, rpn_anchor_generator=anchors, rpn_post_nms_top_n_test=20)
    return model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["fixed batch of one", "open size", "list of pictures"])
def test_what_torchvision_exports_gives_the_boxes_that_torchvision_gives(form, faster_rcnn, opened, painted, tmp_path):
    picture = painted((120, 100), (20, 30, 80, 70))
    pixels, path = to_tensor(picture), tmp_path / "faster_rcnn.onnx"
    more = {"dynamo": False, "opset_version": 17}
    if form == "list of pictures":
        torch.onnx.export(faster_rcnn, ([pixels],), path, **more)
    else:
        axes = {"images": {2: "height", 3: "width"}} if form == "open size" else {}
        names = {"input_names": ["images"], "output_names": ["boxes", "labels", "scores"]}
        torch.onnx.export(faster_rcnn, (pixels[None],), path, **more, **names, dynamic_axes=axes)
    detector = opened(path, nms_iou=1.0)
    (found,) = detector.detect([picture])
    with torch.no_grad():
        (expected,) = faster_rcnn([pixels])
    assert len(found.boxes) > 10
    order = expected["scores"].argsort(descending=True, stable=True)
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected["boxes"][order], atol=1e-2)


@pytest.mark.skipif(not (DOGS.is_dir() and YOLOX.is_file()), reason=f"no real data at {DATA} (set FGIC_REAL_DATA)")
def test_yolox_finds_the_annotated_dog_in_most_pictures(opened):
    detector = opened(YOLOX, classes=["dog"])
    assert detector.format.name == "yolox"
    overlaps = []
    for breed in sorted((DOGS / "Images").iterdir()):
        for file in islice(sorted(breed.iterdir()), 4):
            (found,) = detector.detect([decode(file)])
            annotation = ElementTree.parse(DOGS / "Annotation" / breed.name / file.stem).find("object/bndbox")
            edges = [float(annotation.findtext(name)) for name in ("xmin", "ymin", "xmax", "ymax")]
            overlaps.append(max((Box(*box).iou(Box(*edges)) for box in found.boxes[:1]), default=0.0))
    assert len(overlaps) == 80
    assert np.mean(np.array(overlaps) > 0.5) >= 0.85
