from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fgic_data_readers import Coco

from fgic_core import DataError, Size


def document(names: list[str], first: int = 1) -> dict[str, Any]:
    images = [{"id": first + n, "file_name": name, "width": 8, "height": 6} for n, name in enumerate(names)]
    return {
        "categories": [{"id": 90, "name": "owl"}, {"id": 7, "name": "crow"}],
        "images": images,
        "annotations": [box(image["id"], 90, [0, 0, 4, 4], image["id"]) for image in images],
    }


def box(image: int, category: int, bbox: list[Any], key: int = 1, crowd: int = 0) -> dict[str, Any]:
    return {"id": key, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": crowd}


class Set:
    """A tiny COCO data set; its documents can be changed before it is opened."""

    def __init__(self, root: Path, picture) -> None:
        self.root = root
        self.documents = {"train": document(["a.jpg", "b.jpg"]), "test": document(["c.jpg"])}
        for name in "abc":
            picture(root / "images" / f"{name}.jpg")

    @property
    def train(self) -> dict[str, Any]:
        return self.documents["train"]

    def open(self, **options: Any) -> Coco:
        for split, content in self.documents.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (self.root / f"instances_{split}.json").write_text(text)
        files = {split: self.root / f"instances_{split}.json" for split in self.documents}
        return Coco(images=self.root / "images", **files, **options)


@pytest.fixture
def coco(tmp_path: Path, picture) -> Set:
    return Set(tmp_path, picture)


def test_the_real_subset_is_read_from_its_split_folders(real_data, read):
    root = real_data("coco8")
    reader = Coco(
        images=root / "images",
        train=root / "annotations" / "instances_train.json",
        test=root / "annotations" / "instances_val.json",
    )
    samples = read(reader)
    assert Counter(s.split for s in samples) == {"train": 4, "test": 4}
    assert len(reader.classes()) == 80
    assert all((reader.source() / s.path).is_file() for s in samples)
    assert sum(len(s.boxes) for s in samples) == 30
    for sample in samples:
        largest = max(sample.boxes, key=lambda one: one.box.area)
        assert sample.label == largest.label


def test_labels_are_categories_in_the_order_of_their_ids(coco, read):
    reader = coco.open()
    assert reader.classes() == ["crow", "owl"]
    assert [(s.id, s.label, s.split) for s in read(reader)] == [("a", 1, "train"), ("b", 1, "train"), ("c", 1, "test")]


def test_the_label_is_that_of_the_largest_box_that_is_no_crowd(coco, read):
    coco.train["annotations"] += [box(1, 7, [0, 0, 5, 4], 8), box(1, 90, [0, 0, 8, 6], 9, crowd=1)]
    sample = read(coco.open())[0]
    assert sample.label == 0
    assert [(b.box.xyxy, b.label, b.crowd) for b in sample.boxes] == [
        ((0, 0, 4, 4), 1, False),
        ((0, 0, 5, 4), 0, False),
        ((0, 0, 8, 6), 1, True),
    ]


def test_of_equal_boxes_the_first_annotation_gives_the_label(coco, read):
    coco.train["annotations"] = [box(1, 90, [0, 0, 4, 4], 20), box(1, 7, [1, 1, 4, 4], 3), box(2, 7, [0, 0, 1, 1], 4)]
    assert read(coco.open())[0].label == 0


def test_the_size_is_that_of_the_file_unless_the_boxes_contradict_it(coco, read):
    coco.train["annotations"].append(box(2, 7, [0, 0, 4, 8]))
    first, second, _ = read(coco.open())
    assert first.size == Size(8, 6)
    assert second.size is None


def test_a_picture_without_an_object_is_an_error_or_is_left_out(coco, ctx):
    coco.train["annotations"][0]["iscrowd"] = 1
    with pytest.raises(DataError, match=r"images\[0\]: a.jpg has crowds alone, so it has no label"):
        list(coco.open().samples(ctx))
    assert [s.id for s in coco.open(without_object="skip").samples(ctx)] == ["b", "c"]
    assert ctx.warnings == ["1 pictures of instances_train.json have no annotated object and were left out"]


@pytest.mark.parametrize("key", ["iscrowd", "class_agnostic"])
@pytest.mark.parametrize("value", ["0", "1", "", "false", 2, -1, 0.5, None, [], {}])
def test_a_flag_is_not_read_by_its_truth(coco, read, key, value):
    coco.train["annotations"][1][key] = value
    with pytest.raises(DataError) as caught:
        read(coco.open())
    said = f"annotations[1]: {key} should be 0, 1, false or true and is {json.dumps(value)}"
    assert said in str(caught.value)


@pytest.mark.parametrize(("value", "crowd"), [(0, False), (False, False), (0.0, False), (1, True), (True, True)])
def test_a_flag_is_0_or_1_false_or_true(coco, read, value, crowd):
    coco.train["annotations"].append({**box(1, 7, [0, 0, 2, 2], 8), "iscrowd": value})
    assert [b.crowd for b in read(coco.open())[0].boxes] == [False, crowd]
    del coco.train["annotations"][-1]["iscrowd"]
    assert [b.crowd for b in read(coco.open())[0].boxes] == [False, False]


@pytest.mark.parametrize("options", [{}, {"without_object": "skip"}])
def test_objects_that_are_all_crowds_are_said_with_the_way_out(coco, read, options):
    for annotation in coco.train["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(DataError) as caught:
        read(coco.open(**options))
    assert "instances_train.json: all 2 objects of this file are crowds (iscrowd 1)" in str(caught.value)
    assert 'write "iscrowd": 0' in str(caught.value)
    for image in coco.train["images"]:
        image["category_id"] = 7
    assert [sample.label for sample in read(coco.open())] == [0, 0, 1]


def test_an_empty_box_is_left_out_and_counted(coco, ctx):
    coco.train["annotations"].append(box(1, 7, [3, 3, 0, 2]))
    assert len(next(coco.open().samples(ctx)).boxes) == 1
    assert "1 boxes of instances_train.json have no width or no height" in ctx.warnings[0]


def test_an_entry_of_fgics_own_gives_id_and_label_also_without_a_box(coco, read):
    first, second = coco.train["images"]
    first.update(sample_id="n1/one", category_id=7, sample_origin="synthetic:generator/x", sample_parents=["p", "q"])
    second.update(sample_id="two", category_id=7)
    coco.train["annotations"].pop()
    one, two, three = read(coco.open())
    assert (one.id, one.label, one.boxes[0].label) == ("n1/one", 0, 1)
    assert (one.origin, one.parents) == ("synthetic:generator/x", ("p", "q"))
    assert (two.id, two.label, two.boxes) == ("two", 0, ())
    assert (three.id, three.label, three.origin, three.parents) == ("c", 1, "real", ())


@pytest.mark.parametrize("meaning", ["empty", "unknown"])
def test_a_picture_without_annotations_is_empty_unless_the_option_says_otherwise(coco, read, meaning):
    """Not one whose only box is flat, or a crowd: there is an object in it."""
    coco.train["images"] += [
        {"id": 11 + n, "file_name": name, "width": 8, "height": 6, "category_id": 7} for n, name in enumerate("defg")
    ]
    for name in "defg":
        (coco.root / "images" / name).write_bytes((coco.root / "images" / "a.jpg").read_bytes())
    coco.train["annotations"] += [box(12, 90, [0, 0, 0, 4], 21), box(13, 90, [0, 0, 4, 4], 22, crowd=1)]
    coco.train["images"][-1]["not_annotated"] = True
    samples = {s.id: s for s in read(coco.open(without_annotation=meaning))}
    assert [samples[name].empty for name in "adefg"] == [False, meaning == "empty", False, False, False]
    assert [samples[name].is_annotated for name in "adefg"] == [True, meaning == "empty", False, True, False]


def test_a_crowd_alone_gives_no_label_but_does_not_take_the_entrys_own(coco, read):
    coco.train["annotations"][0]["iscrowd"] = 1
    coco.train["images"][0]["category_id"] = 7
    sample = read(coco.open())[0]
    assert (sample.label, sample.boxes[0].label, sample.boxes[0].crowd) == (0, 1, True)


def test_a_class_agnostic_box_has_no_label(coco, read):
    coco.train["annotations"][0]["class_agnostic"] = True
    sample = read(coco.open())[0]
    assert (sample.label, sample.boxes[0].label) == (1, None)


@pytest.mark.parametrize(
    ("info", "notes"), [({"notes": ["seen"]}, ["seen"]), ({"notes": "seen"}, []), ([], []), (None, [])]
)
def test_notes_are_those_that_fgic_wrote(coco, info, notes):
    coco.train["info"] = coco.documents["test"]["info"] = info
    assert coco.open().notes() == notes


def edit(**changes: Any):
    return lambda coco: coco.train["annotations"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit(image_id=5), "instances_train.json, annotations[0]: image_id 5 is no image"),
        (edit(category_id=1), "annotations[0]: category_id 1 is no category"),
        (edit(bbox=[1, 2, 3]), "annotations[0]: bbox should be four numbers"),
        (edit(bbox=[1, 2, 3, float("nan")]), "annotations[0]: bbox should be four numbers"),
        (edit(bbox="1 2 3 4"), "annotations[0]: bbox should be a list"),
        (edit(image_id="1"), "annotations[0]: image_id should be a whole number and is '1'"),
        (lambda c: c.train["annotations"][1].pop("bbox"), "annotations[1]: this entry has no bbox"),
        (lambda c: c.train["images"][1].pop("file_name"), "images[1]: this entry has no file_name"),
        (lambda c: c.train["images"][1].update(id=1), "images[1]: image 1 is listed twice"),
        (lambda c: c.train["images"][1].update(file_name="a.jpg"), "images[1]: a.jpg is listed twice"),
        (lambda c: c.documents["test"]["images"][0].update(file_name="a.jpg"), "images[0]: a.jpg is listed twice"),
        (lambda c: c.train["images"][1].update(file_name="../../etc/passwd"), "images[1]: the picture's path"),
        (lambda c: c.train["images"][1].update(sample_id=5), "images[1]: sample_id should be a string and is 5"),
        (lambda c: c.train["images"][1].update(sample_id=""), "images[1]: sample_id is empty"),
        (lambda c: c.train["images"][1].update(category_id=1), "images[1]: category_id 1 is no category"),
        (lambda c: c.train["images"][1].update(not_annotated=1), "images[1]: not_annotated should be true or false"),
        (lambda c: c.train["images"][0].update(not_annotated=True), "annotations[0]: image 1 is marked not_annotated"),
        (lambda c: c.train["images"][1].update(sample_parents=[1]), "images[1]: sample_parents should be a list of"),
        (lambda c: c.train["categories"].append({"id": 7, "name": "x"}), "categories[2]: category 7 is defined twice"),
        (lambda c: c.train["categories"].append({"id": 8, "name": "owl"}), "are both named 'owl'"),
        (lambda c: c.train["categories"][0].update(name="eagle"), "category 90 is 'owl' here and 'eagle' in another"),
        (lambda c: c.train.pop("images"), "this file has no list of images"),
        (lambda c: c.train.update(images=[], annotations=[]), "this file lists no images"),
        (lambda c: c.train["images"].append(3), "images[2]: an entry should be an object"),
        (lambda c: c.documents.update(train="[]"), "this is no COCO file"),
        (lambda c: c.documents.update(train='{"images": [\n1,, 2]}'), "instances_train.json:2:3: this is not JSON"),
        (lambda c: [i.update(file_name="z.jpg") for i in c.documents["test"]["images"]], "none of the 1 pictures lies"),
    ],
)
def test_a_contradiction_names_file_and_entry(coco, read, change, message):
    change(coco)
    with pytest.raises(DataError) as caught:
        read(coco.open())
    assert message in str(caught.value)
