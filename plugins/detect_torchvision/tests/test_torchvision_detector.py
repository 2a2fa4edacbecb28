"""What detector/torchvision detects, and the options it refuses."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fgic_detect_torchvision import TorchvisionDetector
from fgic_detect_torchvision._detection import detect
from fgic_detect_torchvision._network import build
from PIL import Image

from fgic_core import Box, Dataset, ObjectBox, Sample, evaluation
from fgic_core.steps.context import StepContext

Make = Callable[..., TorchvisionDetector]
MakeContext = Callable[..., StepContext]
Rectangles = Callable[..., Dataset]
MODELS = ("faster-rcnn", "retinanet")


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_label_k_of_the_network_is_class_k_minus_one_and_label_0_is_no_object(
    tiny: Make, context: MakeContext, model: str, per_class: bool, index: int
) -> None:
    detector = tiny(model=model, per_class=True)
    network = build(detector, "ab", context())
    if model == "faster-rcnn":
        head = network.model.roi_heads.box_predictor.cls_score
    else:
        head = network.model.head.classification_head.cls_logits
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-9.0)
        head.bias.view(-1, 3)[:, index] = 3.0  # of three logits: the background's and two classes'
    if not per_class:
        network.shape = replace(network.shape, per_class=False)
    (found,) = detect(network, [Image.new("RGB", (48, 40))])
    assert set(found.labels.tolist()) == (set() if index == 0 else {index - 1 if per_class else 0})


def test_what_was_taken_for_two_classes_is_one_object_where_classes_do_not_count(
    tiny: Make, context: MakeContext
) -> None:
    detector = tiny(model="retinanet", per_class=True)
    network = build(detector, "ab", context())
    head = network.model.head.classification_head.cls_logits
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(1.0)
    picture = Image.new("RGB", (48, 40))
    (apart,) = detect(network, [picture])
    network.shape = replace(network.shape, per_class=False)
    (together,) = detect(network, [picture])
    assert set(apart.labels.tolist()) == {0, 1}
    boxes = [Box(*map(float, box)) for box in together.boxes]
    assert all(one.iou(two) <= 0.5 for place, one in enumerate(boxes) for two in boxes[:place])
    assert 0 < len(together.labels) < len(apart.labels)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [(1, 1), (9, 7), (3, 2000), (15, 200)])
def test_small_and_thin_pictures_are_detected_in_and_learnt_from(
    write: Callable[..., Dataset], tiny: Make, context: MakeContext, model: str, size: tuple[int, int]
) -> None:
    from fgic_core import Size

    whole = ObjectBox(Box(0, 0, *map(float, size)), 0)
    data = write(
        [Sample(id=n, path=f"{n}.png", label=0, split="train", size=Size(*size), boxes=(whole,)) for n in "ab"]
    )
    detector = tiny(model=model, image_size=32)
    for found in detector.fit(data, data, context()).detect([data.picture(0), Image.new("RGB", size)]):
        assert np.isfinite(found.boxes).all()


def test_a_picture_is_not_changed_by_its_batch_nor_the_networks_mode_by_detecting(
    tiny: Make, rectangles: Rectangles, context: MakeContext
) -> None:
    network = build(tiny(), "ab", context())
    network.train()
    network.model.rpn.eval()
    modes = [module.training for module in network.modules()]
    large, small = Image.new("RGB", (90, 20), "red"), rectangles(1).picture(0)
    (alone,) = detect(network, [small])
    _, together = detect(network, [large, small])
    assert np.array_equal(alone.boxes, together.boxes)
    assert np.array_equal(alone.scores, together.scores)
    assert [module.training for module in network.modules()] == modes
    with pytest.raises(RuntimeError), evaluation(network):
        raise RuntimeError
    assert [module.training for module in network.modules()] == modes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: 0 should have weights"),
        ({"trainable_layers": 2}, "trainable_layers should have weights"),
        ({"norm": "FrozenBN"}, "norm: FrozenBN should have weights"),
        ({"image_size": 800, "max_size": 600}, "max_size should be at least image_size"),
        ({"model": "retinanet", "proposals": 100}, "proposals should not be set for retinanet"),
        ({"objects": [18]}, "objects should go with epochs: 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TorchvisionDetector.model_validate(options)


def test_boxes_weaker_than_the_networks_own_bound_come_where_min_score_asks_for_them(
    tiny: Make, rectangles: Rectangles, context: MakeContext, tmp_path: Path
) -> None:
    """Where the detector is opened for use. In training the bound is the same whatever min_score is."""
    data, labels = rectangles(2), []
    for min_score in (0.5, 0.05, 0.001):
        detector, folder = tiny(min_score=min_score, per_class=True), tmp_path / f"{min_score}"
        fitted = detector.for_fit().fit(data, data, context(f"fit-{min_score}"))
        with torch.no_grad():  # every proposal is a red object by 0.9 and a blue one by 0.01, whatever was learned
            head = fitted.network.model.roi_heads.box_predictor.cls_score
            head.weight.zero_()
            head.bias.copy_(torch.tensor([0.09, 0.9, 0.01]).log())
        folder.mkdir()
        detector.save(fitted, folder)
        opened = detector.load(folder, "cpu")
        bounds = [one.network.model.roi_heads.score_thresh for one in (fitted, opened)]
        assert bounds == [0.05, min(0.05, min_score)]
        labels.append(opened.detect([data.picture(0)])[0].labels.tolist())
    assert set(labels[0]) == {0}, "the weak ones are below the network's own bound"
    assert labels[0] == labels[1]
    assert set(labels[2]) == {0, 1}
    assert labels[2].count(0) == labels[0].count(0)


def test_importing_the_component_imports_no_torch() -> None:
    import subprocess
    import sys

    assert importlib.util.find_spec("fgic_detect_torchvision")
    code = "import sys, fgic_detect_torchvision; print(sorted({'torch', 'torchvision', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
