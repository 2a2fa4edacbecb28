"""From pictures to boxes: formats, places, the class filter, what is kept, and what is saved."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from fgic_detect_onnx import OnnxDetector
from fgic_detect_onnx._formats import FORMATS
from onnx import TensorProto

from fgic_core import Box, PluginError, Size
from fgic_core.registry import Registry

ALL = ["yolox", "yolov8", "boxes"]
#: Which channel the input has first, seen as the class that a toy gives to red.
NAMES = {"yolox": ("blue", "green", "red"), "yolov8": ("red", "green", "blue"), "boxes": ("red", "green", "blue")}


@pytest.mark.parametrize("name", ALL)
def test_the_format_is_told_from_the_shapes(name, seeing, opened):
    assert opened(seeing(name)).format.name == name


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("colour", ["red", "lime", "blue"])
def test_a_coloured_rectangle_is_found_in_its_place_and_its_channel(name, colour, seeing, names, opened, painted):
    label = {"lime": "green"}.get(colour, colour)
    detector = opened(seeing(name), label_names=names(*NAMES[name]), classes=[label])
    for size, box in [((64, 64), (16, 32, 24, 40)), ((256, 128), (64, 32, 96, 64)), ((48, 96), (24, 24, 36, 36))]:
        (found,) = detector.detect([painted(size, box, colour)])
        assert Box(*found.boxes[0]).iou(Box(*box)) == pytest.approx(1, abs=0.02)
        assert found.scores[0] > 0.6
        assert (found.labels == 0).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(200, 150), (150, 200), (64, 64), (187, 33), (31, 190), (1, 1), (401, 399)])
def test_what_the_letterbox_moved_returns_within_half_a_pixel(name, size, painted):
    width, height = size
    box = (width // 4, height // 3, max(width * 3 // 4, 1), max(height * 2 // 3, 1))
    pixels, placement = FORMATS[name].input(painted(size, box), Size(416, 416))
    red = pixels[::-1][0] / 255 if name == "yolox" else pixels[0]
    ys, xs = np.nonzero(red > (1 + 120 / 255) / 2)  # halfway between the rectangle and the grey around it
    seen = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
    np.testing.assert_allclose(placement.to_image(seen).xyxy, box, atol=0.5)


def test_yolox_puts_the_picture_into_the_upper_left_corner_and_the_others_into_the_middle(painted):
    picture = painted((100, 50), (0, 0, 100, 50))
    for name, grey_rows in {"yolox": range(32, 64), "yolov8": [*range(16), *range(48, 64)]}.items():
        pixels, _ = FORMATS[name].input(picture, Size(64, 64))
        grey = np.isclose(pixels, 114 if name == "yolox" else 114 / 255).all(axis=(0, 2))
        assert np.flatnonzero(grey).tolist() == list(grey_rows)


def test_yolox_is_decoded_as_its_authors_do(saying, opened, painted):
    output = np.zeros((1, 84, 7), dtype=np.float32)
    output[0, 8 * 3 + 5] = [0.25, -0.5, np.log(2), np.log(3), 0.8, 0.5, 0.1]  # row 3, column 5 of stride 8
    output[0, 64 + 16 + 3] = [0.5, 0.5, 0, np.log(0.5), 0.5, 0.2, 0.9]  # row 1, column 1 of stride 32
    (found,) = opened(saying({"output": output})).detect([painted((64, 64), (0, 0, 1, 1))])
    np.testing.assert_allclose(found.boxes, [[32, 40, 64, 56], [34, 8, 50, 32]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.45, 0.4], atol=1e-6)


def test_a_box_has_the_score_of_the_best_class_that_counts_even_if_another_is_better(saying, opened, names, painted):
    output = np.zeros((1, 6, 84), dtype=np.float32)
    output[0, :, 0] = [8, 8, 8, 8, 0.9, 0.3]
    for wanted, score in {"cat": 0.9, "dog": 0.3}.items():
        detector = opened(saying({"output0": output}), label_names=names("cat", "dog"), classes=[wanted])
        assert detector.detect([painted((64, 64), (0, 0, 1, 1))])[0].scores == pytest.approx([score])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [0.9, 0.6, 0.4]),
        ({"nms_iou": 0.96}, [0.9, 0.8, 0.6, 0.4]),
        ({"max_boxes": 2}, [0.9, 0.6]),
        ({"score_threshold": 0.5}, [0.9, 0.6]),
        ({"score_threshold": 0.0}, [0.9, 0.6, 0.4, 0.04]),
        ({"classes": ["dog"]}, [0.8, 0.6]),
    ],
)
def test_weak_and_overlapping_boxes_go_whatever_their_class(options, kept, saying, boxes_of, names, opened, painted):
    found = boxes_of(
        (0, 0, 20, 20, 0.9, 1), (1, 0, 20, 20, 0.8, 2), (40, 40, 60, 60, 0.6, 2), (0, 40, 9, 50, 0.4, 1),
        (40, 0, 50, 9, 0.04, 1),
    )  # fmt: skip
    detector = opened(saying(found), label_names=names("background", "cat", "dog"), **options)
    (result,) = detector.detect([painted((64, 64), (0, 0, 1, 1))])
    assert result.scores == pytest.approx(kept)
    assert result.labels.tolist() == [0] * len(kept)


def test_no_object_gives_no_boxes(saying, boxes_of, opened, painted):
    (found,) = opened(saying(boxes_of())).detect([painted((64, 64), (0, 0, 1, 1))])
    assert found.boxes.shape == (0, 4)
    assert opened(saying(boxes_of())).detect([]) == []


def test_names_that_ultralytics_writes_into_the_model_are_read(seeing, opened):
    metadata = {"names": """{0: 'red', 1: "driver's", 2: 'a \\'b\\''}"""}
    detector = opened(seeing("yolov8", metadata=metadata), classes=["driver's"])
    assert detector.names == ("red", "driver's", "a 'b'")


def test_a_model_of_80_classes_has_the_names_of_coco(saying, opened, painted):
    output = np.zeros((1, 84, 85), dtype=np.float32)
    output[0, 0] = [0.5, 0.5, 0, 0, 1, *np.eye(80)[16]]
    for wanted, count in {"dog": 1, "cat": 0}.items():
        (found,) = opened(saying({"output": output}), classes=[wanted]).detect([painted((64, 64), (0, 0, 1, 1))])
        assert len(found.boxes) == count


def test_outputs_without_telling_names_are_known_by_shape_and_type(seeing, opened):
    assert opened(seeing("boxes", names=("1031", "1001", "1000"))).format.name == "boxes"


def test_a_model_in_half_precision_runs(saying, opened, painted):
    output = np.zeros((1, 84, 7), dtype=np.float16)
    output[0, 0] = [0.5, 0.5, 0, 0, 1, 1, 0]
    detector = opened(saying({"output": output}, kind=TensorProto.FLOAT16))
    np.testing.assert_allclose(detector.detect([painted((64, 64), (0, 0, 1, 1))])[0].boxes, [[0, 0, 8, 8]])


@pytest.mark.parametrize(("image_size", "side"), [(None, 640), (320, 320)])
def test_an_open_input_size_is_640_or_what_the_option_says(image_size, side, saying, opened, painted):
    output = np.zeros((1, sum((side // s) ** 2 for s in (8, 16, 32)), 7), dtype=np.float32)
    output[0, 0] = [0.5, 0.5, 0, 0, 1, 1, 0]
    detector = opened(saying({"output": output}, shape=(1, 3, "height", "width")), image_size=image_size)
    (found,) = detector.detect([painted((64, 64), (0, 0, 1, 1))])
    np.testing.assert_allclose(found.boxes, [[0, 0, 8 * 64 / side, 8 * 64 / side]])


def test_a_picture_fits_into_an_input_whose_width_alone_is_open(saying, boxes_of, opened, painted):
    model = saying(boxes_of((0, 32, 640, 64, 0.5, 1)), shape=(1, 3, 64, "width"))
    (found,) = opened(model).detect([painted((64, 64), (0, 0, 1, 1))])
    np.testing.assert_allclose(found.boxes, [[-288, 32, 352, 64]])  # 640x64, the picture in the middle


def test_what_is_saved_needs_neither_the_weights_nor_the_names_file(seeing, names, opened, painted, tmp_path):
    weights, file = seeing("yolox"), names("blue", "green", "red")
    detector = OnnxDetector(weights=weights, label_names=file, classes=["red"])
    fitted = opened(weights, label_names=file, classes=["red"])
    (tmp_path / "saved").mkdir()
    detector.save(fitted, tmp_path / "saved")
    assert (tmp_path / "saved" / "model.onnx").read_bytes() == weights.read_bytes()
    weights.unlink()
    file.unlink()
    other = OnnxDetector.model_validate(detector.model_dump(mode="json"), context={"trusted": True})
    again = other.load(tmp_path / "saved", "cpu")
    picture = painted((70, 50), (8, 8, 40, 40))
    for one, two in zip(fitted.detect([picture]), again.detect([picture]), strict=True):
        np.testing.assert_array_equal(one.boxes, two.boxes)
        np.testing.assert_array_equal(one.scores, two.scores)
    (tmp_path / "copy").mkdir()
    other.save(again, tmp_path / "copy")
    for name in ("model.onnx", "detector.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "pickle"}, "no format 'pickle'"),
        ({"format": "yolov8"}, "not the format yolov8"),
        ({"size": [64]}, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_save_is_refused(change, said, seeing, opened, painted, tmp_path):
    detector = OnnxDetector(weights=seeing("yolox"))
    detector.save(opened(detector.weights), tmp_path)
    document = json.loads((tmp_path / "detector.json").read_text())
    (tmp_path / "detector.json").write_text("[" if change is None else json.dumps({**document, **change}))
    with pytest.raises(PluginError, match=said):
        detector.load(tmp_path, "cpu").detect([painted((64, 64), (0, 0, 1, 1))])


def test_a_ready_detector_does_not_learn(seeing):
    assert not OnnxDetector(weights=seeing("yolox")).learns()


def test_the_detector_is_installed_under_its_name():
    assert Registry().get("detector/onnx") is OnnxDetector


def test_importing_the_detector_does_not_import_onnxruntime():
    code = "import sys, fgic_detect_onnx; print([m for m in ('onnxruntime', 'torch', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
