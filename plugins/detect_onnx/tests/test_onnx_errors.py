"""A user's mistake, or a file that is not what it seems: one message, with what to do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from fgic_detect_onnx import OnnxDetector
from onnx import TensorProto, helper
from pydantic import ValidationError

from fgic_core import PluginError, StepContext

YOLOX = {"output": np.zeros((1, 84, 7), dtype=np.float32)}


@pytest.fixture
def refusal(opened, painted):
    """What opening a file, and showing it a picture, says."""

    def said(weights, **options) -> str:
        with pytest.raises(PluginError) as caught:
            opened(weights, **options).detect([painted((64, 64), (0, 0, 1, 1))])
        assert caught.value.hint
        return str(caught.value)

    return said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "weights\n  Field required"),
        ({"weights": "there is none.onnx"}, "should be a file that exists"),
        ({"weights": "model.pt"}, "should be an .onnx file; model.pt is none"),
        ({"weights": "model.onnx", "per_class": True}, "should be false; a ready detector knows the classes"),
        ({"weights": "model.onnx", "classes": []}, "at least 1 item"),
        ({"weights": "model.onnx", "image_size": 100}, "multiple of 32"),
        ({"weights": "model.onnx", "format": "yolov5"}, "'auto', 'yolox', 'yolov8' or 'boxes'"),
    ],
)
def test_options_that_cannot_be_are_refused_when_a_spec_is_checked(options, said, tmp_path):
    for name in ("model.onnx", "model.pt"):
        (tmp_path / name).touch()
    with pytest.raises(ValidationError) as caught:
        OnnxDetector.model_validate(options, context={"base": tmp_path})
    assert said in str(caught.value)


def test_a_file_of_a_download_cache_is_named_by_its_digest(tmp_path, seeing):
    seeing("yolox").rename(tmp_path / "5f70bf18a086007016e948b04aed3b82")
    (tmp_path / "model.onnx").symlink_to(tmp_path / "5f70bf18a086007016e948b04aed3b82")
    OnnxDetector(weights=tmp_path / "model.onnx").fit(None, None, StepContext(tmp_path))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04 a pickle"])
def test_a_file_that_is_no_model(content, refusal, tmp_path):
    (tmp_path / "model.onnx").write_bytes(content)
    assert f"{tmp_path / 'model.onnx'}: this is not an ONNX model" in refusal(tmp_path / "model.onnx")


def test_half_a_file(refusal, seeing, tmp_path):
    whole = seeing("yolox").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    assert "only a part of one" in refusal(tmp_path / "half.onnx")


def test_weights_in_other_files_are_refused_even_where_they_lie_in_the_current_folder(
    refusal, seeing, tmp_path, monkeypatch
):
    whole = onnx.load(seeing("yolox"))
    monkeypatch.chdir(tmp_path)
    onnx.save(whole, tmp_path / "parts.onnx", save_as_external_data=True, location="parts.data", size_threshold=0)
    said = refusal(tmp_path / "parts.onnx")
    assert "lie in other files (ONNX external data)" in said
    assert "onnx.save(onnx.load(" in said


def test_weights_in_other_files_are_not_found_even_where_the_file_hides_that_it_has_them(
    refusal, seeing, tmp_path, monkeypatch
):
    whole = onnx.load(seeing("yolox"))
    monkeypatch.chdir(tmp_path)
    onnx.save(whole, tmp_path / "parts.onnx", save_as_external_data=True, location="parts.data", size_threshold=0)
    key, value = b"\x0a\x08location", b"\x12\x0aparts.data"
    content = (tmp_path / "parts.onnx").read_bytes()
    assert key + value in content
    (tmp_path / "parts.onnx").write_bytes(content.replace(key + value, value + key))
    assert "cannot open this model" in refusal(tmp_path / "parts.onnx")


def test_operators_from_elsewhere_are_not_loaded(refusal, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Trick", ["images"], ["output"], domain="mine")],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "custom.onnx")
    said = refusal(tmp_path / "custom.onnx")
    assert "uses an operator that ONNX Runtime does not have" in said
    assert "mine:Trick" in said


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((1, 64, 64, 3), TensorProto.FLOAT),
        ((8, 3, 64, 64), TensorProto.FLOAT),
        ((1, 1, 64, 64), TensorProto.FLOAT),
        ((1, 12288), TensorProto.FLOAT),
        ((1, 3, 64, 64), TensorProto.UINT8),
    ],
)
def test_an_input_that_is_not_one_picture(shape, kind, refusal, saying):
    said = refusal(saying(YOLOX, shape=shape, kind=kind))
    assert f"takes one input 1x3xHxW of floats, this model takes images {'x'.join(map(str, shape))}" in said


@pytest.mark.parametrize("output", [(1, 252, 85), (1, 300, 6), (1, 84), (1, 84, 5), (84, 7)])
def test_outputs_of_no_known_format_are_named(output, refusal, saying):
    said = refusal(saying({"found": np.zeros(output, dtype=np.float32)}))
    assert f"outputs are found {'x'.join(map(str, output))}, which is none of the known formats" in said
    assert "For 64x64 pixels, yolox gives 1x84x(5+C); yolov8 gives 1x(4+C)x84; boxes gives" in said


def test_a_format_that_is_asked_for_and_is_not_there(refusal, seeing):
    assert "which is not the format boxes" in refusal(seeing("yolox"), format="boxes")


def test_a_class_that_the_model_has_not(refusal, saying):
    coco = saying({"output": np.zeros((1, 84, 85), dtype=np.float32)})
    assert "no class 'dogs'\n  Did you mean dog" in refusal(coco, classes=["cat", "dogs"])
    assert "Its classes are person, bicycle, car" in refusal(coco, classes=["quokka"])


def test_a_class_of_a_model_without_names(refusal, seeing):
    assert "Give label_names" in refusal(seeing("yolox"), classes=["dog"])
    assert "Give label_names" in refusal(seeing("boxes"), classes=["dog"])


def test_names_that_are_too_few_or_too_many(refusal, saying, boxes_of, names):
    assert "has 2 names, but the model saying.onnx has 3 classes" in refusal(
        saying({"output": np.zeros((1, 84, 8), dtype=np.float32)}), label_names=names("a", "b")
    )
    boxes = saying(boxes_of((0, 0, 9, 9, 0.5, 4)))
    assert "has 2 names, but the model saying.onnx has at least 5 classes" in refusal(
        boxes, label_names=names("a", "b")
    )


def test_names_that_are_no_text(refusal, seeing, tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00d")
    assert "one name a line" in refusal(seeing("yolox"), label_names=tmp_path / "names.txt")


def test_an_image_size_for_a_model_that_has_its_own(refusal, saying):
    assert "image_size is 320, but the model takes 64x64 pixels" in refusal(saying(YOLOX), image_size=320)
    one_sided = saying(YOLOX, shape=(1, 3, 64, "width"))
    assert "image_size is 320, but the model takes ?x64 pixels" in refusal(one_sided, image_size=320)


def test_a_size_that_the_model_cannot_compute_with(refusal, seeing):
    said = refusal(seeing("yolox", shape=(1, 3, "height", "width")), image_size=96)
    assert "the model failed on 96x96 pixels" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "is not a number somewhere"), (7.0, "scores reach from 0 to 7"), (-2.0, "scores reach from -2 to 0")],
)
def test_scores_that_are_none(value, said, refusal, saying):
    output = np.zeros((1, 6, 84), dtype=np.float32)
    output[0, 4:, 7] = value
    assert said in refusal(saying({"output0": output}))


def test_a_box_without_end(refusal, saying):
    output = YOLOX["output"].copy()
    output[0, 3] = [0.5, 0.5, 1000, 0, 1, 1, 1]
    assert "a box without end" in refusal(saying({"output": output}))


def test_a_label_beyond_the_names_that_only_a_later_picture_shows(seeing, names, opened, painted):
    detector = opened(seeing("boxes"), label_names=names("red", "green"))
    detector.detect([painted((64, 64), (0, 0, 32, 32), "red")])
    with pytest.raises(PluginError, match="a box of class 2, but there are 2 names"):
        detector.detect([painted((64, 64), (0, 0, 32, 32), "blue")])


def test_outputs_that_only_a_later_picture_shows_to_disagree(tmp_path, write_model, opened, painted):
    nodes = [
        helper.make_node("Greater", ["images", "bright"], ["is bright"]),
        helper.make_node("NonZero", ["is bright"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["boxes"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["no scores"], ["scores"]),
        helper.make_node("Identity", ["no labels"], ["labels"]),
    ]
    kinds = {"boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT, "labels": TensorProto.INT64}
    none = {"no scores": np.zeros(0, dtype=np.float32), "no labels": np.zeros(0, dtype=np.int64)}
    detector = opened(write_model(tmp_path / "odd.onnx", nodes, kinds, {"bright": np.float32([0.9]), **none}))
    with pytest.raises(PluginError, match=r"outputs are boxes 3x4, scores 0, labels 0, which is not the format boxes"):
        detector.detect([painted((64, 64), (5, 5, 6, 6), "white")])


def test_cuda_without_the_gpu_package(seeing, tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(PluginError, match=r"cannot compute on cuda:0\n  Replace .* by onnxruntime-gpu"):
        OnnxDetector(weights=seeing("yolox")).fit(None, None, StepContext(tmp_path, device="cuda:0"))


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA may start here")
def test_cuda_that_does_not_start_is_no_reason_to_compute_elsewhere(seeing, tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(PluginError, match="could not start on cuda"):
        OnnxDetector(weights=seeing("yolox")).fit(None, None, StepContext(tmp_path, device="cuda"))


def test_another_device_is_warned_of(seeing, tmp_path):
    class Heard(StepContext):
        def warn(self, message: str) -> None:
            heard.append(message)

    heard: list[str] = []
    OnnxDetector(weights=seeing("yolox")).fit(None, None, Heard(tmp_path, device="mps"))
    assert heard == ["the detector ran on the CPU: this plugin does not use ONNX Runtime on mps"]
