"""Networks of detector/torchvision: what they are built from, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fgic_detect_torchvision import TorchvisionDetector
from fgic_detect_torchvision._detection import Finder, detect
from fgic_detect_torchvision._network import Network, Shape, build
from fgic_detect_torchvision._weights import load_into
from PIL import Image
from torchvision.models import detection

from fgic_core import Dataset, PluginError, Weights
from fgic_core.steps.context import StepContext

Make = Callable[..., TorchvisionDetector]
MakeContext = Callable[..., StepContext]
SaveClassifier = Callable[..., dict[str, torch.Tensor]]
#: Where the number of classes shows.
HEADS = ("roi_heads.box_predictor", "cls_logits")


def shape(**values: Any) -> Shape:
    usual = {"model": "faster-rcnn", "backbone": "mobilenet_v3_large", "norm": "BN", "classes": 2, "per_class": True}
    return Shape(**{**usual, "image_size": 64, "max_size": 107, "proposals": None, **values})


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("fasterrcnn_resnet50_fpn", {"backbone": "resnet50"}),
        ("fasterrcnn_mobilenet_v3_large_fpn", {}),
        ("retinanet_resnet50_fpn", {"model": "retinanet", "backbone": "resnet50"}),
    ],
)
def test_torchvisions_own_detectors_fit_name_by_name_and_detect_the_same(
    context: MakeContext, name: str, ours: dict[str, Any], picture: Image.Image
) -> None:
    torch.manual_seed(1)
    theirs = detection.__dict__[name](
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=107, **_same_limits(name)
    )
    network = Network(shape(**ours)).eval()
    ctx = context()
    weights = Weights(Path("theirs.pth"), dict(theirs.state_dict()), {"classes": ["a", "b"]})
    load_into(network.model, network.shape, weights, "ab", ctx, trained=False)
    assert ctx.warnings == []
    assert network.model.state_dict().keys() == theirs.state_dict().keys()
    with torch.no_grad():
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        (expected,) = theirs.eval()([image])
    (found,) = detect(network, [picture])
    kept = expected["labels"] > 0
    assert len(found.scores) == int(kept.sum())
    np.testing.assert_allclose(found.boxes, expected["boxes"][kept].numpy(), atol=1e-4)
    assert (found.labels == expected["labels"][kept].numpy() - 1).all()


def _same_limits(name: str) -> dict[str, Any]:
    return {"detections_per_img": 100} if name.startswith("retinanet") else {}


@pytest.mark.parametrize("model", ["faster-rcnn", "retinanet"])
def test_a_saved_model_is_read_again_without_its_first_weights(
    tiny: Make,
    rectangles: Callable[..., Dataset],
    context: MakeContext,
    tmp_path: Path,
    model: str,
    save_classifier: SaveClassifier,
    picture: Image.Image,
) -> None:
    path, folder = tmp_path / "first.safetensors", tmp_path / "saved"
    save_classifier(path)
    folder.mkdir()
    data = rectangles(4)
    detector = tiny(model=model, per_class=True, weights=path, image_size=48)
    fitted = detector.fit(data, data, context())
    detector.save(fitted, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.safetensors"]
    path.unlink()
    again = TorchvisionDetector.model_validate(detector.model_dump(), context={"trusted": True}).load(folder, "cpu")
    for one, two in zip(fitted.detect([picture]), again.detect([picture]), strict=True):
        assert np.array_equal(one.boxes, two.boxes)
        assert np.array_equal(one.labels, two.labels)
    assert again.network.shape == fitted.network.shape
    assert json.loads((folder / "model.json").read_text())["norm"] == "FrozenBN"


def test_a_damaged_or_foreign_model_is_refused(tiny: Make, context: MakeContext, tmp_path: Path) -> None:
    tiny().save(Finder(build(tiny(), "ab", context()), None), tmp_path)
    for other in ({"model": "retinanet"}, {"backbone": "resnet18"}, {"per_class": True}):
        with pytest.raises(PluginError, match=f"its {next(iter(other))} is .*, but the options say"):
            tiny(**other).load(tmp_path, "cpu")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PluginError, match="cannot be read"):
        tiny().load(tmp_path, "cpu")
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(PluginError, match="cannot be read"):
        tiny().load(tmp_path, "cpu")


def test_building_leaves_the_global_generator_alone_and_goes_by_the_seed(tiny: Make, context: MakeContext) -> None:
    before = torch.get_rng_state()
    built = [build(tiny(), "ab", context(seed=seed)).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])
    assert any(not torch.equal(built[0][name], built[2][name]) for name in built[0])


@pytest.mark.parametrize("model", ["faster-rcnn", "retinanet"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_large"])
def test_from_scratch_every_layer_is_trained_behind_groupnorm(context: MakeContext, model: str, backbone: str) -> None:
    network = build(TorchvisionDetector(model=model, backbone=backbone), "ab", context())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    norms = [module for module in network.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert len(norms) > 15
    assert all(norm.num_channels // norm.num_groups >= 2 for norm in norms)


def test_fewer_proposals_are_fewer_in_training_and_detection() -> None:
    few = Network(shape(proposals=40)).model
    assert few.rpn._pre_nms_top_n == few.rpn._post_nms_top_n == {"training": 40, "testing": 40}
    assert few.roi_heads.fg_bg_sampler.batch_size_per_image == 40
    usual = Network(shape()).model
    assert usual.rpn._post_nms_top_n == {"training": 2000, "testing": 1000}
    assert usual.roi_heads.fg_bg_sampler.batch_size_per_image == 512


def test_every_option_has_a_description() -> None:
    assert all(field.description for field in TorchvisionDetector.model_fields.values())
