"""First weights of detector/torchvision."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fgic_detect_torchvision import TorchvisionDetector
from fgic_detect_torchvision._detection import Finder, detect
from fgic_detect_torchvision._network import Network, Shape, build
from fgic_detect_torchvision._weights import _new_name, read
from PIL import Image
from safetensors.torch import load_file, save_file

from fgic_core import Dataset, PluginError
from fgic_core.steps.context import StepContext

Make = Callable[..., TorchvisionDetector]
MakeContext = Callable[..., StepContext]
SaveClassifier = Callable[..., dict[str, torch.Tensor]]
#: Where the number of classes shows.
HEADS = ("roi_heads.box_predictor", "cls_logits")
LOGITS = "head.classification_head.cls_logits."


def save_detector(
    path: Path, detector: TorchvisionDetector, ctx: StepContext, classes: Sequence[str] = "ab"
) -> Network:
    """Build a detector and write it as it is, as the artifact of a step does."""
    network = build(detector, classes, ctx).eval()
    path.parent.mkdir(exist_ok=True)
    detector.save(Finder(network, None), path.parent)
    assert path.name == "model.safetensors"
    return network


@pytest.mark.parametrize("model", ["faster-rcnn", "retinanet"])
def test_names_of_torchvisions_published_files_are_brought_up_to_date(model: str) -> None:
    own = Network(Shape(model, "resnet18", "BN", 2, True, 64, 107, None)).model
    old = {_old_name(name): value for name, value in own.state_dict().items()}
    assert old.keys() != own.state_dict().keys()
    own.load_state_dict(dict(old))  # torchvision itself takes these for its old names
    assert {_new_name(name) for name in old} == own.state_dict().keys()


def _old_name(name: str) -> str:
    name = re.sub(r"^(rpn\.head\.conv)\.0\.0\.", r"\1.", name)
    name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.", r"\1.", name)
    return re.sub(r"^(head\.\w+_head\.conv)\.(\d)\.0\.", lambda found: f"{found[1]}.{2 * int(found[2])}.", name)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_classifiers_weights_go_into_the_backbone_and_norm_becomes_frozen(
    tiny: Make, context: MakeContext, tmp_path: Path, ending: str, save_classifier: SaveClassifier
) -> None:
    path = tmp_path / f"imagenet.{ending}"
    state = save_classifier(tmp_path / "imagenet.safetensors")
    torch.save(state, path) if ending == "pth" else None
    ctx = context()
    network = build(tiny(weights=path), "ab", ctx)
    body = network.model.backbone.body.state_dict()
    names = [name for name in state if name.startswith("features.") and not name.endswith("num_batches_tracked")]
    assert len(names) > 100
    assert all(torch.equal(body[name.removeprefix("features.")], state[name]) for name in names)
    assert network.shape.norm == "FrozenBN"
    assert ctx.warnings == []
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith("model.backbone.body.0.") for name in trained)


def test_a_resnets_weights_go_into_the_backbone_and_its_classes_are_ignored(
    context: MakeContext, tmp_path: Path, save_classifier: SaveClassifier
) -> None:
    state = save_classifier(tmp_path / "r18.safetensors", "resnet18", num_classes=7)
    detector = TorchvisionDetector(backbone="resnet18", weights=tmp_path / "r18.safetensors", norm="BN")
    body = build(detector, "ab", context()).model.backbone.body.state_dict()
    assert all(torch.equal(body[name], value) for name, value in state.items() if not name.startswith("fc."))


def test_wrapped_checkpoints_of_training_scripts_are_read(tmp_path: Path) -> None:
    for number, wrapped in enumerate([{"a": torch.ones(2)}, {"model": {"a": torch.ones(2)}, "epoch": 3}]):
        torch.save(wrapped, tmp_path / f"{number}.pth")
        assert read(tmp_path / f"{number}.pth").tensors["a"].tolist() == [1, 1]


@pytest.mark.parametrize("model", ["faster-rcnn", "retinanet"])
def test_a_saved_model_is_a_start_for_others_with_a_new_head_for_other_classes(
    tiny: Make, context: MakeContext, tmp_path: Path, model: str
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(model=model, per_class=True), context(seed=3))
    state = load_file(path)
    for per_class, new in ((True, False), (False, True)):
        ctx = context()
        network = build(tiny(model=model, per_class=per_class, weights=path), "ab", ctx)
        assert network.shape.norm == "GN"
        own = network.model.state_dict()
        other = {name for name, value in own.items() if not torch.equal(value, state[name])}
        if not new:
            assert (other, ctx.warnings) == (set(), [])
        else:
            assert other
            assert all(any(head in name for head in HEADS) for name in other)
            assert ctx.warnings == [
                "the weights model.safetensors have a head for 2 classes, the detector tells 1 apart: "
                "the head starts new"
            ]


def test_without_epochs_the_weights_are_used_as_they_are_and_nothing_is_learnt(
    tiny: Make, rectangles: Callable[..., Dataset], context: MakeContext, tmp_path: Path, picture: Image.Image
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    first = save_detector(path, tiny(per_class=True), context(seed=3), classes=("red", "blue"))
    detector, ctx = tiny(per_class=True, weights=path, epochs=0), context()
    assert not detector.learns()
    assert tiny().learns()
    nothing = rectangles(2).take([])
    fitted = detector.fit(nothing, nothing, ctx)
    assert ctx.warnings == []
    for one, two in zip(detect(first, [picture]), fitted.detect([picture]), strict=True):
        assert np.array_equal(one.boxes, two.boxes)


@pytest.mark.parametrize("model", ["faster-rcnn", "retinanet"])
def test_labels_are_matched_by_the_names_of_their_classes(
    tiny: Make, context: MakeContext, tmp_path: Path, model: str, picture: Image.Image
) -> None:
    """Weights of the classes in another order give the same boxes with the labels of their names."""
    path = tmp_path / "saved" / "model.safetensors"
    first = tiny(model=model, per_class=True)
    network = save_detector(path, first, context(), classes="abc")
    with torch.no_grad():  # so that boxes of each class are found
        state = network.model.state_dict()
        head = "roi_heads.box_predictor.cls_score.bias" if model == "faster-rcnn" else f"{LOGITS}bias"
        state[head].view(-1, 4)[:] = torch.tensor([-9.0, 1.0, 2.0, 3.0])
    first.save(Finder(network, None), path.parent)
    path = path.rename(tmp_path / "copied.safetensors")
    second = tiny(model=model, per_class=True, weights=path, epochs=0)
    ctx = context()
    other = build(second, "cab", ctx)
    assert ctx.warnings == []
    (one,), (two,) = detect(network, [picture]), detect(other, [picture])
    assert {1, 2} <= set(one.labels.tolist())
    assert np.array_equal(np.array([1, 2, 0])[one.labels], two.labels)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)


def test_a_head_of_other_classes_starts_new_or_is_refused_and_one_of_unknown_classes_is_said(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(per_class=True), context(seed=3))
    with pytest.raises(PluginError, match=r"tell other classes apart than the data set has: b and not x\n  They need"):
        build(tiny(per_class=True, weights=path, epochs=0), "ax", context())
    ctx = context()
    rows = build(tiny(per_class=True, weights=path), "ax", ctx).model.roi_heads.box_predictor.cls_score.weight
    assert not torch.equal(rows, load_file(path)["roi_heads.box_predictor.cls_score.weight"])
    assert ctx.warnings == [
        "the weights model.safetensors tell other classes apart than the data set has: b and not x: the head starts new"
    ]
    save_file(load_file(path), path)  # without what it says of itself
    ctx = context()
    build(tiny(per_class=True, weights=path, epochs=0), "ba", ctx)
    assert ctx.warnings == [
        "nothing in the weights model.safetensors says which 2 classes they tell apart: they are taken for the data "
        "set's own, in its order"
    ]


@pytest.mark.parametrize(
    ("model", "name", "shape", "said"),
    [
        ("retinanet", f"{LOGITS}bias", (28,), "has the shape (28,), where each class and the background have 9 rows"),
        ("retinanet", f"{LOGITS}bias", (), "has the shape (), where each class and the background have 9 rows"),
        ("retinanet", f"{LOGITS}bias", (0,), "has the shape (0,), where each class and the background have 9 rows"),
        ("retinanet", f"{LOGITS}weight", (36, 256, 3, 3), f"9 rows, {LOGITS}bias has the shape (27,)"),
        (
            "faster-rcnn",
            f"{HEADS[0]}.cls_score.bias",
            (),
            "has the shape (), where each class and the background have 1",
        ),
        (
            "faster-rcnn",
            f"{HEADS[0]}.bbox_pred.bias",
            (8,),
            "4 rows, roi_heads.box_predictor.cls_score.bias has the shape",
        ),
        ("faster-rcnn", f"{HEADS[0]}.bbox_pred.weight", (), "4 rows, roi_heads.box_predictor.cls_score.bias has the"),
        ("faster-rcnn", f"{HEADS[0]}.cls_score.weight", (3, 7), "has the shape (3, 7), in the model it is (3, 1024)"),
    ],
)
def test_a_head_that_fits_no_number_of_classes_is_refused(
    tiny: Make, context: MakeContext, tmp_path: Path, model: str, name: str, shape: tuple[int, ...], said: str
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(model=model, per_class=True), context())
    save_file({**load_file(path), name: torch.zeros(shape)}, path)
    with pytest.raises(PluginError, match=f"{re.escape(name)} .*{re.escape(said)}"):
        build(tiny(model=model, weights=path, epochs=0), "ab", context())
    with pytest.raises(PluginError, match=f"{re.escape(name)} has the shape {re.escape(str(shape))}"):
        build(tiny(model=model, per_class=True, weights=path), "ab", context())


def test_weights_of_whole_numbers_are_refused(tiny: Make, context: MakeContext, tmp_path: Path) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(), context())
    name = "roi_heads.box_head.fc6.bias"
    save_file({**load_file(path), name: torch.ones(1024, dtype=torch.int64)}, path)
    with pytest.raises(PluginError, match=rf"{re.escape(name)} is int64, in the model it is float32"):
        build(tiny(weights=path), "ab", context())
    with pytest.raises(PluginError, match=rf"{re.escape(name)} is int64, in the model it is float32"):
        tiny().load(path.parent, "cpu")


def test_without_epochs_and_classes_every_label_or_those_asked_for_are_objects(
    tiny: Make, rectangles: Callable[..., Dataset], context: MakeContext, tmp_path: Path, picture: Image.Image
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(model="retinanet", per_class=True), context(), classes="abcd")
    state = load_file(path)
    state[LOGITS + "weight"].zero_()
    state[LOGITS + "bias"].view(9, 5)[:] = torch.tensor([-9.0, 1.0, -9.0, 2.0, -9.0])
    save_file(state, path)
    nothing = rectangles(2).take([])

    def scores(objects: list[int] | None) -> set[float]:
        detector = tiny(model="retinanet", weights=path, epochs=0, objects=objects)
        (found,) = detector.fit(nothing, nothing, context()).detect([picture])
        assert set(found.labels.tolist()) <= {0}
        return {round(float(score), 3) for score in found.scores}

    assert max(scores(None)) == 0.881
    assert scores([3]) == {0.881}
    assert scores([1]) == {0.731}
    assert scores([2]) == set()
    with pytest.raises(PluginError, match="no label 5") as caught:
        scores([1, 5])
    assert "1 to 4" in (caught.value.hint or "")


def test_without_epochs_the_weights_need_a_head_and_as_many_classes_as_the_data(
    tiny: Make, context: MakeContext, tmp_path: Path, save_classifier: SaveClassifier
) -> None:
    save_classifier(tmp_path / "backbone.safetensors")
    with pytest.raises(PluginError, match="no head of faster-rcnn"):
        build(tiny(weights=tmp_path / "backbone.safetensors", epochs=0), "ab", context())
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(per_class=True), context())
    with pytest.raises(PluginError, match="tell 2 classes apart, the data have 20"):
        build(tiny(weights=path, epochs=0, per_class=True), "abcdefghijklmnopqrst", context())


def test_weights_of_another_architecture_are_refused_in_one_message_with_the_nearest_name(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(), context())
    with pytest.raises(PluginError, match=r"lack \d+ of \d+ tensors \(.*, …\) and have \d+ that the model") as caught:
        build(tiny(model="retinanet", weights=path), "ab", context())
    assert "retinanet on mobilenet_v3_large" in (caught.value.hint or "")
    state = load_file(path)
    state["rpn.head.cls_logit.weight"] = state.pop("rpn.head.cls_logits.weight")
    save_file(state, path)
    with pytest.raises(PluginError, match=r"lack 1 of .* \(rpn\.head\.cls_logits\.weight\)") as caught:
        build(tiny(weights=path), "ab", context())
    assert "nearest name to rpn.head.cls_logit.weight in the model is rpn.head.cls_logits.weight" in str(caught.value)


def test_weights_of_another_depth_or_shape_are_refused(
    context: MakeContext, tmp_path: Path, save_classifier: SaveClassifier
) -> None:
    path = tmp_path / "r.safetensors"
    state = save_classifier(path, "resnet18")
    with pytest.raises(PluginError, match=r"lack \d+ of"):
        build(TorchvisionDetector(backbone="resnet34", weights=path), "ab", context())
    save_file({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(PluginError, match=r"1 tensors .*conv1\.weight has the shape \(64, 3, 3, 3\).*\(64, 3, 7, 7\)"):
        build(TorchvisionDetector(backbone="resnet18", weights=path), "ab", context())


def test_weights_of_another_norm_are_refused_with_the_norm_to_set(
    tiny: Make, context: MakeContext, tmp_path: Path, save_classifier: SaveClassifier
) -> None:
    save_classifier(tmp_path / "bn.safetensors")
    with pytest.raises(PluginError, match="running_mean") as caught:
        build(tiny(weights=tmp_path / "bn.safetensors", norm="GN"), "ab", context())
    assert caught.value.hint == "Set norm to FrozenBN or BN, whose weights bring statistics."
    path = tmp_path / "saved" / "model.safetensors"
    save_detector(path, tiny(), context())
    with pytest.raises(PluginError, match="running_mean") as caught:
        build(tiny(weights=path, norm="BN"), "ab", context())
    assert caught.value.hint == "Set norm to GN, whose weights bring no statistics."


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["FGIC_TEST_TRAP"],)


def test_code_in_a_file_of_weights_is_never_run(
    tiny: Make, context: MakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "sprung"
    monkeypatch.setenv("FGIC_TEST_TRAP", str(trap))
    for name in ("a.pth", "b.pt", "c.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(_Malicious(), protocol=2))
        with pytest.raises(PluginError, match=r"cannot be read as tensors alone|not a safetensors file"):
            build(tiny(weights=tmp_path / name), "ab", context())
    torch.save({"conv1.weight": _Malicious()}, tmp_path / "d.pth")
    with pytest.raises(PluginError, match=r"tensors alone: they refer to .*mkdir") as caught:
        build(tiny(weights=tmp_path / "d.pth"), "ab", context())
    assert "weights_only" not in str(caught.value)  # torch advises to turn it off
    assert not trap.exists()
    (tmp_path / "e.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"should be a \.safetensors, \.pth or \.pt file; \.bin is none"):
        tiny(weights=tmp_path / "e.bin")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.ones(2)])
def test_a_file_without_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(PluginError, match="holds no tensors by name"):
        read(tmp_path / "odd.pth")
