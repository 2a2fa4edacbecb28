"""New pictures through a trained pipeline: each test picture gets the box and the class that the run counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from fgic_core import DatasetReader, FgicError, Pipeline, Registry, Run, Sample, load_model
from fgic_core.cli import app
from fgic_core.data.geometry import Box, Size
from fgic_core.data.images import cut_edges
from fgic_core.errors import StoreError
from fgic_core.run.route import read_box, route_of
from fgic_core.store.artifacts import learned_folder
from fgic_core.store.record import RunRecord, StepRecord

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[2] / "../shared/data")).resolve()
DOGS = DATA / "stanford_dogs" / "Images"
YOLOX = DATA.parent / "weights" / "yolox_nano.onnx"

ODD = '''
import numpy as np

from fgic_core import Detections, Detector, Explainer, FittedDetector, Maps
from fgic_toys import Threshold


class Thirds(FittedDetector):
    """Around what is colourful three boxes: a weak one first, the surest beyond the picture's edge."""

    def detect(self, images):
        found = []
        for image, one in zip(images, Threshold(60.0, []).detect(images), strict=True):
            moves = ([1, 1, 0, 0], [1 / 3, -40, 1 / 7, 0.2], [0, 0, 0, 0])
            boxes = [box + np.array(by) for box in one.boxes for by in moves]
            scores = np.array([0.3, 0.8, 0.7][: len(boxes)])
            found.append(Detections(np.reshape(boxes, (-1, 4)), scores, np.zeros(len(boxes), int)))
        return found


class Odd(Detector):
    """A ready detector."""

    def learns(self):
        return False

    def fit(self, train, val, ctx):
        return Thirds()

    def save(self, fitted, folder):
        (folder / "nothing.json").write_text("{}")

    def load(self, folder, device):
        return Thirds()


class Middle(Explainer):
    """Says that the middle of the input counts."""

    def explain(self, network, images, targets, generator):
        maps = images.new_zeros((len(images), 1, 16, 16))
        maps[:, :, 6:10, 6:10] = 1
        return Maps(maps, ("middle",))
