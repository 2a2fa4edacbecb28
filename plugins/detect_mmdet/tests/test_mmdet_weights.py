"""First weights: whose they may be, what is left new, and that nothing in the file is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._network import build
from safetensors.torch import save_file

from fgic_core import PluginError
from fgic_core.testing import tiny_context


def built(detector: MmdetDetector, folder: Path, classes: int = 1, seed: int = 0) -> tuple[Any, Any]:
    ctx = tiny_context(folder, seed=seed, name=f"seed{seed}-{len(list(folder.iterdir()))}")
    return build(detector, classes, ctx).model, ctx


def test_the_seed_decides_the_first_weights(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    states = [built(small(), tmp_path, seed=seed)[0].state_dict() for seed in (0, 0, 1)]
    same = [all(torch.equal(states[0][name], state[name]) for name in states[0]) for state in states]
    assert same == [True, True, False]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_detectors_weights_are_taken_and_a_head_for_other_classes_starts_new(
    suffix: str, small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    from mmengine.logging import HistoryBuffer

    state = built(small(), tmp_path, seed=1)[0].state_dict()
    file = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        # As MMEngine's Runner saves it, with the log of its training.
        log = {"train/loss": HistoryBuffer([1.0, 0.5], [1, 1])}
        torch.save({"meta": {"epoch": 1}, "state_dict": state, "message_hub": {"log_scalars": log}}, file)
    else:
        save_file(state, file)
    model, ctx = built(small(weights=file), tmp_path)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not ctx.warnings
    model, ctx = built(small(weights=file), tmp_path, classes=4)
    own = model.state_dict()
    new = [name for name in own if own[name].shape != state[name].shape]
    assert {name.rsplit(".", 2)[1] for name in new} == {"fc_cls", "fc_reg"}
    assert all(torch.equal(own[name], state[name]) for name in own if name not in new)
    assert len(ctx.warnings) == 1
    assert "tell other classes apart" in ctx.warnings[0]


def test_a_classifiers_weights_go_into_the_backbone(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    from torchvision.models import resnet18

    state = resnet18(weights=None).state_dict()
    save_file(state, tmp_path / "resnet18.safetensors")
    detector = small(weights=tmp_path / "resnet18.safetensors")
    model, ctx = built(detector, tmp_path)
    assert torch.equal(model.state_dict()["backbone.layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert type(model.backbone.bn1).__name__ == "BatchNorm2d", "its statistics are there to be used"
    assert ctx.warnings == [
        "the weights resnet18.safetensors are those of a backbone: the rest of the detector starts new"
    ]


def test_weights_of_another_architecture_are_refused_in_one_message(
    small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    state = built(small(), tmp_path)[0].state_dict()
    save_file({name: value for name, value in state.items() if "neck" not in name}, tmp_path / "less.safetensors")
    with pytest.raises(PluginError, match=r"lack \d+ of \d+ tensors \(neck\.") as caught:
        built(small(weights=tmp_path / "less.safetensors"), tmp_path)
    assert "Are they of this config?" in str(caught.value)
    save_file({**state, "nek.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(PluginError, match=r"have 1 that the model has not \(nek.weight\)"):
        built(small(weights=tmp_path / "more.safetensors"), tmp_path)
    save_file(state, tmp_path / "same.safetensors")
    with pytest.raises(PluginError, match="has the shape"):
        built(small(weights=tmp_path / "same.safetensors", overrides={"model.rpn_head.feat_channels": 16}), tmp_path)


class Bomb:
    """Runs code where it is unpickled without care."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


def test_code_in_a_checkpoint_is_not_run(
    small: Callable[..., MmdetDetector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "hook": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(PluginError, match="cannot be read as tensors alone"):
            built(small(weights=tmp_path / name), tmp_path)
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(PluginError, match="these weights cannot be read"):
        built(small(weights=tmp_path / "broken.safetensors"), tmp_path)
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(PluginError, match="holds no tensors by name"):
        built(small(weights=tmp_path / "empty.pth"), tmp_path)


def test_weights_of_other_classes_are_used_as_they_are_and_what_counts_is_an_object(
    small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    """As with a detector of COCO: its 80 classes stay, those asked for count, and each place is found once."""
    import numpy as np
    from PIL import Image

    own = small({"model.roi_head.bbox_head.num_classes": 80})
    coco, _ = built(own, tmp_path, classes=80)
    head = coco.roi_head.bbox_head.fc_cls
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-4.0)
        head.bias[[3, 16]] = torch.tensor([2.0, 1.0])
    save_file({name: value.contiguous() for name, value in coco.state_dict().items()}, tmp_path / "coco.safetensors")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    scores = {}
    for objects in (None, [3], [16], [40]):
        detector = small(weights=tmp_path / "coco.safetensors", epochs=0, objects=objects)
        ctx = tiny_context(tmp_path, name=f"objects-{objects}")
        detector._network = build(detector, 1, ctx)
        assert ctx.warnings == []
        (found,) = detector.detect([picture])
        assert not found.labels.any()
        scores[str(objects)] = found.scores.max(initial=0.0)
    assert scores["None"] == scores["[3]"] > scores["[16]"] > 0.1
    assert scores["[40]"] < 0.05
    save_file(built(small(), tmp_path)[0].state_dict(), tmp_path / "one.safetensors")
    for name, objects, message in (("coco", [80], "has the label 80, but"), ("one", [3], "these know one alone")):
        with pytest.raises(PluginError, match=message):
            built(small(weights=tmp_path / f"{name}.safetensors", epochs=0, objects=objects), tmp_path)
    with pytest.raises(PluginError, match="tell other classes apart than the data"):
        built(small(weights=tmp_path / "coco.safetensors", epochs=0, per_class=True), tmp_path, classes=4)


def test_groupnorm_that_does_not_divide_the_channels_is_explained(tmp_path: Path) -> None:
    detector = MmdetDetector(config="yolox_tiny_8xb8-300e_coco", norm="GN")
    with pytest.raises(PluginError, match="mmdet cannot build YOLOX") as caught:
        built(detector, tmp_path)
    assert "GN wants channels that 32 divides" in str(caught.value)


def test_what_depends_on_the_classes_is_found_by_building_and_not_by_name(tmp_path: Path) -> None:
    """YOLOv3's heads have names of their own; RetinaNet's towers are no heads, whatever they are called."""
    yolo = MmdetDetector(config="yolov3_d53_8xb8-320-273e_coco", image_scale=64)
    save_file(built(yolo, tmp_path, classes=5)[0].state_dict(), tmp_path / "yolo.safetensors")
    own = MmdetDetector(config=yolo.config, image_scale=64, weights=tmp_path / "yolo.safetensors")
    _, ctx = built(own, tmp_path)
    assert "bbox_head.convs_pred.0.weight" in ctx.warnings[0]
    retina = {"config": "retinanet_r18_fpn_1x_coco", "image_scale": 64}
    save_file(built(MmdetDetector(**retina), tmp_path)[0].state_dict(), tmp_path / "retina.safetensors")
    narrow = {"model.bbox_head.feat_channels": 128}
    with pytest.raises(PluginError, match=r"bbox_head.cls_convs.0.conv.bias has the shape \(256,\)"):
        built(MmdetDetector(**retina, weights=tmp_path / "retina.safetensors", overrides=narrow), tmp_path)
