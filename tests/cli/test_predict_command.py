"""``fgic predict``: pictures to classes, with a model that knows colours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgic_core import load_model
from fgic_core.cli import app
from fgic_core.cli.predict import overlay_name
from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import DataError
from fgic_core.predict import find_left_out, find_pictures, predict
from fgic_core.store.record import RunRecord, StepRecord

COLOURS = '''
from fgic_core import Classifier, Explainer, FittedClassifier, InputSpec, Maps, Size


class Colours(Classifier):
    """Tells red from green from blue, untrained: its logits are the channels' means."""

    def fit(self, train, val, ctx): ...

    def build(self, classes):
        from torch import nn

        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return FittedClassifier(network, InputSpec(Size(32, 32)), tuple(classes))


class Itself(Explainer):
    """The channel of the class is the map."""

    def explain(self, network, images, targets, generator):
        return Maps(images[range(len(images)), targets][:, None], ("channel",))
'''
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def colours(install, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"classifier": ["colours = colour_plugin:Colours"], "explainer": ["itself = colour_plugin:Itself"]}
    install("colour-plugin", COLOURS, points)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("colour_plugin", None)


def an_artifact(store: Path, key: str, type_: str, uses: str, **sources: str) -> Path:
    folder = store / "artifacts" / key[:2] / key
    (folder / "component").mkdir(parents=True)
    ArtifactRecord(
        type=type_,
        key=key,
        uses=uses,
        package="colour-plugin",
        version="1.2.3",
        options={},
        seed=0,
        inputs={},
        sources=sources,
    ).write(folder)
    return folder


@pytest.fixture
def model(colours: None, tmp_path: Path) -> Path:
    """A model's artifact, as the store keeps it, trained on crops of a data set."""
    store = tmp_path / "store"
    an_artifact(store, "aa" * 16, "dataset", "cropper/square", dataset="dd" * 16)
    folder = an_artifact(store, "bb" * 16, "model", "classifier/colours", dataset="aa" * 16)
    from colour_plugin import Colours

    Colours().save(Colours().build(["red", "green", "blue"]), folder / "component")
    return folder


def a_picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    a_picture(folder / "b.png", RED)
    a_picture(folder / "a" / "b.png", GREEN)
    a_picture(folder / "a" / "deep" / "b.JPG", BLUE)
    a_picture(folder / ".hidden" / "b.png", BLUE)
    (folder / "notes.txt").write_text("no picture")
    return folder


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


class TestThePicturesOfFolders:
    def test_a_folder_is_searched_below_and_hidden_and_other_files_are_left_out(self, pictures: Path) -> None:
        found = [path.relative_to(pictures).as_posix() for path in find_pictures([pictures])]
        assert found == ["b.png", "a/b.png", "a/deep/b.JPG"]

    def test_a_picture_that_is_named_twice_comes_once(self, pictures: Path) -> None:
        assert len(list(find_pictures([pictures / "b.png", pictures, pictures / "a" / ".." / "a"]))) == 3

    def test_a_folder_without_pictures_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no picture"):
            list(find_pictures([tmp_path]))

    def test_what_may_be_a_picture_and_is_left_out_is_named(self, pictures: Path) -> None:
        (pictures / "a" / "x.CR2").write_bytes(b"x")
        (pictures / "a" / "y.heic").write_bytes(b"x")
        assert find_left_out([pictures, pictures / "b.png"]) == [
            (str(pictures / "a" / "x.CR2"), "a camera's raw file: export it as TIFF, PNG or JPEG")
        ]
        assert pictures / "a" / "y.heic" in list(find_pictures([pictures]))  # and its error says what to install


class TestThePythonApi:
    def test_predictions_come_in_order_best_class_first(self, model: Path, pictures: Path) -> None:
        found = list(predict(load_model(model), find_pictures([pictures]), top=2, batch_size=2))
        assert [prediction.top[0].name for prediction in found] == ["red", "green", "blue"]
        assert [len(prediction.top) for prediction in found] == [2, 2, 2]
        first = found[0].top
        assert first[0].label == 0
        assert 1 >= first[0].confidence > first[1].confidence >= 0

    def test_confidences_sum_to_one_over_all_classes(self, model: Path, pictures: Path) -> None:
        (found,) = predict(load_model(model), [pictures / "b.png"], top=99)
        assert sum(guess.confidence for guess in found.top) == pytest.approx(1.0, abs=1e-6)

    def test_a_pipe_is_not_waited_for(self, model: Path, pictures: Path, pipe) -> None:
        pipe(pictures / "pipe.png")
        found = list(predict(load_model(model), find_pictures([pictures])))
        assert [str(prediction.error) for prediction in found if prediction.error] == [
            f"{pictures / 'pipe.png'}: the picture cannot be read: it is a named pipe and not a file\n"
            "  Replace or remove it."
        ]
        assert len(found) == 4

    def test_a_picture_that_came_out_nearly_black_is_remarked(self, model: Path, pictures: Path) -> None:
        Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(pictures / "deep.png")
        (found,) = predict(load_model(model), [pictures / "deep.png"])
        assert found.remark == "its largest value is 4,000 of 65,535: it came out nearly black"
        (found,) = predict(load_model(model), [pictures / "b.png"])
        assert found.remark == ""

    def test_a_broken_picture_stands_in_its_place_with_its_error(self, model: Path, pictures: Path) -> None:
        broken = pictures / "broken.jpg"
        broken.write_bytes(b"\xff\xd8 not a picture")
        one, two, three = predict(load_model(model), [pictures / "b.png", broken, pictures / "a" / "b.png"])
        assert (one.top[0].name, three.top[0].name) == ("red", "green")
        assert two.top == ()
        assert str(broken) in str(two.error)


class TestTheCommand:
    def test_it_prints_the_classes_of_each_picture(self, model: Path, pictures: Path, capsys) -> None:
        assert app.run(["predict", str(model), str(pictures), "--device", "cpu"]) == 0
        blocks = capsys.readouterr().out.strip().split("\n\n")
        assert len(blocks) == 3
        path, head, _, *rows = blocks[1].splitlines()
        assert path == str(pictures / "a" / "b.png")
        assert head.split() == ["class", "confidence"]
        # Half of the input is the green picture, half grey border: the softmax of (0.25, 0.75, 0.25).
        assert rows[0].split()[:3] == ["green", "45.2", "%"]

    def test_json_is_one_object_a_line(self, model: Path, pictures: Path, capsys) -> None:
        assert app.run(["predict", str(model), str(pictures), "--device", "cpu", "--json", "--top", "1"]) == 0
        rows = json_lines(capsys.readouterr().out)
        assert [row["top"][0]["class"] for row in rows] == ["red", "green", "blue"]
        assert [row["top"][0]["label"] for row in rows] == [0, 1, 2]
        assert rows[0]["image"] == str(pictures / "b.png")
        assert all(len(row["top"]) == 1 for row in rows)

    def test_pictures_that_cannot_be_read_are_reported_and_the_rest_goes_on(
        self, model: Path, pictures: Path, capsys
    ) -> None:
        (pictures / "a" / "a.jpg").write_bytes(b"")
        code = app.run(["predict", str(model), str(pictures), "missing.png", "--device", "cpu", "--json"])
        said = capsys.readouterr()
        rows = json_lines(said.out)
        assert code == 1
        assert [("error" in row, "top" in row) for row in rows].count((False, True)) == 3
        assert "missing.png" in said.err
        assert str(pictures / "a" / "a.jpg") in said.err
        assert "2 of 5 pictures could not be read." in said.err

    def test_a_model_trained_on_crops_says_so(self, model: Path, pictures: Path, capsys) -> None:
        app.run(["predict", str(model), str(pictures), "--device", "cpu"])
        assert "trained on crops (cropper/square)" in capsys.readouterr().err

    def test_a_run_directory_is_as_good_as_a_model(self, model: Path, pictures: Path, tmp_path: Path, capsys) -> None:
        step = StepRecord(name="classifier", uses="classifier/colours", key="bb" * 16, inputs={}, status="computed")
        store = model.parents[2]
        run = RunRecord(name="colours", seed=0, started="2026-01-01T00:00:00+00:00", store=store, steps=[step])
        folder = tmp_path / "run"
        folder.mkdir()
        run.write(folder)
        command = ["predict", str(folder), str(pictures / "b.png"), "--device", "cpu", "--json"]
        assert app.run(command) == 0
        assert json_lines(capsys.readouterr().out)[0]["top"][0]["class"] == "red"
        store.rename(tmp_path / "elsewhere")
        assert app.run(command) == 2
        assert f"expected at {store}" in capsys.readouterr().err
        assert app.run([*command, "--store", str(tmp_path / "elsewhere")]) == 0
        assert json_lines(capsys.readouterr().out)[0]["top"][0]["class"] == "red"

    def test_a_folder_that_is_neither_is_a_mistake(self, pictures: Path, capsys) -> None:
        assert app.run(["predict", str(pictures), str(pictures)]) == 2
        assert "neither a run directory nor a model" in capsys.readouterr().err


class TestOverlays:
    def command(self, model: Path, out: Path, *pictures: Path) -> list[str]:
        return [
            *("predict", str(model), *map(str, pictures), "--device", "cpu", "--json"),
            *("--cam", str(out), "--explainer", "explainer/itself"),
        ]

    def test_each_picture_has_its_own_and_none_lies_outside(
        self, model: Path, pictures: Path, tmp_path: Path, capsys
    ) -> None:
        out = tmp_path / "maps"
        (tmp_path / "here").mkdir()
        odd = a_picture(tmp_path / "here" / ".." / "a_b\n[red].png", RED)
        assert app.run(self.command(model, out, pictures, odd)) == 0
        rows = json_lines(capsys.readouterr().out)
        written = [Path(row["cam"]) for row in rows]
        assert len(set(written)) == 4
        assert sorted(written) == sorted(out.iterdir())
        for path in written:
            with Image.open(path) as image:
                assert image.size == (32, 32)

    def test_the_map_is_that_of_the_best_class(self, model: Path, tmp_path: Path, capsys) -> None:
        picture = a_picture(tmp_path / "half.png", RED, (32, 32))
        with Image.open(picture) as image:
            image.paste((0, 0, 0), (16, 0, 32, 32))
            image.save(picture)
        assert app.run(self.command(model, tmp_path / "maps", picture)) == 0
        with Image.open(json_lines(capsys.readouterr().out)[0]["cam"]) as overlay:
            left, right = overlay.getpixel((4, 16)), overlay.getpixel((28, 16))
        assert max(left) > 100
        assert right == (0, 0, 0)

    def test_a_link_in_the_folder_is_replaced_and_not_followed(
        self, model: Path, pictures: Path, tmp_path: Path, capsys
    ) -> None:
        out, outside = tmp_path / "maps", tmp_path / "precious.png"
        out.mkdir()
        outside.write_text("precious")
        (out / overlay_name(pictures / "b.png")).symlink_to(outside)
        assert app.run(self.command(model, out, pictures / "b.png")) == 0
        assert outside.read_text() == "precious"

    def test_what_is_no_explainer_is_refused(self, model: Path, pictures: Path, tmp_path: Path, capsys) -> None:
        command = self.command(model, tmp_path / "maps", pictures)
        command[-1] = "classifier/colours"
        assert app.run(command) == 2
        assert "classifier/colours is no explainer" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["../../etc/x.png", "a b.png", "..png", "\u00fc.png", "x" * 240 + ".png"])
    def test_names_are_plain_file_names(self, name: str) -> None:
        made = overlay_name(Path(name))
        assert "/" not in made
        assert not made.startswith(".")
        assert len(made) <= 120
        assert made.isascii()
