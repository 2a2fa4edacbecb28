"""First weights: whose they may be, what is left new, and that nothing in the file is run."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._network import Network, build
from fgic_openmmlab import scope
from PIL import Image
from safetensors.torch import load_file, save_file

from fgic_core import PluginError
from fgic_core.testing import tiny_context, tiny_dataset


def built(detector: MmdetDetector, folder: Path, classes: Sequence[str] = "a", seed: int = 0) -> tuple[Any, Any]:
    ctx = tiny_context(folder, seed=seed, name=f"seed{seed}-{len(list(folder.iterdir()))}")
    return build(detector, classes, ctx).model, ctx


def test_the_seed_decides_the_first_weights(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    states = [built(small(), tmp_path, seed=seed)[0].state_dict() for seed in (0, 0, 1)]
    same = [all(torch.equal(states[0][name], state[name]) for name in states[0]) for state in states]
    assert same == [True, True, False]


HEAD = "roi_head.bbox_head.fc_cls.bias"


def network_of(detector: MmdetDetector, folder: Path, classes: Sequence[str]) -> Network:
    """A detector of these classes, of which the first is found least, the last most."""
    network = build(detector, classes, tiny_context(folder, name="saved"))
    with torch.no_grad():
        dict(network.model.named_parameters())[HEAD][:] = torch.tensor([*range(len(classes)), 0.0])
    return network


def saved(detector: MmdetDetector, folder: Path, classes: Sequence[str]) -> Path:
    """The file of `network_of`, as a step writes it."""
    detector.save(network_of(detector, folder, classes), folder)
    return (folder / "model.safetensors").rename(folder / "copied.safetensors")


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        (HEAD, (), "has the shape (), in the model it is (4,)"),
        (HEAD, (6,), "fits no number of classes: "),
        ("roi_head.bbox_head.fc_reg.bias", (13,), "fits no number of classes: "),
    ],
)
def test_a_head_that_fits_no_number_of_classes_is_refused(
    name: str, shape: tuple[int, ...], said: str, small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    path = saved(small(per_class=True), tmp_path, "abc")
    save_file({**load_file(path), name: torch.zeros(shape)}, path)
    with pytest.raises(PluginError, match=re.escape(said)):
        built(small(per_class=True, weights=path), tmp_path, "abc")


def test_labels_are_matched_by_the_names_of_their_classes(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    """Weights of the classes in another order give the same boxes with the labels of their names, saved again too."""
    first = network_of(small(per_class=True), tmp_path, "abc")
    path = saved(small(per_class=True), tmp_path, "abc")
    component = small(per_class=True, weights=path, epochs=0)
    ctx = tiny_context(tmp_path)
    second = build(component, "cab", ctx)
    assert ctx.warnings == []
    component.save(second, tmp_path)
    third = component.load(tmp_path, "cpu")
    again = small(per_class=True, weights=tmp_path / "model.safetensors", epochs=0)
    fourth = build(again, "abc", tiny_context(tmp_path, name="back"))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    found = [one.detect([picture])[0] for one in (first, second, third, fourth)]
    assert set(found[0].labels.tolist()) == {0, 1, 2}
    turned = np.array([1, 2, 0])[found[0].labels]
    for one, labels in zip(found, (found[0].labels, turned, turned, found[0].labels), strict=True):
        np.testing.assert_array_equal(one.labels, labels)
        np.testing.assert_array_equal(one.boxes, found[0].boxes)


def test_boxes_are_learned_with_the_labels_that_the_weights_have(
    small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    data = tiny_dataset(tmp_path / "data", side=64)
    names = data.classes
    path = saved(small(per_class=True), tmp_path, [names[2], names[0], names[1]])
    component, ctx = small(per_class=True, weights=path), tiny_context(tmp_path)
    network = build(component, names, ctx)
    assert network.order == [1, 2, 0]
    from fgic_detect_mmdet._training import _dataset  # which imports mmdet, prepared by now

    with scope("mmdet"):
        pictures, _ = _dataset(component, network, data.split("train"), ctx)
    for sample, row in zip(data.split("train"), pictures.load_data_list(), strict=True):
        seen = [one["bbox_label"] for one in row["instances"]]
        assert seen == [[1, 2, 0][sample.label]] * len(seen)


def test_a_head_of_other_classes_starts_new_or_is_refused_and_one_of_unknown_classes_is_said(
    small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    path = saved(small(per_class=True), tmp_path, "ab")
    with pytest.raises(PluginError, match=r"tell other classes apart than the data set has: b and not x\n  They need"):
        built(small(per_class=True, weights=path, epochs=0), tmp_path, "ax")
    model, ctx = built(small(per_class=True, weights=path), tmp_path, "ax")
    assert not torch.equal(model.state_dict()[HEAD], load_file(path)[HEAD])
    assert ctx.warnings == [
        "the weights copied.safetensors tell other classes apart than the data set has: b and not x: the head starts "
        "new"
    ]
    save_file(load_file(path), path)  # without what it says of itself
    _, ctx = built(small(per_class=True, weights=path, epochs=0), tmp_path, "ba")
    (warning,) = ctx.warnings
    assert "nothing in the weights copied.safetensors says which 2 classes they tell apart" in warning


@pytest.mark.parametrize("meta", [{"dataset_meta": {"classes": ("b", "a")}}, {"CLASSES": ["b", "a"]}])
def test_the_classes_that_a_published_checkpoint_names_are_matched(
    meta: dict[str, Any], small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    state = built(small(per_class=True), tmp_path, "ab")[0].state_dict()
    torch.save({"meta": meta, "state_dict": state}, tmp_path / "published.pth")
    detector = small(per_class=True, weights=tmp_path / "published.pth", epochs=0)
    ctx = tiny_context(tmp_path)
    assert build(detector, "ab", ctx).order == [1, 0]
    assert ctx.warnings == []


def test_weights_of_whole_numbers_are_refused(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    path = saved(small(), tmp_path, "a")
    save_file({**load_file(path), HEAD: torch.ones(2, dtype=torch.int8)}, tmp_path / "model.safetensors")
    for use in (
        lambda: built(small(weights=tmp_path / "model.safetensors"), tmp_path),
        lambda: small().load(tmp_path, "cpu"),
    ):
        with pytest.raises(PluginError, match=r"fc_cls\.bias is int8, in the model it is float32\n.*dequantise"):
            use()


def test_a_backbone_alone_that_nothing_trains_is_refused(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    from torchvision.models import resnet18

    save_file(resnet18(weights=None).state_dict(), tmp_path / "resnet18.safetensors")
    with pytest.raises(PluginError, match="those of a backbone, so that with epochs: 0 nothing is detected"):
        built(small(weights=tmp_path / "resnet18.safetensors", epochs=0), tmp_path)


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
    model, ctx = built(small(weights=file, per_class=True), tmp_path, "abcd")
    own = model.state_dict()
    new = [name for name in own if own[name].shape != state[name].shape]
    assert {name.rsplit(".", 2)[1] for name in new} == {"fc_cls", "fc_reg"}
    assert all(torch.equal(own[name], state[name]) for name in own if name not in new)
    assert ctx.warnings == [
        f"the weights w{suffix} tell 1 classes apart, the data set has 4 (a, b, c, …): the head starts new"
    ]


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
    own = small({"model.roi_head.bbox_head.num_classes": 80}, per_class=True)
    coco, _ = built(own, tmp_path, [str(number) for number in range(80)])
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
        network = build(detector, "a", ctx)
        assert ctx.warnings == []
        (found,) = network.detect([picture])
        assert not found.labels.any()
        scores[str(objects)] = found.scores.max(initial=0.0)
    assert scores["None"] == scores["[3]"] > scores["[16]"] > 0.1
    assert scores["[40]"] < 0.05
    save_file(built(small(), tmp_path)[0].state_dict(), tmp_path / "one.safetensors")
    for name, objects, message in (("coco", [80], "has the label 80, but"), ("one", [3], "these know one alone")):
        with pytest.raises(PluginError, match=message):
            built(small(weights=tmp_path / f"{name}.safetensors", epochs=0, objects=objects), tmp_path)
    with pytest.raises(PluginError, match="tell 80 classes apart, the data set has 4"):
        built(small(weights=tmp_path / "coco.safetensors", epochs=0, per_class=True), tmp_path, "abcd")


def test_groupnorm_that_does_not_divide_the_channels_is_explained(tmp_path: Path) -> None:
    detector = MmdetDetector(config="yolox_tiny_8xb8-300e_coco", norm="GN")
    with pytest.raises(PluginError, match="mmdet cannot build YOLOX") as caught:
        built(detector, tmp_path)
    assert "GN wants channels that 32 divides" in str(caught.value)


def test_what_depends_on_the_classes_is_found_by_building_and_not_by_name(tmp_path: Path) -> None:
    """YOLOv3's heads have names of their own; RetinaNet's towers are no heads, whatever they are called."""
    yolo = MmdetDetector(config="yolov3_d53_8xb8-320-273e_coco", image_scale=64, per_class=True)
    save_file(built(yolo, tmp_path, "abcde")[0].state_dict(), tmp_path / "yolo.safetensors")
    own = MmdetDetector(config=yolo.config, image_scale=64, weights=tmp_path / "yolo.safetensors")
    _, ctx = built(own, tmp_path)
    assert "bbox_head.convs_pred.0.weight" in ctx.warnings[0]
    retina = {"config": "retinanet_r18_fpn_1x_coco", "image_scale": 64}
    save_file(built(MmdetDetector(**retina), tmp_path)[0].state_dict(), tmp_path / "retina.safetensors")
    narrow = {"model.bbox_head.feat_channels": 128}
    with pytest.raises(PluginError, match=r"bbox_head.cls_convs.0.conv.weight has the shape \(256, 256, 3, 3\)"):
        built(MmdetDetector(**retina, weights=tmp_path / "retina.safetensors", overrides=narrow), tmp_path)