'''
STEPS = """\
version: 1
name: look
steps:
  dots: {uses: dataset/dots, with: {count: 3, per_class: 5}}
  boxes: {uses: detector/bright}
  crops: {uses: cropper/exact, with: {margin: 0.3}}
  more: {uses: generator/tint, with: {per_class: 2}}
  others: {uses: detector/odd}
  trained: {uses: classifier/linear, with: {epochs: 1}}
  odd_crops: {uses: cropper/exact, with: {margin: 1.7}}
  ready: {uses: classifier/linear, with: {epochs: 1}}
  odd_masks: {uses: cropper/exact, with: {margin: 1.7, view: mask}, from: {dataset: others}}
  on_masks: {uses: classifier/linear, with: {epochs: 1}}
  none_crops: {uses: cropper/exact, with: {test_boxes: predicted}, from: {dataset: none}}
  unsure: {uses: classifier/linear, with: {epochs: 1}}
  true_crops: {uses: cropper/exact, with: {test_boxes: annotated}}
  told: {uses: classifier/linear, with: {epochs: 1}}
  plain: {uses: classifier/linear, with: {epochs: 1}, from: {dataset: dots}}
"""
STEPS = STEPS.replace("  none_crops", "  none: {uses: detector/odd, with: {min_score: 0.81}}\n  none_crops")


@pytest.fixture(scope="module")
def run(module_toys: Path) -> Iterator[Run]:
    (module_toys / "odd_plugin.py").write_text(ODD)
    info = module_toys / "odd_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plugin\nVersion: 1.0\n")
    points = "[fgic.detector]\nodd = odd_plugin:Odd\n[fgic.explainer]\nmiddle = odd_plugin:Middle\n"
    (info / "entry_points.txt").write_text(points)
    spec = module_toys.parent / "look.yaml"
    spec.write_text(STEPS)
    made = Pipeline.from_yaml(spec).run(
        store=spec.parent / "store", runs=spec.parent / "runs", device="cpu", report=False
    )
    assert [step.error for step in made.record.steps if step.error] == []
    yield made
    sys.modules.pop("odd_plugin", None)


def pictures_of(run: Run) -> dict[str, Path]:
    """The files of the test pictures by id."""
    data = run.dataset("dots").split("test")
    return {name: data.file(row) for row, name in enumerate(data.ids)}


def counted(run: Run, step: str, file: str = "predictions.parquet") -> dict[str, dict[str, Any]]:
    """The rows of the test split by id, as a step wrote them."""
    rows = pq.read_table(run.record.step(step).folder / file).to_pylist()
    return {row["id"]: row for row in rows if row["split"] == "test"}


def as_box(edges: Mapping[str, float] | None) -> Box | None:
    return Box(**edges) if edges is not None else None


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """A picture in which there is nothing."""
    Image.new("RGB", (30, 20), (120, 120, 120)).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def json_of(text: str) -> dict[str, Any]:
    (line,) = text.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


class TestOnTheRunsOwnTestPictures:
    @pytest.mark.parametrize(
        ("classifier", "cropper"), [("trained", "crops"), ("ready", "odd_crops"), ("on_masks", "odd_masks")]
    )
    def test_box_region_and_class_are_those_that_were_counted(self, run: Run, classifier: str, cropper: str) -> None:
        pictures, classes, boxes = pictures_of(run), counted(run, classifier), counted(run, cropper, "boxes.parquet")
        found = run.predictor(classifier)(list(pictures.values()))
        assert len(found) == 15
        for name, one in zip(pictures, found, strict=True):
            assert one.box == as_box(boxes[name]["predicted"])
            assert one.box_score == boxes[name]["score"]
            assert one.box_origin == boxes[name]["region_origin"]
            assert one.region == as_box(boxes[name]["region"])
            assert [guess.label for guess in one.top] == classes[name]["top"]
            assert one.top[0].confidence == pytest.approx(classes[name]["confidence"], abs=1e-5)
        assert len({one.top[0].confidence for one in found}) > 5  # they can be told apart

    def test_a_picture_is_masked_as_the_test_pictures_were(self, run: Run) -> None:
        first = next(iter(pictures_of(run).values()))
        (masked,), (cut,) = (run.predictor(step)(first) for step in ("on_masks", "ready"))
        assert (masked.region, masked.masked, cut.masked) == (cut.region, True, False)
        (whole,) = run.predictor("on_masks", whole=True)(first)
        assert not whole.masked
        assert whole.top[0].confidence != masked.top[0].confidence

    def test_the_surest_box_is_taken_and_clipped(self, run: Run) -> None:
        first = next(iter(pictures_of(run).values()))
        (one,) = run.predictor("ready")(first)
        (lower,) = run.predictor("trained")(first)
        assert one.box_score == pytest.approx(0.8)
        assert one.box.y1 == 0
        assert one.box.x1 == pytest.approx(lower.box.x1 + 1 / 3, abs=1e-5)
        assert one.region.x1 == np.float32(one.box.x1 - 1.7)

    def test_whole_pictures_where_no_step_crops(self, run: Run) -> None:
        pictures, classes = pictures_of(run), counted(run, "plain")
        for name, one in zip(pictures, run.predictor("plain")(list(pictures.values())), strict=True):
            assert (one.box, one.box_origin, one.box_score, one.region) == (None, "whole picture", None, None)
            assert one.top[0].label == classes[name]["predicted"]
            assert one.top[0].confidence == pytest.approx(classes[name]["confidence"], abs=1e-5)

    def test_whole_pictures_where_no_box_is_sure_enough(self, run: Run) -> None:
        pictures, classes = pictures_of(run), counted(run, "unsure")
        for name, one in zip(pictures, run.predictor("unsure")(list(pictures.values())), strict=True):
            assert (one.box, one.box_origin, one.region) == (None, "whole picture", None)
            assert one.remark == "detector/odd found no object in it: this is of the whole picture"
            assert one.top[0].confidence == pytest.approx(classes[name]["confidence"], abs=1e-5)

    def test_a_given_box_is_taken_as_an_annotated_one(self, run: Run) -> None:
        boxes, classes = counted(run, "true_crops", "boxes.parquet"), counted(run, "told")
        for name, file in list(pictures_of(run).items())[::4]:
            given = as_box(boxes[name]["annotated"])
            (one,) = run.predictor("told", box=given.xyxy)(file)
            assert (one.box, one.box_origin, one.box_score) == (given, "given", None)
            assert one.region == as_box(boxes[name]["region"])
            assert one.top[0].confidence == pytest.approx(classes[name]["confidence"], abs=1e-5)


class TestWhatIsTaken:
    def test_paths_pillows_pictures_and_arrays_give_the_same(self, run: Run, tmp_path: Path) -> None:
        file = next(iter(pictures_of(run).values()))
        image = Image.open(file)
        pixels = np.asarray(image.convert("RGB"))
        turned = image.transpose(Image.Transpose.ROTATE_90)
        turned.getexif()[0x0112] = 6
        turned.save(tmp_path / "turned.png", exif=turned.getexif())
        again = Image.open(tmp_path / "turned.png")
        given = [str(file), image, image.convert("RGBA"), pixels, pixels / 255, turned, again]
        predictor = run.predictor("ready")
        (expected,) = predictor(file)
        for one in predictor(given):
            assert (one.top, one.shown) == (expected.top, expected.shown)
        probabilities = run.model("ready").predict(given)
        assert probabilities.shape == (7, 3)
        assert np.ptp(probabilities, axis=0).max() == 0
        assert image.mode == "RGB"

    @pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "F", "CMYK"])
    def test_any_mode_is_read_as_its_file_is(self, run: Run, tmp_path: Path, mode: str) -> None:
        values = np.arange(400, dtype=np.uint16).reshape(20, 20) * 160
        base = Image.fromarray((values >> 8).astype(np.uint8))
        image = {"I;16": Image.fromarray(values), "F": Image.fromarray(values.astype(np.float32))}.get(mode)
        image = image if image is not None else base.convert(mode)
        image.save(tmp_path / "picture.tif")
        model = run.model("plain")
        np.testing.assert_array_equal(model.predict(image), model.predict(tmp_path / "picture.tif"))

    def test_grey_arrays_are_pictures(self, run: Run) -> None:
        grey = np.arange(400, dtype=np.uint8).reshape(20, 20)
        model = run.model("plain")
        np.testing.assert_array_equal(model.predict(grey), model.predict(np.dstack([grey] * 3)))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (np.zeros((3, 8, 8)), r"picture 1: an array of shape \(3, 8, 8\)"),
            (np.zeros((0, 8, 3)), r"an array of shape \(0, 8, 3\)"),
            (np.full((8, 8, 3), 1.5), "floats reach from 1.5 to 1.5"),
            (np.full((8, 8, 3), np.nan), "floats reach from nan"),
            (np.zeros((8, 8), np.int64), "an array of int64"),
            (7, "a int is no picture"),
            ("missing.png", "missing.png: the picture is missing"),
        ],
    )
    def test_what_is_no_picture_stands_in_its_place_with_its_error(self, run: Run, given: Any, message: str) -> None:
        fine = np.zeros((8, 8, 3), np.uint8)
        one, two, three = run.predictor("plain")([fine, given, fine])
        assert two.top == ()
        with pytest.raises(FgicError, match=message):
            raise two.error
        assert one.top == three.top != ()
        with pytest.raises(FgicError, match=message.replace("picture 1", "picture 0")):
            run.model("plain").predict([given])


class TestBoxes:
    def test_a_run_that_cropped_to_annotated_boxes_asks_for_one(self, run: Run) -> None:
        with pytest.raises(FgicError) as caught:
            run.predictor("told")
        assert "to annotated boxes (step true_crops, cropper/exact)" in str(caught.value)
        assert "--box" in str(caught.value)
        assert "--whole" in str(caught.value)
        (one,) = run.predictor("told", whole=True)(next(iter(pictures_of(run).values())))
        assert one.box_origin == "whole picture"

    def test_what_does_not_go_together_is_refused(self, run: Run) -> None:
        with pytest.raises(FgicError, match="a box and the whole picture"):
            run.predictor("told", box=(0, 0, 5, 5), whole=True)
        with pytest.raises(FgicError, match="no step before plain crops"):
            run.predictor("plain", box=(0, 0, 5, 5))
        with pytest.raises(FgicError, match="a box is for one picture, and there are 2"):
            run.predictor("ready", box=(0, 0, 5, 5))([np.zeros((9, 9)), np.zeros((9, 9))])

    def test_a_box_outside_of_the_picture_is_its_error(self, run: Run, grey: Path) -> None:
        (one,) = run.predictor("ready", box=(30, 0, 40, 20))(grey)
        assert "holds no pixel of this 30x20 picture" in str(one.error)
        (one,) = run.predictor("ready", box=(20.1, -5, 40, 20))(grey)
        assert one.box == Box(float(np.float32(20.1)), 0, 30, 20)
        assert one.region == Box(float(np.float32(np.float32(20.1) - 1.7)), 0, 30, 20)  # the cropper's margin

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has such a device")
    @pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu"])
    def test_a_device_that_is_not_there_is_refused(self, run: Run, device: str) -> None:
        for ask in (run.predictor, run.model, lambda step, device: load_model(run.folder, step, device)):
            with pytest.raises(FgicError, match=device):
                ask("ready", device=device)

    @pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "5,5,5,9", "0,0,nan,4", "0,0,inf,4", ""])
    def test_what_is_no_box_is_refused(self, text: str) -> None:
        with pytest.raises(FgicError, match="is no box"):
            read_box(text)
        assert read_box(" 1, 2,3.5,4 ") == read_box([1, 2, 3.5, 4]) == Box(1, 2, 3.5, 4)

    def test_a_record_that_cannot_be_followed_is_told(self, tmp_path: Path) -> None:
        def of(given: Any) -> RunRecord:
            steps = [StepRecord(name="c", uses="classifier/x", key="a", inputs={"dataset": given})]
            return RunRecord(name="n", seed=0, started="", store=tmp_path, steps=steps)

        for given in ("gone", "c", ["a", "b"]):
            record = of(given)
            if given == "c":
                record.steps.append(StepRecord(name="d", uses="cropper/x", key="b", inputs={"dataset": "d"}))
                record.steps[0].inputs["dataset"] = "d"
            with pytest.raises(StoreError, match="cannot be followed"):
                route_of(record, record.steps[0])


class TestTheCommand:
    def ask(self, run: Run, *words: str | Path) -> int:
        return app.run(["predict", str(run.folder), *map(str, words), "--device", "cpu"])

    def test_the_box_is_in_the_output(self, run: Run, capsys: Any) -> None:
        name, file = next(iter(pictures_of(run).items()))
        boxes = counted(run, "odd_crops", "boxes.parquet")[name]
        assert self.ask(run, file, "--step", "ready", "--json") == 0
        row = json_of(capsys.readouterr().out)
        assert row["box"] == list(boxes["predicted"].values())
        assert row["region"] == list(boxes["region"].values())
        assert row["box_origin"] == "predicted:detector/odd"
        assert row["box_score"] == pytest.approx(0.8)
        assert row["top"][0]["label"] == counted(run, "ready")[name]["predicted"]
        assert self.ask(run, file, "--step", "ready") == 0
        assert "predicted:detector/odd (80.0 %)" in capsys.readouterr().out

    def test_where_nothing_is_found_it_says_so(self, run: Run, grey: Path, capsys: Any) -> None:
        assert self.ask(run, grey, "--step", "ready", "--json") == 0
        said = capsys.readouterr()
        row = json_of(said.out)
        assert (row["box"], row["box_origin"], row["box_score"], row["region"]) == (None, "whole picture", None, None)
        assert "grey.png: detector/odd found no object in it: this is of the whole picture." in said.err

    def test_a_run_on_annotated_boxes_wants_box_or_whole(self, run: Run, grey: Path, capsys: Any) -> None:
        assert self.ask(run, grey, "--step", "told") == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("error") == 1
        assert "to annotated boxes" in said.err
        assert self.ask(run, grey, "--step", "told", "--box", "3,4,20,12.5", "--json") == 0
        row = json_of(capsys.readouterr().out)
        assert (row["box"], row["box_origin"], row["region"]) == ([3, 4, 20, 12.5], "given", [3, 4, 20, 12.5])
        assert self.ask(run, grey, "--step", "told", "--whole", "--json") == 0
        said = capsys.readouterr()
        assert json_of(said.out)["box_origin"] == "whole picture"
        assert "trained on crops (cropper/exact)" in said.err
        assert self.ask(run, grey, grey.parent / ".." / grey.parent.name, "--box", "3,4,20,12", "--step", "told") == 0
        assert self.ask(run, grey, *pictures_of(run).values(), "--box", "3,4,20,12", "--step", "told") == 2
        assert "a box is for one picture, and there are 16" in capsys.readouterr().err

    def test_what_cannot_be_asked_is_refused_before_torch_is_loaded(self, run: Run, grey: Path, tmp_path: Path) -> None:
        killed = tmp_path / "runs" / "killed" / "20260101-000000"
        killed.mkdir(parents=True)
        (killed / "run.json").write_text((run.folder / "run.json").read_text())
        asked = {
            (run.folder, grey, "--step", "told"): "to annotated boxes",
            (run.folder, grey, "--step", "gone"): "no step 'gone'",
            (run.folder, grey, "--step", "ready", "--box", "1,2,3"): "is no box",
            (run.folder, grey, "--step", "ready", "--whole", "--model"): "--whole and --model were both asked for",
            (run.folder, grey, "--device", "gpu"): "'gpu' is no device",
            (run.folder, grey, *pictures_of(run).values(), "--step", "ready", "--box", "1,2,3,4"): "and there are 16",
            (run.folder, "no.png"): "no.png: the picture is missing",
            (killed.parent / "latest", grey): f"The newest run there is {killed}, which did not come to its end.",
            (tmp_path / "nowhere", grey): "neither a run directory nor a model",
        }
        commands = [["predict", *map(str, words)] for words in asked]
        program = (
            f"import sys\nfrom fgic_core.cli import app\nfor words in {commands!r}:\n"
            "    print(app.run(words), 'torch' in sys.modules, flush=True)\n"
            "    print('---', file=sys.stderr, flush=True)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split("\n") == [f"{1 if 'no.png' in words else 2} False" for words in asked] + [""]
        for told, words in zip(done.stderr.split("---\n"), asked.values(), strict=False):
            assert words in told
        with pytest.raises(StoreError, match="no run directory") as caught:
            Run.open(killed.parent / "latest")
        assert str(killed) in str(caught.value)

    def test_of_a_box_that_is_not_in_the_picture_nobody_says_that_the_picture_is_bad(
        self, run: Run, grey: Path, capsys: Any
    ) -> None:
        assert self.ask(run, grey, "--step", "ready", "--box", "90,90,99,99") == 1
        said = capsys.readouterr().err
        assert "the box (90.0, 90.0, 99.0, 99.0) holds no pixel of this 30x20 picture" in said
        assert "could not be read" not in said

    def test_the_classifier_alone(self, run: Run, grey: Path, tmp_path: Path, capsys: Any) -> None:
        cam = ("--cam", tmp_path / "maps", "--explainer", "explainer/middle")
        assert self.ask(run, grey, "--step", "told", "--model", "--json", *cam) == 0
        said = capsys.readouterr()
        assert Image.open(json_of(said.out)["cam"]).size == (16, 16)
        assert "trained on crops (cropper/exact)" in said.err
        assert self.ask(run, grey, "--model", "--box", "0,0,5,5") == 2
        folder = run.record.step("told").folder
        assert app.run(["predict", str(folder), str(grey), "--json"]) == 0
        assert json_of(capsys.readouterr().out)["box_origin"] == "whole picture"

    def test_the_map_is_drawn_where_the_network_saw_it(self, run: Run, tmp_path: Path, capsys: Any) -> None:
        # Of the middle of a 40x20 cut, letterboxed to 16x16: the 4x4 pixels in the middle are 10x10 of the cut's.
        photo = Image.new("RGB", (200, 100), (200, 40, 90))
        photo.paste(Image.effect_noise((40, 20), 60), (50, 30))
        photo.save(tmp_path / "photo.png")
        cam = ("--cam", tmp_path / "maps", "--explainer", "explainer/middle")
        assert self.ask(run, tmp_path / "photo.png", "--step", "told", "--box", "50,30,90,50", "--json", *cam) == 0
        before, drawn = (
            np.asarray(one, dtype=int) for one in (photo, Image.open(json_of(capsys.readouterr().out)["cam"]))
        )
        assert drawn.shape == (100, 200, 3)
        changed = (before != drawn).any(axis=2)
        left, upper, right, lower = cut_edges(Box(50, 30, 90, 50), Size(200, 100))
        outside = np.ones((100, 200), bool)
        outside[upper:lower, left:right] = False
        assert not changed[outside].any()
        coloured = (np.ptp(drawn, axis=2) > 20) & ~outside  # there the photo is grey
        ys, xs = np.nonzero(coloured)
        assert abs(xs.mean() + 0.5 - 70) < 0.5
        assert abs(ys.mean() + 0.5 - 40) < 0.5
        assert 9 <= xs.max() - xs.min() + 1 <= 14

    def test_the_map_of_a_masked_picture_is_drawn_over_what_the_network_saw(
        self, run: Run, tmp_path: Path, capsys: Any
    ) -> None:
        # Of the middle of a 200x100 picture, letterboxed to 16x16: the 4x4 pixels there are 50x50 of the picture's.
        photo = Image.new("RGB", (200, 100), (200, 40, 90))
        photo.save(tmp_path / "photo.png")
        words = (tmp_path / "photo.png", "--step", "on_masks", "--json")
        cam = ("--cam", tmp_path / "maps", "--explainer", "explainer/middle")
        assert self.ask(run, *words, "--box", "50,30,90,50", *cam) == 0
        row = json_of(capsys.readouterr().out)
        assert row["masked"]
        drawn = np.asarray(Image.open(row["cam"]), dtype=int)
        assert drawn.shape == (100, 200, 3)
        coloured = np.ptp(drawn, axis=2) > 20
        assert not coloured[:, :45].any(), "what is masked is grey where there is no map"
        assert not coloured[:, 155:].any()
        assert coloured[45:55, 95:105].all(), "and coloured where there is one"
        assert self.ask(run, *words, "--whole") == 0
        assert "trained on masked pictures (cropper/exact)" in capsys.readouterr().err

    def test_damaged_weights_are_not_used(self, run: Run, grey: Path, tmp_path: Path, capsys: Any) -> None:
        store = Path(shutil.copytree(run.record.store, tmp_path / "store"))
        there = Run.open(run.folder, store)
        learned = learned_folder(there.record.step("plain").folder, there.artifact("plain"))
        assert self.ask(run, grey, "--step", "plain", "--store", store) == 0
        file = learned / "component" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
        assert self.ask(run, grey, "--step", "plain", "--store", store) == 2
        assert "damaged in the store: component/model.safetensors has another content" in capsys.readouterr().err

    def test_the_store_can_lie_elsewhere(self, run: Run, grey: Path, tmp_path: Path, capsys: Any) -> None:
        assert self.ask(run, grey, "--step", "ready", "--store", tmp_path / "empty") == 2
        assert "--store" in capsys.readouterr().err
        assert self.ask(run, grey, "--step", "ready", "--store", run.record.store, "--json") == 0


class FewDogs(DatasetReader):
    """Two breeds, with four photos each to learn from and four to test on, without boxes."""

    def classes(self) -> Sequence[str]:
        return [breed.name for breed in islice(sorted(DOGS.iterdir()), 2)]

    def source(self) -> Path:
        return DOGS

    def samples(self, ctx: Any) -> Iterator[Sample]:
        for label, breed in enumerate(self.classes()):
            for number, file in enumerate(islice(sorted((DOGS / breed).iterdir()), 8)):
                split = "train" if number < 4 else "test"
                yield Sample(id=file.stem, path=f"{breed}/{file.name}", label=label, split=split)


@pytest.mark.skipif(not (DOGS.is_dir() and YOLOX.is_file()), reason=f"no real data at {DATA} (set FGIC_REAL_DATA)")
def test_real_dogs_are_found_by_a_ready_detector_as_they_were_counted(module_toys: Path, tmp_path: Path) -> None:
    registry = Registry()
    registry.register("few-dogs", FewDogs)
    steps = {
        "dogs": {"uses": "dataset/few-dogs"},
        "boxes": {"uses": "detector/onnx", "with": {"weights": str(YOLOX), "classes": ["dog"]}},
        "crops": {"uses": "cropper/square", "with": {"margin": 0.1, "train_boxes": "predicted"}},
        "classifier": {"uses": "classifier/linear", "with": {"val_fraction": 0.3}},
    }
    pipeline = Pipeline.from_dict({"version": 1, "name": "real", "steps": steps}, tmp_path, registry)
    run = pipeline.run(store=tmp_path / "store", runs=tmp_path / "runs", device="cpu", report=False)
    assert [step.error for step in run.record.steps if step.error] == []
    data = run.dataset("dogs").split("test")
    classes, boxes = counted(run, "classifier"), counted(run, "crops", "boxes.parquet")
    found = run.predictor(registry=registry)([data.file(row) for row in range(len(data))])
    assert sum(one.box is not None for one in found) >= 7
    for name, one in zip(data.ids, found, strict=True):
        assert one.box == as_box(boxes[name]["predicted"])
        assert one.region == as_box(boxes[name]["region"])
        assert one.top[0].label == classes[name]["predicted"]
        assert one.top[0].confidence == pytest.approx(classes[name]["confidence"], abs=1e-5)
